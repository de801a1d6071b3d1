"""What can be ordered, and what it costs."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from loket.definition.shape import Eur, Key, Shape, Text


class Price(Shape):
    """An amount, VAT included, on every day from `from` to `to`, both included."""

    valid_from: Annotated[date, Field(alias="from")]
    """First day."""
    valid_to: Annotated[date | None, Field(alias="to")] = None
    """Last day; without it, until the next row or for good."""
    amount: Eur
    """In euro, VAT included."""

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Option(Shape):
    """What can be ordered with a product."""

    key: Key
    """Name of the option among those of its product."""
    title: Text
    """What the citizen reads; stands on the invoice."""
    description: Text | None = None
    """What it is for."""
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]
    """What one costs, day by day without a gap."""
    per_unit: Annotated[int, Field(gt=0, le=100)] = 1
    """At most so many with each unit of the product."""


class BudgetKey(Shape):
    """Where accounting books it (BBC)."""

    account: str
    """Algemene rekening (MAR)."""
    policy_item: str
    """Beleidsitem."""
    action: str | None = None
    """Actie of the long-term plan, where it belongs to one."""
    estimate: str | None = None
    """Raming."""


class VatCategory(StrEnum):
    """How VAT looks at a sale, as the European norm for invoices codes it (EN 16931, UNTDID 5305)."""

    OUTSIDE_SCOPE = "O"
    """A municipality that acts as a public authority (artikel 6 van het Btw-wetboek): a retribution."""
    EXEMPT = "E"
    """Exempt, with the reason why."""
    STANDARD = "S"
    """At a rate above zero, whichever."""


OUTSIDE_SCOPE = "VATEX-EU-O"
"""The code for the category O."""
EXEMPT = (
    r"VATEX-EU-(79-C|132(-1[A-Q])?|135-1|143(-1(FA|[A-L]))?|144|146-1E|148(-[A-G])?"
    r"|151(-1(AA|[A-E]))?|153|159|309|[DFIJ])"
)
"""The codes for the category E: those of the list of EN 16931 that belong to no other."""


class Vat(Shape):
    """What of a price is VAT. Without a word: outside its scope, or with a rate: taxed at that."""

    category: VatCategory = VatCategory.OUTSIDE_SCOPE
    """O outside its scope, E exempt, S taxed."""
    rate: Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)] = Decimal(0)
    """In per cent, contained in the price."""
    exemption_reason: Text | None = None
    """Why there is none; stands on the invoice."""
    exemption_code: Annotated[str | None, Field(pattern=r"^VATEX-EU-[0-9A-Z-]+$")] = None
    """The same as a code (VATEX), where there is one; outside the scope it is VATEX-EU-O by itself."""

    @model_validator(mode="before")
    @classmethod
    def _rate_says_it(cls, value: object) -> object:
        if isinstance(value, dict) and "category" not in value and value.get("rate"):
            return {"category": VatCategory.STANDARD, **value}
        return value


class Maximum(Shape):
    """At most so many of a product."""

    quantity: Annotated[int, Field(gt=0, le=1000)]
    """At most so many units of the product."""
    per: Literal["household"] = "household"
    """All persons of one domicile together."""
    period: Literal["year", "ever"] = "year"
    """year: the calendar year of submission."""


class FirstUnitDiscount(Shape):
    """The first unit that a household ever orders of a product is so much cheaper."""

    amount: Eur
    """So much less, in euro."""
    per: Literal["household"] = "household"
    """All persons of one domicile together."""
    valid_from: Annotated[date, Field(alias="from")]
    """First day."""
    valid_to: Annotated[date | None, Field(alias="to")] = None
    """Last day; without it, for good."""

    def holds(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


class Free(Shape):
    """Who pays nothing, or not for all of it (vrijstelling)."""

    key: Key
    """Name of the exemption; stays the same over versions."""
    title: Text
    """Stands on the invoice beside what it takes off."""
    when: Annotated[str, Field(min_length=1, max_length=600)]
    """CEL over the facts. What is in doubt is not free."""
    products: tuple[Key, ...] = ()
    """Of which products; empty: all but deposits."""
    units: Annotated[int | None, Field(gt=0, le=1000)] = None
    """Only the first so many units on an application; without it, all of them."""


class Product(Shape):
    """One thing that can be ordered."""

    key: Key
    """Name of the product: orders and rules (`household.ordered_ever.key`) use it."""
    title: Text
    """What the citizen reads; stands on the invoice."""
    description: Text | None = None
    """What it is, and for whom."""
    deposit: bool = False
    """Comes back (waarborg): a sum on the invoice that is released again by `depositReturn`."""
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]
    """What one costs, day by day without a gap while the procedure is valid."""
    options: tuple[Option, ...] = ()
    """What can be ordered with it."""
    budget_key: BudgetKey
    """Where accounting books it."""
    vat: Vat = Vat()
    """What of the price is VAT. Without VAT there must be an `exemption_reason`."""
    maximum: Maximum | None = None
    """At most so many; rules read `quota.within_maximum`."""
    first_unit_discount: FirstUnitDiscount | None = None
    """What a household's first unit ever is cheaper."""


class Catalogue(Shape):
    """What can be ordered (winkelmandje)."""

    products: Annotated[tuple[Product, ...], Field(min_length=1)]
    """What can be ordered."""
    free: tuple[Free, ...] = ()
    """Who pays nothing, or not for all of it."""
    deposit_days: Annotated[int, Field(gt=0, le=3650)] = 30
    """So many days after the case was completed (or its validity ended) a person is asked what becomes of a
    deposit that was not released yet."""

    def find(self, key: str) -> Product | None:
        return next((product for product in self.products if product.key == key), None)
