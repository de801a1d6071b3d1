"""One HTTP call to another system: silence, overload and refusal each become their own failure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from loket import tracing
from loket.errors import Declined, Failed, Unavailable

NOT_NOW = frozenset({408, 425, 429})
"""Statuses below 500 that only ask to come back later."""

DAY_SECONDS = 86_400.0
REASON_CHARACTERS = 500
"""How much of an answer's body is kept as the reason of a failure."""


async def call(system: str, client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The answer to `request`, when it is a success (2xx).

    Raises:
        Unavailable: no (whole) answer came, or 408, 425, 429 or 5xx.
        Declined: any other status.
    """
    response = await ask(system, client, request)
    if response.is_success:
        return response
    raise failure(system, response)


async def ask(system: str, client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """The answer to `request`, whatever its status.

    Raises:
        Unavailable: no (whole) answer came.
    """
    try:
        return await _send(system, client, request)
    except httpx2.TimeoutException as silence:
        raise Unavailable(system, f"no answer within the time-out ({type(silence).__name__})") from silence
    except httpx2.HTTPError as broken:
        raise Unavailable(system, f"no answer: {type(broken).__name__}: {broken}".rstrip(": ")) from broken


async def _send(system: str, client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    """With the trace to which it belongs. The span says where it went, and not what stands in the address."""
    told: dict[str, tracing.Told] = {"server__address": request.url.host, "loket__system": system}
    told["http__request__method"] = request.method
    with tracing.span(f"{request.method} {system}", "client", **told) as span:
        if parent := tracing.parent():
            request.headers["traceparent"] = parent
        response = await client.send(request)
        span.say("http__response__status_code", response.status_code)
        return response


def failure(system: str, response: httpx2.Response) -> Failed:
    """What an answer that is not a success means for the caller."""
    reason = f"HTTP {response.status_code}: {_told(response)}".rstrip(": ")
    if response.status_code in NOT_NOW or response.status_code >= 500:
        return Unavailable(
            system,
            reason,
            http_status=response.status_code,
            retry_after_seconds=retry_after_seconds(response.headers.get("Retry-After")),
        )
    return Declined(system, reason, http_status=response.status_code)


def retry_after_seconds(text: str | None) -> float | None:
    """A `Retry-After` header, which holds seconds or a date; a day at most."""
    if not text:
        return None
    if text.strip().isdecimal():
        return min(float(text), DAY_SECONDS)
    try:
        until_at = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = (until_at.replace(tzinfo=until_at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), DAY_SECONDS)


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """The body as a JSON object; empty when it is anything else."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _told(response: httpx2.Response) -> str:
    """What the answer says about itself: a problem's title and detail, else the start of its body."""
    problem = json_object(response)
    told = ": ".join(str(problem[key]) for key in ("title", "detail") if problem.get(key))
    if problem.get("errors"):
        told += f" {orjson.dumps(problem['errors']).decode()}"
    return (told.strip() or response.text)[:REASON_CHARACTERS]
