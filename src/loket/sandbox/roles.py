"""The desk's page for who plays along: sit on the college, advise, be the bank, empty the letter boxes.

Each part shows what waits for somebody now, with the buttons of the system itself: Loket is told what the
real one would tell it.
"""

import re
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from loket.sandbox import advisers, ebox, post, smtp
from loket.sandbox.accounting_notation import euro
from loket.sandbox.minutes_agenda import BEFORE_THE_BODY, BODIES, SIGNED_STATES, Agenda, Body
from loket.sandbox.minutes_desk import BUTTONS
from loket.sandbox.minutes_wire import spoken
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.personas import citizen_of, citizens
from loket.sandbox.state import State
from loket.sandbox.system import Config

Json = dict[str, Any]

SHOWN = 8
"""Rows of what is settled already."""
_IN_THE_EBOX = {"SENT": "verzonden", "DELIVERED": "in de eBox", "OPENED": "geopend"}


def play(config: Config) -> Markup:
    """The whole page."""
    parts = (
        ("college", "U zit in het college, of in een ander bestuur", _bodies(config)),
        ("handtekening", "U tekent: de voorzitter en de algemeen directeur", _unsigned(config)),
        ("advies", "U bent een externe adviseur", _advisers(config)),
        ("bank", "U bent de boekhouding en de bank", _orders(config)),
        ("post", "U bent het secretariaat aan het loket van de post", _post(config)),
        ("brievenbus", "U maakt de brievenbussen leeg", _boxes(config)),
    )
    return Markup("<h1>Meespelen</h1><p>{}</p>{}").format(
        join(
            Markup('<a class="tag" href="#{}">{}</a>').format(key, title.partition(":")[0])
            for key, title, _ in parts
        ),
        join(
            Markup('<section id="{}"><h2>{}</h2>{}</section>').format(key, title, body)
            for key, title, body in parts
        ),
    )


# --- the bodies ------------------------------------------------------------------------------------


def _bodies(config: Config) -> Markup:
    agenda = Agenda(config.states["minutes"])
    url = config.url("minutes")
    parts = [part for body in BODIES for part in _waiting(agenda, url, body)]
    if parts:
        return join(parts)
    return Markup(
        '<p class="empty">Niets op de agenda. Een dossierbehandelaar zet er iets op met '
        "<code>decisionPrepare</code> en <code>decisionSendToMinutes</code>.</p>"
    )


def _waiting(agenda: Agenda, url: str, body: Body) -> list[Markup]:
    """The meetings of a body that have something to decide."""
    parts = []
    for meeting in agenda.meetings(body.config_id):
        items = [one for one in agenda.on(meeting) if one["state"] in BEFORE_THE_BODY]
        if not items:
            continue
        path = f"{url}/sim/meetings/{meeting['UID']}/decide"
        rows = [
            (
                str(one["number"]),
                Markup("{}<br><small>{}</small>").format(one["title"], one["externalIdentifier"]),
                fold("tekst", Markup("<pre>{}</pre>").format(_plain(one["decision"]))),
                _decisions(path, one),
            )
            for one in items
        ]
        parts.append(
            Markup("<h3>{}, {}</h3>{}").format(
                body.title,
                spoken(meeting["date"]),
                table(("Punt", "Titel", "Ontwerp", "Uw beslissing"), rows),
            )
        )
    return parts


def _decisions(path: str, item: Json) -> Markup:
    of_this = {"uid": item["UID"], "heldNow": "1", "tell": "1"}
    plain = [button(path, label, of_this | {"result": result}, kind=kind) for result, label, kind in BUTTONS]
    changed = Markup(
        '<form method="post" action="{}">{}<textarea name="decision" rows="4" cols="50" required>{}'
        "</textarea><br><button>Aanvaard zo gewijzigd</button></form>"
    ).format(
        path,
        join(
            Markup('<input type="hidden" name="{}" value="{}">').format(name, value)
            for name, value in (of_this | {"result": "accepted_but_modified"}).items()
        ),
        item["decision"],
    )
    return join([*plain, fold("Wijzigen", changed)])


def _unsigned(config: Config) -> Markup:
    agenda = Agenda(config.states["minutes"])
    url = config.url("minutes")
    rows = [
        (
            one["title"],
            one["externalIdentifier"],
            ", ".join(f"{who['name']} ({who['function']})" for who in agenda.signatories(one)),
            button(f"{url}/sim/items/{one['UID']}/sign", "Beiden tekenen", {"tell": "1"}),
        )
        for one in agenda.items()
        if one["state"] in SIGNED_STATES and not one["signatures"]
    ]
    return table(("Besluit", "Zaak", "Wie", ""), rows, empty="Niets om te tekenen.")


