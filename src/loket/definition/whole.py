"""One version of one procedure."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PrivateAttr

from loket.definition.afterwards import Renewal, Validity
from loket.definition.blueprint import Phase
from loket.definition.catalogue import Catalogue
from loket.definition.conditions import CoApplicant, Duplicate
from loket.definition.dosis import DosisRow
from loket.definition.form import Form
from loket.definition.grants import Adviser, Benefit, Check, DocumentKind, Figure, ReferenceDate, Window
from loket.definition.rules import Rules
from loket.definition.shape import Key, Shape, Text
from loket.definition.stages import (
    Appeal,
    Assessment,
    Contact,
    Decision,
    Delivery,
    Drafts,
    Information,
    Payment,
    PayoutRules,
    Planning,
    Screening,
    Term,
)
from loket.definition.texts import Texts
from loket.lifecycle import EventType, Stage, Status


class Retention(Shape):
    """How long a case is kept (bewaartermijn)."""

    years: Annotated[int, Field(ge=0, le=100)]
    """After the case ended, or after what was granted ended where that is later; then it is anonymised."""


class Definition(Shape):
    """One version of one procedure. Immutable: a case stays for life on the version that it started with."""

    key: Key
    """Name of the procedure in the API: small letters, digits and hyphens. Stays the same over versions."""
    version: Annotated[int, Field(gt=0)]
    """1, 2, 3 …; a published version never changes."""
    valid_from: date
    """First day on which an application can start under this version."""
    valid_to: date | None = None
    """Last such day; without it, until a later version takes over."""
    title: Text
    """What the citizen reads."""
    description: Text
    """What it is, in a few sentences."""
    ipdc_product_id: Annotated[str, Field(pattern=r"^\d{1,9}$")]
    """Number of the product in the IPDC (Interbestuurlijke Producten- en Dienstencatalogus)."""
    department: Text
    """Service that handles the cases; stands under letters. Staff whose role in ACM/IDM names a service see
    the cases of that one alone (`LoketBehandelaar-Milieudienst`: those of the `Milieudienst`)."""
    contact: Contact
    """Whom a citizen can ask."""
    legal_basis: tuple[Text, ...]
    """On what it rests: regulation, decree."""
    deciding_body: Text
    """Who decides, in full: {body}."""
    appeal: Appeal
    """Where, how and within what term a decision can be fought: it stands under every refusal ({appeal})."""
    term: Term
    """Within how many days there must be a decision."""
    reference_prefix: Annotated[str, Field(pattern=r"^[A-Z]{2,4}$")]
    """Begins the number of a case: CB-2026-…"""
    drafts: Drafts = Drafts()
    """How long an application may be left unfinished."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """The steps of the machine, in order: this one line says when one pays, when a slot is chosen."""
    screening: Screening = Screening()
    """How it is looked at whether an application can be handled."""
    assessment: Assessment = Assessment()
    """How an application is weighed; with the stage `assessment`."""
    decision: Decision | None = None
    """Who decides; with the stage `decision`."""
    payout: PayoutRules | None = None
    """How a premium is paid; with the stage `payout`."""
    payment: Payment | None = None
    """How one pays; with the stage `payment`."""
    planning: Planning | None = None
    """How a slot is agreed; with the stage `planning`."""
    delivery: Delivery | None = None
    """What happens at the door; with the stage `delivery`."""
    information: Information = Information()
    """How long an applicant has to answer a question."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """The blueprint: a column per phase, with its rows."""
    form: Form
    """What is asked."""
    catalogue: Catalogue | None = None
    """What can be ordered; with the stage `payment`."""
    window: Window | None = None
    """When in the year applications are taken; without it, always."""
    co_applicant: CoApplicant | None = None
    """Who else must confirm."""
    duplicates: tuple[Duplicate, ...] = ()
    """What may be asked once; rules read `duplicates.key`."""
    validity: Validity | None = None
    """How long what was granted holds."""
    renewal: Renewal | None = None
    """Whether it is offered again."""
    reference_date: ReferenceDate = ReferenceDate()
    """The day on which conditions are looked at; nothing said: 1 January."""
    tables: dict[str, tuple[Figure, ...]] = Field(default_factory=dict)
    """Amounts and thresholds with the days on which they hold; rules read `tables.key`; by reference date."""
    documents: tuple[DocumentKind, ...] = ()
    """Papers that an applicant can add, or must."""
    checks: tuple[Check, ...] = ()
    """What is looked up at authentic sources; with the stage `assessment`."""
    advisers: tuple[Adviser, ...] = ()
    """Whose advice can be asked; with the stage `assessment`."""
    benefits: tuple[Benefit, ...] = ()
    """Sums that are granted; with the stage `decision`."""
    rules: Rules = Rules()
    """Conditions, in CEL."""
    texts: Texts
    """What is said. Only the events that stand there produce a message."""
    dosis: dict[EventType, DosisRow]
    """Per event, what Mijn Burgerprofiel shows. No row: nothing is told."""
    retention: dict[Status, Retention]
    """Per end of a case, how long it is kept; each end that a case can have."""

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
