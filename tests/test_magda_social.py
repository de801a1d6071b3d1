"""What social premiums ask of MAGDA: statuses, assessments, handicap files, and people whose life changes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from sqlalchemy import select
from sqlmodel import col

from flemish import Credentials
from loket import accesslog, settings
from loket.database import Database
from loket.errors import Declined, Failed, Unavailable
from loket.records import AccessLog, Person
from loket.sandbox import acmidm as sandbox_acmidm
from loket.sandbox import magda as sandbox_magda
from loket.sandbox.beneficiaries import social_of
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Citizen, Worker, children, citizen_of, everyone, household, person
from loket.systems import magda_social
from loket.systems.magda import CallRecord, Magda, NotKnown, NotRegistered, Outcome
from loket.systems.magda_soap import Answer as Told
from loket.systems.magda_soap import Notice
from loket.work import the_system
from raw_server import Answer, RawServer, raw_server

TODAY = date.today()  # noqa: DTZ011  # as MAGDA counts days
NEW_YEAR = date(TODAY.year, 1, 1)
LAST_YEAR = TODAY.year - 1
AN = "84631251272"
REFERENCE = "3f0f2a4e-7e55-4b5e-9a0a-1f6f6f3f9d10"


@dataclass
class Log:
    records: list[CallRecord] = field(default_factory=list)

    async def keep(self, record: CallRecord) -> None:
        self.records.append(record)


@dataclass
class Asking:
    """A Loket at its MAGDA, which lets people's lives change."""

    settings: settings.Magda
    magda: Magda
    house: House
    log: Log

    async def know(self, key: str) -> str:
        """Register somebody for our purpose; answers their number."""
        await self.register(number(key))
        return number(key)

    async def register(self, insz: str) -> None:
        await self.magda.register(
            insz, reference=reference(), begins_on=TODAY, ends_on=TODAY + timedelta(days=90)
        )

    async def statuses(self, key: str, *names: str) -> dict[str, bool]:
        insz = await self.know(key)
        told = await self.magda.social_statuses(insz, names, NEW_YEAR, reference=reference())
        return dict(told.applies)

    async def assessment(self, key: str, year: int = LAST_YEAR) -> magda_social.TaxAssessment:
        return await self.magda.tax_assessment(await self.know(key), year, reference=reference())

    async def handicap(self, key: str, on: date = NEW_YEAR) -> magda_social.HandicapFile:
        return await self.magda.handicap_file(await self.know(key), on, reference=reference())

    async def change(self, key: str, **changes: object) -> dict[str, Any]:
        answer = await self.sim("POST", f"/sim/persons/{key}", changes)
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def force(self, key: str, code: str | None, service: str = "") -> None:
        answer = await self.sim("POST", "/sim/forced", {"persona": key, "code": code, "service": service})
        assert answer.is_success

    async def sim(self, method: str, path: str, body: object = None) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return await client.request(method, self.house.config.url("magda") + path, json=body)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("loket"))


@pytest.fixture(scope="module")
async def house(credentials: Credentials) -> AsyncIterator[House]:
    async with sandbox(credentials.sandbox(), (sandbox_magda.SYSTEM,)) as house:
        yield house


@pytest.fixture
async def asking(credentials: Credentials, house: House) -> AsyncIterator[Asking]:
    state, log = house.states["magda"], Log()
    for kind in ("registration", "person", "forced"):
        state.delete(kind)
    state.put("forced", "ward/GeefSociaalStatuut", {"code": "99996"})
    section = credentials.magda(house.config.url("magda"))
    magda = Magda(section, on_call=log.keep)
    yield Asking(section, magda, house, log)
    await magda.aclose()


def number(key: str) -> str:
    citizen = person(key)
    assert isinstance(citizen, Citizen)
    return citizen.insz


def reference() -> str:
    return str(uuid4())


# ── The personas ──────────────────────────────────────────────────────────────────────────────────────


