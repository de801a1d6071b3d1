"""Asking the authentic sources about a person: registration first, then person and household.

Outside any transaction: MAGDA may take its time. What it answers is kept by the verbs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlmodel import col

from loket import cases, checks, definition, sources
from loket.accesslog import Purpose, consulting
from loket.app import Loket
from loket.checks import Finding
from loket.errors import Declined, Failed, Unavailable
from loket.facts import facts_of
from loket.records import Case, MagdaRegistration, Person, RegistrationState
from loket.rules import (
    Answer,
    Facts,
    HandicapAnswer,
    Outcome,
    SocialStatusAnswer,
    TaxAnswer,
    weigh,
)
from loket.sources import Answers
from loket.systems import magda_social as social
from loket.systems.magda import REPLACED, FamilyFacts, NotRegistered, PersonFacts
from loket.work import Actor, Work, the_system

logger = logging.getLogger(__name__)

BRIEF_SECONDS = 4.0
REGISTERED_FOR = timedelta(days=365)


@dataclass(frozen=True)
class Consultation:
    """What came of it. `unavailable`: ask again later. `code` says in short what was wrong."""

    answers: Answers
    code: str
    reference: str
    unavailable: Unavailable | None = None


async def consult(
    loket: Loket,
    actor: Actor,
    person_id: UUID,
    purpose: str,
    *,
    case_id: UUID | None = None,
    briefly: bool = False,
) -> Consultation:
    """Ask MAGDA about a citizen for one procedure. Never raises `Failed`: that is a value here.

    `briefly`: a citizen waits for the answer, so after `BRIEF_SECONDS` the form is filled in by hand.
    """
    async with loket.database.transaction() as session:
        person = await session.get_one(Person, person_id)
        found = await session.scalars(
            select(MagdaRegistration).where(
                col(MagdaRegistration.person_id) == person_id, col(MagdaRegistration.purpose) == purpose
            )
        )
        registration = found.one_or_none()
    now = datetime.now(UTC)
    nothing = Answers(None, None, now)
    if person.insz_sealed is None or not loket.settings.magda.url:
        return Consultation(
            nothing, "NO_NATIONAL_NUMBER" if person.insz_sealed is None else "NOT_CONNECTED", ""
        )
    insz = loket.vault.open(person.insz_sealed)
    reference = str(uuid4())
    with consulting(Purpose(person_id, actor, purpose, case_id)):
        try:
            async with asyncio.timeout(BRIEF_SECONDS if briefly else None):
                if registration is None or registration.state is not RegistrationState.REGISTERED:
                    await _register(loket, insz, person_id, purpose)
                try:
                    told, family, replaced_by = await _ask(loket, insz, reference)
                except NotRegistered:
                    await _register(loket, insz, person_id, purpose)
                    told, family, replaced_by = await _ask(loket, insz, reference)
        except TimeoutError:
            return Consultation(nothing, "TIMEOUT", reference, unavailable=Unavailable("magda", "too slow"))
        except Unavailable as fault:
            logger.info("MAGDA is not available: %s", fault.reason)
            return Consultation(nothing, "UNAVAILABLE", reference, unavailable=fault)
        except Declined as fault:
            return Consultation(nothing, fault.reason[:200], reference)
        except Failed as fault:
            return Consultation(nothing, fault.reason[:200], reference)
    return Consultation(Answers(told, family, now, replaced_by), "ANSWERED", reference)


async def _ask(loket: Loket, insz: str, reference: str) -> tuple[PersonFacts, FamilyFacts, str | None]:
    """Person and household; of a replaced number also the new one, to which the registration goes over."""
    magda = loket.systems.magda
    told = await magda.get_person(insz, reference=reference)
    replaced_by = told.replaced_by
    if replaced_by is None:
        return told, await magda.get_family(insz, reference=str(uuid4())), None
    today = datetime.now(UTC).date()
    await magda.register(replaced_by, reference=str(uuid4()), begins_on=today, ends_on=today + REGISTERED_FOR)
    told = await magda.get_person(replaced_by, reference=str(uuid4()))
    family = await magda.get_family(replaced_by, reference=str(uuid4()))
    await magda.unregister(insz, reference=str(uuid4()), begins_on=today, ends_on=today)
    return told, family, replaced_by


async def _register(loket: Loket, insz: str, person_id: UUID, purpose: str) -> None:
    today = datetime.now(UTC).date()
    await loket.systems.magda.register(
        insz, reference=str(uuid4()), begins_on=today, ends_on=today + REGISTERED_FOR
    )
    async with loket.database.transaction() as session:
        await session.execute(
            update(MagdaRegistration)
            .where(
                col(MagdaRegistration.person_id) == person_id,
                col(MagdaRegistration.purpose) == purpose,
                col(MagdaRegistration.state) == RegistrationState.WANTED,
            )
            .values(state=RegistrationState.REGISTERED)
        )


# --- checks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examined:
    """What a check came to, and who has another national number now."""

    finding: Finding
    replaced: dict[UUID, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, repr=False)
class _Subject:
    """Whom a check asks about."""

    person_id: UUID
    insz: str
    index: bytes
    registered: bool
    birth_on: date | None


@dataclass(frozen=True, repr=False)
class _Question:
    """A check of one case, ready to be asked. `on` is the day that is asked about."""

    case_id: UUID
    purpose: str
    spec: definition.Check
    facts: Facts
    on: date
    year: int
    """The income year."""
    subjects: list[_Subject]
    refused: str = ""
    """Why nothing can be asked."""


@dataclass(frozen=True, repr=False)
class _Heard:
    """One answer in memory, in the words of `met`; and the source's own code."""

    told: social.Told
    answer: Answer
    code: str


