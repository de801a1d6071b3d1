"""What other systems tell us: of SMS, bookkeeping, planning, minutes. Of payments: `payment_hooks`."""

import base64
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loket import (
    agenda,
    cases,
    handovers,
    messages,
    payment_hooks,
    payments,
    payout_facts,
    payouts,
    refunds,
    transfers,
    vouchers,
)
from loket.app import Loket
from loket.channels.sms import SmsStatus
from loket.errors import BadNotice
from loket.hearing import Outcome, body_of, door, hear
from loket.numbers import find_references
from loket.records import (
    EffectKind,
    Invoice,
    JournalEntry,
    LedgerAccount,
    PaymentMethod,
    Refund,
)
from loket.systems import accounting, payout_orders, planning
from loket.systems.minutes import DecisionRecorded
from loket.work import Work

_SMS_ENDS: dict[SmsStatus, bool | None] = {
    SmsStatus.DELIVERED: True,
    SmsStatus.FAILED: False,
    SmsStatus.UNDERWAY: None,
}


def routes(loket: Loket) -> list[Route]:
    return [
        *payment_hooks.routes(loket),
        Route("/hooks/sms/twilio", door(loket, _twilio), methods=["POST"]),
        Route("/hooks/accounting", door(loket, _accounting), methods=["POST"]),
        Route("/hooks/planning", door(loket, _planning), methods=["POST"]),
        Route("/hooks/minutes/decision", door(loket, _minutes), methods=["POST"]),
    ]


# --- SMS --------------------------------------------------------------------------------------


async def _twilio(loket: Loket, request: Request) -> Response:
    """Twilio signs the address that it was given, so the configured one counts, not the one that came in."""
    body = await body_of(request)
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

    return await hear(loket, "Twilio", f"{receipt.sid} {receipt.raw_status}", act)


# --- accounting -------------------------------------------------------------------------------


async def _accounting(loket: Loket, request: Request) -> Response:
    notice = loket.systems.accounting.read_notice(request.headers, await body_of(request))

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

    return await hear(loket, "Accounting", notice.id, act)


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
    await vouchers.refused(work, case, entry.id, rejected.reason)
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
    await payouts.refund_is_done(work, case, refund)
    return {"refund": str(refund.id), "amount": _plain(executed.amount)}


# --- planning ---------------------------------------------------------------------------------


async def _planning(loket: Loket, request: Request) -> Response:
    notice = loket.systems.planning.read_notice(request.headers, await body_of(request))

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

    return await hear(loket, "Planning", notice.id, act)


# --- minutes ----------------------------------------------------------------------------------


async def _minutes(loket: Loket, request: Request) -> Response:
    """A decision that a connector tells; its document is fetched after we answered."""
    notice = loket.systems.minutes.read_notice(request.headers, await body_of(request))

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

    return await hear(loket, "Minutes", notice.id, act)


_DECISION = TypeAdapter(DecisionRecorded)


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
