"""What can be ordered, and what it costs."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from loket.definition.shape import Eur, Key, Shape, Text


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
