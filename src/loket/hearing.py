"""How a notice of another system is taken in.

Every notice is checked against its signature first, over the raw body, and is heard once: what it changes
and that it was heard are one transaction. A notice that we can not act on is kept with its outcome and
answered as heard; trouble of our own is answered so that the sender comes again.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sqlalchemy.exc import DataError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from loket import inbox
from loket.app import Loket
from loket.errors import BadNotice, BadSignature, Refused
from loket.records import Inbox
from loket.work import Work, the_system

logger = logging.getLogger(__name__)

LONGEST_BODY = 64 * 1024

Outcome = dict[str, Any]


def door(
    loket: Loket, answer: Callable[[Loket, Request], Coroutine[Any, Any, Response]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await answer(loket, request)
        except _TooLong:
            return PlainTextResponse(f"at most {LONGEST_BODY} bytes", 413)
        except BadSignature as fault:
            return PlainTextResponse(str(fault), 401)
        except BadNotice:
            logger.warning("a signed notice could not be read: %s", request.url.path, exc_info=True)
            return PlainTextResponse("not a notice that we can read", 400)

    return endpoint


async def hear(
    loket: Loket, name: str, message_id: str, act: Callable[[Work], Awaitable[Outcome]]
) -> Response:
    """Do what a notice says, once; the same answer however often it is said."""
    source = name.lower()

    async def heard() -> None:
        async with loket.work(the_system(name)) as work:
            if await inbox.first_time(work, source, message_id):
                outcome = await act(work)
                kept = await work.session.get_one(Inbox, (source, message_id))
                kept.outcome = outcome

    try:
        await loket.procedures.informed(heard)
    except DataError as fault:
        # said again it would fail again: a NUL, a day outside the calendar
        raise BadNotice(f"{name} says what cannot be kept") from fault
    except Refused as refusal:
        # nothing of it was kept: said again it would be refused again, so it counts as heard
        logger.warning("notice %s of %s was refused: %s", message_id, name, refusal.code)
        async with loket.work(the_system(name)) as work:
            await inbox.first_time(work, source, message_id, {"refused": refusal.code, "why": str(refusal)})
    return Response(status_code=204)


async def body_of(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise _TooLong
    return bytes(body)


class _TooLong(Exception):
    pass
