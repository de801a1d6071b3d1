"""How fast Loket answers.

scripts/bench               four operations beside PostGraphile and beside the least that a server can do
scripts/bench statements    how many SQL statements a page of 10 and of 100 cases takes
scripts/bench growth        a town of 10,000 cases beside one of 1,000,000 with 10,000,000 events
scripts/bench wakeups       how soon a subscriber of another process sees a commit: NOTIFY, NATS, poll
scripts/bench push          one event to 5,000 subscribers, beside what strawberry does by itself
scripts/bench figures       how long the live blueprint takes after a thousand events and after a million
"""

import argparse
import asyncio
import contextlib
import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmark import figures, growth, load, processes, push, speed, statements, wakeups
from benchmark.town import BUILD, ROOT, Town


def main() -> int:
    arguments = _arguments()
    if arguments.what == "figures":
        return _figures()
    if arguments.what == "wakeups":
        return _wakeups(arguments)
    where = processes.cores()
    if arguments.what == "growth":
        return _growth(arguments, where)
    if arguments.what == "push":
        return _push(arguments, where)
    with contextlib.ExitStack() as stack:
        town = stack.enter_context(Town(cases=arguments.cases, citizens=arguments.citizens, where=where))
        return {"speed": _speed, "statements": _statements}[arguments.what](arguments, town, stack)


def _speed(arguments: argparse.Namespace, town: Town, stack: contextlib.ExitStack) -> int:
    print(
        f"{town.cases:,} cases; {arguments.clients} clients ({load.generator()}); medians of"
        f" {arguments.rounds} rounds of {arguments.seconds} s in turn; servers on core {town.cores.server}"
    )
    began, busy_before = time.monotonic(), _busy()
    rounds = speed.measure(
        town, stack, rounds=arguments.rounds, seconds=arguments.seconds, clients=arguments.clients
    )
    medians = speed.summary(rounds)
    print(speed.table(medians))
    print(f"\nLoad of the machine {busy_before} → {_busy()}; took {time.monotonic() - began:.0f} s")
    _write("speed", {"asked": vars(arguments), "load": [busy_before, _busy()], "medians": medians})
    return 0


def _statements(_arguments: argparse.Namespace, town: Town, _stack: contextlib.ExitStack) -> int:
    found = asyncio.run(statements.count(town))
    for caller, by_size in found.items():
        told = ", ".join(f"{count} for {size} cases" for size, count in by_size.items())
        print(f"SQL statements of a {caller}'s page: {told}")
    _write("statements", {"statements": found})
    return 0 if statements.is_well(found) else 1


def _growth(arguments: argparse.Namespace, where: processes.Cores) -> int:
    with contextlib.ExitStack() as stack:
        towns = [
            stack.enter_context(
                Town(
                    cases=cases,
                    citizens=cases // 10,
                    where=where,
                    filled_by=growth.FILLED_BY,
                    name="growth",
                )
            )
            for cases in growth.SIZES
        ]
        busy_before = _busy()
        found = growth.measure(towns, rounds=arguments.rounds, seconds=arguments.seconds)
    print(growth.table(found))
    print(f"\nLoad of the machine {busy_before} → {_busy()}")
    _write("growth", {"asked": vars(arguments), "growth": growth.as_json(found)})
    return 0


def _push(arguments: argparse.Namespace, where: processes.Cores) -> int:
    busy_before = _busy()
    with Town(cases=push.CASES, citizens=push.CITIZENS, where=where) as town:
        found = push.measure(
            town, rounds=arguments.rounds, subscribers=arguments.subscribers, events=arguments.events
        )
    medians = push.summary(found)
    print(push.table(medians))
    print(f"\n{arguments.subscribers:,} subscribers; load of the machine {busy_before} → {_busy()}")
    _write("push", {"asked": vars(arguments), "load": [busy_before, _busy()], "medians": medians})
    return 0 if push.is_well(medians) else 1


def _figures() -> int:
    found = figures.measure()
    print(figures.table(found))
    _write("figures", {"figures": figures.as_json(found)})
    return 0


def _wakeups(arguments: argparse.Namespace) -> int:
    busy_before = _busy()
    found = wakeups.measure(rounds=arguments.rounds, seconds=arguments.seconds)
    print(wakeups.table(found))
    print(f"\nLoad of the machine {busy_before} → {_busy()}")
    _write("wakeups", {"asked": vars(arguments), "wakeups": wakeups.as_json(found)})
    return 0


def _write(name: str, found: dict[str, object]) -> None:
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    now = datetime.now(UTC)
    file = BUILD / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    about = {"at": now.isoformat(), "commit": commit.stdout.strip(), "python": platform.python_version()}
    file.write_text(json.dumps(about | found, indent=2) + "\n")
    print(f"Figures in {file.relative_to(ROOT)}")


def _busy() -> str:
    return Path("/proc/loadavg").read_text("ascii").split()[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=["speed", "statements", "figures", "growth", "wakeups", "push"],
        default="speed",
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--citizens", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one round of one server and operation")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--subscribers", type=int, default=5_000, help="of live push")
    parser.add_argument("--events", type=int, default=10, help="of one round of live push")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
