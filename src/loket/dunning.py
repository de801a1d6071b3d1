"""Having an invoice paid: reminder, default notice, handing over, writing off.

What each step costs is added to what is due. Costs breed no costs: where nothing but costs is open, no more
are charged, no notice of default goes out, and at the end of the term they are given up.
"""

from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlmodel import col

from loket import bookkeeping, cases, invoices
from loket.definition import Payment, Reminder
from loket.lifecycle import INVOICE, Action, EventType, PartAction, Stage, Status, TimerKind
from loket.records import (
    Case,
    Delivery,
    Dunning,
    DunningKind,
    EffectKind,
    EntryType,
    Invoice,
    Json,
    LedgerAccount,
    Letter,
    LetterStatus,
)
from loket.terms import morning_of
from loket.work import Work

WAITS = frozenset({LetterStatus.QUEUED, LetterStatus.BATCHED})
"""A letter that is not on its way yet."""


async def remind(work: Work, case: Case, number: int) -> None:
    """A due date has passed: say it again, as often as the definition lists."""
    found = await _awaited(work, case)
    if found is None:
        return
    settings, invoice = found
    reminder = settings.reminders[number - 1]
    told = await _demand(work, case, invoice, settings, reminder, DunningKind.REMINDER)
    await cases.advance(work, case, Action.REMIND, data={"number": number, **told})
    slip = _slip(work, invoice, reminder)
    await invoices.plan(work, case, invoice, settings, reminded=number, slip=slip)


async def give_notice(work: Work, case: Case) -> None:
    """The reminders did not help: the last demand (ingebrekestelling). Its letter is left by `notices`."""
    found = await _awaited(work, case)
    if found is None:
        return
    settings, invoice = found
    notice = settings.default_notice
    if notice is None or are_costs_alone(invoice):
        return
    told = await _demand(work, case, invoice, settings, notice, DunningKind.DEFAULT_NOTICE)
    await cases.record(work, case, EventType.DEFAULT_NOTICE_SENT, data=told)
    reminded = len(settings.reminders)
    slip = _slip(work, invoice, notice)
    await invoices.plan(work, case, invoice, settings, reminded=reminded, slip=slip)
    await work.disarm(TimerKind.DEFAULT_NOTICE, TimerKind.PAYMENT_REMINDER, case=case)


async def end_unpaid(work: Work, case: Case) -> None:
    """It was never paid: cancelled, or handed over for recovery where the goods are delivered."""
    settings = work.definition(case).payment
    invoice = await invoices.live(work, case)
    if settings is None or case.status is not Status.AWAITING_PAYMENT:
        return
    if invoice is not None and are_costs_alone(invoice):
        await write_off(work, case, invoice, "Enkel de kosten van herinneringen bleven open.")
    elif settings.unpaid == "hand_over" or await _is_delivered(work, case):
        waiting = await _notice_that_waits(work, invoice)
        if waiting is not None:
            told = {"letter": str(waiting.id), "way": waiting.way}
            await cases.open_task(work, case, "NOTIFY_LATE", told)
            await work.arm(TimerKind.PAYMENT_END, morning_of(work.today + timedelta(days=1)), case=case)
            return
        await invoices.end_dunning(work, case)
        if invoice is not None:
            cases.move(work, INVOICE, invoice, PartAction.HAND_OVER)
            await hand_over(work, case, invoice)
        await cases.advance(work, case, Action.HAND_OVER)
    else:
        reason = "Wij ontvingen uw betaling niet op tijd."
        await cases.advance(work, case, Action.GIVE_UP, data={"why": "unpaid", "reasons": [reason]})


async def hand_over(work: Work, case: Case, invoice: Invoice) -> None:
    """The financial director gets what a warrant (dwangbevel) must name; of each round once."""
    step = await _step(work, case, invoice, DunningKind.HANDED_OVER)
    await work.leave(EffectKind.WARRANT_PDF, {"dunning_id": str(step.id)}, case=case)


