"""Those who listen: over SSE or a socket, cut off by the storm or by themselves, back with their cursor."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import httpx2
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from storm.clients import Client, Json

QUERIES = {
    "staff": ("workQueueEvents", ""),
    "citizen": ("viewerEvents", ""),
    "case": ("caseEvents", "reference: $reference, "),
}
BACK_SECONDS = (0.1, 2.0)
"""Before a listener comes back."""


class Cut(Exception):
    """The stream ended."""


class Listener:
    """One subscriber; `heard` is told of each event."""

    def __init__(
        self,
        name: str,
        client: Client,
        about: str,
        *,
        socket: bool,
        after: str | None = None,
        restless: float = 0.0,
        sees: Sequence[str] = (),
        heard: Callable[[Json], None] = lambda _: None,
    ) -> None:
        """`about`: staff, citizen or case. `restless`: goes away by itself after so many seconds or so.

        `sees`: the procedures of the departments of staff.
        """
        self.name = name
        self.client = client
        self.about = about
        self.reference = ""
        """Of a case, once there is one."""
        self.socket = socket
        self.after = after
        self.restless = restless
        self.sees = sees
        self.connection = 0
        self.events = 0
        self._heard = heard
        self._field, argument = QUERIES[about]
        declared = "$reference: String!, " if argument else ""
        self._document = (
            f"subscription Listen({declared}$after: Cursor) {{ {self._field}({argument}after: $after)"
            " { id cursor type status occurredAt case { reference } } }"
        )

    async def listen(self) -> None:
        """Until cancelled."""
        ledger = self.client.post.ledger
        while True:
            self.connection += 1
            ledger.write(
                "connected", subscriber=self.name, connection=self.connection, after=self.after,
                about=f"{self.about} {self.reference or self.client.who}", sees=self.sees,
            )  # fmt: skip
            why = "by itself"
            try:
                async with (
                    asyncio.timeout(self._patience()),
                    aclosing(self._events()) as events,
                ):
                    async for event in events:
                        self._take(event)
            except Cut as cut:
                why = str(cut)
            except (
                OSError,
                httpx2.HTTPError,
                WebSocketException,
                TimeoutError,
            ) as fault:
                why = f"{type(fault).__name__} {fault}"
            ledger.write("cut", subscriber=self.name, connection=self.connection, why=why[:300])
            await asyncio.sleep(random.uniform(*BACK_SECONDS))

    def _patience(self) -> float | None:
        return random.expovariate(1 / self.restless) if self.restless else None

    def _take(self, event: Json) -> None:
        self.events += 1
        self.after = event["cursor"]
        told = {name: event[name] for name in ("id", "cursor", "type", "status")}
        told["reference"] = event["case"]["reference"]
        self.client.post.ledger.write("seen", subscriber=self.name, connection=self.connection, event=told)
        self._heard(told)

    def _events(self) -> AsyncGenerator[Json, None]:
        return self._over_socket() if self.socket else self._over_sse()

    def _asked(self) -> Json:
        about = {"reference": self.reference} if self.reference else {}
        return {"query": self._document, "variables": about | {"after": self.after}}

    async def _over_sse(self) -> AsyncGenerator[Json, None]:
        post = self.client.post
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Authorization": f"Bearer {self.client.token}",
        }
        stream = post.http.stream(
            "POST",
            f"{post.url}/graphql",
            content=orjson.dumps(self._asked()),
            headers=headers,
            timeout=40.0,
        )
        async with stream as answer:
            if answer.status_code == 401:
                self.client.token = (await post.sign_in(self.client.who)).token
            if "text/event-stream" not in answer.headers.get("content-type", ""):
                raise Cut(f"{answer.status_code} {(await answer.aread())[:200]!r}")
            async for line in answer.aiter_lines():
                if line.startswith("event: complete"):
                    raise Cut("complete")
                if line.startswith("data: {"):
                    told = orjson.loads(line.removeprefix("data: "))
                    if told.get("errors"):
                        raise Cut(f"{told['errors']}")
                    yield told["data"][self._field]
        raise Cut("the stream ended")

    async def _over_socket(self) -> AsyncGenerator[Json, None]:
        line = connect(
            f"ws{self.client.post.url.removeprefix('http')}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            proxy=None,
        )
        async with line as socket:
            hello = {
                "type": "connection_init",
                "payload": {"authorization": f"Bearer {self.client.token}"},
            }
            await socket.send(orjson.dumps(hello).decode())
            async for text in socket:
                told = orjson.loads(text)
                match told["type"]:
                    case "connection_ack":
                        wish = {
                            "id": "1",
                            "type": "subscribe",
                            "payload": self._asked(),
                        }
                        await socket.send(orjson.dumps(wish).decode())
                    case "ping":
                        await socket.send('{"type":"pong"}')
                    case "next":
                        if told["payload"].get("errors"):
                            raise Cut(f"{told['payload']['errors']}")
                        yield told["payload"]["data"][self._field]
                    case "error" | "complete":
                        raise Cut(f"{told['type']} {told.get('payload')}")
                    case _:  # a pong
                        pass
        raise Cut("the socket closed")
