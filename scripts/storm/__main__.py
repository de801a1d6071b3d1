"""Nothing lost: thousands of cases while processes die and systems misbehave, and all books compared.

scripts/chaos --minutes 10 --seed 1                  one API process and one worker, PostgreSQL of its own
scripts/chaos --api 3 --workers 3 --database server  three of each, a PostgreSQL server over TCP
scripts/chaos --sabotage                             rows are broken on purpose: the judge must find it
scripts/chaos --judge FOLDER                         judge a town that runs, or what a run left, once more
scripts/chaos --control FOLDER                       break it in 87 ways, one at a time: each must be found
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from loket.walk import queries
from loket.walk.outside import Outside
from storm.clients import Post, Refused
from storm.control import try_the_judge
from storm.crowd import CRUSH_MOST, CRUSH_SHARE, PLACES, Crowd, Crush, crew_of, listen_at_work
from storm.findings import GROUPS, Verdict
from storm.judge import judge, judge_again
from storm.ledger import Ledger
from storm.sabotage import DEEDS, Deed, spoil
from storm.stories import Crew
from storm.town import Town
from storm.weather import EVERY_SECONDS, Storm, plan

Json = dict[str, Any]

PROGRESS_SECONDS = 15.0
SETTLE_SECONDS = 600.0
"""The longest after the storm until everything must have ended."""
TRY_AGAIN_SECONDS = 5.0
SABOTAGE_AFTER_SECONDS = 15.0
SOON_SECONDS = 120
"""What is due later than this waits for its day: a payment page is asked about again hours later."""
CASES_A_SECOND = 1.0
"""What two shared cores bear, about: the size of the crush follows from it."""

OPEN = """
    SELECT count(*) FILTER (WHERE state = 'PENDING' AND (retry_at IS NULL
               OR retry_at < now() + make_interval(secs => %(soon)s))),
           count(*) FILTER (WHERE state IN ('PARKED', 'IN_DOUBT')),
           count(*)
      FROM effect"""
FAILED = "query Failed { failedEffects(first: 100) { nodes { id } } }"
ATTEMPTS = """
    SELECT effect.system, count(DISTINCT effect.id), count(attempt.id)
      FROM effect LEFT JOIN attempt ON attempt.effect_id = effect.id
     WHERE effect.attempts > 0 GROUP BY 1 ORDER BY 1"""


@dataclass
class Run:
    asked: argparse.Namespace
    town: Town
    began: float = field(default_factory=time.monotonic)
    seconds_to_quiet: float | None = None
    unfinished: int = 0
    sabotaged: list[Deed] = field(default_factory=list)
    effects: int = 0
    parked: int = 0
    attempts: list[tuple[str, int, int]] = field(default_factory=list)
    tried_again: int = 0
    """Effects that were parked, and that an operator had sent again when all was mended."""

    def tell(self, text: str) -> None:
        seconds = time.monotonic() - self.began
        print(f"{seconds:7.1f}  {text}", flush=True)


def main() -> int:
    asked = _arguments()
    if asked.judge or asked.control:
        return judge_again(asked.judge) if asked.judge else try_the_judge(asked.control)
    home = asked.home or Path(tempfile.mkdtemp(prefix="loket-chaos-"))
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    home.chmod(0o755)
    town = Town(home / "home", asked.api, asked.workers, asked.database == "server")
    run = Run(asked, town)
    run.tell(
        f"seed {asked.seed}, {asked.minutes:g} minutes, a blow every {asked.every:g} s,"
        f" {asked.api} API, {asked.workers} workers, PostgreSQL {asked.database}; home {home}"
    )
    try:
        town.start()
        run.tell(f"Loket runs at {town.url}, the sandbox's desk at {town.desk}")
        with Ledger(home / "ledger.jsonl") as ledger:
            storm, crowd = asyncio.run(_storm(run, ledger))
        verdict = judge(town.home, home / "ledger.jsonl", database_url=town.database_url)
        run.effects, run.parked, run.attempts = _count(town)
    finally:
        took = town.stop()
    run.tell(f"stopped with SIGTERM in {took:.1f} s")
    wrong = _report(run, storm, crowd, verdict, took, home)
    if asked.sabotage:
        wrong = _is_missed(run, verdict)
    if wrong or asked.keep:
        print(f"\nKept for a look: {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if wrong else 0


# --- the storm --------------------------------------------------------------------------------


async def _storm(run: Run, ledger: Ledger) -> tuple[Storm, Crowd]:
    asked, town = run.asked, run.town
    limits = httpx2.Limits(max_connections=400, max_keepalive_connections=100)
    async with httpx2.AsyncClient(trust_env=False, timeout=20.0, limits=limits) as http:
        seconds = asked.minutes * 60
        until = time.monotonic() + seconds
        outside = Outside.behind(town.desk, http)
        post = Post(town.url, outside.address("acmidm"), http, ledger, until + SETTLE_SECONDS)
        ledger.write(
            "begun", seed=asked.seed, minutes=asked.minutes, api=asked.api, workers=asked.workers,
            database=asked.database, home=town.home, url=town.url, desk=town.desk,
        )  # fmt: skip
        crew = await crew_of(post, outside)
        crush = Crush(crew, max(20, min(CRUSH_MOST, int(seconds * CASES_A_SECOND / CRUSH_SHARE))))
        crew.crush = crush
        crowd = Crowd(crew, asked.seed, asked.cases, asked.parallel, crush)
        await post.stubborn(lambda: outside.make_room(20_000), "the planner")
        await listen_at_work(crowd)
        storm = Storm(
            town,
            ledger,
            [] if asked.calm else plan(asked.seed, seconds, asked.every),
            http,
            lambda: post.answered_at,
        )
        run.tell(
            f"{len(storm.blows)} blows are planned, {crush.size} citizens will want {PLACES} places at once"
        )
        beside = [storm.keep(), _progress(run, storm, crowd), *([_sabotage(run)] if asked.sabotage else [])]
        others = [asyncio.create_task(one) for one in beside]
        try:
            await asyncio.gather(storm.rage(), crowd.come(until))
            await asyncio.sleep(max(0.0, until - time.monotonic()) if asked.cases > crowd.begun else 0)
            await storm.calm()
            run.tell("all is mended; waiting until everything has ended")
            await _settle(run, crowd)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await crowd.leave()
        return storm, crowd


async def _sabotage(run: Run) -> None:
    await asyncio.sleep(SABOTAGE_AFTER_SECONDS)
    await spoil(run.town, run.sabotaged, run.tell)


async def _settle(run: Run, crowd: Crowd) -> None:
    """Until all stories have ended and nothing is to be told any more; at most SETTLE_SECONDS."""
    began = time.monotonic()
    crowd.crew.post.until = began + SETTLE_SECONDS
    operator = asyncio.create_task(_keep_trying(run, crowd.crew))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS + 60):
            await crowd.end()
    operator.cancel()
    await asyncio.gather(operator, return_exceptions=True)
    crowd.crush.tell()
    still = 0
    while time.monotonic() - began < SETTLE_SECONDS:
        run.tried_again += await _try_again(crowd.crew)
        try:
            open_now = (await asyncio.to_thread(_look, run.town.database_url))[0]
        except psycopg.Error as fault:
            run.tell(f"the database: {fault}".strip())
            open_now = -1
        still = still + 1 if open_now == 0 else 0
        if still >= 3:
            run.seconds_to_quiet = time.monotonic() - began
            crowd.crew.post.ledger.write("quiet", seconds=round(run.seconds_to_quiet, 1))
            break
        await asyncio.sleep(2)
    run.unfinished = len(crowd.active)
    await asyncio.sleep(5)  # listeners who just went away come back, and catch up


async def _keep_trying(run: Run, crew: Crew) -> None:
    """Cases wait behind what is parked: a story may end only after an operator was there."""
    while True:
        run.tried_again += await _try_again(crew)
        await asyncio.sleep(TRY_AGAIN_SECONDS)


async def _try_again(crew: Crew) -> int:
    """What a system refused for good was refused by the storm: an operator has it sent once more."""
    operator = crew.staff["greet"]
    failed = (await operator.ask(FAILED))["failedEffects"]["nodes"]
    for one in failed:
        with contextlib.suppress(Refused):  # somebody was first
            await operator.do("effectRetry", queries.RETRY, id=one["id"])
    return len(failed)


def _look(database_url: str) -> tuple[int, int, int]:
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        row = connection.execute(OPEN.encode(), {"soon": SOON_SECONDS}).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _count(town: Town) -> tuple[int, int, list[tuple[str, int, int]]]:
    _, parked, effects = _look(town.database_url)
    with psycopg.connect(town.database_url) as connection:
        attempts = connection.execute(ATTEMPTS).fetchall()
    return (
        effects,
        parked,
        [(str(name), int(of), int(made)) for name, of, made in attempts],
    )


# --- telling ----------------------------------------------------------------------------------


async def _progress(run: Run, storm: Storm, crowd: Crowd) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        crew, post = crowd.crew, crowd.crew.post
        blows = Counter(name.partition(" ")[0] for name in storm.counts.elements())
        told = ", ".join(f"{number} {blow}" for blow, number in sorted(blows.items())) or "no blows"
        try:
            effects = "{} open, {} parked of {}".format(
                *await asyncio.to_thread(_look, run.town.database_url)
            )
        except psycopg.Error:
            effects = "the database is away"
        run.tell(
            f"{crowd.begun} begun, {sum(crew.ended.values())} ended, {len(crowd.active)} under way"
            f" ({0 if crowd.crush.full.is_set() else len(crowd.crush.waiting)} wait for one slot),"
            f" {len(crew.broke)} broke; effects: {effects}; {told};"
            f" {post.unanswered} unanswered, {post.faulted} faulted"
        )


def _report(run: Run, storm: Storm, crowd: Crowd, verdict: Verdict, took: float, home: Path) -> bool:
    asked, crew, post = run.asked, crowd.crew, crowd.crew.post
    crush, wanted = crowd.crush, len(crowd.crush.waiting)
    groups = {group: sum(one.group == group for one in verdict.violations) for group in GROUPS}
    hung = run.seconds_to_quiet is None
    summary: Json = {
        "seed": asked.seed, "minutes": asked.minutes, "every": asked.every, "api": asked.api,
        "workers": asked.workers, "database": asked.database,
        "cases": crowd.begun, "ended": dict(crew.ended), "broke": crew.broke,
        "unfinished": run.unfinished, "effects": run.effects, "parked": run.parked,
        "tried_again": run.tried_again,
        "blows": dict(sorted(storm.counts.items())), "unanswered": post.unanswered, "faulted": post.faulted,
        "refusals": dict(crew.refusals.most_common()), "crush": [wanted, crush.booked],
        "listeners": len(crowd.listeners), "events_heard": sum(one.events for one in crowd.listeners),
        "reconnections": sum(one.connection - 1 for one in crowd.listeners),
        "attempts": run.attempts, "seconds_to_quiet": run.seconds_to_quiet, "seconds_to_stop": round(took, 1),
        "violations": groups, "verdict": verdict.json(), "sabotaged": [one.what for one in run.sabotaged],
    }  # fmt: skip
    (home / "chaos.json").write_text(json.dumps(summary, indent=2, default=str) + "\n", "utf-8")
    kills = Counter({name: number for name, number in storm.counts.items() if not name.startswith("spoil")})
    faults = sum(number for name, number in storm.counts.items() if name.startswith("spoil"))
    rows = [
        ("cases begun, ended, broke, unfinished",
         f"{crowd.begun}, {sum(crew.ended.values())}, {len(crew.broke)}, {run.unfinished}"),
        ("how they ended", _told(crew.ended)),
        ("effects, tried again by hand, still parked", f"{run.effects}, {run.tried_again}, {run.parked}"),
        ("kills and stops", _told(kills)),
        ("faults of the sandbox's systems", str(faults)),
        ("requests without answer, with a fault", f"{post.unanswered}, {post.faulted}"),
        ("subscribers, reconnections, events",
         f"{len(crowd.listeners)}, {summary['reconnections']}, {summary['events_heard']}"),
        ("attempts for one effect, by system",
         ", ".join(f"{name} {made / of:.2f}" for name, of, made in run.attempts)),
        ("seconds to quiet, to stop", f"{run.seconds_to_quiet and round(run.seconds_to_quiet)}, {took:.1f}"),
        (f"who wanted {PLACES} places, who got one", f"{wanted}, {crush.booked}"),
        ("violations", _told(Counter(groups)) if verdict.violations else "0 in all groups"),
    ]  # fmt: skip
    print()
    print(verdict.text())
    print()
    for name, value in rows:
        print(f"  {name:<38} {value}")
    for one in crew.broke[:20]:
        print(f"  BROKE  {one}"[:400])
    if hung:
        print(f"  HANGS  not quiet after {SETTLE_SECONDS:g} s")
    if not crush.is_right:
        print(f"  WRONG  {crush.booked} of {wanted} have one of {PLACES} places")
    return bool(verdict.violations or crew.broke or run.unfinished or hung or not crush.is_right)


def _is_missed(run: Run, verdict: Verdict) -> bool:
    """Whether something was broken on purpose, and not found; or nothing could be broken."""
    found = {one.group for one in verdict.violations}
    for deed in DEEDS:
        if deed not in run.sabotaged:
            print(f"SABOTAGE  {deed.what}: there was nothing to do it to")
        else:
            print(f"SABOTAGE  {deed.what}: {'found' if deed.groups & found else 'NOT FOUND'}")
    return not all(deed in run.sabotaged and deed.groups & found for deed in DEEDS)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="how long the storm lasts",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()) % 100_000,
        metavar="S",
        help="of the plan",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=EVERY_SECONDS,
        metavar="SECONDS",
        help="between two blows, on average: the longer, the more cases come through",
    )
    parser.add_argument("--api", type=int, default=1, metavar="N", help="API processes")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="workers")
    parser.add_argument("--database", choices=("private", "server"), default="private")
    parser.add_argument("--cases", type=int, default=1_000_000, metavar="N", help="at most so many")
    parser.add_argument("--parallel", type=int, default=40, metavar="P", help="at most so many at once")
    parser.add_argument("--calm", action="store_true", help="no storm: only the crowd")
    parser.add_argument(
        "--sabotage",
        action="store_true",
        help="break rows on purpose: that must be found",
    )
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="no storm: judge what is there")
    parser.add_argument("--control", type=Path, metavar="FOLDER", help="no storm: is the judge any good?")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="where (an empty or new folder)")
    parser.add_argument("--keep", action="store_true", help="keep the folder, also when all is well")
    asked = parser.parse_args()
    if asked.every <= 0:
        parser.error("--every: a number of seconds above 0")
    return asked


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
