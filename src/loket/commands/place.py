"""Where a command is given: the settings and the database of this place, and how it answers."""

import argparse
import asyncio
import os
import pkgutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import uvloop

from loket import migrations, supervisor
from loket.installation import Installation, InstallationError, prepare
from loket.settings import Settings

T = TypeVar("T")
Command = Callable[[argparse.Namespace], int]
"""Carries out what was asked, and answers the exit code."""


class Offer(Protocol):
    def __call__(self, command: Command, about: str, *, add_help: bool = True) -> argparse.ArgumentParser:
        """Put `command` on the command line under its own name; its arguments go into the answer."""


def settings_here() -> Settings:
    """Those of the environment."""
    return Settings.from_environment()


def own_settings() -> Settings:
    """Those of this place where Loket was started here before; else of the environment: nothing is made."""
    settings = settings_here()
    return installation(sandbox=None).settings if (Path(settings.home) / "loket.env").exists() else settings


def installation(sandbox: bool | None) -> Installation:
    """What stands here, made where it is not there yet. `sandbox` None: with one, unless in production.

    Raises:
        InstallationError: a sandbox is asked for in production.
    """
    home = Path(settings_here().home)
    alone = prepare(home, os.environ, sandbox=False)
    production = alone.settings.production
    if production and sandbox:
        raise InstallationError("LOKET_PRODUCTION is set: no sandbox, and none of its secrets")
    with_sandbox = not production if sandbox is None else sandbox
    return prepare(home, os.environ, sandbox=True) if with_sandbox else alone


def database_url() -> str:
    """Of the database that is there now. Raises `InstallationError` where there is none."""
    settings = own_settings()
    if settings.database_url:
        return settings.database_url
    running = supervisor.find(Path(settings.home))
    if running is None:
        raise InstallationError("no database: set LOKET_DATABASE_URL, or let `loket run` start its own")
    return running.database_url


def up_to_date(url: str) -> str:
    """`url`. Raises `InstallationError` where that database lacks tables of this Loket."""
    if migrations.pending(url):
        raise InstallationError("the database is behind: run `loket migrate`")
    return url


def part(name: str) -> Any:  # noqa: ANN401  # each caller says what it gets
    """A command's own part of Loket, so that no process carries what it does not use."""
    return pkgutil.resolve_name(name)


def carried_out(job: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(job)


def told_of_each(job: Coroutine[Any, Any, list[tuple[str, bool]]]) -> int:
    """Carry out `job` and say what it answers of each file. Exit code 1 when one was refused."""
    told = carried_out(job)
    for line, _ in told:
        say(line)
    return 0 if all(taken for _, taken in told) else 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
