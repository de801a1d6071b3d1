"""Everybody who wants something of Loket during a storm: who, how many at once, what each will do."""

import asyncio
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from loket.walk import queries
from loket.walk.outside import BRUSSELS, Outside
from loket.walk.road import known_premium
from loket.walk.staff import PERSONAS
from storm.clients import Faulted, GaveUp, Post
from storm.compost import Compost
from storm.listeners import Listener
from storm.premium import Premium
from storm.stories import Crew, Story

Json = dict[str, Any]

PROCEDURES = ("compost-bin", "social-premium")
PREMIUM_SHARE = 0.2
# fmt: off
WAYS: Mapping[str, tuple[tuple[int, str], ...]] = {
    "compost-bin": (
        (60, "straight"), (12, "withdraw-paying"), (6, "withdraw-late"), (6, "moved"), (6, "transfer"),
        (3, "never-paid"), (1, "fifty"), (1, "twenty"),
    ),
    "social-premium": ((80, "straight"), (10, "refused"), (10, "withdraw")),
}
# fmt: on
FIRST_OF_ALL = ("fifty", "twenty")
"""Ways that each run has at least once."""
CITIZENS = 99_999
PLACES = 10
"""In the slot that everybody wants."""
CRUSH_SHARE = 8
"""One in so many of the cases that there is time for waits for that slot, at most CRUSH_MOST of them."""
CRUSH_MOST = 200
CRUSH_PATIENCE_SECONDS = 240.0
LISTENED = 8
"""One citizen in so many follows what happens."""
RESTLESS_SECONDS = 25.0


@dataclass
class Crush:
    """Many citizens wait until they are enough, and then all want the same ten places."""

    crew: Crew
    size: int
    waiting: list[Story] = field(default_factory=list)
    slot: str = ""
    booked: int = 0
    begun_at: float = 0.0
    opening: bool = False
    full: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_right(self) -> bool:
        """Whether every place was taken, by as many as there are."""
        return not self.slot or self.booked == min(PLACES, len(self.waiting))

    async def join(self, story: Story) -> str | None:
        """Wait with the others; the slot that all want, once. None for who comes later, or need not."""
        if story.way != "straight" or self.full.is_set() or story in self.waiting:
            return None
        self.waiting.append(story)
        self.begun_at = self.begun_at or time.monotonic()
        if len(self.waiting) >= self.size:
            await self.open()
        else:
            await self.full.wait()
        return self.slot or None

    async def open(self) -> None:
        """The planner adds a slot of ten places, and everybody sees it; unless there are too few."""
        if self.opening:
            return
        self.opening = True
        try:
            if len(self.waiting) > PLACES:
                self.slot = await self._find(await self._new_slot())
        except (GaveUp, Faulted) as fault:
            self.crew.broke.append(f"the slot that everybody wants: {fault}")
        finally:
            self.full.set()

    async def _find(self, starts_at: datetime) -> str:
        """What Loket calls the slot, once it offers it."""
        story = self.waiting[0]
        while True:
            found = await story.client.ask(queries.SLOTS, caseId=story.case["id"])
            for one in found["deliverySlots"]:
                if datetime.fromisoformat(one["startsAt"]) == starts_at:
                    return str(one["id"])
            await self.crew.post.wait(1.0, "the slot that everybody wants")

    async def _new_slot(self) -> datetime:
        outside = self.crew.outside

        async def add() -> datetime:
            slots = await outside.read("planning", "/sim/slots")
            last = max(datetime.fromisoformat(one["startsAt"]) for one in slots if one["status"] == "OPEN")
            starts_at = last.astimezone(BRUSSELS).replace(hour=17, minute=30) - timedelta(weeks=3)
            hours = {
                "startsAt": starts_at.isoformat(),
                "endsAt": (starts_at + timedelta(hours=2)).isoformat(),
            }
            await outside.order("planning", "/sim/slots", {**hours, "capacity": PLACES})
            return starts_at

        return await self.crew.post.stubborn(add, "the planner")

    def tell(self) -> None:
        """Write down what came of it."""
        self.crew.post.ledger.write(
            "raced", race="slot", asked=len(self.waiting), won=self.booked, told={}, case=self.slot
        )


