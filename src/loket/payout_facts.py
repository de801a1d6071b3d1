"""What became of a payout, whoever tells it: facts are never refused, and told again they change nothing."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import cases, payout_accounts, payout_book, payout_lines, payouts, recoveries, refunds
from loket.lifecycle import (
    PAYOUT,
    REFUND,
    Action,
    DecisionStatus,
    EventType,
    PartAction,
    PayoutStatus,
    RefundStatus,
    Stage,
    Status,
    TimerKind,
)
from loket.records import (
    Case,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    LedgerAccount,
    Payout,
    Refund,
)
from loket.work import Work, the_system

DECEASED = frozenset({"MD07"})
POLL_FIRST = timedelta(minutes=10)
POLL_LONGEST = timedelta(hours=6)


@dataclass(frozen=True)
class Fact:
    """What the bank did with a payout, whoever tells it. `code` is the bank's own reason (ISO 20022)."""

    action: PartAction
    """SEND (accounting has it), EXECUTE, REJECT, RETURN or DOUBT."""
    on: date | None = None
    amount: Decimal | None = None
    code: str = ""
    reason: str = ""


async def heard(work: Work, payout_id: UUID, fact: Fact) -> Payout | None:
    """Write down what became of a payout: facts are never refused, and told again they change nothing.

    Answers None for a payout that is none of ours.
    """
    payout = await work.session.get(Payout, payout_id)
    if payout is None:
        return None
    case = await cases.get(work, payout.case_id)
    await work.session.refresh(payout, with_for_update={"key_share": True})
    step = PAYOUT.find(payout.status, fact.action)
    if step is None:
        await _told_otherwise(work, case, payout, fact)
        return payout
    if fact.action is PartAction.EXECUTE and not await _stands_alone(work, case, payout, fact):
        return payout
    was = payout.status
    payout.status = step.to
    payout.version += 1
    payout.reason_code, payout.reason = fact.code, fact.reason
    match fact.action:
        case PartAction.SEND:
            payout.sent_at = payout.sent_at or work.now
            await cases.complete_tasks(work, case, "PAYOUT_IN_DOUBT", "PAYOUT_NOT_SENT")
            await cases.record(work, case, EventType.PAYOUT_SENT, data=payout_book.told(payout))
            await _look_again(work, case, payout, 1)
        case PartAction.DOUBT:
            await cases.complete_tasks(work, case, "PAYOUT_NOT_SENT")
            await cases.record(work, case, EventType.PAYOUT_IN_DOUBT, data=payout_book.told(payout))
            await cases.open_task(work, case, "PAYOUT_IN_DOUBT", {"payout": str(payout.id)})
            await _look_again(work, case, payout, 1)
        case PartAction.EXECUTE:
            await _executed(work, case, payout, fact, was)
        case PartAction.REJECT:
            await _failed(work, case, payout, EventType.PAYOUT_REJECTED)
        case PartAction.RETURN:
            await _failed(work, case, payout, EventType.PAYOUT_RETURNED)
        case _:
            raise ValueError(f"no bank does {fact.action}")
    if fact.amount not in (None, payout.amount):
        told = {"payout": str(payout.id), "amount": str(payout.amount), "told": str(fact.amount)}
        await cases.open_task(work, case, "PAYOUT_DIFFERS", told)
    return payout


async def _told_otherwise(work: Work, case: Case, payout: Payout, fact: Fact) -> None:
    """What does not go with what was heard before is a person's to see, where money may have moved."""
    if (payout.status, fact.action) == (PayoutStatus.RETURNED, PartAction.EXECUTE):
        # it left before it came back, and we hear it the other way round
        payout.executed_on = payout.executed_on or fact.on
        return
    never_left = (payout.status, fact.action) == (PayoutStatus.CANCELLED, PartAction.REJECT)
    says_little = fact.action in (PartAction.SEND, PartAction.DOUBT) or never_left
    if payout.status is not _OF[fact.action] and not says_little:
        told = {"payout": str(payout.id), "status": payout.status, "told": fact.action}
        await cases.open_task(work, case, "PAYOUT_DIFFERS", told)


_OF = {
    PartAction.SEND: PayoutStatus.SENT,
    PartAction.DOUBT: PayoutStatus.IN_DOUBT,
    PartAction.EXECUTE: PayoutStatus.EXECUTED,
    PartAction.REJECT: PayoutStatus.REJECTED,
    PartAction.RETURN: PayoutStatus.RETURNED,
}


