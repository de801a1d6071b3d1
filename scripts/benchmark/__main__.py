"""`scripts/bench`: how fast Loket answers, and with how many statements."""

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmark import load, processes, speed
from benchmark.town import BUILD, ROOT, Town


def main() -> int:
    arguments = _arguments()
    where = processes.cores()
    with contextlib.ExitStack() as stack:
        town = stack.enter_context(Town(cases=arguments.cases, citizens=arguments.citizens, where=where))
        return _speed(arguments, town, stack)


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
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--citizens", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one round of one server and operation")
    parser.add_argument("--clients", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