def test_children_have_test_numbers_of_their_own_and_live_with_a_parent() -> None:
    numbers = [one.insz for one in (*everyone(), *children())]
    assert len(set(numbers)) == len(numbers)
    assert {one.key for one in children()} == {"stan", "mila", "jef"}
    for child in children():
        assert 61 <= int(child.insz[2:4]) <= 72
        assert citizen_of(child.insz) == child
        assert child in household(child)
        assert household(child)[0].key == child.parent


@pytest.mark.parametrize(
    ("key", "role"),
    [("farah", "LoketFinancien"), ("astrid", "LoketAdviseur"), ("sandra", "LoketSecretariaat")],
)
def test_the_new_staff_have_their_roles(key: str, role: str) -> None:
    worker = person(key)
    assert isinstance(worker, Worker)
    assert worker.roles == (role,)


@given(st.integers(1, 99_999))
def test_generated_citizens_are_mixed_and_always_the_same(number: int) -> None:
    known = social_of(f"burger-{number}")
    assert known == social_of(f"burger-{number}")
    assert ("BIM_BVT" in known.statuses) == bool(number % 2)
    assert known.income_eur is not None
    assert 15_000 <= known.income_eur < 55_000


# ── Social statuses ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "applies"),
    [
        ("rita", True),
        ("omar", True),
        ("karel", False),
        ("lotte", True),
        ("ines", False),
        ("an", False),
        ("burger-1", True),
        ("burger-2", False),
    ],
)
async def test_the_increased_allowance_is_a_yes_or_a_no(asking: Asking, key: str, applies: bool) -> None:
    assert await asking.statuses(key, "BIM_BVT") == {"BIM_BVT": applies}


async def test_each_status_is_answered_and_one_that_nobody_knows_is_a_no(asking: Asking) -> None:
    told = await asking.statuses("stan", "BIM_BVT", "BIM_BVT_IN_FAMILY", "KENNEL_OWNER")

    assert told == {"BIM_BVT": False, "BIM_BVT_IN_FAMILY": True, "KENNEL_OWNER": False}


async def test_statuses_are_of_the_day_asked_for_under_our_reference(asking: Asking) -> None:
    insz, question = await asking.know("rita"), reference()

    told = await asking.magda.social_statuses(
        insz, ("BIM_BVT",), NEW_YEAR, reference=question, user="79640220846"
    )

    assert (told.reference, told.replaced_by, told.warnings, told.needs_reading) == (
        question,
        None,
        (),
        False,
    )
    body = asking.house.states["magda"].received("", 1)[-1]["body"]
    assert f"<Datum>{NEW_YEAR.isoformat()}</Datum>" in body
    record = asking.log.records[-1]
    assert (record.reference, record.service, record.version) == (
        question,
        "GeefSociaalStatuut",
        "03.00.0000",
    )
    assert (record.insz, record.user, record.outcome) == (insz, "79640220846", Outcome.ANSWERED)


async def test_ward_has_no_statuses_until_the_switch_is_off_but_the_rest_is_told(asking: Asking) -> None:
    with pytest.raises(Unavailable, match="99996"):
        await asking.statuses("ward", "BIM_BVT")
    assert (await asking.magda.get_person(number("ward"), reference=reference())).given_names == ("Ward",)

    await asking.force("ward", None, "GeefSociaalStatuut")
    assert await asking.statuses("ward", "BIM_BVT") == {"BIM_BVT": True}


# ── Tax assessments ───────────────────────────────────────────────────────────────────────────────────


async def test_an_income_comes_in_euros(asking: Asking) -> None:
    ines = await asking.assessment("ines")

    assert (ines.found, ines.year, ines.taxpayer, ines.partner) == (True, LAST_YEAR, number("ines"), None)
    assert dict(ines.items) == {"A7555": Decimal("36250.00")}
    assert ines.total_eur() == Decimal("36250.00")
    assert ines.total_eur("7557") is None


@pytest.mark.parametrize(("asked", "other"), [("marie", "koen"), ("koen", "marie")])
async def test_a_couple_is_assessed_together_whoever_is_asked_about(
    asking: Asking, asked: str, other: str
) -> None:
    told = await asking.assessment(asked)

    assert (told.taxpayer, told.partner) == (number("marie"), number("koen"))
    assert dict(told.items) == {"A7555": Decimal("21400.00"), "B7555": Decimal("9850.25")}
    assert told.total_eur() == Decimal("31250.25")


