"""What other systems tell us: of payments, SMS, bookkeeping, planning; and citizens who return from the bank.

Every notice is checked against its signature first, over the raw body, and is heard once: what it changes
and that it was heard are one transaction. A notice that we can not act on is kept with its outcome and
answered as heard; trouble of our own is answered so that the sender comes again.
"""

import asyncio
import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.exc import DataError
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from loket import (
    agenda,
    cases,
    entries,
    handovers,
    inbox,
    messages,
    payments,
    payout_facts,
    refunds,
    transfers,
)
from loket.app import Loket
from loket.channels.sms import SmsStatus
from loket.errors import BadNotice, BadSignature, Failed, Refused
from loket.identity import safe_return
from loket.lifecycle import PaymentStatus
from loket.numbers import find_references
from loket.records import (
    Case,
    EffectKind,
    Inbox,
    Invoice,
    JournalEntry,
    LedgerAccount,
    Payment,
    PaymentMethod,
    Refund,
)
from loket.systems import accounting, payout_orders, planning
from loket.systems.minutes import DecisionRecorded
from loket.systems.payments import CheckoutState, CheckoutStatus, PaymentNotice, RefundState
from loket.work import Work, the_system

logger = logging.getLogger(__name__)

LONGEST_BODY = 64 * 1024
ASK_SECONDS = 5.0
"""How long a citizen who comes back from the bank waits for the payment module's word."""

Outcome = dict[str, Any]
_SMS_ENDS: dict[SmsStatus, bool | None] = {
    SmsStatus.DELIVERED: True,
    SmsStatus.FAILED: False,
    SmsStatus.UNDERWAY: None,
}


