"""The files of applications and cases."""

from datetime import datetime
from uuid import UUID

from loket import records
from loket.api.context import Caller
from loket.api.procedures import Row
from loket.api.reads import Node, column, computed, entity
from loket.api.visibility import of_document


@entity(records.Document, policy=of_document)
class Document(Node):
    """A file of an application or a case."""

    kind: str = column(
        "ATTACHMENT, INVOICE, INVOICE_UBL, CREDIT_NOTE, CREDIT_NOTE_UBL, LETTER, DECISION_DRAFT, DECISION."
    )
    filename: str = column("Its name.")
    media_type: str = column("Its media type.")
    size: int = column("In bytes.")
    created_at: datetime = column("Since when.")

    @computed("id", "stored_at")
    def url(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """Where to get it, for a quarter of an hour; null until its content is there."""
        return viewer.file_link(UUID(row["id"])) if row["stored_at"] else None
