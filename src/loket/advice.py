"""What services of our own and bodies elsewhere think of an application (advies): asked, reminded of, given.

An external adviser answers with a link that is good for this one question. Only the hash of its token is
kept; the token is made again for each letter, so that all letters about one question carry the same link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import assessment, cases, wording
from loket.assessment import AWAITED
from loket.definition import Adviser
from loket.departments import key_of
from loket.errors import ErrorCode, Refused
from loket.facts import CHECKED_IN
from loket.lifecycle import (
    ADVICE,
    FINAL,
    Action,
    AdviceStatus,
    CheckStatus,
    EventType,
    PartAction,
    Role,
    Stage,
    TimerKind,
)
from loket.records import Advice, AdviserKind, Case, Check, EffectKind, Person
from loket.terms import end_of, morning_of
from loket.vault import Vault, token_hash
from loket.work import Actor, Work, the_system

LINK = "advice"
"""For what a token of ours is, in the vault's words."""
LATE_DAYS = 30
"""So many days after the deadline an external adviser's link still opens: late advice is advice still."""
LONGEST_DAYS = 365
"""How far ahead a deadline may be."""


class Opinion(StrEnum):
    """What an adviser thinks of it."""

    POSITIVE = "POSITIVE"
    NEGATIVE = "NEGATIVE"
    CONDITIONAL = "CONDITIONAL"


class Letter(StrEnum):
    """What an adviser is written."""

    ASKED = "ASKED"
    REMINDED = "REMINDED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True)
class Words:
    """An adviser's answer. `name`: of who gives it, where nobody signed in."""

    opinion: Opinion
    text: str
    conditions: str = ""
    name: str = ""


_MOVES = {
    Opinion.POSITIVE: PartAction.ADVISE_FOR,
    Opinion.NEGATIVE: PartAction.ADVISE_AGAINST,
    Opinion.CONDITIONAL: PartAction.ADVISE_WITH_CONDITIONS,
}
_OF_CHECK = {CheckStatus.MET: AdviceStatus.POSITIVE, CheckStatus.NOT_MET: AdviceStatus.NEGATIVE}
_TO = {AdviceStatus.POSITIVE: PartAction.ADVISE_FOR, AdviceStatus.NEGATIVE: PartAction.ADVISE_AGAINST}


# --- asking -----------------------------------------------------------------------------------


async def begin(work: Work, case: Case) -> None:
    """Ask those whom the procedure asks at once; of a reopened case a handler says who is asked again."""
    definition = work.definition(case)
    if case.round > 1 or any(await of(work, case)):
        return
    by_itself = work.as_actor(the_system())
    for key in definition.assessment.ask:
        adviser = definition.adviser(key)
        if adviser is not None:
            await _ask(by_itself, case, adviser, "", work.today + timedelta(days=adviser.within_days))
    await follow_checks(work, case)


async def request(
    work: Work, case: Case, key: str, *, question: str = "", due_on: date | None = None
) -> Advice:
    """Ask an adviser of the procedure; without `question` and `due_on`, as the procedure says.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED outside of the assessment; VALIDATION for an adviser who is unknown or
            was asked in this round already, and for a deadline in the past or too far away; RULE_NOT_MET for
            a machine whose check is not asked in this case.
    """
    definition = work.definition(case)
    step = cases.machine(definition).find((case.stage, case.status), Action.REQUEST_ADVICE)
    if step is None or not step.by & cases.roles_in(work, case):
        raise cases.not_allowed(work, case)
    adviser = definition.adviser(key)
    if adviser is None:
        known = ", ".join(one.key for one in definition.advisers) or "-"
        raise Refused(ErrorCode.VALIDATION, path=["input", "adviser"], reason=f"{key}: {known}")
    if any(one.adviser == key for one in await of(work, case)):
        reason = _spoken(work, "dit advies is al gevraagd", "this advice was asked already")
        raise Refused(ErrorCode.VALIDATION, path=["input", "adviser"], reason=reason)
    day = due_on or work.today + timedelta(days=adviser.within_days)
    if not work.today <= day <= work.today + timedelta(days=LONGEST_DAYS):
        reason = _spoken(work, f"vandaag tot {LONGEST_DAYS} dagen ver", f"today to {LONGEST_DAYS} days ahead")
        raise Refused(ErrorCode.VALIDATION, path=["input", "dueOn"], reason=reason)
    if adviser.kind == "MACHINE" and _checks_began(case) and await _check(work, case, adviser) is None:
        text = _spoken(
            work, "Dit dossier heeft die controle niet nodig.", "This case does not need that check."
        )
        raise Refused(
            ErrorCode.RULE_NOT_MET, path=["input", "adviser"], text=text, extra={"rule": adviser.check}
        )
    own_words = cases.said(question, "question") if question.strip() else ""
    advice = await _ask(work, case, adviser, own_words, day)
    await follow_checks(work, case)
    await _went_on(work, case)
    return advice


