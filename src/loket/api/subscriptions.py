"""What can be followed live: every event once, in order, resuming from a cursor."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry
from sqlalchemy import select
from sqlmodel import col

from loket.api.context import citizen, signed_in, staff
from loket.api.naming import described_argument, input_type
from loket.api.objects import CaseEvent
from loket.api.payloads import subscription
from loket.api.reads import condition
from loket.api.scalars import Cursor as CursorText
from loket.errors import ErrorCode, Refused
from loket.feed import Cursor, Feed, Happening, Interest
from loket.lifecycle import EFFECT_EVENTS
from loket.records import Case

After = Annotated[
    CursorText | None,
    described_argument("Replay what happened after this cursor, then go on live. Null: live only."),
]


@input_type
class WorkQueueFilter:
    """Whose work."""

    procedure: str | None = condition("Of this procedure.", "{t}.procedure_key = {value}")


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
                select(col(Case.id), col(Case.person_id)).where(col(Case.reference) == reference)
            )
            row = found.first()
        mine = row is not None and (
            context.viewer.scope.is_staff or row.person_id == context.viewer.person_id
        )
        if row is None or not mine:
            raise Refused(ErrorCode.NOT_FOUND, path=["reference"])
        async with aclosing(_follow(info, Interest(case_id=row.id), after)) as events:
            async for event in events:
                yield _shown(event)

    @subscription(policy=citizen)
    async def viewer_events(
        self, info: strawberry.Info, after: After = None
    ) -> AsyncGenerator[CaseEvent, None]:
        """What happens to all your cases."""
        interest = Interest(person_id=info.context.viewer.person_id)
        async with aclosing(_follow(info, interest, after)) as events:
            async for event in events:
                yield _shown(event)

    @subscription(policy=staff)
    async def work_queue_events(
        self, info: strawberry.Info, after: After = None
    ) -> AsyncGenerator[CaseEvent, None]:
        """What happens to all cases, for the back office; what becomes of effects is left out."""
        async with aclosing(_follow(info, Interest(), after)) as events:
            async for event in events:
                if event.type not in EFFECT_EVENTS:
                    yield _shown(event)


def _follow(info: strawberry.Info, interest: Interest, after: str | None) -> AsyncGenerator[Happening, None]:
    feed: Feed = info.context.loket.feed
    return feed.subscribe(interest, Cursor.parse(after) if after else None)


def _shown(event: Happening) -> CaseEvent:
    return CaseEvent.of(event.event_id, cursor=str(event.cursor))
