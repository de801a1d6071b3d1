"""The people of the sandbox: citizens with TST national numbers, and the municipality's staff."""

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

from loket.sandbox.beneficiaries import BENEFICIARIES, Beneficiary
from loket.sandbox.staffing import posting


@dataclass(frozen=True)
class Citizen:
    """A person as the National Register would know them. `insz` is a test number: month + 60."""

    key: str
    insz: str
    given_name: str
    family_name: str
    born_on: date
    sex: str
    street: str
    number: str
    since: date
    postal_code: str = "2999"
    city: str = "Lindebeke"
    nis: str = "13999"
    email: str | None = None
    phone: str | None = None
    partner: str | None = None
    """Key of the husband or wife, who shares the household."""
    parent: str | None = None
    """Key of the father or mother with whom a child lives."""
    leads: bool = True
    """Is the reference person of the household."""
    state: str = "known"
    """known, replaced, deceased or unknown (to the National Register)."""
    replaced_by: str | None = None
    died_on: date | None = None
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"


@dataclass(frozen=True)
class Worker:
    """Someone who works for the municipality, with the roles that ACM/IDM gives them."""

    key: str
    insz: str
    given_name: str
    family_name: str
    roles: tuple[str, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"

    @property
    def mailbox(self) -> str:
        """What stands before the @ of their address at work."""
        return re.sub(r"\W+", "-", self.key).strip("-").lower()


def insz(born_on: date, serial: int, *, test: bool = True) -> str:
    """A national number: yymmdd, serial (odd for men, even for women), 97 minus the rest by 97.

    From 2000 on, a 2 stands before the nine digits when the check digits are taken. `test`: month + 60.
    """
    nine = f"{born_on.year % 100:02}{born_on.month + (60 if test else 0):02}{born_on.day:02}{serial:03}"
    return f"{nine}{97 - int(('2' if born_on.year >= 2000 else '') + nine) % 97:02}"


def is_insz(text: str) -> bool:
    """Eleven digits whose last two are right for a birth before or from 2000 on."""
    if len(text) != 11 or not text.isascii() or not text.isdigit():
        return False
    return int(text[9:]) in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97)


def citizens() -> tuple[Citizen, ...]:
    """The grown-ups with a story of their own; `burger-1` and so on are many and made on demand."""
    return tuple(one for one in _named().values() if one.parent is None)


def children() -> tuple[Citizen, ...]:
    return tuple(one for one in _named().values() if one.parent is not None)


def workers() -> tuple[Worker, ...]:
    return tuple(_workers().values())


def everyone() -> tuple[Citizen | Worker, ...]:
    return (*citizens(), *workers())


def person(key: str) -> Citizen | Worker | None:
    """Who has this key: a named citizen or worker, `burger-1` to `burger-99999`, or a worker on demand."""
    return _named().get(key) or _workers().get(key) or _numbered(key) or _posted(key)


def citizen_of(number: str) -> Citizen | None:
    """The citizen with this national number, be it their present one or one that was replaced."""
    for one in _named().values():
        if one.insz == number:
            return one
        if one.replaced_by == number:
            return replace(one, insz=number, state="known", replaced_by=None)
    return _generated_of(number)


def household(citizen: Citizen) -> tuple[Citizen, ...]:
    """Who lives at the same address as one household: its reference person, their partner, the children."""
    if citizen.parent is not None:
        family = household(_named()[citizen.parent])
        return tuple(citizen if one.key == citizen.key else one for one in family)
    partner = _named().get(citizen.partner or "")
    adults = (citizen,) if partner is None else (citizen, partner)
    parents = {one.key for one in adults}
    return (
        *(adults if citizen.leads else reversed(adults)),
        *(one for one in _named().values() if one.parent in parents),
    )


