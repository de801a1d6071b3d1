"""What is looked up, who is asked for advice, what is granted."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from loket.definition.catalogue import BudgetKey, Price
from loket.definition.shape import Days, Key, Shape, Text


class Figure(Shape):
    """A number of a table, on every day from `from` to `to`, both included."""

    valid_from: Annotated[date, Field(alias="from")]
    """First day."""
    valid_to: Annotated[date | None, Field(alias="to")] = None
    """Last day; without it, until the next row or for good."""
    value: Annotated[Decimal, Field(max_digits=12, decimal_places=4)]
    """The number; in CEL a double."""

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Check(Shape):
    """A look-up at an authentic source without a handler (controle): yes or no is kept, never the data."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
    """With underscores: rules read it as `checks.key`."""
    title: Text
    """What the handler and the citizen read."""
    service: Literal["social_status", "tax_assessment", "handicap_file"]
    """Which source is asked: social statuses, the tax assessment, the handicap file."""
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
    """CEL over the facts and `answer`, what the source said."""
    documents: tuple[Key, ...] = ()
    """Kinds of documents that can stand in its place."""
    purpose: Text
    """What the citizen is told: what is asked, and why."""


class DocumentKind(Shape):
    """A paper that an applicant can add (bewijsstuk)."""

    key: Key
    """Name of the kind; uploads and `checks[].documents` use it."""
    title: Text
    """What the citizen reads."""
    description: Text | None = None
    """When it is needed, and what must stand in it."""
    required: Annotated[str | None, Field(max_length=600)] = None
    """CEL over the facts: whether it must be there when the application is handed in. Where that cannot be
    told yet, it need not."""


class Adviser(Shape):
    """Whose advice can be asked."""

    key: Key
    """Name of the adviser: rules read it as `advices.key`, so with underscores."""
    title: Text
    """Who it is, in plain words."""
    kind: Literal["INTERNAL", "EXTERNAL", "MACHINE"]
    """INTERNAL: signs in to Loket; EXTERNAL: gets a link by e-mail; MACHINE: a check is the answer."""
    email: str | None = None
    """Of an external adviser: where the link goes."""
    department: str | None = None
    """Of an internal adviser: who may answer, as ACM/IDM names the service."""
    check: str | None = None
    """Of a machine: the check that is its answer."""
    question: Text
    """What is asked."""
    within_days: Annotated[int, Field(gt=0, le=365)] = 14
    """After so many days without an answer it counts as NO_REACTION."""
    remind_before_days: tuple[Days, ...] = (5, 3, 0)
    """So many days before that end they are reminded."""
    documents: bool = False
    """Whether the adviser sees the documents of the application."""


class Benefit(Shape):
    """A sum that is granted: once per address or person and year (toelage, premie)."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
    """Name of the benefit, with underscores: rules read it as `claims.key`."""
    title: Text
    """What the citizen reads."""
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
    """Why not, in plain words for the applicant."""
    fact: Text
    """Motivation in fact where it is refused."""
    legal: Text
    """Motivation in law: which article says so."""
    granted_fact: Text
    """Motivation in fact where it is granted."""
    budget_key: BudgetKey
    """Where accounting books it."""


class ReferenceDate(Shape):
    """The day on which conditions are looked at, in the year of the application."""

    month: Annotated[int, Field(ge=1, le=12)] = 1
    """1 is January."""
    day: Annotated[int, Field(ge=1, le=28)] = 1
    """At most 28: it must be there every year."""


class Window(Shape):
    """When in the year applications are taken, both days included (MM-DD)."""

    opens: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
    """First day."""
    closes: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
    """Last day; before `opens` when it goes over the turn of the year."""

    def holds(self, on: date) -> bool:
        """A window may go over the turn of the year."""
        day = f"{on:%m-%d}"
        if self.opens <= self.closes:
            return self.opens <= day <= self.closes
        return day >= self.opens or day <= self.closes
