"""The municipality's planning tool in small: keeps the published contract, drives the van, tells Loket.

`/sim/slots` and `/sim/bookings` are the planner's and the driver's work: add a slot, change it, move
it, cancel it or its day; deliver or miss.
"""

from datetime import date

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.contract import Contract, Door, Json
from loket.sandbox.orders import Wrong, carried_out, refused, told
from loket.sandbox.planning_calendar import Calendar
from loket.sandbox.planning_desk import section
from loket.sandbox.state import State
from loket.sandbox.system import Config, System


def app(config: Config, state: State) -> Starlette:
    calendar = Calendar(config, state)
    door = Door(state, config.section("planning").get("token", ""), Contract("planning.openapi.yaml"))
    return Starlette(
        routes=[
            Route("/v1/slots", door.guarded(calendar.slots_between), methods=["GET"]),
            Route("/v1/bookings", door.guarded(calendar.places_between), methods=["GET"]),
            Route("/v1/bookings/{id}", door.guarded(calendar.book, schema="Booking"), methods=["PUT"]),
            Route("/v1/bookings/{id}", door.guarded(calendar.cancel), methods=["DELETE"]),
            *_sim_routes(calendar),
            *calendar.callbacks.routes(),
        ],
        lifespan=calendar.callbacks.running,
        exception_handlers={Wrong: refused},
    )


def _sim_routes(calendar: Calendar) -> list[Route]:
    state, config = calendar.state, calendar.config

    def known(request: Request, kind: str) -> Json:
        found = state.get(kind, request.path_params["id"])
        if found is None:
            raise Wrong(f"no such {kind}", 404)
        return found

    async def slots(request: Request) -> Response:
        if request.method == "POST":
            return carried_out(request, config.desk_url("planning"), calendar.add(await told(request)))
        return JSONResponse([slot | {"taken": calendar.taken(slot)} for slot in calendar.slots()])

    async def change_slot(request: Request) -> Response:
        order = await told(request)
        return carried_out(
            request, config.desk_url("planning"), calendar.change(known(request, "slot"), order)
        )

    async def move_slot(request: Request) -> Response:
        order = await told(request)
        return carried_out(request, config.desk_url("planning"), calendar.move(known(request, "slot"), order))

    async def cancel_slot(request: Request) -> Response:
        reason = str((await told(request)).get("reason") or "Bestelwagen defect")
        return carried_out(
            request, config.desk_url("planning"), calendar.cancel_slot(known(request, "slot"), reason)
        )

    async def cancel_day(request: Request) -> Response:
        reason = str((await told(request)).get("reason") or "IJzel")
        try:
            day = date.fromisoformat(request.path_params["day"])
        except ValueError as fault:
            raise Wrong("the day as 2026-12-04") from fault
        return carried_out(request, config.desk_url("planning"), calendar.cancel_day(day, reason))

    async def bookings(request: Request) -> Response:
        query = request.query_params
        return JSONResponse(
            [
                one
                for one in state.all("booking")
                if query.get("slot") in (None, one["slotId"])
                and query.get("reference") in (None, one["reference"])
            ]
        )

    async def confirm(request: Request) -> Response:
        by = str((await told(request)).get("deliveredBy") or "Wim")
        return carried_out(
            request, config.desk_url("planning"), calendar.confirm(known(request, "booking"), by)
        )

    async def miss(request: Request) -> Response:
        reason = str((await told(request)).get("reason") or "Niemand thuis")
        return carried_out(
            request, config.desk_url("planning"), calendar.miss(known(request, "booking"), reason)
        )

    return [
        Route("/sim/slots", slots, methods=["GET", "POST"]),
        Route("/sim/slots/{id}", change_slot, methods=["PUT", "POST"]),
        Route("/sim/slots/{id}/move", move_slot, methods=["POST"]),
        Route("/sim/slots/{id}/cancel", cancel_slot, methods=["POST"]),
        Route("/sim/days/{day}/cancel", cancel_day, methods=["POST"]),
        Route("/sim/bookings", bookings),
        Route("/sim/bookings/{id}/confirm", confirm, methods=["POST"]),
        Route("/sim/bookings/{id}/miss", miss, methods=["POST"]),
    ]


SYSTEM = System(name="planning", title="Planning", offset=7, app=app, section=section)
