"""What the government already knows about a person, asked of MAGDA.

A person must be registered for our purpose before the National Register may be asked about them, and the
registration ends with the last case or draft that needs it. Services and codes as in the public sources of
MAGDA-Mock and of the Flemish association registry.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from loket import settings
from loket.errors import Declined, Unavailable
from loket.systems import magda_social as social
from loket.systems.magda_soap import Answer, Element, Line, Notice, Service, text, texts

# fmt: off
PERSON = Service("GeefPersoon", "02.02", "persoon",
                 "http://magda.vlaanderen.be/persoon/soap/geefpersoon/v02_02")
FAMILY = Service("GeefGezinssamenstelling", "02.02", "persoon",
                 "http://magda.vlaanderen.be/persoon/soap/geefgezinssamenstelling/v02_02")
REGISTER = Service("RegistreerInschrijving", "02.01", "repertorium",
                   "http://webservice.registreerinschrijvingdienst-02_01.repertorium-02_01.vip.vlaanderen.be")
UNREGISTER = Service("RegistreerUitschrijving", "02.00", "repertorium",
                     "http://webservice.registreeruitschrijvingdienst-02_00.repertorium-02_00.vip.vlaanderen.be")
# fmt: on

NO_DATA = frozenset({"30001", "30002", "30003"})
"""No data found; number cancelled; number that never existed."""
REPLACED = "30004"
NOT_REGISTERED = "40003"
ALREADY_REGISTERED = "40143"
NO_ACCESS = frozenset({"40005", "40006"})
NOT_NOW = frozenset({"60006", "60007", "99994", "99996"})
"""The source does not answer, answers unreadably or breaks; too many questions at once."""
REMARKS = frozenset({"WAARSCHUWING", "INFORMATIE"})
"""Kinds of notice that come with an answer; every other means that there is none."""

_INSZ = re.compile(r"(?<!\d)\d{11}(?!\d)")


class NotKnown(Declined):
    """The National Register has nobody under this number."""


class NotRegistered(Declined):
    """The person is not registered for our purpose (40003): register first, then ask again."""


class Outcome(StrEnum):
    """What became of one call, in the words of the duty to log."""

    ANSWERED = "ANSWERED"
    REFUSED = "REFUSED"
    UNAUTHORIZED = "UNAUTHORIZED"
    UNANSWERED = "UNANSWERED"


@dataclass(frozen=True)
class CallRecord:
    """One call for the legal log: who was asked about, by whom, in which quality, and what came of it."""

    reference: str
    service: str
    version: str
    quality_code: str
    insz: str = field(repr=False)
    user: str | None = field(repr=False)
    started_at: datetime
    milliseconds: int
    outcome: Outcome
    exception_codes: tuple[str, ...]


@dataclass(frozen=True)
class Registration:
    """`replaced_by`: the person has another number now, and must be registered under that one."""

    already: bool
    replaced_by: str | None = field(repr=False)
    warnings: tuple[Notice, ...]


@dataclass(frozen=True, repr=False)
class Address:
    """Where somebody lives now. Abroad, only `country` is known; `nis` is then None."""

    street: str | None
    number: str | None
    box: str | None
    postal_code: str | None
    city: str | None
    nis: str | None
    country: str | None
    since: date | None = None
    """Since when; None where the register does not know the day."""


@dataclass(frozen=True, repr=False)
class PersonFacts:
    """What the register says; None where it says nothing, or of a birth only the year.

    Who died always has a `deceased_on`: the first day of the year or month where the register knows no more.
    With `replaced_by` all other facts may be missing: register and ask again with that number.
    """

    insz: str
    given_names: tuple[str, ...]
    family_name: str | None
    birth_on: date | None
    deceased_on: date | None
    address: Address | None
    replaced_by: str | None
    warnings: tuple[Notice, ...]


@dataclass(frozen=True, repr=False)
class Member:
    """One member of a household. `position`: 01 reference person, 02 husband or wife, 03 child, and so on."""

    insz: str | None
    name: str
    birth_on: date | None
    position: str | None


@dataclass(frozen=True, repr=False)
class FamilyFacts:
    """The household; `reference_person` is the number of the member at position 01."""

    members: tuple[Member, ...]
    reference_person: str | None
    replaced_by: str | None
    warnings: tuple[Notice, ...]


class Magda:
    """Registers persons for our purpose and asks about them.

    Every method raises:
        Unavailable: not connected, no answer in time, none that can be read, or a source that is down.
        NotKnown, NotRegistered: see there.
        Declined: any other refusal; the reason holds MAGDA's codes.

    Each call ends in one `CallRecord`, handed to `on_call` before the call returns or raises; what `on_call`
    raises goes to the caller, since an answer that was not logged may not be used.

    Recognises a repeat: `lookup`. Who is registered already answers 40143 and counts as registered, who no
    longer is counts as unregistered; questions only read. `reference` is a UUID, new for each question.
    """

    def __init__(
        self, section: settings.Magda, *, on_call: Callable[[CallRecord], Awaitable[None]] | None = None
    ) -> None:
        """Raises `SettingsError` when the key, the certificate or the algorithm cannot be used."""
        self._section = section
        self._on_call = on_call
        self._line = Line(section)

    async def aclose(self) -> None:
        await self._line.aclose()

    async def register(self, insz: str, *, reference: str, begins_on: date, ends_on: date) -> Registration:
        """Register a person for our purpose from `begins_on` to `ends_on`, both included."""
        subject = {"Type": "PERS", "Subjecten": {"Subject": {"Type": "PERS", "Sleutel": insz}}}
        content = {
            "Inschrijving": {
                "Identificatie": self._section.sender,
                "Hoedanigheid": self._section.quality_code,
                "BetrokkenSubject": subject,
                "Periode": {"Begin": begins_on.isoformat(), "Einde": ends_on.isoformat()},
            }
        }
        expected = {ALREADY_REGISTERED, REPLACED}
        answer = await self._call(REGISTER, insz, content, reference=reference, expected=expected)
        already = ALREADY_REGISTERED in answer.codes
        replaced_by = _replaced_by(answer, insz)
        if not already and replaced_by is None and text(answer.content, "Resultaat") != "1":
            raise Declined("magda", "the registration did not succeed")
        return Registration(already, replaced_by, answer.notices)

    async def unregister(
        self, insz: str, *, reference: str, begins_on: date | None = None, ends_on: date | None = None
    ) -> None:
        """End the registration of a person for our purpose; fine when there is none (any more)."""
        period = {
            "Begin": begins_on.isoformat() if begins_on else None,
            "Einde": ends_on.isoformat() if ends_on else None,
        }
        content = {
            "Uitschrijving": {
                "Identificatie": self._section.sender,
                "Hoedanigheid": self._section.quality_code,
                "INSZ": insz,
                "Periode": period if begins_on or ends_on else None,
            }
        }
        expected = {NOT_REGISTERED, REPLACED}
        answer = await self._call(UNREGISTER, insz, content, reference=reference, expected=expected)
        if not expected & set(answer.codes) and text(answer.content, "Resultaat") != "1":
            raise Declined("magda", "the registration was not ended")

    async def get_person(self, insz: str, *, reference: str, user: str | None = None) -> PersonFacts:
        """Names, birth, decease and address. `user`: national number of the civil servant who asks."""
        content = {"Criteria": {"INSZ": insz}, "Bron": "RR", "Taal": "nl"}
        answer = await self._call(PERSON, insz, content, reference=reference, user=user)
        person = None if answer.content is None else answer.content.find("Persoon")
        return PersonFacts(
            insz=insz,
            given_names=texts(person, "Naam/Voornamen/Voornaam"),
            family_name=" ".join(texts(person, "Naam/Achternamen/Achternaam")) or None,
            birth_on=_date(person, "Geboorte/Datum"),
            deceased_on=_deceased_on(person),
            address=_address(person),
            replaced_by=_replaced_by(answer, insz, answered=text(person, "INSZ")),
            warnings=answer.notices,
        )

    async def get_family(self, insz: str, *, reference: str, user: str | None = None) -> FamilyFacts:
        """Who lives in the household of this person, themselves included."""
        content = {"Criteria": {"INSZ": insz}, "Bron": "RR", "Taal": "nl"}
        answer = await self._call(FAMILY, insz, content, reference=reference, user=user)
        found = [] if answer.content is None else answer.content.findall("Gezinsleden/Gezinslid")
        members = tuple(_member(one) for one in found if one.get("DatumEinde") is None)
        heads = (member.insz for member in members if member.position == "01")
        return FamilyFacts(members, next(heads, None), _replaced_by(answer, insz), answer.notices)

    async def social_statuses(
        self, insz: str, names: Sequence[str], on: date, *, reference: str, user: str | None = None
    ) -> social.SocialStatuses:
        """Yes or no for each of the harmonised social statuses (`BIM_BVT`); one that is unknown is a no."""
        content = social.statuses_question(insz, names, on)
        answer = await self._call(social.STATUSES, insz, content, reference=reference, user=user)
        replaced_by = _replaced_by(answer, insz, answered=text(answer.content, "Persoon/INSZ"))
        return social.statuses_of(answer, names, reference, replaced_by)

    async def tax_assessment(
        self,
        insz: str,
        income_year: int,
        codes: Sequence[str] = (social.TAXABLE_INCOME, "7557"),
        *,
        reference: str,
        user: str | None = None,
    ) -> social.TaxAssessment:
        """The items `codes` (IPCAL) of the personal income tax on the income of one year."""
        content = social.assessment_question(insz, income_year, codes)
        expected = {REPLACED, social.NO_SUCH_YEAR}
        answer = await self._call(
            social.ASSESSMENT, insz, content, reference=reference, user=user, expected=expected
        )
        told = text(answer.content, "AanslagbiljetPersonenbelasting/GevraagdePersoon/INSZ")
        replaced_by = _replaced_by(answer, insz, answered=told)
        return social.assessment_of(answer, income_year, reference, replaced_by)

    async def handicap_file(
        self, insz: str, on: date, *, reference: str, user: str | None = None
    ) -> social.HandicapFile:
        """What the FOD Sociale Zekerheid recognised of a person's handicap, as it stood on a day."""
        content = social.handicap_question(insz, on)
        answer = await self._call(social.HANDICAP, insz, content, reference=reference, user=user)
        told = text(answer.content, "ConsultFilesByDateResponse/ssin")
        return social.handicap_of(answer, reference, _replaced_by(answer, insz, answered=told))

    async def _call(
        self,
        service: Service,
        insz: str,
        content: Mapping[str, Any],
        *,
        reference: str,
        expected: Set[str] = frozenset({REPLACED}),
        user: str | None = None,
    ) -> Answer:
        """One question and its record; refused when a FOUT other than the `expected` codes came back."""
        started_at, started = datetime.now(UTC), time.perf_counter()
        outcome, codes = Outcome.UNANSWERED, tuple[str, ...]()
        try:
            answer = await self._line.ask(service, content, reference=reference, user=user)
            outcome, codes = _outcome(answer), answer.codes
        except Declined as fault:
            outcome = Outcome.UNAUTHORIZED if fault.http_status in {401, 403} else Outcome.REFUSED
            raise
        finally:
            if self._on_call is not None:
                await self._on_call(
                    CallRecord(
                        reference=reference,
                        service=service.name,
                        version=service.full_version,
                        quality_code=self._section.quality_code,
                        insz=insz,
                        user=user,
                        started_at=started_at,
                        milliseconds=round((time.perf_counter() - started) * 1000),
                        outcome=outcome,
                        exception_codes=codes,
                    )
                )
        _refuse(answer, expected)
        return answer


