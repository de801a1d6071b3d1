"""What can be followed live: every event once, in order, resuming from a cursor."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, cast

import strawberry
from sqlalchemy import select
from sqlmodel import col

from loket.api import standing
from loket.api.audiences import Follow
from loket.api.context import citizen, in_house, signed_in
from loket.api.naming import described, described_argument, input_type
from loket.api.objects.events import CaseEvent
from loket.api.roots import subscription
from loket.api.scalars import Cursor as CursorText
from loket.errors import ErrorCode, Refused
from loket.interests import Cursor, Interest
from loket.lifecycle import ABOUT_ADVICE, EFFECT_EVENTS, EventType, Status
from loket.records import Case

After = Annotated[
    CursorText | None,
    described_argument("Replay what happened after this cursor, then go on live. Null: live only."),
]


@input_type
class WorkQueueFilter:
    """Which events; what is left out does not matter."""

    procedure: str | None = described("Of cases of this procedure.", default=None)
    status: list[Status] | None = described("After which the case is in one of these.", default=None)
    mine: bool | None = described("Only of cases that are yours to handle now.", default=None)
    type: list[EventType] | None = described(
        "Of these types. Null: all, except what becomes of effects.", default=None
    )


@strawberry.type(description="What can be followed, over a WebSocket or as Server-Sent Events.")
class Subscription:
    @subscription(policy=signed_in)
    async def case_events(
        self,
        info: strawberry.Info,
        reference: Annotated[str, described_argument("Which case.")],
        after: After = None,
    ) -> AsyncGenerator[CaseEvent, None]:
        """What happens to one case, and what becomes of telling others about it."""
        context = info.context
        async with context.loket.database.transaction() as session:
            found = await session.execute(
                select(col(Case.id), col(Case.person_id), col(Case.department)).where(
                    col(Case.reference) == reference
                )
            )
            row = found.first()
        if row is None or not context.viewer.may_follow(row.person_id, row.department):
            raise Refused(ErrorCode.NOT_FOUND, path=["reference"])
        return _follow(info, Interest(case_id=row.id), after)

    @subscription(policy=citizen)
    async def viewer_events(
        self, info: strawberry.Info, after: After = None
    ) -> AsyncGenerator[CaseEvent, None]:
        """What happens to all your cases."""
        return _follow(info, Interest(person_id=info.context.viewer.person_id), after)

    @subscription(policy=in_house)
    async def work_queue_events(
        self,
        info: strawberry.Info,
        filter: Annotated[WorkQueueFilter | None, described_argument("Which of them. Null: all.")] = None,
        after: After = None,
    ) -> AsyncGenerator[CaseEvent, None]:
        """What happens to the cases of your departments; for an adviser, the advice that is asked of them."""
        viewer = info.context.viewer
        wanted = filter or WorkQueueFilter()
        types = _NO_EFFECTS if wanted.type is None else frozenset(wanted.type)
        interest = Interest(
            procedure=wanted.procedure,
            handler_id=viewer.staff_id if wanted.mine else None,
            statuses=None if wanted.status is None else frozenset(wanted.status),
            types=types & ABOUT_ADVICE if viewer.scope.is_adviser else types,
            departments=viewer.bounds,
        )
        return _follow(info, interest, after)


_NO_EFFECTS = frozenset(EventType) - EFFECT_EVENTS


def _follow(info: strawberry.Info, interest: Interest, after: str | None) -> AsyncGenerator[CaseEvent, None]:
    """What the stream is made of: `live` tells it to all at once who follow the same."""
    loket = info.context.loket
    since = Cursor.parse(after) if after else None
    follow = Follow(loket.feed, interest, since, partial(standing.fallen, loket))
    return cast("AsyncGenerator[CaseEvent, None]", follow)
