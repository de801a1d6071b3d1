"""Comparing the books, and settling what they disagree on."""

from datetime import date
from enum import StrEnum
from typing import Annotated

import strawberry
from strawberry import ID

from loket import cases, differences, elsewhere, journal_files, reconciliation, records
from loket.api.context import bookkeeper, engineer, settling, treasurer
from loket.api.naming import described, described_argument, enumeration, input_type, output
from loket.api.objects.books import Difference, JournalEntry, Reconciliation
from loket.api.objects.documents import Document
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.journal_files import JournalFormat
from loket.records import EntryState
from loket.work import Work


class Elsewhere(StrEnum):
    PLANNING = "PLANNING"
    STATUSES = "STATUSES"


enumeration(
    Elsewhere,
    {
        "PLANNING": "Of deliveries, the planning tool.",
        "STATUSES": "Of the statuses of cases, DOSIS.",
    },
    description="With what others have of what we compare.",
)


@input_type
class DifferenceRepairInput:
    """How it was settled."""

    reason: str = described("In words; needed where only a person can settle it.", default="")


@input_type
class JournalExportInput:
    """Of which days, and as what."""

    starts_on: date = strawberry.field(name="from", description="The first day.")
    ends_on: date = strawberry.field(name="to", description="The last day; at most a year later.")
    format: JournalFormat = described("As what.", default=JournalFormat.CSV)
    bom: bool = described(
        "Whether the CSV begins with a byte order mark, for a spreadsheet that asks it.", default=False
    )


@output
class JournalExportPayload(Payload):
    """The journal of a period as a file."""

    document: Document | None = described(
        "The file; there to be fetched for an hour. It can be made again at any time.", default=None
    )


@output
class ReconciliationPayload(Payload):
    """A reconciliation as it is now."""

    reconciliation: Reconciliation | None = described("The reconciliation.", default=None)


@output
class DifferencePayload(Payload):
    """A difference as it is now."""

    difference: Difference | None = described("The difference.", default=None)


@output
class JournalEntryPayload(Payload):
    """A journal entry as it is now."""

    journal_entry: JournalEntry | None = described("The journal entry.", default=None)


@strawberry.type
class Books:
    """Comparing the books."""

    @mutation(policy=treasurer)
    async def reconciliation_run(
        self,
        work: Work,
        starts_on: Annotated[date, described_argument("The first day.", name="from")],
        ends_on: Annotated[date, described_argument("The last day; today at the latest.", name="to")],
    ) -> ReconciliationPayload:
        """Compare all that is known of the money of a period; a worker does it, the answer follows there."""
        run = await reconciliation.start(work, starts_on, ends_on)
        return ReconciliationPayload(reconciliation=Reconciliation.of(run.id))

    @mutation(policy=engineer)
    async def comparison_run(
        self, work: Work, subject: Annotated[Elsewhere, described_argument("With what others have of what.")]
    ) -> ReconciliationPayload:
        """Ask the planning tool or DOSIS what it has, and compare, as is done daily; the answer follows."""
        run = await elsewhere.start(work, records.Compared(subject.value))
        return ReconciliationPayload(reconciliation=Reconciliation.of(run.id))

    @mutation(policy=settling)
    async def difference_repair(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which difference.")],
        idempotency_key: str,
        input: Annotated[DifferenceRepairInput | None, described_argument("How it was settled.")] = None,
    ) -> DifferencePayload:
        """Settle a difference: what was left out is done now; where that is a person's, write down how."""
        difference = await work.session.get(
            records.Difference, decode_id(id, "Difference"), with_for_update={"key_share": True}
        )
        if difference is None:
            raise Refused(ErrorCode.NOT_FOUND)
        await differences.repair(work, difference, input.reason if input else "")
        return DifferencePayload(difference=Difference.of(difference.id))

    @mutation(policy=treasurer)
    async def journal_export(
        self, work: Work, input: Annotated[JournalExportInput, described_argument("Of which days.")]
    ) -> JournalExportPayload:
        """Write the journal of a period as a file: for a package that reads files, or a spreadsheet."""
        document = await journal_files.make(work, input.starts_on, input.ends_on, input.format, bom=input.bom)
        return JournalExportPayload(document=Document.of(document.id))

    @mutation(policy=bookkeeper)
    async def journal_entry_resend(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which journal entry.")],
        idempotency_key: str,
    ) -> JournalEntryPayload:
        """Tell accounting of an entry again that it rejected."""
        entry = await work.session.get(records.JournalEntry, decode_id(id, "JournalEntry"))
        if entry is None:
            raise Refused(ErrorCode.NOT_FOUND)
        case = await cases.get(work, entry.case_id)
        await work.session.refresh(entry, with_for_update={"key_share": True})
        if entry.state is not EntryState.REJECTED:
            raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=entry.state)
        await reconciliation.tell_again(work, case, entry)
        return JournalEntryPayload(journal_entry=JournalEntry.of(entry.id))
