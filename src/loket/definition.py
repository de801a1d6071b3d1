"""The shape of a procedure file: what a municipality writes to have a blueprint executed.

One file per procedure and version, in YAML that a civil servant can read. Everything that differs between
procedures stands there; nothing of it stands in the code. Here is only the shape, with what each word means;
`publishing` reads a file and checks that it makes sense as a whole.
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from loket.lifecycle import EventType, Stage, Status

LANGUAGES = ("nl", "fr", "en", "de")
"""Dutch is the language of the administration (always there); the others are courtesy."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", max_length=60)]
Days = Annotated[int, Field(ge=0, le=3650)]
Eur = Annotated[Decimal, Field(ge=0, decimal_places=2, max_digits=9)]
"""An exact amount in euro, VAT included."""


class MessageChannel(StrEnum):
    """How a message reaches a person."""

    MBP = "MBP"
    """Mijn Burgerprofiel, through the Notificaties API."""
    EMAIL = "EMAIL"
    SMS = "SMS"
    LETTER = "LETTER"
    """On paper, for who has none of the others."""


class Shape(BaseModel):
    """Part of a procedure file: a word that is not known here is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Text(Shape):
    """What people read. Written as a plain string (Dutch) or per language."""

    nl: Annotated[str, Field(min_length=1)]
    en: str | None = None
    fr: str | None = None
    de: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_is_dutch(cls, value: object) -> object:
        return {"nl": value} if isinstance(value, str) else value

    def get(self, language: str) -> str:
        """In `language`, or in Dutch where that is missing."""
        return self.languages().get(language, self.nl)

    def languages(self) -> dict[str, str]:
        """The languages that are really there."""
        return {one: text for one in LANGUAGES if (text := getattr(self, one))}


# --- who, what, how long ----------------------------------------------------------------------


class Contact(Shape):
    """Whom a citizen can ask. What is left out is the municipality's own."""

    name: str
    phone: str | None = None
    email: str | None = None
    website: str | None = None


_APPEAL = {
    "nl": "U kunt {term} in beroep gaan bij {body}, {address}: {form}.",
    "en": "You can appeal to {body}, {address}, {term}: {form}.",
}


class Appeal(Shape):
    """How a decision can be fought; a notification without body, form and term does not make the term begin.

    Each part reads inside a sentence: `de Raad van State`, `met een aangetekende brief`, `binnen 60 dagen`.
    """

    body: Text
    """With whom."""
    address: Text
    form: Text
    """How."""
    term: Text
    """Within how long, and from when."""
    remark: Text | None = None
    """What else is open: a complaint with the supervising authority."""

    def get(self, language: str) -> str:
        """In one go, as it stands under a refusal."""
        spoken = language if language in _APPEAL else "nl"
        parts = {name: getattr(self, name).get(spoken) for name in ("body", "address", "form", "term")}
        remark = f" {self.remark.get(spoken)}" if self.remark else ""
        return f"{_APPEAL[spoken].format_map(parts)}{remark}"


class Term(Shape):
    """Within how many days after submission there must be a decision."""

    days: Annotated[int, Field(gt=0, le=3650)]
    counting: Literal["calendar", "working"] = "calendar"
    suspendable: bool = True
    """Whether the clock stops while information is asked (an OCMW's 30 days never stop)."""
    alarm_days: Days = 5
    """How many days before the end the handler is warned."""


class Drafts(Shape):
    keep_days: Annotated[int, Field(gt=0, le=3650)] = 30
    """After so many days without a change a draft expires."""


class Information(Shape):
    """When a handler asks the applicant for more."""

    answer_within_days: Annotated[int, Field(gt=0, le=365)] = 14
    reminder_days: tuple[Days, ...] = ()
    """So many days after the question."""


class Screening(Shape):
    by: Literal["rule", "rule_then_handler", "handler"] = "rule"
    """rule: the rules alone, only REFER goes to a handler; rule_then_handler: a handler confirms."""


class Assessment(Shape):
    """How an application is weighed on its merits (beoordeling), after it was found admissible."""

    by: Literal["rule", "handler"] = "handler"
    """rule: on to the decision as soon as checks and advice are in; handler: when a handler prepared it."""
    ask: tuple[Key, ...] = ()
    """Advisers who are asked at once, without a handler."""


