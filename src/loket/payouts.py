"""Premiums that are paid to citizens, and refunds that go by bank transfer (uitbetaling).

One orders, another approves; where a visum is asked, a third signs for the credit before. Accounting has the
bank carry it out and tells us how it ended. Nothing unclear is ever paid again by itself.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import accounts, cases, invoices, recoveries, sepa
from loket.definition import PayoutRules
from loket.errors import ErrorCode, Refused
from loket.facts import facts_of
from loket.lifecycle import (
    FINAL,
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
    TaskStatus,
    TimerKind,
)
from loket.records import (
    Application,
    Case,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Payout,
    PayoutKind,
    Person,
    Refund,
    Task,
)
from loket.terms import end_of
from loket.work import Work, the_system

ENDED = frozenset(
    {PayoutStatus.REJECTED, PayoutStatus.RETURNED, PayoutStatus.DECLINED, PayoutStatus.CANCELLED}
)
"""Of these nothing moves any more: another payout of the same decision may be ordered."""
BACK = frozenset({PayoutStatus.REJECTED, PayoutStatus.RETURNED})
UNSENT = frozenset({PayoutStatus.ORDERED, PayoutStatus.APPROVED})
WRONG_ACCOUNT = frozenset({"AC01", "AC03", "AC04", "AC06", "AC13", "AC14", "BE01", "BE05", "RC01"})
"""ISO 20022 reasons that another account cures."""
DECEASED = frozenset({"MD07"})
UNDER_WAY = frozenset({PayoutStatus.SENT, PayoutStatus.IN_DOUBT})
HOLDS = ("APPLICANT_DECEASED", "NUMBER_REPLACED", "APPLICANT_MOVED", "PAYOUT_DIFFERS")
"""Tasks that must be settled before money goes out."""
POLL_FIRST = timedelta(minutes=10)
POLL_LONGEST = timedelta(hours=6)


# --- the stage --------------------------------------------------------------------------------


async def due(work: Work, case: Case) -> None:
    """The case enters its payout: whoever handles it orders.

    A case that is reopened because the bank sent the money back waits for another account first.
    """
    decision = await standing(work, case)
    if decision is None or not decision.amount:
        await cases.pass_on(work, case)
        return
    await cases.complete_tasks(work, case, "PAYOUT_RETURNED", "PAYOUT_REJECTED")
    owed = await recoveries.owed(work, case, decision)
    if owed <= 0:
        await cases.pass_on(work, case)
        return
    days = _rules(work, case).within_days
    await work.arm(TimerKind.PAYOUT_END, end_of(work.today + timedelta(days=days)), case=case)
    last = await _last(work, decision)
    if last is not None and last.reason_code in WRONG_ACCOUNT and _went_to(case, last):
        await _ask_account(work, case, last)
    else:
        await cases.open_task(work, case, "ORDER_PAYOUT", {"amount": str(owed)})


def _went_to(case: Case, payout: Payout) -> bool:
    """Whether a payout failed on the account that is known now."""
    account = case.facts.get("account") or {}
    return payout.status in BACK and payout.iban_sealed.hex() == account.get("sealed")


async def late(work: Work, case: Case) -> None:
    """It was not paid within the days that the procedure promises."""
    if case.stage is Stage.PAYOUT and case.status not in FINAL:
        await cases.open_task(work, case, "PAYOUT_LATE")


# --- the account ------------------------------------------------------------------------------


def keep_account(work: Work, case: Case, application: Application) -> None:
    """Seal the account number of an application that is handed in; the answers keep its masked form."""
    definition = work.definition(case)
    given = accounts.given_in(definition, accounts.opened_in(definition, work.vault, application.answers))
    if not given.strip():
        return
    iban = sepa.check_iban(given)
    application.answers = accounts.with_account(definition, application.answers, sepa.masked_iban(iban))
    _set_account(work, case, iban)


def _set_account(work: Work, case: Case, iban: str) -> None:
    account = {"sealed": work.vault.seal(iban).hex(), "masked": sepa.masked_iban(iban)}
    case.facts = {**case.facts, "account": account}


async def correct_account(work: Work, case: Case, iban: str) -> None:
    """Another account of the applicant: after the bank refused the first, or before anything is ordered.

    Raises:
        Refused: VALIDATION for what is no IBAN of the SEPA zone; TRANSITION_NOT_ALLOWED outside of the
            payout, and while one is under way.
    """
    try:
        checked = sepa.check_iban(iban)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "iban"], reason=str(fault)) from fault
    if await live(work, case) is not None:
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.CORRECT_ACCOUNT, data={"account": sepa.masked_iban(checked)})
    _set_account(work, case, checked)
    await work.disarm(TimerKind.ANSWER, TimerKind.ANSWER_REMINDER, case=case)
    await cases.complete_tasks(work, case, "PAYOUT_REJECTED", "PAYOUT_RETURNED", "ANSWER_LAPSED")
    decision = await standing(work, case)
    if decision is not None:
        owed = await recoveries.owed(work, case, decision)
        await cases.open_task(work, case, "ORDER_PAYOUT", {"amount": str(owed)})


# --- ordering and approving -------------------------------------------------------------------


async def order(work: Work, case: Case) -> Payout:
    """Order what was granted to be paid.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nothing is to be paid out, or a payout of it lives already;
            RULE_NOT_MET while something about the applicant must be settled first, no account is known, or
            another case has by now what was granted once a year.
    """
    decision = await standing(work, case)
    await _nothing_holds(work, case)
    if decision is None or not decision.amount or await live(work, case) is not None:
        raise cases.not_allowed(work, case)
    owed = await recoveries.owed(work, case, decision)
    if owed <= 0:
        raise cases.not_allowed(work, case)
    await _nobody_else_has_it(work, case, decision)
    account = case.facts.get("account")
    if account is None:
        reason = "Er is geen rekeningnummer." if work.actor.language == "nl" else "No account is known."
        raise Refused(ErrorCode.RULE_NOT_MET, reason=reason)
    person = await work.session.get_one(Person, case.person_id)
    payee = _payee(_name(person))
    definition = work.definition(case)
    payout = Payout(
        case_id=case.id,
        round=case.round,
        decision_id=decision.id,
        kind=PayoutKind.PREMIUM,
        amount=owed,
        payee=payee,
        iban_sealed=bytes.fromhex(account["sealed"]),
        iban_masked=account["masked"],
        remittance=_rules(work, case).remittance.nl.format(
            reference=case.reference, procedure=definition.title.nl
        ),
        ordered_by_id=work.actor.id,
        ordered_at=work.now,
    )
    await cases.advance(work, case, Action.ORDER_PAYOUT, data=_said(payout))
    work.session.add(payout)
    await cases.complete_tasks(work, case, "ORDER_PAYOUT")
    await cases.open_task(
        work, case, "APPROVE_PAYOUT", {"payout": str(payout.id), "amount": str(payout.amount)}
    )
    return payout


async def order_refund(work: Work, case: Case, refund: Refund, *, iban: str, payee: str) -> Payout:
    """Order a refund to be paid by bank transfer, where the way that the money came is closed.

    Raises:
        Refused: VALIDATION for a wrong account; TRANSITION_NOT_ALLOWED for a refund that did not fail.
    """
    try:
        checked = sepa.check_iban(iban)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["input", "iban"], reason=str(fault)) from fault
    step = REFUND.find(refund.status, PartAction.ORDER)
    if step is None or not step.by & work.actor.roles:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=refund.status)
    refund.status, refund.ordered_at = step.to, work.now
    refund.provider_refund_id = None  # what the payment module still says is of the refund that it refused
    payout = Payout(
        case_id=case.id,
        round=case.round,
        refund_id=refund.id,
        kind=PayoutKind.REFUND,
        amount=refund.amount,
        payee=_payee(payee),
        iban_sealed=work.vault.seal(checked),
        iban_masked=sepa.masked_iban(checked),
        remittance=f"Terugbetaling {case.reference}",
        ordered_by_id=work.actor.id,
        ordered_at=work.now,
    )
    work.session.add(payout)
    await cases.record(work, case, EventType.PAYOUT_ORDERED, data=_said(payout))
    await cases.open_task(
        work, case, "APPROVE_PAYOUT", {"payout": str(payout.id), "amount": str(payout.amount)}
    )
    return payout


async def approve(work: Work, case: Case, payout: Payout) -> None:
    """A second person agrees; where the procedure asks a visum, the first to agree gives that.

    Raises:
        Refused: NOT_ALLOWED for whoever ordered it or gave the visum; TRANSITION_NOT_ALLOWED unless it waits,
            and for a refund that was paid back in another way meanwhile.
    """
    await _nothing_holds(work, case)
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id, populate_existing=True)
        if refund.status is not RefundStatus.ORDERED:
            raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=refund.status)
    if work.actor.id is None or work.actor.id in (payout.ordered_by_id, payout.visum_by_id):
        raise Refused(ErrorCode.NOT_ALLOWED)
    needs_visum = (
        payout.kind is PayoutKind.PREMIUM and _rules(work, case).visum and payout.visum_by_id is None
    )
    if PAYOUT.find(payout.status, PartAction.APPROVE) is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=payout.status)
    if needs_visum:
        payout.visum_by_id, payout.visum_at = work.actor.id, work.now
        payout.version += 1
        await cases.record(work, case, EventType.PAYOUT_APPROVED, data=_said(payout) | {"visum": True})
        return
    cases.move(work, PAYOUT, payout, PartAction.APPROVE)
    payout.approved_by_id, payout.approved_at = work.actor.id, work.now
    payout.version += 1
    await _advance(work, case, payout, Action.APPROVE_PAYOUT, EventType.PAYOUT_APPROVED)
    await work.leave(EffectKind.PAYOUT_SEND, {"payout_id": str(payout.id)}, case=case)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT")


async def _give_up_refund(work: Work, case: Case, payout: Payout) -> None:
    """A refund whose payout was not approved, or taken back, is to be ordered anew."""
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id)
        await invoices.refund_failed(work.as_actor(the_system()), case, refund, payout.reason)


async def decline(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """A second person does not agree, and says why; it can be ordered again."""
    why = cases.said(reason, "reason")
    if work.actor.id == payout.ordered_by_id:
        raise Refused(ErrorCode.NOT_ALLOWED)
    cases.move(work, PAYOUT, payout, PartAction.DECLINE)
    _end(work, payout, why)
    await _advance(work, case, payout, Action.DECLINE_PAYOUT, EventType.PAYOUT_DECLINED)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT")
    await _again(work, case, payout)
    await _give_up_refund(work, case, payout)


async def cancel(work: Work, case: Case, payout: Payout, reason: str) -> None:
    """Take an order back, as long as accounting does not have it."""
    why = cases.said(reason, "reason")
    await _cancel(work, case, payout, why)
    await _advance(work, case, payout, Action.CANCEL_PAYOUT, EventType.PAYOUT_CANCELLED)
    await _again(work, case, payout)
    await _give_up_refund(work, case, payout)


async def cancel_live(work: Work, case: Case, reason: str) -> None:
    """The case stops, or its decision is withdrawn: what was not sent is not paid.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when the money is on its way.
    """
    payout = await live(work, case)
    if payout is None:
        return
    if payout.status not in UNSENT:
        raise cases.not_allowed(work, case)
    await _cancel(work.as_actor(the_system()), case, payout, reason)
    await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=_said(payout))


async def _cancel(work: Work, case: Case, payout: Payout, reason: str) -> None:
    was_approved = payout.status is PayoutStatus.APPROVED
    cases.move(work, PAYOUT, payout, PartAction.CANCEL)
    _end(work, payout, reason)
    await cases.complete_tasks(work, case, "APPROVE_PAYOUT")
    if was_approved:  # the order may be leaving at this very moment
        await work.leave(EffectKind.PAYOUT_RECALL, {"payout_id": str(payout.id)}, case=case)


async def may_stop(work: Work, case: Case) -> bool:
    """Whether withdrawing or cancelling the case is possible still: no money is on its way or there."""
    payout = await live(work, case)
    return payout is None or payout.status in UNSENT


# --- what became of it ------------------------------------------------------------------------


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
            await cases.complete_tasks(work, case, "PAYOUT_IN_DOUBT")
            await cases.record(work, case, EventType.PAYOUT_SENT, data=_said(payout))
            await _look_again(work, case, payout, 1)
        case PartAction.DOUBT:
            await cases.record(work, case, EventType.PAYOUT_IN_DOUBT, data=_said(payout))
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
        .where(same, col(Payout.id) != payout.id, col(Payout.status).not_in(ENDED))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    other = found.one_or_none()
    if other is None:
        return True
    if other.status in UNSENT:
        await _cancel(work.as_actor(the_system()), case, other, "an earlier order was carried out after all")
        await cases.record(work, case, EventType.PAYOUT_CANCELLED, data=_said(other))
        await work.session.flush()
        return True
    if payout.executed_on is None:
        payout.executed_on = fact.on or work.today
        data = _said(payout) | {"paid_on": payout.executed_on.isoformat()}
        await cases.record(work, case, EventType.PAID_OUT, data=data)
        await recoveries.ask_back(work, case, payout.amount, "paid twice")
    return False


_OF = {
    PartAction.SEND: PayoutStatus.SENT,
    PartAction.DOUBT: PayoutStatus.IN_DOUBT,
    PartAction.EXECUTE: PayoutStatus.EXECUTED,
    PartAction.REJECT: PayoutStatus.REJECTED,
    PartAction.RETURN: PayoutStatus.RETURNED,
}


async def _executed(work: Work, case: Case, payout: Payout, fact: Fact, was: PayoutStatus) -> None:
    payout.executed_on = fact.on or work.today
    payout.sent_at = payout.sent_at or work.now
    payout.ended_at = work.now
    await _settled(work, case, payout)
    data = _said(payout) | {"paid_on": payout.executed_on.isoformat()}
    if payout.refund_id is not None:
        await cases.record(work, case, EventType.PAID_OUT, data=data)
        await _refunded(work, case, payout.refund_id)
        return
    if await _is_due(work, case, payout, was):
        await cases.advance(work.as_actor(the_system(work.actor.name)), case, Action.PAY_OUT, data=data)
        return
    await cases.record(work, case, EventType.PAID_OUT, data=data)
    await recoveries.ask_back(work, case, payout.amount, "paid after it was taken back")


async def _refunded(work: Work, case: Case, refund_id: UUID) -> None:
    refund = await work.session.get_one(Refund, refund_id, populate_existing=True)
    if refund.status is RefundStatus.DONE:
        await recoveries.ask_back(work, case, refund.amount, "paid back twice")
        return
    if step := REFUND.find(refund.status, PartAction.ORDER):  # given up, and it left after all
        refund.status = step.to
    await invoices.refund_done(work, case, refund)


async def _is_due(work: Work, case: Case, payout: Payout, was: PayoutStatus) -> bool:
    """Whether the case waits for this money: also what was taken back too late, if it is granted still."""
    if cases.machine(work.definition(case)).find((case.stage, case.status), Action.PAY_OUT) is None:
        return False
    decision = await standing(work, case)
    granted = decision is not None and decision.id == payout.decision_id
    return granted or (was in UNDER_WAY | {PayoutStatus.APPROVED} and case.round == payout.round)


async def _failed(work: Work, case: Case, payout: Payout, event: EventType) -> None:
    payout.ended_at = work.now
    await _settled(work, case, payout)
    said = _said(payout) | {"code": payout.reason_code, "reason": payout.reason}
    await cases.record(work, case, event, data=said)
    if payout.refund_id is not None:
        refund = await work.session.get_one(Refund, payout.refund_id, populate_existing=True)
        await invoices.refund_failed(work, case, refund, payout.reason or payout.reason_code, came_back=True)
    if payout.reason_code in DECEASED:
        await cases.open_task(work, case, "APPLICANT_DECEASED")
    if payout.refund_id is not None:
        return
    if await _is_withdrawn(work, payout):
        await _nothing_to_pay(work, case)
        return
    waits = (case.stage, case.status) == (Stage.PAYOUT, Status.AWAITING_PAYOUT)
    if waits and payout.reason_code in WRONG_ACCOUNT:
        await _ask_account(work, case, payout)
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


async def _ask_account(work: Work, case: Case, payout: Payout) -> None:
    """Have the applicant give another account than that of a payout that failed."""
    answer_by = work.today + timedelta(days=work.definition(case).information.answer_within_days)
    reason = sepa.reason(payout.reason_code, "nl")
    data = {"account": payout.iban_masked, "answer_by": answer_by.isoformat(), "reasons": [reason]}
    await cases.advance(work.as_actor(the_system()), case, Action.ASK_ACCOUNT, data=data)
    await work.arm(TimerKind.ANSWER, end_of(answer_by), case=case)


async def _settled(work: Work, case: Case, payout: Payout) -> None:
    await work.disarm(TimerKind.PAYOUT_POLL, subject=payout.id)
    await cases.complete_tasks(work, case, "PAYOUT_IN_DOUBT", "PAYOUT_LATE")


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


async def watch(work: Work, case: Case) -> frozenset[str]:
    """The case ended, refunds by transfer are followed still; answers the kinds of task that stay open."""
    found = await work.session.scalars(
        select(Payout).where(
            col(Payout.case_id) == case.id, col(Payout.status).in_((PayoutStatus.ORDERED, *UNDER_WAY))
        )
    )
    stay = set[str]()
    for payout in found.all():
        if payout.status is PayoutStatus.ORDERED:
            stay.add("APPROVE_PAYOUT")
        else:
            await _look_again(work, case, payout, 1)
            stay.add("PAYOUT_IN_DOUBT")
    return frozenset(stay)


async def _look_again(work: Work, case: Case, payout: Payout, number: int) -> None:
    pause = min(POLL_FIRST * 2 ** min(number - 1, 10), POLL_LONGEST)
    await work.arm(TimerKind.PAYOUT_POLL, work.now + pause, case=case, subject=payout.id, number=number)


# --- reading ----------------------------------------------------------------------------------


async def live(work: Work, case: Case) -> Payout | None:
    """The premium's payout that may still move money or did, of the present round."""
    found = await work.session.scalars(
        select(Payout)
        .where(
            col(Payout.case_id) == case.id,
            col(Payout.kind) == PayoutKind.PREMIUM,
            col(Payout.round) == case.round,
            col(Payout.status).not_in(ENDED),
        )
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def get_locked(work: Work, payout_id: UUID) -> tuple[Case, Payout]:
    """A payout behind the lock of its case.

    Raises:
        Refused: NOT_FOUND.
    """
    payout = await work.session.get(Payout, payout_id)
    if payout is None:
        raise Refused(ErrorCode.NOT_FOUND)
    case = await cases.get(work, payout.case_id)
    await work.session.refresh(payout, with_for_update={"key_share": True})
    return case, payout


async def standing(work: Work, case: Case) -> Decision | None:
    """The decision that is to be paid; where a case was reopened at its payout, that of the round before."""
    found = await work.session.scalars(
        select(Decision)
        .where(col(Decision.case_id) == case.id, col(Decision.round) <= case.round)
        .order_by(col(Decision.round).desc())
        .limit(1)
    )
    decision = found.one_or_none()
    granting = (DecisionStatus.GRANTED, DecisionStatus.PARTLY_GRANTED)
    return decision if decision is not None and decision.status in granting else None


async def _last(work: Work, decision: Decision) -> Payout | None:
    """What was ordered last of a decision, in whichever round."""
    found = await work.session.scalars(
        select(Payout)
        .where(col(Payout.decision_id) == decision.id)
        .order_by(col(Payout.ordered_at).desc())
        .limit(1)
    )
    return found.one_or_none()


async def _nobody_else_has_it(work: Work, case: Case, decision: Decision) -> None:
    """Raises `Refused` RULE_NOT_MET where a case that ended let go of its claim, and finds it taken now."""
    claims = (await facts_of(work, case)).claims
    taken = [one["key"] for one in decision.benefits if one["granted"] and claims.get(one["key"]) == "TAKEN"]
    if taken:
        said = {
            "nl": "Een ander dossier heeft deze toelage intussen voor dit jaar.",
            "en": "Another case has this allowance for this year by now.",
        }
        reason = said.get(work.actor.language, said["en"])
        raise Refused(ErrorCode.RULE_NOT_MET, extra={"rule": taken[0]}, reason=reason)


async def _nothing_holds(work: Work, case: Case) -> None:
    """Raises `Refused` RULE_NOT_MET while something about the applicant is not settled."""
    held = await work.session.scalar(
        select(col(Task.kind))
        .where(col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN, col(Task.kind).in_(HOLDS))
        .limit(1)
    )
    if held is not None:
        said = {
            "nl": f"Eerst moet de taak {held} afgerond worden.",
            "en": f"First the task {held} must be settled.",
        }
        raise Refused(ErrorCode.RULE_NOT_MET, reason=said.get(work.actor.language, said["en"]))


async def _advance(work: Work, case: Case, payout: Payout, action: Action, event: EventType) -> None:
    """A premium's payout moves its case along; a refund's is only written down."""
    if payout.kind is PayoutKind.PREMIUM:
        await cases.advance(work, case, action, data=_said(payout))
    else:
        await cases.record(work, case, event, data=_said(payout))


async def _again(work: Work, case: Case, payout: Payout) -> None:
    if payout.kind is PayoutKind.PREMIUM and case.stage is Stage.PAYOUT and case.status not in FINAL:
        await cases.open_task(
            work, case, "ORDER_PAYOUT", {"amount": str(payout.amount), "why": payout.reason}
        )


def _end(work: Work, payout: Payout, reason: str) -> None:
    payout.reason = reason
    payout.ended_at = work.now
    payout.version += 1


def _rules(work: Work, case: Case) -> PayoutRules:
    rules = work.definition(case).payout
    if rules is None:
        raise cases.not_allowed(work, case)
    return rules


def _said(payout: Payout) -> dict[str, Any]:
    return {
        "payout": str(payout.id),
        "kind": payout.kind,
        "amount": str(payout.amount),
        "account": payout.iban_masked,
    }


def _payee(name: str) -> str:
    """Raises `Refused` VALIDATION for a name of which no bank keeps a letter."""
    try:
        sepa.check_name(name)
    except ValueError as fault:
        raise Refused(ErrorCode.VALIDATION, path=["payee"], reason=str(fault)) from fault
    return name


def _name(person: Person) -> str:
    return f"{person.given_name} {person.family_name}".strip() or "onbekend"
