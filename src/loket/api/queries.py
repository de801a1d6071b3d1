"""The root fields that read; each with its policy."""

from datetime import date
from typing import Annotated

import strawberry
from strawberry import ID

from loket import blueprint as blueprints
from loket import cases, ledger, places, timetable
from loket.advice_links import get_by_token
from loket.api.context import (
    applying,
    back_office,
    bookkeeper,
    comparing,
    deciding,
    field_team,
    finance,
    integrator,
    mailing,
    operator,
    reader,
    settling,
    signed_in,
    staff,
    treasurer,
)
from loket.api.naming import described_argument
from loket.api.objects.advice import ADVICE_ORDER, Advice, AdviceFilter
from loket.api.objects.applications import APPLICATIONS_ORDER, Application, ApplicationFilter
from loket.api.objects.bank import (
    BANK_ENTRY_ORDER,
    BANK_STATEMENT_ORDER,
    BankEntry,
    BankEntryFilter,
    BankStatement,
)
from loket.api.objects.blueprint import Blueprint, shown
from loket.api.objects.books import (
    DIFFERENCE_ORDER,
    JOURNAL_ORDER,
    RECONCILIATION_ORDER,
    Difference,
    DifferenceFilter,
    JournalEntry,
    JournalEntryFilter,
    Ledger,
    Reconciliation,
    ledger_of,
)
from loket.api.objects.cases import CASE_ORDER, Case, CaseFilter
from loket.api.objects.casework import TASK_ORDER, Task, TaskFilter
from loket.api.objects.decisions import DECISION_ORDER, Decision, DecisionFilter, Meeting
from loket.api.objects.deliveries import DELIVERY_ORDER, Delivery, DeliveryFilter, Slot
from loket.api.objects.events import CaseEvent, Effect, EffectFilter
from loket.api.objects.letters import LETTER_BATCH_ORDER, LetterBatch
from loket.api.objects.messages import MESSAGE_ORDER, Message, MessageFilter
from loket.api.objects.money import (
    INVOICE_ORDER,
    PAYMENT_ORDER,
    PAYOUT_ORDER,
    Invoice,
    InvoiceFilter,
    Payment,
    PaymentFilter,
    Payout,
    PayoutFilter,
)
from loket.api.objects.viewers import Viewer
from loket.api.objects.webhooks import WEBHOOK_ORDER, Webhook, WebhookFilter
from loket.api.outside import AdviceRequest, request_of
from loket.api.procedures import Procedure, present
from loket.api.reads import (
    Connection,
    Node,
    anyone,
    by_column,
    by_id,
    many,
    object_by_id,
    objects_by_id,
    one,
)
from loket.api.roots import root
from loket.api.scalars import Cursor
from loket.api.texts import Texts
from loket.definition import DecidingBody
from loket.errors import ErrorCode, Failed, Refused
from loket.ids import decode_id
from loket.interests import Cursor as FeedCursor
from loket.publications import current
from loket.work import the_system