class DecidingBody(StrEnum):
    """Who decides, other than a rule or a handler (bevoegd orgaan)."""

    COLLEGE = "COLLEGE"
    """College van burgemeester en schepenen."""
    COUNCIL = "COUNCIL"
    """Gemeenteraad."""
    VAST_BUREAU = "VAST_BUREAU"
    RMW = "RMW"
    """Raad voor maatschappelijk welzijn."""
    BCSD = "BCSD"
    """Bijzonder comité voor de sociale dienst."""


class Agenda(Shape):
    """How a decision comes before its body, in the minutes system (notuleringspakket)."""

    proposing_group: str
    """The service that proposes, by its id in the minutes system."""
    category: str | None = None
    item_title: Text
    """May name {procedure} and {count}; never a person: agendas are published."""
    closed: bool = True
    """Behind closed doors: names and files only in a closed annex."""
    cut_off_days: Days = 3
    """So many days before a meeting an item must be there, where the minutes system says nothing of it."""
    successor_within_days: Days = 30
    """A postponed item that comes back on no agenda within so many days is a person's to look at."""


class Decision(Shape):
    by: Literal["rule", "handler"] | DecidingBody
    agenda: Agenda | None = None
    """Needed where a body decides."""
    articles_granted: tuple[Text, ...] = ()
    """The articles of the draft (ontwerpbesluit): may name {amount}, {reference}, {benefits}; never a person
    or an account: those stand in the closed annex alone."""
    articles_refused: tuple[Text, ...] = ()
    notify_within_days: Days = 8
    """After the decision the letter must be on its way within so many days."""
    legal_delivery: bool = False
    """Whether the decision letter goes out by eBox, or else as a registered letter."""

    @property
    def body(self) -> DecidingBody | None:
        return self.by if isinstance(self.by, DecidingBody) else None


class PayoutRules(Shape):
    """How a premium is paid out (uitbetaling)."""

    account_field: Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
    """Where in the answers the IBAN stands, as a JSON pointer."""
    visum: bool = False
    """Whether the financial director signs for the credit before it is paid (visum)."""
    within_days: Annotated[int, Field(gt=0, le=365)] = 30
    """After the decision; later a person is asked."""
    remittance: Text
    """What stands on the account statement; may name {reference} and {procedure}."""


class Payment(Shape):
    """What happens between the invoice and the money."""

    term_days: Annotated[int, Field(gt=0, le=365)] = 30
    """From invoice to due date."""
    reminders_days: tuple[Days, ...] = ()
    """So many days after the due date."""
    unpaid_after_days: Days = 30
    """So many days after the due date it ends as `unpaid` says."""
    unpaid: Literal["cancel", "hand_over"] = "cancel"
    """cancel: invoice credited, case cancelled (goods that were handed over already: as hand_over);
    hand_over: to the financial director for recovery."""
    checkout_hours: Annotated[int, Field(gt=0, le=720)] = 24
    """Where payment is the first stage: an application is cancelled that is not paid by the end of the day on
    which so many hours are over."""
    journal: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,10}$")]
    """The sales journal (dagboek) in which the invoices are numbered without gaps."""
    remark: Text | None = None
    """Stands on the invoice."""


class Planning(Shape):
    """How a delivery slot is agreed."""

    lead_days: Days = 1
    """The first slot offered is at least so many days ahead."""
    horizon_days: Annotated[int, Field(gt=0, le=365)] = 60
    """The last slot offered is at most so many days ahead."""
    weekdays: tuple[
        Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], ...
    ] = ()
    """Only slots on these days; empty: any day that the planning tool offers."""
    choose_within_days: Annotated[int, Field(gt=0, le=365)] = 14
    reminder_days: Days = 7
    """So many days after the invitation to choose."""
    hold_minutes: Annotated[int, Field(gt=0, le=1440)] = 30
    otherwise: Literal["first_free"] = "first_free"
    """Who does not choose gets the first free slot, and is told."""


class Delivery(Shape):
    missed: Literal["plan_again"] = "plan_again"
    unconfirmed_after_days: Days = 2
    """So many days after a slot without word of the hand-over, a person is asked what happened."""


# --- the blueprint's columns ------------------------------------------------------------------


