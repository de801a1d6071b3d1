"""The business actions: each opens one piece of work, calls one verb, and answers with what it changed."""

from datetime import date
from decimal import Decimal
from typing import Annotated

import strawberry
from sqlalchemy import select
from sqlmodel import col
from strawberry import ID
from strawberry.scalars import JSON

from loket import (
    applications,
    cases,
    consultation,
    decisions,
    deliveries,
    endings,
    handling,
    invoices,
    messages,
    operations,
    people,
    records,
    screening,
    timers,
)
from loket.api.context import (
    citizen,
    field_team,
    finance,
    handler,
    operator,
    signed_in,
    staff,
)
from loket.api.naming import decode_id, described, described_argument, input_type, output
from loket.api.objects import (
    Application,
    Booking,
    Case,
    ContactPreferences,
    Delivery,
    Document,
    Effect,
    Invoice,
    Message,
    Note,
    Payment,
    Refund,
    Task,
    preferences_of,
)
from loket.api.payloads import Payload, mutation, user_errors
from loket.api.scalars import EmailAddress, PhoneNumber
from loket.errors import Declined, ErrorCode, Refused, Unavailable
from loket.lifecycle import PartAction, Stage, TimerKind
from loket.records import MessageChannel, PaymentMethod, TimerState
from loket.work import Work

CaseId = Annotated[ID, described_argument("Which case.")]
ApplicationId = Annotated[ID, described_argument("Which application.")]
MAX_BULK = 100


# --- inputs and payloads ----------------------------------------------------------------------


@input_type
class OptionInput:
    """How many of an option."""

    option: str = described("Its key in the catalogue.")
    quantity: int = described("How many.")


@input_type
class CartLineInput:
    """A line of the cart."""

    product: str = described("Its key in the catalogue.")
    quantity: int = described("How many.")
    options: list[OptionInput] = described("With what.", default_factory=list)


@input_type
class CartInput:
    """The whole cart."""

    lines: list[CartLineInput] = described("Its lines; none empties it.")


@input_type
class UploadInput:
    """A file that is about to be sent."""

    filename: str = described("Its name.")
    media_type: str = described("application/pdf, image/jpeg or image/png.")
    size: int = described("In bytes, at most 10 MiB.")


@input_type
class MotivationInput:
    """Why, as the law asks it of every individual decision (wet van 29 juli 1991)."""

    motivation_legal: str = described("In law.")
    motivation_factual: str = described("In fact.")
    message: str = described("In plain words; without it the motivation in fact.", default="")


@input_type
class DecisionInput:
    """What a handler decides."""

    granted: bool = described("Granted, or refused.")
    motivation_legal: str = described("Why, in law; needed for a refusal.", default="")
    motivation_factual: str = described("Why, in fact; needed for a refusal.", default="")
    message: str = described("In plain words for the applicant.", default="")


@input_type
class ReasonInput:
    """A reason."""

    reason: str = described("Why.")


@input_type
class OptionalReasonInput:
    """A reason, if you like to give one."""

    reason: str = described("Why.", default="")


@input_type
class QuestionInput:
    """What the applicant is asked."""

    question: str = described("The question, as the applicant will read it.")


@input_type
class AnswerInput:
    """The applicant's answer."""

    answer: str = described("The answer.")


@input_type
class TermInput:
    """A longer term."""

    until: date = described("The new last day.")
    reason: str = described("Why.")


@input_type
class ReopenInput:
    """A new round."""

    stage: Stage = described("From which stage on.")
    reason: str = described("Why: appeal, revision, money that came back.")


@input_type
class NoteInput:
    """A note."""

    text: str = described("The words; never shown to the citizen.")


@input_type
class TaskInput:
    """How a task was settled."""

    remark: str = described("In words.", default="")


@input_type
class PaymentInput:
    """Money that came outside the payment module."""

    amount: Decimal = described("How much, in EUR.")
    method: PaymentMethod = described("By transfer or at the counter.")
    reference: str = described("The bank's or till's own name for it: the same is one payment.")
    value_date: date = described("The day on which it counts.")
    payer_name: str = described("Who paid.", default="")


