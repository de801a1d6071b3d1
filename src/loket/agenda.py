"""What comes before a body in the minutes system: on its agenda, followed there, and taken from it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket import agenda_items, cases, decisions, filing
from loket.errors import ErrorCode, Refused
from loket.lifecycle import DECISION, FINAL, Action, DecisionStatus, EventType, PartAction, TimerKind
from loket.records import AgendaItem, Case, Decision, Effect, EffectKind, EffectState
from loket.systems.minutes_item import Meeting
from loket.terms import BRUSSELS, start_of
from loket.work import Work

POLL_FAR = timedelta(hours=12)
"""How often the minutes system is asked of an item whose meeting is still to come."""
POLL_NEAR = timedelta(minutes=30)
"""From the day of the meeting on, and while the item has none."""
ON_ITS_AGENDA = frozenset({"presented", "itemfrozen", "itempublished", "pre_accepted"})
"""States of an item that stands on a meeting's agenda (PloneMeeting)."""
OPEN = frozenset(
    {
        DecisionStatus.DRAFT,
        DecisionStatus.ON_AGENDA,
        DecisionStatus.POSTPONED,
        DecisionStatus.TO_CONFIRM,
    }
)
"""Of which something is still to be heard."""


# --- to the minutes system --------------------------------------------------------------------


async def ready(work: Work, case: Case) -> Decision:
    """The draft that can go to its body.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nothing is drafted, or it lies there already; NOT_ALLOWED where
            no body decides.
    """
    rules = work.definition(case).decision
    if rules is None or rules.body is None or rules.agenda is None:
        raise Refused(ErrorCode.NOT_ALLOWED)
    decision = await decisions.of(work, case)
    if decision is None or decision.status is not DecisionStatus.DRAFT or decisions.is_away(decision):
        raise cases.not_allowed(work, case)
    if cases.machine(work.definition(case)).find((case.stage, case.status), Action.SEND_TO_MINUTES) is None:
        raise cases.not_allowed(work, case)
    return decision


async def send(
    work: Work, listed: Sequence[tuple[Case, Decision]], meeting_uid: str | None = None
) -> AgendaItem:
    """Put the drafts on one agenda item: a decision for each, one text, one closed annex.

    The meeting is chosen when the minutes system is asked: the next one that takes items still.
    """
    first, decision = listed[0]
    definition = work.definition(first)
    item_id = uuid7()
    item = AgendaItem(
        id=item_id,
        body=str(decision.body),
        external_identifier=f"{first.reference}-{item_id.hex[-8:]}",
        title=agenda_items.item_title(definition, len(listed)),
        meeting_uid=meeting_uid,
        created_at=work.now,
    )
    work.session.add(item)
    await work.session.flush()
    for case, draft in listed:
        draft.agenda_item_id = item.id
        draft.version += 1
        data = {"item": item.external_identifier, "body": item.body}
        await cases.advance(work, case, Action.SEND_TO_MINUTES, data=data)
        await _look_again(work, case, item)
    await work.leave(EffectKind.MINUTES_CREATE, {"item_id": str(item.id)}, case=first)
    return item


def next_meeting(
    meetings: Sequence[Meeting], now: datetime, cut_off_days: int, wished: str | None
) -> Meeting | None:
    """The wished meeting, else the first that an item can still come to.

    Where the package names no deadline of a meeting, items must be there `cut_off_days` before its day.
    """
    for meeting in sorted(meetings, key=lambda one: (one.uid != wished, one.at)):
        last = meeting.accepts_until or _midnight(meeting.at) - timedelta(days=cut_off_days)
        if meeting.uid == wished or now < last:
            return meeting
    return None


def _midnight(at: datetime) -> datetime:
    return start_of(at.astimezone(BRUSSELS).date())


async def not_sent(work: Work, item_id: UUID, reason: str) -> None:
    """The minutes system does not take the item: its cases wait for a person."""
    found = await work.session.scalars(
        select(col(Decision.case_id)).where(col(Decision.agenda_item_id) == item_id)
    )
    for case_id in sorted(found):
        case = await cases.get(work, case_id)
        if case.status not in FINAL:
            await cases.open_task(work, case, "MINUTES_WARNING", {"warnings": [reason]})


async def keep_draft(work: Work, item_id: UUID, content: bytes) -> None:
    """Keep what was sent: the draft with its closed annex, for staff alone."""
    item = await work.session.get_one(AgendaItem, item_id)
    if item.document_id is None:
        case_id = await work.session.scalar(
            select(col(Decision.case_id)).where(col(Decision.agenda_item_id) == item.id).limit(1)
        )
        filename = f"ontwerpbesluit-{item.external_identifier}.pdf"
        document = await filing.keep(work, "DECISION_DRAFT", filename, content, case_id=case_id)
        item.document_id = document.id


# --- finding it again -------------------------------------------------------------------------