async def _ask(work: Work, case: Case, adviser: Adviser, question: str, due_on: date) -> Advice:
    advice = Advice(
        case_id=case.id,
        round=case.round,
        adviser=adviser.key,
        kind=AdviserKind(adviser.kind),
        department=adviser.department or "",
        question=question or await _question(work, case, adviser),
        requested_by_id=work.actor.id if work.actor.is_staff else None,
        requested_at=work.now,
        due_on=due_on,
    )
    if advice.kind is AdviserKind.EXTERNAL:
        advice.token_expires_at = end_of(due_on + timedelta(days=LATE_DAYS))
        advice.token_hash = token_hash(token_of(work.vault, advice))
    work.session.add(advice)
    event = await cases.advance(work, case, Action.REQUEST_ADVICE, data=_said(advice))
    await cases.complete_tasks(work, case, "ASSESS")
    await work.arm(TimerKind.ADVICE_END, end_of(due_on), case=case, subject=advice.id)
    if advice.kind is not AdviserKind.MACHINE:
        await _arm_reminder(work, case, advice, adviser)
        await _write_to(work, case, advice, adviser, event.seq)
    return advice


def token_of(vault: Vault, advice: Advice) -> str:
    """What stands in the link of an external adviser: the same each time."""
    assert advice.token_expires_at is not None
    return vault.link(LINK, advice.id, advice.token_expires_at)


async def _question(work: Work, case: Case, adviser: Adviser) -> str:
    """The procedure's own question, filled in; the applicant's name does not leave the house."""
    name = case.reference
    if adviser.kind == "INTERNAL":
        person = await work.session.get_one(Person, case.person_id)
        name = f"{person.given_name} {person.family_name}".strip()
    definition = work.definition(case)
    values: dict[str, wording.Value] = {
        **wording.own_values(definition, work.settings.municipality, "nl"),
        "applicant": name,
        "reference": case.reference,
        "submitted_on": case.submitted_at,
        "link_case": f"{work.settings.website_url}/dossiers/{case.reference}",
    }
    return wording.line(adviser.question, "nl", values) or adviser.question.nl


async def _write_to(
    work: Work,
    case: Case,
    advice: Advice,
    adviser: Adviser,
    event_seq: int | None,
    *,
    about: Letter = Letter.ASKED,
) -> None:
    """By e-mail, where an address is known: an internal adviser without one has the work list."""
    if adviser.email:
        told = {"advice_id": str(advice.id), "about": about}
        await work.leave(EffectKind.ADVICE_EMAIL, told, case=case, event_seq=event_seq)


async def _arm_reminder(
    work: Work, case: Case, advice: Advice, adviser: Adviser, *, after: int = LONGEST_DAYS + 1
) -> None:
    """The next one: so many days before the deadline, fewer than `after`, in the morning."""
    for days in sorted(adviser.remind_before_days, reverse=True):
        moment = morning_of(advice.due_on - timedelta(days=days))
        if days < after and moment > work.now:
            await work.arm(TimerKind.ADVICE_REMINDER, moment, case=case, subject=advice.id, number=days)
            return


# --- waiting ----------------------------------------------------------------------------------


async def remind(work: Work, case: Case, advice_id: UUID, days: int) -> None:
    """So many days before the deadline nobody has answered."""
    advice = await behind(work, case, advice_id)
    adviser = work.definition(case).adviser(advice.adviser)
    if advice.status not in AWAITED or adviser is None:
        return
    cases.move(work.as_actor(the_system()), ADVICE, advice, PartAction.REMIND)
    event = await cases.record(work, case, EventType.ADVICE_REMINDED, data=_said(advice))
    await _write_to(work, case, advice, adviser, event.seq, about=Letter.REMINDED)
    await _arm_reminder(work, case, advice, adviser, after=days)