async def test_no_assessment_is_an_answer(asking: Asking) -> None:
    paul = await asking.assessment("paul")

    assert (paul.found, dict(paul.items), paul.total_eur()) == (False, {}, None)
    assert [(one.code, one.kind) for one in paul.warnings] == [("45008", "INFORMATIE")]
    assert not paul.needs_reading
    record = asking.log.records[-1]
    assert (record.outcome, record.exception_codes) == (Outcome.ANSWERED, ("45008",))
    assert not (await asking.assessment("ines", TODAY.year)).found


async def test_the_beveren_limit_lies_between_ines_and_joost(asking: Asking) -> None:
    for key, within in (("ines", True), ("joost", False), ("marie", True)):
        family = await asking.magda.get_family(await asking.know(key), reference=reference())
        dependants = sum(member.position == "03" for member in family.members)
        income = (await asking.assessment(key)).total_eur()
        assert income is not None
        assert (income <= 33_500 + 2_772 * dependants) is within


async def test_children_come_with_their_birth_and_place_in_the_household(asking: Asking) -> None:
    insz = await asking.know("mila")

    family = await asking.magda.get_family(insz, reference=reference())

    told = {member.insz: (member.position, member.birth_on) for member in family.members}
    assert told == {
        number("ines"): ("01", date(1989, 9, 21)),
        number("mila"): ("03", date(2014, 2, 17)),
        number("jef"): ("03", date(2018, 11, 30)),
    }
    assert family.reference_person == number("ines")


# ── Handicap files ────────────────────────────────────────────────────────────────────────────────────


async def test_an_adult_has_points_on_the_scale_for_adults(asking: Asking) -> None:
    rita = await asking.handicap("rita")

    (recognition,) = rita.recognitions
    assert (rita.found, rita.code) == (True, "MSG00000")
    assert (recognition.adult_points, recognition.reduced_earnings) == (9, True)
    assert recognition.child is None
    assert recognition.decision_status == "RECOGNITION_DETERMINED"
    assert (recognition.begins_on, recognition.ends_on) == (date(2022, 7, 1), None)
    assert recognition.holds_on(NEW_YEAR)
    assert not recognition.holds_on(date(2022, 6, 30))


async def test_a_child_has_points_in_three_pillars(asking: Asking) -> None:
    stan = await asking.handicap("stan")

    (recognition,) = stan.recognitions
    assert recognition.adult_points is None
    points = recognition.child
    assert points is not None
    assert (points.pillar_1, points.pillar_2, points.pillar_3, points.total) == (5, 1, 2, 8)


async def test_who_has_no_file_has_none(asking: Asking) -> None:
    omar = await asking.handicap("omar")
    assert (omar.found, omar.recognitions) == (False, ())
    assert not (await asking.handicap("rita", date(2020, 1, 1))).found


async def test_payments_and_cards_of_the_handicapped_are_not_asked_for(asking: Asking) -> None:
    await asking.handicap("rita")

    asked = asking.house.states["magda"].received("", 1)[-1]["body"]
    assert "<handicapRecognitions>true</handicapRecognitions>" in asked
    assert "<rights>false</rights>" in asked
    assert "<socialCards>false</socialCards>" in asked


# ── Lives that change ─────────────────────────────────────────────────────────────────────────────────


async def test_vera_dies_and_what_was_known_still_is(asking: Asking) -> None:
    insz = await asking.know("vera")
    assert (await asking.magda.get_person(insz, reference=reference())).deceased_on is None

    await asking.change("vera", deceased_on="2026-05-01")

    told = await asking.magda.get_person(insz, reference=reference())
    assert told.deceased_on == date(2026, 5, 1)
    await asking.change("vera", deceased_on=None)
    assert (await asking.magda.get_person(insz, reference=reference())).deceased_on is None


