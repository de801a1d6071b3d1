"""What a body decided, whoever tells it: the minutes system when asked, a notice, the secretariat.

All say it to `heard`, and heard again it changes nothing. A second word that differs is a person's to see.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import agenda, cases, decisions, filing, hearsay, information
from loket.errors import ErrorCode, Refused
from loket.hearsay import Heard
from loket.lifecycle import (
    DECISION,
    FINAL,
    Action,
    DecisionStatus,
    EventType,
    PartAction,
    Status,
    TimerKind,
)
from loket.records import AgendaItem, Case, Decision, Document, Event, Task
from loket.systems.minutes_item import Outcome
from loket.work import Work, the_system


async def heard(work: Work, item_id: UUID, facts: Heard, *, only: UUID | None = None) -> list[Case]:
    """Write down what became of an item, on each of its cases, or on `only` one of them."""
    wanted = select(col(Decision.case_id)).where(col(Decision.agenda_item_id) == item_id)
    if only is not None:
        wanted = wanted.where(col(Decision.case_id) == only)
    case_ids = await work.session.scalars(wanted.order_by(col(Decision.case_id)))
    concerned = [await cases.get(work, case_id) for case_id in case_ids]
    if not concerned:
        return await _left_by_all(work, item_id, facts)
    item = await work.session.get_one(
        AgendaItem, item_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if hearsay.is_old_news(item, facts):
        return concerned
    if await _is_another_document(work, concerned, facts):
        return concerned
    facts = await _noted(work, item, facts, of_all=only is None)
    document = await _document(work, item, concerned[0], facts)
    for case in concerned:
        decision = await _on_item(work, item, case)
        if decision is not None:
            await _apply(work, item, case, decision, facts, document)
        if facts.warnings and case.status not in FINAL:
            await cases.open_task(work, case, "MINUTES_WARNING", {"warnings": list(facts.warnings)})
    await agenda.close(work, item)
    return concerned


async def _on_item(work: Work, item: AgendaItem, case: Case) -> Decision | None:
    """The decision that was put before the body, of whichever round; behind the lock of its case."""
    found = await work.session.scalars(
        select(Decision)
        .where(col(Decision.case_id) == case.id, col(Decision.agenda_item_id) == item.id)
        .order_by(col(Decision.round).desc())
        .limit(1)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def _left_by_all(work: Work, item_id: UUID, facts: Heard) -> list[Case]:
    """A body decided on what was taken back and drafted anew since: somebody must know."""
    if facts.result not in hearsay.YES_OR_NO:
        return []
    item = await work.session.get_one(AgendaItem, item_id)
    case = await agenda.left_it(work, item)
    if case is None:
        return []
    told = hearsay.told(facts) | {"item": item.external_identifier}
    await cases.open_task(work, case, "DECISION_AFTER_WITHDRAWAL", told)
    return [case]


async def recorded(work: Work, case: Case, facts: Heard) -> None:
    """The secretariat's word on one case, also where the draft never was in a minutes system.

    Raises:
        Refused: NOT_ALLOWED where no body decides; TRANSITION_NOT_ALLOWED when nothing was proposed.
    """
    rules = work.definition(case).decision
    if rules is None or rules.body is None:
        raise Refused(ErrorCode.NOT_ALLOWED)
    decision = await decisions.of(work, case)
    if decision is None:
        raise cases.not_allowed(work, case)
    if decision.agenda_item_id is not None:
        await heard(work, decision.agenda_item_id, facts, only=case.id)
    elif not await _is_another_document(work, [case], facts):
        document = await _document(work, None, case, facts)
        await _apply(work, None, case, decision, facts, document)


async def _is_another_document(work: Work, concerned: Sequence[Case], facts: Heard) -> bool:
    """A document that is not the one that was promised is not accepted, nor what it says."""
    if facts.content is None or not facts.sha256:
        return False
    found = hashlib.sha256(facts.content).hexdigest()
    if found == facts.sha256.lower():
        return False
    for case in concerned:
        told = {"told": facts.sha256, "found": found, "result": facts.result}
        await cases.open_task(work, case, "DOCUMENT_DIFFERS", told)
    return True


async def _noted(work: Work, item: AgendaItem, facts: Heard, *, of_all: bool) -> Heard:
    """Remember where the item stands; the facts with what the item knew already."""
    if item.ended_at is not None:
        return facts
    came_back = bool(facts.item_uid and item.item_uid and facts.item_uid != item.item_uid)
    item.item_uid = facts.item_uid or item.item_uid
    if of_all and not (facts.result is Outcome.POSTPONED and hearsay.is_taken(item)):
        item.state = facts.state or hearsay.STATES.get(facts.result, item.state)
    item.heard_at = work.now
    moved = facts.meeting_on is not None and facts.meeting_on != item.meeting_on
    item.meeting_uid = facts.meeting_uid or item.meeting_uid
    item.meeting_on = facts.meeting_on or item.meeting_on
    await work.session.flush()
    if came_back and facts.result not in (Outcome.POSTPONED, Outcome.REMOVED):
        await _came_back(work, item)
    return facts if moved else replace(facts, meeting_on=item.meeting_on)


async def _came_back(work: Work, item: AgendaItem) -> None:
    """It stands on a later agenda: nobody told us before that it was postponed."""
    found = await work.session.scalars(
        select(Decision).where(
            col(Decision.agenda_item_id) == item.id, col(Decision.status) == DecisionStatus.ON_AGENDA
        )
    )
    for decision in found:
        await _postpone(work, await work.session.get_one(Case, decision.case_id), decision)


async def _document(work: Work, item: AgendaItem | None, case: Case, facts: Heard) -> Document | None:
    """The signed decision, kept once; for staff: the citizen gets a letter."""
    if facts.content is None:
        return None
    sha256 = hashlib.sha256(facts.content).hexdigest()
    known = select(Document).join(Decision, col(Decision.document_id) == col(Document.id))
    known = known.where(
        col(Decision.agenda_item_id) == item.id if item else col(Decision.case_id) == case.id,
        col(Document.sha256) == sha256,
    )
    found = (await work.session.scalars(known.limit(1))).one_or_none()
    if found is not None:
        return found
    name = item.external_identifier if item else case.reference
    return await filing.keep(work, "DECISION", f"besluit-{name}.pdf", facts.content, case_id=case.id)


# --- on one case ------------------------------------------------------------------------------


async def _apply(
    work: Work,
    item: AgendaItem | None,
    case: Case,
    decision: Decision,
    facts: Heard,
    document: Document | None,
) -> None:
    if decision.status not in agenda.OPEN:
        await _after_the_end(work, case, decision, facts, document)
        return
    match facts.result:
        case Outcome.OPEN:
            await _on_agenda(work, item, case, decision, facts)
        case Outcome.POSTPONED:
            await _told_to_wait(work, item, case, decision, facts)
        case Outcome.REMOVED:
            await _remove(work, case, decision)
        case _:
            await _decided(work, case, decision, facts, document)


async def _on_agenda(
    work: Work, item: AgendaItem | None, case: Case, decision: Decision, facts: Heard
) -> None:
    """It stands on an agenda, or moved to another meeting: the citizen may know when."""
    if item is None or item.meeting_on is None or facts.state not in agenda.ON_ITS_AGENDA:
        return
    already = decision.status is DecisionStatus.ON_AGENDA
    if already and decision.decided_on == item.meeting_on:
        return
    if not already and DECISION.find(decision.status, PartAction.PUT_ON_AGENDA) is None:
        return
    if not already:
        await _put_on_agenda(work, case, decision)
    decision.decided_on = item.meeting_on
    data = {"meeting_on": item.meeting_on.isoformat(), "body": item.body}
    await cases.record(work, case, EventType.DECISION_ON_AGENDA, data=data)
    await cases.complete_tasks(work, case, "NO_SUCCESSOR", "MINUTES_WARNING")


async def _put_on_agenda(work: Work, case: Case, decision: Decision) -> None:
    cases.move(work.as_actor(the_system()), DECISION, decision, PartAction.PUT_ON_AGENDA)
    await work.disarm(TimerKind.SUCCESSOR_END, case=case)


async def _told_to_wait(
    work: Work, item: AgendaItem | None, case: Case, decision: Decision, facts: Heard
) -> None:
    """It is postponed, unless its body took it meanwhile: at a later meeting, or nobody knows."""
    taken = decision.signatories or (hearsay.is_taken(item) if item else decision.decided_on)
    if decision.status is not DecisionStatus.TO_CONFIRM and not taken:
        await _postpone(work, case, decision)
    elif not hearsay.is_of_earlier_meeting(decision, facts):
        await _differs(work, case, decision, hearsay.told(facts))


async def _postpone(work: Work, case: Case, decision: Decision) -> None:
    """It comes back at a later meeting, or somebody looks at it."""
    if decision.status is DecisionStatus.POSTPONED:
        return
    if decision.status is DecisionStatus.DRAFT:
        await _put_on_agenda(work, case, decision)
    cases.move(work, DECISION, decision, PartAction.POSTPONE)
    decision.decided_on = None
    await _stop_waiting(work, case)
    if case.status is Status.AWAITING_DECISION:
        await cases.advance(work, case, Action.POSTPONE)
    rules = work.definition(case).decision
    days = rules.agenda.successor_within_days if rules and rules.agenda else 30
    await work.arm(TimerKind.SUCCESSOR_END, work.now + timedelta(days=days), case=case)


async def _remove(work: Work, case: Case, decision: Decision) -> None:
    """The body will not deal with it: it can be prepared anew."""
    await agenda.take_back(work, case, decision, "taken from the agenda by the body or its secretariat")
    await cases.open_task(work, case, "DECISION_REMOVED")


async def _decided(
    work: Work, case: Case, decision: Decision, facts: Heard, document: Document | None
) -> None:
    if decision.status is DecisionStatus.TO_CONFIRM:
        await _more_to_confirm(work, case, decision, facts, document)
        return
    refused_before = decision.text
    await _sign(work, case, decision, facts, document)
    await _stop_waiting(work, case)
    if facts.result is Outcome.ACCEPTED and refused_before:  # by an unsigned word
        await _differs(work, case, decision, hearsay.told(facts))
    if facts.result is Outcome.MODIFIED or not _has_words(decision, facts):
        await _ask_to_confirm(work, case, decision, facts)
    elif decisions.is_signed(decision):
        await _final(work, case, decision, facts)
    else:
        await _unsigned(work, case, decision, facts)


async def _more_to_confirm(
    work: Work, case: Case, decision: Decision, facts: Heard, document: Document | None
) -> None:
    """More of what the handler confirms; of another word, what was written down stands and a person looks."""
    agrees = hearsay.agrees(decision, facts, document, await _said(work, case, decision))
    if agrees or not decisions.is_signed(decision):
        await _sign(work, case, decision, facts, document)
    if not agrees:
        await _differs(work, case, decision, hearsay.told(facts))
    elif decision.text in hearsay.WORDLESS.values():
        decision.text = facts.text.strip() or decision.text


async def _said(work: Work, case: Case, decision: Decision) -> hearsay.Said:
    """What the body was heard to say, by which the decision got to where it is."""
    wanted = (
        select(Event)
        .where(
            col(Event.case_id) == case.id,
            col(Event.type).in_((EventType.DECISION_MODIFIED, EventType.DECISION_PREPARED)),
        )
        .order_by(col(Event.id).desc())
        .limit(1)
    )
    if decision.decided_at is not None:  # later rounds have events of their own
        wanted = wanted.where(col(Event.occurred_at) <= decision.decided_at)
    event = (await work.session.scalars(wanted)).one_or_none()
    if event is not None and event.type is EventType.DECISION_MODIFIED:
        amount = event.data.get("amount")
        return hearsay.Said(Outcome(event.data["result"]), Decimal(amount) if amount else None)
    return hearsay.Said(Outcome.REFUSED if decision.text else Outcome.ACCEPTED)


async def _sign(work: Work, case: Case, decision: Decision, facts: Heard, document: Document | None) -> None:
    signed_before = decisions.is_signed(decision)
    _fill(work, decision, facts, document)
    if decisions.is_signed(decision) and not signed_before:
        data = {"signatories": decision.signatories}
        await cases.record(work, case, EventType.DECISION_SIGNED, data=data)
        await cases.complete_tasks(work, case, "DECISION_UNSIGNED")


def _has_words(decision: Decision, facts: Heard) -> bool:
    """A refusal of what was proposed needs the body's own reasons: the draft's argue for the contrary."""
    if facts.result is not Outcome.REFUSED:
        return True
    return decision.proposal is not DecisionStatus.REFUSED and bool(facts.text.strip() or decision.text)


async def _final(work: Work, case: Case, decision: Decision, facts: Heard) -> None:
    assert decision.proposal is not None
    outcome = decision.proposal
    told = decisions.as_proposed(work, case, decision)
    if facts.result is Outcome.REFUSED:
        outcome = DecisionStatus.REFUSED
        decision.motivation_factual = decision.text = facts.text.strip() or decision.text
        words = [decision.text]
        told = {"reasons": words, "facts": words, "legal": decision.motivation_legal.splitlines()}
    else:
        decision.text = ""
    if decision.decided_on is not None:
        told |= {"meeting_on": decision.decided_on.isoformat()}
    await decisions.conclude(work, case, decision, outcome, told)


async def _ask_to_confirm(work: Work, case: Case, decision: Decision, facts: Heard) -> None:
    """The body changed the proposal: the handler reads what it decided, and says so."""
    if decision.status in (DecisionStatus.DRAFT, DecisionStatus.POSTPONED):
        await _put_on_agenda(work, case, decision)
    cases.move(work, DECISION, decision, PartAction.MODIFY)
    decision.text = facts.text.strip() or hearsay.WORDLESS[facts.result]
    told = hearsay.told(facts)
    await cases.advance(work, case, Action.MODIFY, data=told)
    await cases.open_task(work, case, "CONFIRM_DECISION", told | {"text": decision.text})


async def _unsigned(work: Work, case: Case, decision: Decision, facts: Heard) -> None:
    """Decided, but not signed: it does not hold before; somebody is asked when that takes long."""
    if decision.status is DecisionStatus.POSTPONED:
        await _put_on_agenda(work, case, decision)
    if facts.result is Outcome.REFUSED:
        decision.text = facts.text.strip() or decision.text
    rules = work.definition(case).decision
    days = rules.notify_within_days if rules else 0
    if decision.decided_on is not None and work.today > decision.decided_on + timedelta(days=days):
        await cases.open_task(
            work, case, "DECISION_UNSIGNED", {"meeting_on": decision.decided_on.isoformat()}
        )


async def _stop_waiting(work: Work, case: Case) -> None:
    """What was asked of the applicant comes too late: the body went on without it."""
    if case.status is Status.AWAITING_APPLICANT:
        await information.lapsed(work.as_actor(the_system()), case)


def _fill(work: Work, decision: Decision, facts: Heard, document: Document | None) -> None:
    """What is known now of a decision; what was known stays."""
    decision.decided_on = facts.meeting_on or decision.decided_on or work.today
    if facts.signatories and len(facts.signatories) >= len(decision.signatories):
        decision.signatories = [
            {
                "name": one.name,
                "function": one.function,
                "signed_on": one.signed_on.isoformat() if one.signed_on else None,
            }
            for one in facts.signatories
        ]
    if document is not None:
        decision.document_id, decision.document_sha256 = document.id, document.sha256
    elif facts.sha256:
        decision.document_sha256 = decision.document_sha256 or facts.sha256.lower()


# --- after the end ----------------------------------------------------------------------------


async def _after_the_end(
    work: Work, case: Case, decision: Decision, facts: Heard, document: Document | None
) -> None:
    """A word on what was decided or withdrawn already: the same again changes nothing."""
    if decision.status is DecisionStatus.WITHDRAWN:
        if facts.result in hearsay.YES_OR_NO:
            _fill(work, decision, facts, document)
            decision.text = facts.text.strip() or decision.text or hearsay.STATES[facts.result]
            await cases.open_task(work, case, "DECISION_AFTER_WITHDRAWAL", hearsay.told(facts))
        return
    if facts.result is Outcome.OPEN:
        return
    if facts.result is Outcome.POSTPONED and hearsay.is_of_earlier_meeting(decision, facts):
        return
    if not hearsay.agrees(decision, facts, document, await _said(work, case, decision)):
        await _differs(work, case, decision, hearsay.told(facts))
    elif document is not None and decision.document_id is None:
        decision.document_id, decision.document_sha256 = document.id, document.sha256


async def _differs(work: Work, case: Case, decision: Decision, told: dict[str, Any]) -> None:
    """What was written down stands, until a person has looked: once at each word."""
    seen = await work.session.scalars(
        select(Task).where(col(Task.case_id) == case.id, col(Task.kind) == "DECISION_DIFFERS")
    )
    if all(one.data.get("told") != told for one in seen):
        await cases.open_task(work, case, "DECISION_DIFFERS", {"status": decision.status, "told": told})
