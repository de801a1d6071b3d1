"""Asking the payment module of every payment of a period, page by page, and then comparing the rest."""

import time
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import reconciliation
from loket.app import Loket
from loket.errors import Declined
from loket.lifecycle import PaymentStatus
from loket.outcome import Done
from loket.reconciliation import Finding
from loket.records import DifferenceKind, Effect, EffectKind, Payment, PaymentMethod, Reconciliation
from loket.systems.payments import CheckoutState, CheckoutStatus
from loket.terms import end_of
from loket.work import Work

PAGE = 100
"""Payments that are looked up in one go."""
SECONDS = 8.0
"""How long they are asked for in one go: with one answer more it is well within a worker's lease."""


async def page(loket: Loket, effect: Effect) -> Done:
    """Compare one page of payments with the payment module; after the last page all the rest.

    Raises:
        Unavailable: the module does not answer; the same page is asked again later.
    """
    run_id = UUID(effect.payload["reconciliation_id"])
    after = effect.payload.get("after")
    async with loket.database.transaction() as session:
        run = await session.get_one(Reconciliation, run_id)
        wanted = (
            select(Payment)
            .where(
                col(Payment.method) == PaymentMethod.ONLINE,
                col(Payment.checkout_id).is_not(None),
                col(Payment.started_at).between(
                    end_of(run.starts_on - timedelta(days=1)), end_of(run.ends_on)
                ),
            )
            .order_by(col(Payment.id))
            .limit(PAGE)
        )
        if after:
            wanted = wanted.where(col(Payment.id) > UUID(after))
        payments = list(await session.scalars(wanted))
    findings: list[Finding] = []
    asked_of: list[Payment] = []
    ends_at = time.monotonic() + SECONDS
    for payment in payments:
        if asked_of and time.monotonic() > ends_at:
            break
        findings += await _compared(loket, payment)
        asked_of.append(payment)

    async def write(work: Work) -> None:
        mine = await work.session.get_one(Reconciliation, run_id, with_for_update={"key_share": True})
        await reconciliation.note(work, mine, findings)
        asked = mine.compared.get("asked_at_the_module", 0) + len(asked_of)
        mine.compared = {**mine.compared, "asked_at_the_module": asked}
        if len(payments) == PAGE or len(asked_of) < len(payments):
            payload = {"reconciliation_id": str(run_id), "after": str(asked_of[-1].id)}
            await work.leave(EffectKind.RECONCILE, payload)
        else:
            await reconciliation.finish(work, mine)

    return Done({"compared": len(asked_of), "differences": len(findings)}, write)


async def _compared(loket: Loket, payment: Payment) -> list[Finding]:
    try:
        state = await loket.systems.payments[payment.module].checkout(payment.checkout_id or "")
    except Declined as refusal:
        state = CheckoutState(CheckoutStatus.EXPIRED, None, None, refusal.reason)
    ours = payment.amount if payment.status is PaymentStatus.CAPTURED else None
    theirs = state.amount if state.status is CheckoutStatus.CAPTURED else None
    if ours == theirs:
        return []
    return [
        Finding(
            DifferenceKind.PROVIDER,
            payment.id,
            payment.case_id,
            expected=ours,
            found=theirs,
            detail={"payment_id": str(payment.id), "status": payment.status, "told": state.raw_status},
        )
    ]