class Phase(Shape):
    """One column of the blueprint (fase), with its rows, and what of the machine belongs to it."""

    key: Key
    title: Text
    drafts: bool = False
    """The phase that begins when somebody starts an application."""
    stages: tuple[Stage, ...] = ()
    events: tuple[EventType, ...] = ()
    """Events that belong here whatever the stage they happen in."""
    interaction_point: Text
    medium: tuple[Text, ...]
    front_office: Text
    back_office: Text
    difference: Text | None = None


# --- the form ---------------------------------------------------------------------------------

PREFILL_SOURCES: dict[str, str] = {
    "magda.person.first_name": "first name, from the National Register",
    "magda.person.last_name": "family name, from the National Register",
    "magda.person.name": "first and family name, from the National Register",
    "magda.person.birth_date": "date of birth",
    "magda.person.address.street": "street of the domicile",
    "magda.person.address.number": "house number of the domicile",
    "magda.person.address.box": "box number of the domicile",
    "magda.person.address.postal_code": "postal code of the domicile",
    "magda.person.address.city": "municipality of the domicile, by name",
    "magda.person.address.nis": "municipality of the domicile, NIS code",
    "acmidm.first_name": "first name, as signed in",
    "acmidm.last_name": "family name, as signed in",
    "acmidm.name": "first and family name, as signed in",
    "contact.email": "e-mail address that the person gave us before",
    "contact.phone": "phone number that the person gave us before",
}
"""What a form can be filled from: the government never asks what it knows already."""


def _plain(value: object) -> object:
    """JSON as a validator and a client want it: no Decimals."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, Decimal) else value


Json = Annotated[dict[str, Any], BeforeValidator(_plain)]


class Prefill(Shape):
    field: Annotated[str, Field(pattern=r"^(/[^/~]+)+$")]
    """Where in the answers, as a JSON pointer: /applicant/name."""
    source: str
    fallback: str | None = None
    """A second source, for when the first is silent."""
    editable: bool = True
    """False: what the source said stands, the applicant sees it but does not change it."""


class Form(Shape):
    """What is asked: JSON Schema 2020-12, how it looks (uiSchema), what fills itself."""

    json_schema: Annotated[Json, Field(alias="schema")]
    ui: Json = Field(default_factory=dict)
    prefill: tuple[Prefill, ...] = ()
    translations: dict[Literal["fr", "en", "de"], dict[str, str]] = Field(default_factory=dict)
    """Per language: JSON pointer into the schema → the text in that language."""


# --- the catalogue ----------------------------------------------------------------------------


class Price(Shape):
    """An amount, VAT included, on every day from `from` to `to`, both included."""

    valid_from: Annotated[date, Field(alias="from")]
    valid_to: Annotated[date | None, Field(alias="to")] = None
    amount: Eur

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Option(Shape):
    """What can be ordered with a product."""

    key: Key
    title: Text
    description: Text | None = None
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]
    per_unit: Annotated[int, Field(gt=0, le=100)] = 1
    """At most so many with each unit of the product."""


class BudgetKey(Shape):
    """Where accounting books it (BBC)."""

    account: str
    """Algemene rekening (MAR)."""
    policy_item: str
    """Beleidsitem."""
    action: str | None = None
    estimate: str | None = None
    """Raming."""


class Vat(Shape):
    rate: Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)] = Decimal(0)
    """In per cent, contained in the price."""
    exemption_reason: Text | None = None


class Maximum(Shape):
    quantity: Annotated[int, Field(gt=0, le=1000)]
    per: Literal["household"] = "household"
    period: Literal["year", "ever"] = "year"
    """year: the calendar year of submission."""


class FirstUnitDiscount(Shape):
    """The first unit that a household ever orders of a product is so much cheaper."""

    amount: Eur
    per: Literal["household"] = "household"
    valid_from: Annotated[date, Field(alias="from")]
    valid_to: Annotated[date | None, Field(alias="to")] = None

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Product(Shape):
    key: Key
    title: Text
    description: Text | None = None
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]
    options: tuple[Option, ...] = ()
    budget_key: BudgetKey
    vat: Vat = Vat()
    maximum: Maximum | None = None
    first_unit_discount: FirstUnitDiscount | None = None


class Catalogue(Shape):
    products: Annotated[tuple[Product, ...], Field(min_length=1)]

    def find(self, key: str) -> Product | None:
        return next((product for product in self.products if product.key == key), None)


# --- rules ------------------------------------------------------------------------------------


class Rule(Shape):
    """A condition in CEL over `rules.Facts`: true is met, false is not met, 'REFER' asks a person."""

    key: Key
    title: Text
    when: Annotated[str, Field(min_length=1, max_length=600)]
    message: Text
    """Why not, in plain words for the applicant."""
    fact: Text
    """Motivation in fact (wet 29 juli 1991): what was found."""
    legal: Text
    """Motivation in law: which article asks it."""


class Rules(Shape):
    screening: tuple[Rule, ...] = ()
    """May this application be handled at all (ontvankelijkheid)."""
    approval: tuple[Rule, ...] = ()
    """May it be granted: decides where `decision: {by: rule}`, else it is what is proposed."""


# --- checks, advice, benefits -----------------------------------------------------------------


class Figure(Shape):
    """A number of a table, on every day from `from` to `to`, both included."""

    valid_from: Annotated[date, Field(alias="from")]
    valid_to: Annotated[date | None, Field(alias="to")] = None
    value: Annotated[Decimal, Field(max_digits=12, decimal_places=4)]

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Check(Shape):
    """A look-up at an authentic source without a handler (controle): yes or no is kept, never the data."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
    """With underscores: rules read it as `checks.key`."""
    title: Text
    service: Literal["social_status", "tax_assessment", "handicap_file"]
    of: Literal["applicant", "children"] = "applicant"
    """children: each child of the household; met when it is met for one of them."""
    statuses: tuple[str, ...] = ()
    """Of social_status: the names asked (BIM_BVT is the increased allowance)."""
    on: Literal["reference_date", "today"] = "reference_date"
    """For which day the source is asked."""
    years_back: Annotated[int, Field(ge=1, le=5)] = 2
    """Of tax_assessment: the income year, so many years before the year of the reference date."""
    when: Annotated[str | None, Field(max_length=600)] = None
    """Asked only where this is true (CEL over the facts)."""
    met: Annotated[str, Field(min_length=1, max_length=600)]
    """CEL over the facts and `answer`, what the source said; see `checks.ANSWERS`."""
    documents: tuple[Key, ...] = ()
    """Kinds of documents that can stand in its place."""
    purpose: Text
    """What the citizen is told: what is asked, and why."""


