"""The municipality's minutes package in small: PloneMeeting's REST API, and the secretariat behind it.

`/sim/meetings/{uid}/decide` is the body that sits, `/sim/items/{uid}/sign` its chair and the director, and
`/sim/items/{uid}/tell` a connector that brings Loket the news: PloneMeeting itself never tells anybody.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.belgian_days import BRUSSELS
from loket.sandbox.callbacks import Callbacks, loket_signature
from loket.sandbox.contract import notice
from loket.sandbox.minutes_agenda import BEFORE_THE_BODY, RESULTS, Json, body_of
from loket.sandbox.minutes_api import Package
from loket.sandbox.minutes_desk import section
from loket.sandbox.minutes_wire import day_of
from loket.sandbox.orders import Wrong, carried_out, refused, told
from loket.sandbox.state import State, now
from loket.sandbox.system import Config, System


class Secretariat:
    """What people do behind the package, and the connector that tells Loket."""

    def __init__(self, config: Config, state: State, package: Package) -> None:
        section = config.section("minutes")
        self.desk = config.desk_url("minutes")
        self.agenda = package.agenda
        self.lists = package.lists
        self._writer = package.writer
        self._hook_url: str = section.get("hook_url", "")
        self.callbacks = Callbacks(
            self.desk,
            state,
            loket_signature(section.get("hook_secret", "")),
            heard=lambda status: status == 204,
            final=(400,),
        )

    def decide(self, meeting: Json, order: Mapping[str, Any]) -> Json:
        """A meeting sits. Raises `Wrong`; what stands before the fault in the list is decided then.

        `items`: [{uid or externalIdentifier, result, decision, motivation}]; without it all that is on the
        agenda gets `result` (accepted). `heldNow`: it sits today, not on its day. `tell`: Loket hears it.
        """
        asked = order.get("items")
        if asked is None:
            one = {
                name: value for name, value in order.items() if name in ("result", "decision", "motivation")
            }
            asked = [
                one | {"uid": item["UID"]}
                for item in self.agenda.on(meeting)
                if order.get("uid") in (None, item["UID"]) and item["state"] in BEFORE_THE_BODY
            ]
        if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
            raise Wrong("items: a list of {uid or externalIdentifier, result}")
        chosen = [(self._on_agenda(meeting, one), one) for one in asked]
        meeting = self.agenda.hold(meeting, at_once=_yes(order, "heldNow"))
        decided = [
            self.agenda.decide(item, str(one.get("result") or "accepted"), one) for item, one in chosen
        ]
        if _yes(order, "tell"):
            for item in decided:
                if RESULTS[item["state"]]:
                    self.tell(item)
        return {"meeting": meeting, "items": [_bare(item) for item in decided]}

    def sign(self, item: Json, order: Mapping[str, Any]) -> Json:
        """Raises `Wrong`."""
        signatories = order.get("signatories") or self.agenda.signatories(item)
        if not isinstance(signatories, list) or not all(
            isinstance(one, dict) and one.get("name") and one.get("function") for one in signatories
        ):
            raise Wrong("signatories: a list of {name, function}")
        try:
            on = date.fromisoformat(str(order.get("signedOn") or now().astimezone(BRUSSELS).date()))
        except ValueError as fault:
            raise Wrong("signedOn: a day such as 2026-12-04") from fault
        item = self.agenda.sign(
            item, [{k: str(one[k]) for k in ("name", "function")} for one in signatories], on
        )
        if _yes(order, "tell"):
            self.tell(item)
        return item

    def tell(self, item: Json) -> str | None:
        """The connector's notice of what was decided; None when nobody listens. Raises `Wrong`."""
        result, body = RESULTS.get(item["state"]), body_of(item["config_id"])
        meeting = self.agenda.meeting(item["meeting"]) if item["meeting"] else None
        if not result or meeting is None or body is None:
            raise Wrong(f"nothing is decided: the item is {item['state']}", 409)
        if not item["externalIdentifier"]:
            item = item | {"externalIdentifier": self._first(item)["externalIdentifier"]}
        data: Json = {
            "externalIdentifier": item["externalIdentifier"],
            "itemUid": item["UID"],
            "body": body.key,
            "meetingOn": day_of(meeting["date"]).isoformat(),
            "result": result,
            "decisionHtml": item["decision"],
            "signatories": [
                {"name": one["name"], "function": one["function"], "signedOn": one["signed_on"]}
                for one in item["signatures"]
            ],
        }
        signed = next((one for one in self.agenda.annexes(item) if one["signed"]), None)
        if signed is not None:
            data["documentUrl"] = self._writer.annex(signed)["file"]["download"]
            data["sha256"] = hashlib.sha256(base64.b64decode(signed["data"])).hexdigest()
        if not self._hook_url:
            return None
        return self.callbacks.send(self._hook_url, "decision.recorded", notice("decision.recorded", data))

    def _first(self, item: Json) -> Json:
        """The item that a successor goes back to: the one that Loket made."""
        while (
            item["predecessor"] is not None and (before := self.agenda.item(item["predecessor"])) is not None
        ):
            item = before
        return item

    def _on_agenda(self, meeting: Json, one: Mapping[str, Any]) -> Json:
        named = [
            item
            for item in self.agenda.on(meeting)
            if one.get("uid") == item["UID"]
            or (one.get("externalIdentifier") and one["externalIdentifier"] == item["externalIdentifier"])
        ]
        if not named:
            raise Wrong(f"not on this agenda: {one.get('uid') or one.get('externalIdentifier')}", 404)
        return named[0]


