"""The least that a server can do: who asks by their token, one prepared statement, its bytes sent on.

An ASGI application without framework, routing or GraphQL, for uvicorn with the options of `loket serve`. It
shows each caller what Loket would show them. Configured by the file that FLOOR names.
"""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from starlette.types import Receive, Scope, Send

CONFIG = orjson.loads(Path(os.environ["FLOOR"]).read_bytes()) if "FLOOR" in os.environ else {}
CONNECTIONS = 10
HEADERS = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept"),
    (b"x-content-type-options", b"nosniff"),
]

Run = Callable[[str, list[Any]], Awaitable[bytes]]


class Raw(Loader):
    def load(self, data: Buffer) -> bytes:
        return bytes(data)


@asynccontextmanager
async def with_psycopg(url: str) -> AsyncIterator[Run]:
    """Over the driver that Loket has."""
    free: asyncio.LifoQueue[AsyncRawCursor[Any]] = asyncio.LifoQueue()
    opened = []
    for _ in range(CONNECTIONS):
        connection = await AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
        connection.adapters.register_loader("json", Raw)
        opened.append(connection)
        free.put_nowait(AsyncRawCursor(connection))

    async def run(statement: str, parameters: list[Any]) -> bytes:
        cursor = await free.get()
        try:
            await cursor.execute(statement, parameters)
            row = await cursor.fetchone()
        finally:
            free.put_nowait(cursor)
        assert row is not None
        found: bytes = row[0]
        return found

    yield run
    for connection in opened:
        await connection.close()


@asynccontextmanager
async def with_asyncpg(url: str) -> AsyncIterator[Run]:
    """Over the fastest driver there is, where it is installed."""
    asyncpg = importlib.import_module("asyncpg")

    options = psycopg.conninfo.conninfo_to_dict(url)
    free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    opened = []
    for _ in range(CONNECTIONS):
        connection = await asyncpg.connect(
            host=options.get("host"), port=options.get("port"), user=options["user"],
            database=options["dbname"], password=options.get("password"),
        )  # fmt: skip
        opened.append(connection)
        free.put_nowait((connection, {}))

    async def run(statement: str, parameters: list[Any]) -> bytes:
        connection, prepared = one = await free.get()
        try:
            known = prepared.get(statement)
            if known is None:
                known = prepared[statement] = await connection.prepare(statement)
            found: str = await known.fetchval(*parameters)
        finally:
            free.put_nowait(one)
        return found.encode()

    yield run
    for connection in opened:
        await connection.close()


class Floor:
    def __init__(self) -> None:
        self.operations: dict[str, Any] = CONFIG["operations"]
        self.callers: dict[str, dict[str, Any]] = CONFIG["callers"]
        self.open = {"psycopg": with_psycopg, "asyncpg": with_asyncpg}[CONFIG["driver"]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        status, body = 200, b"{}"
        if scope["method"] == "POST":
            status, body = await self.answer(scope, receive)
        headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        operation = self.operations[scope["path"][1:]]
        token = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode()
        caller = self.callers.get(token[7:])
        if caller is None or (operation["staff"] and not caller["is_staff"]):
            return 401, b"{}"
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        variables = orjson.loads(body)["variables"]
        variables["caller"] = caller["key"]
        parameters = [variables[name] for name in operation["parameters"]]
        found = await self.run(operation["statement"], parameters)
        return 200, b'{"data":' + found + b"}"

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.open(CONFIG["database_url"]) as self.run:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


if CONFIG:
    app = Floor()