@dataclass
class Crowd:
    """`cases`: at most so many; `parallel`: so many at once."""

    crew: Crew
    seed: int
    cases: int
    parallel: int
    crush: Crush
    begun: int = 0
    active: set["asyncio.Task[None]"] = field(default_factory=set)
    listeners: list[Listener] = field(default_factory=list)
    _listening: set["asyncio.Task[None]"] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def come(self, until: float) -> None:
        """Until then, on the clock of `time.monotonic`, or until all have come."""
        dice = random.Random(f"crowd {self.seed}")
        first = list(FIRST_OF_ALL)
        while time.monotonic() < until and self.begun < self.cases:
            waiting = 0 if self.crush.full.is_set() else len(self.crush.waiting)
            if len(self.active) - waiting < self.parallel:
                self._begin(dice, first.pop() if first and self.begun % 10 == 5 else "")
            else:
                await asyncio.sleep(0.05)
            await self._do_not_wait_for_ever()

    async def _do_not_wait_for_ever(self) -> None:
        crush = self.crush
        waited = time.monotonic() - crush.begun_at if crush.waiting else 0.0
        if waited > CRUSH_PATIENCE_SECONDS:
            await crush.open()

    async def end(self) -> None:
        """Until every story has ended; nobody waits for others any more."""
        await self.crush.open()
        while self.active:
            await asyncio.wait(self.active)

    def _begin(self, dice: random.Random, way: str) -> None:
        procedure = PROCEDURES[dice.random() < PREMIUM_SHARE and not way]
        weights = [weight for weight, _ in WAYS[procedure]]
        way = way or dice.choices([way for _, way in WAYS[procedure]], weights)[0]
        self.begun += 1
        number = self._citizen(procedure, way)
        kind = Premium if procedure == "social-premium" else Compost
        story = kind(self.crew, number, way, random.Random(dice.random()))
        follows = self.begun % LISTENED == 0
        task = asyncio.create_task(self._tell(story, follows=follows), name=f"story {self.begun}")
        self.active.add(task)
        task.add_done_callback(self.active.discard)

    def _citizen(self, procedure: str, way: str) -> int:
        """Nobody twice: a household may order only so much."""
        number = (self.seed * 7919 + self.begun * 20) % (CITIZENS - 40) + 1
        if procedure == "social-premium":
            about = known_premium(procedure)
            assert about is not None
            fits = about.none if way == "refused" else about.entitled
            while not fits(number):
                number += 1
        return number

    async def _tell(self, story: Story, *, follows: bool) -> None:
        if follows:
            await self._follow(story)
        await story.tell()

    async def _follow(self, story: Story) -> None:
        """All that is theirs, or this one case; over a socket or SSE; from before there is a case."""
        try:
            client = await self.crew.post.sign_in(story.who)
            after = (await client.ask(queries.VIEWER))["viewer"]["cursor"]
        except (GaveUp, Faulted):
            return
        number = next(self._numbers)
        about = "case" if number % 3 == 2 else "citizen"
        listener = Listener(
            f"{about}-{story.number}", client, about, socket=bool(number % 2), after=after,
            restless=RESTLESS_SECONDS,
        )  # fmt: skip
        if about == "citizen":
            self.listen(listener)
        else:
            story.opened = partial(self._listen_to, listener)

    def _listen_to(self, listener: Listener, reference: str) -> None:
        listener.reference = reference
        self.listen(listener)

    def listen(self, listener: Listener) -> None:
        self.listeners.append(listener)
        task = asyncio.create_task(listener.listen(), name=listener.name)
        self._listening.add(task)

    async def leave(self) -> None:
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)


async def crew_of(post: Post, outside: Outside) -> Crew:
    """Raises `GaveUp`."""
    staff = {who: await post.sign_in(who) for who in PERSONAS}
    found = {}
    for one in PROCEDURES:
        found[one] = (await staff["greet"].ask(queries.PROCEDURE, key=one))["procedure"]
    about = known_premium("social-premium")
    assert about is not None
    return Crew(post, outside, staff, found, about.answers)


async def listen_at_work(crowd: Crowd) -> None:
    """Two departments, and one who sees both and often goes away: they also tell the stories the news."""
    for who, sees, restless in (
        ("hilde", PROCEDURES[:1], 0.0),
        ("sofie", PROCEDURES[1:], 0.0),
        ("greet", PROCEDURES, RESTLESS_SECONDS),
    ):
        client = await crowd.crew.post.sign_in(who)
        after = (await client.ask(queries.VIEWER))["viewer"]["cursor"]
        socket = bool(len(crowd.listeners) % 2)
        crowd.listen(
            Listener(
                f"staff-{who}", client, "staff", socket=socket, after=after, restless=restless, sees=sees,
                heard=crowd.crew.heard,
            )
        )  # fmt: skip
