"""`python -m loket.sandbox --config FILE`: the outside world, until SIGTERM."""

import argparse
import asyncio
import json
from pathlib import Path

from loket.sandbox.house import run
from loket.sandbox.system import Config


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loket.sandbox", description=__doc__)
    parser.add_argument("--config", type=Path, help="sandbox.json; without it, everything has its default")
    file = parser.parse_args().config
    asyncio.run(run(Config.of(json.loads(file.read_text("utf-8")) if file else {})))


if __name__ == "__main__":
    main()
