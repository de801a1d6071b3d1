"""The whole schema, and the routes that serve it."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from loket import identity
from loket.api import playground
from loket.api.context import Caller, Context
from loket.api.endpoint import Endpoint
from loket.api.mutations import Mutation
from loket.api.payloads import USER_ERRORS
from loket.api.queries import Query
from loket.api.readlog import LoggedSchema
from loket.api.standing import Standings
from loket.api.subscriptions import Subscription
from loket.app import Loket

schema = LoggedSchema(query=Query, mutation=Mutation, subscription=Subscription, types=USER_ERRORS)


def sdl() -> str:
    """The schema as text: what `schema.graphql` must be."""
    return schema.as_str().rstrip() + "\n"


def routes(loket: Loket) -> list[BaseRoute]:
    standings = Standings(loket)

    async def context(connection: HTTPConnection, said: Mapping[str, Any] | None) -> Context:
        headers = dict(connection.headers)
        for name, header in (("authorization", "authorization"), ("language", "accept-language")):
            if said and isinstance(said.get(name), str):
                headers[header] = said[name]
        found = await identity.actor_of(loket, headers)
        if found is None:
            return Context(loket, Caller(loket, None, identity.language_of(headers)), loket.database)
        viewer = Caller(loket, found.actor, found.actor.language)
        standing = standings.of(found, headers)
        return Context(loket, viewer, loket.database, expires_at=found.expires_at, standing=standing)

    def page(request: Request) -> Response | None:
        return playground.page() if playground.wants_page(request) else None

    settings = loket.settings
    endpoint = Endpoint(
        schema,
        context=context,
        page=page,
        allowed_origins=tuple(identity.allowed_origins(settings)),
        most_of_a_person=settings.live_per_person,
        most_of_an_address=settings.live_per_address,
    )
    return [
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", endpoint),
        *playground.routes(),
    ]