class DocumentKind(Shape):
    """A paper that an applicant can add (bewijsstuk)."""

    key: Key
    title: Text
    description: Text | None = None
    """When it is needed, and what must stand in it."""


class Adviser(Shape):
    """Whose advice can be asked."""

    key: Key
    title: Text
    kind: Literal["INTERNAL", "EXTERNAL", "MACHINE"]
    email: str | None = None
    """Of an external adviser: where the link goes."""
    department: str | None = None
    """Of an internal adviser: who may answer, as ACM/IDM names the service."""
    check: str | None = None
    """Of a machine: the check that is its answer."""
    question: Text
    within_days: Annotated[int, Field(gt=0, le=365)] = 14
    remind_before_days: tuple[Days, ...] = (5, 3, 0)
    documents: bool = False
    """Whether the adviser sees the documents of the application."""


class Benefit(Shape):
    """A sum that is granted: once per address or person and year (toelage, premie)."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
    title: Text
    per: Literal["address", "applicant", "child"]
    """Of what there is one a year. child: of the child that its check was met for."""
    check: str | None = None
    """Of `per: child`: which check says for which child."""
    asked: Annotated[str | None, Field(max_length=600)] = None
    """CEL: whether this application asks it; without it, always."""
    when: Annotated[str, Field(min_length=1, max_length=600)]
    """CEL: whether it is due."""
    amounts: Annotated[tuple[Price, ...], Field(min_length=1)]
    """By the reference date."""
    message: Text
    fact: Text
    legal: Text
    granted_fact: Text
    """Motivation in fact where it is granted."""
    budget_key: BudgetKey


class ReferenceDate(Shape):
    """The day on which conditions are looked at, in the year of the application."""

    month: Annotated[int, Field(ge=1, le=12)] = 1
    day: Annotated[int, Field(ge=1, le=28)] = 1


class Window(Shape):
    """When in the year applications are taken, both days included (MM-DD)."""

    opens: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
    closes: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]

    def holds(self, on: date) -> bool:
        """A window may go over the turn of the year."""
        day = f"{on:%m-%d}"
        if self.opens <= self.closes:
            return self.opens <= day <= self.closes
        return day >= self.opens or day <= self.closes


# --- texts ------------------------------------------------------------------------------------

PLACEHOLDERS: dict[str, str] = {
    "applicant": "name of the applicant",
    "reference": "number of the case",
    "procedure": "title of the procedure",
    "municipality": "name of the municipality",
    "department": "department that handles the case",
    "contact_name": "whom to ask",
    "contact_phone": "phone number of the contact",
    "contact_email": "e-mail address of the contact",
    "contact_website": "website of the contact",
    "term_days": "days of the term",
    "decide_by": "last day of the term (date)",
    "submitted_on": "day of submission (date)",
    "items": "what was ordered, one line per product (list)",
    "amount": "what is to be paid (amount)",
    "paid": "what came in (amount)",
    "outstanding": "what is still to be paid (amount)",
    "due_on": "last day to pay (date)",
    "invoice_number": "number of the invoice",
    "structured_reference": "structured communication, printed +++123/4567/89002+++",
    "iban": "account of the municipality, in groups of four",
    "payee": "name on that account",
    "qr": "picture of the payment code, in a paragraph of its own (only in e-mail)",
    "button": "the message's button, in a paragraph of its own; not named: at the end",
    "refund": "what is paid back (amount)",
    "reason": "why, in plain words (list)",
    "fact": "motivation in fact (list)",
    "legal": "motivation in law (list)",
    "appeal": "where, how and by when to appeal",
    "question": "what the handler asks",
    "answer_by": "last day to answer (date)",
    "choose_by": "last day to choose a slot (date)",
    "slot": "the agreed delivery: day and hours (window)",
    "previous_slot": "the delivery that was agreed before (window)",
    "address": "where it is delivered",
    "link_case": "page of the case",
    "link_pay": "page to pay online",
    "link_slots": "page to choose a slot",
    "link_answer": "page to give information",
    "link_review": "page to ask that a person looks again",
    "body": "the body that decides, in full",
    "meeting_on": "day of the meeting that decides (date)",
    "granted": "what is granted (amount)",
    "benefits": "what is granted, one line each (list)",
    "refused_benefits": "what was asked and is not granted (list)",
    "conditions": "conditions of the decision (list)",
    "account": "the applicant's account, masked",
    "paid_on": "day of payment (date)",
    "adviser": "who is asked for advice",
    "link_account": "page to give another account",
}
"""What a text can name between braces, and what it stands for."""

ALWAYS = frozenset(
    {
        "applicant",
        "reference",
        "procedure",
        "municipality",
        "department",
        "contact_name",
        "contact_phone",
        "contact_email",
        "contact_website",
        "term_days",
        "appeal",
        "body",
        "submitted_on",
        "link_case",
    }
)
"""Placeholders that every message has a value for; only these may stand in a subject."""

LINKS = frozenset(name for name in PLACEHOLDERS if name.startswith("link_"))


class Button(Shape):
    label: Text
    link: Literal["link_case", "link_pay", "link_slots", "link_answer", "link_review", "link_account"]


class Message(Shape):
    """What is said when an event happens.

    `body` is paragraphs separated by an empty line; lines that begin with "- " are a list. A paragraph or
    list line that names something which is not there (no value for its placeholder) is left out; so is a
    line of `sms`.
    """

    subject: Text
    body: Text
    sms: Text
    button: Button | None = None
    joins: tuple[EventType, ...] = ()
    """Happens it together with one of these, then it is added to that message and not sent apart."""
    joined_subject: Text | None = None
    """The subject then; `{subject}` is that of the message it joined."""
    replaces: tuple[EventType, ...] = ()
    """Happens it together with one of these, then those are not sent."""
    channels: tuple[MessageChannel, ...] = tuple(MessageChannel)


class Texts(Shape):
    """Only the events that stand here produce a message."""

    salutation: Text
    closing: Text
    sms_opening: Text
    messages: dict[EventType, Message]


# --- what is told to DOSIS --------------------------------------------------------------------

DOSIS_PHASES = ("Samenstelling", "Behandeling", "Beslissing", "Beroep", "Uitvoering", "Afgerond")
# fmt: off
DOSIS_CODES = frozenset({
    "Geinitieerd", "Aangevraagd", "Ingediend",
    "DossierOnvolledig", "DossierVolledig", "Ontvankelijk", "OnOntvankelijk", "InBehandeling",
    "KlaarVoorBeslissing",
    "InWacht", "Beslist", "Goedgekeurd", "DeelsGoedgekeurd", "Geweigerd", "Stopgezet", "Stopzetting",
    "KlaarVoorBetaling", "Betaald", "DeelsUitbetaald", "Uitgevoerd",
    "ErkendVergund", "Aktename", "Gepland", "InOpenbaarOnderzoek", "VoorlopigVastgesteld",
    "DefinitiefVastgesteld", "GerechtelijkIngeleid",
})
# fmt: on
"""VlaamsCode and VlaamsFase as DOSIS's connector and sample messages know them."""


