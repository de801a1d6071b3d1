"""Having an invoice paid: reminder, default notice, handing over, writing off."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlmodel import col

from loket import bookkeeping, cases, invoices
from loket.lifecycle import INVOICE, Action, EventType, PartAction, Stage, Status, TimerKind
from loket.records import Case, Delivery, Dunning, DunningKind, EntryType, Invoice, LedgerAccount
from loket.terms import morning_of
from loket.work import Work, the_system


async def remind(work: Work, case: Case, number: int) -> None:
    """A due date has passed: say it again, kindly, as often as the definition lists."""
    settings = work.definition(case).payment
    invoice = await invoices.live(work, case)
    if settings is None or invoice is None or case.status is not Status.AWAITING_PAYMENT:
        return
    await cases.advance(work, case, Action.REMIND, data={"number": number})
    if number < len(settings.reminders_days):
        due_at = morning_of(invoice.due_on + timedelta(days=settings.reminders_days[number]))
        await work.arm(TimerKind.PAYMENT_REMINDER, due_at, case=case, number=number + 1)


async def end_unpaid(work: Work, case: Case) -> None:
    """It was never paid: cancelled, or handed over for recovery where the goods are delivered."""
    settings = work.definition(case).payment
    if settings is None or case.status is not Status.AWAITING_PAYMENT:
        return
    if settings.unpaid == "hand_over" or await _is_delivered(work, case):
        invoice = await invoices.live(work, case)
        if invoice is not None:
            cases.move(work, INVOICE, invoice, PartAction.HAND_OVER)
        await cases.advance(work, case, Action.HAND_OVER)
    else:
        reason = "Wij ontvingen uw betaling niet op tijd."
        await cases.advance(work, case, Action.GIVE_UP, data={"why": "unpaid", "reasons": [reason]})


async def write_off(work: Work, case: Case, invoice: Invoice, reason: str) -> None:
    """Give up what is open on an invoice.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED for one that is paid, credited or written off.
    """
    open_amount = invoices.outstanding(invoice)
    cases.move(work, INVOICE, invoice, PartAction.WRITE_OFF)
    invoice.written_off += open_amount
    step = Dunning(
        invoice_id=invoice.id,
        case_id=case.id,
        kind=DunningKind.WRITTEN_OFF,
        number=1 + await _steps(work, invoice, DunningKind.WRITTEN_OFF),
        taken_on=work.today,
        reason=reason,
        taken_by_id=work.actor.id if work.actor.is_staff else None,
    )
    work.session.add(step)
    await work.session.flush()
    await bookkeeping.book(
        work,
        case,
        EntryType.WRITE_OFF,
        step.id,
        bookkeeping.moved(LedgerAccount.LOSS, LedgerAccount.RECEIVABLE, open_amount),
        document_number=invoice.number,
        invoice=invoice,
    )
    told = {"amount": str(open_amount), "reason": reason}
    await cases.record(work, case, EventType.WRITTEN_OFF, data=told)
    if case.status is Status.AWAITING_PAYMENT:
        await work.disarm(
            TimerKind.PAYMENT_END, TimerKind.PAYMENT_REMINDER, TimerKind.DEFAULT_NOTICE, case=case
        )
        await cases.advance(work.as_actor(the_system()), case, Action.HAND_OVER)


async def _steps(work: Work, invoice: Invoice, kind: DunningKind) -> int:
    found = await work.session.scalar(
        select(func.count())
        .select_from(Dunning)
        .where(col(Dunning.invoice_id) == invoice.id, col(Dunning.kind) == kind)
    )
    return found or 0


async def _is_delivered(work: Work, case: Case) -> bool:
    """Whether the goods are with the citizen: by the order of stages, or before their turn."""
    stages = work.definition(case).stages
    if Stage.DELIVERY in stages and stages.index(Stage.DELIVERY) < stages.index(Stage.PAYMENT):
        return True
    found = await work.session.scalar(
        select(col(Delivery.delivered_at)).where(
            col(Delivery.case_id) == case.id, col(Delivery.round) == case.round
        )
    )
    return found is not None
