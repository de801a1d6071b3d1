"""What was looked up automatically."""

from datetime import datetime

from loket import records
from loket.api.context import Caller
from loket.api.objects.documents import Document
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.procedures import Row, definition_of
from loket.api.reads import Node, column, computed, entity, one
from loket.api.visibility import of_case
from loket.lifecycle import CheckStatus


@entity(records.Check, policy=of_case)
class Check(Node):
    """An automatic look-up: yes or no with its reference, never the data itself."""

    kind: str = column("Its key in the definition; SOURCES for the National Register.")
    status: CheckStatus = column("What came of it.")
    round: int = column("Of which round of the case.")
    code: str = column("The source's own word.")
    reference: str = column("Under which the source knows the question.")
    started_at: datetime = column("Since when.")
    ended_at: datetime | None = column("Until when.")
    remark: str | None = column(
        "What the handler says of the document in its place.", allowed=lambda scope: scope.is_staff
    )
    document: Document | None = one("What stands in its place.", on="document_id", with_parent=True)
    replaced_by: StaffMember | None = one("Who put it there.", on="replaced_by_id", with_parent=True)
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)

    @computed(
        "kind",
        procedure_key='(SELECT c.procedure_key FROM "case" c WHERE c.id = {t}.case_id)',
        procedure_version='(SELECT c.procedure_version FROM "case" c WHERE c.id = {t}.case_id)',
    )
    def title(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """What was looked up, in your language."""
        spec = definition_of(row, viewer).check(row["kind"])
        if spec is not None:
            return spec.title.get(viewer.language)
        return "National Register" if viewer.language == "en" else "Rijksregister"
