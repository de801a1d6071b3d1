"""Many WebSockets in one process, as light as they can be: when each got which event.

    python followers.py < JSON: {"port", "tokens", "messages": [the subscribe message of each]}

Says `ready` when all follow. Then for each line on its input, the event's sign, it waits until all have that
event and says, as JSON, when each got it (CLOCK_MONOTONIC seconds; the clock of all processes of a machine).
"""

import asyncio
import json
import resource
import struct
import sys
import time
from typing import Any

import uvloop

AT_ONCE = 50
"""Connections made at the same time."""
EVENT_SECONDS = 120.0
SIGN = b'"id":"'
PAYLOAD = b'"payload":{"data":'


class Follower(asyncio.Protocol):
    """A client of graphql-transport-ws that answers pings and looks at nothing but the event's id."""

    def __init__(self, all: "Followers", token: str, message: bytes) -> None:
        self._all = all
        self._token = token
        self._message = message
        self._rest = b""
        self._open = False
        self.following: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # asyncio's
        self._transport = transport
        transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._rest + data
        if not self._open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._open = True
            said = {"authorization": f"Bearer {self._token}"} if self._token else {}
            self._send(1, json.dumps({"type": "connection_init", "payload": said}).encode())
        place = 0
        while len(data) - place >= 2:
            kind, size = data[place] & 15, data[place + 1]
            start = place + 2
            if size == 126:
                size, start = (
                    struct.unpack_from("!H", data, start)[0] if len(data) >= start + 2 else 0,
                    start + 2,
                )
            if len(data) < start + size:
                break
            self._hear(kind, data[start : start + size], now)
            place = start + size
        self._rest = data[place:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.lost += 1
        if not self.following.done():
            self.following.set_exception(exc or ConnectionError("closed"))

    def _hear(self, kind: int, said: bytes, now: float) -> None:
        if kind == 9:
            self._send(10, said)
        elif kind == 1 and PAYLOAD in said:
            start = said.index(SIGN, said.index(PAYLOAD)) + len(SIGN)
            self._all.hear(said[start : said.index(b'"', start)], now)
        elif kind == 1 and b"connection_ack" in said:
            self._send(1, self._message)
            self.following.set_result(None)
        elif kind == 1 and b'"error"' in said:
            raise RuntimeError(said)

    def _send(self, kind: int, said: bytes) -> None:
        size = len(said)
        head = bytes([128 | kind, 128 | size]) if size < 126 else struct.pack("!BBH", 128 | kind, 254, size)
        self._transport.write(head + bytes(4) + said)  # a mask of zeros masks nothing


class Followers:
    def __init__(self) -> None:
        self.lost = 0
        self._heard: dict[bytes, list[float]] = {}

    def hear(self, sign: bytes, now: float) -> None:
        self._heard.setdefault(sign, []).append(now)

    async def run(self, asked: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        room, tokens = asyncio.Semaphore(AT_ONCE), asked["tokens"]

        async def open(number: int, message: str) -> None:
            async with room:
                token = tokens[number % len(tokens)] if tokens else ""
                _, one = await loop.create_connection(
                    lambda: Follower(self, token, message.encode()), "127.0.0.1", asked["port"]
                )
                await one.following

        await asyncio.gather(*(open(number, one) for number, one in enumerate(asked["messages"])))
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            sign, wanted = line.strip().encode(), len(asked["messages"])
            end = time.monotonic() + EVENT_SECONDS
            while len(self._heard.get(sign, ())) < wanted and time.monotonic() < end:  # noqa: ASYNC110  # cheap
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)  # what comes twice comes soon
            print(json.dumps({"heard": self._heard.pop(sign, []), "lost": self.lost}), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Followers().run(json.loads(sys.stdin.readline())))
