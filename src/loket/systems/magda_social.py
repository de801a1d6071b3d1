"""What social security and the treasury know, as premiums need it: the questions and what answers say.

Shapes as in the public sources of MAGDA-Mock. Assumed, since no public source says it: that the amounts of an
assessment are eurocents, that 7555 is the taxable income, of each partner their own, that `Partner` looks as
`GevraagdePersoon` does, and that the criteria for a handicap file stand in `Inhoud` as all others do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from loket.errors import Declined
from loket.systems.magda_soap import Answer, Element, Notice, Service, text

# fmt: off
STATUSES = Service("GeefSociaalStatuut", "03.00", "soczek",
                   "http://magda.vlaanderen.be/soczek/soap/geefsociaalstatuut/v03_00")
ASSESSMENT = Service("GeefAanslagbiljetPersonenbelasting", "02.00", "inkomen",
                     "http://webservice.geefaanslagbiljetpersonenbelastingdienst-02_00"
                     ".inkomen-02_00.vip.vlaanderen.be")
HANDICAP = Service("GeefDossierHandicap", "03.00", "soczek",
                   "http://magda.vlaanderen.be/soczek/soap/geefdossierhandicap/v03_00")
# fmt: on

TAXABLE_INCOME = "7555"
NO_SUCH_YEAR = "45008"
"""INFORMATIE: there is no assessment (yet) for the year asked for."""
UNITS_PER_EURO = 100
"""Of the whole numbers on an assessment: eurocents, which is assumed."""
DETERMINED = "RECOGNITION_DETERMINED"
"""Status of a decision that recognises a handicap; a recognition with another is none yet."""
NOT_OURS = ("VSB", "IrisCare", "NicCin", "AVIQ", "DSL")
"""Sources of handicap files beside the federal one (DGPH), which alone is asked."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Told:
    """What each of these answers carries. With `replaced_by` all else may be missing: register, ask again."""

    reference: str
    replaced_by: str | None
    warnings: tuple[Notice, ...]

    @property
    def needs_reading(self) -> bool:
        """Whether MAGDA warns (WAARSCHUWING) that the answer means something else than it says."""
        return any(notice.kind == "WAARSCHUWING" for notice in self.warnings)


@dataclass(frozen=True, repr=False, kw_only=True)
class SocialStatuses(Told):
    """Whether each status that was asked for applied on the day that was asked for."""

    applies: Mapping[str, bool]


@dataclass(frozen=True, repr=False, kw_only=True)
class TaxAssessment(Told):
    """One year's assessment; not `found`: there is none for that year (yet).

    `taxpayer` and `partner` are national numbers. `items` holds euros by full code: `A7555` of the taxpayer,
    `B7555` of the partner who is assessed together with them. Never keep or log these amounts.
    """

    found: bool
    year: int
    taxpayer: str | None
    partner: str | None
    items: Mapping[str, Decimal]

    def total_eur(self, code: str = TAXABLE_INCOME) -> Decimal | None:
        """Taxpayer and partner together; None when the assessment does not have the code."""
        amounts = [amount for name, amount in self.items.items() if name[1:] == code]
        return sum(amounts, Decimal()) if amounts else None


@dataclass(frozen=True, repr=False)
class Pillars:
    """The scale for children: points per pillar (pijler), and all together."""

    pillar_1: int | None
    pillar_2: int | None
    pillar_3: int | None
    total: int | None


@dataclass(frozen=True, repr=False)
class Recognition:
    """One recognition: the points of an adult or of a child, and from when till when; None is open.

    `reduced_earnings`: an adult's earning capacity is at most a third (two thirds are lost).
    """

    adult_points: int | None
    reduced_earnings: bool | None
    child: Pillars | None
    begins_on: date | None
    ends_on: date | None
    decision_status: str | None

    def holds_on(self, day: date) -> bool:
        return (self.begins_on or date.min) <= day <= (self.ends_on or date.max)


@dataclass(frozen=True, repr=False, kw_only=True)
class HandicapFile(Told):
    """The file at the FOD Sociale Zekerheid; not `found`: it has none. `code` is its own, as MSG00000."""

    found: bool
    code: str | None
    recognitions: tuple[Recognition, ...]


_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")


# --- questions --------------------------------------------------------------------------------


def statuses_question(insz: str, names: Iterable[str], on: date) -> dict[str, Any]:
    asked = [{"Naam": name, "Datum": {"Datum": on.isoformat()}} for name in names]
    return {"Criteria": {"INSZ": insz, "SocialeStatuten": {"SociaalStatuut": asked}}}


def assessment_question(insz: str, year: int, codes: Iterable[str]) -> dict[str, Any]:
    criteria = {"INSZ": insz, "Inkomensjaar": year, "IPCALCodes": {"IPCALCode": list(codes)}}
    return {"Criteria": criteria, "Bron": "FODFIN", "Taal": "nl"}