async def lapse(work: Work, case: Case, advice_id: UUID) -> None:
    """The deadline has passed: the case goes on without."""
    advice = await behind(work, case, advice_id)
    if advice.status not in AWAITED:
        return
    cases.move(work.as_actor(the_system()), ADVICE, advice, PartAction.LAPSE)
    await work.disarm(TimerKind.ADVICE_REMINDER, subject=advice.id)
    await cases.record(work, case, EventType.ADVICE_LAPSED, data=_said(advice))
    await _went_on(work, case)


# --- answering --------------------------------------------------------------------------------


async def give(work: Work, case: Case, advice: Advice, words: Words) -> None:
    """Write down what an adviser thinks; late advice too, as long as nobody decided.

    Raises:
        Refused: REQUIRED and TOO_LARGE for its words; TRANSITION_NOT_ALLOWED when it was given or withdrawn,
            or the case is decided on; NOT_ALLOWED for what a machine must answer.
    """
    handles = Role.HANDLER in cases.roles_in(work, case)
    may_answer = not work.actor.is_staff or handles or is_asked(work.actor, advice)
    if advice.kind is AdviserKind.MACHINE or not may_answer:
        raise Refused(ErrorCode.NOT_ALLOWED)
    text = cases.said(words.text, "text")
    conditional = words.opinion is Opinion.CONDITIONAL
    conditions = cases.said(words.conditions, "conditions") if conditional else ""
    if is_decided(work, case, advice):
        why = _spoken(work, "Over dit dossier is al beslist.", "This case was decided on: it is too late.")
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, text=why, extra={"status": case.status})
    cases.move(work, ADVICE, advice, _MOVES[words.opinion])
    advice.opinion, advice.conditions = text, conditions
    advice.given_by = words.name or work.actor.name
    advice.given_by_id = work.actor.id if work.actor.is_staff else None
    await _given(work, case, advice)
    await _went_on(work, case)


async def withdraw(work: Work, case: Case, advice: Advice, reason: str) -> None:
    """It is not needed any more.

    Raises:
        Refused: REQUIRED without a reason; NOT_ALLOWED for who handles no cases of this department;
            TRANSITION_NOT_ALLOWED once it was given, or its time has passed.
    """
    if not cases.roles_in(work, case) & {Role.HANDLER, Role.OPERATOR}:
        raise Refused(ErrorCode.NOT_ALLOWED)
    await _withdraw(work, case, advice, cases.said(reason, "reason"))
    await _went_on(work, case)


async def withdraw_all(work: Work, case: Case, why: str) -> None:
    """The case has ended: nobody needs to think about it any longer."""
    found = await work.session.scalars(
        select(Advice).where(col(Advice.case_id) == case.id, col(Advice.status).in_(AWAITED))
    )
    for advice in found.all():
        await _withdraw(work.as_actor(the_system()), case, advice, why)


async def follow_checks(work: Work, case: Case) -> None:
    """A machine's advice is what its check came to; called whenever checks have begun, or one ended.

    A check that found no answer leaves it open until its deadline; one that this case does not need, or that
    a document stands in for, takes the question back.
    """
    if not _checks_began(case):
        return
    by_itself = work.as_actor(the_system())
    for advice in await of(work, case):
        adviser = work.definition(case).adviser(advice.adviser)
        if advice.kind is not AdviserKind.MACHINE or adviser is None:
            continue
        check = await _check(work, case, adviser)
        advice.check_id = check.id if check else None
        if check is None or check.status is CheckStatus.REPLACED:
            if advice.status in AWAITED:
                await _withdraw(
                    by_itself, case, advice, "the check is not asked" if check is None else "a document"
                )
            continue
        answer = _OF_CHECK.get(check.status)
        if answer is None or answer is advice.status or is_decided(work, case, advice):
            continue
        machine = the_system(adviser.title.nl)
        cases.move(by_itself, ADVICE, advice, _TO[answer])
        advice.given_by = machine.name
        await _given(work.as_actor(machine), case, advice)


def is_decided(work: Work, case: Case, advice: Advice) -> bool:
    """Whether advice comes too late to be of any use."""
    stages = work.definition(case).stages
    past = stages.index(case.stage) > stages.index(Stage.DECISION)
    return past or case.status in FINAL or advice.round != case.round