@cache
def _named() -> dict[str, Citizen]:
    everyone = (
        Citizen(
            "an",
            insz(date(1984, 3, 12), 512),
            "An",
            "Peeters",
            date(1984, 3, 12),
            "F",
            "Kerkstraat",
            "14",
            since=date(2012, 6, 1),
            email="an.peeters@voorbeeld.example",
            phone="+32470000001",
            partner="bert",
            note="woont samen met haar man Bert, is gezinshoofd",
        ),
        Citizen(
            "bert",
            insz(date(1982, 9, 30), 317),
            "Bert",
            "Maes",
            date(1982, 9, 30),
            "M",
            "Kerkstraat",
            "14",
            since=date(2012, 6, 1),
            email="bert.maes@voorbeeld.example",
            phone="+32470000002",
            partner="an",
            leads=False,
            note="zelfde gezin als An",
        ),
        Citizen(
            "carla",
            insz(date(1991, 1, 5), 224),
            "Carla",
            "Janssens",
            date(1991, 1, 5),
            "F",
            "Molenweg",
            "3",
            since=date(2019, 9, 16),
            email="carla.janssens@voorbeeld.example",
            phone="+32470000003",
            note="alleenstaand, krijgt het liefst een sms",
        ),
        Citizen(
            "dirk",
            insz(date(1975, 11, 20), 401),
            "Dirk",
            "Wouters",
            date(1975, 11, 20),
            "M",
            "Markt",
            "8",
            since=date(2005, 2, 1),
            postal_code="2400",
            city="Mol",
            nis="13025",
            email="dirk.wouters@voorbeeld.example",
            phone="+32470000004",
            note="woont in Mol, is dus geen inwoner",
        ),
        Citizen(
            "els",
            insz(date(1968, 7, 8), 130),
            "Els",
            "Claes",
            date(1968, 7, 8),
            "F",
            "Beekdal",
            "27",
            since=date(1998, 4, 20),
            email="els.claes@voorbeeld.example",
            phone="+32470000005",
            note="MAGDA heeft het voor haar te druk (99996) zolang de schakelaar aan staat",
        ),
        Citizen(
            "fatima",
            insz(date(1995, 5, 17), 288),
            "Fatima",
            "El Amrani",
            date(1995, 5, 17),
            "F",
            "Lindelaan",
            "5",
            since=date(2021, 3, 1),
            email="fatima.elamrani@voorbeeld.example",
            phone="+32470000006",
            state="replaced",
            replaced_by=insz(date(1995, 5, 17), 290),
            note="kreeg een nieuw rijksregisternummer (30004)",
        ),
        Citizen(
            "gust",
            insz(date(1941, 2, 14), 115),
            "Gust",
            "Verhoeven",
            date(1941, 2, 14),
            "M",
            "Kapelstraat",
            "61",
            since=date(1969, 8, 1),
            state="deceased",
            died_on=date(2026, 1, 9),
            note="overleden",
        ),
        Citizen(
            "noor",
            insz(date(2001, 12, 3), 176),
            "Noor",
            "De Smet",
            date(2001, 12, 3),
            "F",
            "Schoolstraat",
            "2",
            since=date(2024, 1, 15),
            email="noor.desmet@voorbeeld.example",
            phone="+32470000008",
            state="unknown",
            note="onbekend in het Rijksregister (30001)",
        ),
        *(_beneficiary(one) for one in BENEFICIARIES),
    )
    return {one.key: one for one in everyone}


def _beneficiary(one: Beneficiary) -> Citizen:
    return Citizen(
        one.key,
        insz(one.born_on, one.serial),
        one.given_name,
        one.family_name,
        one.born_on,
        one.sex,
        one.street,
        one.number,
        since=date(2019, 5, 1),
        email=None if one.child else f"{one.key}@voorbeeld.example",
        phone=None if one.child else f"+32470000{one.serial}",
        partner=None if one.child else one.lives_with,
        parent=one.lives_with if one.child else None,
        leads=one.leads,
        note=one.note,
    )


