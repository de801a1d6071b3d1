"""Payouts on their way to accounting, and what it says of them: carried out after the commit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from loket import pain, payout_book, payout_facts, payout_lines, payouts
from loket.app import Loket
from loket.errors import InDoubt, OurFault
from loket.lifecycle import PartAction, PayoutStatus
from loket.outcome import Done
from loket.records import Case, Effect, Json, Payout, PayoutKind, Staff
from loket.settings import Settings
from loket.systems import payout_orders
from loket.systems.accounting import TooLate
from loket.systems.payout_orders import (
    Approval,
    Creditor,
    PaymentFile,
    PayoutExecuted,
    PayoutLine,
    PayoutOrder,
    PayoutRejected,
    PayoutReport,
    PayoutReturned,
    PayoutState,
    PayoutUnderway,
    facts_in,
)
from loket.terms import BRUSSELS
from loket.work import Work, the_system

PayoutTold = PayoutExecuted | PayoutRejected | PayoutReturned | PayoutReport
LEAVING_SECONDS = 5.0
"""For the last look before money goes out: what accounting takes must fit in the time of the effect too."""
SOCIAL_BENEFIT = "SSBE"
"""ISO 20022 purpose of a premium."""


async def send(loket: Loket, effect: Effect) -> Done:
    """Order an approved payout at accounting, with its payment file.

    What must be settled before money goes out is looked at once more, behind the lock of the case. What comes
    up after that look finds the payout APPROVED: it is taken back, and its recall leaves behind this order.
    Silence becomes IN_DOUBT, never a repeat.
    """
    payout_id = UUID(effect.payload["payout_id"])
    try:
        async with asyncio.timeout(LEAVING_SECONDS):
            order = await _leaving(loket, payout_id, effect.payload.get("lines"))
    except TimeoutError:
        raise OurFault(effect.system, "the case was not free in time") from None
    if order is None:
        return Done({"skipped": "the payout was taken back"})
    try:
        fact = fact_of(await loket.systems.accounting.order_payout(order, key=effect.id))
    except InDoubt as silence:
        fact = payout_facts.Fact(PartAction.DOUBT, reason=silence.reason)
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
        return Done({"too late": executed.reason}, _writing(payout_id, payout_facts.Fact(PartAction.EXECUTE)))

    async def write(work: Work) -> None:
        await payout_facts.recalled(work, payout_id)

    return Done({"status": state.status if state else "unknown to accounting"}, write)


async def not_sent(work: Work, case: Case, effect: Effect) -> None:
    """An order was given up: somebody of finance must know."""
    await payout_facts.not_sent(work, case, UUID(effect.payload["payout_id"]), await _why(work, effect))


async def not_recalled(work: Work, case: Case, effect: Effect) -> None:
    """A recall was given up."""
    await payout_facts.not_recalled(work, case, UUID(effect.payload["payout_id"]), await _why(work, effect))


async def _why(work: Work, effect: Effect) -> str:
    """What the other side said at the last attempt, as it was written down just now."""
    return (await work.session.get_one(Effect, effect.id, populate_existing=True)).last_error


def fact_of(state: PayoutState) -> payout_facts.Fact:
    """What accounting's answer means for our payout."""
    code, reason = state.reason_code or "", state.reason or ""
    match state.status:
        case payout_orders.PayoutStatus.ACCEPTED:
            return payout_facts.Fact(PartAction.SEND)
        case payout_orders.PayoutStatus.EXECUTED:
            return payout_facts.Fact(PartAction.EXECUTE, on=state.executed_on, amount=state.amount)
        case payout_orders.PayoutStatus.RETURNED:
            on, amount = state.returned_on, state.returned_amount
            return payout_facts.Fact(PartAction.RETURN, on=on, amount=amount, code=code, reason=reason)
        case payout_orders.PayoutStatus.REJECTED | payout_orders.PayoutStatus.CANCELLED:
            return payout_facts.Fact(PartAction.REJECT, on=state.rejected_on, code=code, reason=reason)


def facts_told(told: PayoutTold) -> Iterator[tuple[UUID, payout_facts.Fact]]:
    """What a notice of accounting says of payouts; what is not an end yet is left out."""
    if isinstance(told, PayoutReport):
        for one in facts_in(told):
            if not isinstance(one, PayoutUnderway):
                yield from facts_told(one)
    else:
        yield told.payout_id, _fact(told)


def _fact(told: PayoutExecuted | PayoutRejected | PayoutReturned) -> payout_facts.Fact:
    if isinstance(told, PayoutExecuted):
        return payout_facts.Fact(PartAction.EXECUTE, on=told.executed_on, amount=told.amount)
    code, reason = told.reason_code or "", told.reason or ""
    if isinstance(told, PayoutRejected):
        return payout_facts.Fact(PartAction.REJECT, code=code, reason=reason)
    return payout_facts.Fact(
        PartAction.RETURN, on=told.returned_on, amount=told.amount, code=code, reason=reason
    )


def _writing(payout_id: UUID, fact: payout_facts.Fact) -> Callable[[Work], Awaitable[None]]:
    async def write(work: Work) -> None:
        await payout_facts.heard(work, payout_id, fact)

    return write


async def _leaving(loket: Loket, payout_id: UUID, lines: list[Json] | None) -> PayoutOrder | None:
    """The order as it goes out; the same each time. None when the payout may not leave (any more)."""
    async with loket.work(the_system("Accounting")) as work:
        case, payout = await payout_book.get_locked(work, payout_id)
        if payout.status is not PayoutStatus.APPROVED or payout.approved_at is None:
            return None
        if kind := await payout_book.held_by(work, case):
            await payouts.stop(work, case, payout, f"held: {kind}")
            return None
        approvals = [
            (await work.session.get_one(Staff, staff_id), role, at)
            for staff_id, role, at in (
                (payout.ordered_by_id, "order", payout.ordered_at),
                (payout.visum_by_id, "visum", payout.visum_at),
                (payout.approved_by_id, "approval", payout.approved_at),
            )
            if staff_id is not None and at is not None
        ]
        # none yet: it was approved before orders had lines
        lines = lines or await payout_lines.split(work, case, payout)
    iban = loket.vault.open(payout.iban_sealed)
    return PayoutOrder(
        id=payout.id,
        kind=payout_orders.PayoutKind(payout.kind),
        end_to_end_id=pain.end_to_end_id(payout.id),
        amount=payout.amount,
        creditor=Creditor(payout.payee[:140], iban),
        lines=tuple(PayoutLine(one["budget_key"], Decimal(one["amount"])) for one in lines),
        requested_on=payout.approved_at.astimezone(BRUSSELS).date(),
        case_reference=case.reference,
        approvals=tuple(
            Approval(f"{who.given_name} {who.family_name}".strip() or who.subject, role, at.astimezone(UTC))
            for who, role, at in approvals
        ),
        pain001=PaymentFile(pain.Version.V09, payment_file(loket.settings, payout, iban, payout.approved_at)),
        remittance=payout.remittance[:140] or case.reference,
    )


def payment_file(settings: Settings, payout: Payout, iban: str, approved_at: datetime) -> bytes:
    """The pain.001 of an approved payout; the same each time."""
    municipality = settings.municipality
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
