"""`python -m loket.sandbox --config FILE`: the outside world, until SIGTERM."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from loket.sandbox.house import run
from loket.sandbox.system import Config


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loket.sandbox", description=__doc__)
    parser.add_argument("--config", type=Path, help="sandbox.json; without it, everything has its default")
    file = parser.parse_args().config
    config = Config.of(json.loads(file.read_text("utf-8")) if file else {})
    try:
        asyncio.run(run(config))
    except OSError as fault:
        sys.exit(f"sandbox: {fault}")


if __name__ == "__main__":
    main()
