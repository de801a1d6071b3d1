"""One contract, two payment modules: whatever is heard, lost or repeated, in any order, money counts once."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select
from sqlmodel import col

from loket import cases, effects, endings, payments, refunds
from loket.app import Loket
from loket.errors import Declined, Unavailable
from loket.identity import actor_of
from loket.ids import encode_id
from loket.lifecycle import EventType, InvoiceStatus, PaymentStatus, RefundStatus, Role, Status
from loket.records import (
    ActorKind,
    Case,
    Chargeback,
    Effect,
    EffectKind,
    JournalEntry,
    JournalLine,
    LedgerAccount,
    Payment,
    Refund,
)
from loket.settings import PaymentModule, SettingsError, Sips
from loket.systems.payments import CheckoutStatus
from loket.systems.payments import RefundStatus as There
from loket.walk import browser
from loket.work import Actor, the_system
from modules import Side
from served import Served, served
from test_hooks import again, events_of, heard, invoice_of, payments_of, tasks_of, to_pay

HILDE = Actor(ActorKind.STAFF, "Hilde", frozenset({Role.HANDLER}))
TWENTY_EIGHT = Decimal("28.00")


@pytest.fixture(scope="module")
async def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """No worker: the tests say themselves what is asked when."""
    async with served(module_database_url, tmp_path_factory.mktemp("loket")) as found:
        for name in PaymentModule:
            await Side(name).hold(found)
            await Side(name).settings(found, refundSeconds=None)
        yield found


@pytest.fixture(params=list(PaymentModule), ids=str)
def side(request: pytest.FixtureRequest) -> Side:
    return Side(request.param)


async def polled(world: Served, payment: Payment) -> None:
    """As a worker does when it is time to ask."""
    effect = Effect(
        kind=EffectKind.PAYMENT_POLL, system=payment.module, lane="", created_at=payment.started_at,
        payload={"payment_id": str(payment.id), "number": 1},
    )  # fmt: skip
    done = await effects.carry_out(world.loket, effect)
    async with world.loket.work(the_system("worker")) as work:
        assert done.then is not None
        await done.then(work)


async def refund_effect(world: Served, refund: Refund) -> Effect:
    """The last one left for a refund."""
    async with world.loket.database.transaction() as session:
        found = await session.scalars(
            select(Effect)
            .where(col(Effect.kind) == EffectKind.PAYMENT_REFUND)
            .where(col(Effect.payload)["refund_id"].astext == str(refund.id))
            .order_by(col(Effect.seq).desc())
            .limit(1)
        )
        return found.one()


async def given_back(world: Served, refund: Refund) -> Refund:
    effect = await refund_effect(world, refund)
    done = await effects.carry_out(world.loket, effect)
    async with world.loket.work(the_system("worker")) as work:
        assert done.then is not None
        await done.then(work)
    return await again(world, refund)


async def refunds_of(world: Served, case: Case) -> list[Refund]:
    async with world.loket.database.transaction() as session:
        found = select(Refund).where(col(Refund.case_id) == case.id).order_by(col(Refund.id))
        return list(await session.scalars(found))


async def chargebacks_of(world: Served, case: Case) -> list[Chargeback]:
    async with world.loket.database.transaction() as session:
        return list(await session.scalars(select(Chargeback).where(col(Chargeback.case_id) == case.id)))


async def balances(world: Served, case: Case) -> dict[LedgerAccount, Decimal]:
    """What the books say of a case, by account, where it is not nothing."""
    async with world.loket.database.transaction() as session:
        found = await session.execute(
            select(col(JournalLine.account), func.sum(col(JournalLine.debit) - col(JournalLine.credit)))
            .join(JournalEntry, col(JournalEntry.id) == col(JournalLine.entry_id))
            .where(col(JournalEntry.case_id) == case.id)
            .group_by(col(JournalLine.account))
        )
        return {account: total for account, total in found if total}


async def is_paid_once(world: Served, case: Case) -> None:
    invoice = await invoice_of(world, case)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.PAID, TWENTY_EIGHT)
    captured = [one for one in await payments_of(world, case) if one.status is PaymentStatus.CAPTURED]
    assert [one.amount for one in captured] == [TWENTY_EIGHT]
    assert (await events_of(world, case)).count(EventType.PAID) == 1
    assert (await again(world, case)).status is Status.AWAITING_SLOT
    assert await refunds_of(world, case) == []
    assert await balances(world, case) == {
        LedgerAccount.MODULE: TWENTY_EIGHT,
        LedgerAccount.REVENUE: -TWENTY_EIGHT,
    }


async def hears(world: Served, side: Side, payment: Payment, ways: Sequence[str]) -> None:
    for way in ways:
        for _ in range(2):
            if way == "notice":
                for body in side.notices(world, payment):
                    await side.tell(world, body)
            elif way == "return":
                assert (await side.returns(world, payment)).status_code == 303
            else:
                await polled(world, payment)


WAYS = list(permutations(("notice", "return", "poll")))


# ── paying ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ways", WAYS, ids=" ".join)
async def test_notice_return_and_poll_in_any_order_and_number_are_one_payment(
    world: Served, side: Side, ways: Sequence[str]
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    for way in ways:
        # also when nothing of the rest is ever heard
        await hears(world, side, payment, [way])
        await is_paid_once(world, case)


@pytest.mark.parametrize("action", ["refuse", "cancel", "expire"])
async def test_what_was_not_paid_is_not_paid_however_it_is_heard(
    world: Served, side: Side, action: str
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment, action)
    await hears(world, side, payment, ("notice", "return", "poll"))
    assert (await again(world, payment)).status is PaymentStatus.FAILED
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT
    second = await side.begin(world, case)
    assert second.id != payment.id
    await side.acts(world, second)
    await hears(world, side, second, ("poll",))
    await is_paid_once(world, case)


async def test_what_the_bank_decides_later_is_paid_when_it_has(world: Served, side: Side) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment, "pending")
    await hears(world, side, payment, ("return", "notice", "poll"))
    assert (await again(world, payment)).status is PaymentStatus.PENDING
    if side.name is PaymentModule.SIPS:
        await world.order("sips", f"transactions/{payment.checkout_id}/settle", outcome="accepted")
    else:
        (known,) = [one for one in world.house.states["worldline"].all("payment")
                    if one["checkoutId"] == payment.checkout_id]  # fmt: skip
        await world.order("worldline", f"payments/{known['id']}/settle", outcome="captured")
    told = side.notices(world, payment)
    for body in reversed(told):
        await side.tell(world, body)
    await is_paid_once(world, case)


async def test_a_page_that_was_over_and_was_paid_on_nevertheless_is_paid(world: Served, side: Side) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment, "expire")
    await hears(world, side, payment, ("notice", "poll"))
    assert (await again(world, payment)).status is PaymentStatus.FAILED
    await side.tell(world, side.paid(case.reference, payment.checkout_id or ""))
    await is_paid_once(world, case)


async def test_more_than_was_due_goes_back_and_less_leaves_the_rest_open(world: Served, side: Side) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.tell(world, side.paid(case.reference, payment.checkout_id or "", cents=3000))
    assert (await again(world, payment)).amount == Decimal("30.00")
    assert [one.amount for one in await refunds_of(world, case)] == [Decimal("2.00")]
    assert (await again(world, case)).status is Status.AWAITING_SLOT
    other = await to_pay(world)
    part = await side.begin(world, other)
    await side.tell(world, side.paid(other.reference, part.checkout_id or "", cents=1000))
    invoice = await invoice_of(world, other)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.PARTLY_PAID, Decimal("10.00"))
    rest = await side.begin(world, other)
    assert rest.amount == Decimal("18.00")


async def test_money_for_a_page_that_is_not_ours_waits_for_a_person(world: Served, side: Side) -> None:
    case = await to_pay(world)
    await side.begin(world, case)
    for reference in (case.reference, "CB-2026-0AAAAA-0"):
        await side.tell(world, side.paid(reference, "7777777777"))
    assert [one.kind for one in await tasks_of(world, case)] == ["PAYMENT_UNMATCHED"]
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT


async def test_two_who_pay_one_invoice_have_paid_once_and_one_gets_it_back(world: Served, side: Side) -> None:
    case = await to_pay(world)
    first = await side.begin(world, case)
    async with world.loket.work(the_system()) as work:
        # the first page is about to end, so that a second is opened, in another window
        kept = await work.session.get_one(Payment, first.id)
        kept.expires_at = work.now
    second = await side.begin(world, case)
    assert second.id != first.id
    for payment in (second, first):
        await side.acts(world, payment)
        await hears(world, side, payment, ("notice", "poll"))
    invoice = await invoice_of(world, case)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.PAID, TWENTY_EIGHT)
    assert [(one.payment_id, one.amount) for one in await refunds_of(world, case)] == [
        (first.id, TWENTY_EIGHT)
    ]
    # and where the bank takes that one back as well, the invoice is paid still: by the other
    await side.tell(world, side.charged_back(first.checkout_id, case.reference))
    assert [one.counted for one in await chargebacks_of(world, case)] == [Decimal(0)]
    assert (await invoice_of(world, case)).status is InvoiceStatus.PAID


async def test_two_clicks_at_once_open_one_page(world: Served, side: Side) -> None:
    """Where the module gives a second page for one payment, it is shown to nobody."""
    case = await to_pay(world)
    first = await side.begin(world, case)
    module = world.loket.systems.payments[side.name]
    hook = f"{world.url}/hooks/payments/{side.name}"
    async with world.loket.work(the_system()) as work:
        order = await payments.start(work, first.invoice_id)
    assert order.url == first.checkout_url
    another = await module.create_checkout(
        key=first.id, reference=order.reference, amount=order.amount, return_url=f"{hook}/return",
        language="nl", expires_in=order.expires_in, webhook_url=hook,
    )  # fmt: skip
    async with world.loket.work(the_system()) as work:
        same = await payments.checkout_opened(work, first.id, another)
    assert (same.checkout_id, same.checkout_url) == (first.checkout_id, first.checkout_url)


# ── where the module is away ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["error", "lose_answer"])
async def test_a_module_that_is_away_is_asked_again_and_loses_nothing(
    world: Served, side: Side, mode: str
) -> None:
    case = await to_pay(world)
    await world.order(side.name, "faults", mode=mode, count=1)
    with pytest.raises(Unavailable):
        await side.begin(world, case)
    payment = await side.begin(world, case)
    assert len(await payments_of(world, case)) == 1
    await side.acts(world, payment)
    await world.order(side.name, "faults", mode=mode, count=1)
    with pytest.raises(Unavailable):
        await polled(world, payment)
    await polled(world, payment)
    await is_paid_once(world, case)


async def test_who_returns_while_the_module_is_away_goes_on_and_is_heard_later(
    world: Served, side: Side
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    await side.fails(world, mode="error", count=1)
    answer = await side.returns(world, payment)
    assert answer.headers["location"].endswith(f"/dossiers/{case.reference}")
    await world.client.delete(f"{world.house.config.urls[side.name]}/sim/faults")
    await polled(world, payment)
    await is_paid_once(world, case)


async def test_a_payment_is_asked_of_the_module_by_which_it_was_begun(world: Served, side: Side) -> None:
    """Also when the deployment has chosen another since."""
    (other,) = [Side(name) for name in PaymentModule if name is not side.name]
    case, next_case = await to_pay(world), await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    later = await other.begin(world, next_case)
    assert (payment.module, later.module) == (side.name, other.name)
    await polled(world, payment)
    await is_paid_once(world, case)
    assert (await again(world, next_case)).status is Status.AWAITING_PAYMENT


# ── giving back ───────────────────────────────────────────────────────────────────────────────────────


async def stopped(world: Served, side: Side) -> tuple[Case, Refund]:
    """Paid, and then cancelled by the municipality: all of it goes back."""
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    await polled(world, payment)
    async with world.loket.work(HILDE) as work:
        await endings.cancel(work, await cases.get(work, case.id), "De gemeente levert niet meer.")
    (refund,) = await refunds_of(world, case)
    assert (refund.status, refund.amount) == (RefundStatus.ORDERED, TWENTY_EIGHT)
    return case, refund


async def settled(world: Served, side: Side, case: Case, *, done: bool) -> None:
    (there,) = [
        one for one in world.house.states[side.name].all("refund") if one["reference"] == case.reference
    ]
    words = {
        PaymentModule.SIPS: {True: "credited", False: "refused"},
        PaymentModule.WORLDLINE: {True: "refunded", False: "rejected"},
    }
    await world.order(side.name, f"refunds/{there['id']}/settle", outcome=words[side.name][done])


async def test_a_refund_is_done_once_the_bank_has_done_it(world: Served, side: Side) -> None:
    case, refund = await stopped(world, side)
    assert (await given_back(world, refund)).status is RefundStatus.ORDERED
    with pytest.raises(Unavailable):
        await given_back(world, refund)
    await settled(world, side, case, done=True)
    for _ in range(2):
        assert (await given_back(world, refund)).status is RefundStatus.DONE
    assert (await events_of(world, case)).count(EventType.REFUNDED) == 1
    assert await balances(world, case) == {}


async def test_a_refund_that_the_bank_refuses_waits_for_a_person(world: Served, side: Side) -> None:
    case, refund = await stopped(world, side)
    await given_back(world, refund)
    await settled(world, side, case, done=False)
    assert (await given_back(world, refund)).status is RefundStatus.FAILED
    assert [one.kind for one in await tasks_of(world, case)] == ["REFUND_DUE"]


@pytest.mark.parametrize("mode", ["error", "lose_answer"])
async def test_a_refund_whose_answer_was_lost_is_paid_back_once(world: Served, side: Side, mode: str) -> None:
    case, refund = await stopped(world, side)
    there = {PaymentModule.SIPS: "/rs-services/v2/cashManagement", PaymentModule.WORLDLINE: "/v2"}
    await side.fails(world, mode=mode, count=1, path=there[side.name], seconds=0)
    with pytest.raises(Unavailable):
        await given_back(world, refund)
    await given_back(world, refund)
    done = [one for one in world.house.states[side.name].all("refund") if one["reference"] == case.reference]
    assert [one["amount"] for one in done] == [2800]


async def test_a_module_that_stays_away_leaves_the_refund_to_a_person(world: Served, side: Side) -> None:
    case, refund = await stopped(world, side)
    async with world.loket.work(the_system("worker")) as work:
        effect = await work.session.get_one(Effect, (await refund_effect(world, refund)).id)
        effect.last_error = "no answer"
        await refunds.given_up(work, await cases.get(work, case.id), effect)
    assert (await again(world, refund)).status is RefundStatus.FAILED
    assert [one.kind for one in await tasks_of(world, case)] == ["REFUND_DUE"]


async def test_a_module_that_will_not_say_what_became_of_a_refund_is_not_taken_for_a_no(
    world: Served, side: Side
) -> None:
    case, refund = await stopped(world, side)
    await given_back(world, refund)
    await side.fails(world, mode="refuse", count=1)
    with pytest.raises(Declined):
        await given_back(world, refund)
    async with world.loket.work(the_system("worker")) as work:
        effect = await work.session.get_one(Effect, (await refund_effect(world, refund)).id)
        await refunds.given_up(work, await cases.get(work, case.id), effect)
    assert (await again(world, refund)).status is RefundStatus.ORDERED
    assert await tasks_of(world, case) == []
    await settled(world, side, case, done=True)
    assert (await given_back(world, refund)).status is RefundStatus.DONE


async def test_a_module_that_will_not_say_what_became_of_a_payment_is_not_taken_for_its_end(
    world: Served, side: Side
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    await side.fails(world, mode="refuse", count=1)
    with pytest.raises(Declined):
        await polled(world, payment)
    await polled(world, payment)
    assert (await again(world, payment)).status is PaymentStatus.CAPTURED


async def test_two_parts_of_a_payment_go_back_each_once(world: Served, side: Side) -> None:
    module = world.loket.systems.payments[side.name]
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    await polled(world, payment)
    paid = await again(world, payment)
    name = paid.provider_payment_id or ""
    ten, eighteen = Decimal(10), Decimal(18)
    first = await module.refund(key=UUID(int=1), payment_id=name, amount=ten, left=TWENTY_EIGHT)
    second = await module.refund(key=UUID(int=2), payment_id=name, amount=eighteen, left=eighteen)
    assert first.id != second.id
    with pytest.raises(Declined):
        await module.refund(key=UUID(int=3), payment_id=name, amount=Decimal("0.01"), left=Decimal(0))
    assert {(await module.refund_state(one.id)).status for one in (first, second)} == {There.PENDING}
    assert (await module.checkout(payment.checkout_id or "")).status is CheckoutStatus.CAPTURED
    with pytest.raises(Declined):
        await module.refund(key=UUID(int=4), payment_id="niet-van-ons", amount=ten, left=ten)


# ── taken back ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_chargeback_leaves_the_invoice_open_for_the_financial_director(
    world: Served, side: Side
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.tell(world, side.paid(case.reference, payment.checkout_id or ""))
    for _ in range(2):
        await side.tell(world, side.charged_back(payment.checkout_id, case.reference))
    invoice = await invoice_of(world, case)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.HANDED_OVER, Decimal(0))
    (taken,) = await chargebacks_of(world, case)
    assert (taken.amount, taken.counted, taken.module) == (TWENTY_EIGHT, TWENTY_EIGHT, side.name)
    (task,) = await tasks_of(world, case)
    assert (task.kind, task.data["amount"]) == ("CHARGED_BACK", "28.00")
    assert "paid_back_twice" not in task.data
    assert (await events_of(world, case)).count(EventType.CHARGED_BACK) == 1
    assert await balances(world, case) == {
        LedgerAccount.RECEIVABLE: TWENTY_EIGHT,
        LedgerAccount.REVENUE: -TWENTY_EIGHT,
    }


@pytest.mark.parametrize("order", list(permutations(("paid", "taken", "won"))), ids=" ".join)
async def test_a_dispute_that_was_won_ends_the_same_in_whatever_order_it_is_heard(
    world: Served, side: Side, order: Sequence[str]
) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    told = {
        "paid": side.paid(case.reference, payment.checkout_id or ""),
        "taken": side.charged_back(payment.checkout_id, case.reference),
        "won": side.charged_back(payment.checkout_id, case.reference, won=True),
    }
    for name in (*order, *order):
        await side.tell(world, told[name])
    await is_paid_once(world, case)
    (taken,) = await chargebacks_of(world, case)
    assert taken.reversed_on is not None
    assert [one.status for one in await tasks_of(world, case)] == ["DONE"]


async def test_part_of_a_payment_is_taken_back_and_paid_again(world: Served, side: Side) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.tell(world, side.paid(case.reference, payment.checkout_id or ""))
    await side.tell(world, side.charged_back(payment.checkout_id, case.reference, cents=1000))
    invoice = await invoice_of(world, case)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.HANDED_OVER, Decimal("18.00"))
    again_ = await side.begin(world, case)
    assert again_.amount == Decimal("10.00")
    await side.tell(world, side.paid(case.reference, again_.checkout_id or "", cents=1000))
    assert (await invoice_of(world, case)).status is InvoiceStatus.PAID
    # the dispute is won after all: now ten euro too many came in
    await side.tell(world, side.charged_back(payment.checkout_id, case.reference, cents=1000, won=True))
    invoice = await invoice_of(world, case)
    assert (invoice.status, invoice.paid) == (InvoiceStatus.PAID, TWENTY_EIGHT)
    assert [one.amount for one in await refunds_of(world, case)] == [Decimal("10.00")]
    assert (await balances(world, case))[LedgerAccount.MODULE] == Decimal("38.00")


async def test_what_went_back_and_was_taken_back_too_was_paid_back_twice(world: Served, side: Side) -> None:
    case, refund = await stopped(world, side)
    payment = (await payments_of(world, case))[0]
    await side.tell(world, side.charged_back(payment.checkout_id, case.reference))
    (taken,) = await chargebacks_of(world, case)
    assert (taken.amount, taken.counted) == (TWENTY_EIGHT, Decimal(0))
    (task,) = [one for one in await tasks_of(world, case) if one.kind == "CHARGED_BACK"]
    assert task.data["paid_back_twice"] == "28.00"
    assert (await invoice_of(world, case)).status is InvoiceStatus.CREDITED
    assert (await again(world, refund)).status is RefundStatus.ORDERED


async def test_what_the_modules_themselves_tell_of_a_dispute_is_understood(world: Served, side: Side) -> None:
    case = await to_pay(world)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    await polled(world, payment)
    kind = {PaymentModule.SIPS: "transactions", PaymentModule.WORLDLINE: "payments"}[side.name]
    known = (await again(world, payment)).provider_payment_id
    for told in ({}, {"reversed": True}):
        await world.order(side.name, f"{kind}/{known}/chargeback", **told)
        await side.tell(world, side.notices(world, payment)[-1])
        (taken,) = await chargebacks_of(world, case)
        assert (taken.reversed_on is not None) is bool(told)
    await is_paid_once(world, case)


async def test_a_chargeback_of_money_that_is_not_ours_waits_for_a_person(world: Served, side: Side) -> None:
    case = await to_pay(world)
    await side.begin(world, case)
    await side.tell(world, side.charged_back("8888888888", case.reference))
    assert [one.kind for one in await tasks_of(world, case)] == ["PAYMENT_UNMATCHED"]
    assert await chargebacks_of(world, case) == []


# ── the way to the page of Sips ───────────────────────────────────────────────────────────────────────


async def test_a_form_of_ours_leads_to_the_page_also_without_scripts(world: Served) -> None:
    case = await to_pay(world)
    payment = await Side(PaymentModule.SIPS).begin(world, case)
    assert payment.checkout_url is not None
    page = await world.client.get(payment.checkout_url)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert nonce
    assert f'<script nonce="{nonce}">' in page.text
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert page.headers["cache-control"] == "no-store"
    assert "<button>" in page.text
    assert f'action="{world.house.config.urls["sips"]}/payment"' in page.text
    kept: Any = payment.checkout_form
    assert kept["fields"]["redirectionData"] in page.text


async def test_a_guessed_way_to_a_page_leads_to_the_website(world: Served) -> None:
    case = await to_pay(world)
    payment = await Side(PaymentModule.SIPS).begin(world, case)
    at_worldline = await Side(PaymentModule.WORLDLINE).begin(world, await to_pay(world))
    for page in (
        f"{payment.checkout_id}.", f"{payment.checkout_id}.geraden", f"x.{payment.return_mac}",
        f"{at_worldline.checkout_id}.{at_worldline.return_mac}", "x", "%00.x",
    ):  # fmt: skip
        answer = await world.client.get(f"/hooks/payments/go/{page}")
        assert (answer.status_code, answer.headers["location"]) == (303, "https://www.lindebeke.example")


async def test_a_forged_return_is_not_heard(world: Served) -> None:
    case = await to_pay(world)
    side = Side(PaymentModule.SIPS)
    payment = await side.begin(world, case)
    body = side.paid(case.reference, payment.checkout_id or "").replace(b"Seal=", b"Seal=0")
    for path in ("/hooks/payments/sips", "/hooks/payments/sips/return"):
        assert (await world.client.post(path, content=body)).status_code == 401
    assert (await again(world, payment)).status is PaymentStatus.STARTED


async def test_what_sips_writes_in_base64_is_read_too(world: Served) -> None:
    case = await to_pay(world)
    side = Side(PaymentModule.SIPS)
    await side.settings(world, encode="base64", refundSeconds=None)
    payment = await side.begin(world, case)
    await side.acts(world, payment)
    assert (await side.returns(world, payment)).status_code == 303
    await side.settings(world, refundSeconds=None)
    await is_paid_once(world, case)
    assert await heard(world, "sips", "niets") is None


# ── by the doors that citizens and staff use ──────────────────────────────────────────────────────────


async def asked(world: Served, token: str, query: str, **variables: object) -> Any:  # noqa: ANN401  # JSON
    answer = await world.client.post(
        "/graphql",
        json={"query": query, "variables": variables},
        headers={"Authorization": f"Bearer {token}"},
    )
    document = answer.json()
    assert "errors" not in document, document["errors"]
    return document["data"]


START = """mutation ($id: ID!, $key: String!) {
    paymentStart(invoiceId: $id, idempotencyKey: $key) { checkoutUrl payment { id } errors { code } } }"""
SEEN = """query ($reference: String!) { case(reference: $reference) { invoice { status payments {
    chargebacks { amount { amount } takenOn reversedOn } } } tasks { kind } } }"""


async def test_a_citizen_pays_at_sips_and_finance_sees_what_the_bank_took_back(world: Served) -> None:
    side = Side(PaymentModule.SIPS)
    world.loket.settings = replace(world.loket.settings, payment_module=side.name)
    token = await world.token_of("burger-4321")
    citizen = await actor_of(world.loket, {"authorization": f"Bearer {token}"})
    assert citizen is not None
    case = await to_pay(world, citizen.actor)
    invoice = encode_id("Invoice", (await invoice_of(world, case)).id)
    first = (await asked(world, token, START, id=invoice, key="een"))["paymentStart"]
    same = (await asked(world, token, START, id=invoice, key="twee"))["paymentStart"]
    assert first["errors"] == []
    assert same["checkoutUrl"] == first["checkoutUrl"]
    async with httpx2.AsyncClient(trust_env=False) as payer:
        await browser.pay(payer, first["checkoutUrl"], "https://www.lindebeke.example")
    await is_paid_once(world, case)
    (payment,) = await payments_of(world, case)
    await side.tell(world, side.charged_back(payment.checkout_id, case.reference))
    finance = await world.token_of("filip")
    seen = (await asked(world, finance, SEEN, reference=case.reference))["case"]
    assert seen["invoice"]["status"] == "HANDED_OVER"
    assert seen["invoice"]["payments"][0]["chargebacks"] == [
        {"amount": {"amount": "28.00"}, "takenOn": "2026-11-20", "reversedOn": None}
    ]
    assert [one["kind"] for one in seen["tasks"]] == ["CHARGED_BACK"]


@pytest.mark.parametrize(
    ("sips", "said"),
    [
        (Sips(), "LOKET_SIPS_URL"),
        (Sips("https://a.example", "https://b.example", "M1", "1", "M1_KEY1"), "public simulator"),
    ],
)
async def test_a_production_that_could_not_be_paid_at_does_not_start(
    world: Served, sips: Sips, said: str
) -> None:
    wrong = replace(world.loket.settings, production=True, payment_module=PaymentModule.SIPS, sips=sips)
    with pytest.raises(SettingsError, match=said):
        Loket(wrong)
