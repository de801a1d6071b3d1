"""What the payment modules tell us, and the citizen's way to the payment page and back."""

import asyncio
import hmac
import html
import logging
import secrets
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from loket import cases, chargebacks, payments, refunds
from loket.app import Loket
from loket.errors import Failed, Refused
from loket.hearing import Outcome, body_of, door, hear
from loket.identity import safe_return
from loket.lifecycle import PaymentStatus
from loket.records import Case, Payment, Refund
from loket.settings import PaymentModule
from loket.systems.payments import (
    ChargebackState,
    CheckoutState,
    CheckoutStatus,
    PaymentNotice,
    RefundState,
)
from loket.work import Work, the_system

logger = logging.getLogger(__name__)

ASK_SECONDS = 5.0
"""How long a citizen who comes back from the bank waits for the payment module's word."""


def routes(loket: Loket) -> list[Route]:
    return [
        Route("/hooks/payments/worldline", door(loket, _worldline), methods=["POST"]),
        Route("/hooks/payments/worldline/return", door(loket, _back_from_worldline), methods=["GET"]),
        Route("/hooks/payments/sips", door(loket, _sips), methods=["POST"]),
        Route("/hooks/payments/sips/return", door(loket, _back_from_sips), methods=["POST"]),
        Route("/hooks/payments/go/{page}", door(loket, _to_the_page), methods=["GET"]),
    ]


async def _worldline(loket: Loket, request: Request) -> Response:
    notice = loket.systems.payments[PaymentModule.WORLDLINE].read_notice(
        request.headers, await body_of(request)
    )
    return await _told(loket, PaymentModule.WORLDLINE, notice)


async def _sips(loket: Loket, request: Request) -> Response:
    notice = loket.systems.payments[PaymentModule.SIPS].read_notice(request.headers, await body_of(request))
    return await _told(loket, PaymentModule.SIPS, notice)


async def _told(loket: Loket, module: PaymentModule, notice: PaymentNotice) -> Response:
    async def act(work: Work) -> Outcome:
        if notice.payment is not None:
            return await _payment(work, module, notice, notice.payment)
        if notice.refund is not None:
            return await _refund(work, module, notice.refund)
        if notice.chargeback is not None:
            return await _chargeback(work, module, notice, notice.chargeback)
        return {"ignored": notice.type}

    return await hear(loket, module.capitalize(), notice.id, act)


# --- what is told -----------------------------------------------------------------------------


async def _payment(work: Work, module: PaymentModule, notice: PaymentNotice, state: CheckoutState) -> Outcome:
    payment = await _payment_of(work, module, notice, state.payment_id)
    if payment is None:
        return await _unmatched(
            work, notice, state.payment_id, state.amount, state.raw_status,
            is_money=state.status is CheckoutStatus.CAPTURED,
        )  # fmt: skip
    if payment.checkout_id is None:
        payment.checkout_id = notice.checkout_id
    if state.status in _ENDS_AN_ATTEMPT and payment.checkout_id is not None:
        # a card was refused; on the same page the citizen may try another one: ask what became of the page
        await payments.poll(work, payment.id, 1)
    else:
        await payments.heard(work, payment.id, state)
    return {"payment": str(payment.id), "status": state.raw_status}


_ENDS_AN_ATTEMPT = frozenset({CheckoutStatus.FAILED, CheckoutStatus.CANCELLED})


async def _payment_of(
    work: Work, module: PaymentModule, notice: PaymentNotice, payment_id: str | None
) -> Payment | None:
    """By checkout, by the module's own number, else the one attempt of the case that has neither yet."""
    ours = select(Payment).where(col(Payment.module) == module)
    for column, value in (
        (col(Payment.checkout_id), notice.checkout_id),
        (col(Payment.provider_payment_id), payment_id),
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


async def _unmatched(
    work: Work,
    notice: PaymentNotice,
    payment_id: str | None,
    amount: Decimal | None,
    status: str,
    *,
    is_money: bool,
) -> Outcome:
    """Money that belongs to no attempt of ours: a person sees to it, on the case where there is one."""
    told = {
        "unmatched": True,
        "payment": payment_id,
        "reference": notice.reference,
        "amount": None if amount is None else str(amount),
        "status": status,
    }
    found = await work.session.scalars(
        select(col(Case.id)).where(col(Case.reference) == (notice.reference or ""))
    )
    case_id = found.one_or_none()
    if case_id is not None and is_money:
        await cases.open_task(work, await cases.get(work, case_id), "PAYMENT_UNMATCHED", told)
    return told


async def _refund(work: Work, module: PaymentModule, state: RefundState) -> Outcome:
    """A refund whose number we do not know yet is asked for by the worker that ordered it."""
    found = await work.session.scalars(
        select(Refund)
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(col(Refund.provider_refund_id) == state.id, col(Payment.module) == module)
    )
    refund = found.one_or_none()
    if refund is None:
        return {"unmatched": True, "refund": state.id, "status": state.raw_status}
    await refunds.heard(work, refund.id, state)
    return {"refund": str(refund.id), "status": state.raw_status}


async def _chargeback(
    work: Work, module: PaymentModule, notice: PaymentNotice, state: ChargebackState
) -> Outcome:
    payment = await _payment_of(work, module, notice, state.payment_id)
    if payment is None:
        return await _unmatched(
            work, notice, state.payment_id, state.amount, f"charged back: {state.reason}", is_money=True
        )
    taken = await chargebacks.heard(work, payment.id, state)
    return {"payment": str(payment.id), "chargeback": str(taken.id), "reversed": state.reversed}


# --- there and back ---------------------------------------------------------------------------


async def _to_the_page(loket: Loket, request: Request) -> Response:
    """A page of our own that posts the payer to the payment page; where scripts are off, by a button.

    Its address holds a secret, so that nobody comes to the page who was not sent there.
    """
    checkout_id, _, token = request.path_params["page"].partition(".")
    async with loket.database.transaction() as session:
        found = await session.scalars(
            select(Payment).where(col(Payment.checkout_id) == _storable(checkout_id))
        )
        payment = found.one_or_none()
    settings = loket.settings
    if payment is None or payment.checkout_form is None or not _same(payment.return_mac, token):
        return RedirectResponse(settings.website_url, 303, headers={"Cache-Control": "no-store"})
    nonce = secrets.token_urlsafe(16)
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in payment.checkout_form["fields"].items()
    )
    return HTMLResponse(
        _PAGE.format(
            nonce=nonce,
            action=html.escape(payment.checkout_form["action"]),
            fields=fields,
            municipality=html.escape(settings.municipality.name),
        ),
        headers={
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            # no form-action: browsers hold the module's own redirections to it, and those are its affair
            "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; "
            f"script-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'",
        },
    )


