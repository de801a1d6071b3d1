"""What is paid, and what goes back."""

from datetime import date
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import orjson
import strawberry
from strawberry import ID

from loket import (
    cases,
    credits,
    deposits,
    dunning,
    invoices,
    payments,
    payouts,
    records,
    refunds,
)
from loket.api.context import (
    bookkeeper,
    signed_in,
)
from loket.api.idempotency import request_hash
from loket.api.mutations.shared import CaseId, locked_case
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.cases import Case
from loket.api.objects.money import CreditNote, Invoice, Payment, Payout, Refund
from loket.api.payloads import Payload
from loket.api.roots import kept_whole, mutation
from loket.api.scalars import IBAN
from loket.errors import Declined, ErrorCode, Refused, Unavailable
from loket.ids import decode_id
from loket.records import PaymentMethod
from loket.systems.payments import Checkout
from loket.work import Work

LARGEST_AMOUNT = Decimal(10_000_000)
"""EUR: more than any invoice of a municipality to a citizen."""


@input_type
class PaymentInput:
    """Money that came outside the payment module."""

    amount: Decimal = described("How much, in EUR.")
    method: PaymentMethod = described("By transfer or at the counter.")
    reference: str = described("The bank's or till's own name for it: the same is one payment.")
    value_date: date = described("The day on which it counts.")
    payer_name: str = described("Who paid.", default="")


@input_type
class RefundInput:
    """Where a refund goes when the way that the money came is closed."""

    iban: IBAN = described("The account.")
    payee: str = described("Its holder.")


@output
class PaymentStartPayload(Payload):
    """Where to pay."""

    payment: Payment | None = described("The attempt.", default=None)
    checkout_url: str | None = described("Send the citizen here.", default=None)


@output
class PaymentPayload(Payload):
    """A payment and the invoice that it pays."""

    payment: Payment | None = described("The payment.", default=None)
    invoice: Invoice | None = described("The invoice.", default=None)


@input_type
class InvoiceCreditInput:
    """What is not due any more."""

    reason: str = described("Why; it stands on the credit note.")
    amount: Decimal | None = described(
        "In EUR, VAT included; without it, all that was not credited before.", default=None
    )


@input_type
class InvoiceWriteOffInput:
    """What is given up."""

    reason: str = described("Why.")


@output
class InvoicePayload(Payload):
    """An invoice as it is now."""

    invoice: Invoice | None = described("The invoice.", default=None)


@output
class InvoiceCreditPayload(Payload):
    """An invoice as it is now, and its new credit note."""

    invoice: Invoice | None = described("The invoice.", default=None)
    credit_note: CreditNote | None = described("The credit note.", default=None)


@input_type
class DepositReturnInput:
    """What becomes of a deposit."""

    kept: Decimal = described("How much is kept, in EUR.", default=Decimal(0))
    reason: str = described("Why that is kept, as the applicant will read it.", default="")


@output
class DepositReturnPayload(Payload):
    """A deposit that was released, whole or in part."""

    case: Case | None = described("The case.", default=None)
    credit_note: CreditNote | None = described("What is given back; null where all is kept.", default=None)


@output
class RefundPayload(Payload):
    """A refund as it is now."""

    refund: Refund | None = described("The refund.", default=None)
    payout: Payout | None = described("The payout that carries it, where it goes by transfer.", default=None)


