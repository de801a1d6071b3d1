"""The root fields that read; each with its policy."""

from datetime import date, datetime
from typing import Annotated

import strawberry
from strawberry import ID

from loket import cases, deliveries, timetable
from loket.advice_links import get_by_token
from loket.api.context import (
    applying,
    back_office,
    deciding,
    field_team,
    finance,
    mailing,
    operator,
    reader,
    signed_in,
    staff,
)
from loket.api.naming import decode_id, described, described_argument, input_type, output
from loket.api.objects.advice import Advice, AdviceFilter
from loket.api.objects.applications import Application
from loket.api.objects.cases import CASE_ORDER, Case, CaseFilter
from loket.api.objects.casework import ROLE_OF_TASK, Task
from loket.api.objects.decisions import Decision
from loket.api.objects.deliveries import Delivery, Slot
from loket.api.objects.events import CaseEvent, Effect
from loket.api.objects.letters import LetterBatch
from loket.api.objects.messages import Message, MessageFilter
from loket.api.objects.money import Invoice, Payment, Payout
from loket.api.objects.viewers import Viewer
from loket.api.outside import AdviceRequest, request_of
from loket.api.procedures import Procedure, present
from loket.api.reads import (
    Connection,
    Node,
    anyone,
    by_column,
    by_id,
    condition,
    many,
    newest,
    object_by_id,
    objects_by_id,
    oldest,
    one,
    orders,
)
from loket.api.roots import root
from loket.api.scalars import Cursor
from loket.definition import DecidingBody
from loket.errors import ErrorCode, Failed, Refused
from loket.feed import Cursor as FeedCursor
from loket.lifecycle import (
    ApplicationStatus,
    DecisionStatus,
    DeliveryStatus,
    InvoiceStatus,
    PaymentStatus,
    PayoutStatus,
    Role,
    TaskStatus,
)
from loket.records import EffectState, PayoutKind
from loket.work import the_system


@input_type
class ApplicationFilter:
    """Which applications."""

    status: list[ApplicationStatus] | None = condition(
        "In one of these.", "{t}.status = ANY({value}::text[])"
    )
    procedure: str | None = condition("Of this procedure.", "{t}.procedure_key = {value}")


@input_type
class InvoiceFilter:
    """Which invoices."""

    status: list[InvoiceStatus] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")
    reference: str | None = condition(
        "With this structured communication, 12 digits.", "{t}.reference = {value}"
    )
    due_before: date | None = condition("Due before this day.", "{t}.due_on < {value}")


@input_type
class PaymentFilter:
    """Which payments."""

    status: list[PaymentStatus] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")


@input_type
class PayoutFilter:
    """Which payouts."""

    status: list[PayoutStatus] | None = condition(
        "In one of these states.", "{t}.status = ANY({value}::text[])"
    )
    kind: PayoutKind | None = condition("Of this kind.", "{t}.kind = {value}")


@input_type
class DeliveryFilter:
    """Which deliveries."""

    status: list[DeliveryStatus] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")
    on: date | None = condition(
        "On this day in Belgium.", "({t}.starts_at AT TIME ZONE 'Europe/Brussels')::date = {value}"
    )
    postal_code: str | None = condition(
        "In this part of the municipality.", "{t}.address ->> 'postal_code' = {value}"
    )


@input_type
class DecisionFilter:
    """Which decisions."""

    status: list[DecisionStatus] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")
    body: DecidingBody | None = condition("Of this body.", "{t}.body = {value}")
    on_agenda: bool | None = condition(
        "That were sent to the minutes system, or not.", "({t}.agenda_item_id IS NOT NULL) = {value}"
    )
    meeting_on: date | None = condition(
        "Of the meeting of this day.",
        "{t}.agenda_item_id IN (SELECT a.id FROM agendaitem a WHERE a.meeting_on = {value})",
    )
    procedure: str | None = condition(
        "Of this procedure.", '{t}.case_id IN (SELECT c.id FROM "case" c WHERE c.procedure_key = {value})'
    )


