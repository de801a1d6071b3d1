"""The types of the schema and what stands behind each field: the one map from schema to SQL."""

from datetime import date, datetime
from decimal import Decimal
from typing import cast
from uuid import UUID

from strawberry import ID
from strawberry.scalars import JSON

from loket import handling, lifecycle, paper, records, summaries
from loket.advice import Opinion
from loket.api.carts import ORDERED, SETTLED, Allowance, Cart, allowances_of, cart_of
from loket.api.context import (
    ASKED_OF_ME,
    Caller,
    back_office,
    of_advice,
    of_application,
    of_case,
    of_cases,
    of_document,
    of_events,
    of_person,
    reader,
    signed_in,
    staff,
    staff_only,
)
from loket.api.enums import CaseAction, LegalValue, PhaseState
from loket.api.mapping import base64url
from loket.api.naming import Field, described, input_type, output
from loket.api.offers import NEEDS, offers
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
    part,
    parts,
)
from loket.api.scalars import Cursor, EmailAddress, Money, PhoneNumber
from loket.definition import DecidingBody, Definition
from loket.lifecycle import (
    AdviceStatus,
    ApplicationStatus,
    CheckStatus,
    DecisionStatus,
    DeliveryStatus,
    EventType,
    InvoiceStatus,
    MessageStatus,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
    SlotStatus,
    Stage,
    Status,
    TaskStatus,
)
from loket.records import (
    ActorKind,
    AdviserKind,
    CalendarState,
    Channel,
    EffectKind,
    EffectState,
    LetterStatus,
    LetterWay,
    MessageChannel,
    PaymentMethod,
    PayoutKind,
)
from loket.records.people import NAMES, folded


def _euro(text: str, name: str) -> Field:
    """A column of whole cents that is never empty, as Money."""
    return part(text, {"amount": f"{{t}}.{name}", "currency": "'EUR'"})


EPOCH = "(SELECT epoch FROM feedepoch)::text || '.' || "
HERE_AND_NOW = base64url(
    f"convert_to({EPOCH}(pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text"
    " || '.9223372036854775807', 'UTF8')"
)
"""Where the stream stood when this answer was read."""
_ABOUT_EFFECTS = ", ".join(f"'{one}'" for one in sorted(lifecycle.EFFECT_EVENTS))
OF_EVENT = base64url(f"convert_to({EPOCH}{{t}}.xid::text || '.' || {{t}}.seq::text, 'UTF8')")


# --- people -----------------------------------------------------------------------------------


