"""The outside world in small: alone, a token of one who lives there, and a walk through it."""

import argparse
import os
import sys
from pathlib import Path

from loket import supervisor
from loket.commands.place import Offer, installation, part, say, settings_here


def offer(add: Offer) -> None:
    add(sandbox, "the outside world in small, alone")
    one = add(token, "a Bearer token of the sandbox")
    one.add_argument(
        "--as",
        dest="persona",
        default="citizen",
        help=f"{', '.join(supervisor.PERSONAS)}, or a persona's name",
    )
    add(walk, "walk a procedure from end to end", add_help=False)


def sandbox(_arguments: argparse.Namespace) -> int:
    here = installation(sandbox=True)
    say(f"Sandbox desk: http://127.0.0.1:{here.sandbox_port}")
    os.execv(  # noqa: S606  # our own module, no shell
        sys.executable, [sys.executable, "-m", "loket.sandbox", "--config", str(here.sandbox_file)]
    )


def token(arguments: argparse.Namespace) -> int:
    running = supervisor.find(Path(settings_here().home))
    if running is None:
        raise supervisor.SandboxError(f"Loket does not run here: start it with `{supervisor.command()}`")
    sys.stdout.write(supervisor.token(running, arguments.persona) + "\n")
    return 0


def walk(arguments: argparse.Namespace) -> int:
    """It reads its own arguments: `rest`."""
    code: int = part("loket.walk:main")(arguments.rest, installation(sandbox=True))
    return code