async def test_vera_moves_to_another_municipality(asking: Asking) -> None:
    insz = await asking.know("vera")
    mol = {"street": "Laar", "number": "7", "postal_code": "2400", "city": "Mol", "nis": "13025"}

    await asking.change("vera", address=mol)

    address = (await asking.magda.get_person(insz, reference=reference())).address
    assert address is not None
    assert (address.street, address.city, address.nis) == ("Laar", "Mol", "13025")


async def test_vera_gets_a_new_number_and_every_service_leads_to_it(asking: Asking) -> None:
    insz = await asking.know("vera")
    new = (await asking.change("vera", replaced_by=True))["replaced_by"]
    assert new != insz

    magda = asking.magda
    assert (await magda.get_person(insz, reference=reference())).replaced_by == new
    assert (await magda.get_family(insz, reference=reference())).replaced_by == new
    statuses = await magda.social_statuses(insz, ["BIM_BVT"], NEW_YEAR, reference=reference())
    assert (statuses.replaced_by, dict(statuses.applies)) == (new, {})
    assessment = await magda.tax_assessment(insz, LAST_YEAR, reference=reference())
    assert (assessment.replaced_by, assessment.found) == (new, False)
    file = await magda.handicap_file(insz, NEW_YEAR, reference=reference())
    assert (file.replaced_by, file.found) == (new, False)

    with pytest.raises(NotRegistered):
        await magda.get_person(new, reference=reference())
    await asking.register(new)
    assert (await magda.get_person(new, reference=reference())).family_name == "Desmedt"
    again = await magda.social_statuses(new, ["BIM_BVT"], NEW_YEAR, reference=reference())
    assert again.applies["BIM_BVT"]


async def test_who_moves_out_or_dies_leaves_the_household(asking: Asking) -> None:
    elsewhere = {"street": "Laar", "number": "7", "postal_code": "2400", "city": "Mol", "nis": "13025"}
    await asking.change("jef", address=elsewhere)
    await asking.change("ines", deceased_on="2026-05-01")

    family = await asking.magda.get_family(await asking.know("mila"), reference=reference())

    assert [(one.insz, one.position) for one in family.members] == [(number("mila"), "01")]


async def test_statuses_points_and_incomes_change_and_are_restored(asking: Asking) -> None:
    await asking.change(
        "karel", statuses={"BIM_BVT": True}, adult_points=7, income_eur="12000.50", pillars=None
    )
    assert await asking.statuses("karel", "BIM_BVT") == {"BIM_BVT": True}
    assert (await asking.handicap("karel")).recognitions[0].adult_points == 7
    assert (await asking.assessment("karel")).total_eur() == Decimal("12000.50")

    await asking.change("karel", income_eur=None)
    assert not (await asking.assessment("karel")).found
    answer = await asking.sim("DELETE", "/sim/persons/karel")
    assert answer.json()["income_eur"] == "31975.10"
    assert await asking.statuses("karel", "BIM_BVT") == {"BIM_BVT": False}


async def test_the_desk_lets_a_citizen_die_move_and_come_back(credentials: Credentials) -> None:
    systems = (sandbox_magda.SYSTEM, sandbox_acmidm.SYSTEM)
    async with (
        sandbox(credentials.sandbox(), systems) as house,
        httpx2.AsyncClient(trust_env=False, follow_redirects=True) as client,
    ):
        url = house.config.urls["magda"] + "/sim/persons/vera"
        for event, said in (("dies", TODAY.isoformat()), ("moves", "2400 Mol")):
            page = await client.post(url, data={"event": event})
            assert (page.status_code, page.url.path) == (200, "/burger/vera")
            assert said in page.text
        restored = await client.post(url, data={"event": "restored"})
        assert "2400 Mol" not in restored.text


