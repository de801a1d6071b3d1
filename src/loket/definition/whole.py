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
    co_applicant: CoApplicant | None = None
    duplicates: tuple[Duplicate, ...] = ()
    validity: Validity | None = None
    renewal: Renewal | None = None
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
