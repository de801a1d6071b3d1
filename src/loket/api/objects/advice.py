"""What advisers think of applications."""

from datetime import date, datetime

from loket import records
from loket.advice import Opinion
from loket.api.context import Caller, back_office, staff
from loket.api.naming import input_type
from loket.api.objects.checks import Check
from loket.api.objects.conditions import among, equal
from loket.api.objects.documents import Document
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.procedures import Row, definition_of
from loket.api.reads import (
    Node,
    column,
    computed,
    condition,
    entity,
    expression,
    listed,
    newest,
    oldest,
    one,
    orders,
)
from loket.api.visibility import ASKED_OF_ME, of_advice
from loket.lifecycle import AdviceStatus
from loket.records import AdviserKind


@entity(records.Advice, policy=of_advice)
class Advice(Node):
    """What a service of our own, a body elsewhere or a machine thinks of an application (advies).

    The applicant sees whom it was asked of and how it stands; what was said is for staff.
    """

    adviser: str = column("Who is asked: its key in the procedure.")
    kind: AdviserKind = column("What kind of adviser.")
    reference: str = expression(
        "The number of the case, which an adviser may know also where the case itself is not theirs to see.",
        '(SELECT c.reference FROM "case" c WHERE c.id = {t}.case_id)',
    )
    status: AdviceStatus = column("Where it stands.")
    round: int = column("Of which round of the case.")
    due_on: date = column("The last day to answer.")
    requested_at: datetime = column("When it was asked.")
    question: str | None = column("What is asked.", allowed=back_office)
    requested_by: StaffMember | None = one(
        "Who asked; null where the procedure does.", on="requested_by_id", policy=back_office
    )
    opinion: Opinion | None = expression(
        "What the adviser thinks of it.",
        "CASE WHEN {t}.status IN ('POSITIVE', 'NEGATIVE', 'CONDITIONAL') THEN {t}.status END",
    )
    text: str | None = column("Why, in the adviser's words.", "opinion", allowed=back_office)
    conditions: str | None = column("On which conditions.", allowed=back_office)
    given_by: str | None = column("Who answered.", allowed=back_office)
    given_at: datetime | None = column("When it was answered.")
    check: Check | None = one("Of a machine: the check that is its answer.", on="check_id", policy=staff)
    case: ItsCase | None = one("On which case; for an adviser until it ends.", on="case_id")
    documents: list[Document] = listed(
        "What the applicant added, where the adviser may see it.",
        where="{t}.case_id = {parent}.case_id AND {t}.application_id IS NOT NULL",
        order="{t}.id",
    )

    @computed(
        "adviser",
        procedure_key='(SELECT c.procedure_key FROM "case" c WHERE c.id = {t}.case_id)',
        procedure_version='(SELECT c.procedure_version FROM "case" c WHERE c.id = {t}.case_id)',
    )
    def title(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """Who is asked, in your language."""
        adviser = definition_of(row, viewer).adviser(row["adviser"])
        return adviser.title.get(viewer.language) if adviser else row["adviser"]


@input_type
class AdviceFilter:
    """Which advice; all conditions together."""

    mine: bool | None = condition(
        "That is asked of you: of your own service or body, as an adviser.", f"({ASKED_OF_ME}) = {{value}}"
    )
    status: list[AdviceStatus] | None = among("In one of these.", "status")
    open: bool | None = condition(
        "That is awaited still, or not any more.", "({t}.status IN ('REQUESTED', 'REMINDED')) = {value}"
    )
    overdue: bool | None = condition(
        "Of which the deadline has passed without an answer.",
        "({t}.given_at IS NULL AND {t}.status <> 'WITHDRAWN' AND {t}.due_on"
        " < (now() AT TIME ZONE 'Europe/Brussels')::date) = {value}",
    )
    due_before: date | None = condition("To be answered before this day.", "{t}.due_on < {value}")
    kind: AdviserKind | None = equal("Of this kind of adviser.", "kind")
    adviser: str | None = equal("Of this adviser of the procedure.", "adviser")


ADVICE_ORDER = orders(
    "AdviceOrder",
    "In which order advice comes.",
    DUE=(oldest("due_on"), "First due first."),
    NEWEST=(newest("requested_at"), "Last asked first."),
)
