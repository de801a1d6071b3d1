"""MAGDA's page on the desk: what it is told to answer, who is registered, and its legal log."""

from markupsafe import Markup

from loket.sandbox.magda_envelope import MESSAGES
from loket.sandbox.magda_people import described
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.personas import Citizen, citizen_of, citizens, person
from loket.sandbox.state import State
from loket.sandbox.system import Config

CHOICES = ("99996", "60006", "60007", "99994", "30001", "30002", "30003", "40006", "70001")
"""What MAGDA can be told to answer about a persona."""
EVENTS = {
    "dies": "Overlijdt",
    "moves": "Verhuist naar Mol",
    "renumbered": "Krijgt een nieuw nummer",
    "restored": "Maak ongedaan",
}


def section(config: Config, state: State) -> Markup:
    address = config.url("magda") + "/sim/forced"
    told = join(
        Markup("<div>{} {} {}</div>").format(
            tag("let op", "wait"),
            f"{_of_key(key)}: {document['code']} {MESSAGES[document['code']][1]}.",
            button(address, "Zet uit", _switch(key), kind="quiet"),
        )
        for key, document in state.items("forced")
    )
    choose = Markup(
        '<form method="post" action="{}" class="inline"><label>Antwoord over '
        '<select name="persona"><option value="*">iedereen</option>{}</select></label>'
        '<label>met <select name="code">{}</select></label><button class="quiet">Zet aan</button></form>'
    ).format(
        address,
        join(Markup('<option value="{}">{}</option>').format(one.key, one.name) for one in citizens()),
        join(
            Markup('<option value="{}">{} {}</option>').format(code, code, MESSAGES[code][1])
            for code in CHOICES
        ),
    )
    registrations = [
        (_who(one["insz"]), one["begin"], one["end"] or "open", one["sender"])
        for one in reversed(state.all("registration", 50))
    ]
    log = [
        (
            moment(one["at"]),
            one.get("service", "?"),
            ", ".join(_who(number) for number in one["insz"]),
            one.get("quality"),
            join(tag(code, "bad") for code in one["codes"]) or tag("beantwoord", "good"),
        )
        for one in reversed(state.all("log", 30))
    ]
    return Markup("<div>{}{}</div><h3>Inschrijvingen</h3>{}{}").format(
        told,
        choose,
        table(("Persoon", "Van", "Tot", "Afzender"), registrations, empty="Niemand is ingeschreven."),
        fold("Wettelijk logboek", table(("Wanneer", "Dienst", "Over wie", "Hoedanigheid", "Antwoord"), log)),
    )


def life(config: Config, state: State, citizen: Citizen) -> Markup:
    """What authentic sources know of one persona, and what may befall them."""
    known = described(state, citizen)
    home = known["address"]
    points = known["adult_points"] if known["pillars"] is None else known["pillars"]
    facts = (
        ("Woont", f"{home['street']} {home['number']}, {home['postal_code']} {home['city']}"),
        ("Overleden", known["deceased_on"] or "nee"),
        ("Nieuw nummer", known["replaced_by"] or "nee"),
        ("Gezin", ", ".join(known["household"])),
        ("Statuten", ", ".join(known["statuses"]) or "geen"),
        ("Handicap", "geen dossier" if points is None else f"{points} punten"),
        ("Inkomen", "geen aanslagbiljet" if known["income_eur"] is None else f"€ {known['income_eur']}"),
    )
    address = f"{config.url('magda')}/sim/persons/{citizen.key}"
    return Markup("<h3>MAGDA</h3><dl>{}</dl><p>{}</p>").format(
        join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts),
        join(button(address, label, {"event": event}, kind="quiet") for event, label in EVENTS.items()),
    )


def _of_key(key: str) -> str:
    who, _, service = key.partition("/")
    known = person(who)
    name = known.name if known else "iedereen"
    return f"{name}, {service}" if service else name


def _who(number: str) -> str:
    citizen = citizen_of(number)
    return f"{citizen.name} ({number})" if citizen else number


def _switch(key: str) -> dict[str, str]:
    who, _, service = key.partition("/")
    return {"persona": who, "service": service}