@input_type
class TaskFilter:
    """Which tasks."""

    status: TaskStatus | None = condition("Open or done.", "{t}.status = {value}")
    kind: str | None = condition("About this.", "{t}.kind = {value}")
    role: Role | None = condition("Of this role.", f"{ROLE_OF_TASK} = {{value}}")
    case: ID | None = condition("On this case.", "{t}.case_id = {value}", by_id="Case")


@input_type
class EffectFilter:
    """Which effects."""

    system: str | None = condition("For this system.", "{t}.system = {value}")
    state: EffectState | None = condition("In this state.", "{t}.state = {value}")


@output
class Meeting:
    """A meeting of a body that takes items still."""

    uid: str = described("The minutes system's own name for it.")
    title: str = described("Its title.")
    starts_at: datetime = described("When it begins.")
    accepts_until: datetime | None = described("Until when items can come, where it says.")


@strawberry.type(description="What can be read.")
class Query:
    viewer: Viewer | None = one("You; null when you are not signed in.", policy=anyone)
    node: Node | None = object_by_id(policy=anyone)
    nodes: list[Node | None] = objects_by_id(policy=anyone)
    case: Case | None = one(
        "One case by its reference.",
        by=by_column("reference", str, "The public reference, such as CB-2026-7KQ3M9-X."),
        policy=reader,
    )
    cases: Connection[Case] = many(
        "The cases that you may see: the work queue for staff, your own as a citizen.",
        filter=CaseFilter,
        orders=CASE_ORDER,
        policy=reader,
    )
    application: Application | None = one(
        "One of your applications; for handlers one that was begun at the counter.",
        by=by_id("Application", "Its id."),
        policy=applying,
    )
    applications: Connection[Application] = many(
        "Your applications; for handlers those that were begun at the counter.",
        filter=ApplicationFilter,
        orders=orders(
            "ApplicationsOrder",
            "In which order applications come.",
            NEWEST=(newest("started_at"), "Last begun first."),
        ),
        policy=applying,
    )
    invoice: Invoice | None = one(
        "One invoice by its number.", by=by_column("number", str, "Its number."), policy=signed_in
    )
    invoices: Connection[Invoice] = many(
        "Invoices, last issued first.",
        filter=InvoiceFilter,
        orders=orders(
            "InvoiceOrder",
            "In which order invoices come.",
            NEWEST=(newest("issued_on"), "Last issued first."),
            DUE=(oldest("due_on"), "First due first."),
        ),
        policy=signed_in,
    )
    payments: Connection[Payment] = many(
        "Payments, last begun first.",
        filter=PaymentFilter,
        orders=orders(
            "PaymentOrder",
            "In which order payments come.",
            NEWEST=(newest("started_at"), "Last begun first."),
        ),
        policy=finance,
    )
    payouts: Connection[Payout] = many(
        "Payouts, last ordered first.",
        filter=PayoutFilter,
        orders=orders(
            "PayoutOrder",
            "In which order payouts come.",
            NEWEST=(newest("ordered_at"), "Last ordered first."),
            OLDEST=(oldest("ordered_at"), "First ordered first."),
        ),
        policy=finance,
    )
    deliveries: Connection[Delivery] = many(
        "Deliveries: the field team's list.",
        filter=DeliveryFilter,
        orders=orders(
            "DeliveryOrder",
            "In which order deliveries come.",
            ROUTE=(oldest("route"), "Street by street."),
        ),
        policy=field_team,
    )
    advices: Connection[Advice] = many(
        "Advice that was asked: the work list of advisers.",
        filter=AdviceFilter,
        orders=orders(
            "AdviceOrder",
            "In which order advice comes.",
            DUE=(oldest("due_on"), "First due first."),
            NEWEST=(newest("requested_at"), "Last asked first."),
        ),
        policy=back_office,
    )
    decisions: Connection[Decision] = many(
        "Decisions: what the secretariat and the handlers work on.",
        filter=DecisionFilter,
        orders=orders(
            "DecisionOrder", "In which order decisions come.", NEWEST=(newest("id"), "Last first.")
        ),
        policy=deciding,
    )
    letter_batches: Connection[LetterBatch] = many(
        "Batches of letters, last first.",
        orders=orders(
            "LetterBatchOrder",
            "In which order batches come.",
            NEWEST=(newest("created_at"), "Last made first."),
        ),
        policy=mailing,
    )
    tasks: Connection[Task] = many(
        "What people have to settle, longest waiting first.",
        filter=TaskFilter,
        orders=orders(
            "TaskOrder", "In which order tasks come.", OLDEST=(oldest("opened_at"), "Longest waiting first.")
        ),
        policy=staff,
    )
    messages: Connection[Message] = many(
        "What was said, last first.",
        filter=MessageFilter,
        orders=orders(
            "MessageOrder", "In which order messages come.", NEWEST=(newest("queued_at"), "Last first.")
        ),
        policy=signed_in,
    )
    failed_effects: Connection[Effect] = many(
        "What other systems refused, or what is in doubt.",
        where="{t}.state IN ('PARKED', 'IN_DOUBT')",
        filter=EffectFilter,
        policy=operator,
    )

    @root(policy=anyone)
    def procedures(self, info: strawberry.Info) -> list[Procedure]:
        """The services that can be applied for today."""
        viewer = info.context.viewer
        newest_valid = {
            key: definition
            for (key, _), definition in sorted(viewer.loket.procedures.items())
            if definition.valid_on(viewer.today)
        }
        return [present(one, viewer.language, viewer.today) for one in newest_valid.values()]

    @root(policy=anyone)
    def procedure(
        self, info: strawberry.Info, key: Annotated[str, described_argument("Its key.")]
    ) -> Procedure | None:
        """One service, as it is today."""
        viewer = info.context.viewer
        valid = [
            one
            for (name, _), one in viewer.loket.procedures.items()
            if name == key and one.valid_on(viewer.today)
        ]
        newest_one = max(valid, key=lambda one: one.version, default=None)
        return present(newest_one, viewer.language, viewer.today) if newest_one else None

    @root(policy=deciding)
    async def meetings(
        self, info: strawberry.Info, body: Annotated[DecidingBody, described_argument("Of which body.")]
    ) -> list[Meeting]:
        """The meetings of a body that still take items, the first one first."""
        try:
            found = await info.context.loket.systems.minutes.open_meetings(body)
        except Failed as fault:
            raise Refused(ErrorCode.SYSTEM_UNAVAILABLE, system="Het notuleringspakket") from fault
        return [
            Meeting(uid=one.uid, title=one.title, starts_at=one.at, accepts_until=one.accepts_until)
            for one in found
        ]

    @root(policy=anyone)
    async def advice_by_token(
        self, info: strawberry.Info, token: Annotated[str, described_argument("What stands in the link.")]
    ) -> AdviceRequest | None:
        """What an external adviser is asked; null for any link that is of no use (any more)."""
        context = info.context
        try:
            async with context.loket.work(the_system("Advice")) as work:
                case, advice = await get_by_token(work, token)
                return await request_of(work, case, advice, context.viewer)
        except Refused:
            return None

    @root(policy=signed_in)
    async def delivery_slots(
        self, info: strawberry.Info, case_id: Annotated[ID, described_argument("For which case.")]
    ) -> list[Slot]:
        """The slots that can be chosen for a case now, as the planning tool offers them."""
        context = info.context
        async with context.transaction() as work:
            case = await cases.get(work, decode_id(case_id, "Case"))
        await timetable.read_again(context.loket, case.id)
        async with context.transaction() as work:
            case = await cases.get(work, decode_id(case_id, "Case"))
            return [Slot.of(slot.id) for slot in await deliveries.free_slots(work, case, limit=50)]

    @root(policy=signed_in)
    async def events(
        self,
        info: strawberry.Info,
        after: Annotated[Cursor | None, described_argument("Only what came after this cursor.")] = None,
        first: Annotated[int, described_argument("How many, at most 100.")] = 50,
    ) -> list[CaseEvent]:
        """Events that you may see, as they happened: to read on from a cursor without a socket."""
        context = info.context
        since = FeedCursor.parse(after) if after else None
        found = await context.loket.feed.page(context.viewer.interest, since, min(max(first, 1), 100))
        return [CaseEvent.of(one.event_id, cursor=str(one.cursor)) for one in found]
