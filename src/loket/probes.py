"""What machines ask about the processes: is it alive, can it serve, and what are its numbers.

An API without a worker is degraded and not unready: it takes applications as ever, and what follows waits in
the tables. A balancer that took it away would close the door to citizens for no gain.
"""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import orjson
import psycopg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from loket import migrations
from loket.app import Loket
from loket.database import Database
from loket.metrics import Metrics
from loket.pulse import SILENT_SECONDS

logger = logging.getLogger(__name__)

NOT_KEPT = {"Cache-Control": "no-store"}
PROBE_SECONDS = 5.0
"""How long somebody may take to ask a worker's port something."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(loket: Loket) -> list[Route]:
    """`/livez`, `/readyz` and `/metrics` of an API process."""
    ready, metrics = Ready(loket.database), Metrics(loket.database)
    token = loket.settings.metrics_token
    is_open = not token and not loket.settings.production

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n", headers=NOT_KEPT)

    async def readiness(_: Request) -> Response:
        fine, told = await ready.look()
        return Response(orjson.dumps(told) + b"\n", 200 if fine else 503, NOT_KEPT, "application/json")

    async def numbers(request: Request) -> Response:
        said = request.headers.get("authorization", "")
        if not is_open and not (token and hmac.compare_digest(said.encode(), f"Bearer {token}".encode())):
            return PlainTextResponse("Not Found", 404, NOT_KEPT)  # who has no token learns of nothing
        return Response(await metrics.text(), headers=NOT_KEPT, media_type=METRICS_TYPE)

    return [Route("/livez", live), Route("/readyz", readiness), Route("/metrics", numbers)]


class Ready:
    """Ready when the database answers and has all tables; these are looked at until they are there.

    A process that saw them once goes on: an upgrade happens while the old one still serves.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._migrated = False

    async def look(self) -> tuple[bool, dict[str, object]]:
        """Whether it is, and part by part what is."""
        told: dict[str, object] = {"ready": False, "database": "ok", "migrations": "ok", "degraded": []}
        if not await self._database.ping():
            return False, told | {"database": "does not answer", "migrations": "not known"}
        if not self._migrated:
            url = self._database.url.render_as_string(hide_password=False)
            with contextlib.suppress(migrations.MigrationError):
                self._migrated = not await asyncio.to_thread(migrations.pending, url)
        if not self._migrated:
            return False, told | {"migrations": "the database lacks tables: run `loket migrate`"}
        alive = await self._workers()
        degraded = (
            [] if alive else [f"no worker has been heard of for {SILENT_SECONDS:g} s: run `loket work`"]
        )
        return True, told | {"ready": True, "workers": alive, "degraded": degraded}

    async def _workers(self) -> int | None:
        """How many are alive; None where that cannot be read."""
        try:
            async with self._database.reader() as reader:
                row = await (await reader.execute(ALIVE, {"silent": SILENT_SECONDS})).fetchone()
        except psycopg.Error:
            logger.warning("workers could not be counted", exc_info=True)
            return None
        return row[0] if row else None


# --- a worker, which has no doors -----------------------------------------------------------------


@contextlib.asynccontextmanager
async def answering(host: str, port: int, wrong: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Answer whoever asks a worker how it is over HTTP: 200, or 503 with what `wrong` says.

    `/livez` says only that the event loop turns.

    Raises:
        OSError: the port is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(PROBE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                fault = "" if head.split(b" ", 2)[1:2] == [b"/livez"] else await wrong()
                status = HTTPStatus.SERVICE_UNAVAILABLE if fault else HTTPStatus.OK
                body = f"{fault or 'ok'}\n".encode()
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port)
    async with server:
        yield


ALIVE = """
    SELECT count(*) FROM process
     WHERE kind = 'WORKER' AND beat_at > now() - make_interval(secs => %(silent)s)
"""