async def _given(work: Work, case: Case, advice: Advice) -> None:
    advice.given_at = work.now
    await work.disarm(TimerKind.ADVICE_REMINDER, TimerKind.ADVICE_END, subject=advice.id)
    await cases.record(work, case, EventType.ADVICE_GIVEN, data=_said(advice))


async def _withdraw(work: Work, case: Case, advice: Advice, why: str) -> None:
    cases.move(work, ADVICE, advice, PartAction.WITHDRAW)
    await work.disarm(TimerKind.ADVICE_REMINDER, TimerKind.ADVICE_END, subject=advice.id)
    event = await cases.record(work, case, EventType.ADVICE_WITHDRAWN, data=_said(advice) | {"why": why})
    adviser = work.definition(case).adviser(advice.adviser)
    if adviser is not None and advice.kind is not AdviserKind.MACHINE:
        await _write_to(work, case, advice, adviser, event.seq, about=Letter.WITHDRAWN)


async def _went_on(work: Work, case: Case) -> None:
    await work.session.flush()
    await assessment.go_on(work.as_actor(the_system()), case)


# --- looking ----------------------------------------------------------------------------------


async def of(work: Work, case: Case) -> Sequence[Advice]:
    """What was asked in this round and not taken back."""
    found = await work.session.scalars(
        select(Advice)
        .where(
            col(Advice.case_id) == case.id,
            col(Advice.round) == case.round,
            col(Advice.status) != AdviceStatus.WITHDRAWN,
        )
        .order_by(col(Advice.id))
    )
    return found.all()


async def get_locked(
    work: Work, advice_id: UUID, *, expected_version: int | None = None
) -> tuple[Case, Advice]:
    """An advice behind the lock of its case.

    Raises:
        Refused: NOT_FOUND, also for who may not know of it; VERSION_CONFLICT, the version being the case's.
    """
    advice = await work.session.get(Advice, advice_id)
    case = await work.session.get(Case, advice.case_id) if advice is not None else None
    if advice is None or case is None or not may_see(work, case, advice):
        raise Refused(ErrorCode.NOT_FOUND)
    await cases.get(work.as_actor(the_system()), case.id, expected_version=expected_version)
    return case, await behind(work, case, advice.id)


def may_see(work: Work, case: Case, advice: Advice) -> bool:
    """Advisers know of what is asked of their own service or body; other staff of all in their cases."""
    return bool(cases.roles_in(work, case) & cases.SEES_CASES) or is_asked(work.actor, advice)


def is_asked(actor: Actor, advice: Advice) -> bool:
    """Whether this is for the actor to answer; `context.ASKED_OF_ME` is the same."""
    if Role.ADVISER not in actor.roles or advice.status is AdviceStatus.WITHDRAWN:
        return False
    if not actor.is_staff:
        return advice.kind is AdviserKind.EXTERNAL and advice.adviser in actor.bodies
    of_all = Role.ADVISER not in actor.departments or not advice.department
    theirs = of_all or key_of(advice.department) in actor.departments[Role.ADVISER]
    return theirs and advice.kind is AdviserKind.INTERNAL


async def behind(work: Work, case: Case, advice_id: UUID) -> Advice:
    """Read anew behind the lock of its case."""
    advice = await work.session.get_one(Advice, advice_id)
    assert advice.case_id == case.id
    await work.session.refresh(advice, with_for_update={"key_share": True})
    return advice


def _checks_began(case: Case) -> bool:
    return bool(case.facts.get(CHECKED_IN) == case.round)


async def _check(work: Work, case: Case, adviser: Adviser) -> Check | None:
    found = await work.session.scalars(
        select(Check).where(
            col(Check.case_id) == case.id,
            col(Check.kind) == adviser.check,
            col(Check.round) == case.round,
        )
    )
    return found.one_or_none()


def _said(advice: Advice) -> dict[str, Any]:
    """What an event tells of it: whose, and how it stands; not what was said."""
    return {
        "advice": str(advice.id),
        "adviser": advice.adviser,
        "advice_status": str(advice.status),
        "advice_due_on": advice.due_on.isoformat(),
    }


def _spoken(work: Work, dutch: str, english: str) -> str:
    return english if work.actor.language == "en" else dutch
