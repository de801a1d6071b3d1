"""Where a payout is booked: its amount in lines, one for each budget key (BBC), to the cent."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select

from loket import bookkeeping, recoveries
from loket.definition import BudgetKey
from loket.numbers import shared
from loket.orders import net_lines
from loket.records import (
    EVERY_EFFECT,
    Case,
    Decision,
    EffectKind,
    EntryType,
    Invoice,
    Json,
    LedgerAccount,
    Payment,
    Payout,
    Refund,
)
from loket.work import Work

Key = tuple[tuple[str, str], ...]
"""A budget key that can be compared: its parts with their values, as the accounting contract names them."""


async def split(work: Work, case: Case, payout: Payout) -> list[Json]:
    """The lines of an order, `{"budget_key": …, "amount": "12.34"}` each; together they are its amount."""
    if payout.refund_id is not None:
        weights = await _of_invoice(work, await work.session.get_one(Refund, payout.refund_id))
    else:
        weights = await _of_premium(work, case, payout)
    return [
        {"budget_key": dict(key), "amount": str(amount)}
        for key, amount in shared(payout.amount, weights).items()
    ]


async def book_paid(work: Work, case: Case, payout: Payout) -> None:
    """The money of a premium left the municipality's account. (Of a refund, the refund is booked.)"""
    if payout.refund_id is not None:
        return
    lines = [
        bookkeeping.Posting(LedgerAccount.GRANTS, Decimal(line["amount"]), line["budget_key"])
        for line in await _told(work, case, [payout.id]) or await split(work, case, payout)
    ]
    paid = [*lines, bookkeeping.Posting(LedgerAccount.BANK, -payout.amount)]
    await bookkeeping.book(
        work, case, EntryType.PAYOUT, payout.id, paid, document_number=payout.id.hex, known=True
    )


async def book_returned(work: Work, case: Case, payout: Payout) -> None:
    """It came back, after it was known to have left."""
    left = await bookkeeping.postings_of(work, EntryType.PAYOUT, payout.id)
    back = bookkeeping.reversed_(left)
    await bookkeeping.book(
        work, case, EntryType.PAYOUT_RETURNED, payout.id, back, document_number=payout.id.hex, known=True
    )


async def paid_back(work: Work, payout: Payout) -> bool:
    """Whether a refund is done by this payout: it left, and not after another way (`book_paid_twice`)."""
    twice = await bookkeeping.postings_of(work, EntryType.PAYOUT, payout.id)
    return payout.executed_on is not None and not twice


async def book_paid_twice(work: Work, case: Case, payout: Payout) -> None:
    """A refund left a second time: whoever has it owes it to us."""
    if payout.refund_id is None:
        await book_paid(work, case, payout)
        return
    refund = await work.session.get_one(Refund, payout.refund_id)
    payment = await work.session.get_one(Payment, refund.payment_id)
    await bookkeeping.book(
        work,
        case,
        EntryType.PAYOUT,
        payout.id,
        bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.BANK, payout.amount),
        document_number=payout.id.hex,
        invoice=await work.session.get_one(Invoice, payment.invoice_id),
        known=True,
    )


async def _of_premium(work: Work, case: Case, payout: Payout) -> dict[Key, Decimal]:
    """What was granted under each key, less what was paid of it by an earlier decision.

    Where a revision takes from one benefit what it gives to another, only what is to be paid still is
    booked here: the accountant moves the rest.
    """
    decision = await work.session.get_one(Decision, payout.decision_id)
    granted = granted_by_key(decision, {one.key: one.budget_key for one in work.definition(case).benefits})
    told = await _paid_by_key(work, case, decision)
    left = {key: amount - told.get(key, Decimal(0)) for key, amount in granted.items()}
    return left if any(amount > 0 for amount in left.values()) else granted


def granted_by_key(decision: Decision, budget_keys: Mapping[str, BudgetKey]) -> dict[Key, Decimal]:
    """A decision's amount under each budget key: a person who set another total set it for all of them."""
    listed = _summed(
        (_key(budget_keys[one["key"]]), Decimal(one["amount"]))
        for one in decision.benefits
        if one["granted"] and one["key"] in budget_keys
    )
    total = decision.amount or Decimal(0)
    return listed if sum(listed.values()) == total else shared(total, listed)


async def _paid_by_key(work: Work, case: Case, decision: Decision) -> dict[Key, Decimal]:
    """What accounting was told to book on this case for earlier decisions, and was paid."""
    lines = await _told(work, case, await recoveries.paid_before(work, case, decision))
    return _summed((tuple(sorted(line["budget_key"].items())), Decimal(line["amount"])) for line in lines)


async def _told(work: Work, case: Case, payout_ids: Sequence[UUID]) -> list[Json]:
    """The lines that accounting is told of these payouts; there are none of what was never approved."""
    found = await work.session.scalars(
        select(EVERY_EFFECT.c.payload).where(
            EVERY_EFFECT.c.case_id == case.id,
            EVERY_EFFECT.c.kind == EffectKind.PAYOUT_SEND,
            EVERY_EFFECT.c.payload["payout_id"].astext.in_([str(one) for one in payout_ids]),
        )
    )
    return [line for payload in found for line in payload.get("lines", ())]


async def _of_invoice(work: Work, refund: Refund) -> dict[Key, Decimal]:
    """Money goes back to where the invoice was booked."""
    payment = await work.session.get_one(Payment, refund.payment_id)
    invoice = await work.session.get_one(Invoice, payment.invoice_id)
    return _summed(
        (_key(BudgetKey.model_validate(line["budget_key"])), Decimal(line["amount"]))
        for line in net_lines(invoice.lines)
    )


def _summed(parts: Iterable[tuple[Key, Decimal]]) -> dict[Key, Decimal]:
    together: dict[Key, Decimal] = {}
    for key, amount in parts:
        together[key] = together.get(key, Decimal(0)) + amount
    return together


def _key(key: BudgetKey) -> Key:
    parts: dict[str, Any] = {
        "account": key.account,
        "policyItem": key.policy_item,
        "action": key.action,
        "estimate": key.estimate,
    }
    return tuple(sorted((name, value) for name, value in parts.items() if value))
