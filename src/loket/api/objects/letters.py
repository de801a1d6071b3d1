"""Letters, and the batches in which they go to the printer."""

from datetime import date, datetime
from uuid import UUID

from loket import records
from loket.api.context import Caller
from loket.api.enums.messages import LegalValue
from loket.api.objects.documents import Document
from loket.api.objects.links import ItsCase
from loket.api.procedures import Row
from loket.api.reads import Node, column, computed, entity, expression, listed, newest, one, orders
from loket.api.visibility import of_case, of_house
from loket.records import LetterStatus, LetterWay


@entity(records.Letter, policy=of_case)
class Letter(Node):
    """A letter, in the eBox or on paper (brief)."""

    way: LetterWay = column("How it goes.")
    status: LetterStatus = column("Where it stands.")
    subject: str = column("What it is about.")
    registered_number: str | None = column("The number of the registered letter.")
    created_at: datetime = column("When it was written.")
    sent_at: datetime | None = column("When it was sent.")
    reason: str = column("Why it will not arrive.")
    legal_value: LegalValue = expression(
        "Whether it is a legal delivery, or only informs.",
        "CASE WHEN {t}.way = 'NORMAL' THEN 'INFORMATIVE' ELSE 'LEGAL' END",
    )
    document: Document | None = one("Its paper.", on="document_id", with_parent=True)
    case: ItsCase = one("About which case.", on="case_id", with_parent=True)


@entity(records.LetterBatch, policy=of_house)
class LetterBatch(Node):
    """Letters that were handed to who prints and posts them."""

    made_on: date = column("The day.")
    number: int = column("The how manieth of that day.")
    size: int = column("How many letters.", "letters")
    created_at: datetime = column("When.")
    posted_at: datetime | None = column("When the last proof of posting came in.")
    letters: list[Letter] = listed(
        "The letters, in the order of the print; the first hundred.",
        where="{t}.batch_id = {parent}.id",
        order="{t}.sequence",
    )

    @computed("document_id")
    def url(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """Where to get the file with all of them, for a quarter of an hour."""
        return viewer.file_link(UUID(row["document_id"]))


LETTER_BATCH_ORDER = orders(
    "LetterBatchOrder",
    "In which order batches come.",
    NEWEST=(newest("created_at"), "Last made first."),
)
