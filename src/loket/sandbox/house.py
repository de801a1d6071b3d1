"""Starts the whole outside world in one process: one server per system, one asyncio loop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from loket.sandbox import (
    accounting,
    acmidm,
    desk,
    dosis,
    ebox,
    magda,
    minutes,
    notificaties,
    planning,
    sips,
    sms,
    smtp,
    subscriber,
    worldline,
)
from loket.sandbox.faults import Front, Line, sim_routes
from loket.sandbox.state import State
from loket.sandbox.system import Config, Service, System

# fmt: off
SYSTEMS: tuple[System, ...] = (
    acmidm.SYSTEM,
    magda.SYSTEM,
    dosis.SYSTEM,
    notificaties.SYSTEM,
    worldline.SYSTEM,
    accounting.SYSTEM,
    planning.SYSTEM,
    sms.SYSTEM,
    smtp.SYSTEM,
    minutes.SYSTEM,
    ebox.SYSTEM,
    sips.SYSTEM,
    subscriber.SYSTEM,
)
# fmt: on
"""In the order of their ports. A new system is a line here; the desk stands before them all."""


TICK_SECONDS = 1.0
"""How old the Date header of an answer may be."""


class House:
    """The running systems, their states and their addresses.

    Port 0 takes a free port for each; else each takes the configured port plus its offset. All ports are
    bound before any system is made, so that each knows where the others are.
    """

    def __init__(self, config: Config, systems: tuple[System, ...] = SYSTEMS) -> None:
        systems = (desk.desk(systems), *systems)
        self._systems = systems
        self._listeners = {
            system.name: _bound(config.host, config.port and config.port + system.offset)
            for system in systems
        }
        urls = {
            system.name: f"{system.scheme}://{config.host}:{self._listeners[system.name].getsockname()[1]}"
            for system in systems
        }
        self.states = {system.name: State(_file(config, system)) for system in systems}
        self.config = replace(config, urls=urls, states=self.states)
        self._servers: list[_Server] = []
        self._serving: list[asyncio.Task[None]] = []
        self._services: list[Service] = []

    async def start(self) -> None:
        """Answers when every system listens."""
        for system in self._systems:
            state, listener = self.states[system.name], self._listeners[system.name]
            if system.service is not None:
                service = system.service(self.config, state)
                await service.start(listener)
                self._services.append(service)
            if system.app is not None:
                app = system.app(self.config, state)
                app.router.routes.extend(sim_routes(state))
                server = _server(Front(app, state) if system.watched else app)
                self._servers.append(server)
                self._serving.append(asyncio.create_task(server.serve([listener]), name=system.name))
        while not all(server.started for server in self._servers):
            for task in self._serving:
                if task.done():
                    task.result()
                    raise RuntimeError(f"{task.get_name()} did not start")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for server in self._servers:
            server.stop()
        await asyncio.gather(*self._serving)
        for service in self._services:
            await service.stop()
        for listener in self._listeners.values():
            listener.close()
        for state in self.states.values():
            state.close()


@asynccontextmanager
async def sandbox(
    config: Config | Mapping[str, Any], systems: tuple[System, ...] = SYSTEMS
) -> AsyncIterator[House]:
    """The outside world for as long as the block lasts. `config` as in the file; port 0 takes free ports.

    `house.config.urls["magda"]` is where MAGDA listens, `house.states["magda"]` what it remembers.
    """
    house = House(config if isinstance(config, Config) else Config.of(config), systems)
    await house.start()
    try:
        yield house
    finally:
        await house.stop()


async def run(config: Config) -> None:
    """Until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_, stopping.set)
    async with sandbox(config):
        await stopping.wait()


class _Server(uvicorn.Server):
    """Leaves the signals to the house, since many servers share its process; stops at once when told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told_to_stop = asyncio.Event()

    def stop(self) -> None:
        self._told_to_stop.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not self._told_to_stop.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_stop.wait(), TICK_SECONDS)


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=Line,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )


def _bound(host: str, port: int) -> socket.socket:
    # Named as TCP, so that asyncio sends at once: else headers and body of an answer lie 40 ms apart.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {fault.strerror}") from fault
    listener.setblocking(False)
    return listener


def _file(config: Config, system: System) -> str:
    if config.state == ":memory:":
        return config.state
    folder = Path(config.state)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{system.name}.sqlite")
