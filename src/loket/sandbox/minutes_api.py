"""The minutes package's API: what plonemeeting.restapi answers, and whom."""

import base64
import hmac
from collections.abc import Awaitable, Callable

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.minutes_agenda import BODIES, Agenda, Json
from loket.sandbox.minutes_lists import Lists
from loket.sandbox.minutes_wire import (
    ACTIVE,
    Refusal,
    Writer,
    bad_request,
    config_of,
    infos,
    new_annex,
    new_item,
)
from loket.sandbox.state import State
from loket.sandbox.system import Config

BATCH = 25
"""Plone's own, when `b_size` is not asked."""
PRESENT_WARNING = " Make sure a meeting accepting items exists in configuration '{}'!"

Answer = Callable[[Request], Awaitable[Response]]


class Package:
    """What is asked of the package over its API."""

    def __init__(self, config: Config, state: State) -> None:
        section = config.section("minutes")
        self.url = config.url("minutes")
        self.agenda = Agenda(state)
        self.lists = Lists(section, state)
        self.writer = Writer(self.agenda, self.lists, self.url)
        self._user: str = section.get("user", "")
        self._password: str = section.get("password", "")
        self._inactive: list[str] = section.get("inactive_fields", [])

    def routes(self) -> list[Route]:
        door = self._guarded
        return [
            Route("/@infos", self.infos),
            Route("/@users/{id}", door(self.user)),
            Route("/@config", door(self.config)),
            Route("/@search", door(self.search)),
            Route("/@get", door(self.get)),
            Route("/@item", door(self.get), methods=["GET"]),
            Route("/@item", door(self.add), methods=["POST"]),
            Route("/@annex/{uid}", door(self.add_annex), methods=["POST"]),
            Route("/items/{uid}", door(self.one), methods=["GET", "DELETE"]),
            Route("/items/{uid}/@attendees", door(self.attendees)),
            Route("/items/{uid}/@annexes", door(self.annexes)),
            Route("/items/{uid}/@workflow", door(self.workflow)),
            Route("/items/{uid}/@workflow/{transition}", door(self.transition), methods=["POST"]),
            Route("/items/{uid}/{annex}/@@download/file", door(self.download)),
        ]

    def _guarded(self, answer: Answer) -> Answer:
        """`answer` behind the sign-in."""

        async def endpoint(request: Request) -> Response:
            if self.signed_in(request) is None:
                return Refusal(401, "Unauthorized", "You are not authorized here.").response()
            try:
                return await answer(request)
            except Refusal as refusal:
                return refusal.response()

        return endpoint

    def signed_in(self, request: Request) -> str | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = base64.b64encode(f"{self._user}:{self._password}".encode()).decode("ascii")
        right = scheme.lower() == "basic" and hmac.compare_digest(given.encode(), wanted.encode())
        return self._user if self._password and right else None

    async def infos(self, request: Request) -> Response:
        return JSONResponse(infos(self.signed_in(request)))

    async def user(self, request: Request) -> Response:
        if request.path_params["id"] != self._user:
            raise Refusal(404, "NotFound", "User not found.", nested=True)
        found: Json = {"@id": str(request.url), "id": self._user, "username": self._user, "fullname": "Loket"}
        extra = request.query_params.getlist("extra_include")
        if "configs" in extra:
            found["extra_include_configs"] = [{"id": one.config_id, "title": one.title} for one in BODIES]
        if "groups" in extra:
            known = self.lists.organisations()
            groups = [{"id": name, "UID": uid, "title": title} for name, (uid, title) in known.items()]
            found["extra_include_groups"] = groups
        return JSONResponse(found)

    async def config(self, request: Request) -> Response:
        config_id = request.query_params.get("config_id", "")
        bodies = BODIES if config_id == "*" else (config_of(config_id),)
        active = [name for name in ACTIVE if name not in self._inactive]
        found = [
            {
                "@id": f"{self.url}/portal_plonemeeting/{one.config_id}",
                "@type": "MeetingConfig",
                "id": one.config_id,
                "title": one.title,
                "usedItemAttributes": [{"token": name, "title": name} for name in active],
            }
            for one in bodies
        ]
        return JSONResponse({"items": found, "items_total": len(found)} if config_id == "*" else found[0])

    async def search(self, request: Request) -> Response:
        query = request.query_params
        config_id, kind = query.get("config_id"), query.get("type")
        open_only = query.get("meetings_accepting_items", "0").lower() in ("1", "true", "on", "yes")
        if config_id is not None or kind in ("item", "meeting") or open_only:
            config_of(config_id)
        if kind == "meeting" or open_only:
            meetings = [
                one
                for one in self.agenda.meetings(config_id)
                if (not open_only or one["state"] == "created") and _meets(one, query)
            ]
            found = [self.writer.meeting(one, query) for one in reversed(meetings)]
        else:
            named = query.get("externalIdentifier")
            items = self.agenda.items() if named is None else self.agenda.named(named)
            of_config = [one for one in items if config_id in (None, one["config_id"]) and _meets(one, query)]
            found = [self.writer.item(one, query) for one in sorted(of_config, key=lambda one: one["title"])]
        start, size = _number(query, "b_start", 0), _number(query, "b_size", BATCH)
        return JSONResponse(
            {"@id": str(request.url), "items": found[start : start + size], "items_total": len(found)}
        )

    async def get(self, request: Request) -> Response:
        """`@get` and `@item`; the second only for items."""
        query = request.query_params
        uid, named = query.get("UID") or query.get("uid"), query.get("externalIdentifier")
        if not uid and not named:
            raise bad_request('The "UID or uid" parameter must be given!')
        item = self.agenda.item(uid) if uid else next(iter(self.agenda.named(named or "")), None)
        if item is not None:
            return JSONResponse(self.writer.item(item, query))
        meeting = self.agenda.meeting(uid) if uid else None
        if meeting is not None and request.url.path.endswith("@get"):
            return JSONResponse(self.writer.meeting(meeting, query))
        if meeting is not None:
            raise bad_request("The element UID does not correspond to the type managed by this endpoint!")
        raise Refusal(404, "NotFound", f'No element found with UID "{uid or named}"!', nested=True)

    async def add(self, request: Request) -> Response:
        new = new_item(await _json(request), self._inactive, self.lists)
        item, warnings = self.agenda.add(new.fields), list(new.warnings)
        for name in new.transitions:
            if name in self.agenda.offered(item):
                item = self.agenda.go(item, name)
            else:
                told = f"While treating wfTransitions, could not trigger the '{name}' transition!"
                warnings.append(
                    told + (PRESENT_WARNING.format(item["config_id"]) if name == "present" else "")
                )
        children = []
        for fields in new.annexes:
            annex, item = self.agenda.add_annex(item, fields)
            children.append(self.writer.annex(annex))
        shown = self.writer.item(item, QueryParams("fullobjects=1")) | {"@warnings": warnings}
        return JSONResponse(shown | ({"__children__": children} if children else {}), 201)

    async def add_annex(self, request: Request) -> Response:
        item = self._known(request)
        fields, warnings = new_annex(await _json(request))
        annex, _ = self.agenda.add_annex(item, fields)
        return JSONResponse(self.writer.annex(annex) | {"@warnings": warnings}, 201)

    async def one(self, request: Request) -> Response:
        """An item at its own address; only a draft can be deleted."""
        item = self._known(request)
        if request.method == "GET":
            return JSONResponse(self.writer.item(item, request.query_params))
        if item["state"] != "itemcreated":
            raise Refusal(401, "Unauthorized", "You are not allowed to delete this element.")
        self.agenda.delete(item)
        return Response(status_code=204)

    async def attendees(self, request: Request) -> Response:
        return JSONResponse(self.writer.attendees(self._known(request)))

    async def annexes(self, request: Request) -> Response:
        return JSONResponse([self.writer.annex(one) for one in self.agenda.annexes(self._known(request))])

    async def workflow(self, request: Request) -> Response:
        item = self._known(request)
        at = f"{self.writer.item_url(item)}/@workflow"
        offered = [{"@id": f"{at}/{name}", "title": name} for name in self.agenda.offered(item)]
        return JSONResponse({"@id": at, "history": [], "transitions": offered})

    async def transition(self, request: Request) -> Response:
        item, name = self._known(request), request.path_params["transition"]
        if name not in self.agenda.offered(item):
            offered = ", ".join(f"'{one}'" for one in self.agenda.offered(item))
            told = f"Invalid transition '{name}'.\nValid transitions are:\n{offered}"
            raise Refusal(400, "WorkflowException", told, nested=True)
        item = self.agenda.go(item, name)
        return JSONResponse(
            {"action": name, "actor": self._user, "review_state": item["state"], "comments": ""}
        )

    async def download(self, request: Request) -> Response:
        annex = self.agenda.annex(request.path_params["annex"])
        if annex is None or annex["item"] != request.path_params["uid"]:
            raise Refusal(404, "NotFound", "Resource not found", nested=True)
        disposition = {"Content-Disposition": f"attachment; filename={annex['filename']}"}
        return Response(base64.b64decode(annex["data"]), 200, disposition, annex["content-type"])

    def _known(self, request: Request) -> Json:
        uid = request.path_params["uid"]
        item = self.agenda.item(uid)
        if item is None:
            raise Refusal(404, "NotFound", f'No element found with UID "{uid}"!', nested=True)
        return item


async def _json(request: Request) -> Json:
    """Raises `Refusal`."""
    try:
        found = await request.json()
    except ValueError as fault:
        raise bad_request(f"Malformed body: {fault}") from fault
    if not isinstance(found, dict):
        raise bad_request("Malformed body")
    return found


def _meets(one: Json, query: QueryParams) -> bool:
    """Whether a meeting or an item is what the indexes of the query ask for."""
    asked = {
        "state": query.get("review_state") or query.get("state"),
        "UID": query.get("UID") or query.get("uid"),
        "meeting": query.get("linkedMeetingUID") or query.get("meeting_uid"),
    }
    return all(value is None or one.get(name) == value for name, value in asked.items())


def _number(query: QueryParams, name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default
