"""What is in a cart, at which prices, and how much of it the household may still order."""

from collections.abc import Sequence
from decimal import Decimal

from loket import pricing
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.procedures import Row, price_on
from loket.api.scalars import Money, eur
from loket.definition import Definition, Maximum
from loket.rules import CartLine as Entry

ORDERED = """
    (SELECT json_agg(json_build_object('product', q.product, 'period', q.period, 'quantity', q.quantity))
       FROM quota q WHERE q.procedure_key = {t}.procedure_key AND q.household_index = {t}.household_index)"""
"""What the household ordered before, by product and year; year 0 counts all years."""
SETTLED = """(SELECT c.facts -> 'order' FROM "case" c WHERE c.application_id = {t}.id)"""
"""The priced lines of an application that was handed in."""
EVER = 0


@output
class CartOption:
    """How many of an option."""

    option: str = described("Its key.")
    quantity: int = described("How many.")


@output
class CartLine:
    """A line of the cart."""

    product: str = described("Which product.")
    title: str = described("Its title, in your language.")
    quantity: int = described("How many.")
    options: list[CartOption] = described("With what.")
    price: Money | None = described("What one costs, VAT included; null when it is not for sale.")
    discount: Money | None = described("What the household gets off this line; null for nothing.")
    amount: Money | None = described("All of this line: options too, the discount taken off.")


@output
class Cart:
    """What is ordered: at the prices of today, and once handed in at those that were settled then."""

    lines: list[CartLine] = described("The lines.")
    total: Money = described("What it costs; without the discount while the household is unknown.")


@output
class Allowance:
    """How many of a product a household may still order."""

    product: str = described("Which product.")
    maximum: int = described("At most so many.")
    per_year: bool = described("Whether that is per calendar year; else for ever.")
    ordered: int | None = described("How many it ordered already; null while the household is unknown.")
    remaining: int | None = described("How many it may still order; null while the household is unknown.")


def cart_of(definition: Definition, row: Row, viewer: Caller) -> Cart:
    """The cart of an application's row, which has `cart`, `ordered`, `settled` and `household_index`."""
    entries = [
        Entry(line["product"], line["quantity"], line.get("options") or {})
        for line in row["cart"]
        if definition.catalogue and definition.catalogue.find(line["product"])
    ]
    amounts = _settled(row["settled"]) if row["settled"] else _today(definition, row, entries, viewer)
    shown = [
        _line(definition, entry, _amounts_at(amounts, number), viewer) for number, entry in enumerate(entries)
    ]
    return Cart(lines=shown, total=eur(sum((amount for one in amounts for _, amount in one), Decimal(0))))


Amounts = list[tuple[str, Decimal]]
"""Of one line of the cart: what each of its priced lines is, and costs."""


def _settled(order: Sequence[Row]) -> list[Amounts]:
    """What was priced at submission, by line of the cart: each begins with its product."""
    lines: list[Amounts] = []
    for one in order:
        if one["kind"] == pricing.LineKind.PRODUCT:
            lines.append([])
        lines[-1].append((one["kind"], Decimal(one["amount"])))
    return lines


def _today(definition: Definition, row: Row, entries: Sequence[Entry], viewer: Caller) -> list[Amounts]:
    """What the cart costs now; nothing for a line that cannot be ordered so."""
    ever = _counts(row, EVER) if row["household_index"] else None
    lines: list[Amounts] = []
    for entry in entries:
        try:
            priced = pricing.price(definition, [entry], viewer.today, ever)
        except LookupError:
            priced = []
        lines.append([(one.kind, one.amount) for one in priced])
        if ever is not None:  # the discount is for the first one of the cart only
            ever[entry.product] = ever.get(entry.product, 0) + entry.quantity
    return lines


def _amounts_at(amounts: Sequence[Amounts], number: int) -> Amounts:
    return amounts[number] if number < len(amounts) else []


def _line(definition: Definition, entry: Entry, amounts: Amounts, viewer: Caller) -> CartLine:
    product = definition.catalogue.find(entry.product) if definition.catalogue else None
    assert product is not None
    discount = -sum((amount for kind, amount in amounts if kind == pricing.LineKind.DISCOUNT), Decimal(0))
    whole = [amount for kind, amount in amounts if kind == pricing.LineKind.PRODUCT]
    price = eur(whole[0] / entry.quantity) if whole else price_on(product.prices, viewer.today)
    return CartLine(
        product=product.key,
        title=product.title.get(viewer.language),
        quantity=entry.quantity,
        options=[
            CartOption(option=option.key, quantity=entry.options[option.key])
            for option in product.options
            if entry.options.get(option.key)
        ],
        price=price,
        discount=eur(discount) if discount else None,
        amount=eur(sum((amount for _, amount in amounts), Decimal(0))) if amounts else None,
    )


def allowances_of(definition: Definition, row: Row, viewer: Caller) -> list[Allowance]:
    """Of each product with a maximum; the row has `ordered` and `household_index`."""
    products = definition.catalogue.products if definition.catalogue else ()
    return [_allowance(product.key, product.maximum, row, viewer) for product in products if product.maximum]


def _allowance(product: str, maximum: Maximum, row: Row, viewer: Caller) -> Allowance:
    per_year = maximum.period == "year"
    ordered = None
    if row["household_index"]:
        ordered = _counts(row, viewer.today.year if per_year else EVER).get(product, 0)
    return Allowance(
        product=product,
        maximum=maximum.quantity,
        per_year=per_year,
        ordered=ordered,
        remaining=None if ordered is None else max(maximum.quantity - ordered, 0),
    )


def _counts(row: Row, period: int) -> dict[str, int]:
    return {one["product"]: one["quantity"] for one in row["ordered"] or () if one["period"] == period}