def handicap_question(insz: str, on: date) -> dict[str, Any]:
    """Recognitions only: what somebody is paid, and their card, are none of our business."""
    parts = ("evolutionOfRequest", "rights", "socialCards")
    criteria = {
        "ssin": insz,
        "handicapAuthenticSources": {"DGPH": "true"} | dict.fromkeys(NOT_OURS, "false"),
        "referenceDate": on.isoformat(),
        "parts": {"handicapRecognitions": "true"} | dict.fromkeys(parts, "false"),
        "decisionStatus": "true",
        "enrichedRecognition": "false",
    }
    return {"Criteria": {"ConsultFilesByDateCriteria": criteria}}


# --- answers ----------------------------------------------------------------------------------


def statuses_of(
    answer: Answer, names: Iterable[str], reference: str, replaced_by: str | None
) -> SocialStatuses:
    """Raises Declined when a status that was asked for is not answered: that is not a no."""
    said = {
        text(one, "Naam"): text(one, "Resultaat/Code")
        for one in _all(answer, "Persoon/SocialeStatuten/SociaalStatuut")
    }
    applies = {name: said[name] == "1" for name in names if said.get(name) in {"0", "1"}}
    missing = set(names) - set(applies)
    if missing and replaced_by is None:
        raise Declined("magda", _unanswered(answer, f"no answer about {', '.join(sorted(missing))}"))
    return SocialStatuses(
        reference=reference, replaced_by=replaced_by, warnings=answer.notices, applies=applies
    )


def assessment_of(answer: Answer, year: int, reference: str, replaced_by: str | None) -> TaxAssessment:
    """Raises Declined for an assessment of another year, or amounts that are not whole numbers."""
    bill = None if answer.content is None else answer.content.find("AanslagbiljetPersonenbelasting")
    if bill is None and replaced_by is None and NO_SUCH_YEAR not in answer.codes:
        raise Declined("magda", _unanswered(answer, "no assessment in the answer"))
    if bill is not None and text(bill, "Inkomensjaar") != str(year):
        raise Declined("magda", "the assessment is not of the year that was asked for")
    items = {} if bill is None else {text(one, "Code") or "": one for one in bill.findall("Items/Item")}
    return TaxAssessment(
        reference=reference,
        replaced_by=replaced_by,
        warnings=answer.notices,
        found=bill is not None,
        year=year,
        taxpayer=_with_status(bill, "A"),
        partner=_with_status(bill, "B"),
        items={
            code: Decimal(amount) / UNITS_PER_EURO
            for code, one in items.items()
            if (amount := _whole(one, "Waarde")) is not None
        },
    )


def handicap_of(answer: Answer, reference: str, replaced_by: str | None) -> HandicapFile:
    """Raises Declined when the source says neither that it has a file nor that it has none."""
    result = (
        None
        if answer.content is None
        else answer.content.find("ConsultFilesByDateResponse/results/dgphResult")
    )
    status, code = text(result, "status/value"), text(result, "status/code")
    if status not in {"DATA_FOUND", "NO_DATA_FOUND"} and replaced_by is None:
        raise Declined("magda", _unanswered(answer, f"the source of handicap files says {status} {code}"))
    found = [] if result is None else result.findall("file/handicapRecognitions/handicapRecognition")
    return HandicapFile(
        reference=reference,
        replaced_by=replaced_by,
        warnings=answer.notices,
        found=status == "DATA_FOUND",
        code=code,
        recognitions=tuple(_recognition(one) for one in found),
    )


def _unanswered(answer: Answer, what: str) -> str:
    return " ".join((what, *answer.codes))


def _all(answer: Answer, path: str) -> list[Element]:
    return [] if answer.content is None else answer.content.findall(path)


def _with_status(bill: Element | None, status: str) -> str | None:
    """The number of who is taxpayer (A) or partner (B): either may be the one who was asked about."""
    people = [] if bill is None else [*bill.findall("GevraagdePersoon"), *bill.findall("Partner")]
    found = (text(one, "INSZ") for one in people if text(one, "FiscaleStatus/Code") == status)
    return next(found, None)


def _recognition(one: Element) -> Recognition:
    adult, pillars = one.find("resultRecognitionAdult"), one.find("resultRecognitionChild/pillars")
    earnings = text(adult, "diminuationEarnings")
    return Recognition(
        adult_points=_whole(adult, "diminuationIndependence/totalPoints"),
        reduced_earnings=None if earnings is None else earnings in {"true", "1"},
        child=None
        if pillars is None
        else Pillars(*(_whole(pillars, name) for name in ("pillar1", "pillar2", "pillar3", "pillarsTotal"))),
        begins_on=_day(one, "recognitionStatus/startDateRecognition"),
        ends_on=_day(one, "recognitionStatus/endDateRecognition"),
        decision_status=text(one, "decisionStatus"),
    )


def _whole(element: Element | None, path: str) -> int | None:
    """A whole number, None where it is left out. Raises Declined for other words, not repeating them."""
    words = text(element, path)
    if words is not None and not _WHOLE.fullmatch(words):
        raise Declined("magda", f"{path} is not a whole number")
    return None if words is None else int(words)


def _day(element: Element, path: str) -> date | None:
    """A date, also of an instant (`2022-07-01T00:00:00+02:00`); None where it is left out."""
    words = text(element, path)
    try:
        return None if words is None else date.fromisoformat(words[:10])
    except ValueError:
        raise Declined("magda", f"{path} is not a date") from None