def _plain(html: str) -> str:
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", "\n", html)).strip()


# --- advice ----------------------------------------------------------------------------------------


def _advisers(config: Config) -> Markup:
    found = [(mail, token) for mail in _letters(config.states["smtp"]) if (token := advisers.token_in(mail))]
    rows = [
        (
            moment(mail["at"]),
            ", ".join(mail["envelopeTo"]),
            Markup('<a href="/advies?{}">{}</a>').format(urlencode({"token": token}), mail["subject"]),
        )
        for mail, token in reversed(found[-SHOWN:])
    ]
    empty = (
        "Niemand vroeg u iets. Een dossierbehandelaar doet dat met adviceRequest, per e-mail met een link."
    )
    return table(("Wanneer", "Aan", "E-mail met een link die één keer dient"), rows, empty=empty)


def _letters(state: State) -> list[Json]:
    known = {one.email for one in citizens()}
    boxes = [address for address, _ in state.items("mailbox") if address not in known]
    found = [mail for address in boxes for mail in smtp.mailbox(state, address)]
    return sorted(found, key=lambda one: int(one["number"]))


# --- money -----------------------------------------------------------------------------------------


def _orders(config: Config) -> Markup:
    url = config.url("accounting")
    rows = []
    for kept in config.states["accounting"].all("payout"):
        if kept["status"] != "ACCEPTED":
            continue
        order, at = kept["order"], f"{url}/sim/payouts/{kept['order']['id']}"
        rows.append(
            (
                order["caseReference"],
                Markup("{}<br><code>{}</code>").format(order["creditor"]["name"], order["creditor"]["iban"]),
                euro(order["amount"]),
                join(
                    [
                        button(f"{at}/execute", "Uitvoeren", {"by": "json"}),
                        button(f"{at}/execute", "Uitvoeren, met pain.002", {"by": "pain002"}, kind="quiet"),
                        button(
                            f"{at}/reject",
                            "Weigeren: rekening gesloten",
                            {"reasonCode": "AC04", "by": "json"},
                            kind="danger",
                        ),
                    ]
                ),
            )
        )
    more = Markup('<p><a href="/systeem/accounting">Het hele orderboek</a></p>')
    return join([table(("Zaak", "Begunstigde", "Bedrag", ""), rows, empty="Niets om uit te betalen."), more])


# --- post ------------------------------------------------------------------------------------------


def _post(config: Config) -> Markup:
    return Markup(
        "<p>Haal de brieven van de dag op in Loket (<code>letterBatchMake</code>, als secretariaat), breng "
        "ze hierheen, en geef Loket het bewijs van afgifte terug (<code>letterBatchProof</code>).</p>{}"
    ).format(post.counter(config.states["desk"]))


def _boxes(config: Config) -> Markup:
    letters = config.states["desk"].all("letter", SHOWN)
    state = config.states["ebox"]
    digital = [
        (citizen, one, message)
        for one in state.all("notification", SHOWN)
        if (citizen := citizen_of(one["message"]["ssin"])) is not None
        for message in ebox.messages(state, citizen.insz)
        if message["id"] == one["id"]
    ]
    rows = [
        (
            moment(message["sentAt"]),
            Markup('<a href="/burger/{}">{}</a>').format(citizen.key, citizen.name),
            message["subject"],
            tag(_IN_THE_EBOX[message["status"]], "good" if message["status"] == "OPENED" else "wait"),
            Markup('<a href="{}/sim/ebox/{}/{}/document">openen</a>').format(
                config.url("ebox"), citizen.insz, message["id"]
            ),
        )
        for citizen, _, message in reversed(digital)
    ]
    people = join(
        Markup('<a class="tag" href="/burger/{}">{}</a>').format(one.key, one.name) for one in citizens()
    )
    return Markup(
        "<h3>Aan de deur</h3>{}<h3>In de eBox</h3>{}<h3>Alles wat iemand ontving</h3><p>{}</p>"
    ).format(
        post.box(letters, to_whom=True),
        table(("Wanneer", "Van", "Bericht", "Toestand", ""), rows, empty="Geen documenten."),
        people,
    )