def _outcome(answer: Answer) -> Outcome:
    if NO_ACCESS & set(answer.codes):
        return Outcome.UNAUTHORIZED
    answered = all(notice.kind in REMARKS for notice in answer.notices)
    return Outcome.ANSWERED if answered else Outcome.REFUSED


def _refuse(answer: Answer, expected: Set[str]) -> None:
    faults = [one for one in answer.notices if one.kind not in REMARKS and one.code not in expected]
    if not faults:
        return
    codes = {notice.code for notice in faults}
    said = "; ".join(f"{notice.code} {notice.diagnosis or ''}".rstrip() for notice in faults)
    # Reasons are kept with attempts and logged; a national number may not be.
    reason = _INSZ.sub("…", said)
    if codes & NOT_NOW:
        raise Unavailable("magda", reason)
    if NOT_REGISTERED in codes:
        raise NotRegistered("magda", reason)
    if codes & NO_DATA:
        raise NotKnown("magda", reason)
    raise Declined("magda", reason)


def _replaced_by(answer: Answer, insz: str, *, answered: str | None = None) -> str | None:
    """The number that replaced `insz`: the one that was `answered` instead, or the one in the notice's words.

    No public source says where MAGDA puts it.
    """
    if REPLACED in answer.codes:
        said = [answered or insz, *_INSZ.findall(answer.words)]
        new: str | None = next((number for number in said if number != insz), None)
        if new is None and answered is None and _outcome(answer) is Outcome.REFUSED:
            raise Declined("magda", f"{REPLACED}: the number was replaced, and the new one is not told")
        return new
    if answered is not None and answered != insz:
        raise Unavailable("magda", "the answer is about somebody else")
    return None


