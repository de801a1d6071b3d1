"""The money and planning adapters against the sandbox: another implementation of the same documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import httpx2
import pytest
from uuid_utils.compat import uuid7

from loket import settings
from loket.errors import Declined, Unavailable
from loket.sandbox import accounting as accounting_simulator
from loket.sandbox import planning as planning_simulator
from loket.sandbox import worldline as worldline_simulator
from loket.sandbox.house import House, sandbox
from loket.systems import accounting, planning
from loket.systems.accounting import (
    Account,
    Accounting,
    Counterparty,
    Entry,
    EntryStatus,
    EntryType,
    Line,
    PaymentMethod,
    Posting,
)
from loket.systems.contract import Address
from loket.systems.payments import Checkout, CheckoutStatus, RefundStatus
from loket.systems.planning import Contact, Item, Planning, SlotFull, SlotGone
from loket.systems.worldline import Worldline
from raw_server import Answer, Asked, RawServer, raw_server

HOME = Address(street="Kerkstraat", house_number="12", postal_code="2999", municipality="Lindebeke")


@dataclass
class World:
    """The three simulators, our adapters on them, and a door where their notices come in."""

    house: House
    door: RawServer
    payments: Worldline
    books: Accounting
    vans: Planning
    desk: httpx2.AsyncClient

    async def order(self, system: str, path: str, **document: object) -> httpx2.Response:
        answer = await self.desk.post(f"{self.house.config.urls[system]}/sim/{path}", json=document)
        assert answer.is_success, answer.text
        return answer

    async def told(self, path: str, count: int = 1) -> list[Asked]:
        async with asyncio.timeout(10):
            while len(found := [one for one in self.door.asked if one.target == path]) < count:
                self.door.another.clear()
                await self.door.another.wait()
        return found


@asynccontextmanager
async def the_world() -> AsyncIterator[World]:
    async with raw_server(Answer(204)) as door:
        document = {
            "port": 0,
            "loket_url": door.url,
            "worldline": {
                "merchant_id": "Lindebeke",
                "api_key_id": "key",
                "api_secret": "secret",
                "webhook_key_id": "hook",
                "webhook_secret": "hook secret",
                "webhook_url": f"{door.url}/payments",
            },
            "accounting": {"token": "books", "hook_url": f"{door.url}/books", "hook_secret": "books secret"},
            "planning": {"token": "vans", "hook_url": f"{door.url}/vans", "hook_secret": "vans secret"},
        }
        systems = (worldline_simulator.SYSTEM, accounting_simulator.SYSTEM, planning_simulator.SYSTEM)
        async with sandbox(document, systems) as house, httpx2.AsyncClient(trust_env=False) as desk:
            urls = house.config.urls
            payments = Worldline(
                settings.Worldline(
                    url=urls["worldline"],
                    merchant_id="Lindebeke",
                    api_key_id="key",
                    api_secret="secret",
                    webhook_key_id="hook",
                    webhook_secret="hook secret",
                ),
                timeout_seconds=1,
            )
            books = Accounting(
                settings.Accounting(url=urls["accounting"], token="books", hook_secret="books secret"),
                timeout_seconds=1,
            )
            vans = Planning(
                settings.Planning(url=urls["planning"], token="vans", hook_secret="vans secret"),
                timeout_seconds=1,
            )
            yield World(house, door, payments, books, vans, desk)
            for adapter in (payments, books, vans):
                await adapter.aclose()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with the_world() as found:
        yield found


# ── Worldline ─────────────────────────────────────────────────────────────────────────────────────────


async def opened(world: World, key: UUID, amount: str = "60.00") -> Checkout:
    return await world.payments.create_checkout(
        key=key,
        reference="LB-2026-0004711-K",
        amount=Decimal(amount),
        return_url="https://www.lindebeke.example/terug",
        language="nl",
        expires_in=timedelta(hours=1),
        webhook_url=f"{world.door.url}/payments",
    )


async def test_a_citizen_pays_and_gets_the_money_back_in_two_parts(world: World) -> None:
    checkout = await opened(world, uuid7())
    assert (await world.payments.checkout(checkout.id)).status is CheckoutStatus.OPEN
    assert (await world.desk.get(checkout.url)).is_success
    await world.order("worldline", f"checkouts/{checkout.id}/pay")
    state = await world.payments.checkout(checkout.id)
    assert (state.status, state.amount) == (CheckoutStatus.CAPTURED, Decimal("60.00"))
    assert state.payment_id is not None
    heard = [world.payments.read_notice(one.headers, one.body) for one in await world.told("/payments", 2)]
    paid = {notice.type: notice for notice in heard}["payment.captured"]
    assert paid.payment == state
    assert (paid.reference, paid.checkout_id) == ("LB-2026-0004711-K", checkout.id)
    first = await world.payments.refund(
        key=uuid7(), payment_id=state.payment_id, amount=Decimal("12.34"), left=Decimal(60)
    )
    second = await world.payments.refund(
        key=uuid7(), payment_id=state.payment_id, amount=Decimal("47.66"), left=Decimal(60)
    )
    with pytest.raises(Declined, match="exceeds"):
        await world.payments.refund(
            key=uuid7(), payment_id=state.payment_id, amount=Decimal("0.01"), left=Decimal(60)
        )
    await world.order("worldline", f"refunds/{first.id}/settle", outcome="refunded")
    await world.order("worldline", f"refunds/{second.id}/settle", outcome="rejected")
    assert (await world.payments.refund_state(first.id)).status is RefundStatus.DONE
    assert (await world.payments.refund_state(second.id)).status is RefundStatus.FAILED
    heard = [world.payments.read_notice(one.headers, one.body) for one in await world.told("/payments", 6)]
    told = [(notice.refund.id, notice.refund.status) for notice in heard if notice.refund]
    assert sorted(told) == sorted(
        [
            (first.id, RefundStatus.PENDING),
            (second.id, RefundStatus.PENDING),
            (first.id, RefundStatus.DONE),
            (second.id, RefundStatus.FAILED),
        ]
    )
    assert all(notice.payment is None for notice in heard if notice.refund)


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("refuse", CheckoutStatus.FAILED),
        ("cancel", CheckoutStatus.CANCELLED),
        ("expire", CheckoutStatus.CANCELLED),
        ("pending", CheckoutStatus.PENDING),
        ("authorise", CheckoutStatus.PENDING),
    ],
)
async def test_every_other_end_of_a_checkout_is_told_apart(
    world: World, action: str, status: CheckoutStatus
) -> None:
    checkout = await opened(world, uuid7())
    await world.order("worldline", f"checkouts/{checkout.id}/{action}")
    assert (await world.payments.checkout(checkout.id)).status is status


async def test_an_answer_that_was_lost_opens_no_second_checkout(world: World) -> None:
    key = uuid7()
    for mode in ("lose_answer", "malformed", "error"):
        await world.order("worldline", "faults", mode=mode, count=1)
        with pytest.raises(Unavailable):
            await opened(world, key)
    checkout = await opened(world, key)
    assert [one.id for one in [checkout]] == [
        one["id"] for one in world.house.states["worldline"].all("checkout")
    ]
    with pytest.raises(Declined) as misused:
        await opened(world, key, amount="61.00")
    assert misused.value.http_status == 409


async def test_a_refund_whose_answer_was_lost_pays_back_once(world: World) -> None:
    checkout = await opened(world, uuid7())
    await world.order("worldline", f"checkouts/{checkout.id}/pay")
    payment_id = (await world.payments.checkout(checkout.id)).payment_id
    assert payment_id is not None
    key = uuid7()
    await world.order("worldline", "faults", mode="lose_answer", count=1)
    with pytest.raises(Unavailable):
        await world.payments.refund(key=key, payment_id=payment_id, amount=Decimal("10.00"), left=Decimal(60))
    made = await world.payments.refund(
        key=key, payment_id=payment_id, amount=Decimal("10.00"), left=Decimal(60)
    )
    assert [one["id"] for one in world.house.states["worldline"].all("refund")] == [made.id]


async def test_a_wrong_key_is_declined_and_an_unknown_checkout_has_expired(world: World) -> None:
    assert (await world.payments.checkout("1")).status is CheckoutStatus.EXPIRED
    section = settings.Worldline(
        url=world.house.config.urls["worldline"], merchant_id="Lindebeke", api_key_id="key"
    )
    stranger = Worldline(section)
    with pytest.raises(Declined):
        await stranger.checkout("1")
    await stranger.aclose()


# ── accounting ────────────────────────────────────────────────────────────────────────────────────────


SALES = {"account": "7010000", "policyItem": "0309-00"}


def invoice(id: UUID, amount: str = "60.00", journal: str = "VK-RETRIB") -> Entry:
    return Entry(
        id=id,
        type=EntryType.INVOICE,
        journal=journal,
        number="2026/000123",
        reference="090933755493",
        booked_on=date(2026, 11, 21),
        due_on=date(2026, 12, 21),
        amount=Decimal(amount),
        counterparty=Counterparty(name="Zoë Müller 🌱", address=HOME),
        lines=(Line(description="Compostvat", quantity=2, amount=Decimal(amount), budget_key=SALES),),
        postings=(
            Posting(Account.RECEIVABLE, "4000000", debit=Decimal(amount)),
            Posting(Account.REVENUE, "7010000", credit=Decimal(amount), budget_key=SALES),
        ),
    )


async def test_an_invoice_and_its_payment_are_booked_once_whatever_happens(world: World) -> None:
    id, key = uuid7(), uuid7()
    assert await world.books.entry(id) is None
    for mode in ("lose_answer", "malformed"):
        await world.order("accounting", "faults", mode=mode, count=1)
        with pytest.raises(Unavailable):
            await world.books.book(invoice(id), key=key)
    booked = await world.books.book(invoice(id), key=key)
    assert booked.status is EntryStatus.BOOKED
    assert await world.books.entry(id) == booked
    payment = Entry(
        id=uuid7(),
        type=EntryType.PAYMENT,
        journal="FIN-WORLDLINE",
        number="3066019730_0",
        reference="090933755493",
        booked_on=date(2026, 11, 22),
        amount=Decimal(60),
        counterparty=Counterparty(name="Zoë Müller 🌱"),
        invoice_number="2026/000123",
        postings=(
            Posting(Account.MODULE, "5800000", debit=Decimal(60)),
            Posting(Account.RECEIVABLE, "4000000", credit=Decimal(60)),
        ),
        payment_method=PaymentMethod.ONLINE,
    )
    assert (await world.books.book(payment, key=uuid7())).voucher
    assert world.house.states["accounting"].count("entry") == 2
    with pytest.raises(Declined) as misused:
        await world.books.book(invoice(id, amount="61.00"), key=key)
    assert misused.value.http_status == 409


async def test_what_cannot_be_booked_comes_back_with_its_reason(world: World) -> None:
    wrong = Entry(**{**vars(invoice(uuid7())), "reference": "090933755494"})
    with pytest.raises(Declined, match="modulo 97"):
        await world.books.book(wrong, key=uuid7())


async def test_a_transfer_at_the_bank_is_heard(world: World) -> None:
    await world.order(
        "accounting", "transfer", reference="+++090/9337/55493+++", amount="60.10", payerName="ZOË"
    )
    await world.order("accounting", "transfer", remittance="voor mijn vat", amount="5.00")
    heard = [world.books.read_notice(one.headers, one.body).said for one in await world.told("/books", 2)]
    transfers = {one.amount: one for one in heard if isinstance(one, accounting.PaymentRegistered)}
    assert transfers[Decimal("60.10")].reference == "090933755493"
    assert transfers[Decimal("60.10")].payer_name == "ZOË"
    assert transfers[Decimal("5.00")].reference is None
    assert transfers[Decimal("5.00")].remittance == "voor mijn vat"


async def test_a_second_thought_of_the_bookkeeper_is_heard(world: World) -> None:
    id = uuid7()
    await world.books.book(invoice(id), key=uuid7())
    await world.order("accounting", f"entries/{id}/reject", reason="Boekjaar gesloten")
    (asked,) = await world.told("/books")
    assert world.books.read_notice(asked.headers, asked.body).said == accounting.EntryRejected(
        entry_id=id, reason="Boekjaar gesloten"
    )
    standing = await world.books.entry(id)
    assert standing is not None
    assert (standing.status, standing.reason) == (EntryStatus.REJECTED, "Boekjaar gesloten")


# ── planning ──────────────────────────────────────────────────────────────────────────────────────────


async def coming(world: World, postal_code: str = "2999") -> list[planning.SlotOffer]:
    today_on = date.today()  # noqa: DTZ011  # a day more or less is no matter here
    return await world.vans.slots(today_on + timedelta(days=1), today_on + timedelta(days=60), postal_code)


async def booked(world: World, slot_id: str, id: UUID, key: UUID | None = None) -> planning.Booked:
    return await world.vans.book(
        key=key or uuid7(),
        id=id,
        slot_id=slot_id,
        reference="LB-2026-0004711-K",
        items=[Item(product="compostvat", quantity=2, description="Compostvat 🌱")],
        address=HOME,
        contact=Contact(name="Zoë", phone="+32470123456"),
    )


async def test_a_place_is_taken_moved_and_given_back(world: World) -> None:
    first, second, *_ = await coming(world)
    assert await coming(world, "3000") == []
    id, key = uuid7(), uuid7()
    await world.order("planning", "faults", mode="lose_answer", count=1)
    with pytest.raises(Unavailable):
        await booked(world, first.id, id, key)
    assert (await booked(world, first.id, id, key)).version == 1
    assert (await coming(world))[0].free == first.free - 1
    assert (await booked(world, second.id, id)).slot_id == second.id
    assert [slot.taken for slot in (await coming(world))[:2]] == [0, 1]
    for _ in range(2):
        await world.vans.cancel(id, key=uuid7())
    await world.vans.cancel(uuid7(), key=uuid7())
    assert [slot.taken for slot in (await coming(world))[:2]] == [0, 0]


async def test_a_full_and_a_closed_slot_are_told_apart(world: World) -> None:
    slot, other, *_ = await coming(world)
    await world.order("planning", f"slots/{slot.id}", capacity=1)
    await booked(world, slot.id, uuid7())
    with pytest.raises(SlotFull):
        await booked(world, slot.id, uuid7())
    await world.order("planning", f"slots/{other.id}", status="CLOSED")
    for gone in (other.id, "never-was"):
        with pytest.raises(SlotGone):
            await booked(world, gone, uuid7())


async def test_all_that_befalls_a_delivery_is_heard(world: World) -> None:
    first, second, third, *_ = await coming(world)
    delivered, missed = uuid7(), uuid7()
    await booked(world, first.id, delivered)
    await booked(world, second.id, missed)
    later = {
        "startsAt": third.ends_at.isoformat(),
        "endsAt": (third.ends_at + timedelta(hours=2)).isoformat(),
    }
    await world.order("planning", f"slots/{third.id}/move", **later)
    await world.order("planning", f"slots/{third.id}/cancel", reason="Bestelwagen defect")
    await world.order("planning", f"bookings/{delivered}/confirm", deliveredBy="Wim")
    await world.order("planning", f"bookings/{missed}/miss", reason="Niemand thuis")
    await world.order("planning", f"days/{first.starts_at.date()}/cancel", reason="IJzel")
    heard = [world.vans.read_notice(one.headers, one.body).said for one in await world.told("/vans", 5)]
    kinds = {type(said): said for said in heard}
    assert kinds[planning.SlotMoved] == planning.SlotMoved(
        third.id, third.ends_at, third.ends_at + timedelta(hours=2), 2
    )
    assert kinds[planning.SlotCancelled] == planning.SlotCancelled(third.id, "Bestelwagen defect")
    assert kinds[planning.DeliveryMissed] == planning.DeliveryMissed(missed, "Niemand thuis")
    day = kinds[planning.DayCancelled]
    assert isinstance(day, planning.DayCancelled)
    assert (day.on, day.reason) == (first.starts_at.date(), "IJzel")
    assert set(day.slot_ids) == {first.id, second.id}
    confirmed = kinds[planning.DeliveryConfirmed]
    assert isinstance(confirmed, planning.DeliveryConfirmed)
    assert (confirmed.booking_id, confirmed.delivered_by) == (delivered, "Wim")
