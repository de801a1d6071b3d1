"""What the municipality handles."""

from datetime import date, datetime

from strawberry import ID

from loket import records
from loket.api.actions import CaseAction
from loket.api.context import Caller, signed_in, staff
from loket.api.enums.cases import PhaseState
from loket.api.naming import described, input_type, output
from loket.api.objects.advice import Advice
from loket.api.objects.applications import Application
from loket.api.objects.casework import Note, Task
from loket.api.objects.checks import Check
from loket.api.objects.co_applications import CoApplication
from loket.api.objects.conditions import among, equal
from loket.api.objects.decisions import Decision
from loket.api.objects.deliveries import Delivery
from loket.api.objects.documents import Document
from loket.api.objects.events import EVENTS_OF_THE_CASE, HERE_AND_NOW, TIMELINE_ORDER, CaseEvent, Effect
from loket.api.objects.likenesses import LIKE, CaseDuplicate, duplicates_of
from loket.api.objects.messages import Message, MessageFilter
from loket.api.objects.money import Invoice, Payout, Refund
from loket.api.objects.people import Person, StaffMember
from loket.api.offers import NEEDS, course_in, offers
from loket.api.procedures import Procedure, Row, definition_of, present
from loket.api.reads import (
    Connection,
    Node,
    column,
    computed,
    condition,
    entity,
    expression,
    listed,
    many,
    newest,
    oldest,
    one,
    orders,
    parts,
)
from loket.api.scalars import Cursor
from loket.api.visibility import of_cases
from loket.definition import Definition
from loket.experiences import rateable
from loket.lifecycle import Stage, Status
from loket.phases import last_place
from loket.records import Channel, Feeling
from loket.records.people import NAMES, folded


@output
class InformationRequest:
    """What the applicant was asked."""

    question: str = described("The question.")
    asked_at: datetime = described("When.")
    answer_by: date = described("Until when an answer is awaited.")
    awaited: bool = described("Whether an answer is awaited now.")