async def examine(loket: Loket, case_id: UUID, key: str, round: int) -> Examined | None:
    """Ask what a check asks, and judge it in memory; None when it is awaited no more.

    Of children one after the other, until it is met for one.

    Raises:
        Unavailable: the source did not answer about somebody, and about nobody was it met.
    """
    question = await _question(loket, case_id, key, round)
    if question is None:
        return None
    if question.refused:
        return Examined(Finding(Outcome.REFER, question.refused))
    replaced: dict[UUID, str] = {}
    findings: list[Finding] = []
    silent: Unavailable | None = None
    for subject in question.subjects:
        with consulting(Purpose(subject.person_id, the_system("MAGDA check"), question.purpose, case_id)):
            try:
                finding = await _examine_one(loket, question, subject, replaced)
            except Unavailable as fault:
                silent = silent or fault
                continue
            except Declined as fault:
                finding = Finding(Outcome.REFER, fault.reason[:200])
        if finding.outcome is Outcome.MET:
            return Examined(finding, replaced)
        findings.append(finding)
    if silent is not None:
        raise silent
    doubts = [finding for finding in findings if finding.outcome is Outcome.REFER]
    return Examined([*doubts, *findings, Finding(Outcome.NOT_MET, "NO_CHILDREN")][0], replaced)


async def _question(loket: Loket, case_id: UUID, key: str, round: int) -> _Question | None:
    async with loket.work(the_system("MAGDA check")) as work:
        case = await cases.get(work, case_id)
        check = await checks.find(work, case, key)
        spec = work.definition(case).check(key)
        if check is None or spec is None or check.round != round or not checks.awaits(case, check):
            return None
        facts = await facts_of(work, case)
        reference = facts.reference_date or work.today
        refused, subjects = await _subjects(work, case, spec)
        return _Question(
            case_id=case.id,
            purpose=case.procedure_key,
            spec=spec,
            facts=facts,
            on=min(reference, work.today) if spec.on == "reference_date" else work.today,
            year=reference.year - spec.years_back,
            subjects=subjects,
            refused=refused if loket.settings.magda.url else "NOT_CONNECTED",
        )


async def _subjects(work: Work, case: Case, spec: definition.Check) -> tuple[str, list[_Subject]]:
    """Whom it is asked about, each wanted at MAGDA for this case; or why nobody."""
    if spec.of == "applicant":
        person = await work.session.get_one(Person, case.person_id)
        if person.insz_sealed is None:
            return "NO_NATIONAL_NUMBER", []
        told = case.facts.get("person") or {}
        return "", [await _subject(work, case, person, told.get("birth_on"))]
    children = (case.facts.get("household") or {}).get("children")
    if children is None:
        return "CHILDREN_UNKNOWN", []
    subjects = []
    for child in children:
        sealed, index = bytes.fromhex(child["sealed"]), bytes.fromhex(child["index"])
        person = await sources.of_number(work, sealed, index)
        subjects.append(await _subject(work, case, person, child["birth_on"]))
    return "", subjects