@cache
def _workers() -> dict[str, Worker]:
    everyone = (
        Worker(
            "hilde",
            insz(date(1979, 4, 2), 208),
            "Hilde",
            "Van Dyck",
            ("LoketBehandelaar-Milieudienst",),
            "dossierbehandelaar milieudienst",
        ),
        Worker(
            "sofie",
            insz(date(1988, 8, 19), 362),
            "Sofie",
            "Leemans",
            ("LoketBehandelaar-SocialeDienst",),
            "dossierbehandelaar sociale dienst",
        ),
        Worker("filip", insz(date(1972, 6, 25), 143), "Filip", "Goossens", ("LoketFinancien",), "financiën"),
        Worker(
            "wim",
            insz(date(1990, 10, 11), 455),
            "Wim",
            "Aerts",
            ("LoketUitvoerder-Milieudienst",),
            "technische dienst, rijdt de bestelwagen van de milieudienst",
        ),
        Worker(
            "greet",
            insz(date(1985, 12, 29), 610),
            "Greet",
            "Mertens",
            ("LoketBeheerder", "LoketBehandelaar"),
            "applicatiebeheerder en behandelaar van alle diensten",
        ),
        Worker("farah", insz(date(1991, 2, 16), 234), "Farah", "Benali", ("LoketFinancien",), "financiën"),
        Worker(
            "astrid",
            insz(date(1983, 11, 7), 418),
            "Astrid",
            "Coppens",
            ("LoketAdviseur",),
            "interne adviseur",
        ),
        Worker(
            "sandra",
            insz(date(1976, 9, 23), 392),
            "Sandra",
            "Lenaerts",
            ("LoketSecretariaat",),
            "secretariaat van de algemeen directeur",
        ),
    )
    return {one.key: one for one in everyone}


def _posted(key: str) -> Worker | None:
    """`medewerker:LoketAdviseur:Technische dienst`: see `staffing`."""
    found = posting(key)
    if found is None:
        return None
    number = insz(found.born_on, found.serial)
    return Worker(key, number, found.given_name, found.family_name, (found.role,), found.note)


_FIRST_DAY = date(1945, 1, 1)
_DAYS = 21_000
"""Generated citizens are born on this many days from then: all of them grown-up."""
_FIRST_SERIAL = 700
"""Above the serials of those who are named, so that no number is given twice."""
_LAST = 99_999
_WOMEN = ("Marie", "Lotte", "Ingrid", "Amina", "Katrien", "Sarah", "Yasmina", "Lieve", "Julie", "Nele")
_MEN = ("Jan", "Tom", "Karim", "Luc", "Pieter", "Yusuf", "Stijn", "Marc", "Joris", "Wout")
_FAMILIES = (
    "Jacobs",
    "Mertens",
    "Willems",
    "Claeys",
    "Yilmaz",
    "Hendrickx",
    "Bogaert",
    "Nys",
    "Smets",
    "Diallo",
    "Cools",
)
_STREETS = ("Kerkstraat", "Molenweg", "Beekdal", "Lindelaan", "Kapelstraat", "Schoolstraat", "Dorpsplein")


def _numbered(key: str) -> Citizen | None:
    word, _, digits = key.partition("-")
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 5 else 0
    return _generated(number) if word == "burger" and digits == str(number) and 1 <= number <= _LAST else None


def _generated(number: int) -> Citizen:
    """`burger-<number>`: always the same person, living alone in the municipality. Odd numbers are men."""
    born_on = _FIRST_DAY + timedelta(days=number % _DAYS)
    serial = _FIRST_SERIAL + 2 * (number // _DAYS) + number % 2
    given = (_MEN if number % 2 else _WOMEN)[number // 2 % 10]
    return Citizen(
        f"burger-{number}",
        insz(born_on, serial),
        given,
        _FAMILIES[number % len(_FAMILIES)],
        born_on,
        "M" if number % 2 else "F",
        _STREETS[number % len(_STREETS)],
        str(1 + number % 180),
        since=date(2015, 1, 1),
        email=f"burger-{number}@voorbeeld.example",
        phone=f"+324710{number:05}",
    )


def _generated_of(insz_: str) -> Citizen | None:
    """The generated citizen with this number: the number says the day of birth and the serial."""
    if not is_insz(insz_):
        return None
    serial = int(insz_[6:9]) - _FIRST_SERIAL
    for century in (1900, 2000):
        try:
            born_on = date(century + int(insz_[:2]), int(insz_[2:4]) - 60, int(insz_[4:6]))
        except ValueError:
            return None
        number = (born_on - _FIRST_DAY).days + serial // 2 * _DAYS
        if serial >= 0 and 1 <= number <= _LAST and _generated(number).insz == insz_:
            return _generated(number)
    return None
