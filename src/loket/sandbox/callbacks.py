"""What a system sends by itself: signed notices, sent again until they are heard, and spoiled on command.

`/sim/callbacks` lists them with every attempt. `/sim/callbacks/rule` says what becomes of the next ones:
`send`, `hold` (for `/sim/callbacks/release`, in order or reversed) or `lose`. `/sim/callbacks/{id}/again`
repeats one, however late. A fault whose `path` begins with `hook:` spoils single attempts: see `_attempt`.
"""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.faults import Fault, Faults
from loket.sandbox.orders import Wrong, carried_out, told
from loket.sandbox.page import button, moment, table, tag
from loket.sandbox.state import State, stamp

Sign = Callable[[str, bytes], Mapping[str, str]]
"""URL and raw body of one attempt → the headers that prove who sends it."""

KIND = "callback"
WAITS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each further attempt, the last one again and again. A real sender waits minutes."""
TIMEOUT = 10.0
"""Seconds that a receiver may take to answer."""
SHOWN = 30
"""Rows on the desk."""
_COLOURS = {"HEARD": "good", "WAITING": "wait", "HELD": "wait"}


class Callbacks:
    """The outgoing notices of one system, kept in its state: what was not heard is sent after a restart.

    `heard` judges a status code. `final` are answers after which there is no use in sending again;
    `attempts` is how often it tries at most (None: until heard). `back_to`: the desk's page.
    """

    def __init__(
        self,
        back_to: str,
        state: State,
        sign: Sign,
        *,
        heard: Callable[[int], bool],
        final: Iterable[int] = (),
        attempts: int | None = None,
    ) -> None:
        self._back_to = back_to
        self._state = state
        self._faults = Faults(state)
        self._sign = sign
        self._heard = heard
        self._final = frozenset(final)
        self._most = attempts
        self._client: httpx2.AsyncClient | None = None
        self._underway: set[asyncio.Task[None]] = set()
        self._lines = asyncio.Semaphore(16)

    def send(self, url: str, kind: str, body: bytes, *, media_type: str = "application/json") -> str:
        """Have `body` sent to `url` from now on; answers the notice's id. `kind`: what it tells."""
        rule = self.rule()
        ruled = rule["mode"] if kind.startswith(rule["type"]) else "send"
        key = str(uuid.uuid4())
        notice: dict[str, Any] = {
            "id": key,
            "url": url,
            "type": kind,
            "body": body.decode(),
            "mediaType": media_type,
            "createdAt": stamp(),
            "state": {"send": "WAITING", "hold": "HELD", "lose": "LOST"}[ruled],
            "attempts": [],
        }
        self._state.put(KIND, key, notice)
        if notice["state"] == "WAITING":
            self._start(self._carry(key))
        return key

    def rule(self) -> dict[str, str]:
        return self._state.get("callback-rule", "rule") or {"mode": "send", "type": ""}

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """For as long as the system runs; takes up what was left."""
        async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            self._client = client
            for notice in self._state.all(KIND):
                if notice["state"] == "WAITING":
                    self._start(self._carry(notice["id"]))
            yield
            self._client = None
            for task in self._underway:
                task.cancel()
            await asyncio.gather(*self._underway, return_exceptions=True)

    def routes(self) -> list[Route]:
        async def listed(request: Request) -> Response:
            kind, last = request.query_params.get("type", ""), int(request.query_params.get("last", "1000"))
            return JSONResponse(
                [one for one in self._state.all(KIND) if one["type"].startswith(kind)][-last:]
            )

        async def ruled(request: Request) -> Response:
            if request.method == "PUT":
                order = await told(request)
                rule = {"mode": order.get("mode"), "type": order.get("type", "")}
                if rule["mode"] not in ("send", "hold", "lose") or not isinstance(rule["type"], str):
                    raise Wrong("mode must be send, hold or lose; type the beginning of a type")
                self._state.put("callback-rule", "rule", rule)
            return JSONResponse(self.rule())

        async def release(request: Request) -> Response:
            keys = [key for key, one in self._state.items(KIND) if one["state"] == "HELD"]
            if (await told(request)).get("order") == "reversed":
                keys.reverse()
            self._start(self._carry_in_turn(keys))
            return JSONResponse({"released": keys})

        async def again(request: Request) -> Response:
            notice = self._state.get(KIND, request.path_params["id"])
            if notice is None:
                raise Wrong("no such callback", 404)
            self._state.put(KIND, notice["id"], notice | {"state": "WAITING"})
            self._start(self._carry(notice["id"]))
            return carried_out(request, self._back_to, notice["id"])

        return [
            Route("/sim/callbacks", listed),
            Route("/sim/callbacks/rule", ruled, methods=["GET", "PUT"]),
            Route("/sim/callbacks/release", release, methods=["POST"]),
            Route("/sim/callbacks/{id}/again", again, methods=["POST"]),
        ]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._client is None:
            work.close()
            return
        task = asyncio.create_task(work)
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)

    async def _carry_in_turn(self, keys: list[str]) -> None:
        for key in keys:
            notice = self._state.get(KIND, key)
            if notice is not None:
                self._state.put(KIND, key, notice | {"state": "WAITING"})
                await self._carry(key)

    async def _carry(self, key: str) -> None:
        tried = 0
        while (notice := self._state.get(KIND, key)) is not None:
            async with self._lines:
                attempt = await self._attempt(notice)
            tried += 1
            notice = self._state.get(KIND, key) or notice
            notice |= {"state": self._fate(attempt, tried), "attempts": [*notice["attempts"], attempt]}
            self._state.put(KIND, key, notice)
            if notice["state"] != "WAITING":
                return
            await asyncio.sleep(WAITS[min(tried, len(WAITS)) - 1])

    def _fate(self, attempt: dict[str, Any], tried: int) -> str:
        status = attempt["status"]
        if status is not None and self._heard(status):
            return "HEARD"
        if status in self._final:
            return "REFUSED"
        return "LOST" if self._most is not None and tried >= self._most else "WAITING"

    async def _attempt(self, notice: dict[str, Any]) -> dict[str, Any]:
        """One attempt: at, status (None: no answer), error, fault.

        slow        waits first
        duplicate   sends it twice
        malformed   sends half of what was signed
        lose_answer sends it and does not hear the answer
        timeout, refuse, error   keeps this attempt back
        """
        fault = self._fault(notice["type"])
        mode = fault.mode if fault is not None else None
        attempt: dict[str, Any] = {"at": stamp(), "status": None, "error": None, "fault": mode}
        if mode in ("timeout", "refuse", "error"):
            return attempt | {"error": "kept back on command"}
        if fault is not None and mode == "slow":
            await asyncio.sleep(fault.wait_seconds)
        try:
            for _ in range(2 if mode == "duplicate" else 1):
                attempt["status"] = await self._post(notice, halved=mode == "malformed")
        except (httpx2.HTTPError, httpx2.InvalidURL) as unheard:
            return attempt | {"error": f"{type(unheard).__name__}: {unheard}"}
        if mode == "lose_answer":
            return attempt | {"status": None, "error": "answer lost on command"}
        return attempt

    async def _post(self, notice: dict[str, Any], *, halved: bool) -> int:
        assert self._client is not None
        body = notice["body"].encode()
        headers = {"Content-Type": notice["mediaType"], **self._sign(notice["url"], body)}
        sent = body[: len(body) // 2] if halved else body
        answer = await self._client.post(notice["url"], content=sent, headers=headers)
        return answer.status_code

    def _fault(self, kind: str) -> Fault | None:
        """Only what was told of hooks by name: a fault without path is meant for what the system is asked."""
        path = f"hook:{kind}"
        if not any(fault.path and path.startswith(fault.path) for fault in self._faults.listed()):
            return None
        return self._faults.take(path)


def loket_signature(secret: str) -> Sign:
    """The published contracts' signature, made anew for every attempt."""

    def sign(_: str, body: bytes) -> Mapping[str, str]:
        timestamp = str(int(time.time()))
        mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Loket-Timestamp": timestamp, "Loket-Signature": f"v1={mac}"}

    return sign


def callbacks_table(state: State, url: str) -> Markup:
    """The last notices as a person reads them, each with a button to send it again."""
    rows = []
    for notice in reversed(state.all(KIND)[-SHOWN:]):
        last = notice["attempts"][-1] if notice["attempts"] else {"status": None, "error": None}
        fate = tag(notice["state"], _COLOURS.get(notice["state"], "bad"))
        rows.append(
            (
                moment(notice["createdAt"]),
                notice["type"],
                fate,
                str(len(notice["attempts"])),
                str(last["status"] or last["error"] or ""),
                button(f"{url}/sim/callbacks/{notice['id']}/again", "Nog eens", kind="quiet"),
            )
        )
    return table(["Gemaakt", "Wat", "Stand", "Pogingen", "Laatste antwoord", ""], rows)