@strawberry.type(description="What can be read.")
class Query(Texts):
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
        orders=APPLICATIONS_ORDER,
        policy=applying,
    )
    invoice: Invoice | None = one(
        "One invoice by its number.", by=by_column("number", str, "Its number."), policy=signed_in
    )
    invoices: Connection[Invoice] = many(
        "Invoices, last issued first.",
        filter=InvoiceFilter,
        orders=INVOICE_ORDER,
        policy=signed_in,
    )
    payments: Connection[Payment] = many(
        "Payments, last begun first.",
        filter=PaymentFilter,
        orders=PAYMENT_ORDER,
        policy=finance,
    )
    payouts: Connection[Payout] = many(
        "Payouts, last ordered first.",
        filter=PayoutFilter,
        orders=PAYOUT_ORDER,
        policy=finance,
    )
    journal_entries: Connection[JournalEntry] = many(
        "The journal: what each movement of money or debt means in the books.",
        filter=JournalEntryFilter,
        orders=JOURNAL_ORDER,
        policy=bookkeeper,
    )
    reconciliations: Connection[Reconciliation] = many(
        "Comparisons of the books, and of what other systems have; last begun first.",
        orders=RECONCILIATION_ORDER,
        policy=comparing,
    )
    differences: Connection[Difference] = many(
        "Where two records of the same thing disagree, last found first.",
        filter=DifferenceFilter,
        orders=DIFFERENCE_ORDER,
        policy=settling,
    )
    bank_statements: Connection[BankStatement] = many(
        "The bank's statements, last imported first.",
        orders=BANK_STATEMENT_ORDER,
        policy=treasurer,
    )
    bank_entries: Connection[BankEntry] = many(
        "Movements on the municipality's account, last booked first.",
        filter=BankEntryFilter,
        orders=BANK_ENTRY_ORDER,
        policy=treasurer,
    )
    deliveries: Connection[Delivery] = many(
        "Deliveries: the field team's list.",
        filter=DeliveryFilter,
        orders=DELIVERY_ORDER,
        policy=field_team,
    )
    advices: Connection[Advice] = many(
        "Advice that was asked: the work list of advisers.",
        filter=AdviceFilter,
        orders=ADVICE_ORDER,
        policy=back_office,
    )
    decisions: Connection[Decision] = many(
        "Decisions: what the secretariat and the handlers work on.",
        filter=DecisionFilter,
        orders=DECISION_ORDER,
        policy=deciding,
    )
    letter_batches: Connection[LetterBatch] = many(
        "Batches of letters, last first.",
        orders=LETTER_BATCH_ORDER,
        policy=mailing,
    )
    tasks: Connection[Task] = many(
        "What people have to settle, longest waiting first.",
        filter=TaskFilter,
        orders=TASK_ORDER,
        policy=staff,
    )
    messages: Connection[Message] = many(
        "What was said, last first.",
        filter=MessageFilter,
        orders=MESSAGE_ORDER,
        policy=signed_in,
    )
    webhooks: Connection[Webhook] = many(
        "The addresses that you have told of events; for an operator of all departments everybody's.",
        filter=WebhookFilter,
        orders=WEBHOOK_ORDER,
        policy=integrator,
    )
    failed_effects: Connection[Effect] = many(
        "What other systems refused, or what is in doubt.",
        where="{t}.state IN ('PARKED', 'IN_DOUBT')",
        filter=EffectFilter,
        policy=operator,
    )

    @root(policy=treasurer)
    async def ledger(
        self,
        info: strawberry.Info,
        starts_on: Annotated[date, described_argument("The first day.", name="from")],
        ends_on: Annotated[date, described_argument("The last day.", name="to")],
    ) -> Ledger | None:
        """The ledger of a period: its debit and credit are equal."""
        async with info.context.transaction() as work:
            return ledger_of(starts_on, ends_on, list(await ledger.balances(work, starts_on, ends_on)))

    @root(policy=anyone)
    async def procedures(self, info: strawberry.Info) -> list[Procedure]:
        """The services that can be applied for today."""
        viewer = info.context.viewer
        shelf = viewer.loket.procedures
        await shelf.refresh_if_possible()
        valid = (current(shelf, key, viewer.today) for key in sorted({key for key, _ in shelf}))
        return [present(one, viewer.language, viewer.today) for one in valid if one is not None]

    @root(policy=anyone)
    async def procedure(
        self, info: strawberry.Info, key: Annotated[str, described_argument("Its key.")]
    ) -> Procedure | None:
        """One service, as it is today."""
        viewer = info.context.viewer
        await viewer.loket.procedures.refresh_if_possible()
        found = current(viewer.loket.procedures, key, viewer.today)
        return present(found, viewer.language, viewer.today) if found else None

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

    @root(policy=staff)
    async def blueprint(
        self,
        info: strawberry.Info,
        procedure: Annotated[str, described_argument("The key of the procedure.")],
        first: Annotated[
            date | None, described_argument("The first day; since the beginning without it.", name="from")
        ] = None,
        last: Annotated[
            date | None, described_argument("The last day; until now without it.", name="to")
        ] = None,
    ) -> Blueprint | None:
        """A procedure's blueprint with what really happened, for staff of the department that handles it."""
        viewer = info.context.viewer
        definition = blueprints.holding(viewer.loket.procedures, procedure, viewer.today)
        if definition is None or not blueprints.may_read(viewer.actor, definition):
            return None
        if first is not None and last is not None and last < first:
            raise Refused(ErrorCode.VALIDATION, path=["to"], reason="the last day is before the first")
        found = await blueprints.read(viewer.loket.database, definition, first, last, today=viewer.today)
        return shown(found, viewer.language)

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
            return [Slot.of(slot.id) for slot in await places.free_slots(work, case, limit=50)]

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
        return [CaseEvent.of(one.event_id, cursor=str(one.cursor), within=one.case_id) for one in found]
