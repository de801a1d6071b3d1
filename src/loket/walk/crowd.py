"""Many walks at once: does everything arrive, how fast, and is nothing done twice, whatever happens?"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from loket.walk import arrivals, books
from loket.walk.citizen import Place
from loket.walk.scene import Scene, Script
from loket.walk.scripts import scripts_for
from loket.walk.staff import Servant, at_work
from loket.walk.story import Story, percentile, say, table_of_steps

PATIENCE_SECONDS = 180.0
"""How long a step may take when Loket's processes are killed meanwhile: a dead worker's lease is 30 s."""


class _Tally:
    """What came of the walks so far."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.began = time.monotonic()
        self.stories: list[Story] = []
        self.faults: list[str] = []
        self.repeats: list[str] = []
        self.by_hand = 0
        self.wrong = 0

    def done(self, story: Story, walked: "_Walked") -> None:
        self.stories.append(story)
        self.faults += walked.faults
        self.repeats += walked.repeats
        self.by_hand += walked.by_hand
        self.wrong += bool(walked.faults)
        each = max(self.count // 20, 1)
        if len(self.stories) % each == 0 or len(self.stories) == self.count:
            seconds = time.monotonic() - self.began
            well = len(self.stories) - self.wrong
            done = f"{len(self.stories):5} of {self.count} walks"
            say(f"{seconds:8.1f}  {done}, {well} well, {len(self.repeats)} repeats")


@dataclass(frozen=True)
class _Walked:
    """What was wrong with one walk, and what came twice under one name."""

    faults: list[str]
    repeats: list[str] = field(default_factory=list)
    by_hand: bool = False


async def crowd(
    place: Place,
    number: Callable[[], int],
    *,
    count: int,
    parallel: int,
    money: bool = False,
    variant: str | None = None,
) -> int:
    """Walk `count` times, at most `parallel` at once, in one way (else straight on); the exit code.

    `money`: with trouble at the payment module and accounting meanwhile, and all books compared afterwards.
    """
    patient = replace(place, seconds=max(place.seconds, PATIENCE_SECONDS))
    if "PLANNING" in place.procedure["stages"] and await place.outside.make_room(2 * count):
        say("The planner puts in more vans: there was not enough room for so many.")
    scripts = scripts_for(place)
    script = scripts[variant or next(iter(scripts))]
    tally, gate = _Tally(count), asyncio.Semaphore(parallel)
    staff = await at_work(patient, Story(silent=True))

    async def one() -> None:
        async with gate:
            story = Story(silent=True)
            tally.done(story, await _walk(patient, story, number, staff, script))

    async with AsyncExitStack() as stack:
        if money:
            await stack.enter_async_context(books.troubled(place.outside))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())
    _report(tally)
    if not money:
        return 1 if tally.faults else 0
    differences = await books.agree(place.outside, staff["filip"])
    for difference in differences[:40]:
        say(f"  WRONG  {difference}")
    return 1 if tally.faults or differences else 0


async def _walk(
    place: Place, story: Story, number: Callable[[], int], staff: dict[str, Servant], script: Script
) -> "_Walked":
    async with AsyncExitStack() as stack:
        scene = Scene(place, story, number, staff, leaving=stack, careful=False)
        try:
            [(citizen, expected)] = await script(scene)
            await arrivals.settle(citizen, scene.operator, seconds=place.seconds)
            found = await arrivals.look_everywhere(citizen, scene.operator)
            faults = arrivals.differences(found, expected, citizen.events)
        except Exception as trouble:  # noqa: BLE001  # one walk that goes wrong must not stop the others
            where = [one.case["reference"] for one in scene.citizens if one.case]
            told = f"{', '.join(where) or 'no case'} at ‘{story.at}’: {type(trouble).__name__} {trouble}"
            return _Walked([told])
        faults = [f"{citizen.reference}: {fault}" for fault in faults]
        return _Walked(faults, found.repeats, citizen.by_hand)


def _report(tally: _Tally) -> None:
    seconds = time.monotonic() - tally.began
    speed = tally.count / seconds
    say(f"\n{tally.count} walks in {seconds:.1f} s: {speed:.2f} cases/s, {tally.wrong} went wrong")
    whole = [sum(took for _, took in story.steps) for story in tally.stories]
    say(f"A whole walk: p50 {percentile(whole, 50):.1f} s, p95 {percentile(whole, 95):.1f} s")
    for line in table_of_steps(tally.stories):
        say(line)
    if tally.by_hand:
        say(f"\nIn {tally.by_hand} of them MAGDA was too slow: filled in by hand, gone on by itself later.")
    if tally.repeats:
        say(f"\nSaid again under the same name, as may be around a kill: {len(tally.repeats)}")
        for repeat in tally.repeats[:20]:
            say(f"  - {repeat}")
    else:
        say("\nNothing was said or done twice.")
    for fault in tally.faults[:40]:
        say(f"  WRONG  {fault}")
