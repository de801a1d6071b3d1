"""Those who ask: as often as it takes, each wish with its own key; and the sandbox's own people, as stubborn.

What went out and what came back is written down before anybody goes on.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import orjson

from loket.walk.browser import LostError
from storm.ledger import Ledger

Json = dict[str, Any]
Found = TypeVar("Found")

PAUSES = (0.2, 0.4, 0.8, 1.5, 3.0)
"""Seconds before a request is sent again."""
REQUEST_SECONDS = 20.0


class Refused(Exception):
    """Loket understood, and said no."""

    def __init__(self, field: str, errors: list[Json]) -> None:
        self.codes = [str(one["code"]) for one in errors]
        super().__init__(f"{field}: {', '.join(self.codes)}: {errors[0].get('message')}")


class Faulted(Exception):
    """The request itself is wrong, or nobody may do so: sending it again is of no use."""


class GaveUp(Exception):
    """No answer until the end of the run."""


class Post:
    """What all clients share: the line, the ledger, and until when they go on asking."""

    no_answer = (httpx2.HTTPError, OSError)

    def __init__(self, url: str, acm: str, http: httpx2.AsyncClient, ledger: Ledger, until: float) -> None:
        self.url = url
        self.acm = acm
        self.http = http
        self.ledger = ledger
        self.until = until
        """On the clock of `time.monotonic`."""
        self.answered_at = time.monotonic()
        self.faulted = 0
        self.unanswered = 0
        self.numbers = itertools.count(1)

    async def sign_in(self, who: str) -> "Client":
        """Raises `GaveUp`."""

        async def ask() -> str:
            answer = await self.http.get(f"{self.acm}/sim/token", params={"persona": who})
            answer.raise_for_status()
            return str(answer.json()["access_token"])

        return Client(self, who, await self.stubborn(ask, f"a token for {who}"))

    async def stubborn(self, do: Callable[[], Awaitable[Found]], what: str) -> Found:
        """At the sandbox, which may be down or lose its answer. Raises `GaveUp`."""
        last: Exception | None = None
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                return await do()
            except (httpx2.HTTPError, OSError, LostError, json.JSONDecodeError) as fault:
                last = fault
            await self.wait(pause, f"{what}: {type(last).__name__} {last}")
        raise AssertionError

    async def wait(self, pause: float, what: str) -> None:
        if time.monotonic() > self.until:
            raise GaveUp(what)
        await asyncio.sleep(pause * random.uniform(0.7, 1.3))


class Client:
    """One person, with a Bearer token. A lapsed one is replaced, as an app does."""

    def __init__(self, post: Post, who: str, token: str) -> None:
        self.post = post
        self.who = who
        self.token = token

    async def ask(self, document: str, /, **variables: object) -> Json:
        """The data of a query. Raises `Faulted`, `GaveUp`."""
        body = orjson.dumps({"query": document, "variables": variables})
        return await self._until_answered(body, None, "", None)

    async def do(self, field: str, document: str, /, **variables: object) -> Json:
        """The payload of a mutation. Raises `Refused`, `Faulted`, `GaveUp`."""
        post, call, key = (
            self.post,
            next(self.post.numbers),
            variables.get("idempotencyKey"),
        )
        body = orjson.dumps({"query": document, "variables": variables})
        post.ledger.write("asked", call=call, who=self.who, field=field, key=key, variables=variables)
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            payload: Json = (await self._until_answered(body, call, field, key))[field]
            codes = [one["code"] for one in payload.get("errors") or []]
            post.ledger.write(
                "answered",
                call=call,
                who=self.who,
                field=field,
                key=key,
                data=payload,
                codes=codes,
            )
            if not codes:
                return payload
            if codes[0] != "SYSTEM_UNAVAILABLE":
                raise Refused(field, payload["errors"])
            await post.wait(pause, f"{field}: {codes}")
        raise AssertionError

    async def _until_answered(self, body: bytes, call: int | None, field: str, key: object) -> Json:
        post = self.post
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            why = await self._send(body)
            if isinstance(why, dict):
                return why
            if call is not None:
                post.ledger.write("unanswered", call=call, why=why)
            await post.wait(pause, f"{field or 'a question'} of {self.who} {key or ''}: {why}")
        raise AssertionError

    async def _send(self, body: bytes) -> Json | str:
        """The data, or why there is none this time. Raises `Faulted`."""
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token}",
        }
        try:
            answer = await self.post.http.post(f"{self.post.url}/graphql", content=body, headers=headers)
            told: Json = orjson.loads(answer.content)
        except (httpx2.HTTPError, OSError, orjson.JSONDecodeError) as fault:
            self.post.unanswered += 1
            return f"{type(fault).__name__} {fault}"
        if not told.get("errors") and told.get("data") is not None:
            self.post.answered_at = time.monotonic()
            data: Json = told["data"]
            return data
        errors = told.get("errors") or []
        codes = [str((one.get("extensions") or {}).get("code")) for one in errors]
        self.post.faulted += 1
        self.post.ledger.write("faulted", who=self.who, status=answer.status_code, errors=errors)
        if answer.status_code == 401:
            self.token = (await self.post.sign_in(self.who)).token
        elif answer.status_code in (400, 413, 415) or set(codes) & {
            "BAD_REQUEST",
            "NOT_ALLOWED",
        }:
            raise Faulted(f"{answer.status_code} {errors}")
        return f"{answer.status_code} {codes}"


def key() -> str:
    return uuid4().hex
