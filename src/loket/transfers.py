"""Payouts on their way to accounting, and what it says of them: carried out after the commit."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

from loket import pain, payouts
from loket.app import Loket
from loket.errors import InDoubt
from loket.lifecycle import PartAction, PayoutStatus
from loket.outcome import Done
from loket.records import Case, Decision, Effect, Payout, PayoutKind, Staff
from loket.systems import payout_orders
from loket.systems.accounting import TooLate
from loket.systems.payout_orders import (
    Approval,
    Creditor,
    PaymentFile,
    PayoutExecuted,
    PayoutOrder,
    PayoutRejected,
    PayoutReport,
    PayoutReturned,
    PayoutState,
    PayoutUnderway,
    payout_facts,
)
from loket.terms import BRUSSELS
from loket.work import Work

PayoutTold = PayoutExecuted | PayoutRejected | PayoutReturned | PayoutReport
REFUND_BUDGET = {"account": "499", "policyItem": "0020-00"}
"""Where a refund is booked: a waiting account (MAR 499), as the payment that it takes back was."""
SOCIAL_BENEFIT = "SSBE"
"""ISO 20022 purpose of a premium."""


async def send(loket: Loket, effect: Effect) -> Done:
    """Order an approved payout at accounting, with its payment file.

    Silence becomes IN_DOUBT, never a repeat.
    """
    payout_id = UUID(effect.payload["payout_id"])
    order = await _order(loket, payout_id)
    if order is None:
        return Done({"skipped": "the payout was taken back"})
    try:
        fact = fact_of(await loket.systems.accounting.order_payout(order, key=effect.id))
    except InDoubt as silence:
        fact = payouts.Fact(PartAction.DOUBT, reason=silence.reason)
    return Done({"told": fact.action, "reason": fact.reason}, _writing(payout_id, fact))


async def read(loket: Loket, effect: Effect) -> Done:
    """Ask accounting where a payout stands."""
    payout_id = UUID(effect.payload["payout_id"])
    state = await loket.systems.accounting.payout(payout_id)
    if state is None:
        return Done({"status": "unknown to accounting"})
    return Done({"status": state.status}, _writing(payout_id, fact_of(state)))


async def recall(loket: Loket, effect: Effect) -> Done:
    """Take back what may have left while it was cancelled."""
    payout_id = UUID(effect.payload["payout_id"])
    try:
        state = await loket.systems.accounting.recall_payout(payout_id, key=effect.id)
    except TooLate as executed:
        return Done({"too late": executed.reason}, _writing(payout_id, payouts.Fact(PartAction.EXECUTE)))
    return Done({"status": state.status if state else "unknown to accounting"})


def fact_of(state: PayoutState) -> payouts.Fact:
    """What accounting's answer means for our payout."""
    code, reason = state.reason_code or "", state.reason or ""
    match state.status:
        case payout_orders.PayoutStatus.ACCEPTED:
            return payouts.Fact(PartAction.SEND)
        case payout_orders.PayoutStatus.EXECUTED:
            return payouts.Fact(PartAction.EXECUTE, on=state.executed_on, amount=state.amount)
        case payout_orders.PayoutStatus.RETURNED:
            on, amount = state.returned_on, state.returned_amount
            return payouts.Fact(PartAction.RETURN, on=on, amount=amount, code=code, reason=reason)
        case payout_orders.PayoutStatus.REJECTED | payout_orders.PayoutStatus.CANCELLED:
            return payouts.Fact(PartAction.REJECT, on=state.rejected_on, code=code, reason=reason)


def facts_told(told: PayoutTold) -> Iterator[tuple[UUID, payouts.Fact]]:
    """What a notice of accounting says of payouts; what is not an end yet is left out."""
    if isinstance(told, PayoutReport):
        for one in payout_facts(told):
            if not isinstance(one, PayoutUnderway):
                yield from facts_told(one)
    else:
        yield told.payout_id, _fact(told)


