"""One caller of the public API: asks over HTTP, follows over a socket, comes back when the line breaks."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import httpx2
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

Json = dict[str, Any]

PAUSE_SECONDS = 0.25
"""Between a request that got no answer and the next one."""
NO_ANSWER = (httpx2.TransportError, OSError)
AGAIN_LATER = frozenset({429, 502, 503, 504})


class Refused(Exception):
    """The API said no to a wish. `code` is that of the first error, `errors` has them all."""

    def __init__(self, field: str, errors: list[Json]) -> None:
        self.code = str(errors[0]["code"])
        self.errors = errors
        told = "; ".join(
            f"{one['code']} {'/'.join(one.get('path') or [])} {one['message']}".replace("  ", " ")
            for one in errors
        )
        super().__init__(f"{field} was refused: {told}")


class Broken(Exception):
    """The API answered with a fault of the request or of its own."""


class Client:
    """Speaks for one person: with a Bearer `token`, or with the cookies of a signed-in browser.

    A request that gets no answer is sent again for `patience_seconds`, as it was, idempotency key included.
    """

    def __init__(
        self, url: str, *, http: httpx2.AsyncClient, token: str | None = None, patience_seconds: float = 60.0
    ) -> None:
        self.url = url
        self.http = http
        self.token = token
        self.patience_seconds = patience_seconds

    async def ask(self, document: str, /, **variables: object) -> Json:
        """The data of a query or mutation.

        Raises:
            Broken: the API found fault with the request, or with itself.
            TimeoutError: it did not answer for as long as we were willing to ask.
        """
        body = orjson.dumps({"query": document, "variables": variables})
        answer = await self._send(body)
        try:
            told: Json = orjson.loads(answer.content)
        except orjson.JSONDecodeError as fault:
            raise Broken(f"{answer.status_code}: {answer.text[:300]}") from fault
        if told.get("errors") or "data" not in told:
            raise Broken(f"{answer.status_code}: {orjson.dumps(told.get('errors') or told).decode()}")
        data: Json = told["data"]
        return data

    async def do(self, field: str, document: str, /, **variables: object) -> Json:
        """The payload of a mutation; a system that is away for a moment is asked again.

        Raises:
            Refused: with what the API had against it.
            Broken, TimeoutError: as `ask`.
        """
        until = time.monotonic() + self.patience_seconds
        while True:
            payload: Json = (await self.ask(document, **variables))[field]
            errors = payload.get("errors")
            if not errors:
                return payload
            refused = Refused(field, errors)
            if refused.code != "SYSTEM_UNAVAILABLE" or time.monotonic() > until:
                raise refused
            await asyncio.sleep(PAUSE_SECONDS)

    async def put(self, url: str, content: bytes, media_type: str) -> int:
        """Send a file to where the API said; the status of the answer."""
        until = time.monotonic() + self.patience_seconds
        while True:
            try:
                answer = await self.http.put(url, content=content, headers={"Content-Type": media_type})
                if answer.status_code not in AGAIN_LATER:
                    return answer.status_code
            except NO_ANSWER:
                pass
            await self._wait(until, url)

    async def get(self, url: str) -> bytes:
        """A file from where the API said.

        Raises:
            Broken: there is none.
        """
        answer = await self.http.get(urljoin(self.url, url), headers=self._headers())
        if answer.status_code != 200:
            raise Broken(f"{answer.status_code} for a file")
        return answer.content

    async def _send(self, body: bytes) -> httpx2.Response:
        until = time.monotonic() + self.patience_seconds
        while True:
            try:
                answer = await self.http.post(f"{self.url}/graphql", content=body, headers=self._headers())
                if answer.status_code not in AGAIN_LATER:
                    return answer
            except NO_ANSWER:
                pass
            await self._wait(until, self.url)

    async def _wait(self, until: float, what: str) -> None:
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not answer for {self.patience_seconds:g} s")
        await asyncio.sleep(PAUSE_SECONDS)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept-Language": "en"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        else:
            headers["Origin"] = self.url  # as a browser does; a cookie is taken from our own pages only
        return headers

    # ------------------------------------------------------------------ following

    async def follow(
        self, field: str, document: str, /, after: str, **variables: object
    ) -> AsyncGenerator[Json, None]:
        """The events of a subscription, from the cursor `after` on; a broken line is taken up where it broke.

        The field must be asked for its `cursor`.

        Raises:
            Broken: the subscription was refused.
        """
        while True:
            try:
                async with aclosing(self._events(field, document, {**variables, "after": after})) as events:
                    async for event in events:
                        after = event["cursor"]
                        yield event
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(PAUSE_SECONDS)

    async def _events(
        self, field: str, document: str, variables: Mapping[str, object]
    ) -> AsyncGenerator[Json, None]:
        address = f"ws{self.url.removeprefix('http')}/graphql"
        socket = connect(
            address,
            subprotocols=[Subprotocol("graphql-transport-ws")],
            additional_headers=self._cookies(),
            origin=None if self.token else self.url,  # type: ignore[arg-type]  # a str with a name of its own
            compression=None,
            proxy=None,
        )
        async with socket as line:
            hello = {"language": "en"} | ({"authorization": f"Bearer {self.token}"} if self.token else {})
            await line.send(orjson.dumps({"type": "connection_init", "payload": hello}).decode())
            async for text in line:
                message = orjson.loads(text)
                match message["type"]:
                    case "connection_ack":
                        asked = {"query": document, "variables": variables}
                        subscribe = {"id": uuid4().hex, "type": "subscribe", "payload": asked}
                        await line.send(orjson.dumps(subscribe).decode())
                    case "ping":
                        await line.send('{"type":"pong"}')
                    case "next":
                        if message["payload"].get("errors"):
                            raise Broken(f"{field}: {message['payload']['errors']}")
                        yield message["payload"]["data"][field]
                    case "error":
                        raise Broken(f"{field}: {message['payload']}")
                    case "complete":
                        raise InvalidHandshake("the stream ended")
                    case _:  # a pong
                        pass

    def _cookies(self) -> dict[str, str]:
        if self.token is not None:
            return {}
        return {"Cookie": "; ".join(f"{one.name}={one.value}" for one in self.http.cookies.jar)}
