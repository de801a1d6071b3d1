"""What citizens fill in, before it becomes a case."""

from datetime import datetime
from typing import cast

from strawberry.scalars import JSON

from loket import records, versions
from loket.api.carts import ORDERED, SENT_IN, SETTLED, Allowance, Cart, allowances_of, cart_of
from loket.api.context import Caller
from loket.api.drafts import OWN_NUMBERS, RequiredDocument, facts_of, others_in, required_in
from loket.api.naming import described, input_type, output
from loket.api.objects.conditions import among, equal
from loket.api.objects.documents import Document
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.procedures import Procedure, ProcedureChange, Row, changed, definition_of, present
from loket.api.reads import Node, column, computed, entity, listed, newest, one, orders, parts
from loket.api.visibility import of_application
from loket.enclosures import missing
from loket.lifecycle import ApplicationStatus
from loket.records import Channel


@output
class PrefilledField:
    """A field of the form that was filled from a source."""

    field: str = described("JSON pointer into the answers.")
    value: JSON = described("What the source said.")
    source: str = described("Which source.")
    fetched_at: datetime = described("When it said so.")
    editable: bool = described("Whether the applicant may change it.")


@output
class Issue:
    """What still stands in the way of handing an application in."""

    path: list[str] = described("Where, from the application on: answers, cart or documents.")
    code: str = described("For programs.")
    message: str = described("For people, in your language.")


@output
class NewerVersion:
    """The version of the procedure that holds today, for a draft that was begun on another one."""

    procedure: Procedure = described("The procedure as it is today.")
    changes: list[ProcedureChange] = described("What is different in it for you.")
    required: bool = described(
        "Whether the draft has to be taken over (`applicationUpgrade`) before it can be handed in: its own"
        " version holds no more. Else it may be handed in as it is."
    )


@entity(records.Application, policy=of_application)
class Application(Node):
    """What a citizen fills in (aanvraag): a draft until handed in."""

    channel: Channel = column("Filled in by the citizen, or by staff at the counter.")
    entered_by: StaffMember | None = one(
        "Who entered it at the counter; null for what a citizen began.", on="staff_id", with_parent=True
    )
    status: ApplicationStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    started_at: datetime = column("When it was begun.")
    updated_at: datetime = column("When it was last changed.")
    submitted_at: datetime | None = column("When it was handed in.")
    expires_at: datetime = column("Until when a draft is kept.")
    prefill: list[PrefilledField] = parts(
        "What was filled in from authentic sources.",
        "{t}.prefill",
        {
            "field": "{t} ->> 'field'",
            "value": "{t} -> 'value'",
            "source": "{t} ->> 'source'",
            "fetched_at": "({t} ->> 'fetched_at')::timestamptz",
            "editable": "coalesce(({t} ->> 'editable')::boolean, true)",
        },
    )
    documents: list[Document] = listed("Its files.", where="{t}.application_id = {parent}.id", order="{t}.id")
    case: ItsCase | None = one(
        "The case that it became.", where="{t}.application_id = {parent}.id", order="{t}.id"
    )

    @computed("procedure_key", "procedure_version", "answers", "status")
    def answers(row: Row, viewer: Caller) -> JSON:  # noqa: N805  # no self
        """What was filled in, in the shape of the form; a national number masked, but in your own draft."""
        draft = row["status"] == ApplicationStatus.DRAFT
        return cast("JSON", viewer.answers_shown(definition_of(row, viewer), row["answers"], draft=draft))

    @computed("procedure_key", "procedure_version")
    def procedure(row: Row, viewer: Caller) -> Procedure:  # noqa: N805  # no self
        """The procedure, in the version that it was begun with."""
        return present(definition_of(row, viewer), viewer.language, viewer.today)

    @computed("procedure_key", "procedure_version", "status")
    def newer_version(row: Row, viewer: Caller) -> NewerVersion | None:  # noqa: N805  # no self
        """What became different since this draft was begun; null where it is on the version of today."""
        if row["status"] != ApplicationStatus.DRAFT:
            return None
        definition = definition_of(row, viewer)
        newer = versions.newer(viewer.loket.procedures, definition, viewer.today)
        if newer is None:
            return None
        return NewerVersion(
            procedure=present(newer, viewer.language, viewer.today),
            changes=changed(definition, newer, viewer, for_applicant=True),
            required=not definition.valid_on(viewer.today),
        )

    @computed(
        "procedure_key",
        "procedure_version",
        "cart",
        "answers",
        "facts",
        "channel",
        "household_index",
        ordered=ORDERED,
        settled=SETTLED,
        sent_in=SENT_IN,
    )
    def cart(row: Row, viewer: Caller) -> Cart:  # noqa: N805  # no self
        """What is ordered."""
        return cart_of(definition_of(row, viewer), row, viewer)

    @computed("procedure_key", "procedure_version", "household_index", ordered=ORDERED)
    def allowances(row: Row, viewer: Caller) -> list[Allowance]:  # noqa: N805  # no self
        """How many of each product your household may still order, what is in the cart not counted."""
        return allowances_of(definition_of(row, viewer), row, viewer)

    @computed(
        "procedure_key", "procedure_version", "answers", "cart", "facts", "channel", "status", sent_in=SENT_IN
    )
    def required_documents(row: Row, viewer: Caller) -> list[RequiredDocument]:  # noqa: N805  # no self
        """The papers without which a draft is not taken, by what it says now; none once it is handed in."""
        if row["status"] != ApplicationStatus.DRAFT:
            return []
        definition = definition_of(row, viewer)
        return required_in(definition, facts_of(definition, row, viewer), viewer.language)

    @computed(
        *("procedure_key", "procedure_version", "answers", "cart", "facts", "channel", "status"),
        sent_in=SENT_IN,
        own_numbers=OWN_NUMBERS,
    )
    def issues(row: Row, viewer: Caller) -> list[Issue]:  # noqa: N805  # no self
        """All that still stands in the way of handing it in; empty when nothing does."""
        if row["status"] != ApplicationStatus.DRAFT:
            return []
        definition = definition_of(row, viewer)
        faults = viewer.faults_of(definition, viewer.answers_of(definition, row["answers"]), row["cart"])
        known = facts_of(definition, row, viewer)
        faults += missing(definition, known, viewer.language)
        faults += others_in(definition, known, row, viewer)
        return [Issue(path=fault.path, code=fault.code, message=fault.message) for fault in faults]


@input_type
class ApplicationFilter:
    """Which applications."""

    status: list[ApplicationStatus] | None = among("In one of these.", "status")
    procedure: str | None = equal("Of this procedure.", "procedure_key")


APPLICATIONS_ORDER = orders(
    "ApplicationsOrder",
    "In which order applications come.",
    NEWEST=(newest("started_at"), "Last begun first."),
)