@pytest.mark.parametrize(
    "change",
    [
        {"deceased_on": "yesterday"},
        {"address": {"street": "Laar"}},
        {"replaced_by": AN},
        {"replaced_by": "123"},
        {"pillars": [1, 2]},
        {"income_eur": "veel"},
        {"shoe_size": 42},
    ],
    ids=str,
)
async def test_a_change_that_cannot_be_is_refused(asking: Asking, change: dict[str, object]) -> None:
    before = (await asking.sim("GET", "/sim/persons/vera")).json()
    assert (await asking.sim("POST", "/sim/persons/vera", change)).status_code == 400
    assert (await asking.sim("GET", "/sim/persons/vera")).json() == before
    assert (await asking.sim("GET", "/sim/persons/hilde")).status_code == 404


# ── Refusals, alike for all three ─────────────────────────────────────────────────────────────────────

Question = Callable[[Magda, str], Awaitable[magda_social.Told]]
QUESTIONS: dict[str, Question] = {
    "GeefSociaalStatuut": lambda magda, insz: magda.social_statuses(
        insz, ["BIM_BVT"], NEW_YEAR, reference=REFERENCE
    ),
    "GeefAanslagbiljetPersonenbelasting": lambda magda, insz: magda.tax_assessment(
        insz, LAST_YEAR, reference=REFERENCE
    ),
    "GeefDossierHandicap": lambda magda, insz: magda.handicap_file(insz, NEW_YEAR, reference=REFERENCE),
}
every_service = pytest.mark.parametrize("service", QUESTIONS)


@every_service
async def test_nothing_is_told_of_who_is_not_registered(asking: Asking, service: str) -> None:
    with pytest.raises(NotRegistered, match="40003"):
        await QUESTIONS[service](asking.magda, number("rita"))


@every_service
async def test_nothing_is_told_of_who_is_not_known(asking: Asking, service: str) -> None:
    insz = await asking.know("noor")
    with pytest.raises(NotKnown, match="30001"):
        await QUESTIONS[service](asking.magda, insz)


# fmt: off
CODES = {
    "20002": Declined,     "40005": Declined,     "40006": Declined,     "12345": Declined,
    "40003": NotRegistered,
    "30001": NotKnown,     "30002": NotKnown,     "30003": NotKnown,
    "60006": Unavailable,  "60007": Unavailable,  "99994": Unavailable,  "99996": Unavailable,
}
# fmt: on


@dataclass
class MadeUp:
    raw: RawServer
    magda: Magda

    async def ask(self, service: str, inside: str) -> magda_social.Told:
        root = (
            f'<p:{service}Response xmlns:p="urn:any"><Repliek><Context><Bericht><Ontvanger>'
            f"<Referte>{REFERENCE}</Referte></Ontvanger></Bericht></Context>{inside}</Repliek>"
            f"</p:{service}Response>"
        )
        self.raw.answers = [soap(root)]
        return await QUESTIONS[service](self.magda, AN)


def soap(root: str, status: int = 200) -> Answer:
    envelope = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{}</s:Body></s:Envelope>'
    )
    return Answer(status, body=envelope.format(root).encode())


def level_3(notices: str, content: str = "") -> str:
    inside = f"<Inhoud>{content}</Inhoud>" if content else ""
    return f"<Antwoorden><Antwoord><Referte>{REFERENCE}</Referte>{inside}{notices}</Antwoord></Antwoorden>"


def notice(code: str, kind: str) -> str:
    return (
        f"<Uitzonderingen><Uitzondering><Identificatie>{code}</Identificatie><Oorsprong>KSZ</Oorsprong>"
        f"<Type>{kind}</Type><Diagnose>Diagnose</Diagnose></Uitzondering></Uitzonderingen>"
    )


CONTENT = {
    "GeefSociaalStatuut": (
        "<Persoon><INSZ>{insz}</INSZ><SocialeStatuten><SociaalStatuut><Naam>BIM_BVT</Naam>"
        "<Resultaat><Code>1</Code></Resultaat></SociaalStatuut></SocialeStatuten></Persoon>"
    ),
    "GeefAanslagbiljetPersonenbelasting": (
        "<AanslagbiljetPersonenbelasting><GevraagdePersoon><INSZ>{insz}</INSZ></GevraagdePersoon>"
        f"<Inkomensjaar>{LAST_YEAR}</Inkomensjaar></AanslagbiljetPersonenbelasting>"
    ),
    "GeefDossierHandicap": (
        "<ConsultFilesByDateResponse><ssin>{insz}</ssin><results><dgphResult><status>"
        "<value>NO_DATA_FOUND</value></status></dgphResult></results></ConsultFilesByDateResponse>"
    ),
}