class DosisRow(Shape):
    """What Mijn Burgerprofiel shows after an event."""

    code: str
    phase: str
    action: Text | None = None
    """What the citizen has to do (ActieNodig)."""
    detail: Text | None = None


# --- the whole --------------------------------------------------------------------------------


class Retention(Shape):
    years: Annotated[int, Field(ge=0, le=100)]
    """After the case ended; then it is anonymised."""


class Definition(Shape):
    """One version of one procedure. Immutable: a case stays for life on the version that it started with."""

    key: Key
    version: Annotated[int, Field(gt=0)]
    valid_from: date
    valid_to: date | None = None
    title: Text
    description: Text
    ipdc_product_id: Annotated[str, Field(pattern=r"^\d{1,9}$")]
    department: Text
    contact: Contact
    legal_basis: tuple[Text, ...]
    deciding_body: Text
    appeal: Appeal
    """Where, how and within what term a decision can be fought: it stands under every refusal ({appeal})."""
    term: Term
    reference_prefix: Annotated[str, Field(pattern=r"^[A-Z]{2,4}$")]
    drafts: Drafts = Drafts()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    screening: Screening = Screening()
    assessment: Assessment = Assessment()
    decision: Decision | None = None
    payout: PayoutRules | None = None
    payment: Payment | None = None
    planning: Planning | None = None
    delivery: Delivery | None = None
    information: Information = Information()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    form: Form
    catalogue: Catalogue | None = None
    window: Window | None = None
    reference_date: ReferenceDate = ReferenceDate()
    tables: dict[str, tuple[Figure, ...]] = Field(default_factory=dict)
    """Amounts and thresholds with the days on which they hold; rules read `tables.key`; by reference date."""
    documents: tuple[DocumentKind, ...] = ()
    checks: tuple[Check, ...] = ()
    advisers: tuple[Adviser, ...] = ()
    benefits: tuple[Benefit, ...] = ()
    rules: Rules = Rules()
    texts: Texts
    dosis: dict[EventType, DosisRow]
    retention: dict[Status, Retention]

    _sha256: str = PrivateAttr("")
    _source: str = PrivateAttr("")

    @property
    def sha256(self) -> str:
        """Of the content, hexadecimal: comments and layout do not count."""
        return self._sha256

    @property
    def source(self) -> str:
        """The file's text, to be kept with the cases that started with it."""
        return self._source

    def marked(self, *, source: str, sha256: str) -> "Definition":
        """The same, knowing the text that it was read from."""
        self._source, self._sha256 = source, sha256
        return self

    def valid_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def check(self, key: str) -> Check | None:
        return next((one for one in self.checks if one.key == key), None)

    def adviser(self, key: str) -> Adviser | None:
        return next((one for one in self.advisers if one.key == key), None)

    def reference_day(self, submitted_on: date) -> date:
        """The day on which the conditions of an application of `submitted_on` are looked at."""
        return date(submitted_on.year, self.reference_date.month, self.reference_date.day)

    def figures(self, on: date) -> dict[str, Decimal]:
        """Of each table the number that holds on that day."""
        found = {
            key: next((one.value for one in rows if one.holds(on)), None) for key, rows in self.tables.items()
        }
        return {key: value for key, value in found.items() if value is not None}

    def phase_of(self, stage: Stage) -> Phase:
        return next(phase for phase in self.phases if stage in phase.stages)
