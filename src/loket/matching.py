"""Of what a movement on the account is: of an invoice, of a payout, or of nothing here.

A movement that carries an invoice's structured communication pays it, one that carries a payout's
EndToEndId is that payout, or its return. All others stay open: a person matches them or sets them aside.
"""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import Uuid, exists, select, text, update
from sqlalchemy.orm import aliased
from sqlmodel import col

from loket import cases, payments, payout_book, payout_facts
from loket.errors import ErrorCode, Refused
from loket.lifecycle import BANK_ENTRY, BankEntryStatus, PartAction
from loket.pain import payout_id
from loket.records import BankEntry, BankStatement, Invoice, PaymentMethod, Payout
from loket.work import Work

BANK = "bank"
"""The source of payments that a statement tells of."""


async def due(work: Work, *, after: UUID | None, at_most: int) -> list[UUID]:
    """Open movements that say themselves what they are of, in the order in which they came."""
    found = await work.session.scalars(_DUE, {"after": after, "at_most": at_most})
    return list(found.all())


_DUE = text("""
    SELECT e.id FROM bankentry e
     WHERE e.status = 'OPEN' AND (CAST(:after AS uuid) IS NULL OR e.id > :after)
       AND (e.amount > 0 AND e.reference <> ''
            AND EXISTS (SELECT FROM invoice i WHERE i.reference = e.reference)
            OR EXISTS (SELECT FROM payout p WHERE p.id = CASE
                          WHEN e.end_to_end_id ~ '^[0-9a-fA-F]{32}$' THEN e.end_to_end_id::uuid END))
     ORDER BY e.id LIMIT :at_most""").columns(id=Uuid())


async def match_by_itself(work: Work, entry_id: UUID) -> bool:
    """Match a movement to what it names; whether it was. Somebody else's hands are not waited for."""
    found = await work.session.scalars(
        select(BankEntry)
        .where(col(BankEntry.id) == entry_id, col(BankEntry.status) == BankEntryStatus.OPEN)
        .with_for_update(skip_locked=True, key_share=True)
    )
    entry = found.one_or_none()
    if entry is None:
        return False
    named = payout_id(entry.end_to_end_id)
    payout = await work.session.get(Payout, named) if named is not None else None
    if payout is not None and entry.amount > 0 and entry.amount != payout.amount:
        return False  # whoever was paid can read its number, and send a cent that carries it
    if payout is not None:
        return await _is_of_payout(work, entry, payout.id)
    if entry.amount < 0 or not entry.reference or await _came_in_another_form(work, entry):
        return False
    invoice = (
        await work.session.scalars(select(Invoice).where(col(Invoice.reference) == entry.reference))
    ).one_or_none()
    if invoice is None:
        return False
    await _pays(work, entry, invoice)
    return True


async def get_locked(work: Work, entry_id: UUID, expected_version: int | None = None) -> BankEntry:
    """A movement, before any case: so that nobody waits in a circle.

    Raises:
        Refused: NOT_FOUND; VERSION_CONFLICT.
    """
    entry = await work.session.get(BankEntry, entry_id, with_for_update={"key_share": True})
    if entry is None:
        raise Refused(ErrorCode.NOT_FOUND)
    if expected_version not in (None, entry.version):
        raise Refused(ErrorCode.VERSION_CONFLICT, current=entry.version, extra={"current": entry.version})
    return entry


async def match_to_invoice(work: Work, entry: BankEntry, invoice_id: UUID) -> Invoice:
    """A person says that this money pays that invoice; on one that is paid or taken back it goes back.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when it was matched before; VALIDATION for money that went;
            NOT_FOUND for the invoice.
    """
    _check_open(work, entry)
    if entry.amount < 0:
        raise Refused(ErrorCode.VALIDATION, path=["id"], reason="money that left pays no invoice")
    invoice = await work.session.get(Invoice, invoice_id)
    if invoice is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "invoiceId"])
    await _pays(work, entry, invoice)
    return invoice


async def match_to_payout(work: Work, entry: BankEntry, payout_id: UUID) -> Payout:
    """A person says that this is that payout leaving, or coming back.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when it was matched before; NOT_FOUND for the payout; VALIDATION
            when another movement is that already.
    """
    _check_open(work, entry)
    payout = await work.session.get(Payout, payout_id)
    if payout is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "payoutId"])
    if not await _is_of_payout(work, entry, payout_id):
        raise Refused(
            ErrorCode.VALIDATION, path=["input", "payoutId"], reason="another movement is that already"
        )
    return payout