@entity(records.Person, policy=of_person("id"))
class Person(Node):
    """A citizen."""

    given_name: str = column("Given name.")
    family_name: str = column("Family name.")
    name: str = expression("Both names.", "btrim({t}.given_name || ' ' || {t}.family_name)")
    birth_date: date | None = column("Date of birth.", "birth_on", allowed=signed_in)
    email: EmailAddress | None = column("Where e-mail goes.", allowed=signed_in)
    phone: PhoneNumber | None = column("Where text messages go.", allowed=signed_in)
    language: str = column("The language of messages: nl, en, fr or de.")

    @computed("insz_sealed", allowed=signed_in)
    def national_number(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """The national number, masked."""
        if row["insz_sealed"] is None:
            return None
        number = viewer.loket.vault.open(bytes.fromhex(row["insz_sealed"]))
        return f"{number[:2]}.**.**-***.{number[-2:]}"


@entity(records.Staff, policy=lambda scope: "TRUE" if reader(scope) else "FALSE")
class StaffMember(Node):
    """Somebody who works for the municipality."""

    name: str = expression("Given and family name.", "btrim({t}.given_name || ' ' || {t}.family_name)")


@output
class Actor:
    """Who did something."""

    kind: ActorKind = described("What kind.")
    name: str = described("The name; for another system its own.")


# --- applications -----------------------------------------------------------------------------


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

    path: list[str] = described("Where, from the application on: answers or cart.")
    code: str = described("For programs.")
    message: str = described("For people, in your language.")


@entity(records.Document, policy=of_document)
class Document(Node):
    """A file of an application or a case."""

    kind: str = column("ATTACHMENT, INVOICE, LETTER, DECISION_DRAFT, DECISION.")
    filename: str = column("Its name.")
    media_type: str = column("Its media type.")
    size: int = column("In bytes.")
    created_at: datetime = column("Since when.")

    @computed("id", "stored_at")
    def url(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """Where to get it, for a quarter of an hour; null until its content is there."""
        return viewer.file_link(UUID(row["id"])) if row["stored_at"] else None


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
    case: "Case | None" = one(
        "The case that it became.", where="{t}.application_id = {parent}.id", order="{t}.id"
    )

    @computed("procedure_key", "procedure_version", "answers")
    def answers(row: Row, viewer: Caller) -> JSON:  # noqa: N805  # no self
        """What was filled in, in the shape of the form."""
        return cast("JSON", viewer.answers_of(definition_of(row, viewer), row["answers"]))

    @computed("procedure_key", "procedure_version")
    def procedure(row: Row, viewer: Caller) -> Procedure:  # noqa: N805  # no self
        """The procedure, in the version that it was begun with."""
        return present(definition_of(row, viewer), viewer.language, viewer.today)

    @computed(
        "procedure_key", "procedure_version", "cart", "household_index", ordered=ORDERED, settled=SETTLED
    )
    def cart(row: Row, viewer: Caller) -> Cart:  # noqa: N805  # no self
        """What is ordered."""
        return cart_of(definition_of(row, viewer), row, viewer)

    @computed("procedure_key", "procedure_version", "household_index", ordered=ORDERED)
    def allowances(row: Row, viewer: Caller) -> list[Allowance]:  # noqa: N805  # no self
        """How many of each product your household may still order, what is in the cart not counted."""
        return allowances_of(definition_of(row, viewer), row, viewer)

    @computed("procedure_key", "procedure_version", "answers", "cart", "status")
    def issues(row: Row, viewer: Caller) -> list[Issue]:  # noqa: N805  # no self
        """All that still stands in the way of handing it in; empty when nothing does."""
        if row["status"] != ApplicationStatus.DRAFT:
            return []
        definition = definition_of(row, viewer)
        faults = viewer.faults_of(definition, viewer.answers_of(definition, row["answers"]), row["cart"])
        return [Issue(path=fault.path, code=fault.code, message=fault.message) for fault in faults]


# --- money ------------------------------------------------------------------------------------


@output
class InvoiceLine:
    """A line of an invoice."""

    description: str = described("What for.")
    quantity: int = described("How many.")
    unit_amount: Decimal = described("Each, in EUR, VAT included.")
    amount: Decimal = described("Together, in EUR; below zero for a discount.")


@output
class Payee:
    """The account to which a transfer goes."""

    name: str = described("Its holder.")
    iban: str = described("IBAN, without spaces.")
    bic: str = described("BIC of its bank; empty where none is needed.")


_PAYABLE = ", ".join(
    f"'{one}'" for one in InvoiceStatus if lifecycle.INVOICE.find(one, lifecycle.PartAction.PAY_FULL)
)


@entity(records.Payment, policy=of_case)
class Payment(Node):
    """What came in, or an attempt at it (betaling)."""

    status: PaymentStatus = column("Where it stands.")
    method: PaymentMethod = column("How the money came.")
    amount: Money = _euro("How much.", "amount")
    value_date: date | None = column("The day on which it counts.", "value_on")
    started_at: datetime = column("When it was begun.")
    ended_at: datetime | None = column("When it was settled.")
    invoice: "Invoice" = one("What it pays.", on="invoice_id", with_parent=True)


@entity(records.Refund, policy=of_case)
class Refund(Node):
    """Money that goes back."""

    status: RefundStatus = column("Where it stands.")
    amount: Money = _euro("How much.", "amount")
    reason: str = column("Why.")
    ordered_at: datetime | None = column("When it was ordered.")
    ended_at: datetime | None = column("When it was done.")


@entity(records.Invoice, policy=of_person())
class Invoice(Node):
    """What a citizen owes (factuur)."""

    number: str = column("Its number, without gaps per journal and year.")
    status: InvoiceStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    amount: Money = _euro("What is due, VAT included.", "amount")
    paid: Money = _euro("What came in on it.", "paid")
    outstanding: Money = part(
        "What is still to be paid.",
        {"amount": "greatest({t}.amount - {t}.paid, 0)", "currency": "'EUR'"},
    )
    structured_reference: str = expression(
        "The structured communication, printed.",
        "'+++' || substr({t}.reference, 1, 3) || '/' || substr({t}.reference, 4, 4) || '/'"
        " || substr({t}.reference, 8) || '+++'",
    )
    issued_on: date = column("The day of issue.")
    due_on: date = column("The last day to pay.")
    lines: list[InvoiceLine] = parts(
        "What for.",
        "{t}.lines",
        {
            "description": "{t} ->> 'description'",
            "quantity": "({t} ->> 'quantity')::int",
            "unit_amount": "({t} ->> 'unit_amount')::numeric",
            "amount": "({t} ->> 'amount')::numeric",
        },
    )
    document: Document | None = one("The PDF.", on="document_id", with_parent=True)

    @computed()
    def payee(row: Row, viewer: Caller) -> Payee:  # noqa: N805  # no self
        """To whom it is paid by transfer."""
        municipality = viewer.loket.settings.municipality
        return Payee(name=municipality.name, iban=municipality.iban, bic=municipality.bic)

    @computed(
        "reference",
        due="greatest({t}.amount - {t}.paid, 0)::text",
        payable=f"{{t}}.status IN ({_PAYABLE})",
    )
    def epc_text(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """What a QR code holds that banking apps pay from (EPC069-12); null when nothing is due."""
        due = Decimal(row["due"])
        if not row["payable"] or due == 0:
            return None
        municipality = viewer.loket.settings.municipality
        return paper.epc_qr_payload(
            name=municipality.name,
            iban=municipality.iban,
            bic=municipality.bic,
            amount=due,
            reference=row["reference"],
            line=municipality.reference_line,
        )

    payments: list[Payment] = listed(
        "What came in.", where="{t}.invoice_id = {parent}.id", order="{t}.id", with_parent=True
    )
    case: "Case" = one("Of which case.", on="case_id", with_parent=True)


@entity(records.Payout, policy=of_case)
class Payout(Node):
    """Money that goes to a citizen's account (uitbetaling); each attempt is one of its own."""

    kind: PayoutKind = column("What it is.")
    status: PayoutStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    amount: Money = _euro("How much.", "amount")
    payee: str = column("Holder of the account.")
    account: str = column("The account, masked.", "iban_masked")
    remittance: str = column("What stands on the account statement.")
    ordered_by: StaffMember | None = one("Who ordered it.", on="ordered_by_id")
    ordered_at: datetime = column("When it was ordered.")
    visum_by: StaffMember | None = one("Who gave the visum, where one is asked.", on="visum_by_id")
    visum_at: datetime | None = column("When the visum was given.")
    approved_by: StaffMember | None = one("Who approved it.", on="approved_by_id")
    approved_at: datetime | None = column("When it was approved.")
    sent_at: datetime | None = column("When accounting had it.")
    executed_on: date | None = column("The day on which the money left.")
    ended_at: datetime | None = column("When it ended.")
    reason_code: str = column("The bank's reason (ISO 20022), where there is one.")
    case: "Case" = one("Of which case.", on="case_id", with_parent=True)

    @computed("reason")
    def reason(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """Why it ended so, in words; a colleague's words are for staff alone."""
        return str(row["reason"]) if viewer.scope.is_staff else ""


# --- deliveries -------------------------------------------------------------------------------


@output
class Address:
    """An address in Belgium."""

    street: str | None = described("Street.")
    number: str | None = described("House number.")
    box: str | None = described("Box number.")
    postal_code: str | None = described("Postal code.")
    city: str | None = described("Municipality.")


@output
class DeliveryItem:
    """Something that is handed over."""

    product: str = described("Which product.")
    description: str = described("In words.")
    quantity: int = described("How many.")


@entity(records.Slot, policy=lambda scope: "TRUE" if scope.is_citizen or scope.is_staff else "FALSE")
class Slot(Node):
    """A delivery slot of the planning tool."""

    starts_at: datetime = column("From when.")
    ends_at: datetime = column("Until when.")
    state: CalendarState = column("What the planning tool says of it.")
    free: int = expression("How many places are left.", "{t}.capacity - {t}.taken")


@entity(records.Booking, policy=of_case)
class Booking(Node):
    """A place in a slot: held for a while, or agreed."""

    status: SlotStatus = column("Held, booked or given back.")
    expires_at: datetime | None = column("Until when it is held.")
    slot: Slot = one("Which slot.", on="slot_id", with_parent=True)


@entity(records.Delivery, policy=of_case)
class Delivery(Node):
    """The hand-over of goods (levering)."""

    status: DeliveryStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    starts_at: datetime | None = column("Planned from when.")
    ends_at: datetime | None = column("Planned until when.")
    calendar_sequence: int = column("Which version of the appointment calendars have heard.")
    delivered_at: datetime | None = column("When it was handed over.")
    address: Address = part(
        "Where.",
        {name: f"{{t}}.address ->> '{name}'" for name in ("street", "number", "box", "postal_code", "city")},
    )
    items: list[DeliveryItem] = parts(
        "What.",
        "{t}.items",
        {
            "product": "{t} ->> 'product'",
            "description": "{t} ->> 'description'",
            "quantity": "({t} ->> 'quantity')::int",
        },
    )
    booking: Booking | None = one(
        "The place that it holds or has.",
        where="{t}.delivery_id = {parent}.id AND {t}.status IN ('HELD', 'BOOKED')",
        order="{t}.id",
        with_parent=True,
    )
    case: "Case" = one("Of which case.", on="case_id", with_parent=True)


# --- what was said and done -------------------------------------------------------------------


@entity(records.Message, policy=of_person())
class Message(Node):
    """One message to one person over one channel (bericht)."""

    about: str = column("Which event it tells.")
    channel: MessageChannel = column("Over what.")
    status: MessageStatus = column("What became of it.")
    reason: str = column("Why it was skipped or failed.")
    language: str = column("In which language.")
    subject: str = column("Its subject; empty for a text message.")
    body: str = column("Its text.")
    legal_value: LegalValue = expression(
        "Whether it is a legal delivery, or only announces.",
        "CASE WHEN {t}.legal_value THEN 'LEGAL' ELSE 'INFORMATIVE' END",
    )
    queued_at: datetime = column("When it was written.")
    sent_at: datetime | None = column("When the channel took it.")
    delivered_at: datetime | None = column("When it arrived, where the channel tells.")
    case: "Case" = one("About which case.", on="case_id", with_parent=True)


@entity(records.Attempt, policy=staff_only)
class Attempt(Node):
    """One call to another system."""

    number: int = column("The how manieth.")
    started_at: datetime = column("When it began.")
    ended_at: datetime | None = column("When it ended; null while it runs, or when its worker died.")
    outcome: str = column("DONE, RETRY, PARKED or IN_DOUBT.")
    error: str = column("What was wrong.")


@entity(records.Effect, policy=of_case)
class Effect(Node):
    """Something that another system must hear or do."""

    system: str = column("Which system.")
    kind: EffectKind = column("What.")
    state: EffectState = column("What became of it.")
    attempts_made: int = column("How often it was tried.", "attempts")
    created_at: datetime = column("Since when.")
    next_attempt_at: datetime | None = column("When it is tried again.", "retry_at")
    done_at: datetime | None = column("When the other side had it.")
    last_error: str | None = column("What was wrong last.", allowed=lambda scope: scope.is_staff)
    attempts: list[Attempt] = listed(
        "Every call.",
        where="{t}.effect_id = {parent}.id",
        order="{t}.number",
        policy=lambda scope: scope.is_staff,
    )
    case: "Case | None" = one("Of which case.", on="case_id", with_parent=True)


@entity(records.Event, policy=of_events)
class CaseEvent(Node):
    """Something that happened to a case."""

    cursor: Cursor = expression("Its place in the stream: subscribe `after` it.", OF_EVENT)
    type: EventType = column("What happened.")
    status: Status = column("The status after it.")
    previous_status: Status | None = column("The status before it.")
    stage: Stage = column("The stage after it.")
    occurred_at: datetime = column("When.")
    actor: Actor = part("Who did it.", {"kind": "{t}.actor_kind", "name": "{t}.actor_name"})
    case: "Case" = one("Of which case.", on="case_id", with_parent=True)
    effects: list[Effect] = listed(
        "What other systems were to hear of it.",
        where="{t}.event_seq = {parent}.seq",
        order="{t}.seq",
        with_parent=True,
        policy=signed_in,
    )

    effect: Effect | None = one(
        "Of which something is told, by the events about what other systems heard.",
        where=f"{{t}}.id = CASE WHEN {{parent}}.type IN ({_ABOUT_EFFECTS})"
        " THEN ({parent}.data ->> 'effect')::uuid END",
        order="{t}.id",
        with_parent=True,
        policy=signed_in,
    )

    @computed("type", "data")
    def summary(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """In words, for the citizen, in your language."""
        return summaries.of_event(EventType(row["type"]), row["data"], viewer.language)


def _role_of_task() -> str:
    kinds = ((role, ", ".join(f"'{kind}'" for kind in of_role)) for role, of_role in handling.TASKS.items())
    cases = " ".join(f"WHEN {{t}}.kind IN ({listed}) THEN '{role}'" for role, listed in kinds)
    return f"CASE {cases} ELSE '{lifecycle.Role.HANDLER}' END"


ROLE_OF_TASK = _role_of_task()
"""Whose a task is, out of the table that the verb looks in too."""


@entity(records.Task, policy=staff_only)
class Task(Node):
    """Something on a case that only a person can settle (taak)."""

    kind: str = column("What it is about.")
    role: lifecycle.Role = expression("Whose it is; an operator may settle any.", ROLE_OF_TASK)
    status: TaskStatus = column("Whether it is settled.")
    data: JSON = column("What there is to know.")
    opened_at: datetime = column("Since when.")
    done_at: datetime | None = column("When it was settled.")
    remark: str = column("How it was settled.")
    done_by: StaffMember | None = one("Who settled it.", on="done_by_id")
    case: "Case" = one("On which case.", on="case_id", with_parent=True)


@entity(records.Note, policy=staff_only)
class Note(Node):
    """A handler's own words on a case."""

    text: str = column("The words.")
    created_at: datetime = column("When.")
    author: StaffMember = one("Whose.", on="staff_id", with_parent=True)


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
    case: "Case" = one("Of which case.", on="case_id", with_parent=True)

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


IS_TOLD = "({viewer.kind}::text <> 'CITIZEN' OR {t}.decided_at IS NOT NULL)"
"""A citizen hears what is decided, not what is proposed."""


def _told(name: str) -> str:
    return f"CASE WHEN {IS_TOLD} THEN {{t}}.{name} ELSE '' END"


@output
class DecidedBenefit:
    """A sum that was asked, and what became of it."""

    key: str = described("Its key in the definition.")
    title: str = described("Its title, in Dutch.")
    granted: bool = described("Whether it is granted.")
    amount: Decimal = described("How much, in EUR.")


@output
class Signatory:
    """Who signed a decision."""

    name: str = described("The name.")
    function: str = described("As what.")
    signed_on: date | None = described("When.")


@entity(records.AgendaItem, policy=staff_only)
class AgendaItem(Node):
    """One item on the agenda of a body, with the decisions on one case or many (agendapunt)."""

    body: DecidingBody = column("Which body.")
    external_identifier: str = column("By which the minutes system finds it.")
    item_uid: str | None = column("The minutes system's own name for it.")
    title: str = column("As it is published: without names.")
    meeting_on: date | None = column("The day of the meeting.")
    state: str = column("As the minutes system names it.")
    created_at: datetime = column("When it was sent.")
    heard_at: datetime | None = column("When something was last heard of it.")
    ended_at: datetime | None = column("When nothing more was to be heard of it.")
    document: Document | None = one("The draft, with its closed annex.", on="document_id")
    decisions: list["Decision"] = listed(
        "The decisions on it; the first hundred.",
        where="{t}.agenda_item_id = {parent}.id",
        order="{t}.id",
    )


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
    case: "Case" = one("About which case.", on="case_id", with_parent=True)


@entity(records.Decision, policy=of_case)
class Decision(Node):
    """What was decided (besluit)."""

    status: DecisionStatus = column("What.")
    version: int = column("Raised by every change.")
    round: int = column("Of which round of the case.")
    by_rule: bool = column("Whether a rule decided.")
    body: DecidingBody | None = column("The body that decides; null where a handler or a rule does.")
    proposal: DecisionStatus | None = column(
        "What is put before the body.", allowed=lambda scope: scope.is_staff
    )
    amount: Money | None = part(
        "What is granted; for staff also what is proposed.",
        {"amount": "{t}.amount", "currency": "'EUR'"},
        unless=f"{{t}}.amount IS NULL OR NOT {IS_TOLD}",
    )
    benefits: list[DecidedBenefit] = parts(
        "What was asked, and whether it is granted.",
        f"CASE WHEN {IS_TOLD} THEN {{t}}.benefits ELSE '[]'::jsonb END",
        {
            "key": "{t} ->> 'key'",
            "title": "{t} ->> 'title'",
            "granted": "({t} ->> 'granted')::boolean",
            "amount": "({t} ->> 'amount')::numeric",
        },
    )
    conditions: str = expression("On which conditions.", _told("conditions"))
    motivation_legal: str = expression("Why, in law.", _told("motivation_legal"))
    motivation_factual: str = expression("Why, in fact.", _told("motivation_factual"))
    text: str = expression("What the body decided in its own words.", _told("text"))
    meeting_on: date | None = expression(
        "The day of the meeting that decides.",
        "(SELECT a.meeting_on FROM agendaitem a WHERE a.id = {t}.agenda_item_id)",
    )
    decided_on: date | None = expression(
        "The day on which it was decided.", "CASE WHEN {t}.decided_at IS NOT NULL THEN {t}.decided_on END"
    )
    decided_at: datetime | None = column("When Loket knew.")
    signatories: list[Signatory] = parts(
        "Who signed.",
        f"CASE WHEN {IS_TOLD} THEN {{t}}.signatories ELSE '[]'::jsonb END",
        {
            "name": "{t} ->> 'name'",
            "function": "{t} ->> 'function'",
            "signed_on": "({t} ->> 'signed_on')::date",
        },
    )
    document_sha256: str = expression(
        "Of the signed decision; empty until it is there.", _told("document_sha256")
    )
    withdrawn_at: datetime | None = column("When it was taken back.")
    withdrawn_reason: str = column("Why it was taken back.")
    decided_by: StaffMember | None = one("Who, where a person did.", on="staff_id")
    document: Document | None = one("The signed decision, for staff.", on="document_id")
    agenda_item: AgendaItem | None = one("Where it stands on the agenda, for staff.", on="agenda_item_id")
    letter: Letter | None = one(
        "The letter with it; the last one.",
        where="{t}.decision_id = {parent}.id",
        order="{t}.created_at DESC, {t}.id",
        with_parent=True,
    )
    case: "Case" = one("On which case.", on="case_id", with_parent=True)


@entity(records.LetterBatch, policy=staff_only)
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


@entity(records.Advice, policy=of_advice)
class Advice(Node):
    """What a service of our own, a body elsewhere or a machine thinks of an application (advies).

    The applicant sees whom it was asked of and how it stands; what was said is for staff.
    """

    adviser: str = column("Who is asked: its key in the procedure.")
    kind: AdviserKind = column("What kind of adviser.")
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
    case: "Case | None" = one("On which case; for an adviser until it ends.", on="case_id")
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
        "That is asked of you: of your own service, as an adviser.", f"({ASKED_OF_ME}) = {{value}}"
    )
    status: list[AdviceStatus] | None = condition("In one of these.", "{t}.status = ANY({value}::text[])")
    open: bool | None = condition(
        "That is awaited still, or not any more.", "({t}.status IN ('REQUESTED', 'REMINDED')) = {value}"
    )
    overdue: bool | None = condition(
        "Of which the deadline has passed without an answer.",
        "({t}.given_at IS NULL AND {t}.status <> 'WITHDRAWN' AND {t}.due_on"
        " < (now() AT TIME ZONE 'Europe/Brussels')::date) = {value}",
    )
    due_before: date | None = condition("To be answered before this day.", "{t}.due_on < {value}")
    kind: AdviserKind | None = condition("Of this kind of adviser.", "{t}.kind = {value}")
    adviser: str | None = condition("Of this adviser of the procedure.", "{t}.adviser = {value}")


@entity(records.AccessLog, policy=of_person())
class Access(Node):
    """Somebody or something looked at a person's data."""

    at: datetime = column("When.")
    actor: Actor = part("Who.", {"kind": "{t}.actor_kind", "name": "{t}.actor_name"})
    service: str = column("Which service of MAGDA; `loket` for a look in Loket itself.")
    purpose: str = column("What for.")
    reference: str = column("Under which the source keeps it.")
    outcome: str = column("What came of it.")


# --- the case ---------------------------------------------------------------------------------


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


@input_type
class MessageFilter:
    """Which messages."""

    channel: MessageChannel | None = condition("Over this channel.", "{t}.channel = {value}")
    status: MessageStatus | None = condition("With this fate.", "{t}.status = {value}")


TIMELINE_ORDER = orders(
    "TimelineOrder",
    "In which order events come.",
    OLDEST=(oldest("seq"), "As they happened."),
    NEWEST=(newest("seq"), "Last first."),
)
EVENTS_OF_THE_CASE = "{t}.case_id = {parent}.id AND {t}.case_version IS NOT NULL"


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
        "What was said about it.", on="case_id", filter=MessageFilter, with_parent=True, policy=signed_in
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
        "status",
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
            awaited=row["status"] == Status.AWAITING_APPLICANT,
        )

    @computed("procedure_key", "procedure_version", "stage", "status")
    def phases(row: Row, viewer: Caller) -> list[CasePhase]:  # noqa: N805  # no self
        """The phases of the blueprint, and how far the case is."""
        return _phases(
            definition_of(row, viewer), Stage(row["stage"]), Status(row["status"]), viewer.language
        )

    @computed(
        "procedure_key",
        "procedure_version",
        "stage",
        "status",
        "person_id",
        "handler_id",
        "suspensions",
        delivery=NEEDS["delivery"],
        invoice=NEEDS["invoice"],
        refunds=NEEDS["refunds"],
        decision=NEEDS["decision"],
        checks=NEEDS["checks"],
        advices=NEEDS["advices"],
        payout=NEEDS["payout"],
        tasks=NEEDS["tasks"],
        has_message=NEEDS["has_message"],
    )
    def viewer_available_actions(row: Row, viewer: Caller) -> list[AvailableAction]:  # noqa: N805  # no self
        """What you may do with it, as the published tables say; never a list of your own."""
        return [
            AvailableAction(
                action=offer.action, enabled=offer.enabled, reason_disabled=offer.reason(viewer.language)
            )
            for offer in offers(definition_of(row, viewer), row, viewer)
        ]


def _phases(definition: Definition, stage: Stage, status: Status, language: str) -> list[CasePhase]:
    current = definition.phase_of(stage)
    done = status is Status.COMPLETED
    shown: list[CasePhase] = []
    state = PhaseState.PAST
    for phase in definition.phases:
        if phase.key == current.key and not done:
            state = PhaseState.CURRENT
        shown.append(CasePhase(key=phase.key, title=phase.title.get(language), state=state))
        if state is PhaseState.CURRENT:
            state = PhaseState.AHEAD
    return shown


_BEGINNINGS = f"replace(nullif(btrim({folded('{value}::text')}), ''), ' ', ':* & ') || ':*'"
_SEARCH = (
    '{t}.id IN (SELECT c.id FROM "case" c WHERE c.reference ^@ upper(btrim({value}::text))'  # noqa: S608  # our words
    ' UNION SELECT c.id FROM person p JOIN "case" c ON c.person_id = p.id'
    f" WHERE {NAMES} @@ to_tsquery('simple', {_BEGINNINGS}))"
)


@input_type
class CaseFilter:
    """Which cases; all conditions together."""

    status: list[Status] | None = condition("In one of these statuses.", "{t}.status = ANY({value}::text[])")
    procedure: str | None = condition("Of this procedure.", "{t}.procedure_key = {value}")
    stage: list[Stage] | None = condition("In one of these stages.", "{t}.stage = ANY({value}::text[])")
    department: str | None = condition("Of this department.", "{t}.department = {value}")
    channel: Channel | None = condition("That came in this way.", "{t}.channel = {value}")
    unassigned: bool | None = condition(
        "Without a handler, or with one.", "({t}.handler_id IS NULL) = {value}"
    )
    assigned: bool | None = condition("With a handler, or without.", "({t}.handler_id IS NOT NULL) = {value}")
    handler: ID | None = condition("With this handler.", "{t}.handler_id = {value}", by_id="StaffMember")
    mine: bool | None = condition(
        "That you handle.", "({t}.handler_id = {viewer.staff_id}) IS NOT DISTINCT FROM {value}"
    )
    open: bool | None = condition("That have not ended, or have.", "({t}.closed_at IS NULL) = {value}")
    overdue: bool | None = condition("Whose term has lapsed.", "{t}.overdue = {value}")
    alarm: bool | None = condition(
        "Whose term is about to lapse.",
        "(NOT {t}.overdue AND EXISTS (SELECT FROM task k WHERE k.case_id = {t}.id"
        " AND k.kind = 'TERM_ALARM' AND k.status = 'OPEN')) = {value}",
    )
    due_before: date | None = condition("To be decided before this day.", "{t}.due_on < {value}")
    due_after: date | None = condition("To be decided after this day.", "{t}.due_on > {value}")
    submitted_from: datetime | None = condition("Handed in since.", "{t}.submitted_at >= {value}")
    submitted_until: datetime | None = condition("Handed in before.", "{t}.submitted_at < {value}")
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


# --- the viewer -------------------------------------------------------------------------------


@output
class ContactPreferences:
    """Over what the citizen wants to hear from us, beside Mijn Burgerprofiel."""

    email: EmailAddress | None = described("Where e-mail goes.")
    email_verified: bool = described("Whether the address is proved.")
    by_email: bool = described("Whether e-mail is wanted.")
    phone: PhoneNumber | None = described("Where text messages go.")
    phone_verified: bool = described("Whether the number is proved.")
    by_sms: bool = described("Whether text messages are wanted.")
    language: str = described("The language of messages.")


def preferences_of(person: records.Person) -> ContactPreferences:
    return ContactPreferences(
        email=EmailAddress(person.email) if person.email else None,
        email_verified=person.email_verified_at is not None,
        by_email=person.by_email,
        phone=PhoneNumber(person.phone) if person.phone else None,
        phone_verified=person.phone_verified_at is not None,
        by_sms=person.by_sms,
        language=person.language,
    )


@entity(None, policy=lambda scope: "TRUE" if scope.kind is not None else "FALSE")
class Viewer:
    """You."""

    kind: ActorKind = expression("What kind of actor you are.", "{viewer.kind}::text")
    cursor: Cursor = expression("Subscribe `after` this: nothing is lost in between.", HERE_AND_NOW)
    person: Person | None = one("You, as a citizen.", where="{t}.id = {viewer.person_id}", order="{t}.id")
    staff_member: StaffMember | None = one(
        "You, as a member of staff.", where="{t}.id = {viewer.staff_id}", order="{t}.id"
    )
    applications: Connection[Application] = many(
        "Your applications, drafts included.",
        where="{t}.person_id = {viewer.person_id}",
        orders=orders(
            "ApplicationOrder",
            "In which order applications come.",
            NEWEST=(newest("started_at"), "Last begun first."),
        ),
    )
    cases: Connection[Case] = many(
        "Your cases as a citizen; as a handler those that you handle.",
        where="({t}.person_id = {viewer.person_id} OR {t}.handler_id = {viewer.staff_id})",
        filter=CaseFilter,
        orders=CASE_ORDER,
    )
    messages: Connection[Message] = many("What was said to you.", where="{t}.person_id = {viewer.person_id}")
    access_log: Connection[Access] = many(
        "Who saw your data.",
        where="{t}.person_id = {viewer.person_id}",
        orders=orders("AccessOrder", "In which order looks come.", NEWEST=(newest("at"), "Last first.")),
    )

    @computed()
    def roles(row: Row, viewer: Caller) -> list[lifecycle.Role]:  # noqa: N805  # no self
        """In which roles you may act."""
        return sorted(viewer.scope.roles)

    @computed(
        contact="""(SELECT jsonb_build_object(
            'email', p.email, 'email_verified', p.email_verified_at IS NOT NULL, 'by_email', p.by_email,
            'phone', p.phone, 'phone_verified', p.phone_verified_at IS NOT NULL, 'by_sms', p.by_sms,
            'language', p.language) FROM person p WHERE p.id = {viewer.person_id})"""
    )
    def contact_preferences(row: Row, viewer: Caller) -> ContactPreferences | None:  # noqa: N805  # no self
        """How you hear from us."""
        return ContactPreferences(**row["contact"]) if row["contact"] else None