def _fact(told: PayoutExecuted | PayoutRejected | PayoutReturned) -> payouts.Fact:
    if isinstance(told, PayoutExecuted):
        return payouts.Fact(PartAction.EXECUTE, on=told.executed_on, amount=told.amount)
    code, reason = told.reason_code or "", told.reason or ""
    if isinstance(told, PayoutRejected):
        return payouts.Fact(PartAction.REJECT, code=code, reason=reason)
    return payouts.Fact(PartAction.RETURN, on=told.returned_on, amount=told.amount, code=code, reason=reason)


def _writing(payout_id: UUID, fact: payouts.Fact) -> Callable[[Work], Awaitable[None]]:
    async def write(work: Work) -> None:
        await payouts.heard(work, payout_id, fact)

    return write


async def _order(loket: Loket, payout_id: UUID) -> PayoutOrder | None:
    """The order as it goes out; the same each time. None when the payout waits for nothing any more."""
    async with loket.database.transaction() as session:
        payout = await session.get_one(Payout, payout_id)
        case = await session.get_one(Case, payout.case_id)
        decision = await session.get(Decision, payout.decision_id) if payout.decision_id else None
        approvals = [
            (await session.get(Staff, staff_id), role, at)
            for staff_id, role, at in (
                (payout.ordered_by_id, "order", payout.ordered_at),
                (payout.visum_by_id, "visum", payout.visum_at),
                (payout.approved_by_id, "approval", payout.approved_at),
            )
            if staff_id is not None and at is not None
        ]
    if payout.status is not PayoutStatus.APPROVED or payout.approved_at is None:
        return None
    iban = loket.vault.open(payout.iban_sealed)
    return PayoutOrder(
        id=payout.id,
        kind=payout_orders.PayoutKind(payout.kind),
        end_to_end_id=pain.end_to_end_id(payout.id),
        amount=payout.amount,
        creditor=Creditor(payout.payee[:140], iban),
        budget_key=_budget_key(loket, case, decision),
        requested_on=payout.approved_at.astimezone(BRUSSELS).date(),
        case_reference=case.reference,
        approvals=tuple(
            Approval(f"{who.given_name} {who.family_name}".strip() or who.subject, role, at.astimezone(UTC))
            for who, role, at in approvals
            if who is not None
        ),
        pain001=PaymentFile(pain.Version.V09, _file(loket, payout, iban, payout.approved_at)),
        remittance=payout.remittance[:140] or case.reference,
    )


def _file(loket: Loket, payout: Payout, iban: str, approved_at: datetime) -> bytes:
    municipality = loket.settings.municipality
    transfer = pain.Transfer(
        end_to_end_id=pain.end_to_end_id(payout.id),
        amount=payout.amount,
        creditor_name=payout.payee,
        creditor_iban=iban,
        remittance=payout.remittance,
        purpose=SOCIAL_BENEFIT if payout.kind is PayoutKind.PREMIUM else None,
    )
    return pain.write(
        pain.TransferBatch(
            message_id=f"M{payout.id.hex}",
            payment_id=f"P{payout.id.hex}",
            created_at=approved_at,
            execute_on=approved_at.astimezone(BRUSSELS).date(),
            initiator_name=municipality.name,
            enterprise_number=municipality.kbo,
            debtor_name=municipality.name,
            debtor_iban=municipality.iban,
            debtor_bic=municipality.bic or None,
            transfers=(transfer,),
        )
    )


def _budget_key(loket: Loket, case: Case, decision: Decision | None) -> dict[str, str]:
    """Of the first benefit that was granted; a refund goes over the waiting account."""
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    granted = [one["key"] for one in decision.benefits if one.get("granted")] if decision else []
    key = next((one.budget_key for one in definition.benefits if one.key in granted), None)
    if key is None:
        return REFUND_BUDGET
    told = {
        "account": key.account,
        "policyItem": key.policy_item,
        "action": key.action,
        "estimate": key.estimate,
    }
    return {name: value for name, value in told.items() if value}