@output
class CasePhase:
    """A phase of the blueprint, and how far the case is in it."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    state: PhaseState = described("Behind it, in it, or ahead of it.")
    can_rate: bool = described("Whether you can say now how you found it: `experienceRate`.")
    feeling: Feeling | None = described("How you found it; null for who did not apply.")


@output
class Suspension:
    """A period in which the term stands still."""

    reason: str = described("Why.")
    started_on: date = described("From when.")
    ended_on: date | None = described("Until when; null while it lasts.")


@output
class AvailableAction:
    """Something that you may do with a case."""

    action: CaseAction = described("Which mutation.")
    enabled: bool = described("Whether it is possible now.")
    reason_disabled: str | None = described("Why not, in your language.")


@entity(records.Case, policy=of_cases)
class Case(Node):
    """What the municipality handles (dossier), from submission on."""

    reference: str = column("Its public reference.")
    status: Status = column("Where it stands.")
    stage: Stage = column("In which stage it is.")
    version: int = column("The number of its events; for `expectedVersion`.")
    round: int = column("Raised by a reopening.")
    cursor: Cursor = expression("Subscribe `after` this: nothing is lost in between.", HERE_AND_NOW)
    submitted_at: datetime = column("When it was handed in.")
    due: date = column("The last day to decide.", "due_on")
    overdue: bool = column("Whether that day has passed without a decision.")
    channel: Channel = column("How the application came in.")
    department: str = column("Who handles it.")
    outcome: str | None = column("How it ended.")
    closed_at: datetime | None = column("When it ended.")
    valid_from: date | None = column(
        "The first day on which what was granted holds; null where nothing does."
    )
    valid_until: date | None = column("The last day on which it holds; the case stays completed after it.")
    suspensions: list[Suspension] = parts(
        "Periods in which the term stood still.",
        "{t}.suspensions",
        {
            "reason": "{t} ->> 'reason'",
            "started_on": "({t} ->> 'from')::date",
            "ended_on": "({t} ->> 'to')::date",
        },
    )
    applicant: Person = one("Who applied.", on="person_id", with_parent=True)
    entered_by: StaffMember | None = one(
        "Who entered it at the counter; null for what a citizen began.",
        where="{t}.id = (SELECT a.staff_id FROM application a WHERE a.id = {parent}.application_id)",
        order="{t}.id",
        with_parent=True,
    )
    handler: StaffMember | None = one("Who handles it.", on="handler_id", with_parent=True)
    application: Application = one("What was filled in.", on="application_id", with_parent=True)
    renewal: Application | None = one(
        "The draft that was opened to ask it again; null where there is none that you may see.",
        on="renewal_id",
    )
    decision: Decision | None = one(
        "What was decided in this round.",
        where="{t}.case_id = {parent}.id AND {t}.round = {parent}.round",
        order="{t}.id",
        with_parent=True,
        policy=signed_in,
    )
    payout: Payout | None = one(
        "The last payout of this round.",
        where="{t}.case_id = {parent}.id AND {t}.round = {parent}.round AND {t}.kind = 'PREMIUM'",
        order="{t}.id DESC",
        with_parent=True,
        policy=signed_in,
    )
    payouts: list[Payout] = listed(
        "All payouts, refunds by transfer included.",
        where="{t}.case_id = {parent}.id",
        order="{t}.id",
        with_parent=True,
        policy=signed_in,
    )
    account: str | None = expression(
        "The account to which a premium is paid, masked.",
        "{t}.facts -> 'account' ->> 'masked'",
        allowed=signed_in,
    )
    invoice: Invoice | None = one(
        "What is to be paid; the last one.",
        where="{t}.case_id = {parent}.id",
        order="{t}.status = 'CREDITED', {t}.id DESC",
        with_parent=True,
        policy=signed_in,
    )
    delivery: Delivery | None = one(
        "The hand-over.",
        where="{t}.case_id = {parent}.id",
        order="{t}.round DESC",
        with_parent=True,
        policy=signed_in,
    )
    refunds: list[Refund] = listed(
        "What goes back.",
        where="{t}.case_id = {parent}.id",
        order="{t}.id",
        with_parent=True,
        policy=signed_in,
    )
    checks: list[Check] = listed(
        "What was looked up.",
        where="{t}.case_id = {parent}.id",
        order="{t}.id",
        with_parent=True,
        policy=signed_in,
    )
    advices: list[Advice] = listed(
        "What advice was asked; for an adviser the own.", where="{t}.case_id = {parent}.id", order="{t}.id"
    )
    documents: list[Document] = listed(
        "Its files.", where="{t}.case_id = {parent}.id AND {t}.stored_at IS NOT NULL", order="{t}.id"
    )
    messages: Connection[Message] = many(
        "What was said about it; to its applicant, and for staff also to who else must confirm.",
        where="{t}.case_id = {parent}.id"
        " AND ({t}.person_id = {parent}.person_id OR {viewer.kind}::text = 'STAFF')",
        filter=MessageFilter,
        with_parent=True,
        policy=signed_in,
    )
    co_application: CoApplication | None = one(
        "Whether somebody else confirmed it; the last question.",
        where="{t}.case_id = {parent}.id",
        order="{t}.round DESC",
        with_parent=True,
        policy=signed_in,
    )
    notes: list[Note] = listed(
        "Handlers' notes.", where="{t}.case_id = {parent}.id", order="{t}.id", policy=staff
    )
    tasks: list[Task] = listed(
        "What a person has to settle.", where="{t}.case_id = {parent}.id", order="{t}.id", policy=staff
    )
    effects: list[Effect] = listed(
        "What other systems were to hear; the latest hundred.",
        where="{t}.case_id = {parent}.id",
        order="{t}.seq DESC",
        policy=staff,
    )
    last_event: CaseEvent | None = one(
        "What happened last.",
        where=EVENTS_OF_THE_CASE,
        order="{t}.seq DESC",
        with_parent=True,
        policy=signed_in,
    )
    timeline: Connection[CaseEvent] = many(
        "What happened.",
        where=EVENTS_OF_THE_CASE,
        orders=TIMELINE_ORDER,
        with_parent=True,
        policy=signed_in,
    )

    @computed("procedure_key", "procedure_version")
    def procedure(row: Row, viewer: Caller) -> Procedure:  # noqa: N805  # no self
        """The procedure, in the version that the case began with."""
        return present(definition_of(row, viewer), viewer.language, viewer.today)

    @computed(
        *("id", "procedure_key", "procedure_version", "submitted_at", "stage", "status", "valid_until"),
        like=LIKE,
        allowed=staff,
    )
    def duplicates(row: Row, viewer: Caller) -> list[CaseDuplicate] | None:  # noqa: N805  # no self
        """Other cases of this procedure that count as the same, of the departments that you may see."""
        return duplicates_of(row, viewer)

    @computed(
        "status",
        other=NEEDS["co_application"],
        asked="(SELECT json_build_object('question', e.data ->> 'question', 'asked_at', e.occurred_at,"
        " 'answer_by', e.data ->> 'answer_by') FROM event e WHERE e.case_id = {t}.id"
        " AND e.type = 'INFORMATION_REQUESTED' ORDER BY e.seq DESC LIMIT 1)",
    )
    def information_request(row: Row, viewer: Caller) -> InformationRequest | None:  # noqa: N805  # no self
        """What the applicant was asked last."""
        asked = row["asked"]
        if asked is None:
            return None
        return InformationRequest(
            question=asked["question"],
            asked_at=datetime.fromisoformat(asked["asked_at"]),
            answer_by=date.fromisoformat(asked["answer_by"]),
            awaited=row["status"] == Status.AWAITING_APPLICANT and not row["other"],
        )

    @computed(
        "procedure_key",
        "procedure_version",
        "status",
        "person_id",
        history=NEEDS["history"],
        rated=NEEDS["rated"],
    )
    def phases(row: Row, viewer: Caller) -> list[CasePhase]:  # noqa: N805  # no self
        """The phases of the blueprint, and how far the case is."""
        return _phases(definition_of(row, viewer), row, viewer)

    @computed(
        "procedure_key",
        "procedure_version",
        "stage",
        "status",
        "person_id",
        "handler_id",
        "department",
        "suspensions",
        delivery=NEEDS["delivery"],
        invoice=NEEDS["invoice"],
        refunds=NEEDS["refunds"],
        deposit=NEEDS["deposit"],
        decision=NEEDS["decision"],
        checks=NEEDS["checks"],
        advices=NEEDS["advices"],
        payout=NEEDS["payout"],
        tasks=NEEDS["tasks"],
        has_message=NEEDS["has_message"],
        co_application=NEEDS["co_application"],
        history=NEEDS["history"],
        rated=NEEDS["rated"],
    )
    def viewer_available_actions(row: Row, viewer: Caller) -> list[AvailableAction]:  # noqa: N805  # no self
        """What you may do with it, as the published tables say; never a list of your own."""
        return [
            AvailableAction(
                action=offer.action, enabled=offer.enabled, reason_disabled=offer.reason(viewer.language)
            )
            for offer in offers(definition_of(row, viewer), row, viewer)
        ]


def _phases(definition: Definition, row: Row, viewer: Caller) -> list[CasePhase]:
    course = course_in(definition, row)
    here, done = last_place(course), row["status"] == Status.COMPLETED
    mine = str(viewer.person_id) == row["person_id"]
    rated = (row["rated"] or {}) if mine else {}
    open_to_me = rateable(course, rated) if mine else []
    order = [phase.key for phase in definition.phases]
    at = len(order) if done or here is None else order.index(here)
    return [
        CasePhase(
            key=phase.key,
            title=phase.title.get(viewer.language),
            state=_state(number, at),
            can_rate=phase.key in open_to_me,
            feeling=Feeling(rated[phase.key]) if phase.key in rated else None,
        )
        for number, phase in enumerate(definition.phases)
    ]


def _state(number: int, at: int) -> PhaseState:
    if number == at:
        return PhaseState.CURRENT
    return PhaseState.PAST if number < at else PhaseState.AHEAD


_BEGINNINGS = f"replace(nullif(btrim({folded('{value}::text')}), ''), ' ', ':* & ') || ':*'"
_SEARCH = (
    '{t}.id IN (SELECT c.id FROM "case" c WHERE c.reference ^@ upper(btrim({value}::text))'  # noqa: S608  # our words
    ' UNION SELECT c.id FROM person p JOIN "case" c ON c.person_id = p.id'
    f" WHERE {NAMES} @@ to_tsquery('simple', {_BEGINNINGS}))"
)


@input_type
class CaseFilter:
    """Which cases; all conditions together."""

    status: list[Status] | None = among("In one of these statuses.", "status")
    procedure: str | None = equal("Of this procedure.", "procedure_key")
    stage: list[Stage] | None = among("In one of these stages.", "stage")
    department: str | None = equal("Of this department.", "department")
    channel: Channel | None = equal("That came in this way.", "channel")
    unassigned: bool | None = condition(
        "Without a handler, or with one.", "({t}.handler_id IS NULL) = {value}"
    )
    assigned: bool | None = condition("With a handler, or without.", "({t}.handler_id IS NOT NULL) = {value}")
    handler: ID | None = condition("With this handler.", "{t}.handler_id = {value}", by_id="StaffMember")
    mine: bool | None = condition(
        "That you handle.", "({t}.handler_id = {viewer.staff_id}) IS NOT DISTINCT FROM {value}"
    )
    open: bool | None = condition("That have not ended, or have.", "({t}.closed_at IS NULL) = {value}")
    overdue: bool | None = equal("Whose term has lapsed.", "overdue")
    alarm: bool | None = condition(
        "Whose term is about to lapse.",
        "(NOT {t}.overdue AND EXISTS (SELECT FROM task k WHERE k.case_id = {t}.id"
        " AND k.kind = 'TERM_ALARM' AND k.status = 'OPEN')) = {value}",
    )
    due_before: date | None = condition("To be decided before this day.", "{t}.due_on < {value}")
    due_after: date | None = condition("To be decided after this day.", "{t}.due_on > {value}")
    submitted_from: datetime | None = condition("Handed in since.", "{t}.submitted_at >= {value}")
    submitted_until: datetime | None = condition("Handed in before.", "{t}.submitted_at < {value}")
    valid_on: date | None = condition(
        "Of which what was granted holds on this day.",
        "({t}.valid_from <= {value} AND {t}.valid_until >= {value})",
    )
    valid_until_before: date | None = condition(
        "Of which what was granted holds until before this day.", "{t}.valid_until < {value}"
    )
    reference: str | None = condition(
        "With this in the reference.", "{t}.reference ILIKE '%%' || {value} || '%%'"
    )
    applicant_name: str | None = condition(
        "With this in the applicant's name.",
        "{t}.person_id IN (SELECT p.id FROM person p"
        " WHERE p.given_name || ' ' || p.family_name ILIKE '%%' || {value} || '%%')",
    )
    search: str | None = condition(
        "Of which the reference begins so; or whose applicant has names that begin with all of these words,"
        " whatever the accents and capitals.",
        _SEARCH,
    )
    with_open_task: bool | None = condition(
        "With something that a person has to settle.",
        "EXISTS (SELECT FROM task k WHERE k.case_id = {t}.id AND k.status = 'OPEN') = {value}",
    )


CASE_ORDER = orders(
    "CaseOrder",
    "In which order cases come.",
    NEWEST=(newest("submitted_at"), "Last handed in first."),
    OLDEST=(oldest("submitted_at"), "First handed in first."),
    DUE=(oldest("due_on"), "First due first."),
    UPDATED=(newest("updated_at"), "Last changed first."),
)