def _deceased_on(person: Element | None) -> date | None:
    decease = None if person is None else person.find("Overlijden")
    if decease is None:
        return None
    said = text(decease, "Datum") or decease.get("DatumBegin") or ""
    try:
        return date.fromisoformat(said.replace("-00", "-01"))
    except ValueError:
        raise Declined("magda", "the person has died, on a day that cannot be read") from None


def _address(person: Element | None) -> Address | None:
    if person is None:
        return None
    home = person.find("Adressen/Hoofdverblijfplaats")
    abroad = person.find("Adressen/VerblijfplaatsBuitenland")
    # Who leaves the country keeps the last address here in the register.
    if abroad is not None and abroad.get("DatumEinde") is None and _since(abroad) >= _since(home):
        return Address(None, None, None, None, None, None, text(abroad, "Land/Naam"))
    # Whose stay ended without another was struck off the register.
    if home is None or home.get("DatumEinde") is not None:
        return None
    return Address(
        street=text(home, "Straatnaam/String"),
        number=text(home, "Huisnummer"),
        box=text(home, "Busnummer"),
        postal_code=text(home, "Postcode"),
        city=text(home, "Gemeentenaam/String"),
        nis=text(home, "NISCodeGemeente"),
        country=text(home, "Land/String"),
        since=_day(_since(home)),
    )


def _since(residence: Element | None) -> str:
    return "" if residence is None else residence.get("DatumBegin") or ""


def _member(element: Element) -> Member:
    given, family = texts(element, "Naam/Voornamen/Voornaam"), texts(element, "Naam/Achternamen/Achternaam")
    return Member(
        insz=text(element, "INSZ"),
        name=" ".join((*given[:1], *family)),
        birth_on=_date(element, "Geboortedatum"),
        position=text(element, "Positie/Code"),
    )


def _date(element: Element | None, path: str) -> date | None:
    """A date; None also where the register knows the year only (`1960-00-00`)."""
    return _day(text(element, path) or "")


def _day(words: str) -> date | None:
    try:
        return date.fromisoformat(words)
    except ValueError:
        return None