async def _stands_alone(work: Work, case: Case, payout: Payout, fact: Fact) -> bool:
    """Whether what left after all is the one payment: another order of the same makes way for it.

    Where that one left too, the money went twice: this one is written down, and must come back.
    """
    same = (
        col(Payout.decision_id) == payout.decision_id
        if payout.refund_id is None
        else col(Payout.refund_id) == payout.refund_id
    )
    found = await work.session.scalars(
        select(Payout)
        .where(same, col(Payout.id) != payout.id, col(Payout.status).not_in(payout_book.ENDED))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    other = found.one_or_none()
    if other is None:
        return True
    if other.status in payout_book.UNSENT:
        await payouts.take_back(
            work.as_actor(the_system()), case, other, "an earlier order was carried out after all"
        )
        await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=payout_book.told(other))
        await work.session.flush()
        return True
    if payout.executed_on is None:
        payout.executed_on = fact.on or work.today
        data = payout_book.told(payout) | {"paid_on": payout.executed_on.isoformat()}
        await cases.record(work, case, EventType.PAID_OUT, data=data)
        await payout_lines.book_paid_twice(work, case, payout)
        await recoveries.ask_back(work, case, payout.amount, "paid twice")
    return False


async def _executed(work: Work, case: Case, payout: Payout, fact: Fact, was: PayoutStatus) -> None:
    payout.executed_on = fact.on or work.today
    payout.sent_at = payout.sent_at or work.now
    payout.ended_at = work.now
    await _settled(work, case, payout)
    data = payout_book.told(payout) | {"paid_on": payout.executed_on.isoformat()}
    if payout.refund_id is not None:
        await cases.record(work, case, EventType.PAID_OUT, data=data)
        await _refunded(work, case, payout, payout.refund_id)
        return
    await payout_lines.book_paid(work, case, payout)
    if await _is_due(work, case, payout, was):
        await cases.advance(work.as_actor(the_system(work.actor.name)), case, Action.PAY_OUT, data=data)
        return
    await cases.record(work, case, EventType.PAID_OUT, data=data)
    await recoveries.ask_back(work, case, payout.amount, "paid after it was taken back")


async def _refunded(work: Work, case: Case, payout: Payout, refund_id: UUID) -> None:
    refund = await work.session.get_one(Refund, refund_id, populate_existing=True)
    if refund.status is RefundStatus.DONE:
        await payout_lines.book_paid_twice(work, case, payout)
        await recoveries.ask_back(work, case, refund.amount, "paid back twice")
        return
    if step := REFUND.find(refund.status, PartAction.ORDER):  # given up, and it left after all
        refund.status = step.to
    await refunds.done(work, case, refund, out_of=LedgerAccount.BANK, known=True)


async def _is_due(work: Work, case: Case, payout: Payout, was: PayoutStatus) -> bool:
    """Whether the case waits for this money: also what was taken back too late, if it is granted still."""
    if cases.machine(work.definition(case)).find((case.stage, case.status), Action.PAY_OUT) is None:
        return False
    decision = await payout_book.standing(work, case)
    granted = decision is not None and decision.id == payout.decision_id
    return granted or (was in payout_book.UNDER_WAY | {PayoutStatus.APPROVED} and case.round == payout.round)


async def _failed(work: Work, case: Case, payout: Payout, event: EventType) -> None:
    payout.ended_at = work.now
    await _settled(work, case, payout)
    had_paid = await payout_lines.paid_back(work, payout)
    await payout_lines.book_returned(work, case, payout)
    said = payout_book.told(payout) | {"code": payout.reason_code, "reason": payout.reason}
    await cases.record(work, case, event, data=said)
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id, populate_existing=True)
        await refunds.failed(work, case, refund, payout.reason or payout.reason_code, came_back=had_paid)
    if payout.reason_code in DECEASED:
        await cases.open_task(work, case, "APPLICANT_DECEASED")
    if payout.refund_id is not None:
        return
    if await _is_withdrawn(work, payout):
        await _nothing_to_pay(work, case)
        return
    waits = (case.stage, case.status) == (Stage.PAYOUT, Status.AWAITING_PAYOUT)
    if waits and payout.reason_code in payout_accounts.WRONG_ACCOUNT:
        await payout_accounts.ask_another(work, case, payout)
        return
    kind = "PAYOUT_RETURNED" if event is EventType.PAYOUT_RETURNED else "PAYOUT_REJECTED"
    await cases.open_task(work, case, kind, {"payout": str(payout.id), "code": payout.reason_code})