@pytest.fixture
async def made_up(credentials: Credentials) -> AsyncIterator[MadeUp]:
    async with raw_server(Answer()) as raw:
        magda = Magda(replace(credentials.magda(raw.url), timeout_seconds=3.0))
        yield MadeUp(raw, magda)
        await magda.aclose()


@every_service
async def test_each_code_means_the_same_at_both_levels(made_up: MadeUp, service: str) -> None:
    for code, kind in CODES.items():
        for inside in (notice(code, "FOUT"), level_3(notice(code, "FOUT"))):
            with pytest.raises(Failed, match=code) as caught:
                await made_up.ask(service, inside)
            assert caught.type is kind, code


@every_service
@pytest.mark.parametrize(("who", "kind"), [("Server", Unavailable), ("Client", Declined)])
async def test_a_fault_is_ours_or_theirs(made_up: MadeUp, service: str, who: str, kind: type[Failed]) -> None:
    fault = "<s:Fault><faultcode>s:{}</faultcode><faultstring>Mis</faultstring></s:Fault>"
    made_up.raw.answers = [soap(fault.format(who), 500)]
    with pytest.raises(kind, match="Mis"):
        await QUESTIONS[service](made_up.magda, AN)


@every_service
@pytest.mark.parametrize(("kind", "needs_reading"), [("WAARSCHUWING", True), ("INFORMATIE", False)])
async def test_a_warning_asks_for_a_reader_and_information_does_not(
    made_up: MadeUp, service: str, kind: str, needs_reading: bool
) -> None:
    content = CONTENT[service].format(insz=AN)

    told = await made_up.ask(service, level_3(notice("70001", kind), content))

    assert [one.code for one in told.warnings] == ["70001"]
    assert told.needs_reading is needs_reading


@every_service
@pytest.mark.parametrize("kind", ["WAARSCHUWING", "INFORMATIE"])
async def test_words_beside_no_answer_are_not_a_no(made_up: MadeUp, service: str, kind: str) -> None:
    with pytest.raises(Declined, match="70001"):
        await made_up.ask(service, level_3(notice("70001", kind)))


@every_service
async def test_an_answer_about_somebody_else_is_not_used(made_up: MadeUp, service: str) -> None:
    with pytest.raises(Unavailable, match="somebody else"):
        await made_up.ask(service, level_3("", CONTENT[service].format(insz="82693031718")))


async def test_a_status_left_unanswered_is_not_a_no(made_up: MadeUp) -> None:
    for result in ("<Code>2</Code>", ""):
        content = CONTENT["GeefSociaalStatuut"].format(insz=AN).replace("<Code>1</Code>", result)
        with pytest.raises(Declined, match="BIM_BVT"):
            await made_up.ask("GeefSociaalStatuut", level_3("", content))


async def test_an_assessment_of_another_year_is_not_used(made_up: MadeUp) -> None:
    content = CONTENT["GeefAanslagbiljetPersonenbelasting"].format(insz=AN)
    with pytest.raises(Declined, match="year"):
        await made_up.ask(
            "GeefAanslagbiljetPersonenbelasting", level_3("", content.replace(str(LAST_YEAR), "2011"))
        )


@pytest.mark.parametrize("value", ["NO_RESULT", "INCOMPLETE_DATA", ""])
async def test_a_source_that_says_neither_yes_nor_no_has_not_answered(made_up: MadeUp, value: str) -> None:
    content = CONTENT["GeefDossierHandicap"].format(insz=AN).replace("NO_DATA_FOUND", value)
    with pytest.raises(Declined, match="source of handicap files"):
        await made_up.ask("GeefDossierHandicap", level_3("", content))


