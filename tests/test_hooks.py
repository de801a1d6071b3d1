"""What others tell us: signed or refused, heard once, in any order, and never in vain."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import select, text
from sqlmodel import SQLModel, col

from loket import applications, cases, deliveries, effects, endings, identity, payments, places
from loket.consultation import consult
from loket.lifecycle import (
    DeliveryStatus,
    EventType,
    InvoiceStatus,
    MessageStatus,
    PaymentStatus,
    RefundStatus,
    Role,
    Status,
)
from loket.records import (
    ActorKind,
    Case,
    Delivery,
    Effect,
    EffectKind,
    Event,
    Inbox,
    Invoice,
    Message,
    MessageChannel,
    Payment,
    Person,
    Refund,
    Slot,
    Task,
)
from loket.systems.payments import Checkout
from loket.work import Actor, the_system
from served import BOOKS, SMS, VANS, WORLDLINE, Served, served

WEBSITE = "https://www.lindebeke.example"
Row = TypeVar("Row", bound=SQLModel)
_numbers = iter(range(1000, 2000))


@pytest.fixture(scope="module")
async def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(module_database_url, tmp_path_factory.mktemp("loket")) as found:
        yield found


# ── a case, by the verbs ──────────────────────────────────────────────────────────────────────────────


async def somebody(world: Served) -> Actor:
    token = await world.token_of(f"burger-{next(_numbers)}")
    found = await identity.actor_of(world.loket, {"authorization": f"Bearer {token}"})
    assert found is not None
    return found.actor


async def to_pay(world: Served, actor: Actor | None = None) -> Case:
    """A case that waits for its payment of € 28: one bin, the first of its household."""
    actor = actor or await somebody(world)
    assert actor.id is not None
    async with world.loket.work(actor) as work:
        draft = await applications.start(work, "compost-bin")
    heard = await consult(world.loket, actor, actor.id, "compost-bin")
    async with world.loket.work(actor) as work:
        draft = await applications.remember_sources(work, draft.id, heard.answers)
        answers = {"contact": {}, "delivery": {"place": "home"}, "declaration": True}
        await applications.set_answers(work, draft, answers)
        await applications.set_cart(work, draft, [{"product": "bak", "quantity": 1}])
        case = await applications.submit(work, draft)
    assert case.status is Status.AWAITING_PAYMENT
    return case


async def to_choose(world: Served) -> Case:
    """A case that was paid and waits for a slot."""
    case = await to_pay(world)
    invoice = await invoice_of(world, case)
    told = transfer(invoice.reference, "28.00")
    assert (await books(world, "payment.registered", told)).status_code == 204
    return await again(world, case)


async def planned(world: Served) -> tuple[Case, Delivery, Slot]:
    """A case whose delivery is agreed."""
    case = await to_choose(world)
    today = datetime.now(UTC).date()
    offers = await world.loket.systems.planning.slots(today, today + timedelta(days=50), "2999")
    async with world.loket.work(the_system()) as work:
        await places.refresh(work, offers)
    async with world.loket.work(the_system()) as work:
        locked = await work.session.get_one(Case, case.id, with_for_update=True)
        slot = (await places.free_slots(work, locked))[0]
        delivery = await deliveries.book(work, locked, slot.id)
    return await again(world, case), delivery, slot


async def checkout_of(world: Served, case: Case, return_url: str | None = None) -> tuple[Payment, Checkout]:
    """As a citizen begins to pay."""
    invoice = await invoice_of(world, case)
    async with world.loket.work(the_system()) as work:
        order = await payments.start(work, invoice.id, return_url)
    checkout = await world.loket.systems.payments["worldline"].create_checkout(
        key=order.payment_id,
        reference=order.reference,
        amount=order.amount,
        return_url=f"{world.url}/hooks/payments/worldline/return",
        language="nl",
        expires_in=order.expires_in,
        webhook_url=f"{world.url}/hooks/payments/worldline",
    )
    async with world.loket.work(the_system()) as work:
        payment = await payments.checkout_opened(work, order.payment_id, checkout)
    return payment, checkout


async def again(world: Served, row: Row) -> Row:
    async with world.loket.database.transaction() as session:
        return await session.get_one(type(row), row.id)  # type: ignore[attr-defined]  # every record here has one


async def invoice_of(world: Served, case: Case) -> Invoice:
    async with world.loket.database.transaction() as session:
        return (await session.scalars(select(Invoice).where(col(Invoice.case_id) == case.id))).one()


async def payments_of(world: Served, case: Case) -> list[Payment]:
    async with world.loket.database.transaction() as session:
        return list(await session.scalars(select(Payment).where(col(Payment.case_id) == case.id)))


async def events_of(world: Served, case: Case) -> list[EventType]:
    async with world.loket.database.transaction() as session:
        found = select(col(Event.type)).where(col(Event.case_id) == case.id).order_by(col(Event.seq))
        return list(await session.scalars(found))


async def tasks_of(world: Served, case: Case) -> list[Task]:
    async with world.loket.database.transaction() as session:
        return list(await session.scalars(select(Task).where(col(Task.case_id) == case.id)))


async def heard(world: Served, source: str, message_id: str) -> dict[str, Any] | None:
    async with world.loket.database.transaction() as session:
        kept = await session.get(Inbox, (source, message_id))
        return None if kept is None else kept.outcome


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110  # what is awaited happens elsewhere
            await asyncio.sleep(0.03)


async def carry_out(world: Served, case: Case, kind: EffectKind) -> None:
    """As a worker does, for the oldest open effect of this kind."""
    async with world.loket.database.transaction() as session:
        found = await session.scalars(
            select(Effect)
            .where(col(Effect.case_id) == case.id, col(Effect.kind) == kind)
            .order_by(col(Effect.seq))
        )
        effect = found.first()
    assert effect is not None
    done = await effects.carry_out(world.loket, effect)
    async with world.loket.work(the_system("worker")) as work:
        if done.then is not None:
            await done.then(work)


# ── notices, signed as the other side signs them ──────────────────────────────────────────────────────


def notice(kind: str, data: dict[str, Any], id: str | None = None) -> bytes:
    now = datetime.now(UTC).isoformat()
    return json.dumps({"id": id or str(uuid4()), "type": kind, "occurredAt": now, "data": data}).encode()


def signature(secret: str, body: bytes, *, age_seconds: int = 0) -> dict[str, str]:
    at = str(int(time.time()) - age_seconds)
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Loket-Timestamp": at, "Loket-Signature": f"v1={mac}", "Content-Type": "application/json"}


async def books(world: Served, kind: str, data: dict[str, Any], id: str | None = None) -> httpx2.Response:
    body = notice(kind, data, id)
    return await world.client.post(
        "/hooks/accounting", content=body, headers=signature(BOOKS["hook_secret"], body)
    )


async def vans(world: Served, kind: str, data: dict[str, Any], id: str | None = None) -> httpx2.Response:
    body = notice(kind, data, id)
    return await world.client.post(
        "/hooks/planning", content=body, headers=signature(VANS["hook_secret"], body)
    )


def transfer(reference: str | None, amount: str, **told: str) -> dict[str, Any]:
    return {
        "paymentId": f"CODA-{uuid4().hex[:12]}",
        "reference": reference,
        "amount": amount,
        "currency": "EUR",
        "valueDate": "2026-03-02",
        "payerName": "PEETERS AN",
        "payerIban": "BE71096123456769",
        **told,
    }


def worldline_signature(
    body: bytes, *, key: str = "hook", secret: str = WORLDLINE["webhook_secret"]
) -> dict[str, str]:
    mac = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return {"X-GCS-KeyId": key, "X-GCS-Signature": mac, "Content-Type": "application/json"}


def paid(
    reference: str, checkout_id: str | None, *, id: str | None = None, status: str = "CAPTURED"
) -> bytes:
    code = {"CAPTURED": 9, "CREATED": 0, "REJECTED": 2}[status]
    payment: dict[str, Any] = {
        "id": f"{uuid4().int % 10**10}_0",
        "status": status,
        "statusOutput": {"statusCode": code},
        "paymentOutput": {
            "amountOfMoney": {"amount": 2800, "currencyCode": "EUR"},
            "references": {"merchantReference": reference},
        },
    }
    if checkout_id is not None:
        payment["hostedCheckoutSpecificOutput"] = {"hostedCheckoutId": checkout_id}
    event = {
        "apiVersion": "v1",
        "id": id or str(uuid4()),
        "created": datetime.now(UTC).isoformat(),
        "merchantId": WORLDLINE["merchant_id"],
        "type": f"payment.{status.lower()}",
        "payment": payment,
    }
    return json.dumps(event).encode()


async def worldline(world: Served, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await world.client.post(
        "/hooks/payments/worldline", content=body, headers=headers or worldline_signature(body)
    )


# ── paying online ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_payment_heard_twice_moves_the_case_once(world: Served) -> None:
    case = await to_pay(world)
    payment, checkout = await checkout_of(world, case)
    await world.order("worldline", f"checkouts/{checkout.id}/pay")

    async def moved() -> bool:
        return (await again(world, case)).status is Status.AWAITING_SLOT

    await until(moved)
    assert (await invoice_of(world, case)).status is InvoiceStatus.PAID
    before = await events_of(world, case)
    told = (await world.client.get(f"{world.house.config.urls['worldline']}/sim/callbacks")).json()
    mine = [one for one in told if checkout.id in one["body"]]
    for one in mine:
        attempts = len(one["attempts"])
        await world.order("worldline", f"callbacks/{one['id']}/again")

        async def repeated(key: str = one["id"], attempts: int = attempts) -> bool:
            kept = world.house.states["worldline"].get("callback", key)
            return kept is not None and len(kept["attempts"]) > attempts and kept["state"] == "HEARD"

        await until(repeated)
    assert await events_of(world, case) == before
    assert [one.status for one in await payments_of(world, case)] == [PaymentStatus.CAPTURED]
    assert (await again(world, payment)).amount == Decimal("28.00")


async def test_notices_in_the_wrong_order_end_the_same(world: Served) -> None:
    case = await to_pay(world)
    _, checkout = await checkout_of(world, case)
    for status in ("CAPTURED", "CREATED", "REJECTED"):
        assert (await worldline(world, paid(case.reference, checkout.id, status=status))).status_code == 204
    assert (await again(world, case)).status is Status.AWAITING_SLOT
    assert [one.status for one in await payments_of(world, case)] == [PaymentStatus.CAPTURED]


async def test_ten_equal_notices_at_once_are_one_payment(world: Served) -> None:
    case = await to_pay(world)
    _, checkout = await checkout_of(world, case)
    body = paid(case.reference, checkout.id)
    answers = await asyncio.gather(*(worldline(world, body) for _ in range(10)))
    assert {one.status_code for one in answers} == {204}
    assert (await events_of(world, case)).count(EventType.PAID) == 1


async def test_a_refused_card_is_not_the_end_of_its_page(world: Served) -> None:
    """The citizen may try another one there: what became of the page is asked at the module."""
    case = await to_pay(world)
    payment, checkout = await checkout_of(world, case)
    await worldline(world, paid(case.reference, checkout.id, status="REJECTED"))
    assert (await again(world, payment)).status is PaymentStatus.STARTED
    await carry_out(world, case, EffectKind.PAYMENT_POLL)
    assert (await again(world, payment)).status is PaymentStatus.STARTED
    assert (await worldline(world, paid(case.reference, checkout.id))).status_code == 204
    assert (await again(world, payment)).status is PaymentStatus.CAPTURED


async def test_a_payment_is_found_by_the_case_when_its_checkout_was_not_written_down(world: Served) -> None:
    case = await to_pay(world)
    invoice = await invoice_of(world, case)
    async with world.loket.work(the_system()) as work:
        await payments.start(work, invoice.id)
    assert (await worldline(world, paid(case.reference, "4999999999"))).status_code == 204
    assert [one.checkout_id for one in await payments_of(world, case)] == ["4999999999"]
    assert (await again(world, case)).status is Status.AWAITING_SLOT


async def test_money_that_no_attempt_of_ours_explains_is_kept_for_a_person(world: Served) -> None:
    case = await to_pay(world)
    await checkout_of(world, case)
    body = paid(case.reference, "4888888888", id="onverklaard")
    assert (await worldline(world, body)).status_code == 204
    outcome = await heard(world, "worldline", "onverklaard")
    assert outcome is not None
    assert (outcome["unmatched"], outcome["amount"]) == (True, "28.00")
    assert [one.kind for one in await tasks_of(world, case)] == ["PAYMENT_UNMATCHED"]
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT


async def test_a_notice_of_a_merchant_unknown_to_us_changes_nothing_and_is_answered(world: Served) -> None:
    body = paid("CB-2026-000000-0", "4777777777", id="vreemd")
    assert (await worldline(world, body)).status_code == 204
    assert (await heard(world, "worldline", "vreemd") or {})["unmatched"] is True


async def test_a_refund_is_done_when_the_module_says_so(world: Served) -> None:
    case = await to_pay(world)
    _, checkout = await checkout_of(world, case)
    bank = world.house.config.urls["worldline"]
    await world.client.put(f"{bank}/sim/settings", json={"refundSeconds": None})
    await world.order("worldline", f"checkouts/{checkout.id}/pay")

    async def moved() -> bool:
        return (await again(world, case)).status is Status.AWAITING_SLOT

    await until(moved)
    hilde = Actor(ActorKind.STAFF, "Hilde", frozenset({Role.HANDLER}))
    async with world.loket.work(hilde) as work:
        await endings.cancel(work, await cases.get(work, case.id), "De gemeente levert niet meer.")
    await carry_out(world, case, EffectKind.PAYMENT_REFUND)
    async with world.loket.database.transaction() as session:
        refund = (await session.scalars(select(Refund).where(col(Refund.case_id) == case.id))).one()
    assert refund.status is RefundStatus.ORDERED
    await world.order("worldline", f"refunds/{refund.provider_refund_id}/settle", outcome="refunded")

    async def given_back() -> bool:
        return (await again(world, refund)).status is RefundStatus.DONE

    await until(given_back)
    assert EventType.REFUNDED in await events_of(world, case)


# ── back from the bank ────────────────────────────────────────────────────────────────────────────────


def back(checkout: Checkout, mac: str | None = None) -> str:
    asked = urlencode({"RETURNMAC": mac or checkout.return_mac, "hostedCheckoutId": checkout.id})
    return f"/hooks/payments/worldline/return?{asked}"


async def quietly_paid(world: Served, case: Case, return_url: str | None = None) -> Checkout:
    """Paid at the bank, and no notice comes."""
    _, checkout = await checkout_of(world, case, return_url)
    bank = world.house.config.urls["worldline"]
    await world.client.put(f"{bank}/sim/callbacks/rule", json={"mode": "lose"})
    await world.order("worldline", f"checkouts/{checkout.id}/pay")
    await world.client.put(f"{bank}/sim/callbacks/rule", json={"mode": "send"})
    return checkout


async def test_who_returns_from_the_bank_finds_the_case_paid_also_without_a_notice(world: Served) -> None:
    case = await to_pay(world)
    checkout = await quietly_paid(world, case)
    answer = await world.client.get(back(checkout))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{WEBSITE}/dossiers/{case.reference}")
    assert (await again(world, case)).status is Status.AWAITING_SLOT
    assert (await world.client.get(back(checkout))).status_code == 303
    assert (await events_of(world, case)).count(EventType.PAID) == 1


async def test_the_citizen_returns_to_the_page_that_began_the_payment(world: Served) -> None:
    case = await to_pay(world)
    checkout = await quietly_paid(world, case, f"{WEBSITE}/bedankt?x=1")
    assert (await world.client.get(back(checkout))).headers["location"] == f"{WEBSITE}/bedankt?x=1"


async def test_a_guessed_return_address_tells_nothing_and_asks_nobody(world: Served) -> None:
    case = await to_pay(world)
    checkout = await quietly_paid(world, case)
    for address in (back(checkout, "geraden"), f"{back(checkout)}0", "/hooks/payments/worldline/return"):
        answer = await world.client.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, WEBSITE)
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT


async def test_the_citizen_goes_on_while_the_module_is_away(world: Served) -> None:
    case = await to_pay(world)
    checkout = await quietly_paid(world, case)
    bank = world.house.config.urls["worldline"]
    await world.client.post(f"{bank}/sim/faults", json={"mode": "error", "count": 1})
    answer = await world.client.get(back(checkout))
    assert answer.headers["location"] == f"{WEBSITE}/dossiers/{case.reference}"
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT


# ── transfers and the books ───────────────────────────────────────────────────────────────────────────


async def test_a_transfer_pays_the_invoice_whose_reference_it_carries(world: Served) -> None:
    case = await to_pay(world)
    invoice = await invoice_of(world, case)
    await world.order("accounting", "transfer", reference=invoice.reference, amount="28.00")

    async def moved() -> bool:
        return (await again(world, case)).status is Status.AWAITING_SLOT

    await until(moved)
    assert [one.method for one in await payments_of(world, case)] == ["TRANSFER"]


async def test_a_transfer_told_twice_under_different_names_is_one_payment(world: Served) -> None:
    case = await to_pay(world)
    told = transfer((await invoice_of(world, case)).reference, "10.00")
    for id in ("eerst", "eerst", "later"):
        assert (await books(world, "payment.registered", told, id)).status_code == 204
    assert [one.amount for one in await payments_of(world, case)] == [Decimal("10.00")]
    assert (await invoice_of(world, case)).status is InvoiceStatus.PARTLY_PAID


async def test_a_reference_in_free_text_is_found(world: Served) -> None:
    case = await to_pay(world)
    digits = (await invoice_of(world, case)).reference
    written = f"compostbak {digits[:3]}/{digits[3:7]}/{digits[7:]} dank u"
    await books(world, "payment.registered", transfer(None, "28.00", remittance=written))
    assert (await again(world, case)).status is Status.AWAITING_SLOT


async def test_a_transfer_without_invoice_is_kept_and_its_account_number_is_sealed(world: Served) -> None:
    told = transfer(None, "28.00", remittance="voor de bak")
    assert (await books(world, "payment.registered", told, "zonder")).status_code == 204
    outcome = await heard(world, "accounting", "zonder")
    assert outcome is not None
    assert (outcome["unmatched"], outcome["amount"], outcome["remittance"]) == (True, "28.00", "voor de bak")
    assert told["payerIban"] not in json.dumps(outcome)
    sealed = base64.b64decode(outcome["payer_iban_sealed"])
    assert world.loket.vault.open(sealed) == told["payerIban"]


async def test_what_is_paid_too_much_is_to_be_given_back(world: Served) -> None:
    case = await to_pay(world)
    told = transfer((await invoice_of(world, case)).reference, "30.00")
    await books(world, "payment.registered", told)
    async with world.loket.database.transaction() as session:
        refund = (await session.scalars(select(Refund).where(col(Refund.case_id) == case.id))).one()
    assert refund.amount == Decimal("2.00")
    executed = {"entryId": str(refund.id), "amount": "2.00", "currency": "EUR", "executedOn": "2026-03-05"}
    assert (await books(world, "refund.executed", executed)).status_code == 204
    assert (await again(world, refund)).status is RefundStatus.DONE
    assert [one.status for one in await tasks_of(world, case) if one.kind == "REFUND_DUE"] == ["DONE"]


async def test_an_entry_that_the_books_reject_becomes_a_task(world: Served) -> None:
    case = await to_pay(world)
    invoice = await invoice_of(world, case)
    for reason in ("Ramingsnummer is afgesloten", "Nog eens"):
        told = {"entryId": str(invoice.id), "reason": reason}
        assert (await books(world, "entry.rejected", told)).status_code == 204
    (task,) = await tasks_of(world, case)
    assert task.kind == "ENTRY_REJECTED"
    assert [one["reason"] for one in task.data["entries"]] == ["Nog eens"]
    unknown = {"entryId": str(uuid4()), "reason": "?"}
    assert (await books(world, "entry.rejected", unknown)).status_code == 204


# ── planning ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_moved_slot_moves_its_delivery_and_an_older_word_does_not(world: Served) -> None:
    _, delivery, slot = await planned(world)
    later = slot.starts_at + timedelta(hours=4)
    told = {
        "slotId": slot.external_id,
        "startsAt": later.isoformat(),
        "endsAt": (later + timedelta(hours=2)).isoformat(),
        "version": slot.version + 2,
    }
    assert (await vans(world, "slot.moved", told)).status_code == 204
    assert (await again(world, delivery)).starts_at == later
    older = told | {"startsAt": slot.starts_at.isoformat(), "version": slot.version + 1}
    assert (await vans(world, "slot.moved", older)).status_code == 204
    assert (await again(world, delivery)).starts_at == later


async def test_a_cancelled_slot_or_day_lets_the_citizen_choose_again(world: Served) -> None:
    for kind in ("slot.cancelled", "day.cancelled"):
        case, delivery, slot = await planned(world)
        assert case.status is Status.AWAITING_DELIVERY
        told: dict[str, Any] = {"slotId": slot.external_id, "reason": "IJzel"}
        if kind == "day.cancelled":
            on = slot.starts_at.date().isoformat()
            told = {"date": on, "reason": "IJzel", "slotIds": [slot.external_id]}
        assert (await vans(world, kind, told, f"{kind} {slot.id}")).status_code == 204
        assert (await vans(world, kind, told, f"{kind} {slot.id}")).status_code == 204
        assert (await again(world, case)).status is Status.AWAITING_SLOT
        assert (await again(world, delivery)).status is DeliveryStatus.TO_PLAN
        assert (await events_of(world, case)).count(EventType.SLOT_LOST) == 1


async def test_a_confirmed_delivery_completes_the_case_and_a_late_miss_does_not_undo_it(
    world: Served,
) -> None:
    case, delivery, _ = await planned(world)
    done = {"bookingId": str(delivery.id), "deliveredAt": "2026-03-06T09:38:00Z", "deliveredBy": "Wim"}
    assert (await vans(world, "delivery.confirmed", done)).status_code == 204
    assert (await again(world, case)).status is Status.COMPLETED
    missed = {"bookingId": str(delivery.id), "reason": "Niemand thuis"}
    assert (await vans(world, "delivery.missed", missed)).status_code == 204
    assert (await again(world, case)).status is Status.COMPLETED
    assert (await again(world, delivery)).delivered_by == "Wim"


async def test_a_missed_delivery_is_planned_again(world: Served) -> None:
    case, delivery, _ = await planned(world)
    missed = {"bookingId": str(delivery.id), "reason": "Niemand thuis"}
    assert (await vans(world, "delivery.missed", missed)).status_code == 204
    assert (await again(world, case)).status is Status.AWAITING_SLOT


async def test_word_of_a_delivery_that_we_do_not_know_is_noted_and_not_asked_for_again(
    world: Served,
) -> None:
    told = {"bookingId": str(uuid4()), "deliveredAt": "2026-03-06T09:38:00Z", "deliveredBy": "Wim"}
    for _ in range(2):
        assert (await vans(world, "delivery.confirmed", told, "onbekend")).status_code == 204
    assert (await heard(world, "planning", "onbekend") or {})["refused"] == "NOT_FOUND"


# ── SMS ───────────────────────────────────────────────────────────────────────────────────────────────


async def sms_of(world: Served, phone: str) -> Message:
    """An SMS about a case, handed to Twilio."""
    actor = await somebody(world)
    async with world.loket.database.transaction() as session:
        person = await session.get_one(Person, actor.id)
        person.phone, person.by_sms = phone, True
    case = await to_pay(world, actor)
    async with world.loket.database.transaction() as session:
        found = await session.scalars(
            select(Message).where(col(Message.case_id) == case.id, col(Message.channel) == MessageChannel.SMS)
        )
        message = found.first()
    assert message is not None
    carrier = world.house.config.urls["sms"]
    await world.client.put(f"{carrier}/sim/settings", json={"stepSeconds": 0.05})
    await world.loket.systems.sms.send(id=message.id, to=phone, body=message.body)
    return message


async def test_a_receipt_says_what_became_of_an_sms(world: Served) -> None:
    message = await sms_of(world, "+32470123456")

    async def delivered() -> bool:
        return (await again(world, message)).status is MessageStatus.DELIVERED

    await until(delivered)
    assert (await again(world, message)).delivered_at is not None


async def test_a_receipt_is_believed_only_with_twilios_signature_on_our_public_address(
    world: Served,
) -> None:
    message = await sms_of(world, "+32470123457")
    path = f"/hooks/sms/twilio?message={message.id}"
    form = {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "30005"}
    assert (await world.client.post(path, data=form)).status_code == 401
    elsewhere = _twilio_signature(f"https://evil.example{path}", form)
    assert (await world.client.post(path, data=form, headers=elsewhere)).status_code == 401
    ours = _twilio_signature(f"{world.url}{path}", form)
    assert (await world.client.post(path, data=form | {"ErrorCode": "1"}, headers=ours)).status_code == 401
    assert (await world.client.post(path, data=form, headers=ours)).status_code == 204


def _twilio_signature(url: str, form: dict[str, str]) -> dict[str, str]:
    signed = url + "".join(f"{name}{value}" for name, value in sorted(form.items()))
    mac = hmac.new(SMS["auth_token"].encode(), signed.encode(), hashlib.sha1).digest()
    return {"X-Twilio-Signature": base64.b64encode(mac).decode()}


# ── what is not believed, not understood, or not now ──────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/hooks/accounting", "/hooks/planning"])
async def test_a_notice_without_a_true_and_fresh_signature_is_refused(world: Served, path: str) -> None:
    secret = (BOOKS if path == "/hooks/accounting" else VANS)["hook_secret"]
    body = notice("unknown.kind", {}, f"vals {path}")
    for headers in (
        {},
        signature("another secret", body),
        signature(secret, body + b" "),
        signature(secret, body, age_seconds=400),
        signature(secret, body, age_seconds=-400),
    ):
        assert (await world.client.post(path, content=body, headers=headers)).status_code == 401
    assert await heard(world, path.rpartition("/")[2], f"vals {path}") is None
    good = await world.client.post(path, content=body, headers=signature(secret, body))
    assert good.status_code == 204
    assert await heard(world, path.rpartition("/")[2], f"vals {path}") == {"ignored": "unknown.kind"}


async def test_a_payment_notice_without_a_true_signature_is_refused(world: Served) -> None:
    case = await to_pay(world)
    _, checkout = await checkout_of(world, case)
    body = paid(case.reference, checkout.id)
    for headers in (
        {"Content-Type": "application/json"},
        worldline_signature(body, secret="x"),
        worldline_signature(body, key="x"),
        worldline_signature(body.replace(b"2800", b"0001")),
    ):
        assert (await worldline(world, body, headers)).status_code == 401
    assert (await again(world, case)).status is Status.AWAITING_PAYMENT


async def test_signed_nonsense_is_a_bad_request(world: Served) -> None:
    for body in (b"", b"{", b"[]", b"null", notice("payment.registered", {"amount": "-1"})):
        answer = await world.client.post(
            "/hooks/accounting", content=body, headers=signature(BOOKS["hook_secret"], body)
        )
        assert answer.status_code == 400
        assert (await worldline(world, body)).status_code == 400


async def test_a_body_that_is_too_long_is_not_read_to_its_end(world: Served) -> None:
    body = b" " * 65 * 1024
    answer = await world.client.post(
        "/hooks/planning", content=body, headers=signature(VANS["hook_secret"], body)
    )
    assert answer.status_code == 413


async def test_trouble_of_our_own_makes_the_sender_come_again_and_then_nothing_is_lost(
    world: Served,
) -> None:
    case = await to_pay(world)
    told = transfer((await invoice_of(world, case)).reference, "28.00")
    async with world.loket.database.transaction() as session:
        await session.execute(text("ALTER TABLE invoice RENAME TO elsewhere"))
    try:
        first = await books(world, "payment.registered", told, "kapot")
    finally:
        async with world.loket.database.transaction() as session:
            await session.execute(text("ALTER TABLE elsewhere RENAME TO invoice"))
    assert first.status_code == 500
    assert "elsewhere" not in first.text
    assert "SELECT" not in first.text
    assert first.json()["trace"] == first.headers["x-request-id"]
    assert (await books(world, "payment.registered", told, "kapot")).status_code == 204
    assert (await again(world, case)).status is Status.AWAITING_SLOT


async def test_only_what_is_told_is_a_door(world: Served) -> None:
    for path in ("/hooks/accounting", "/hooks/planning", "/hooks/payments/worldline", "/hooks/sms/twilio"):
        assert (await world.client.get(path)).status_code == 405
    assert (await world.client.post("/hooks/minutes")).status_code == 404