async def _is_withdrawn(work: Work, payout: Payout) -> bool:
    decision = await work.session.get(Decision, payout.decision_id, populate_existing=True)
    return decision is not None and decision.status is DecisionStatus.WITHDRAWN


async def _nothing_to_pay(work: Work, case: Case) -> None:
    """The money is ours still, and its decision holds no more: the case goes back to the decision."""
    await cases.complete_tasks(work, case, "RECOVERY", remark="the money did not arrive, or came back")
    if cases.machine(work.definition(case)).find((case.stage, case.status), Action.REVOKE):
        await cases.advance(work.as_actor(the_system()), case, Action.REVOKE)
        await cases.new_term(work, case)


async def _settled(work: Work, case: Case, payout: Payout) -> None:
    await work.disarm(TimerKind.PAYOUT_POLL, subject=payout.id)
    await cases.complete_tasks(
        work, case, "PAYOUT_IN_DOUBT", "PAYOUT_NOT_SENT", "PAYOUT_NOT_RECALLED", "PAYOUT_LATE"
    )


async def poll(work: Work, payout_id: UUID, number: int) -> None:
    """Ask accounting what became of a payout of which nothing was heard."""
    payout = await work.session.get_one(Payout, payout_id)
    if payout.status not in (PayoutStatus.SENT, PayoutStatus.IN_DOUBT):
        return
    case = await work.session.get_one(Case, payout.case_id)
    await _look_again(work, case, payout, number + 1)
    asked = await work.session.scalar(
        select(col(Effect.id)).where(
            col(Effect.case_id) == case.id,
            col(Effect.kind) == EffectKind.PAYOUT_READ,
            col(Effect.state) == EffectState.PENDING,
            col(Effect.payload)["payout_id"].astext == str(payout.id),
        )
    )
    if asked is None:
        await work.leave(EffectKind.PAYOUT_READ, {"payout_id": str(payout.id)}, case=case)


async def not_sent(work: Work, case: Case, payout_id: UUID, why: str) -> None:
    """Accounting will not take an approved order: finance sees to it, and has it tried again or skipped."""
    payout = await work.session.get_one(Payout, payout_id, populate_existing=True)
    if payout.status is PayoutStatus.APPROVED:
        await cases.open_task(work, case, "PAYOUT_NOT_SENT", {"payout": str(payout.id), "why": why})


async def not_recalled(work: Work, case: Case, payout_id: UUID, why: str) -> None:
    """Accounting could not be told to drop an order that was taken back: it may be paid still."""
    await cases.open_task(work, case, "PAYOUT_NOT_RECALLED", {"payout": str(payout_id), "why": why})


async def recalled(work: Work, payout_id: UUID) -> None:
    """Accounting dropped the order, or never had it."""
    payout = await work.session.get_one(Payout, payout_id)
    case = await cases.get(work, payout.case_id)
    await cases.complete_tasks(work, case, "PAYOUT_NOT_RECALLED")


async def watch(work: Work, case: Case) -> frozenset[str]:
    """The case ended, refunds by transfer are followed still; answers the kinds of task that stay open."""
    found = await work.session.scalars(
        select(Payout).where(
            col(Payout.case_id) == case.id,
            col(Payout.status).in_(payout_book.UNSENT | payout_book.UNDER_WAY),
        )
    )
    stay = {"PAYOUT_NOT_RECALLED"}
    for payout in found.all():
        if payout.status is PayoutStatus.ORDERED:
            stay.add("APPROVE_PAYOUT")
        elif payout.status is PayoutStatus.APPROVED:
            stay.add("PAYOUT_NOT_SENT")
        else:
            await _look_again(work, case, payout, 1)
            stay.add("PAYOUT_IN_DOUBT")
    return frozenset(stay)


async def _look_again(work: Work, case: Case, payout: Payout, number: int) -> None:
    pause = min(POLL_FIRST * 2 ** min(number - 1, 10), POLL_LONGEST)
    await work.arm(TimerKind.PAYOUT_POLL, work.now + pause, case=case, subject=payout.id, number=number)
