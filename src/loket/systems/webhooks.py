"""Calls to addresses that others gave us, signed as Standard Webhooks (standardwebhooks.com) says.

Whoever may name an address could have us call our own network (SSRF). So: https, to a port for it, at an
address on the public internet, looked up once and connected to as it was checked; redirects lead nowhere.
"""

import asyncio
import base64
import hmac
import ipaddress
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import httpx2

from loket import settings
from loket.systems import calls
from loket.trust import authorities

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TIMEOUT_SECONDS = 10.0
"""For one call, from looking up the name to the end of the answer."""
ANSWER_CHARACTERS = 500
"""So much of what a subscriber answers is read and kept, where it refuses."""
LONGEST_URL = 2000
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105  # how all of them begin
GONE = 410
_TUNNELS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Of IPv6: NAT64, 6to4 and Teredo, which lead to an IPv4 address within."""


@dataclass(frozen=True)
class Answer:
    """What a subscriber made of a call. `error`: empty where it took it (2xx)."""

    http_status: int | None
    error: str
    duration_ms: int
    retry_after_seconds: float | None = None

    @property
    def taken(self) -> bool:
        return not self.error

    @property
    def gone(self) -> bool:
        """It wants no more calls."""
        return self.http_status == GONE


class Webhooks:
    """Recognises a repeat: `key`. The message's id stays the same, and subscribers are told to look at it."""

    def __init__(self, section: settings.Webhooks, *, production: bool) -> None:
        self._section = section
        self._production = production

    @asynccontextmanager
    async def line(self, url: str) -> AsyncIterator["Line"]:
        """A line to one address for several calls, one after the other."""
        async with AsyncExitStack() as stack:
            yield Line(url, self._section, stack, production=self._production)


class Line:
    def __init__(
        self, url: str, section: settings.Webhooks, stack: AsyncExitStack, *, production: bool
    ) -> None:
        """`stack`: what it opens is closed with it."""
        self._url = url
        self._section = section
        self._stack = stack
        self._production = production
        self._client: httpx2.AsyncClient | None = None
        self._direct = ""
        """The address, with what its name led to in the place of the name."""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Never raises for what the other side does: every attempt is written down."""
        began = time.monotonic()
        status: int | None = None
        retry_after = None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                client = self._client or await self._connected()
                response = await client.send(self._request(client, body, headers), stream=True)
                try:
                    status = response.status_code
                    retry_after = calls.retry_after_seconds(response.headers.get("Retry-After"))
                    error = "" if response.is_success else f"HTTP {status}: {await _told(response)}"
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            error = "no answer within the time-out"
        except httpx2.HTTPError as broken:
            error = f"no answer: {type(broken).__name__}: {broken}"
        except _NotCalled as reason:
            error = str(reason)
        duration_ms = round((time.monotonic() - began) * 1000)
        return Answer(status, error.rstrip(": ")[:ANSWER_CHARACTERS], duration_ms, retry_after)

    def _request(self, client: httpx2.AsyncClient, body: bytes, headers: Mapping[str, str]) -> httpx2.Request:
        parts = urlsplit(self._url)
        ours = {"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "Loket"}
        return client.build_request(
            "POST",
            self._direct,
            content=body,
            headers={**headers, **ours},
            extensions={"sni_hostname": parts.hostname or ""},
        )

    async def _connected(self) -> httpx2.AsyncClient:
        try:
            parts = urlsplit(checked(self._url, self._section, production=self._production))
        except ValueError as fault:
            raise _NotCalled(str(fault)) from fault
        address = await self._look_up(parts.hostname or "", _port(parts))
        host = f"[{address}]" if address.version == 6 else str(address)
        self._direct = parts._replace(netloc=f"{host}:{_port(parts)}").geturl()
        self._client = await self._stack.enter_async_context(
            httpx2.AsyncClient(
                timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False, verify=authorities()
            )
        )
        return self._client

    async def _look_up(self, name: str, port: int) -> Address:
        """The address behind a name; none of those behind it may be one that we do not call."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as fault:
            raise _NotCalled(f"{name} cannot be looked up") from fault
        addresses = [ipaddress.ip_address(one[4][0]) for one in found]
        for address in addresses:
            if not may_call(address, name, self._section, production=self._production):
                raise _NotCalled(f"{name} leads to {address}, which is not called")
        return addresses[0]


class _NotCalled(Exception):
    """Nothing was sent, for the reason that it tells."""


# --- where we call ----------------------------------------------------------------------------


def checked(url: str, section: settings.Webhooks, *, production: bool) -> str:
    """`url`, as far as can be said without looking its name up.

    Raises:
        ValueError: with the reason, for an address that is not called.
    """
    if len(url) > LONGEST_URL or not url.isascii() or any(one.isspace() or one in '\\"<>' for one in url):
        raise ValueError("not an address")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("not an https address")
    if parts.username is not None or parts.fragment:
        raise ValueError("an address without user, password and fragment")
    at_home = not production and _is_loopback(parts.hostname)
    if parts.scheme != "https" and not at_home:
        raise ValueError("https only")
    if _port(parts) not in section.ports.numbers and not at_home:
        raise ValueError(f"only to port {section.ports}")
    literal = _literal(parts.hostname)
    if literal is not None and not may_call(literal, parts.hostname, section, production=production):
        raise ValueError("an address on the public internet")
    return url


def may_call(address: Address, name: str, section: settings.Webhooks, *, production: bool) -> bool:
    """Whether to connect to what `name` leads to."""
    if name.casefold() in section.private_hosts.names:
        return not (address.is_loopback or address.is_link_local or address.is_multicast)
    if address.is_loopback:
        return not production
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return may_call(address.ipv4_mapped, name, section, production=production)
        if any(address in one for one in _TUNNELS):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)


def _port(parts: SplitResult) -> int:
    """Raises `ValueError` for what is no port."""
    return parts.port or {"https": 443, "http": 80}[parts.scheme]


async def _told(response: httpx2.Response) -> str:
    """The beginning of an answer, unpacked by nobody."""
    told = b""
    async for some in response.aiter_raw(ANSWER_CHARACTERS):
        told += some
        if len(told) >= ANSWER_CHARACTERS:
            break
    text = told[:ANSWER_CHARACTERS].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()


# --- the signature ----------------------------------------------------------------------------


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers by which a subscriber knows that `body` is ours, and which message it is."""
    timestamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