@given(
    st.sampled_from(["FOUT", "WAARSCHUWING", "INFORMATIE"]),
    st.lists(st.from_regex(r"[0-9]{5}", fullmatch=True), max_size=4),
)
def test_only_a_warning_needs_reading_whatever_the_code(kind: str, codes: list[str]) -> None:
    notices = tuple(Notice(code, kind, None, None) for code in codes)
    told = magda_social.Told(reference="", replaced_by=None, warnings=notices)
    assert told.needs_reading == (kind == "WAARSCHUWING" and bool(codes))


@given(st.dictionaries(st.from_regex(r"[AB][0-9]{4}", fullmatch=True), st.integers(-(10**9), 10**9)))
def test_amounts_of_any_size_are_exact(cents: dict[str, int]) -> None:
    items = "".join(f"<Item><Code>{code}</Code><Waarde>{one}</Waarde></Item>" for code, one in cents.items())
    bill = f"<Inkomensjaar>{LAST_YEAR}</Inkomensjaar><Items>{items}</Items>"
    content = inhoud(f"<AanslagbiljetPersonenbelasting>{bill}</AanslagbiljetPersonenbelasting>")

    told = magda_social.assessment_of(content, LAST_YEAR, REFERENCE, None)

    assert {code: int(amount * 100) for code, amount in told.items.items()} == cents
    for code in {name[1:] for name in cents}:
        expected = sum(one for name, one in cents.items() if name[1:] == code)
        assert told.total_eur(code) == Decimal(expected) / 100


@given(st.lists(st.one_of(st.none(), st.integers(0, 18)), min_size=4, max_size=4))
def test_points_left_out_are_not_nought(points: list[int | None]) -> None:
    names = ("pillar1", "pillar2", "pillar3", "pillarsTotal")
    pillars = "".join(
        f"<{name}>{one}</{name}>" for name, one in zip(names, points, strict=True) if one is not None
    )
    file = (
        "<handicapRecognitions><handicapRecognition><resultRecognitionChild>"
        f"<pillars>{pillars}</pillars></resultRecognitionChild></handicapRecognition></handicapRecognitions>"
    )
    content = inhoud(
        "<ConsultFilesByDateResponse><results><dgphResult><status><value>DATA_FOUND</value></status>"
        f"<file>{file}</file></dgphResult></results></ConsultFilesByDateResponse>"
    )

    told = magda_social.handicap_of(content, REFERENCE, None).recognitions[0].child

    assert told is not None
    assert [told.pillar_1, told.pillar_2, told.pillar_3, told.total] == points


def inhoud(inside: str) -> Told:
    return Told(etree.fromstring(f"<Inhoud>{inside}</Inhoud>"), (), "")


# ── Who died or left, in every way the register says it ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("decease", "expected"),
    [
        ("<Overlijden><Datum>2026-05-03</Datum></Overlijden>", date(2026, 5, 3)),
        ("<Overlijden><Datum>2026-05-00</Datum></Overlijden>", date(2026, 5, 1)),
        ("<Overlijden><Datum>2026-00-00</Datum></Overlijden>", date(2026, 1, 1)),
        ('<Overlijden DatumBegin="2026-05-03"/>', date(2026, 5, 3)),
        ("", None),
    ],
)
async def test_who_died_is_dead_also_when_the_day_is_not_known(
    made_up: MadeUp, decease: str, expected: date | None
) -> None:
    made_up.raw.answers = [soap(person_answer(decease))]

    assert (await made_up.magda.get_person(AN, reference=REFERENCE)).deceased_on == expected


async def test_a_death_on_a_day_that_cannot_be_read_is_for_a_person_to_look_at(made_up: MadeUp) -> None:
    made_up.raw.answers = [soap(person_answer("<Overlijden/>"))]
    with pytest.raises(Declined, match="has died"):
        await made_up.magda.get_person(AN, reference=REFERENCE)