_PAGE = """<!doctype html>
<html lang="nl"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Naar de betaalpagina · {municipality}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.5rem}}
button{{font:inherit;padding:.5rem 1.25rem}}</style></head>
<body><main><p>{municipality}</p><h1>U gaat naar de betaalpagina</h1>
<p>Opent ze niet vanzelf? Gebruik dan de knop.
<span lang="en">You are going to the payment page; if it does not open, use the button.</span></p>
<form method="post" action="{action}">{fields}<button>Verder naar de betaalpagina</button></form></main>
<script nonce="{nonce}">document.forms[0].submit()</script></body></html>
"""


async def _back_from_worldline(loket: Loket, request: Request) -> Response:
    """The citizen comes back; the module is asked at once, so that the page that follows tells the truth.

    RETURNMAC only proves that this is our checkout: what became of it, the module itself says.
    """
    asked = request.query_params
    found = await _with_reference(loket, PaymentModule.WORLDLINE, asked.get("hostedCheckoutId", ""))
    if found is None or not _same(found[0].return_mac, asked.get("RETURNMAC", "")):
        return _goes_on(loket, None)
    if found[0].status in (PaymentStatus.STARTED, PaymentStatus.PENDING):
        await _ask_and_hear(loket, found[0])
    return _goes_on(loket, found)


async def _back_from_sips(loket: Loket, request: Request) -> Response:
    """The citizen brings along what became of the payment, sealed; the module sends the same by itself."""
    module = loket.systems.payments[PaymentModule.SIPS]
    notice = module.read_notice(request.headers, await body_of(request))
    try:
        await _told(loket, PaymentModule.SIPS, notice)
    except Refused as refusal:
        logger.warning("payment %s was not heard on return: %s", notice.checkout_id, refusal)
    return _goes_on(loket, await _with_reference(loket, PaymentModule.SIPS, notice.checkout_id or ""))


async def _with_reference(
    loket: Loket, module: PaymentModule, checkout_id: str
) -> tuple[Payment, str] | None:
    """The payment that was begun on a page, and its case's reference."""
    async with loket.database.transaction() as session:
        found = await session.execute(
            select(Payment, col(Case.reference))
            .join(Case, col(Case.id) == col(Payment.case_id))
            .where(col(Payment.checkout_id) == _storable(checkout_id), col(Payment.module) == module)
        )
        row = found.one_or_none()
    return None if row is None else (row[0], row[1])


def _goes_on(loket: Loket, found: tuple[Payment, str] | None) -> Response:
    """To the page from which the payment was begun, else to the case's, else to the website."""
    settings = loket.settings
    there = settings.website_url
    if found is not None:
        payment, reference = found
        case_page = f"{settings.website_url}/dossiers/{reference}"
        there = safe_return(settings, payment.return_url or case_page) or case_page
    return RedirectResponse(there, 303, headers={"Cache-Control": "no-store"})


async def _ask_and_hear(loket: Loket, payment: Payment) -> None:
    """Also when this fails the citizen goes on: the notice and the poll tell us the same, a little later."""

    async def heard() -> None:
        async with loket.work(the_system(payment.module.capitalize())) as work:
            await payments.heard(work, payment.id, state)

    try:
        async with asyncio.timeout(ASK_SECONDS):
            state = await loket.systems.payments[payment.module].checkout(payment.checkout_id or "")
        await loket.procedures.informed(heard)
    except (TimeoutError, Failed, Refused) as fault:
        logger.warning("payment %s could not be looked at on return: %s", payment.id, fault)


def _storable(text: str) -> str:
    """`text` without what PostgreSQL has no place for; nothing of ours holds it."""
    return text.replace("\x00", "")


def _same(kept: str | None, given: str) -> bool:
    return hmac.compare_digest((kept or "").encode(), given.encode()) and bool(kept)
