"""The bank's statements: imported, and what did not match by itself, by a person."""

import asyncio
import base64
import binascii
import zlib
from datetime import date
from typing import Annotated
from uuid import UUID

import orjson
import strawberry
from strawberry import ID

from loket import bank, cases, matching, statement_files, statements
from loket.api.context import treasurer
from loket.api.idempotency import request_hash
from loket.api.naming import described, described_argument, input_type, output
from loket.api.objects.bank import BankEntry, BankStatement
from loket.api.objects.money import Invoice, Payment, Payout
from loket.api.payloads import Payload
from loket.api.roots import kept_whole, mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.work import Work

MATCH_SECONDS = 5.0
"""How long an import waits for its movements to be matched; a worker goes on with the rest."""
MOST_IDS = 500
_GZIP = b"\x1f\x8b"
_CONTENT = ["input", "content"]


@input_type
class BankStatementInput:
    """A file of the bank: CODA 2, camt.053.001.02 or camt.053.001.08."""

    name: str = described("The name of the file.")
    content: str = described("The file in base64; a large one is compressed with gzip first.")


@input_type
class PaymentMatchInput:
    """What a movement is: one of these."""

    invoice_id: ID | None = described("Money that came pays this invoice.", default=None)
    payout_id: ID | None = described("It is this payout leaving, or coming back.", default=None)


@input_type
class BankEntrySetAsideInput:
    """Which movements are not for Loket: these, or all that name somebody else's invoice."""

    reason: str = described("Why.")
    ids: list[ID] | None = described(f"These, at most {MOST_IDS}.", default=None)
    foreign_until: date | None = described(
        "All open ones booked until this day with a structured communication that is none of ours.",
        default=None,
    )


@output
class BankStatementImportPayload(Payload):
    """The statements of a file."""

    statements: list[BankStatement] = described("In the order of the file.", default_factory=list)
    imported: int = described("How many were not known before.", default=0)
    warnings: list[str] = described(
        "Where a new one does not connect with the statement before it.", default_factory=list
    )


@output
class PaymentMatchPayload(Payload):
    """A movement, and what it is."""

    entry: BankEntry | None = described("The movement.", default=None)
    invoice: Invoice | None = described("The invoice that it pays.", default=None)
    payment: Payment | None = described("The payment that it is.", default=None)
    payout: Payout | None = described("The payout that it is, or the return of.", default=None)


@output
class BankEntrySetAsidePayload(Payload):
    """What was set aside."""

    count: int = described("How many.", default=0)
    entries: list[BankEntry] = described("Those that were named.", default_factory=list)


@strawberry.type
class Bank:
    """The bank's statements."""

    @mutation(policy=treasurer, remembers=False)
    async def bank_statement_import(
        self,
        info: strawberry.Info,
        input: Annotated[BankStatementInput, described_argument("The file.")],
        idempotency_key: str,
    ) -> BankStatementImportPayload:
        """Import a file of statements, whole or not at all; a statement that was imported before is known.

        Its movements are matched at once; of many thousands a worker matches the rest within minutes.
        """
        context = info.context
        content = _unpacked(input.content)
        file = await asyncio.to_thread(statements.read, input.name.strip(), content)
        asked = request_hash("bank_statement_import", {"sha256": file.digest.hex()})

        async def keep(work: Work) -> statements.Imported:
            known = await context.memory.recall(
                work, actor=context.actor_key, key=idempotency_key, request_hash=asked
            )
            if known is not None:
                told = orjson.loads(known)
                return statements.Imported(
                    tuple(map(UUID, told["statements"])), tuple(map(UUID, told["new"]))
                )
            imported = await statements.keep(work, file)
            await context.memory.remember(
                work, actor=context.actor_key, key=idempotency_key, answer=orjson.dumps(imported)
            )
            return imported

        imported = await kept_whole(context, keep)
        warnings = await statement_files.gaps(context.loket, imported, context.viewer.language)
        await statement_files.match_due(context.loket, seconds=MATCH_SECONDS)
        return BankStatementImportPayload(
            statements=[BankStatement.of(one) for one in imported.statements],
            imported=len(imported.new),
            warnings=warnings,
        )

    @mutation(policy=treasurer)
    async def payment_match(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which movement.")],
        input: Annotated[PaymentMatchInput, described_argument("What it is.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> PaymentMatchPayload:
        """Say what a movement is of. Money for an invoice that is paid or taken back is given back."""
        entry = await matching.get_locked(work, decode_id(id, "BankEntry"), expected_version)
        if (input.invoice_id is None) == (input.payout_id is None):
            raise Refused(ErrorCode.VALIDATION, path=["input"], reason="an invoice or a payout")
        answer = PaymentMatchPayload(entry=BankEntry.of(entry.id))
        if input.invoice_id is not None:
            named = decode_id(input.invoice_id, "Invoice", path=["input", "invoiceId"])
            invoice = await matching.match_to_invoice(work, entry, named)
            answer.invoice = Invoice.of(invoice.id)
        elif input.payout_id is not None:
            named = decode_id(input.payout_id, "Payout", path=["input", "payoutId"])
            payout = await matching.match_to_payout(work, entry, named)
            answer.payout = Payout.of(payout.id)
        if entry.payment_id is not None:
            answer.payment = Payment.of(entry.payment_id)
        return answer

    @mutation(policy=treasurer)
    async def bank_entry_set_aside(
        self,
        work: Work,
        input: Annotated[BankEntrySetAsideInput, described_argument("Which, and why.")],
        idempotency_key: str,
    ) -> BankEntrySetAsidePayload:
        """Say that movements are not for Loket. One that was set aside can be matched still."""
        reason = cases.said(input.reason, "reason")
        if (input.ids is None) == (input.foreign_until is None):
            raise Refused(ErrorCode.VALIDATION, path=["input"], reason="ids, or foreignUntil")
        if input.foreign_until is not None:
            done = await matching.set_aside_foreign(work, input.foreign_until, reason)
            return BankEntrySetAsidePayload(count=len(done))
        ids = input.ids or []
        if len(ids) > MOST_IDS:
            raise Refused(ErrorCode.TOO_LARGE, path=["input", "ids"], limit=f"{MOST_IDS} movements")
        named = [decode_id(one, "BankEntry", path=["input", "ids"]) for one in ids]
        done = await matching.set_aside(work, named, reason)
        return BankEntrySetAsidePayload(count=len(done), entries=[BankEntry.of(one) for one in done])


def _unpacked(text: str) -> bytes:
    """The bytes of the file, however small its compressed form is. Raises `Refused`."""
    try:
        content = base64.b64decode(text, validate=True)
        if not content.startswith(_GZIP):
            return content
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content = unpacking.decompress(content, bank.LARGEST_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as fault:
        raise Refused(ErrorCode.VALIDATION, path=_CONTENT, reason="base64, or of gzip") from fault
    if len(content) > bank.LARGEST_BYTES:
        raise Refused(ErrorCode.TOO_LARGE, path=_CONTENT, limit=f"{bank.LARGEST_BYTES} bytes")
    if not unpacking.eof:
        raise Refused(ErrorCode.VALIDATION, path=_CONTENT, reason="the gzip is cut off")
    return content