def app(config: Config, state: State) -> Starlette:
    package = Package(config, state)
    secretariat = Secretariat(config, state, package)
    return Starlette(
        routes=[
            *package.routes(),
            *_sim_routes(secretariat),
            *secretariat.callbacks.routes(),
        ],
        lifespan=secretariat.callbacks.running,
        exception_handlers={Wrong: refused},
    )


def _sim_routes(secretariat: Secretariat) -> list[Route]:
    agenda = secretariat.agenda

    def item_of(request: Request) -> Json:
        found = agenda.item(request.path_params["uid"])
        if found is None:
            raise Wrong("no such item", 404)
        return found

    def meeting_of(request: Request) -> Json:
        found = agenda.meeting(request.path_params["uid"])
        if found is None:
            raise Wrong("no such meeting", 404)
        return found

    async def meetings(request: Request) -> Response:
        if request.method == "POST":
            order = await told(request)
            try:
                starts_at = datetime.fromisoformat(str(order.get("date")))
            except ValueError as fault:
                raise Wrong("date: such as 2026-12-04T14:00") from fault
            made = agenda.convene(
                str(order.get("body")), starts_at.replace(tzinfo=starts_at.tzinfo or BRUSSELS)
            )
            return carried_out(request, secretariat.desk, made)
        body = body_of(request.query_params.get("body", ""))
        return JSONResponse(agenda.meetings(body.config_id if body else None))

    async def decide(request: Request) -> Response:
        order = await told(request)
        return carried_out(request, secretariat.desk, secretariat.decide(meeting_of(request), order))

    async def freeze(request: Request) -> Response:
        return carried_out(request, secretariat.desk, agenda.freeze(meeting_of(request)))

    async def items(request: Request) -> Response:
        named = request.query_params.get("externalIdentifier")
        return JSONResponse(
            [_bare(one) for one in (agenda.items() if named is None else agenda.named(named))]
        )

    async def sign(request: Request) -> Response:
        order = await told(request)
        return carried_out(request, secretariat.desk, _bare(secretariat.sign(item_of(request), order)))

    async def present(request: Request) -> Response:
        return carried_out(request, secretariat.desk, _bare(agenda.present(item_of(request))))

    async def organisations(request: Request) -> Response:
        if request.method == "POST":
            return carried_out(request, secretariat.desk, await _added(request, "organisation"))
        known = secretariat.lists.organisations()
        return JSONResponse(
            [{"id": name, "UID": uid, "title": title} for name, (uid, title) in known.items()]
        )

    async def categories(request: Request) -> Response:
        if request.method == "POST":
            return carried_out(request, secretariat.desk, await _added(request, "category"))
        known = secretariat.lists.categories()
        return JSONResponse([{"id": name, "title": title} for name, title in known.items()])

    async def _added(request: Request, kind: str) -> dict[str, str]:
        order = await told(request)
        return secretariat.lists.add(kind, str(order.get("id") or "").strip(), str(order.get("title") or ""))

    async def tell(request: Request) -> Response:
        return carried_out(request, secretariat.desk, {"callback": secretariat.tell(item_of(request))})

    return [
        Route("/sim/meetings", meetings, methods=["GET", "POST"]),
        Route("/sim/meetings/{uid}/decide", decide, methods=["POST"]),
        Route("/sim/meetings/{uid}/freeze", freeze, methods=["POST"]),
        Route("/sim/items", items),
        Route("/sim/items/{uid}/sign", sign, methods=["POST"]),
        Route("/sim/items/{uid}/present", present, methods=["POST"]),
        Route("/sim/items/{uid}/tell", tell, methods=["POST"]),
        Route("/sim/organisations", organisations, methods=["GET", "POST"]),
        Route("/sim/categories", categories, methods=["GET", "POST"]),
    ]


def _bare(item: Json) -> Json:
    """An item for a script, with what our contract calls its result."""
    return item | {"result": RESULTS.get(item["state"]) or None}


def _yes(order: Mapping[str, Any], name: str) -> bool:
    """A switch of an order: true in JSON, any text in a form."""
    return bool(order.get(name)) and order[name] not in ("0", "false", "no")


SYSTEM = System(name="minutes", title="Notulering", offset=10, app=app, section=section)
