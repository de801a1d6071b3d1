"""Who else must agree before an application is handled (medeaanvrager): asked, reminded, heard, or not.

They are found by the national number that the applicant gave, and answer for themselves, signed in. They see
of the case what they are asked, and nothing more; the applicant does not get to know who they are from us.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import accounts, cases, sources
from loket.definition import CoApplicant, Definition
from loket.errors import ErrorCode, Refused
from loket.facts import facts_of
from loket.forms import FieldFault, answered, asked
from loket.lifecycle import (
    CO_APPLICATION,
    Action,
    CoApplicationStatus,
    EventType,
    PartAction,
    Role,
    Status,
    TimerKind,
)
from loket.numbers import national_number
from loket.records import ActorKind, Application, Case, CoApplication, Event, Json, MessageChannel, Person
from loket.rules import Facts, Outcome, weigh
from loket.terms import end_of
from loket.wording import Value
from loket.work import Work, the_system

TOLD = frozenset({EventType.CO_APPLICANT_ASKED, EventType.CO_APPLICANT_REMINDED})
"""Events whose message goes to the co-applicant."""
NAME = "Medeaanvrager"
"""Under which they stand in the history of the case: the applicant does not learn names by numbers."""
_OWN = (
    "Dit is uw eigen rijksregisternummer. Vul dat van de andere persoon in.",
    "This is your own national number. Fill in that of the other person.",
)
_MISSING = ("Vul dit in.", "Please fill this in.")


class Asked(Enum):
    """Whether a case waits for somebody else."""

    NOBODY = "nobody"
    WAITS = "waits"
    UNKNOWN = "unknown"
    """Somebody must look: it cannot be told whether anybody must confirm, or who."""


# --- before it is handed in -------------------------------------------------------------------


def faults(
    definition: Definition, facts: Facts, answers: Json, language: str, is_own: Callable[[str], bool]
) -> list[FieldFault]:
    """What is wrong with whom the applicant named; `answers` as they were given, `facts` of the draft."""
    part = definition.co_applicant
    must = Outcome.NOT_MET if part is None else _must(part, facts)
    if part is None or must is Outcome.NOT_MET:
        return []
    path = ["answers", *part.number_field.strip("/").split("/")]
    number = _number(definition, answers)
    if number is None:
        given = str(answered(answers, part.number_field) or "").strip()
        said = _MISSING[language == "en"]
        return [FieldFault(path, ErrorCode.REQUIRED, said)] if must is Outcome.MET and not given else []
    return [FieldFault(path, ErrorCode.VALIDATION, _OWN[language == "en"])] if is_own(number) else []


def is_of(work: Work, person: Person, number: str) -> bool:
    """Whether this is a national number of `person`, the present one or a former one."""
    return work.vault.index("insz", number) in (person.insz_index, person.former_insz_index)


def _must(part: CoApplicant, facts: Facts) -> Outcome:
    return Outcome.MET if part.when is None else weigh(part.when, facts).outcome


def _number(definition: Definition, answers: Json) -> str | None:
    part = definition.co_applicant
    given = answered(answers, part.number_field) if part else None
    return national_number(given) if isinstance(given, str) else None


# --- asking -----------------------------------------------------------------------------------


async def ask(work: Work, case: Case) -> Asked:
    """Ask whoever must confirm, once a round; who confirmed before is not asked again."""
    definition = work.definition(case)
    part = definition.co_applicant
    if part is None:
        return Asked.NOBODY
    rows = await _all(work, case)
    if any(one.status is CoApplicationStatus.CONFIRMED or one.round == case.round for one in rows):
        return Asked.WAITS if any(one.status is CoApplicationStatus.ASKED for one in rows) else Asked.NOBODY
    must = _must(part, await facts_of(work, case))
    if must is not Outcome.MET:
        return Asked.NOBODY if must is Outcome.NOT_MET else Asked.UNKNOWN
    person = await _named(work, case, definition)
    if person is None:
        return Asked.UNKNOWN
    row = CoApplication(case_id=case.id, person_id=person.id, round=case.round, asked_at=work.now)
    work.session.add(row)
    answer_by = work.today + timedelta(days=part.answer_within_days)
    data = {"co_application": str(row.id), "answer_by": answer_by.isoformat()}
    await cases.advance(work.as_actor(the_system()), case, Action.ASK_CO_APPLICANT, data=data)
    if definition.term.suspendable:
        pause = {"reason": "CO_APPLICANT", "from": work.today.isoformat(), "to": None}
        case.suspensions = [*case.suspensions, pause]
    await work.arm(TimerKind.CO_APPLICANT_END, end_of(answer_by), case=case, subject=row.id)
    await _arm_reminder(work, case, row, 1)
    return Asked.WAITS


async def remind(work: Work, case: Case, number: int) -> None:
    """No answer yet: ask again, as often as the definition lists."""
    row = await open_of(work, case)
    if row is None:
        return
    answer_by = await _answer_by(work, case)
    data = {"co_application": str(row.id), "answer_by": answer_by, "number": number}
    await cases.record(work, case, EventType.CO_APPLICANT_REMINDED, data=data)
    await _arm_reminder(work, case, row, number + 1)


async def lapse(work: Work, case: Case) -> None:
    """No answer came in time: the rules decide on that."""
    row = await open_of(work, case)
    if row is None or case.status is not Status.AWAITING_APPLICANT:
        return
    await cases.advance(work, case, Action.LAPSE_CO_APPLICATION, data={"co_application": str(row.id)})
    cases.move(work, CO_APPLICATION, row, PartAction.LAPSE)
    await _go_on(work, case, row)


async def withdraw(work: Work, case: Case) -> None:
    """The case ended: nobody is asked any more."""
    row = await open_of(work, case)
    if row is not None:
        cases.move(work.as_actor(the_system()), CO_APPLICATION, row, PartAction.WITHDRAW)


async def open_of(work: Work, case: Case) -> CoApplication | None:
    """The question that awaits an answer."""
    if work.definition(case).co_applicant is None:
        return None
    found = await work.session.scalars(
        select(CoApplication)
        .where(col(CoApplication.case_id) == case.id, col(CoApplication.status) == CoApplicationStatus.ASKED)
        .with_for_update(key_share=True)
    )
    return found.one_or_none()


async def _all(work: Work, case: Case) -> Sequence[CoApplication]:
    found = await work.session.scalars(select(CoApplication).where(col(CoApplication.case_id) == case.id))
    return found.all()


async def _named(work: Work, case: Case, definition: Definition) -> Person | None:
    """Whom the applicant named, met for the first time or known already; None where they named themselves."""
    application = await work.session.get_one(Application, case.application_id)
    answers = accounts.opened_in(definition, work.vault, asked(definition.form, application.answers))
    number = _number(definition, answers)
    applicant = await work.session.get_one(Person, case.person_id)
    if number is None or is_of(work, applicant, number):
        return None
    return await sources.of_number(work, work.vault.seal(number), work.vault.index("insz", number))


async def _answer_by(work: Work, case: Case) -> str:
    found = await work.session.scalars(
        select(Event)
        .where(col(Event.case_id) == case.id, col(Event.type) == EventType.CO_APPLICANT_ASKED)
        .order_by(col(Event.case_version).desc())
        .limit(1)
    )
    return str(found.one().data["answer_by"])


async def _arm_reminder(work: Work, case: Case, row: CoApplication, number: int) -> None:
    """So many days after the question, at the hour at which it was asked."""
    part = work.definition(case).co_applicant
    days = sorted(part.reminder_days) if part else []
    if number <= len(days):
        due_at = row.asked_at + timedelta(days=days[number - 1])
        await work.arm(TimerKind.CO_APPLICANT_REMINDER, due_at, case=case, subject=row.id, number=number)


# --- answering --------------------------------------------------------------------------------


async def confirm(work: Work, id: UUID) -> CoApplication:
    """The co-applicant agrees.

    Raises:
        Refused: SIGN_IN_REQUIRED; NOT_FOUND for whoever was not asked; TRANSITION_NOT_ALLOWED where no answer
            is awaited (any more).
    """
    acting, case, row = await _mine(work, id)
    await cases.advance(
        acting, case, Action.CONFIRM_CO_APPLICATION, data={"co_application": str(row.id), "confirmed": True}
    )
    cases.move(acting, CO_APPLICATION, row, PartAction.CONFIRM)
    await _go_on(acting, case, row)
    return row


async def refuse(work: Work, id: UUID, reason: str) -> CoApplication:
    """The co-applicant does not agree, and says why. Raises as `confirm`; REQUIRED for no reason."""
    acting, case, row = await _mine(work, id)
    said = cases.said(reason, "reason")
    await cases.advance(
        acting, case, Action.REFUSE_CO_APPLICATION, data={"co_application": str(row.id), "reasons": [said]}
    )
    cases.move(acting, CO_APPLICATION, row, PartAction.REFUSE)
    row.remark = said
    await _go_on(acting, case, row)
    return row


async def _mine(work: Work, id: UUID) -> tuple[Work, Case, CoApplication]:
    """What the actor is asked, and the work in that quality: for this case alone."""
    if work.actor.kind is not ActorKind.CITIZEN or work.actor.id is None:
        raise Refused(ErrorCode.SIGN_IN_REQUIRED)
    ahead = await work.session.get(CoApplication, id)
    if ahead is None or ahead.person_id != work.actor.id:
        raise Refused(ErrorCode.NOT_FOUND)
    quality = frozenset({Role.CO_APPLICANT})
    acting = work.as_actor(replace(work.actor, name=NAME, roles=quality))
    case = await cases.get(acting, ahead.case_id)
    row = await open_of(work, case)
    if row is None or row.id != id:
        await work.session.refresh(ahead)
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=ahead.status)
    return acting, case, row


async def _go_on(work: Work, case: Case, row: CoApplication) -> None:
    """The term runs on, and the rules speak, before the same commit."""
    row.answered_at = work.now
    await work.disarm(TimerKind.CO_APPLICANT_REMINDER, TimerKind.CO_APPLICANT_END, case=case)
    await cases.end_suspension(work, case)
    work.entered.append(case)


# --- what is said -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Addressee:
    """To whom the question goes. `email` is where, if they gave us no address themselves."""

    person: Person
    email: str | None

    @property
    def name(self) -> str:
        return f"{self.person.given_name} {self.person.family_name}".strip()

    def named_over(self, channel: MessageChannel) -> str:
        """How they are called; by no name at an address that only the applicant says is theirs."""
        own = channel is not MessageChannel.EMAIL or self.person.email is not None
        return self.name if own else ""


async def addressee(work: Work, case: Case) -> Addressee | None:
    """Who is asked now."""
    row, definition = await open_of(work, case), work.definition(case)
    if row is None:
        return None
    person = await work.session.get_one(Person, row.person_id)
    application = await work.session.get_one(Application, case.application_id)
    pointer = definition.co_applicant.email_field if definition.co_applicant else None
    given = answered(application.answers, pointer) if pointer else None
    return Addressee(person, person.email or (given if isinstance(given, str) and given else None))


def said_to(work: Work, case: Case) -> dict[str, Value]:
    """What only the co-applicant's own messages can name, beside how they are called."""
    return {"link_confirm": f"{work.settings.website_url}/medeaanvragen/{case.reference}"}


async def said_of(work: Work, events: Sequence[Event]) -> dict[str, Value]:
    """The name of who confirmed: of nobody else the applicant hears it from us."""
    ids = [event.data["co_application"] for event in events if event.data.get("confirmed")]
    row = await work.session.get(CoApplication, UUID(ids[-1])) if ids else None
    person = await work.session.get(Person, row.person_id) if row else None
    return {"co_applicant": f"{person.given_name} {person.family_name}".strip() or None} if person else {}
