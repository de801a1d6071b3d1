"""Loket as browsers and other systems meet it: under uvicorn on a free port, in front of a sandbox."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from flemish import BODY, SCOPES, Credentials
from loket import identity, settings, web
from loket.api import schema
from loket.app import Loket
from loket.errors import Refused
from loket.sandbox.house import SYSTEMS, House, sandbox
from loket.systems import acmidm_client

SECRET = "5a" * 32
WORLDLINE = {
    "merchant_id": "Lindebeke",
    "api_key_id": "key",
    "api_secret": "secret",
    "webhook_key_id": "hook",
    "webhook_secret": "hook secret",
}
SIPS = {"merchant_id": "002001000000002", "key_version": "1", "secret_key": "sips secret"}
BOOKS = {"token": "books", "hook_secret": "books secret"}
VANS = {"token": "vans", "hook_secret": "vans secret"}
MINUTES = {"user": "loket", "password": "notulen-wachtwoord", "hook_secret": "geheim-van-de-notulen"}
SMS = {"account_sid": "AC" + "0" * 32, "auth_token": "f" * 32}


@dataclass
class Served:
    """`loket` is the one behind `url`; `house` the outside world that it talks to."""

    url: str
    loket: Loket
    house: House
    client: httpx2.AsyncClient = field(repr=False)
    """Without cookies, following nothing."""

    @property
    def acm(self) -> str:
        return self.house.config.urls["acmidm"]

    async def token_of(self, persona: str) -> str:
        answer = await self.client.get(f"{self.acm}/sim/token", params={"persona": persona})
        return str(answer.json()["access_token"])

    async def order(self, system: str, path: str, **document: object) -> Any:  # noqa: ANN401  # JSON
        """What happens in the outside world, told to the sandbox."""
        answer = await self.client.post(f"{self.house.config.urls[system]}/sim/{path}", json=document)
        assert answer.is_success, answer.text
        return answer.json()


@asynccontextmanager
async def served(database_url: str, folder: Path, **changed: object) -> AsyncIterator[Served]:
    """`changed` replaces fields of the settings."""
    credentials = Credentials.made_in(folder)
    with listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with sandbox(_outside(url, credentials), SYSTEMS) as house:
            own = _settings(url, database_url, credentials, house)
            loket = Loket(replace(own, **changed))  # type: ignore[arg-type]  # fields by name
            async with (
                serving(web.assemble(loket, [who(loket), *schema.routes(loket)]), listener),
                httpx2.AsyncClient(base_url=url, trust_env=False) as client,
            ):
                yield Served(url, loket, house, client)


@contextmanager
def listening() -> Iterator[socket.socket]:
    # on a socket that does not say that it is TCP, asyncio lets answers wait 40 ms for the other side
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Server(config)
    running = asyncio.create_task(server.serve([listener]))
    while not server.started:
        if running.done():
            await running
            raise RuntimeError("the application did not start")
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await running


class _Server(uvicorn.Server):
    """Leaves the signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def who(loket: Loket) -> Route:
    """A door that says whom `identity` takes the caller for."""

    async def answer(request: Request) -> Response:
        try:
            found = await identity.actor_of(loket, request.headers)
        except Refused as refusal:
            return JSONResponse({"code": refusal.code}, 401 if refusal.code == "SIGN_IN_REQUIRED" else 403)
        if found is None:
            return JSONResponse({"kind": "ANONYMOUS"})
        return JSONResponse(
            {
                "kind": found.actor.kind,
                "id": str(found.actor.id),
                "name": found.actor.name,
                "roles": sorted(found.actor.roles),
                "language": found.actor.language,
                "session": found.session,
                "expires_at": found.expires_at.isoformat(),
            }
        )

    return Route("/who", answer)


def _outside(url: str, credentials: Credentials) -> dict[str, Any]:
    client = {
        "client_id": "loket",
        "jwks": acmidm_client.public_jwks(credentials.key),
        "redirect_uris": [f"{url}/auth/callback"],
        "scopes": SCOPES,
    }
    return {
        "port": 0,
        "loket_url": url,
        "acmidm": {"clients": [client, BODY]},
        "magda": {"certificate": Path(credentials.certificate).read_text()},
        "worldline": WORLDLINE | {"webhook_url": f"{url}/hooks/payments/worldline"},
        "sips": SIPS,
        "accounting": BOOKS | {"hook_url": f"{url}/hooks/accounting"},
        "planning": VANS | {"hook_url": f"{url}/hooks/planning"},
        "sms": SMS,
        "minutes": MINUTES | {"hook_url": f"{url}/hooks/minutes/decision"},
    }


def _settings(url: str, database_url: str, credentials: Credentials, house: House) -> settings.Settings:
    urls = house.config.urls
    smtp = urls["smtp"].removeprefix("smtp://").split(":")
    return settings.Settings(
        database_url=database_url,
        public_url=url,
        website_url="https://www.lindebeke.example",
        secret_key=SECRET,
        acmidm=credentials.acmidm(urls["acmidm"], cache_seconds=30),
        magda=credentials.magda(urls["magda"]),
        dosis=settings.Dosis(url=urls["dosis"], token_url=f"{urls['acmidm']}/op/v1/token"),
        notificaties=settings.Notificaties(
            url=urls["notificaties"], token_url=f"{urls['acmidm']}/op/v1/token"
        ),
        ebox=settings.Ebox(url=urls["ebox"], token_url=f"{urls['acmidm']}/op/v1/token"),
        worldline=settings.Worldline(url=urls["worldline"], **WORLDLINE),
        sips=settings.Sips(url=urls["sips"], office_url=urls["sips"], **SIPS),
        accounting=settings.Accounting(url=urls["accounting"], **BOOKS),
        planning=settings.Planning(url=urls["planning"], **VANS),
        minutes=settings.Minutes(url=urls["minutes"], **MINUTES),
        smtp=settings.Smtp(host=smtp[0], port=int(smtp[1])),
        sms=settings.Sms(url=urls["sms"], **SMS),
    )
