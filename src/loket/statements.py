"""What the bank says came and went: statements imported whole or not at all, and once.

What their movements are of is for `matching`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, func, literal, select
from sqlmodel import col

from loket import anonymity, bank
from loket.errors import ErrorCode, Refused
from loket.records import BankEntry, BankStatement, Invoice, StatementFormat
from loket.sepa import masked_iban
from loket.work import Work

PAYER = "counterparty"
"""For the keyed index of account numbers."""
_SAID = ["input", "content"]


@dataclass(frozen=True)
class File:
    """A file of the bank, read. `digest`: SHA-256 of it."""

    name: str
    digest: bytes
    form: bank.Form
    statements: tuple[bank.Statement, ...]


@dataclass(frozen=True)
class Imported:
    """The statements of a file, in its order; `new` are those that were not known before."""

    statements: tuple[UUID, ...]
    new: tuple[UUID, ...]


def read(name: str, content: bytes) -> File:
    """Read a file; takes seconds for a large one, and changes nothing.

    Raises:
        Refused: VALIDATION, with the reason and the line where it is known.
    """
    try:
        form, found = bank.read(content)
    except bank.BadStatement as fault:
        raise _refused(str(fault)) from fault
    return File(name[-200:], hashlib.sha256(content).digest(), form, tuple(found))


async def keep(work: Work, file: File) -> Imported:
    """Import all statements of a file, or none. What was imported before with the same content is known.

    Raises:
        Refused: VALIDATION for an account that is not the municipality's, for other content than was
            imported under the same number, and for movements that came before under another number.
    """
    ours = work.settings.municipality.iban.replace(" ", "")
    foreign = {one.iban for one in file.statements} - {ours}
    if foreign:
        raise _refused(f"{', '.join(map(masked_iban, sorted(foreign)))} is not our account")
    # whoever imports for this account at the same time waits here
    lock = func.hashtextextended(f"statements {ours}", 0)
    await work.session.execute(select(func.pg_advisory_xact_lock(lock)))
    all_of_them: list[UUID] = []
    new: list[UUID] = []
    for statement in file.statements:
        known = await _known(work, file.form, statement)
        if known is None:
            known = await _insert(work, file, statement)
            new.append(known.id)
        all_of_them.append(known.id)
    return Imported(tuple(all_of_them), tuple(new))


async def _known(work: Work, form: bank.Form, statement: bank.Statement) -> BankStatement | None:
    """The same statement, imported before.

    Raises:
        Refused: something contradicts it, or it came in the other form, where it has another number.
    """
    found = await work.session.scalars(
        select(BankStatement).where(
            col(BankStatement.iban) == statement.iban,
            (col(BankStatement.statement_key) == statement.key)
            | (
                (col(BankStatement.format) != StatementFormat(form))
                & (col(BankStatement.ends_on) == statement.ends_on)
                & (col(BankStatement.opening) == statement.opening)
                & (col(BankStatement.closing) == statement.closing)
            ),
        )
    )
    for earlier in found.all():
        entries = await _entries(work, earlier)
        if earlier.statement_key == statement.key:
            balances = (earlier.starts_on, earlier.ends_on, earlier.opening, earlier.closing)
            told = (statement.starts_on, statement.ends_on, statement.opening, statement.closing)
            if (balances, entries) != (told, [_told(work, one) for one in statement.movements]):
                raise _refused(f"statement {statement.key} was imported before with another content")
            return earlier
        moved = sorted((one[2], one[0]) for one in entries)
        if moved and moved == sorted((one.value_on, one.amount) for one in statement.movements):
            raise _refused(f"statement {statement.key} is {earlier.statement_key} again, imported before")
    return None


Told = tuple[Decimal, date, date, str, str, str, str, bytes | None]


def _told(work: Work, movement: bank.Movement) -> Told:
    """What makes a movement the same one."""
    iban = movement.counterparty_iban
    return (
        movement.amount,
        movement.booked_on,
        movement.value_on,
        movement.bank_reference,
        movement.end_to_end_id,
        anonymity.without_numbers(movement.remittance),
        movement.counterparty_name,
        work.vault.index(PAYER, iban) if iban else None,
    )


async def _entries(work: Work, statement: BankStatement) -> list[Told]:
    found = await work.session.execute(
        select(
            col(BankEntry.amount),
            col(BankEntry.booked_on),
            col(BankEntry.value_on),
            col(BankEntry.bank_reference),
            col(BankEntry.end_to_end_id),
            col(BankEntry.remittance),
            col(BankEntry.counterparty_name),
            col(BankEntry.counterparty_iban_index),
        )
        .where(col(BankEntry.statement_id) == statement.id)
        .order_by(col(BankEntry.position))
    )
    return [(*row,) for row in found.all()]


async def _insert(work: Work, file: File, statement: bank.Statement) -> BankStatement:
    kept = BankStatement(
        format=StatementFormat(file.form),
        iban=statement.iban,
        statement_key=statement.key,
        starts_on=statement.starts_on,
        ends_on=statement.ends_on,
        opening=statement.opening,
        closing=statement.closing,
        file_name=file.name,
        file_hash=file.digest,
        imported_by_id=work.actor.id if work.actor.is_staff else None,
        imported_at=work.now,
    )
    work.session.add(kept)
    await work.session.flush()
    named = {one for movement in statement.movements for one in movement.references}
    ours = await _references_of_ours(work, named)
    for position, movement in enumerate(statement.movements, 1):
        iban = movement.counterparty_iban
        work.session.add(
            BankEntry(
                statement_id=kept.id,
                position=position,
                amount=movement.amount,
                booked_on=movement.booked_on,
                value_on=movement.value_on,
                bank_reference=movement.bank_reference,
                end_to_end_id=movement.end_to_end_id,
                reference=_reference(movement.references, ours),
                # payers write their national number there, and the accounts of others
                remittance=anonymity.without_numbers(movement.remittance),
                counterparty_name=movement.counterparty_name,
                counterparty_iban_sealed=work.vault.seal(iban) if iban else None,
                counterparty_iban_masked=masked_iban(iban),
                counterparty_iban_index=work.vault.index(PAYER, iban) if iban else None,
                return_code=movement.return_code,
            )
        )
    await work.session.flush()
    return kept


async def _references_of_ours(work: Work, references: set[str]) -> set[str]:
    named = any_(literal(sorted(references), ARRAY(Text)))
    found = await work.session.scalars(select(col(Invoice.reference)).where(col(Invoice.reference) == named))
    return set(found.all())


def _reference(given: Sequence[str], ours: set[str]) -> str:
    """The one that is ours; of several that all are, or of which none is, a person must say which."""
    mine = [one for one in given if one in ours]
    if len(mine) == 1 or (not mine and len(given) == 1):
        return (mine or list(given))[0]
    return ""


async def gap(work: Work, statement: BankStatement, language: str) -> str | None:
    """What does not connect with the account's statement before it, in words (`nl` or `en`)."""
    found = await work.session.scalars(
        select(BankStatement)
        .where(
            col(BankStatement.iban) == statement.iban,
            (col(BankStatement.ends_on) < statement.ends_on)
            | ((col(BankStatement.ends_on) == statement.ends_on) & (col(BankStatement.id) < statement.id)),
        )
        .order_by(col(BankStatement.ends_on).desc(), col(BankStatement.id).desc())
        .limit(1)
    )
    before = found.one_or_none()
    if before is None or before.closing == statement.opening:
        return None
    said = {
        "nl": "{this} begint met {opening}, maar {before} eindigde met {closing}: er ontbreken uittreksels.",
        "en": "{this} opens with {opening}, but {before} closed with {closing}: statements are missing.",
    }
    return said.get(language, said["nl"]).format(
        this=statement.statement_key,
        opening=statement.opening,
        before=before.statement_key,
        closing=before.closing,
    )


def _refused(reason: str) -> Refused:
    return Refused(ErrorCode.VALIDATION, path=_SAID, reason=reason)
