"""Sums that come back (waarborg): held while a case runs, released by finance once it is completed.

A deposit is a line of the invoice on a budget key of its own. To release it is to credit that line: what was
paid of it goes back over the way that it came, and one that was never paid is not due any more. What is kept
stays where it was booked. A case that ends otherwise gives all of its invoice back by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col

from loket import cases, credits, invoices
from loket.errors import ErrorCode, Refused
from loket.lifecycle import INVOICE, EventType, PartAction, Status, TimerKind
from loket.records import Case, CreditNote, Event, Invoice
from loket.terms import BRUSSELS, morning_of
from loket.wording import Value
from loket.work import Work

REASON = "Vrijgave van de waarborg"
"""Stands on the credit note."""
TASK = "DEPOSIT_DUE"


@dataclass(frozen=True)
class Held:
    """What is held of an invoice: on which of its lines (as `credits.left` counts them), in EUR."""

    invoice: Invoice
    lines: frozenset[int]
    amount: Decimal


async def held(work: Work, case: Case) -> Held | None:
    """What can be released still; None where nothing is.

    What was written off of the invoice counts for the deposit first.
    """
    catalogue = work.definition(case).catalogue
    if catalogue is None or not any(product.deposit for product in catalogue.products):
        return None
    invoice = await invoices.live(work, case)
    if invoice is None or INVOICE.find(invoice.status, PartAction.CREDIT) is None:
        return None
    left = await credits.left(work, invoice)
    lines = frozenset(index for index, line in enumerate(left) if line.get("deposit"))
    amount = sum((Decimal(left[index]["amount"]) for index in lines), Decimal(0)) - invoice.written_off
    if amount <= 0 or await _was_released(work, case, invoice):
        return None
    return Held(invoice, lines, amount)


async def _was_released(work: Work, case: Case, invoice: Invoice) -> bool:
    found = await work.session.scalars(
        select(col(Event.data)).where(
            col(Event.case_id) == case.id, col(Event.type) == EventType.DEPOSIT_RETURNED
        )
    )
    return any(data["invoice"] == invoice.number for data in found)


async def release(work: Work, case: Case, kept: Decimal, reason: str) -> CreditNote | None:
    """Give the deposit back less what is `kept` (EUR), and say why that is; of an invoice once.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED before the case is completed, or where nothing is held (any more);
            VALIDATION for more than is held, or a part of a cent; REQUIRED for a reason that is missing.
    """
    found = await held(work, case) if case.status is Status.COMPLETED else None
    if found is None:
        raise cases.not_allowed(work, case)
    if not 0 <= kept <= found.amount or kept != kept.quantize(credits.CENT):
        limit = f"in whole cents, at most {found.amount}"
        raise Refused(ErrorCode.VALIDATION, path=["input", "kept"], reason=limit)
    why = cases.said(reason, "reason") if kept or reason.strip() else ""
    released = found.amount - kept
    note = None
    if released:
        note = await credits.credit(work, case, found.invoice, released, REASON, of=found.lines)
    told = {"amount": str(released), "kept": str(kept), "reason": why, "invoice": found.invoice.number}
    await cases.record(work, case, EventType.DEPOSIT_RETURNED, data=told)
    await work.disarm(TimerKind.DEPOSIT_END, case=case)
    await cases.complete_tasks(work, case, TASK)
    return note


# --- asking what becomes of it ----------------------------------------------------------------


async def watch(work: Work, case: Case) -> None:
    """The case is completed: after some days a person is asked what becomes of a deposit."""
    if await held(work, case) is not None:
        await _ask_later(work, case)


async def ask(work: Work, case: Case) -> None:
    """Those days are over; but while what was granted holds, they are counted anew."""
    found = await held(work, case) if case.status is Status.COMPLETED else None
    if found is None:
        return
    if case.valid_until is not None and case.valid_until >= work.today:
        await _ask_later(work, case)
        return
    await cases.open_task(work, case, TASK, {"amount": str(found.amount), "invoice": found.invoice.number})


async def _ask_later(work: Work, case: Case) -> None:
    await work.arm(TimerKind.DEPOSIT_END, morning_of(_ask_on(work, case)), case=case)


def _ask_on(work: Work, case: Case) -> date:
    catalogue = work.definition(case).catalogue
    closed_on = (case.closed_at or work.now).astimezone(BRUSSELS).date()
    since = max(closed_on, case.valid_until or closed_on)
    return since + timedelta(days=catalogue.deposit_days if catalogue else 0)


def said(events: Sequence[Event]) -> dict[str, Value]:
    """What messages can name of a deposit that was released."""
    for event in events:
        if event.type is EventType.DEPOSIT_RETURNED:
            amounts = {"deposit": Decimal(event.data["amount"]), "kept": Decimal(event.data["kept"])}
            return {name: amount or None for name, amount in amounts.items()}
    return {}
