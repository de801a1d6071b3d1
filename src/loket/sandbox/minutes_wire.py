"""The minutes package on the wire: PloneMeeting's JSON, its checks on what comes in, its refusals."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from loket.sandbox.belgian_days import BRUSSELS
from loket.sandbox.minutes_agenda import Agenda, Body, Json, body_of
from loket.sandbox.minutes_lists import Lists

ANNEX_CATEGORIES = {"annex": ("item-annex", "advies"), "annexDecision": ("decision-annex",)}
OPTIONAL = (
    *("description", "detailedDescription", "motivation", "category", "privacy", "optionalAdvisers", "notes"),
    *("observations", "budgetInfos", "classifier", "groupsInCharge", "associatedGroups", "decisionSuite"),
)
ACTIVE = ("motivation", "category", "privacy", "optionalAdvisers")
"""Of the optional fields, those that the configurations of Lindebeke use."""
REQUIRED = ("title", "proposingGroup")
ORDERS = frozenset(
    {"@type", "config_id", "wf_transitions", "ignore_not_used_data", "ignore_validation_for", "in_name_of"}
    | {"clean_html", "__children__"}
)
"""What in a new item says what to do, and is no field of it."""
FIELDS = frozenset({*REQUIRED, *OPTIONAL, "decision", "externalIdentifier", "preferredMeeting"})
MONTHS = (
    *("januari", "februari", "maart", "april", "mei", "juni"),
    *("juli", "augustus", "september", "oktober", "november", "december"),
)


@dataclass
class Refusal(Exception):
    """`nested`: as plone.restapi does for what is not there, not allowed, or no transition."""

    status: int
    type: str
    message: str
    nested: bool = False

    def response(self) -> Response:
        said = {"type": self.type, "message": self.message}
        headers = {"WWW-Authenticate": 'Basic realm="Zope"'} if self.status == 401 else None
        return JSONResponse({"error": said} if self.nested else said, self.status, headers)


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


@dataclass(frozen=True)
class NewItem:
    """A new item that was found to be in order. `annexes` are the fields of each."""

    fields: Json
    annexes: list[Json]
    transitions: list[str]
    warnings: list[str]


# --- what comes in -----------------------------------------------------------------------------------------


def new_item(told: Json, inactive: Iterable[str], lists: Lists) -> NewItem:
    """The item that a POST describes. `inactive`: fields that are switched off besides. Raises `Refusal`."""
    body = config_of(told.get("config_id"))
    told, warnings = _used(told, set(OPTIONAL) - set(ACTIVE) | set(inactive))
    skipped = [name for name in told.get("ignore_validation_for") or [] if isinstance(name, str)]
    if set(skipped) & set(REQUIRED):
        missing = ", ".join(REQUIRED)
        raise bad_request(f'You can not ignore validation for following required fields: "{missing}"!')
    valued = [name for name in skipped if told.get(name)]
    if valued:
        named = ", ".join(valued)
        raise bad_request(
            "You can not ignore validation of a field for which a value is provided,"
            f' remove "{named}" from data!'
        )
    if skipped:
        warnings.append(f"Validation was ignored for following fields: {', '.join(skipped)}.")
    fields = {name: told[name] for name in FIELDS if name in told}
    if fields.get("proposingGroup"):
        fields["proposingGroup"] = _group(str(fields["proposingGroup"]), lists)
    if "externalIdentifier" in fields:
        fields["externalIdentifier"] = str(fields["externalIdentifier"] or "")
    _check(fields, lists)
    unknown = sorted(set(told) - FIELDS - ORDERS)
    if unknown:
        warnings.append(f"Following field names were ignored: {', '.join(unknown)}.")
    annexes = []
    for child in told.get("__children__") or []:
        annex, remarks = new_annex(child)
        annexes.append(annex)
        warnings += remarks
    transitions = [str(name) for name in told.get("wf_transitions") or []]
    return NewItem(fields | {"config_id": body.config_id}, annexes, transitions, warnings)


def new_annex(told: object) -> tuple[Json, list[str]]:
    """The fields of an annex, and what is remarked about it. Raises `Refusal`."""
    if not isinstance(told, dict):
        raise bad_request("Children must be objects")
    kind = (
        "annexDecision" if told.get("decision_related") or told.get("@type") == "annexDecision" else "annex"
    )
    category = told.get("content_category", ANNEX_CATEGORIES[kind][0])
    if category not in ANNEX_CATEGORIES[kind]:
        raise bad_request(
            f'Given content_category "{category}" was not found or is not useable'
            " for the annex you try to add!"
        )
    file = told.get("file")
    if not isinstance(file, dict) or not (file.get("filename") or file.get("content-type")):
        raise bad_request('One of "filename" or "content-type" is required for the "file" of an annex!')
    warnings = []
    if not file.get("encoding"):
        warnings.append(f'The encoding of "{file.get("filename")}" was not given, "base64" was assumed.')
    encoding, data = file.get("encoding") or "base64", str(file.get("data") or "")
    try:
        content = base64.b64decode(data, validate=True) if encoding == "base64" else data.encode(encoding)
    except (binascii.Error, LookupError, UnicodeEncodeError) as wrong:
        raise bad_request(f"Could not decode the file with encoding {encoding!r}: {wrong}") from wrong
    filename = str(file.get("filename") or "file")
    return {
        "type": kind,
        "title": str(told.get("title") or filename),
        "content_category": category,
        "confidential": bool(told.get("confidential")),
        "to_sign": bool(told.get("to_sign")),
        "filename": filename,
        "content-type": file.get("content-type") or _guessed(filename),
        "data": base64.b64encode(content).decode("ascii"),
    }, warnings


def config_of(config_id: object) -> Body:
    """Raises `Refusal`."""
    if not config_id:
        raise bad_request('The "config_id" parameter must be given!')
    body = body_of(str(config_id))
    if body is None or body.config_id != config_id:
        raise bad_request(f'The given "config_id" named "{config_id}" was not found!')
    return body


def _used(told: Json, inactive: set[str]) -> tuple[Json, list[str]]:
    left_out = sorted(name for name in inactive if told.get(name))
    if not left_out:
        return told, []
    if not told.get("ignore_not_used_data"):
        raise bad_request(
            f'The optional field "{left_out[0]}" is not activated in this configuration!'
            ' You can ignore optional fields errors by adding "ignore_not_used_data: true" to sent data.'
        )
    warning = (
        "The following optional fields are not activated in this configuration and were ignored:"
        f" {', '.join(left_out)}."
    )
    return {name: value for name, value in told.items() if name not in left_out}, [warning]


def _check(fields: Json, lists: Lists) -> None:
    """Python's own writing of a list is what the real one answers. Raises `Refusal`."""
    faults = [
        {"field": name, "message": f"{name} is required, please correct.", "error": "ValidationError"}
        for name in REQUIRED
        if not fields.get(name)
    ]
    for name, allowed in (("category", lists.categories()), ("privacy", ("public", "secret"))):
        if fields.get(name) and fields[name] not in allowed:
            told = f"Value {fields[name]} is not allowed for vocabulary of element {name}."
            faults.append({"field": name, "message": told, "error": "ValidationError"})
    if faults:
        raise bad_request(str(faults))