async def _pays(work: Work, entry: BankEntry, invoice: Invoice) -> None:
    statement = await work.session.get_one(BankStatement, entry.statement_id)
    sealed = entry.counterparty_iban_sealed
    payment = await payments.register(
        work,
        invoice,
        payments.Received(
            source=BANK,
            name=f"{statement.iban} {statement.statement_key} {entry.position}",
            amount=entry.amount,
            method=PaymentMethod.TRANSFER,
            value_on=entry.value_on,
            payer_name=entry.counterparty_name,
            payer_iban=work.vault.open(sealed) if sealed else "",
        ),
    )
    entry.payment_id = payment.id
    await _settled(work, entry, PartAction.MATCH)


async def _is_of_payout(work: Work, entry: BankEntry, payout_id: UUID) -> bool:
    """Tell the payout what the bank did; not a second time, for then money moved twice: a person looks."""
    await payout_book.get_locked(work, payout_id)
    came_back = entry.amount > 0
    told = await work.session.scalar(
        select(
            exists().where(
                col(BankEntry.payout_id) == payout_id,
                col(BankEntry.amount) > 0 if came_back else col(BankEntry.amount) < 0,
            )
        )
    )
    if told:
        return False
    fact = payout_facts.Fact(
        PartAction.RETURN if came_back else PartAction.EXECUTE,
        on=entry.booked_on,
        amount=abs(entry.amount),
        code=entry.return_code if came_back else "",
    )
    await payout_facts.heard(work, payout_id, fact)
    entry.payout_id = payout_id
    await _settled(work, entry, PartAction.MATCH)
    return True


async def _came_in_another_form(work: Work, entry: BankEntry) -> bool:
    """Whether the same money stands on a statement of another form: a bank that sends both tells twice."""
    mine, theirs = aliased(BankStatement), aliased(BankStatement)
    found = await work.session.scalar(
        select(col(BankEntry.id))
        .join(theirs, col(theirs.id) == col(BankEntry.statement_id))
        .join(mine, col(mine.id) == entry.statement_id)
        .where(
            col(BankEntry.reference) == entry.reference,
            col(BankEntry.status) == BankEntryStatus.MATCHED,
            col(BankEntry.amount) == entry.amount,
            col(BankEntry.value_on) == entry.value_on,
            col(BankEntry.counterparty_iban_index).is_not_distinct_from(entry.counterparty_iban_index),
            col(theirs.format) != col(mine.format),
        )
        .limit(1)
    )
    return found is not None


def _check_open(work: Work, entry: BankEntry) -> None:
    step = BANK_ENTRY.find(entry.status, PartAction.MATCH)
    if step is None or not step.by & work.actor.roles:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=entry.status)


async def _settled(work: Work, entry: BankEntry, action: PartAction) -> None:
    cases.move(work, BANK_ENTRY, entry, action)
    entry.settled_at = work.now
    entry.settled_by_id = work.actor.id if work.actor.is_staff else None
    await work.session.flush()


# --- setting aside ----------------------------------------------------------------------------


async def set_aside(work: Work, entry_ids: Sequence[UUID], reason: str) -> list[UUID]:
    """These are not for Loket; all of them or none. What was set aside before stays as it is.

    Raises:
        Refused: NOT_FOUND; TRANSITION_NOT_ALLOWED for one that was matched.
    """
    wanted = sorted(set(entry_ids))
    found = await work.session.scalars(
        select(BankEntry)
        .where(col(BankEntry.id).in_(wanted))
        .order_by(col(BankEntry.id))
        .with_for_update(key_share=True)
    )
    entries = found.all()
    if len(entries) != len(wanted):
        raise Refused(ErrorCode.NOT_FOUND, path=["input", "ids"])
    for entry in entries:
        if entry.status is not BankEntryStatus.SET_ASIDE:
            entry.reason = reason
            await _settled(work, entry, PartAction.SET_ASIDE)
    return wanted


async def set_aside_foreign(work: Work, until: date, reason: str) -> list[UUID]:
    """All open money booked until that day for which a structured communication names another's invoice."""
    step = BANK_ENTRY.find(BankEntryStatus.OPEN, PartAction.SET_ASIDE)
    assert step is not None
    if not step.by & work.actor.roles:
        raise Refused(ErrorCode.NOT_ALLOWED)
    found = await work.session.scalars(
        update(BankEntry)
        .where(
            col(BankEntry.status) == BankEntryStatus.OPEN,
            col(BankEntry.booked_on) <= until,
            col(BankEntry.amount) > 0,
            col(BankEntry.reference) != "",
            ~exists().where(col(Invoice.reference) == col(BankEntry.reference)),
        )
        .values(
            status=step.to,
            version=col(BankEntry.version) + 1,
            reason=reason,
            settled_at=work.now,
            settled_by_id=work.actor.id if work.actor.is_staff else None,
        )
        .returning(col(BankEntry.id))
        .execution_options(synchronize_session=False)
    )
    return list(found.all())
