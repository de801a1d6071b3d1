"""What MAGDA passes on from social security and the treasury, for social premiums.

Shapes follow the public MAGDA-Mock. Assumed: that the amounts of an assessment are eurocents, and that its
partner is told of as the person who was asked about is.
"""

from datetime import date, datetime

from loket.sandbox.magda_envelope import BRUSSELS, Answer, Exceptional, Fault, Question
from loket.sandbox.magda_people import family, social
from loket.sandbox.national_register import Element, element
from loket.sandbox.personas import Citizen
from loket.sandbox.state import State

FIRST_YEAR = 2005
INCOME = "7555"
RECOGNISED_ON = date(2022, 7, 1)
"""Since when the handicap of every persona who has one is recognised."""
ABILITIES = ("mobility", "nourishment", "hygiene", "household", "supervision", "socialSkills")
"""Each counts 0 to 3 points on the scale for adults."""
OTHER_SOURCES = ("irisCareResult", "aviqResult", "dslResult")


def give_statuses(state: State, question: Question, citizen: Citizen) -> Answer:
    """Each status that is asked for is answered; one that nobody knows is not applicable."""
    asked = question.content.findall("Criteria/SocialeStatuten/SociaalStatuut")
    if not asked:
        raise Fault("10001: het verzoek voldoet niet aan het schema: SociaalStatuut ontbreekt")
    has = set(social(state, citizen).statuses)
    if any("BIM_BVT" in social(state, one).statuses for one in family(state, citizen)):
        has.add("BIM_BVT_IN_FAMILY")
    statuses = []
    for one in asked:
        name = (one.findtext("Naam") or "").strip()
        _day_of(one.findtext("Datum/Datum"))
        code, word = ("1", "Van toepassing") if name in has else ("0", "Niet van toepassing")
        result = element("Resultaat", element("Code", code), element("Omschrijving", word))
        statuses.append(element("SociaalStatuut", element("Naam", name), result))
    return Answer(element("Persoon", element("INSZ", citizen.insz), element("SocialeStatuten", *statuses)))


def give_assessment(state: State, question: Question, citizen: Citizen) -> Answer:
    """One assessment for a couple: A is the reference person of the household, B their partner."""
    year = question.text("Criteria/Inkomensjaar")
    if not year.isascii() or not year.isdigit():
        raise Fault("10001: het verzoek voldoet niet aan het schema: Inkomensjaar")
    together = [citizen, *(one for one in family(state, citizen) if one.key == citizen.partner)]
    together.sort(key=lambda one: not one.leads)
    bill = dict(zip("AB", together, strict=False))
    incomes = {letter: social(state, one).income_eur for letter, one in bill.items()}
    own = next(letter for letter, one in bill.items() if one.key == citizen.key)
    if incomes[own] is None or not FIRST_YEAR <= int(year) < datetime.now(BRUSSELS).year:
        raise Exceptional("45008")
    codes = {(one.text or "").strip() for one in question.content.findall("Criteria/IPCALCodes/IPCALCode")}
    items = [
        element("Item", element("Code", letter + INCOME), element("Waarde", str(int(income * 100))))
        for letter, income in incomes.items()
        if income is not None and (not codes or INCOME in codes)
    ]
    people = [
        element("GevraagdePersoon" if letter == own else "Partner", *_taxed(letter, one))
        for letter, one in sorted(bill.items(), key=lambda pair: pair[0] != own)
    ]
    return Answer(
        element(
            "AanslagbiljetPersonenbelasting",
            *people,
            element("Inkomensjaar", year),
            element("Artikelnummer", f"7{year}{citizen.insz[6:9]}"),
            element("Items", *items),
        )
    )


def give_handicap(state: State, question: Question, citizen: Citizen) -> Answer:
    """The file at the federal source (DGPH), as it stood on the day asked for; other sources have none."""
    criteria = question.content.find("Criteria/ConsultFilesByDateCriteria")
    if criteria is None or criteria.findtext("handicapAuthenticSources/DGPH") != "true":
        raise Fault("10001: het verzoek voldoet niet aan het schema: handicapAuthenticSources")
    on, known = _day_of(criteria.findtext("referenceDate")), social(state, citizen)
    found = on >= RECOGNISED_ON and (known.adult_points is not None or known.pillars is not None)
    recognitions = []
    if found and criteria.findtext("parts/handicapRecognitions") == "true":
        decided = criteria.findtext("decisionStatus") == "true"
        result = _child(known.pillars) if known.pillars is not None else _adult(known.adult_points or 0)
        recognitions.append(_recognition(result, decided=decided))
    file = [element("file", element("handicapRecognitions", *recognitions))] if found else []
    return Answer(
        element(
            "ConsultFilesByDateResponse",
            _status(found=found),
            element("ssin", citizen.insz),
            element(
                "results",
                element("dgphResult", _status(found=found), *file),
                *(element(source, _status(found=False)) for source in OTHER_SOURCES),
            ),
        )
    )


def _day_of(text: str | None) -> date:
    try:
        return date.fromisoformat((text or "").strip())
    except ValueError:
        raise Fault("10001: het verzoek voldoet niet aan het schema: geen datum") from None


def _taxed(letter: str, one: Citizen) -> list[Element]:
    word = "Titularis" if letter == "A" else "Partner"
    status = element("FiscaleStatus", element("Code", letter), element("Omschrijving", word))
    return [element("INSZ", one.insz), status]


def _status(*, found: bool) -> Element:
    value, code, words = (
        ("DATA_FOUND", "MSG00000", "Treatment successful")
        if found
        else (
            "NO_DATA_FOUND",
            "MSG00021",
            "The provider has no data",
        )
    )
    return element("status", element("value", value), element("code", code), element("description", words))


def _recognition(result: Element, *, decided: bool) -> Element:
    return element(
        "handicapRecognition",
        element(
            "recognitionStatus",
            element("dateOfDecision", RECOGNISED_ON.isoformat()),
            element("startDateRecognition", RECOGNISED_ON.isoformat()),
        ),
        element("legislation", "3"),
        result,
        *([element("decisionStatus", "RECOGNITION_DETERMINED")] if decided else []),
    )


def _adult(points: int) -> Element:
    """The points spread over the six abilities."""
    spread = [points // len(ABILITIES) + (place < points % len(ABILITIES)) for place in range(len(ABILITIES))]
    abilities = [element(name, str(part)) for name, part in zip(ABILITIES, spread, strict=True)]
    return element(
        "resultRecognitionAdult",
        element("diminuationIndependence", *abilities, element("totalPoints", str(points))),
        element("diminuationEarnings", "true" if points >= 9 else "false"),
    )


def _child(points: tuple[int, int, int]) -> Element:
    pillars = [element(f"pillar{place}", str(part)) for place, part in enumerate(points, 1)]
    return element(
        "resultRecognitionChild",
        element("pillars", *pillars, element("pillarsTotal", str(sum(points)))),
    )
