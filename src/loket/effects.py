"""What is carried out elsewhere: one function per kind of effect.

Small, after the commit, may run twice, holds no transaction while it waits. The outcome is a value:
`Done` (with what must be written down), or a `Failed` that the worker turns into a retry, a parked
effect, or one in doubt.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import exists, select
from sqlmodel import SQLModel, col

from loket import (
    advisers,
    assessment,
    cases,
    checks,
    comparing,
    comparing_places,
    comparing_statuses,
    documents,
    entries,
    handovers,
    messages,
    paperwork,
    payments,
    payout_book,
    refunds,
    screening,
    sources,
    staffmail,
    submissions,
    transfers,
    warrants,
)
from loket.accesslog import Purpose, consulting
from loket.app import Loket
from loket.consultation import consult, examine
from loket.errors import Declined, Unavailable
from loket.lifecycle import RefundStatus as RefundIs
from loket.outcome import Done
from loket.records import (
    Case,
    Delivery,
    Effect,
    EffectKind,
    Payment,
    Payout,
    Person,
    Refund,
)
from loket.systems import dosis
from loket.systems.contract import Address
from loket.systems.payments import RefundState, RefundStatus
from loket.systems.planning import Contact, Item, SlotFull, SlotGone
from loket.work import Work, the_system

Row = TypeVar("Row", bound=SQLModel)


async def carry_out(loket: Loket, effect: Effect) -> Done:
    """Raises `Unavailable`, `Declined` or `InDoubt` for what the other side did not do."""
    return await CARRY_OUT[effect.kind](loket, effect)


async def _report_status(loket: Loket, effect: Effect) -> Done:
    said = effect.payload
    person = await _read(loket, Person, UUID(said["person_id"]))
    if person.insz_sealed is None:
        raise Declined("dosis", "the applicant has no national number")
    report = dosis.CaseReport(
        number=said["number"],
        name=said["name"],
        changed_at=datetime.fromisoformat(said["changed_at"]),
        code=said["code"],
        phase=said["phase"],
        details=tuple(said["details"]),
        action=said["action"],
        url=said["url"],
        product_id=said["product_id"],
        manager=dosis.CaseManager(**said["manager"]),
        agents=(loket.vault.open(person.insz_sealed),),
    )
    receipt = await loket.systems.dosis.push(upload_id=effect.id, status=report)
    return Done({"status": receipt.status})


async def _check_sources(loket: Loket, effect: Effect) -> Done:
    assert effect.case_id is not None
    case_id = effect.case_id
    case = await _read(loket, Case, case_id)
    heard = await consult(
        loket, the_system("MAGDA check"), case.person_id, case.procedure_key, case_id=case_id
    )
    if heard.unavailable is not None:
        raise heard.unavailable

    async def write(work: Work) -> None:
        await sources_told(work, case_id, heard.answers, heard.code, heard.reference)

    return Done({"code": heard.code, "reference": heard.reference}, write)


async def sources_told(
    work: Work, case_id: UUID, answers: sources.Answers, code: str, reference: str
) -> None:
    """Write down what the sources said of a case, with what follows from it."""
    locked = await work.session.get_one(
        Case, case_id, with_for_update={"key_share": True}, populate_existing=True
    )
    person = await work.session.get_one(Person, locked.person_id)
    before = locked.facts
    await sources.learn(work, locked, person, answers)
    if answers.replaced_by is not None:
        await cases.open_task(work, locked, "NUMBER_REPLACED")
    await assessment.heed(work, locked, before)
    await screening.sources_answered(work, locked, answers.complete, code, reference)
    await checks.sources_heard(work, locked)


async def _ask_check(loket: Loket, effect: Effect) -> Done:
    """Only yes or no, code and reference come out of this."""
    assert effect.case_id is not None
    case_id, key, round = effect.case_id, effect.payload["check"], effect.payload["round"]
    examined = await examine(loket, case_id, key, round)
    if examined is None:
        return Done({"skipped": "nobody awaits it any more"})

    async def write(work: Work) -> None:
        case = await cases.get(work, case_id)
        for person_id, number in examined.replaced.items():
            await sources.replace_number(work, await work.session.get_one(Person, person_id), number)
            await cases.open_task(work, case, "NUMBER_REPLACED")
        await checks.answered(work, case, key, round, examined.finding)

    return Done({"code": examined.finding.code, "reference": examined.finding.reference}, write)


async def _check_given_up(work: Work, case: Case, effect: Effect) -> None:
    await checks.given_up(work, case, effect.payload["check"], effect.payload["round"], "UNAVAILABLE")


async def _adviser_not_reached(work: Work, case: Case, effect: Effect) -> None:
    await cases.open_task(work, case, "ADVISER_NOT_REACHED", {"advice": effect.payload["advice_id"]})


async def _sources_given_up(work: Work, case: Case, _: Effect) -> None:
    await screening.sources_answered(work, case, False, "UNAVAILABLE", "")
    await checks.sources_heard(work, case)


async def _unregister(loket: Loket, effect: Effect) -> Done:
    said = effect.payload
    person = await _read(loket, Person, UUID(said["person_id"]))
    if person.insz_sealed is None:
        return Done({"skipped": "no national number"})
    insz = loket.vault.open(person.insz_sealed)
    now = datetime.now(UTC)
    with consulting(Purpose(person.id, the_system(), said["purpose"])):
        await loket.systems.magda.unregister(
            insz,
            reference=str(uuid4()),
            begins_on=datetime.fromisoformat(said["began_on"]).date(),
            ends_on=now.date(),
        )
    return Done()


async def _book_place(loket: Loket, effect: Effect) -> Done:
    said = effect.payload
    delivery_id = UUID(said["delivery_id"])
    delivery = await _read(loket, Delivery, delivery_id)
    if delivery.starts_at is None:
        return Done({"skipped": "the slot was given up before the tool heard of it"})
    try:
        booked = await loket.systems.planning.book(
            key=effect.id,
            id=delivery_id,
            slot_id=said["slot_id"],
            reference=said["reference"],
            items=[Item(one["product"], one["quantity"], one["description"]) for one in said["items"]],
            address=Address(
                street=said["address"]["street"],
                house_number=said["address"].get("number"),
                box_number=said["address"].get("box"),
                postal_code=said["address"]["postal_code"],
                municipality=said["address"]["city"],
            ),
            contact=Contact(said["contact"]["name"], said["contact"].get("phone")),
        )
    except (SlotFull, SlotGone) as refusal:
        reason = refusal.reason

        async def choose_again(work: Work) -> None:
            await handovers.refused_by_tool(work, delivery_id, said["slot_id"])

        return Done({"refused": reason}, choose_again)
    return Done({"version": booked.version})


async def _cancel_place(loket: Loket, effect: Effect) -> Done:
    await loket.systems.planning.cancel(UUID(effect.payload["delivery_id"]), key=effect.id)
    return Done()


async def _poll_payment(loket: Loket, effect: Effect) -> Done:
    payment = await _read(loket, Payment, UUID(effect.payload["payment_id"]))
    if payment.checkout_id is None:
        return Done({"skipped": "no checkout was opened"})
    state = await loket.systems.payments[payment.module].checkout(payment.checkout_id)

    async def write(work: Work) -> None:
        await payments.heard(work, payment.id, state, number=effect.payload["number"])

    return Done({"status": state.raw_status}, write)


async def _refund(loket: Loket, effect: Effect) -> Done:
    refund = await _read(loket, Refund, UUID(effect.payload["refund_id"]))
    payment = await _read(loket, Payment, refund.payment_id)
    if refund.provider_refund_id is None and await _goes_otherwise(loket, refund):
        return Done({"skipped": "it is paid back in another way"})
    if payment.provider_payment_id is None:
        raise Declined("payments", "the payment has no name at the payment module")
    module = loket.systems.payments[payment.module]
    try:
        if refund.provider_refund_id is not None:
            state = await module.refund_state(refund.provider_refund_id)
        else:
            state = await module.refund(
                key=effect.id,
                payment_id=payment.provider_payment_id,
                amount=refund.amount,
                left=await _left(loket, payment, refund),
            )
    except Declined as refusal:
        if refund.provider_refund_id is not None and refusal.http_status is not None:
            raise  # it would not say; what it took on before may be paid
        state = RefundState(refund.provider_refund_id or "", RefundStatus.FAILED, None, refusal.reason)
    if state.status is RefundStatus.PENDING and refund.provider_refund_id is not None:
        raise Unavailable("payments", f"the refund is not through yet: {state.raw_status}")

    async def write(work: Work) -> None:
        await refunds.heard(work, refund.id, state)
        if state.status is RefundStatus.PENDING:
            case = await work.session.get_one(Case, refund.case_id)
            await work.leave(EffectKind.PAYMENT_REFUND, effect.payload, case=case)

    return Done({"status": state.raw_status, "refund": state.id}, write)


async def _goes_otherwise(loket: Loket, refund: Refund) -> bool:
    """Somebody paid it back already, or a payout carries it: the module must not be asked as well."""
    carries = exists().where(col(Payout.refund_id) == refund.id, col(Payout.status).not_in(payout_book.ENDED))
    async with loket.database.transaction() as session:
        return refund.status is RefundIs.DONE or bool(await session.scalar(select(carries)))


async def _left(loket: Loket, payment: Payment, refund: Refund) -> Decimal:
    """What the payment module did not give back of a payment by other refunds."""
    async with loket.database.transaction() as session:
        return payment.amount - await refunds.accepted(session, payment.id, but=refund.id)


async def _make_invoice_pdf(loket: Loket, effect: Effect) -> Done:
    document_id = await documents.invoice_document(loket, UUID(effect.payload["invoice_id"]))
    return Done({"document": str(document_id)})


async def _make_credit_note_pdf(loket: Loket, effect: Effect) -> Done:
    document_id = await documents.credit_note_document(loket, UUID(effect.payload["credit_note_id"]))
    return Done({"document": str(document_id)})


CARRY_OUT: dict[EffectKind, Callable[[Loket, Effect], Awaitable[Done]]] = {
    EffectKind.DOSIS_STATUS: _report_status,
    EffectKind.MESSAGE_MBP: messages.send_to_mbp,
    EffectKind.MESSAGE_EMAIL: messages.send_email,
    EffectKind.MESSAGE_SMS: messages.send_sms,
    EffectKind.CONTACT_CODE: messages.send_code,
    EffectKind.MAGDA_CHECK: _check_sources,
    EffectKind.MAGDA_UNREGISTER: _unregister,
    EffectKind.ACCOUNTING_ENTRY: entries.send,
    EffectKind.PLANNING_BOOK: _book_place,
    EffectKind.PLANNING_CANCEL: _cancel_place,
    EffectKind.PAYMENT_POLL: _poll_payment,
    EffectKind.PAYMENT_REFUND: _refund,
    EffectKind.RECONCILE: comparing.page,
    EffectKind.COMPARE_PLANNING: comparing_places.compare,
    EffectKind.COMPARE_STATUSES: comparing_statuses.page,
    EffectKind.INVOICE_PDF: _make_invoice_pdf,
    EffectKind.CREDIT_NOTE_PDF: _make_credit_note_pdf,
    EffectKind.ADVICE_EMAIL: advisers.send,
    EffectKind.STAFF_EMAIL: staffmail.send,
    EffectKind.MINUTES_CREATE: submissions.create_item,
    EffectKind.MINUTES_READ: submissions.read_item,
    EffectKind.MINUTES_WITHDRAW: submissions.withdraw_item,
    EffectKind.WARRANT_PDF: warrants.make,
    EffectKind.LETTER_PDF: paperwork.make_letter,
    EffectKind.LETTER_EBOX: paperwork.send_to_ebox,
    EffectKind.EBOX_READ: paperwork.read_ebox,
    EffectKind.PAYOUT_SEND: transfers.send,
    EffectKind.PAYOUT_READ: transfers.read,
    EffectKind.PAYOUT_RECALL: transfers.recall,
    EffectKind.CHECK_ASK: _ask_check,
}

GIVEN_UP: dict[EffectKind, Callable[[Work, Case, Effect], Awaitable[None]]] = {
    EffectKind.CHECK_ASK: _check_given_up,
    EffectKind.MAGDA_CHECK: _sources_given_up,
    EffectKind.MINUTES_CREATE: submissions.item_given_up,
    EffectKind.LETTER_PDF: paperwork.letter_given_up,
    EffectKind.LETTER_EBOX: paperwork.ebox_given_up,
    EffectKind.ADVICE_EMAIL: _adviser_not_reached,
    EffectKind.ACCOUNTING_ENTRY: entries.given_up,
    EffectKind.PAYMENT_REFUND: refunds.given_up,
    EffectKind.PAYOUT_SEND: transfers.not_sent,
    EffectKind.PAYOUT_RECALL: transfers.not_recalled,
}
"""What a case must know when an effect of it was parked: so that it waits for a person, not for nothing."""


async def _read(loket: Loket, kind: type[Row], id: UUID) -> Row:
    async with loket.database.transaction() as session:
        return await session.get_one(kind, id)