async def _subject(work: Work, case: Case, person: Person, birth_on: str | None) -> _Subject:
    registration = await sources.want(work, person, case.procedure_key, case.id)
    assert person.insz_sealed is not None
    assert person.insz_index is not None
    return _Subject(
        person_id=person.id,
        insz=work.vault.open(person.insz_sealed),
        index=person.insz_index,
        registered=registration.state is RegistrationState.REGISTERED,
        birth_on=date.fromisoformat(birth_on) if birth_on else None,
    )


async def _examine_one(
    loket: Loket, question: _Question, subject: _Subject, replaced: dict[UUID, str]
) -> Finding:
    if not subject.registered:
        await _register(loket, subject.insz, subject.person_id, question.purpose)
    try:
        heard = await _ASK[question.spec.service](loket, question, subject, subject.insz)
    except NotRegistered:
        await _register(loket, subject.insz, subject.person_id, question.purpose)
        heard = await _ASK[question.spec.service](loket, question, subject, subject.insz)
    index = subject.index
    if (number := heard.told.replaced_by) is not None:
        heard = await _ask_again(loket, question, subject, number)
        replaced[subject.person_id], index = number, loket.vault.index("insz", number)
    warned = [one.code for one in heard.told.warnings if one.kind == "WAARSCHUWING" and one.code != REPLACED]
    if warned:
        return Finding(Outcome.REFER, " ".join(warned), heard.told.reference)
    outcome = weigh(question.spec.met, question.facts, heard.answer).outcome
    return Finding(outcome, heard.code, heard.told.reference, index)


async def _ask_again(loket: Loket, question: _Question, subject: _Subject, number: str) -> _Heard:
    """About the number that somebody has now, to which the registration goes over."""
    magda, today = loket.systems.magda, datetime.now(UTC).date()
    await magda.register(number, reference=str(uuid4()), begins_on=today, ends_on=today + REGISTERED_FOR)
    heard = await _ASK[question.spec.service](loket, question, subject, number)
    await magda.unregister(subject.insz, reference=str(uuid4()), begins_on=today, ends_on=today)
    return heard


async def _ask_statuses(loket: Loket, question: _Question, _: _Subject, insz: str) -> _Heard:
    told = await loket.systems.magda.social_statuses(
        insz, question.spec.statuses, question.on, reference=str(uuid4())
    )
    return _Heard(told, SocialStatusAnswer(told.applies), "ANSWERED")


async def _ask_assessment(loket: Loket, question: _Question, _: _Subject, insz: str) -> _Heard:
    told = await loket.systems.magda.tax_assessment(
        insz, question.year, (social.TAXABLE_INCOME,), reference=str(uuid4())
    )
    own, partner = (told.items.get(letter + social.TAXABLE_INCOME) for letter in "AB")
    total = told.total_eur()
    answer = TaxAnswer(
        found=told.found and total is not None,
        year=told.year,
        household_income=None if total is None else float(total),
        taxpayer_income=None if own is None else float(own),
        partner_income=None if partner is None else float(partner),
    )
    return _Heard(told, answer, "ANSWERED" if answer.found else social.NO_SUCH_YEAR)


async def _ask_handicap(loket: Loket, question: _Question, subject: _Subject, insz: str) -> _Heard:
    told = await loket.systems.magda.handicap_file(insz, question.on, reference=str(uuid4()))
    held = [
        one
        for one in told.recognitions
        if one.holds_on(question.on) and one.decision_status in (None, social.DETERMINED)
    ]
    scales = [one.child for one in held if one.child is not None]
    earnings = [one.reduced_earnings for one in held if one.reduced_earnings is not None]
    answer = HandicapAnswer(
        found=bool(held),
        age=sources.age(subject.birth_on, question.on) if subject.birth_on else None,
        points=max((one.adult_points or 0 for one in held), default=0),
        reduced_earnings=any(earnings) if earnings else None,
        pillar_1=max((one.pillar_1 or 0 for one in scales), default=0),
        pillar_2=max((one.pillar_2 or 0 for one in scales), default=0),
        pillar_3=max((one.pillar_3 or 0 for one in scales), default=0),
        pillars=max((one.total or 0 for one in scales), default=0),
    )
    return _Heard(told, answer, told.code or "ANSWERED")


_ASK: dict[str, Callable[[Loket, _Question, _Subject, str], Awaitable[_Heard]]] = {
    "social_status": _ask_statuses,
    "tax_assessment": _ask_assessment,
    "handicap_file": _ask_handicap,
}