async def test_who_was_struck_off_the_register_lives_nowhere(made_up: MadeUp) -> None:
    home = '<Adressen><Hoofdverblijfplaats DatumBegin="2000-03-02"{}><NISCodeGemeente>13999</NISCodeGemeente>'
    home += "</Hoofdverblijfplaats></Adressen>"
    made_up.raw.answers = [soap(person_answer(home.format(' DatumEinde="2026-02-01"')))]
    assert (await made_up.magda.get_person(AN, reference=REFERENCE)).address is None
    made_up.raw.answers = [soap(person_answer(home.format("")))]
    assert (await made_up.magda.get_person(AN, reference=REFERENCE)).address is not None


def person_answer(inside: str) -> str:
    content = level_3("", f"<Persoon><INSZ>{AN}</INSZ>{inside}</Persoon>")
    return f"<GeefPersoonResponse><Repliek>{content}</Repliek></GeefPersoonResponse>"


# ── What stays between MAGDA and the rule that asks ───────────────────────────────────────────────────


async def test_no_income_or_points_show_in_a_log_or_in_what_is_kept_of_a_call(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    caplog.set_level("DEBUG", logger="loket")
    told = [await asking.assessment("marie"), await asking.handicap("stan")]
    await asking.statuses("rita", "BIM_BVT")

    said = f"{told!r} {told!s} {asking.log.records!r} {caplog.text}"
    kept = [str(vars(record)) for record in asking.log.records]
    for one in (*kept, said):
        assert not re.search(r"21400|2140000|9850|985025|7555|pillar|<Waarde>", one)
    for citizen in ("marie", "koen", "stan", "rita"):
        assert number(citizen) not in said


async def test_the_access_log_says_what_was_asked_and_no_answer(asking: Asking, database: Database) -> None:
    magda = Magda(asking.settings, on_call=partial(accesslog.log_call, database))
    for key in ("marie", "paul", "stan"):
        await asking.know(key)
    await asking.force("stan", "99996", "GeefDossierHandicap")
    async with database.transaction() as session:
        citizen = Person(created_at=datetime.now(UTC))
        session.add(citizen)

    with accesslog.consulting(accesslog.Purpose(citizen.id, the_system(), "social-premium")):
        await magda.tax_assessment(number("marie"), LAST_YEAR, reference=REFERENCE)
        await magda.tax_assessment(number("paul"), LAST_YEAR, reference=reference())
        with pytest.raises(Unavailable) as caught:
            await magda.handicap_file(number("stan"), NEW_YEAR, reference=reference())
    await magda.aclose()

    async with database.transaction() as session:
        kept = list(await session.scalars(select(AccessLog).order_by(col(AccessLog.at))))
        everything = str([row.model_dump() for row in kept])
    assert [(row.service, row.purpose, row.outcome) for row in kept] == [
        ("GeefAanslagbiljetPersonenbelasting-02.00.0000", "social-premium", "ANSWERED"),
        ("GeefAanslagbiljetPersonenbelasting-02.00.0000", "social-premium", "ANSWERED 45008"),
        ("GeefDossierHandicap-03.00.0000", "social-premium", "REFUSED 99996"),
    ]
    assert kept[0].reference == REFERENCE
    for word in ("21400", "2140000", "9850", "985025", "7555", number("marie"), number("stan")):
        assert word not in everything + str(caught.value)


async def test_a_national_number_in_a_diagnosis_is_not_kept_with_the_reason(made_up: MadeUp) -> None:
    refusal = notice("40005", "FOUT").replace("Diagnose</", f"Geen toegang tot {AN}</")
    with pytest.raises(Declined, match="40005 Geen toegang tot …"):
        await made_up.ask("GeefSociaalStatuut", level_3(refusal))


async def test_an_amount_that_cannot_be_read_is_not_repeated(made_up: MadeUp) -> None:
    content = CONTENT["GeefAanslagbiljetPersonenbelasting"].format(insz=AN)
    item = "<Items><Item><Code>A7555</Code><Waarde>37586,45</Waarde></Item></Items>"
    content = content.replace("</AanslagbiljetPersonenbelasting>", item + "</AanslagbiljetPersonenbelasting>")

    with pytest.raises(Declined) as caught:
        await made_up.ask("GeefAanslagbiljetPersonenbelasting", level_3("", content))

    assert "37586" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