@strawberry.type
class Money:
    """What is paid, and what goes back."""

    @mutation(policy=signed_in, remembers=False)
    async def payment_start(
        self,
        info: strawberry.Info,
        invoice_id: Annotated[ID, described_argument("Which invoice.")],
        idempotency_key: str,
        return_url: Annotated[
            str | None, described_argument("Where the citizen comes back to, on the municipality's website.")
        ] = None,
    ) -> PaymentStartPayload:
        """Begin an online payment. An attempt that can still be paid is given again, never a second one."""
        context = info.context
        asked = request_hash("payment_start", {"invoice_id": invoice_id, "return_url": return_url})

        async def begin(work: Work) -> payments.CheckoutOrder:
            known = await context.memory.recall(
                work, actor=context.actor_key, key=idempotency_key, request_hash=asked
            )
            if known is not None and (opened := await _opened(work, UUID(orjson.loads(known)))) is not None:
                return opened
            order = await payments.start(work, decode_id(invoice_id, "Invoice"), return_url)
            answer = orjson.dumps(str(order.payment_id))
            await context.memory.remember(work, actor=context.actor_key, key=idempotency_key, answer=answer)
            return order

        order = await kept_whole(context, begin)
        url = order.url
        if url is None:
            module = context.loket.systems.payments[order.module]
            hook = f"{context.loket.settings.public_url}/hooks/payments/{order.module}"
            try:
                checkout = await module.create_checkout(
                    key=order.payment_id,
                    reference=order.reference,
                    amount=order.amount,
                    return_url=f"{hook}/return",
                    language=context.viewer.language,
                    expires_in=order.expires_in,
                    webhook_url=hook,
                )
            except Declined as refusal:
                raise Unavailable(refusal.system, refusal.reason) from refusal
            url = await kept_whole(context, lambda work: _page_of(work, order.payment_id, checkout))
        return PaymentStartPayload(payment=Payment.of(order.payment_id), checkout_url=url)

    @mutation(policy=bookkeeper)
    async def payment_register(
        self,
        work: Work,
        invoice_id: Annotated[ID, described_argument("Which invoice.")],
        input: Annotated[PaymentInput, described_argument("What came in.")],
        idempotency_key: str,
    ) -> PaymentPayload:
        """Write down money that came by transfer or at the counter."""
        if not 0 < input.amount < LARGEST_AMOUNT or input.amount != input.amount.quantize(Decimal("0.01")):
            raise Refused(ErrorCode.VALIDATION, path=["input", "amount"], reason="a positive amount in cents")
        if input.method is PaymentMethod.ONLINE or not input.reference.strip():
            raise Refused(
                ErrorCode.VALIDATION, path=["input", "method"], reason="TRANSFER or COUNTER, with a reference"
            )
        invoice = await invoices.get_locked(work, decode_id(invoice_id, "Invoice"))
        payment = await payments.register(
            work,
            invoice,
            payments.Received(
                source=input.method.lower(),
                name=input.reference.strip()[:100],
                amount=input.amount,
                method=input.method,
                value_on=input.value_date,
                payer_name=input.payer_name,
            ),
        )
        return PaymentPayload(payment=Payment.of(payment.id), invoice=Invoice.of(invoice.id))

    @mutation(policy=bookkeeper)
    async def invoice_credit(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which invoice.")],
        input: Annotated[InvoiceCreditInput, described_argument("How much of it, and why.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> InvoiceCreditPayload:
        """Take an invoice back, whole or in part; what was paid of it goes back.

        A case that waits for the money goes on when nothing is due any more; to stop it, use `caseCancel`.
        """
        reason = cases.said(input.reason, "reason")
        invoice = await invoices.get_locked(work, decode_id(id, "Invoice"), expected_version=expected_version)
        case = await work.session.get_one(records.Case, invoice.case_id)
        amount = credits.creditable(invoice) if input.amount is None else input.amount
        note = await credits.credit(work, case, invoice, amount, reason)
        return InvoiceCreditPayload(invoice=Invoice.of(invoice.id), credit_note=CreditNote.of(note.id))

    @mutation(policy=bookkeeper)
    async def invoice_write_off(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which invoice.")],
        input: Annotated[InvoiceWriteOffInput, described_argument("Why.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> InvoicePayload:
        """Give up what is open on an invoice; who pays nevertheless has paid.

        A case that waits for the money goes on without it; to stop it, use `caseCancel`.
        """
        reason = cases.said(input.reason, "reason")
        invoice = await invoices.get_locked(work, decode_id(id, "Invoice"), expected_version=expected_version)
        case = await work.session.get_one(records.Case, invoice.case_id)
        await dunning.write_off(work, case, invoice, reason)
        return InvoicePayload(invoice=Invoice.of(invoice.id))

    @mutation(policy=bookkeeper)
    async def deposit_return(
        self,
        work: Work,
        case_id: CaseId,
        idempotency_key: str,
        input: Annotated[
            DepositReturnInput | None, described_argument("What is kept; without it, nothing.")
        ] = None,
        expected_version: int | None = None,
    ) -> DepositReturnPayload:
        """Release the deposit of a completed case (waarborg vrijgeven), whole or less what is kept.

        What came online goes back by itself; other money as any refund, which a second person approves.
        """
        case = await locked_case(work, case_id, expected_version)
        told = input or DepositReturnInput()
        note = await deposits.release(work, case, told.kept, told.reason)
        return DepositReturnPayload(
            case=Case.of(case.id), credit_note=CreditNote.of(note.id) if note else None
        )

    @mutation(policy=bookkeeper)
    async def refund_order(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which refund.")],
        idempotency_key: str,
        input: Annotated[
            RefundInput | None,
            described_argument("To which account; without it, the way that the money came."),
        ] = None,
    ) -> RefundPayload:
        """Pay a refund back over the way that the money came, or to another account.

        By bank transfer another person approves it; cash is given back at once.
        """
        refund = await work.session.get(records.Refund, decode_id(id, "Refund"))
        if refund is None:
            raise Refused(ErrorCode.NOT_FOUND)
        case = await cases.get(work, refund.case_id)
        # read anew behind the case's lock: two who order at once must not pay back twice
        await work.session.refresh(refund, with_for_update={"key_share": True})
        payment = await work.session.get_one(records.Payment, refund.payment_id)
        if input is not None:
            iban, payee = str(input.iban), cases.said(input.payee, "payee")
        elif payment.method is PaymentMethod.TRANSFER and payment.payer_iban_sealed is not None:
            iban, payee = work.vault.open(payment.payer_iban_sealed), payment.payer_name or "onbekend"
        else:
            await refunds.order(work, case, refund)
            return RefundPayload(refund=Refund.of(refund.id))
        payout = await payouts.order_refund(work, case, refund, iban=iban, payee=payee)
        return RefundPayload(refund=Refund.of(refund.id), payout=Payout.of(payout.id))


async def _opened(work: Work, payment_id: UUID) -> payments.CheckoutOrder | None:
    """The page that was opened for a payment, whatever became of it; None when the module never gave one."""
    payment = await work.session.get_one(records.Payment, payment_id)
    if payment.checkout_url is None:
        return None
    case = await work.session.get_one(records.Case, payment.case_id)
    return payments.ordered(payment, case)


async def _page_of(work: Work, payment_id: UUID, checkout: Checkout) -> str | None:
    payment = await payments.checkout_opened(work, payment_id, checkout)
    return payment.checkout_url
