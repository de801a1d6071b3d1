"""Processes of Loket: all that one machine needs, replaced while it works, or one alone."""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from loket import parting, supervisor, thrift
from loket.children import say_ready
from loket.commands.place import Offer, carried_out, installation, part, say, settings_here


def offer(add: Offer) -> None:
    one = add(run, "everything on one machine")
    one.add_argument(
        "--sandbox", action=argparse.BooleanOptionalAction, help="default: yes, unless in production"
    )
    one.add_argument("--api", type=int, default=1, metavar="N", help="API processes (default 1)")
    one.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (default 1)")
    add(roll, "replace the processes of what runs here by new ones, while it works")
    one = add(serve, "one API process")
    one.add_argument("--fd", type=int, help="a listening socket that the starter hands over")
    one.add_argument("--ready", type=int, help="a pipe of the starter's, for a word when requests are taken")
    one = add(work, "one worker process")
    one.add_argument("--probe-port", type=int, metavar="PORT", help="answer /livez and /readyz here")
    one.add_argument("--ready", type=int, help="a pipe of the starter's, for a word when work is taken up")


def run(arguments: argparse.Namespace) -> int:
    here = installation(arguments.sandbox)
    found = supervisor.find(here.home)
    if found is not None:
        say(f"Loket runs already (process {found.pid}): {found.graphql}")
        return 1
    supervisor.Supervisor(here, api=arguments.api, workers=arguments.workers, tell=say).run()
    return 0


def roll(_arguments: argparse.Namespace) -> int:
    """Exit code 1 when the processes were not replaced."""
    trouble = supervisor.roll(Path(settings_here().home))
    say(f"not rolled: {trouble}" if trouble else "rolled")
    return 1 if trouble else 0


def serve(arguments: argparse.Namespace) -> int:
    thrift.begin()
    settings = settings_here()
    served: bool = part("loket.serving:serve")(
        part("loket.web:asgi"),
        host=settings.host,
        port=settings.port,
        fd=arguments.fd,
        ready=partial(_at_work, arguments.ready),
    )
    return 0 if served else 1


def work(arguments: argparse.Namespace) -> int:
    thrift.begin()
    job: Callable[..., Coroutine[Any, Any, None]] = part("loket.worker:run")
    ready = partial(_at_work, arguments.ready)
    carried_out(until_told(job(settings_here(), probe_port=arguments.probe_port, ready=ready)))
    return 0


def _at_work(pipe: int | None) -> None:
    thrift.settle()
    say_ready(pipe)


async def until_told(job: Coroutine[Any, Any, None]) -> None:
    """Run `job` to its end; SIGTERM and SIGINT cancel it, and it may take its time to finish."""
    task = asyncio.ensure_future(job)
    loop = asyncio.get_running_loop()

    def told() -> None:
        parting.begin()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    with contextlib.suppress(asyncio.CancelledError):
        await task
