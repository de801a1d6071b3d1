"""Orders given to a system at its `/sim/` routes: in JSON by a script, by form from a person at the desk."""

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Wrong(Exception):
    """The order cannot be carried out. `status`: 400 unreadable, 404 unknown, 409 not (any more) possible."""

    def __init__(self, reason: str, status: int = 400) -> None:
        self.status = status
        super().__init__(reason)


def by_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(FORMS)


async def told(request: Request) -> dict[str, Any]:
    """The order's fields; those of a form are texts.

    Raises:
        Wrong: neither a form nor a JSON object.
    """
    if by_form(request):
        return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    if not await request.body():
        return {}
    try:
        document = await request.json()
    except ValueError as fault:
        raise Wrong(f"not JSON: {fault}") from fault
    if not isinstance(document, dict):
        raise Wrong("not a JSON object")
    return document


def carried_out(request: Request, back_to: str, document: object) -> Response:
    """The answer to a script; a person goes back to where they stood at the desk, else to `back_to`."""
    if not by_form(request):
        return JSONResponse(document)
    stood = request.headers.get("referer", "")
    at_the_desk = urlsplit(stood)[:2] == urlsplit(back_to)[:2]
    return RedirectResponse(stood if at_the_desk else back_to, 303)


async def refused(_: Request, wrong: Exception) -> Response:
    """Starlette's handler for `Wrong`."""
    status = wrong.status if isinstance(wrong, Wrong) else 500
    return JSONResponse({"title": str(wrong), "status": status}, status)


def seconds(order: dict[str, Any], name: str, default: float) -> float:
    """A waiting time of an order, at most a day."""
    try:
        value = float(order.get(name, default))
    except (TypeError, ValueError) as fault:
        raise Wrong(f"{name}: a number of seconds") from fault
    if not 0 <= value <= 86_400:
        raise Wrong(f"{name}: between 0 and 86400 seconds")
    return value


def whole(order: dict[str, Any], name: str, *, least: int = 0) -> int:
    """A whole number of an order."""
    try:
        value = int(str(order[name]))
    except (KeyError, ValueError) as fault:
        raise Wrong(f"{name}: a whole number") from fault
    if value < least:
        raise Wrong(f"{name}: at least {least}")
    return value