@input_type
class ContactPreferencesInput:
    """What is left out stays as it is."""

    email: EmailAddress | None = described(
        "Where e-mail goes; a new one gets a code that proves it.", default=None
    )
    phone: PhoneNumber | None = described(
        "Where text messages go; a new one gets a code that proves it.", default=None
    )
    by_email: bool | None = described("Whether e-mail is wanted.", default=None)
    by_sms: bool | None = described("Whether text messages are wanted.", default=None)
    language: str | None = described("nl, en, fr or de.", default=None)


@input_type
class CodeInput:
    """A code that was sent."""

    channel: MessageChannel = described("Over what: EMAIL or SMS.")
    code: str = described("The six digits.")


@output
class ApplicationPayload(Payload):
    """An application as it is now."""

    application: Application | None = described("The application.", default=None)


@output
class ApplicationSubmitPayload(Payload):
    """The case that an application became."""

    application: Application | None = described("The application.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class UploadPayload(Payload):
    """Where to send a file."""

    document: Document | None = described("The document to be.", default=None)
    upload_url: str | None = described("PUT the content here.", default=None)
    expires_at: str | None = described("Until when, an instant in UTC.", default=None)


@output
class CasePayload(Payload):
    """A case as it is now."""

    case: Case | None = described("The case.", default=None)


@output
class BulkResult:
    """What came of one of many."""

    id: ID = described("Which case.")
    case: Case | None = described("The case, where it was done.", default=None)
    error: str | None = described("Why it was not done.", default=None)


@output
class BulkPayload(Payload):
    """One result per case."""

    results: list[BulkResult] = described("In the order asked.", default_factory=list)


@output
class NotePayload(Payload):
    """A note."""

    note: Note | None = described("The note.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class TaskPayload(Payload):
    """A task as it is now."""

    task: Task | None = described("The task.", default=None)


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


@output
class RefundPayload(Payload):
    """A refund as it is now."""

    refund: Refund | None = described("The refund.", default=None)


@output
class BookingPayload(Payload):
    """A place in a slot."""

    booking: Booking | None = described("The place.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class DeliveryPayload(Payload):
    """A delivery as it is now."""

    delivery: Delivery | None = described("The delivery.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class MessagePayload(Payload):
    """A message."""

    message: Message | None = described("The new message.", default=None)


@output
class EffectPayload(Payload):
    """An effect as it is now."""

    effect: Effect | None = described("The effect.", default=None)


@output
class SystemPayload(Payload):
    """Whether a system is being talked to."""

    system: str | None = described("Which system.", default=None)
    paused: bool | None = described("Whether nothing is sent to it now.", default=None)


@output
class ContactPreferencesPayload(Payload):
    """How you hear from us, as it is now."""

    contact_preferences: ContactPreferences | None = described("Your preferences.", default=None)


# --- mutations --------------------------------------------------------------------------------


@strawberry.type(description="What can be done: one field per business action, each all or nothing.")
class Mutation:
    # ---- application

    @mutation(policy=citizen)
    async def application_start(
        self, info: strawberry.Info, procedure: Annotated[str, described_argument("Its key.")]
    ) -> ApplicationPayload:
        """Begin an application; it comes prefilled with what the government knows already."""
        context = info.context
        async with context.transaction() as work:
            application = await applications.start(work, procedure)
        heard = await consultation.consult(
            context.loket,
            context.viewer.actor,
            application.person_id,
            application.procedure_key,
            briefly=True,
        )
        async with context.transaction() as work:
            await applications.remember_sources(work, application.id, heard.answers)
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=citizen)
    async def application_set_answers(
        self,
        work: Work,
        id: ApplicationId,
        input: Annotated[JSON, described_argument("JSON Merge Patch (RFC 7396): null removes.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Save answers in a draft. What is missing is no fault yet; what is wrong is, all of it at once."""
        application = await _application(work, id, expected_version)
        await applications.set_answers(work, application, input)
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=citizen)
    async def application_set_cart(
        self,
        work: Work,
        id: ApplicationId,
        input: Annotated[CartInput, described_argument("The whole cart.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Replace the cart."""
        application = await _application(work, id, expected_version)
        await applications.set_cart(work, application, [_cart_line(line) for line in input.lines])
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=citizen)
    async def document_upload_start(
        self, work: Work, input: Annotated[UploadInput, described_argument("The file.")]
    ) -> UploadPayload:
        """Announce a file: then PUT its content to `uploadUrl`, then attach it."""
        upload = await applications.start_upload(
            work, filename=input.filename, media_type=input.media_type, size=input.size
        )
        return UploadPayload(
            document=Document.of(upload.document.id),
            upload_url=f"{work.settings.public_url}/uploads/{upload.token}",
            expires_at=(work.now + applications.UPLOAD_LIFE).isoformat(),
        )

    @mutation(policy=citizen)
    async def application_attach_document(
        self,
        work: Work,
        id: ApplicationId,
        document_id: Annotated[ID, described_argument("The uploaded document.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Make an uploaded file part of the application."""
        application = await _application(work, id, expected_version)
        await applications.attach(work, application, decode_id(document_id, "Document", path=["documentId"]))
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=citizen)
    async def application_remove_document(
        self,
        work: Work,
        id: ApplicationId,
        document_id: Annotated[ID, described_argument("The document.")],
        expected_version: int | None = None,
    ) -> ApplicationPayload:
        """Take a file out of the application, and away."""
        application = await _application(work, id, expected_version)
        await applications.remove_document(
            work, application, decode_id(document_id, "Document", path=["documentId"])
        )
        return ApplicationPayload(application=Application.of(application.id))

    @mutation(policy=citizen)
    async def application_submit(
        self, work: Work, id: ApplicationId, idempotency_key: str, expected_version: int | None = None
    ) -> ApplicationSubmitPayload:
        """Hand in an application. Opens a case and answers with its reference."""
        application = await _application(work, id, expected_version)
        case = await applications.submit(work, application)
        return ApplicationSubmitPayload(application=Application.of(application.id), case=Case.of(case.id))

    @mutation(policy=citizen)
    async def application_discard(
        self, work: Work, id: ApplicationId, expected_version: int | None = None
    ) -> ApplicationPayload:
        """Throw a draft away, with all that was filled in."""
        application = await _application(work, id, expected_version)
        await applications.end_draft(work, application, PartAction.DISCARD)
        return ApplicationPayload(application=Application.of(application.id))

    # ---- case

    @mutation(policy=handler)
    async def case_assign(
        self,
        work: Work,
        id: CaseId,
        handler_id: Annotated[ID | None, described_argument("To whom; to yourself without it.")] = None,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Give a case to a handler."""
        case = await _case(work, id, expected_version)
        await handling.assign(
            work, case, decode_id(handler_id, "StaffMember", path=["handlerId"]) if handler_id else None
        )
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_bulk_assign(
        self,
        info: strawberry.Info,
        ids: Annotated[list[ID], described_argument("Which cases, at most 100.")],
        handler_id: Annotated[ID | None, described_argument("To whom; to yourself without it.")] = None,
    ) -> BulkPayload:
        """Give many cases to a handler; each succeeds or fails by itself."""
        if len(ids) > MAX_BULK:
            raise Refused(ErrorCode.TOO_LARGE, path=["ids"], limit=f"{MAX_BULK} cases")
        to = decode_id(handler_id, "StaffMember", path=["handlerId"]) if handler_id else None
        results: list[BulkResult] = []
        for id in ids:
            try:
                async with info.context.transaction() as work:
                    case = await _case(work, id, None)
                    await handling.assign(work, case, to)
                results.append(BulkResult(id=id, case=Case.of(case.id)))
            except Refused as refusal:
                results.append(BulkResult(id=id, error=refusal.message(info.context.viewer.language)))
        return BulkPayload(results=results)

    @mutation(policy=handler)
    async def case_release(self, work: Work, id: CaseId, expected_version: int | None = None) -> CasePayload:
        """Give a case back to the queue."""
        case = await _case(work, id, expected_version)
        await handling.release(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_declare_admissible(
        self, work: Work, id: CaseId, expected_version: int | None = None
    ) -> CasePayload:
        """Say that the application may be handled."""
        case = await _case(work, id, expected_version)
        await screening.declare_admissible(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_declare_inadmissible(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[MotivationInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Say that the application may not be handled, and why. Ends the case."""
        case = await _case(work, id, expected_version)
        await screening.declare_inadmissible(
            work, case, legal=input.motivation_legal, fact=input.motivation_factual, message=input.message
        )
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_request_information(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[QuestionInput, described_argument("The question.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Ask the applicant for more; the term stands still where the procedure allows it."""
        case = await _case(work, id, expected_version)
        await screening.request_information(work, case, input.question)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_supply_information(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[AnswerInput, described_argument("The answer.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Answer what was asked."""
        case = await _case(work, id, expected_version)
        await screening.supply_information(work, case, input.answer)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_suspend(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Stop the clock of the term."""
        case = await _case(work, id, expected_version)
        await handling.suspend(work, case, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_resume(self, work: Work, id: CaseId, expected_version: int | None = None) -> CasePayload:
        """Let the clock of the term run on."""
        case = await _case(work, id, expected_version)
        await handling.resume(work, case)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_extend_term(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[TermInput, described_argument("Until when, and why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Make the term longer, with a reason that the applicant is told."""
        case = await _case(work, id, expected_version)
        await handling.extend_term(work, case, input.until, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_withdraw(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[OptionalReasonInput | None, described_argument("Why.")] = None,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Take the application back; possible until the goods are handed over. Money comes back."""
        case = await _case(work, id, expected_version)
        await endings.withdraw(work, case, input.reason if input else "")
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_cancel(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReasonInput, described_argument("Why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Stop a case, with a reason that the applicant is told. Money goes back."""
        case = await _case(work, id, expected_version)
        await endings.cancel(work, case, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def case_request_review(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[OptionalReasonInput | None, described_argument("Why.")] = None,
    ) -> CasePayload:
        """Ask that a person looks again at a refusal."""
        case = await _case(work, id, None)
        await endings.request_review(work, case, input.reason if input else "")
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=handler)
    async def case_reopen(
        self,
        work: Work,
        id: CaseId,
        input: Annotated[ReopenInput, described_argument("From where, and why.")],
        expected_version: int | None = None,
    ) -> CasePayload:
        """Open an ended case again, for a new round."""
        case = await _case(work, id, expected_version)
        await endings.reopen(work, case, input.stage, input.reason)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=staff)
    async def case_add_note(
        self, work: Work, id: CaseId, input: Annotated[NoteInput, described_argument("The note.")]
    ) -> NotePayload:
        """Make a note that the citizen never sees."""
        case = await _case(work, id, None)
        note = await handling.add_note(work, case, input.text)
        return NotePayload(note=Note.of(note.id), case=Case.of(case.id))

    @mutation(policy=staff)
    async def task_complete(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which task.")],
        input: Annotated[TaskInput | None, described_argument("How it was settled.")] = None,
    ) -> TaskPayload:
        """Say that a task is settled."""
        task = await handling.complete_task(work, decode_id(id, "Task"), input.remark if input else "")
        return TaskPayload(task=Task.of(task.id))

    @mutation(policy=handler)
    async def decision_take(
        self,
        work: Work,
        case_id: CaseId,
        input: Annotated[DecisionInput, described_argument("The decision.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> CasePayload:
        """Decide on a case, as a handler."""
        case = await _case(work, case_id, expected_version)
        await decisions.take(
            work,
            case,
            granted=input.granted,
            legal=input.motivation_legal,
            fact=input.motivation_factual,
            message=input.message,
        )
        return CasePayload(case=Case.of(case.id))

    # ---- money

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
        async with context.transaction() as work:
            order = await invoices.start_payment(work, decode_id(invoice_id, "Invoice"), return_url)
        if order.url is None:
            try:
                checkout = await context.loket.systems.payments.create_checkout(
                    key=order.payment_id,
                    reference=order.reference,
                    amount=order.amount,
                    return_url=f"{context.loket.settings.public_url}/hooks/payments/worldline/return",
                    language=context.viewer.language,
                    expires_in=order.expires_in,
                    webhook_url=f"{context.loket.settings.public_url}/hooks/payments/worldline",
                )
            except Declined as refusal:
                raise Unavailable(refusal.system, refusal.reason) from refusal
            async with context.transaction() as work:
                await invoices.checkout_opened(work, order.payment_id, checkout)
            url = checkout.url
        else:
            url = order.url
        return PaymentStartPayload(payment=Payment.of(order.payment_id), checkout_url=url)

    @mutation(policy=finance)
    async def payment_register(
        self,
        work: Work,
        invoice_id: Annotated[ID, described_argument("Which invoice.")],
        input: Annotated[PaymentInput, described_argument("What came in.")],
        idempotency_key: str,
    ) -> PaymentPayload:
        """Write down money that came by transfer or at the counter."""
        if input.amount <= 0 or input.amount != input.amount.quantize(Decimal("0.01")):
            raise Refused(ErrorCode.VALIDATION, path=["input", "amount"], reason="a positive amount in cents")
        if input.method is PaymentMethod.ONLINE or not input.reference.strip():
            raise Refused(
                ErrorCode.VALIDATION, path=["input", "method"], reason="TRANSFER or COUNTER, with a reference"
            )
        invoice = await invoices.get_locked(work, decode_id(invoice_id, "Invoice"))
        payment = await invoices.register(
            work,
            invoice,
            amount=input.amount,
            method=input.method,
            module=input.method.lower(),
            provider_payment_id=input.reference.strip()[:100],
            value_on=input.value_date,
            payer_name=input.payer_name[:140],
        )
        return PaymentPayload(payment=Payment.of(payment.id), invoice=Invoice.of(invoice.id))

    @mutation(policy=finance)
    async def refund_order(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which refund.")],
        idempotency_key: str,
    ) -> RefundPayload:
        """Have a refund that failed tried again through the payment module."""
        refund = await work.session.get(records.Refund, decode_id(id, "Refund"))
        if refund is None:
            raise Refused(ErrorCode.NOT_FOUND)
        await cases.get(work, refund.case_id)
        await invoices.order_refund(work, refund)
        return RefundPayload(refund=Refund.of(refund.id))

    # ---- delivery

    @mutation(policy=signed_in)
    async def delivery_hold_slot(
        self,
        work: Work,
        case_id: CaseId,
        slot_id: Annotated[ID, described_argument("Which slot.")],
        idempotency_key: str,
    ) -> BookingPayload:
        """Keep a place in a slot for a while; an earlier hold is let go."""
        case = await _case(work, case_id, None)
        booking = await deliveries.hold(work, case, decode_id(slot_id, "Slot", path=["slotId"]))
        return BookingPayload(booking=Booking.of(booking.id), case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def delivery_book_slot(
        self,
        work: Work,
        case_id: CaseId,
        idempotency_key: str,
        slot_id: Annotated[ID | None, described_argument("Which slot; else the one that is held.")] = None,
        expected_version: int | None = None,
    ) -> DeliveryPayload:
        """Agree on a delivery slot."""
        return await _book(work, case_id, slot_id, expected_version)

    @mutation(policy=signed_in)
    async def delivery_reschedule(
        self,
        work: Work,
        case_id: CaseId,
        slot_id: Annotated[ID, described_argument("Which slot instead.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> DeliveryPayload:
        """Choose another slot."""
        return await _book(work, case_id, slot_id, expected_version)

    @mutation(policy=field_team)
    async def delivery_confirm(
        self, work: Work, id: Annotated[ID, described_argument("Which delivery.")]
    ) -> DeliveryPayload:
        """Say that the goods were handed over."""
        delivery_id = decode_id(id, "Delivery")
        await deliveries.delivered(work, delivery_id, work.now, work.actor.name, by_hand=True)
        return await _delivery(work, delivery_id)

    @mutation(policy=field_team)
    async def delivery_report_missed(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which delivery.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> DeliveryPayload:
        """Say that the delivery did not succeed; the citizen chooses again."""
        delivery_id = decode_id(id, "Delivery")
        await deliveries.missed(work, delivery_id, input.reason, by_hand=True)
        return await _delivery(work, delivery_id)

    @mutation(policy=handler)
    async def delivery_cancel(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which delivery.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> DeliveryPayload:
        """Call an agreed delivery off; the citizen is told and chooses again."""
        delivery_id = decode_id(id, "Delivery")
        await deliveries.call_off(work, delivery_id, input.reason)
        return await _delivery(work, delivery_id)

    # ---- messages, effects, people

    @mutation(policy=handler)
    async def message_resend(
        self, work: Work, id: Annotated[ID, described_argument("Which message.")]
    ) -> MessagePayload:
        """Say something again, deliberately, as a new message."""
        message = await work.session.get(records.Message, decode_id(id, "Message"))
        if message is None:
            raise Refused(ErrorCode.NOT_FOUND)
        case = await cases.get(work, message.case_id)
        again = await messages.resend(work, message, case)
        return MessagePayload(message=Message.of(again.id))

    @mutation(policy=operator)
    async def effect_retry(
        self, work: Work, id: Annotated[ID, described_argument("Which effect.")]
    ) -> EffectPayload:
        """Try a failed or waiting effect again now, with the same key for the other side."""
        effect = await operations.retry(work, decode_id(id, "Effect"))
        return EffectPayload(effect=Effect.of(effect.id))

    @mutation(policy=operator)
    async def effect_skip(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which effect.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> EffectPayload:
        """Leave an effect undone; what waits behind it goes on."""
        effect = await operations.skip(work, decode_id(id, "Effect"), input.reason)
        return EffectPayload(effect=Effect.of(effect.id))

    @mutation(policy=operator)
    async def system_pause(
        self,
        work: Work,
        system: Annotated[str, described_argument("Which: dosis, email, accounting…")],
    ) -> SystemPayload:
        """Send nothing to a system until it is resumed."""
        state = await operations.pause(work, system, paused=True)
        return SystemPayload(system=state.name, paused=state.paused)

    @mutation(policy=operator)
    async def system_resume(
        self, work: Work, system: Annotated[str, described_argument("Which system.")]
    ) -> SystemPayload:
        """Go on sending to a system."""
        state = await operations.pause(work, system, paused=False)
        return SystemPayload(system=state.name, paused=state.paused)

    @mutation(policy=operator)
    async def timer_fire(
        self,
        info: strawberry.Info,
        case_id: CaseId,
        kind: Annotated[TimerKind, described_argument("Which deadline.")],
    ) -> CasePayload:
        """Let a deadline of a case come now instead of later, as when its time had passed."""
        context = info.context
        async with context.transaction() as work:
            case = await _case(work, case_id, None)
            found = await work.session.scalar(
                select(col(records.Timer.id))
                .where(
                    col(records.Timer.case_id) == case.id,
                    col(records.Timer.kind) == kind,
                    col(records.Timer.state) == TimerState.ARMED,
                )
                .order_by(col(records.Timer.due_at))
                .limit(1)
            )
        if found is None:
            raise Refused(ErrorCode.NOT_FOUND, path=["kind"])
        await timers.fire(context.loket, found)
        return CasePayload(case=Case.of(case.id))

    @mutation(policy=citizen)
    async def contact_preferences_set(
        self, work: Work, input: Annotated[ContactPreferencesInput, described_argument("What changes.")]
    ) -> ContactPreferencesPayload:
        """Say how you want to hear from us."""
        person = await people.set_preferences(
            work,
            email=input.email,
            phone=input.phone,
            by_email=input.by_email,
            by_sms=input.by_sms,
            language=input.language,
        )
        return ContactPreferencesPayload(contact_preferences=preferences_of(person))

    @mutation(policy=citizen)
    async def contact_point_verify(
        self, info: strawberry.Info, input: Annotated[CodeInput, described_argument("The code.")]
    ) -> ContactPreferencesPayload:
        """Prove that a contact point is yours, with the code that was sent to it."""
        async with info.context.transaction() as work:
            person, right = await people.verify(work, input.channel, input.code)
        if not right:
            refused = Refused(ErrorCode.VALIDATION, path=["input", "code"], reason="another code was sent")
            return ContactPreferencesPayload(errors=user_errors(refused, info.context.viewer.language))
        return ContactPreferencesPayload(contact_preferences=preferences_of(person))


# --- small things -----------------------------------------------------------------------------


async def _application(work: Work, id: str, expected_version: int | None) -> records.Application:
    return await applications.get(work, decode_id(id, "Application"), expected_version=expected_version)


async def _case(work: Work, id: str, expected_version: int | None) -> records.Case:
    return await cases.get(work, decode_id(id, "Case"), expected_version=expected_version)


async def _book(
    work: Work, case_id: str, slot_id: str | None, expected_version: int | None
) -> DeliveryPayload:
    case = await _case(work, case_id, expected_version)
    slot = decode_id(slot_id, "Slot", path=["slotId"]) if slot_id else None
    delivery = await deliveries.book(work, case, slot)
    return DeliveryPayload(delivery=Delivery.of(delivery.id), case=Case.of(case.id))


async def _delivery(work: Work, delivery_id: object) -> DeliveryPayload:
    delivery = await work.session.get_one(records.Delivery, delivery_id)
    return DeliveryPayload(delivery=Delivery.of(delivery.id), case=Case.of(delivery.case_id))


def _cart_line(line: CartLineInput) -> records.Json:
    return {
        "product": line.product,
        "quantity": line.quantity,
        "options": {one.option: one.quantity for one in line.options},
    }