def _group(value: str, lists: Lists) -> str:
    known = lists.organisations()
    if value not in known and value not in {uid for uid, _ in known.values()}:
        raise bad_request(
            f'Error with value "{value}" defined for field "proposingGroup"!'
            " Enter a valid organization id or UID."
        )
    return known[value][0] if value in known else value


def _guessed(filename: str) -> str:
    return "application/pdf" if filename.endswith(".pdf") else "text/plain"


# --- what goes out -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Writer:
    """Writes what the agenda holds as PloneMeeting does. `query` says how much of it."""

    agenda: Agenda
    lists: Lists
    url: str

    def item(self, item: Json, query: QueryParams) -> Json:
        shown = self._summary(item, "Item", self.item_url(item))
        whole = _yes(query, "fullobjects")
        for name in query.getlist("metadata_fields"):
            if name == "review_state":
                shown[name] = {"token": item["state"], "title": item["state"].replace("_", " ").capitalize()}
            elif name in item:
                shown[name] = item[name]
        if whole:
            shown |= self._fields(item)
        for name in query.getlist("extra_include"):
            shown |= self._extra(item, name, query)
        return shown

    def meeting(self, meeting: Json, query: QueryParams) -> Json:
        shown = self._summary(meeting, "Meeting", f"{self.url}/meetings/{meeting['UID']}")
        shown["date"] = meeting["date"]
        if _yes(query, "fullobjects"):
            shown |= {"validation_deadline": meeting["closes"], "freeze_deadline": meeting["closes"]}
        return shown

    def annex(self, annex: Json) -> Json:
        url = f"{self.url}/items/{annex['item']}/{annex['UID']}"
        return {
            "@id": url,
            "@type": annex["type"],
            "UID": annex["UID"],
            "id": annex["filename"],
            "title": annex["title"],
            "modified": annex["modified"],
            "content_category": {"token": annex["content_category"], "title": annex["content_category"]},
            "confidential": annex["confidential"],
            "to_sign": annex["to_sign"],
            "signed": annex["signed"],
            "file": {
                "content-type": annex["content-type"],
                "download": f"{url}/@@download/file",
                "filename": annex["filename"],
                "size": len(base64.b64decode(annex["data"])),
            },
        }

    def attendees(self, item: Json) -> list[Json]:
        """Who sat at the item's meeting: the two that sign; nobody before it is on an agenda.

        `signed_on` is no field of PloneMeeting: see the adapter's assumptions.
        """
        if item["meeting"] is None:
            return []
        return [
            {
                "@type": "held_position",
                "UID": f"{number:032x}",
                "title": one["name"],
                "attendee_type": {"token": "present", "title": "Aanwezig"},
                "signatory": str(number),
                "signatory_position_type": {"token": one["function"].split()[0], "title": one["function"]},
                "voter": number == 1,
                **({"signed_on": one["signed_on"]} if "signed_on" in one else {}),
            }
            for number, one in enumerate(self.agenda.signatories(item), start=1)
        ]

    def item_url(self, item: Json) -> str:
        return f"{self.url}/items/{item['UID']}"

    def _summary(self, one: Json, kind: str, url: str) -> Json:
        body = body_of(one["config_id"])
        assert body is not None
        return {
            "@id": url,
            "@type": f"Meeting{'Item' if kind == 'Item' else ''}{body.key.title().replace('_', '')}",
            "UID": one["UID"],
            "id": one["UID"],
            "title": one["title"] if kind == "Item" else spoken(one["date"]),
            "created": one.get("created", one.get("date")),
            "modified": one.get("modified", one.get("date")),
            "review_state": one["state"],
        }

    def _fields(self, item: Json) -> Json:
        groups = dict(self.lists.organisations().values())
        group = groups.get(item["proposingGroup"], item["proposingGroup"])
        privacy = {"secret": "Besloten zitting", "public": "Openbare zitting"}[item["privacy"]]
        return {
            "externalIdentifier": item["externalIdentifier"],
            "proposingGroup": {"token": item["proposingGroup"], "title": group},
            "category": {"token": item["category"], "title": item["category"]},
            "privacy": {"token": item["privacy"], "title": privacy},
            "preferredMeeting": {"token": item["preferredMeeting"], "title": item["preferredMeeting"]},
            "motivation": {"content-type": "text/html", "data": item["motivation"]},
            "decision": {"content-type": "text/html", "data": item["decision"]},
            "formatted_itemNumber": str(item["number"] or ""),
        }

    def _extra(self, item: Json, name: str, query: QueryParams) -> Json:
        """What is not known is left out, without a word."""
        if name == "meeting":
            meeting = self.agenda.meeting(item["meeting"]) if item["meeting"] else None
            inner = _of(query, "meeting")
            return {"extra_include_meeting": self.meeting(meeting, inner) if meeting else {}}
        if "deliberation" in name:
            told = {
                "deliberation": item["motivation"] + item["decision"],
                "deliberation_motivation": item["motivation"],
                "deliberation_decision": item["decision"],
            }
            asked = query.getlist("extra_include")
            return {"extra_include_deliberation": {key: told[key] for key in asked if key in told}}
        if name == "annexes":
            inner = _of(query, "annexes")
            wanted = {key: _yes(inner, key) for key in ("to_sign", "signed", "confidential") if key in inner}
            annexes = self.agenda.annexes(item)
            return {
                "extra_include_annexes": [
                    self.annex(one)
                    for one in annexes
                    if all(one[key] == value for key, value in wanted.items())
                ]
            }
        if name == "attendees":
            return {"extra_include_attendees": self.attendees(item)}
        if name == "linked_items":
            inner = _of(query, "linked_items")
            after = self.agenda.successors(item)
            after = after[:1] if "successors" in inner.getlist("mode") else after
            return {
                "extra_include_linked_items": [self.item(one, inner) for one in after],
                "extra_include_linked_items_items_total": len(after),
            }
        return {}


def infos(user: str | None) -> Json:
    """`connected_user` is null for who did not sign in, or did so wrongly; the answer is 200 all the same."""
    packages = {"Products.PloneMeeting": "4.2.20", "plonemeeting.restapi": "2.13", "imio.restapi": "1.0b3"}
    return {"connected_user": user, "packages": packages, "stats": {"types": {}, "database": {}}}


def spoken(moment: str) -> str:
    """A meeting's title: `9 maart 2026 (14:00)`."""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {MONTHS[at.month - 1]} {at.year} ({at:%H:%M})"


def day_of(moment: str) -> date:
    return datetime.fromisoformat(moment).replace(tzinfo=BRUSSELS).date()


def _of(query: QueryParams, part: str) -> QueryParams:
    """What the query asks about one extra part: `extra_include_meeting_fullobjects=1`."""
    prefix = f"extra_include_{part}_"
    return QueryParams(
        [(name.removeprefix(prefix), value) for name, value in query.multi_items() if name.startswith(prefix)]
    )


def _yes(query: Mapping[str, Any], name: str) -> bool:
    """A switch; one without a value is on."""
    return name in query and query[name].lower() not in ("0", "false", "no")