async def find(work: Work, external_identifier: str, item_uid: str | None = None) -> AgendaItem | None:
    """By our own name for it, or by the package's."""
    named = col(AgendaItem.external_identifier) == external_identifier
    if item_uid:
        named |= col(AgendaItem.item_uid) == item_uid
    found = await work.session.scalars(select(AgendaItem).where(named).limit(2))
    items = found.all()
    return items[0] if len(items) == 1 else None  # two: who names them mixes them up


async def left_it(work: Work, item: AgendaItem) -> Case | None:
    """The first case that was put on the item, locked: what is heard of an empty one is told there.

    Its reference is part of the item's name.
    """
    reference = item.external_identifier.rpartition("-")[0]
    case_id = await work.session.scalar(select(col(Case.id)).where(col(Case.reference) == reference))
    return await cases.get(work, case_id) if case_id is not None else None


async def a_case_of(work: Work, item: AgendaItem) -> Case | None:
    """On which what is done about the item shows; None when nothing is left on it."""
    found = await work.session.scalars(
        select(Case)
        .join(Decision, col(Decision.case_id) == col(Case.id))
        .where(col(Decision.agenda_item_id) == item.id)
        .order_by(col(Case.reference))
        .limit(1)
    )
    return found.one_or_none()


# --- asking -----------------------------------------------------------------------------------


async def poll(work: Work, case: Case) -> None:
    """Ask the minutes system what became of the item, and again later; it tells nothing by itself."""
    decision = await decisions.of(work, case)
    if decision is None or decision.agenda_item_id is None or decision.status not in OPEN:
        return
    item = await work.session.get_one(AgendaItem, decision.agenda_item_id)
    await _look_again(work, case, item)
    asked = await work.session.scalar(
        select(col(Effect.id)).where(
            col(Effect.kind).in_((EffectKind.MINUTES_READ, EffectKind.MINUTES_CREATE)),
            col(Effect.state) == EffectState.PENDING,
            col(Effect.payload)["item_id"].astext == str(item.id),
        )
    )
    if asked is None:
        await work.leave(EffectKind.MINUTES_READ, {"item_id": str(item.id)}, case=case)


async def _look_again(work: Work, case: Case, item: AgendaItem) -> None:
    far = item.meeting_on is not None and work.today < item.meeting_on
    await work.arm(TimerKind.MINUTES_POLL, work.now + (POLL_FAR if far else POLL_NEAR), case=case)


async def no_successor(work: Work, case: Case) -> None:
    """A postponed item stands on no agenda: a person asks why."""
    decision = await decisions.of(work, case)
    if decision is not None and decision.status is DecisionStatus.POSTPONED:
        await cases.open_task(work, case, "NO_SUCCESSOR")


# --- taking it from the agenda ----------------------------------------------------------------


async def leave(work: Work, case: Case, decision: Decision) -> None:
    """A case is taken from its item; the item itself when no other is left on it."""
    if decision.agenda_item_id is None:
        return
    item = await work.session.get_one(
        AgendaItem, decision.agenda_item_id, with_for_update={"key_share": True}
    )
    await close(work, item)
    if item.ended_at is None:  # others are on the list: its text must be put right
        await cases.open_task(work, case, "AGENDA_ITEM_TO_CORRECT", {"item": item.external_identifier})
        return
    await work.leave(EffectKind.MINUTES_WITHDRAW, {"item_id": str(item.id)}, case=case)


async def stays_on_agenda(work: Work, item_id: UUID, reason: str) -> None:
    """The package lets us take it back no more: its secretariat must."""
    item = await work.session.get_one(AgendaItem, item_id)
    found = await work.session.scalars(
        select(col(Decision.case_id)).where(col(Decision.agenda_item_id) == item_id)
    )
    concerned = [await cases.get(work, case_id) for case_id in sorted(found)]
    if not concerned and (first := await left_it(work, item)):
        concerned = [first]
    for case in concerned:
        told = {"item": item.external_identifier, "reason": reason}
        await cases.open_task(work, case, "AGENDA_ITEM_TO_CORRECT", told)


async def take_back(work: Work, case: Case, decision: Decision, reason: str) -> None:
    """The draft is no proposal any more."""
    cases.move(work, DECISION, decision, PartAction.WITHDRAW)
    decision.withdrawn_at, decision.withdrawn_reason = work.now, reason
    await work.disarm(TimerKind.MINUTES_POLL, TimerKind.SUCCESSOR_END, case=case)
    await cases.complete_tasks(work, case, "CONFIRM_DECISION", "NO_SUCCESSOR", "DECISION_UNSIGNED")
    told = {"reasons": [reason], "draft": True}
    await cases.record(work, case, EventType.DECISION_WITHDRAWN, data=told)


async def close(work: Work, item: AgendaItem) -> None:
    """Nothing more is to be heard of an item once all its decisions have an end."""
    await work.session.flush()
    left = await work.session.scalar(
        select(col(Decision.id))
        .where(col(Decision.agenda_item_id) == item.id, col(Decision.status).in_(OPEN))
        .limit(1)
    )
    if left is None:
        item.ended_at = item.ended_at or work.now
