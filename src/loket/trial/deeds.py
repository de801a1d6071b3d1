"""What somebody does when a case is tried dry, each the verb that a door would call."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from uuid_utils.compat import uuid7

from loket import (
    advice,
    agenda,
    co_applicants,
    deliveries,
    handovers,
    invoices,
    payments,
    payout_book,
    payout_facts,
    payouts,
    places,
    proposals,
    screening,
    sittings,
)
from loket.advice import Opinion, Words
from loket.definition import Benefit
from loket.hearsay import Heard
from loket.lifecycle import PartAction
from loket.payout_facts import Fact
from loket.records import (
    Advice,
    Case,
    PaymentMethod,
)
from loket.systems.minutes_item import Outcome as Result
from loket.systems.payments import CheckoutState, CheckoutStatus
from loket.terms import BRUSSELS, is_working_day
from loket.work import Work, the_system

_SITTING_DAYS = 7
FACT = "Proefdossier: dit werd nagekeken."

Verb = Callable[[Work, Case], Awaitable[object]]


async def put_on_agenda(work: Work, item_id: UUID, *, successor_of: str = "") -> None:
    """The minutes system puts an item on the agenda of a meeting in a week."""
    day = work.today + timedelta(days=_SITTING_DAYS)
    while not is_working_day(day):
        day += timedelta(days=1)
    facts = Heard(
        Result.OPEN,
        meeting_on=day,
        meeting_uid=f"proef-{day}",
        item_uid=f"proef-{item_id}{'-bis' if successor_of else ''}",
        successor_of=(successor_of,) if successor_of else (),
        state="itemfrozen",
    )
    await sittings.heard(work, item_id, facts)


async def inadmissible(work: Work, case: Case) -> None:
    legal = "; ".join(one.nl for one in work.definition(case).legal_basis)
    await screening.declare_inadmissible(work, case, legal=legal, fact=FACT, message=FACT)


def confirming(asked_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await co_applicants.confirm(work, asked_id)

    return do


def refusing(asked_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await co_applicants.refuse(work, asked_id, FACT)

    return do


def advising(asked: Advice, opinion: Opinion) -> Verb:
    advice_id = asked.id

    async def do(work: Work, case: Case) -> None:
        one = await advice.behind(work, case, advice_id)
        words = Words(opinion, FACT, FACT if opinion is Opinion.CONDITIONAL else "", name=work.actor.name)
        await advice.give(work, case, one, words)

    return do


async def send(work: Work, case: Case) -> None:
    await agenda.send(work, [(case, await agenda.ready(work, case))])


def claimed(case: Case, benefit: str) -> bool:
    return benefit in (case.facts.get("claims") or {})


def worth(
    work: Work, case: Case, benefits: Sequence[Benefit], shared_by: Decimal = Decimal(1)
) -> Decimal | None:
    """What these benefits are by the definition, in EUR; None where there are none."""
    day = work.definition(case).reference_day(case.submitted_at.astimezone(BRUSSELS).date())
    amounts = [found for one in benefits if (found := proposals.amount_on(one, day)) is not None]
    return (sum(amounts, Decimal(0)) / shared_by).quantize(Decimal("0.01")) if amounts else None


def paying_online(invoice_id: UUID, amount: Decimal) -> Verb:
    async def do(work: Work, _: Case) -> None:
        order = await payments.start(work, invoice_id)
        state = CheckoutState(CheckoutStatus.CAPTURED, f"proef-{uuid7()}", amount, "CAPTURED")
        await payments.heard(work, order.payment_id, state)

    return do


def transferring(invoice_id: UUID, amount: Decimal) -> Verb:
    async def do(work: Work, _: Case) -> None:
        invoice = await invoices.get_locked(work, invoice_id)
        name = f"proef-{uuid7()}"
        received = payments.Received(
            payments.ACCOUNTING, name, amount, PaymentMethod.TRANSFER, work.today, work.actor.name
        )
        await payments.register(work, invoice, received)

    return do


async def choose(work: Work, case: Case) -> None:
    slots = await places.free_slots(work, case, 1)
    if slots:
        await deliveries.book(work, case, slots[0].id)
    else:
        await deliveries.plan_by_itself(work.as_actor(the_system()), case)


def handing(delivery_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await handovers.delivered(work, delivery_id, work.now, "Chauffeur (proef)")

    return do


def missing(delivery_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        await handovers.missed(work, delivery_id, "Er was niemand thuis (proef).")

    return do


def approving(payout_id: UUID) -> Verb:
    async def do(work: Work, _: Case) -> None:
        case, payout = await payout_book.get_locked(work, payout_id)
        await payouts.approve(work, case, payout)

    return do


def banking(payout_id: UUID, action: PartAction) -> Verb:
    failed = action in (PartAction.REJECT, PartAction.RETURN)

    async def do(work: Work, _: Case) -> None:
        fact = Fact(action, on=work.today, code="AC04" if failed else "", reason="proef" if failed else "")
        await payout_facts.heard(work, payout_id, fact)

    return do