def routes(loket: Loket) -> list[Route]:
    def door(answer: Callable[[Loket, Request], Coroutine[Any, Any, Response]]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(loket, request)
            except _TooLong:
                return PlainTextResponse(f"at most {LONGEST_BODY} bytes", 413)
            except BadSignature as fault:
                return PlainTextResponse(str(fault), 401)
            except BadNotice:
                logger.warning("a signed notice could not be read: %s", request.url.path, exc_info=True)
                return PlainTextResponse("not a notice that we can read", 400)

        return endpoint

    return [
        Route("/hooks/payments/worldline", door(_worldline), methods=["POST"]),
        Route("/hooks/payments/worldline/return", door(_back_from_the_bank), methods=["GET"]),
        Route("/hooks/sms/twilio", door(_twilio), methods=["POST"]),
        Route("/hooks/accounting", door(_accounting), methods=["POST"]),
        Route("/hooks/planning", door(_planning), methods=["POST"]),
        Route("/hooks/minutes/decision", door(_minutes), methods=["POST"]),
    ]


async def _hear(
    loket: Loket, name: str, message_id: str, act: Callable[[Work], Awaitable[Outcome]]
) -> Response:
    """Do what a notice says, once; the same answer however often it is said."""
    source = name.lower()
    try:
        async with loket.work(the_system(name)) as work:
            if await inbox.first_time(work, source, message_id):
                outcome = await act(work)
                kept = await work.session.get_one(Inbox, (source, message_id))
                kept.outcome = outcome
    except DataError as fault:
        # said again it would fail again: a NUL, a day outside the calendar
        raise BadNotice(f"{name} says what cannot be kept") from fault
    except Refused as refusal:
        # nothing of it was kept: said again it would be refused again, so it counts as heard
        logger.warning("notice %s of %s was refused: %s", message_id, name, refusal.code)
        async with loket.work(the_system(name)) as work:
            await inbox.first_time(work, source, message_id, {"refused": refusal.code, "why": str(refusal)})
    return Response(status_code=204)


# --- payments ---------------------------------------------------------------------------------


async def _worldline(loket: Loket, request: Request) -> Response:
    notice = loket.systems.payments.read_notice(request.headers, await _body(request))

    async def act(work: Work) -> Outcome:
        if notice.payment is not None:
            return await _payment(work, notice, notice.payment)
        if notice.refund is not None:
            return await _refund(work, notice.refund)
        return {"ignored": notice.type}

    return await _hear(loket, "Worldline", notice.id, act)


async def _payment(work: Work, notice: PaymentNotice, state: CheckoutState) -> Outcome:
    payment = await _payment_of(work, notice, state)
    if payment is None:
        return await _unknown_payment(work, notice, state)
    if payment.checkout_id is None:
        payment.checkout_id = notice.checkout_id
    if state.status in _ENDS_AN_ATTEMPT and payment.checkout_id is not None:
        # a card was refused; on the same page the citizen may try another one: ask what became of the page
        await payments.poll(work, payment.id, 1)
    else:
        await payments.heard(work, payment.id, state)
    return {"payment": str(payment.id), "status": state.raw_status}


_ENDS_AN_ATTEMPT = frozenset({CheckoutStatus.FAILED, CheckoutStatus.CANCELLED})


async def _payment_of(work: Work, notice: PaymentNotice, state: CheckoutState) -> Payment | None:
    """By checkout, by the module's own number, else the one attempt of the case that has neither yet."""
    ours = select(Payment).where(col(Payment.module) == "worldline")
    for column, value in (
        (col(Payment.checkout_id), notice.checkout_id),
        (col(Payment.provider_payment_id), state.payment_id),
    ):
        if value is not None:
            found = (await work.session.scalars(ours.where(column == value))).one_or_none()
            if found is not None:
                return found
    candidates = await work.session.scalars(
        ours.join(Case, col(Case.id) == col(Payment.case_id))
        .where(
            col(Case.reference) == (notice.reference or ""),
            col(Payment.provider_payment_id).is_(None),
            col(Payment.checkout_id).is_(None) | (notice.checkout_id is None),
        )
        .limit(2)
    )
    left = candidates.all()
    return left[0] if len(left) == 1 else None


async def _unknown_payment(work: Work, notice: PaymentNotice, state: CheckoutState) -> Outcome:
    """Money that belongs to no attempt of ours: a person sees to it, on the case where there is one."""
    told = {
        "unmatched": True,
        "payment": state.payment_id,
        "reference": notice.reference,
        "amount": _plain(state.amount),
        "status": state.raw_status,
    }
    found = await work.session.scalars(
        select(col(Case.id)).where(col(Case.reference) == (notice.reference or ""))
    )
    case_id = found.one_or_none()
    if case_id is not None and state.status is CheckoutStatus.CAPTURED:
        await cases.open_task(work, await cases.get(work, case_id), "PAYMENT_UNMATCHED", told)
    return told


async def _refund(work: Work, state: RefundState) -> Outcome:
    """A refund whose number we do not know yet is asked for by the worker that ordered it."""
    found = await work.session.scalars(select(Refund).where(col(Refund.provider_refund_id) == state.id))
    refund = found.one_or_none()
    if refund is None:
        return {"unmatched": True, "refund": state.id, "status": state.raw_status}
    await refunds.heard(work, refund.id, state)
    return {"refund": str(refund.id), "status": state.raw_status}


async def _back_from_the_bank(loket: Loket, request: Request) -> Response:
    """The citizen comes back; the module is asked at once, so that the page that follows tells the truth.

    RETURNMAC only proves that this is our checkout: what became of it, the module itself says.
    """
    settings = loket.settings
    asked = request.query_params
    async with loket.database.transaction() as session:
        found = await session.execute(
            select(Payment, col(Case.reference))
            .join(Case, col(Case.id) == col(Payment.case_id))
            .where(
                col(Payment.checkout_id) == _storable(asked.get("hostedCheckoutId", "")),
                col(Payment.module) == "worldline",
            )
        )
        row = found.one_or_none()
    there = settings.website_url
    if row is not None and _same(row[0].return_mac, asked.get("RETURNMAC", "")):
        payment, reference = row
        if payment.status in (PaymentStatus.STARTED, PaymentStatus.PENDING):
            await _ask_and_hear(loket, payment)
        case_page = f"{settings.website_url}/dossiers/{reference}"
        there = safe_return(settings, payment.return_url or case_page) or case_page
    return RedirectResponse(there, 303, headers={"Cache-Control": "no-store"})


async def _ask_and_hear(loket: Loket, payment: Payment) -> None:
    """Also when this fails the citizen goes on: the notice and the poll tell us the same, a little later."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            state = await loket.systems.payments.checkout(payment.checkout_id or "")
        async with loket.work(the_system("Worldline")) as work:
            await payments.heard(work, payment.id, state)
    except (TimeoutError, Failed, Refused) as fault:
        logger.warning("payment %s could not be looked at on return: %s", payment.id, fault)


# --- SMS --------------------------------------------------------------------------------------


async def _twilio(loket: Loket, request: Request) -> Response:
    """Twilio signs the address that it was given, so the configured one counts, not the one that came in."""
    body = await _body(request)
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError as fault:
        raise BadNotice("not a form") from fault
    url = f"{loket.settings.public_url}{request.url.path}"
    if request.url.query:
        url = f"{url}?{request.url.query}"
    receipt = loket.systems.sms.read_receipt(url, request.headers, form)

    async def act(work: Work) -> Outcome:
        delivered = _SMS_ENDS[receipt.status]
        await messages.receipt(work, receipt.id, delivered=delivered, reason=receipt.reason)
        return {"message": str(receipt.id), "status": receipt.raw_status, "error": receipt.error_code}

    return await _hear(loket, "Twilio", f"{receipt.sid} {receipt.raw_status}", act)


# --- accounting -------------------------------------------------------------------------------


async def _accounting(loket: Loket, request: Request) -> Response:
    notice = loket.systems.accounting.read_notice(request.headers, await _body(request))

    async def act(work: Work) -> Outcome:
        match notice.said:
            case accounting.PaymentRegistered() as transfer:
                return await _transfer(work, transfer)
            case accounting.EntryRejected() as rejected:
                return await _rejected(work, rejected)
            case accounting.RefundExecuted() as executed:
                return await _executed(work, executed)
            case (
                payout_orders.PayoutExecuted()
                | payout_orders.PayoutRejected()
                | payout_orders.PayoutReturned()
                | payout_orders.PayoutReport()
            ) as told:
                return await _paid_out(work, told)
            case None:
                return {"ignored": notice.type}

    return await _hear(loket, "Accounting", notice.id, act)


async def _transfer(work: Work, transfer: accounting.PaymentRegistered) -> Outcome:
    """Money on the municipality's account, for the invoice whose structured reference it carries."""
    references = [transfer.reference] if transfer.reference else find_references(transfer.remittance or "")
    found = await work.session.scalars(select(Invoice).where(col(Invoice.reference).in_(set(references))))
    candidates = found.all()
    if len(candidates) != 1:
        iban = transfer.payer_iban
        return {
            "unmatched": True,
            "payment": transfer.payment_id,
            "amount": _plain(transfer.amount),
            "value_on": transfer.value_date.isoformat(),
            "payer_name": transfer.payer_name,
            "payer_iban_sealed": base64.b64encode(work.vault.seal(iban)).decode() if iban else None,
            "reference": transfer.reference,
            "remittance": transfer.remittance,
        }
    payment = await payments.register(
        work,
        candidates[0],
        payments.Received(
            source=payments.ACCOUNTING,
            name=transfer.payment_id,
            amount=transfer.amount,
            method=PaymentMethod.TRANSFER,
            value_on=transfer.value_date,
            payer_name=transfer.payer_name or "",
            payer_iban=transfer.payer_iban or "",
        ),
    )
    return {"payment": str(payment.id), "invoice": candidates[0].number}


async def _paid_out(work: Work, told: transfers.PayoutTold) -> Outcome:
    """What the bank did with payouts of ours; others in the same report are left out."""
    heard: list[str] = []
    unknown: list[str] = []
    for payout_id, fact in transfers.facts_told(told):
        payout = await payout_facts.heard(work, payout_id, fact)
        (heard if payout else unknown).append(str(payout_id))
    return {"payouts": heard, "unmatched": unknown}


async def _rejected(work: Work, rejected: accounting.EntryRejected) -> Outcome:
    """The books will not have an entry: the financial service must look."""
    entry = await work.session.get(JournalEntry, rejected.entry_id)
    if entry is None:
        return {"unmatched": True, "entry": str(rejected.entry_id)}
    case = await cases.get(work, entry.case_id)
    await entries.refused(work, case, entry.id, rejected.reason)
    return {"case": case.reference, "entry": str(rejected.entry_id)}


async def _executed(work: Work, executed: accounting.RefundExecuted) -> Outcome:
    """The financial service paid a citizen back."""
    refund = await work.session.get(Refund, executed.entry_id)
    if refund is None:
        return {"unmatched": True, "entry": str(executed.entry_id), "amount": _plain(executed.amount)}
    case = await cases.get(work, refund.case_id)
    await work.session.refresh(refund, with_for_update={"key_share": True})
    # the money is there, whether we ordered it or a person did
    await refunds.done(work, case, refund, out_of=LedgerAccount.BANK, known=True)
    return {"refund": str(refund.id), "amount": _plain(executed.amount)}


# --- planning ---------------------------------------------------------------------------------


async def _planning(loket: Loket, request: Request) -> Response:
    notice = loket.systems.planning.read_notice(request.headers, await _body(request))

    async def act(work: Work) -> Outcome:
        match notice.said:
            case planning.SlotMoved() as slot:
                await handovers.moved(work, slot.slot_id, slot.starts_at, slot.ends_at, slot.version)
            case planning.SlotCancelled() as slot:
                await handovers.cancelled(work, [slot.slot_id], slot.reason)
            case planning.DayCancelled() as day:
                await handovers.cancelled(work, day.slot_ids, day.reason)
            case planning.DeliveryConfirmed() as done:
                at = min(done.delivered_at, datetime.now(UTC))  # their clock may be ahead of ours
                await handovers.delivered(work, done.booking_id, at, done.delivered_by)
            case planning.DeliveryMissed() as missed:
                await handovers.missed(work, missed.booking_id, missed.reason)
            case None:
                return {"ignored": notice.type}
        return {"heard": notice.type}

    return await _hear(loket, "Planning", notice.id, act)


# --- minutes ----------------------------------------------------------------------------------


async def _minutes(loket: Loket, request: Request) -> Response:
    """A decision that a connector tells; its document is fetched after we answered."""
    notice = loket.systems.minutes.read_notice(request.headers, await _body(request))

    async def act(work: Work) -> Outcome:
        told = notice.said
        if told is None:
            return {"ignored": notice.type}
        item = await agenda.find(work, told.external_identifier, told.item_uid)
        if item is None or item.body != told.body:
            return {"unmatched": True, "item": told.external_identifier, "result": told.result}
        payload = {"item_id": str(item.id), "told": _DECISION.dump_python(told, mode="json")}
        await work.leave(EffectKind.MINUTES_READ, payload, case=await agenda.a_case_of(work, item))
        return {"item": item.external_identifier, "result": told.result}

    return await _hear(loket, "Minutes", notice.id, act)


_DECISION = TypeAdapter(DecisionRecorded)

# --- small things -----------------------------------------------------------------------------


class _TooLong(Exception):
    pass


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise _TooLong
    return bytes(body)


def _storable(text: str) -> str:
    """`text` without what PostgreSQL has no place for; nothing of ours holds it."""
    return text.replace("\x00", "")


def _same(kept: str | None, given: str) -> bool:
    return hmac.compare_digest((kept or "").encode(), given.encode()) and bool(kept)


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
