"""MAGDA: against the sandbox's, and against one that answers whatever a test makes up."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from uuid import uuid4

import httpx2
import pytest
from signxml.exceptions import InvalidSignature
from signxml.verifier import XMLVerifier

from flemish import Credentials
from loket.errors import Declined, Failed, Unavailable
from loket.sandbox import magda as sandbox_magda
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Citizen, insz, person
from loket.settings import Magda as Unconnected
from loket.settings import SettingsError
from loket.systems.magda import CallRecord, Magda, NotKnown, NotRegistered, Outcome
from raw_server import HANG, HANG_UP, Answer, RawServer, raw_server

TODAY = date.today()  # noqa: DTZ011  # as MAGDA counts days
AN = "84631251272"
REFERENCE = "3f0f2a4e-7e55-4b5e-9a0a-1f6f6f3f9d10"


@dataclass
class Log:
    """What a caller keeps of each call."""

    records: list[CallRecord] = field(default_factory=list)

    async def keep(self, record: CallRecord) -> None:
        self.records.append(record)

    @property
    def last(self) -> CallRecord:
        return self.records[-1]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("loket"))


@pytest.fixture(scope="module")
async def house(credentials: Credentials) -> AsyncIterator[House]:
    async with sandbox(credentials.sandbox(), (sandbox_magda.SYSTEM,)) as house:
        yield house


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def magda(credentials: Credentials, house: House, log: Log) -> AsyncIterator[Magda]:
    house.states["magda"].delete("registration")
    magda = Magda(credentials.magda(house.config.url("magda")), on_call=log.keep)
    yield magda
    await magda.aclose()


def number(key: str) -> str:
    citizen = person(key)
    assert isinstance(citizen, Citizen)
    return citizen.insz


def reference() -> str:
    return str(uuid4())


async def register(magda: Magda, of: str) -> None:
    await magda.register(of, reference=reference(), begins_on=TODAY, ends_on=TODAY + timedelta(days=90))


async def force(house: House, key: str, code: str | None) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        url = house.config.url("magda") + "/sim/forced"
        answer = await client.post(url, json={"persona": key, "code": code})
    assert answer.is_success


# ── Against the sandbox ───────────────────────────────────────────────────────────────────────────────


async def test_a_registered_person_is_known_with_address_and_birth(magda: Magda) -> None:
    await register(magda, number("an"))

    an = await magda.get_person(number("an"), reference=reference())

    assert (an.given_names, an.family_name, an.birth_on) == (("An",), "Peeters", date(1984, 3, 12))
    assert an.deceased_on is None
    assert an.replaced_by is None
    assert an.address is not None
    assert (an.address.street, an.address.number, an.address.box) == ("Kerkstraat", "14", None)
    assert (an.address.postal_code, an.address.city, an.address.nis) == ("2999", "Lindebeke", "13999")


async def test_a_household_has_its_members_and_reference_person(magda: Magda) -> None:
    await register(magda, number("bert"))

    family = await magda.get_family(number("bert"), reference=reference(), user="79640220846")

    assert {member.name: member.position for member in family.members} == {
        "An Peeters": "01",
        "Bert Maes": "02",
    }
    assert family.reference_person == number("an")
    assert family.members[1].insz == number("bert")
    assert family.members[1].birth_on == date(1982, 9, 30)


async def test_a_stranger_to_the_municipality_shows_their_own(magda: Magda) -> None:
    await register(magda, number("dirk"))

    dirk = await magda.get_person(number("dirk"), reference=reference())

    assert dirk.address is not None
    assert dirk.address.nis == "13025"


async def test_without_registration_nothing_is_told(magda: Magda, log: Log) -> None:
    with pytest.raises(NotRegistered, match="40003"):
        await magda.get_person(number("carla"), reference=reference())

    assert (log.last.outcome, log.last.exception_codes) == (Outcome.REFUSED, ("40003",))


async def test_registering_twice_is_fine(magda: Magda) -> None:
    await register(magda, number("an"))

    again = await magda.register(
        number("an"), reference=reference(), begins_on=TODAY, ends_on=TODAY + timedelta(days=30)
    )

    assert again.already
    assert [notice.code for notice in again.warnings] == ["40143"]


async def test_after_unregistering_nothing_is_told_any_more(magda: Magda) -> None:
    await register(magda, number("an"))
    await magda.unregister(number("an"), reference=reference(), begins_on=TODAY, ends_on=TODAY)

    with pytest.raises(NotRegistered):
        await magda.get_person(number("an"), reference=reference())
    await magda.unregister(number("an"), reference=reference())


async def test_a_period_that_ends_before_it_begins_is_declined(magda: Magda) -> None:
    with pytest.raises(Declined, match="20003"):
        await magda.register(
            number("an"), reference=reference(), begins_on=TODAY, ends_on=TODAY - timedelta(days=1)
        )


async def test_a_replaced_number_leads_to_the_new_one(magda: Magda) -> None:
    await register(magda, number("fatima"))

    old = await magda.get_person(number("fatima"), reference=reference())
    assert old.replaced_by is not None
    assert old.family_name is None
    household = await magda.get_family(number("fatima"), reference=reference())
    assert household.replaced_by == old.replaced_by

    await register(magda, old.replaced_by)
    new = await magda.get_person(old.replaced_by, reference=reference())
    assert (new.family_name, new.replaced_by) == ("El Amrani", None)


async def test_a_deceased_person_has_a_day_of_decease(magda: Magda) -> None:
    await register(magda, number("gust"))

    gust = await magda.get_person(number("gust"), reference=reference())

    assert gust.deceased_on == date(2026, 1, 9)


async def test_somebody_whom_the_register_lacks_is_not_known(magda: Magda, log: Log) -> None:
    await register(magda, number("noor"))

    with pytest.raises(NotKnown, match="30001"):
        await magda.get_person(number("noor"), reference=reference())
    assert log.last.exception_codes == ("30001",)


async def test_a_number_that_never_existed_cannot_be_registered(magda: Magda) -> None:
    with pytest.raises(Declined, match="20002"):
        await register(magda, "84631251273")
    with pytest.raises(NotKnown, match="30003"):
        await register(magda, insz(date(2000, 1, 1), 1))


@pytest.mark.parametrize("code", ["99996", "60006", "99994"])
async def test_a_source_that_cannot_answer_now_is_unavailable(
    magda: Magda, house: House, log: Log, code: str
) -> None:
    await register(magda, number("carla"))
    await force(house, "carla", code)
    try:
        with pytest.raises(Unavailable, match=code):
            await magda.get_person(number("carla"), reference=reference())
        assert (log.last.outcome, log.last.exception_codes) == (Outcome.REFUSED, (code,))
    finally:
        await force(house, "carla", None)


async def test_els_waits_until_magda_has_time(magda: Magda, house: House) -> None:
    await register(magda, number("els"))
    with pytest.raises(Unavailable, match="99996"):
        await magda.get_person(number("els"), reference=reference())

    await force(house, "els", None)
    assert (await magda.get_person(number("els"), reference=reference())).family_name == "Claes"
    await force(house, "els", "99996")


async def test_each_call_leaves_one_record(magda: Magda, log: Log, house: House) -> None:
    question = reference()
    await register(magda, number("an"))
    await magda.get_person(number("an"), reference=question, user="79640220846")

    assert len(log.records) == 2
    record = log.last
    assert (record.reference, record.service, record.version) == (question, "GeefPersoon", "02.02.0000")
    assert (record.insz, record.user, record.quality_code) == (number("an"), "79640220846", "1300")
    assert (record.outcome, record.exception_codes) == (Outcome.ANSWERED, ())
    assert 0 <= record.milliseconds < 3000
    assert number("an") not in repr(record)

    heard = house.states["magda"].all("log")[-1]
    assert (heard["reference"], heard["user"], heard["quality"]) == (question, "79640220846", "1300")


async def test_facts_about_people_do_not_show_in_a_log(magda: Magda) -> None:
    await register(magda, number("an"))
    an = await magda.get_person(number("an"), reference=reference())
    family = await magda.get_family(number("an"), reference=reference())

    said = f"{an!r} {an.address!r} {family!r} {family.members!r}"
    assert not re.search("Peeters|Kerkstraat|84631251272", said)


async def test_a_question_signed_by_a_stranger_is_declined(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Credentials.made_in(tmp_path_factory.mktemp("stranger"))
    magda = Magda(stranger.magda(house.config.url("magda")))
    with pytest.raises(Declined, match="SOAP fault: Verification failure"):
        await register(magda, AN)
    await magda.aclose()


@pytest.mark.parametrize("algorithm", ["rsa-sha1", "rsa-sha512"])
async def test_the_signature_algorithm_is_a_setting(
    credentials: Credentials, house: House, algorithm: str
) -> None:
    section = replace(credentials.magda(house.config.url("magda")), signature_algorithm=algorithm)
    magda = Magda(section)
    await register(magda, AN)
    body = house.states["magda"].received("", 1)[-1]["body"]
    assert f"xmldsig#{algorithm}" in body or f"xmldsig-more#{algorithm}" in body
    await magda.aclose()


async def test_a_call_that_cannot_be_logged_gives_nothing_away(
    credentials: Credentials, house: House
) -> None:
    class LogIsFull(Exception):
        pass

    async def refuse(record: CallRecord) -> None:
        raise LogIsFull

    magda = Magda(credentials.magda(house.config.url("magda")), on_call=refuse)
    with pytest.raises(LogIsFull):
        await register(magda, AN)
    await magda.aclose()


# ── Against answers that a test makes up ──────────────────────────────────────────────────────────────


@dataclass
class MadeUp:
    raw: RawServer
    magda: Magda

    async def person(self, answer: Answer) -> object:
        self.raw.answers = [answer]
        return await self.magda.get_person(AN, reference=REFERENCE)


@pytest.fixture
async def made_up(credentials: Credentials, log: Log) -> AsyncIterator[MadeUp]:
    async with raw_server(Answer()) as raw:
        section = replace(credentials.magda(raw.url), timeout_seconds=0.4)
        magda = Magda(section, on_call=log.keep)
        yield MadeUp(raw, magda)
        await magda.aclose()


def envelope(inside: str, *, prefix: str = "p", status: int = 200) -> Answer:
    """A reply of GeefPersoon holding `inside`, its root in the namespace under any prefix."""
    namespace = "http://magda.vlaanderen.be/persoon/soap/geefpersoon/v02_02"
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<{prefix}:GeefPersoonResponse xmlns:{prefix}="{namespace}"><Repliek><Context><Bericht><Ontvanger>'
        f"<Referte>{REFERENCE}</Referte></Ontvanger></Bericht></Context>{inside}</Repliek>"
        f"</{prefix}:GeefPersoonResponse></s:Body></s:Envelope>"
    )
    return Answer(status, body=body.encode())


def answered(content: str, *, reference: str = REFERENCE, notices: str = "") -> str:
    return (
        f"<Antwoorden><Antwoord><Referte>{reference}</Referte><Inhoud>{content}</Inhoud>{notices}"
        "</Antwoord></Antwoorden>"
    )


def notice(code: str, kind: str, words: str = "Diagnose") -> str:
    return (
        f"<Uitzonderingen><Uitzondering><Identificatie>{code}</Identificatie><Oorsprong>RR</Oorsprong>"
        f"<Type>{kind}</Type><Diagnose>{words}</Diagnose></Uitzondering></Uitzonderingen>"
    )


async def test_the_question_is_signed_over_its_body(made_up: MadeUp, credentials: Credentials) -> None:
    await made_up.person(envelope(answered("<Persoon/>")))
    (asked,) = made_up.raw.asked
    certificate = credentials.sandbox()["magda"]["certificate"]

    assert asked.target == "/GeefPersoonDienst-02.02/soap/WebService"
    assert asked.headers["soapaction"] == '""'
    signed = XMLVerifier().verify(asked.body, x509_cert=certificate)
    assert not isinstance(signed, list)
    assert signed.signed_xml is not None
    assert signed.signed_xml.findtext(".//Criteria/INSZ") == AN
    with pytest.raises(InvalidSignature):
        XMLVerifier().verify(asked.body.replace(AN.encode(), b"82693031718"), x509_cert=certificate)


async def test_what_is_missing_is_none(made_up: MadeUp) -> None:
    made_up.raw.answers = [
        envelope(answered("<Persoon><Geboorte><Datum>1960-00-00</Datum></Geboorte></Persoon>"))
    ]

    nobody = await made_up.magda.get_person(AN, reference=REFERENCE)

    assert (nobody.given_names, nobody.family_name, nobody.birth_on) == ((), None, None)
    assert nobody.address is None


@pytest.mark.parametrize("prefix", ["p", "web", "ns3"])
async def test_any_prefix_will_do(made_up: MadeUp, prefix: str) -> None:
    name = "<Naam><Voornamen><Voornaam>An</Voornaam></Voornamen></Naam>"
    made_up.raw.answers = [envelope(answered(f"<Persoon>{name}</Persoon>"), prefix=prefix)]

    assert (await made_up.magda.get_person(AN, reference=REFERENCE)).given_names == ("An",)


async def test_who_left_the_country_lives_abroad(made_up: MadeUp) -> None:
    home = '<Hoofdverblijfplaats DatumBegin="2000-03-02">{}</Hoofdverblijfplaats>'
    home = home.format("<NISCodeGemeente>13999</NISCodeGemeente>")
    abroad = "<VerblijfplaatsBuitenland{}><Land><Naam>Noorwegen</Naam></Land></VerblijfplaatsBuitenland>"
    left, back = ' DatumBegin="2013-01-16"', ' DatumBegin="1999-01-16" DatumEinde="2000-03-01"'

    for period, expected in ((left, (None, "Noorwegen")), (back, ("13999", None))):
        addresses = f"<Persoon><Adressen>{home}{abroad.format(period)}</Adressen></Persoon>"
        made_up.raw.answers = [envelope(answered(addresses))]
        address = (await made_up.magda.get_person(AN, reference=REFERENCE)).address
        assert address is not None
        assert (address.nis, address.country) == expected


async def test_a_warning_comes_with_the_answer(made_up: MadeUp, log: Log) -> None:
    made_up.raw.answers = [
        envelope(answered("<Persoon/>", notices=notice("70001", "WAARSCHUWING", "Let op")))
    ]

    facts = await made_up.magda.get_person(AN, reference=REFERENCE)

    assert [(one.code, one.diagnosis) for one in facts.warnings] == [("70001", "Let op")]
    assert (log.last.outcome, log.last.exception_codes) == (Outcome.ANSWERED, ("70001",))


@pytest.mark.parametrize("kind", ["WAARSCHUWING", "FOUT"])
async def test_the_new_number_is_found_wherever_magda_puts_it(made_up: MadeUp, kind: str) -> None:
    told = envelope(answered("", notices=notice("30004", kind, f"{AN} werd 82693031718")))
    instead = envelope(answered("<Persoon><INSZ>82693031718</INSZ></Persoon>", notices=notice("30004", kind)))
    for answer in (told, instead):
        made_up.raw.answers = [answer]
        assert (await made_up.magda.get_person(AN, reference=REFERENCE)).replaced_by == "82693031718"


async def test_a_replaced_number_without_its_successor_is_for_a_person_to_look_at(made_up: MadeUp) -> None:
    with pytest.raises(Declined, match="30004"):
        await made_up.person(envelope(answered("", notices=notice("30004", "FOUT", "Nieuw INSZ"))))


@pytest.mark.parametrize(
    ("inside", "kind", "outcome"),
    [
        (notice("99996", "FOUT"), Unavailable, Outcome.REFUSED),
        (answered("", notices=notice("60007", "FOUT")), Unavailable, Outcome.REFUSED),
        (answered("", notices=notice("30002", "FOUT")), NotKnown, Outcome.REFUSED),
        (answered("", notices=notice("40003", "FOUT")), NotRegistered, Outcome.REFUSED),
        (answered("", notices=notice("40006", "FOUT")), Declined, Outcome.UNAUTHORIZED),
        (answered("", notices=notice("12345", "FOUT")), Declined, Outcome.REFUSED),
        (answered("", notices=notice("12345", "IETS")), Declined, Outcome.REFUSED),
        ("", Unavailable, Outcome.UNANSWERED),
        (answered("<Persoon/>", reference="another"), Unavailable, Outcome.UNANSWERED),
        (answered("<Persoon><INSZ>82693031718</INSZ></Persoon>"), Unavailable, Outcome.ANSWERED),
    ],
)
async def test_each_refusal_has_its_kind_and_its_record(
    made_up: MadeUp, log: Log, inside: str, kind: type[Failed], outcome: Outcome
) -> None:
    with pytest.raises(kind) as caught:
        await made_up.person(envelope(inside))

    assert caught.type is kind
    assert log.last.outcome is outcome


def fault(code: str) -> Answer:
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        f"<faultcode>s:{code}</faultcode><faultstring>Mis</faultstring></s:Fault></s:Body></s:Envelope>"
    )
    return Answer(500, body=body.encode())


BILLION_LAUGHS = (
    b'<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(
        b'<!ENTITY lol%d "%s">' % (level, b"&lol%d;" % (level - 1) * 10 if level > 1 else b"&lol;" * 10)
        for level in range(1, 10)
    )
    + b"]><Envelope><Body>&lol9;</Body></Envelope>"
)
EXTERNAL = b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><Envelope/>'
FILE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><Envelope><Body>&f;</Body></Envelope>'


@pytest.mark.parametrize(
    ("answer", "kind", "outcome"),
    [
        (HANG, Unavailable, Outcome.UNANSWERED),
        (HANG_UP, Unavailable, Outcome.UNANSWERED),
        (Answer(500, body=b"oeps"), Unavailable, Outcome.UNANSWERED),
        (Answer(503, headers={"Retry-After": "9"}), Unavailable, Outcome.UNANSWERED),
        (Answer(429), Unavailable, Outcome.UNANSWERED),
        (Answer(403), Declined, Outcome.UNAUTHORIZED),
        (Answer(404, body=b"<html/>"), Declined, Outcome.REFUSED),
        (fault("Server"), Unavailable, Outcome.UNANSWERED),
        (fault("Client"), Declined, Outcome.REFUSED),
        (Answer(body=b"<Envelope><Body>"), Unavailable, Outcome.UNANSWERED),
        (Answer(body=b""), Unavailable, Outcome.UNANSWERED),
        (Answer(body=b"\x00\xff"), Unavailable, Outcome.UNANSWERED),
        (Answer(body=b"<Envelope/>"), Unavailable, Outcome.UNANSWERED),
        (Answer(body=BILLION_LAUGHS), Unavailable, Outcome.UNANSWERED),
        (Answer(body=EXTERNAL), Unavailable, Outcome.UNANSWERED),
        (Answer(body=FILE), Unavailable, Outcome.UNANSWERED),
        (Answer(body=b"<Envelope>" + b" " * 3_000_000 + b"</Envelope>"), Unavailable, Outcome.UNANSWERED),
        (Answer(body=b"<a>" * 5000 + b"</a>" * 5000), Unavailable, Outcome.UNANSWERED),
    ],
    ids=lambda value: None if isinstance(value, Answer) else str(value),
)
async def test_a_magda_in_trouble_never_breaks_us(
    made_up: MadeUp, log: Log, answer: Answer, kind: type[Failed], outcome: Outcome
) -> None:
    with pytest.raises(kind) as caught:
        await made_up.person(answer)

    assert caught.type is kind
    assert [record.outcome for record in log.records] == [outcome]
    if isinstance(caught.value, Unavailable) and answer.status == 503:
        assert caught.value.retry_after_seconds == 9.0


async def test_a_registration_that_did_not_succeed_is_declined(made_up: MadeUp) -> None:
    made_up.raw.answers = [envelope(answered('<Resultaat Beschrijving="Niet geslaagd">0</Resultaat>'))]
    with pytest.raises(Declined, match="did not succeed"):
        await made_up.magda.register(AN, reference=REFERENCE, begins_on=TODAY, ends_on=TODAY)


async def test_words_split_by_a_comment_are_read_whole(made_up: MadeUp) -> None:
    name = "<Naam><Achternamen><Achternaam>Pee<!-- x -->ters</Achternaam></Achternamen></Naam>"
    made_up.raw.answers = [envelope(answered(f"<Persoon>{name}</Persoon>"))]

    assert (await made_up.magda.get_person(AN, reference=REFERENCE)).family_name == "Peeters"


async def test_a_document_type_makes_an_answer_unreadable(made_up: MadeUp) -> None:
    right = envelope(answered("<Persoon/>"))
    assert right.body is not None
    for declared in (b"<!DOCTYPE x>", b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'):
        with pytest.raises(Unavailable, match="readable"):
            await made_up.person(Answer(body=declared + right.body))


def test_a_setting_that_cannot_be_used_is_named(credentials: Credentials) -> None:
    section = credentials.magda("http://127.0.0.1:9")
    for wrong, named in (
        (replace(section, private_key_file="/nowhere"), "LOKET_MAGDA_PRIVATE_KEY_FILE"),
        (replace(section, certificate_file="/nowhere"), "LOKET_MAGDA_CERTIFICATE_FILE"),
        (replace(section, signature_algorithm="rsa-md5"), "LOKET_MAGDA_SIGNATURE_ALGORITHM"),
        (replace(section, signature_algorithm="hmac-sha256"), "LOKET_MAGDA_SIGNATURE_ALGORITHM"),
    ):
        with pytest.raises(SettingsError, match=named):
            Magda(wrong)


async def test_a_loket_without_magda_says_so(log: Log) -> None:
    magda = Magda(Unconnected(), on_call=log.keep)
    with pytest.raises(Unavailable, match="not connected"):
        await register(magda, AN)
    assert log.last.outcome is Outcome.UNANSWERED
    await magda.aclose()
