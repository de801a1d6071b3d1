"""`loket walk NAME`: one walk in full view, every variant one after the other, or many walks at once."""

import argparse
import asyncio
import fcntl
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx2

from loket import supervisor
from loket.installation import Installation
from loket.walk import arrivals, queries
from loket.walk.browser import LostError
from loket.walk.citizen import Place, WalkFailed
from loket.walk.client import Broken, Client, Refused
from loket.walk.crowd import crowd
from loket.walk.form import Unfillable
from loket.walk.known import SHIPPED
from loket.walk.outside import Outside
from loket.walk.promises import NotThere
from loket.walk.scene import Scene
from loket.walk.scripts import scripts_for
from loket.walk.staff import at_work
from loket.walk.story import Story, say

CITIZENS = 99_999
"""burger-1 to burger-99999 live in the sandbox."""
TROUBLE = (WalkFailed, Unfillable, Refused, Broken, LostError, httpx2.HTTPError, TimeoutError)


def main(arguments: Sequence[str], installation: Installation) -> int:
    """0 only when every case ended as it should and everybody heard what they should.

    Raises:
        StartError, SandboxError: there is no Loket to walk through.
    """
    asked = _parser().parse_args(arguments)
    with supervisor.started(installation) as running:
        if running.desk is None:
            raise supervisor.SandboxError("a walk needs the sandbox: this Loket runs without it")
        named = [Path(installation.settings.procedures)] if installation.settings.procedures else []
        folders = (SHIPPED, *named, *([asked.definition.parent] if asked.definition else []))
        return asyncio.run(_walk(asked, running.url, running.desk, installation.home, folders))


async def _walk(asked: argparse.Namespace, url: str, desk: str, home: Path, folders: tuple[Path, ...]) -> int:
    number = numbers(home / "walk.number")
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=100)
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0, limits=limits) as http:
        place = await find_place(asked.name, url, Outside.behind(desk, http), http, asked.seconds)
        place = replace(place, folders=folders, by_definition=asked.by_definition)
        say(f"Walking ‘{place.procedure['title']}’ at {url}; the outside world is at {desk}")
        names = variants_of(place, asked.variant)
        if asked.count > 1:
            parallel = min(asked.parallel, asked.count)
            return await crowd(
                place, number, count=asked.count, parallel=parallel, money=asked.money, variant=names[0]
            )
        wrong = [name for name in names if not await walk(place, name, number)]
    if len(names) > 1:
        say(f"\n{len(names) - len(wrong)} of {len(names)} variants ended well.")
    if wrong and len(names) > 1:
        say(f"Not so: {', '.join(wrong)}")
    return 1 if wrong else 0


def variants_of(place: Place, wished: str | None) -> list[str]:
    """Raises `StartError` when this procedure is not walked so."""
    try:
        known = list(scripts_for(place))
    except NotThere as fault:
        raise supervisor.StartError(
            f"{fault}: name the file with --definition, or its folder with LOKET_PROCEDURES"
        ) from fault
    if wished == "all":
        return known
    if wished is not None and wished not in known:
        raise supervisor.StartError(f"{place.procedure['key']} has no variant {wished}: {', '.join(known)}")
    return [wished or known[0]]


async def walk(place: Place, name: str, number: Callable[[], int]) -> bool:
    """Walk one variant in full view; whether all of it was well."""
    script, story = scripts_for(place)[name], Story()
    say(f"\n== {name}: {(script.__doc__ or '').strip()}")
    staff = await at_work(place, story)
    faults: list[str] = []
    done = "nothing to walk"
    async with AsyncExitStack() as stack:
        scene = Scene(place, story, number, staff, leaving=stack)
        try:
            for citizen, expected in await script(scene):
                await arrivals.settle(citizen, scene.operator, seconds=max(place.seconds, 120.0))
                found = await arrivals.look_everywhere(citizen, scene.operator)
                faults += arrivals.differences(found, expected, citizen.events)
                if citizen.email:
                    mails = await arrivals.mails_about(place.outside, citizen.email, citizen.reference)
                    faults += arrivals.appointments(expected, mails)
                faults += [f"more than once: {one}" for one in found.repeats]
                arrivals.show(citizen, found, expected)
                done = f"{citizen.reference} is {found.case['status']} after {story.seconds:.1f} s"
        except TROUBLE as trouble:
            faults.append(f"at ‘{story.at}’: {type(trouble).__name__} {trouble}")
            faults += [await _why(scene, citizen.reference) for citizen in scene.citizens if citizen.case]
            done = f"stopped after {story.seconds:.1f} s"
    say(f"\n{'WRONG' if faults else 'OK'}  {name}: {done}")
    for fault in faults:
        say(f"  - {fault}")
    if not faults:
        say("  every status reached DOSIS in order, and every message Mijn Burgerprofiel, mailbox and phone")
    return not faults


async def _why(scene: Scene, reference: str) -> str:
    """What stands in the way of a case, as the operator sees it."""
    try:
        effects = await scene.operator.effects(reference)
        tasks = await scene.operator.open_tasks(reference)
    except TROUBLE as trouble:
        return f"{reference}: and the operator sees nothing either: {trouble}"
    return f"{reference} waits for people: {tasks or 'nothing'}; for systems:\n{arrivals.told_of(effects)}"


async def find_place(
    procedure: str, url: str, outside: Outside, http: httpx2.AsyncClient, seconds: float
) -> Place:
    """Raises `StartError` when there is no such procedure."""
    found = (await Client(url, http=http).ask(queries.PROCEDURE, key=procedure))["procedure"]
    if found is None:
        raise supervisor.StartError(f"this Loket offers no procedure {procedure!r}")
    return Place(url, outside, http, found, seconds)


def numbers(file: Path) -> Callable[[], int]:
    """The next citizen who has not ordered before: counted in `file`, from a random one on when it is new."""

    def take() -> int:
        with file.open("a+", encoding="ascii") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)
            kept.seek(0)
            text = kept.read().strip()
            last = int(text) if text else random.randrange(CITIZENS)  # noqa: S311  # no secret
            kept.seek(0)
            kept.truncate()
            kept.write(str(last % CITIZENS + 1))
        return last % CITIZENS + 1

    return take


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loket walk",
        description="Let a scripted citizen and civil servant walk a procedure from end to end.",
    )
    parser.add_argument("name", metavar="NAME", help="the key of a procedure")
    parser.add_argument(
        "--variant",
        metavar="V",
        help="how it goes, in one of the ways that this procedure can go (another word tells which), or all",
    )
    parser.add_argument(
        "--definition",
        type=Path,
        metavar="FILE",
        help="its file, where that lies in no folder of definitions: of what was published while Loket runs",
    )
    parser.add_argument(
        "--by-definition",
        action="store_true",
        help="walk as through any procedure, also where scripts were written for this one",
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="walk N times, without a word on each"
    )
    parser.add_argument(
        "--parallel", type=int, default=10, metavar="P", help="at most P at once (default 10)"
    )
    parser.add_argument(
        "--money",
        action="store_true",
        help="with --count: trouble at the payment module and accounting, and all books compared at the end",
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, metavar="T", help="how long a step may take (default 30)"
    )
    return parser
