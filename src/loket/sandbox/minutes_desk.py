"""The minutes package at the desk: what the bodies have on their agendas, a button for each decision."""

from markupsafe import Markup

from loket.sandbox.callbacks import callbacks_table
from loket.sandbox.minutes_agenda import (
    BEFORE_THE_BODY,
    BODIES,
    RESULTS,
    SIGNED_STATES,
    Agenda,
    Body,
    Json,
)
from loket.sandbox.minutes_lists import Lists
from loket.sandbox.minutes_wire import spoken
from loket.sandbox.page import button, fold, join, table, tag
from loket.sandbox.state import State
from loket.sandbox.system import Config

SHOWN = 2
"""Meetings of a body that are still empty, and meetings that were held."""
STATES = {"created": ("open", "good"), "frozen": ("agenda gesloten", "wait"), "decided": ("gehouden", "")}
COLOURS = {"ACCEPTED": "good", "MODIFIED": "good", "REFUSED": "bad", "REMOVED": "bad", "POSTPONED": "wait"}
BUTTONS = (
    ("accepted", "Aanvaarden", ""),
    ("refused", "Weigeren", "danger"),
    ("delayed", "Uitstellen", "quiet"),
    ("postponed_next_meeting", "Volgende zitting", "quiet"),
    ("removed", "Afvoeren", "danger"),
)


def section(config: Config, state: State) -> Markup:
    url, agenda = config.url("minutes"), Agenda(state)
    drafts = [one for one in agenda.items() if one["meeting"] is None]
    parts = [_body(url, agenda, body) for body in BODIES]
    rows = [
        (one["externalIdentifier"], one["title"], tag(one["state"], "wait"), _present(url, one))
        for one in drafts
    ]
    return join(
        [
            *parts,
            Markup("<h3>Op geen agenda</h3>"),
            table(["Zaak", "Titel", "Stand", ""], rows),
            fold("Organisaties en categorieën", _lists(url, Lists(config.section("minutes"), state))),
            fold("Meldingen aan Loket", callbacks_table(state, url)),
        ]
    )


def _lists(url: str, lists: Lists) -> Markup:
    """What the administrator keeps; a procedure names one of each."""
    organisations = [(name, title) for name, (_, title) in lists.organisations().items()]
    return join(
        [
            table(["Organisatie", "Titel"], organisations),
            _adding(f"{url}/sim/organisations", "Organisatie toevoegen"),
            table(["Categorie", "Titel"], list(lists.categories().items())),
            _adding(f"{url}/sim/categories", "Categorie toevoegen"),
        ]
    )


def _adding(action: str, label: str) -> Markup:
    return Markup(
        '<form method="post" action="{}" class="inline"><label>Id <input name="id" required '
        'pattern="[a-z][a-z0-9]*(-[a-z0-9]+)*" placeholder="jeugddienst"></label>'
        '<label>Titel <input name="title" placeholder="Jeugddienst"></label>'
        '<button class="quiet">{}</button></form>'
    ).format(action, label)


def _body(url: str, agenda: Agenda, body: Body) -> Markup:
    """What is still to come first; what was held behind it, the last one first."""
    coming, held, empty = list[Markup](), list[Markup](), 0
    for meeting in agenda.meetings(body.config_id):
        items = agenda.on(meeting)
        if meeting["state"] == "decided":
            held[:0] = [_meeting(url, agenda, meeting, items)] if items else []
            continue
        empty += not items
        if items or empty <= SHOWN:
            coming.append(_meeting(url, agenda, meeting, items))
    earlier = [fold(f"Vroegere zittingen ({len(held) - SHOWN})", join(held[SHOWN:]))] if held[SHOWN:] else []
    return join([Markup("<h3>{}</h3>").format(body.title), *coming, *held[:SHOWN], *earlier])


def _meeting(url: str, agenda: Agenda, meeting: Json, items: list[Json]) -> Markup:
    waiting = [one for one in items if one["state"] in BEFORE_THE_BODY]
    count = "1 punt" if len(items) == 1 else f"{len(items)} punten"
    heading = Markup("{} {} {}").format(spoken(meeting["date"]), tag(*STATES[meeting["state"]]), count)
    path = f"{url}/sim/meetings/{meeting['UID']}"
    orders = []
    if waiting:
        now = {"heldNow": "1", "tell": "1"}
        orders.append(button(f"{path}/decide", "Nu zetelen en alles aanvaarden", now))
    if meeting["state"] == "created":
        orders.append(button(f"{path}/freeze", "Agenda sluiten", kind="quiet"))
    rows = [
        (
            str(one["number"]),
            one["externalIdentifier"],
            Markup("{}{}").format(
                one["title"], fold("tekst", Markup("<pre>{}</pre>").format(one["decision"]))
            ),
            tag(one["state"], COLOURS.get(RESULTS.get(one["state"], ""), "wait")),
            join(_orders(url, path, one)),
        )
        for one in items
    ]
    body = join([*orders, table(["Punt", "Zaak", "Titel", "Stand", ""], rows, empty="Nog geen punten.")])
    opened = Markup(" open") if waiting else Markup("")
    return Markup("<details{}><summary>{}</summary>{}</details>").format(opened, heading, body)


def _orders(url: str, meeting: str, item: Json) -> list[Markup]:
    path = f"{url}/sim/items/{item['UID']}"
    if item["state"] in BEFORE_THE_BODY:
        of_this = {"uid": item["UID"], "tell": "1"}
        plain = [
            button(f"{meeting}/decide", label, of_this | {"result": result}, kind=kind)
            for result, label, kind in BUTTONS
        ]
        return [*plain, _modified(f"{meeting}/decide", item)]
    orders = []
    if item["state"] in SIGNED_STATES and not item["signatures"]:
        orders.append(button(f"{path}/sign", "Ondertekenen", {"tell": "1"}))
    if RESULTS.get(item["state"]):
        orders.append(button(f"{path}/tell", "Meld aan Loket", kind="quiet"))
    return orders


def _modified(action: str, item: Json) -> Markup:
    form = Markup(
        '<form method="post" action="{}"><input type="hidden" name="uid" value="{}">'
        '<input type="hidden" name="tell" value="1">'
        '<input type="hidden" name="result" value="accepted_but_modified">'
        '<textarea name="decision" rows="4" cols="60" required>{}</textarea>'
        "<button>Gewijzigd aanvaarden</button></form>"
    ).format(action, item["UID"], item["decision"])
    return fold("Gewijzigd aanvaarden", form)


def _present(url: str, item: Json) -> Markup:
    if item["state"] == "removed":
        return Markup("")
    return button(f"{url}/sim/items/{item['UID']}/present", "Op de agenda", kind="quiet")
