"""Live push as strawberry has it by itself, with the same types, over the same feed, for `benchmark.push`.

Each subscriber has a generator of its own, which reads each event as ORM objects. Nobody is asked who they
are. For uvicorn with the options of `loket serve`; `LOKET_DATABASE_URL` says which database.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import strawberry
from sqlmodel import col, select
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from loket.database import Database
from loket.feed import Feed
from loket.interests import Interest
from loket.lifecycle import EventType, Status
from loket.records import Case as CaseRow
from loket.records import Event

strawberry.enum(EventType)
strawberry.enum(Status)


@strawberry.type
class Case:
    reference: str


@strawberry.type
class CaseEvent:
    id: strawberry.ID
    cursor: str
    type: EventType
    status: Status
    case: Case


@strawberry.type
class Query:
    @strawberry.field
    def here(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def work_queue_events(self) -> AsyncGenerator[CaseEvent, None]:
        async for one in feed.subscribe(Interest(), None):
            async with database.transaction() as session:
                found = await session.execute(
                    select(Event, CaseRow)
                    .join(CaseRow, col(CaseRow.id) == col(Event.case_id))
                    .where(col(Event.id) == one.event_id)
                )
                event, case = found.one()
            yield CaseEvent(
                id=strawberry.ID(str(event.id)),
                cursor=str(one.cursor),
                type=event.type,
                status=event.status,
                case=Case(reference=case.reference),
            )


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    async with database, feed.running():
        yield


database = Database(os.environ["LOKET_DATABASE_URL"], name="plain")
feed = Feed(database)
_endpoint = GraphQL[None, None](
    strawberry.Schema(Query, subscription=Subscription),
    subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
    graphql_ide=None,
)
app = Starlette(
    routes=[Route("/graphql", _endpoint), WebSocketRoute("/graphql", _endpoint)], lifespan=_lifespan
)