async def write_off(work: Work, case: Case, invoice: Invoice, reason: str) -> None:
    """Give up what is open on an invoice; a case that waits for it goes on without it.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED for one that is paid, credited or written off.
    """
    open_amount = invoices.outstanding(invoice)
    cases.move(work, INVOICE, invoice, PartAction.WRITE_OFF)
    invoice.written_off += open_amount
    step = await _step(work, case, invoice, DunningKind.WRITTEN_OFF, reason=reason)
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
        await invoices.end_dunning(work, case)
        await cases.pass_on(work, case)


def are_costs_alone(invoice: Invoice) -> bool:
    """Whether all that is open are costs: what came in counts for the invoice itself first."""
    return invoices.outstanding(invoice) <= invoice.costs


# --- steps ------------------------------------------------------------------------------------


async def _awaited(work: Work, case: Case) -> tuple[Payment, Invoice] | None:
    """The case waits for the money of this invoice, on these terms."""
    settings = work.definition(case).payment
    invoice = await invoices.live(work, case)
    if settings is None or invoice is None or case.status is not Status.AWAITING_PAYMENT:
        return None
    return settings, invoice


async def _demand(
    work: Work, case: Case, invoice: Invoice, settings: Payment, demand: Reminder, kind: DunningKind
) -> Json:
    """Charge what it costs, and answer what its message tells beside the invoice."""
    before = invoices.outstanding(invoice)
    cost = Decimal(0) if are_costs_alone(invoice) else demand.cost_on(work.today)
    step = await _step(work, case, invoice, kind, cost=cost)
    if cost:
        invoice.costs += cost
        invoice.version += 1
        await bookkeeping.book(
            work,
            case,
            EntryType.COSTS,
            step.id,
            bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.COSTS, cost),
            document_number=invoice.number,
            invoice=invoice,
        )
    pay_by = _pay_by(work, invoice, settings, demand)
    told = {"dunning": str(step.id), "pay_by": pay_by.isoformat()}
    return told | ({"open_before": str(before), "cost": str(cost)} if cost else {})


def _slip(work: Work, invoice: Invoice, demand: Reminder) -> int:
    """How many days later it is than the definition says: what follows is as much later."""
    return max((work.today - invoice.due_on).days - demand.after_days, 0)


def _pay_by(work: Work, invoice: Invoice, settings: Payment, demand: Reminder) -> date:
    """The day before the next step."""
    steps = [one.after_days for one in settings.reminders]
    steps += [settings.default_notice.after_days] if settings.default_notice else []
    following = min(one for one in (*steps, settings.unpaid_after_days) if one > demand.after_days)
    return invoice.due_on + timedelta(days=following + _slip(work, invoice, demand) - 1)


async def _step(
    work: Work,
    case: Case,
    invoice: Invoice,
    kind: DunningKind,
    *,
    cost: Decimal = Decimal(0),
    reason: str = "",
) -> Dunning:
    before = await work.session.scalar(
        select(func.count())
        .select_from(Dunning)
        .where(col(Dunning.invoice_id) == invoice.id, col(Dunning.kind) == kind)
    )
    step = Dunning(
        invoice_id=invoice.id,
        case_id=case.id,
        kind=kind,
        number=1 + (before or 0),
        taken_on=work.today,
        cost=cost,
        reason=reason,
        taken_by_id=work.actor.id if work.actor.is_staff else None,
    )
    work.session.add(step)
    await work.session.flush()
    return step


async def _notice_that_waits(work: Work, invoice: Invoice | None) -> Letter | None:
    """The letter with the notice of default, while it is not on its way: without it there is no warrant."""
    if invoice is None:
        return None
    found = await work.session.scalars(
        select(Letter)
        .join(Dunning, col(Dunning.letter_id) == col(Letter.id))
        .where(col(Dunning.invoice_id) == invoice.id, col(Letter.status).in_(WAITS))
        .limit(1)
    )
    return found.one_or_none()


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
