"""What every simulated system is to the house: a name, a place in the row of ports, and its parts."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.routing import Route

from loket.sandbox.personas import Citizen
from loket.sandbox.state import State


@dataclass(frozen=True)
class Municipality:
    name: str = "Gemeente Lindebeke"
    nis: str = "13999"
    kbo: str = "0207500123"
    postal_code: str = "2999"
    city: str = "Lindebeke"


@dataclass(frozen=True)
class Config:
    """What the configuration file says, and where the house put each system.

    `sections` holds each system's own object of the file. `urls` and `states` (what each system remembers)
    are complete before any system is made; another's state is only for looking: whose token is this, what
    did the citizen get.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    state: str = ":memory:"
    loket_url: str = "http://127.0.0.1:8000"
    municipality: Municipality = field(default_factory=Municipality)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Config":
        """From the file's JSON; every key may be left out, what is unknown is a system's section."""
        plain = {name: document[name] for name in ("host", "port", "state", "loket_url") if name in document}
        known = set(plain) | {"municipality"}
        return cls(
            **plain,
            municipality=Municipality(**document.get("municipality", {})),
            sections={name: value for name, value in document.items() if name not in known},
        )

    def section(self, name: str) -> Mapping[str, Any]:
        """The settings of one system; empty when the file has none."""
        return self.sections.get(name, {})

    def url(self, name: str) -> str:
        """Where a system listens, without trailing slash: `http://127.0.0.1:8105`, `smtp://127.0.0.1:8109`."""
        return self.urls[name]

    def desk_url(self, name: str) -> str:
        """The page of one system on the desk: where its forms lead back to."""
        return f"{self.urls['desk']}/systeem/{name}" if "desk" in self.urls else self.urls[name]


class Service(Protocol):
    """A server that does not speak HTTP. It is handed a bound socket and listens on it."""

    async def start(self, listener: socket.socket) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class System:
    """One simulated system.

    Exactly one of `app` (HTTP; background work belongs in the app's lifespan) and `service` is given.
    `section` draws the system's part of the desk; `citizen` draws what this system holds of one person
    (mailbox, phone, status in Mijn Burgerprofiel). Forms in them post to the system's own URL, which
    redirects (303) to `config.desk_url(name)`. Build the markup with `Markup(...).format(...)`: it escapes.
    `scheme` is that of its URL. `watched`: its requests are written down and can be faulted. `routes` is what
    the desk serves for a system that speaks no HTTP itself, under `/systeem/<name>`.
    """

    name: str
    title: str
    offset: int
    app: Callable[[Config, State], Starlette] | None = None
    service: Callable[[Config, State], Service] | None = None
    section: Callable[[Config, State], Markup] | None = None
    citizen: Callable[[Config, State, Citizen], Markup] | None = None
    routes: Callable[[Config, State], list[Route]] | None = None
    scheme: str = "http"
    watched: bool = True
