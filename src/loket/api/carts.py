"""What is in a cart, at which prices, and how much of it the household may still order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from loket import facts, pricing
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.procedures import Row, price_on
from loket.api.scalars import Money, eur
from loket.definition import Definition, Maximum
from loket.rules import CartLine as Entry
from loket.rules import Facts

ORDERED = """
    (SELECT json_agg(json_build_object('product', q.product, 'period', q.period, 'quantity', q.quantity))
       FROM quota q WHERE q.procedure_key = {t}.procedure_key AND q.household_index = {t}.household_index)"""
"""What the household ordered before, by product and year; year 0 counts all years."""
SETTLED = """(SELECT c.facts -> 'order' FROM "case" c WHERE c.application_id = {t}.id)"""
"""The priced lines of an application that was handed in."""
SENT_IN = """
    (SELECT json_object_agg(d.kind, d.number) FROM (SELECT d.kind, count(*) AS number FROM document d
      WHERE d.application_id = {t}.id AND d.stored_at IS NOT NULL GROUP BY d.kind) d)"""
"""Of each kind of document how many there are."""
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
    deposit: bool = described("Whether it comes back (waarborg).")
    discount: Money | None = described("What the household gets off this line; null for nothing.")
    free: Money | None = described(
        "What of this line is free of charge, as far as is known; null for nothing."
    )
    amount: Money | None = described("All of this line: options too, what is taken off taken off.")


@output
class CartExemption:
    """Why something is free of charge (vrijstelling)."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    amount: Money = described("How much it takes off.")


@output
class Cart:
    """What is ordered: at the prices of today, and once handed in at those that were settled then."""

    lines: list[CartLine] = described("The lines.")
    free: list[CartExemption] = described(
        "What is free of charge; in a draft as far as is known now: it is weighed again when it is handed in."
    )
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
    """The cart of an application's row, which has `cart`, `answers`, `facts`, `channel`, `sent_in`,
    `ordered`, `settled` and `household_index`.
    """
    entries = [
        Entry(line["product"], line["quantity"], line.get("options") or {})
        for line in row["cart"]
        if definition.catalogue and definition.catalogue.find(line["product"])
    ]
    priced = _settled(row["settled"]) if row["settled"] else _today(definition, row, entries, viewer)
    shown = [
        _line(definition, entry, priced[number] if number < len(priced) else [], viewer)
        for number, entry in enumerate(entries)
    ]
    together = [one for of_line in priced for one in of_line]
    return Cart(lines=shown, free=_exemptions(definition, together, viewer), total=eur(_sum(together)))


@dataclass(frozen=True)
class _Priced:
    """One priced line: what it is, what it costs, and by which exemption it is free."""

    kind: str
    amount: Decimal
    free: str | None


def _settled(order: Sequence[Row]) -> list[list[_Priced]]:
    """What was priced at submission, by line of the cart: each begins with its product."""
    return _by_line([_Priced(one["kind"], Decimal(one["amount"]), one.get("free")) for one in order])


def _today(definition: Definition, row: Row, entries: Sequence[Entry], viewer: Caller) -> list[list[_Priced]]:
    """What the cart costs now; nothing for a line that cannot be ordered so."""
    ever = _counts(row, EVER) if row["household_index"] else None
    good = [number for number, entry in enumerate(entries) if _is_for_sale(definition, entry, viewer)]
    free = pricing.exempt(definition, _facts_of(definition, row, viewer))
    priced = pricing.price(definition, [entries[number] for number in good], viewer.today, ever, free)
    by_line = _by_line([_Priced(one.kind, one.amount, one.free) for one in priced])
    lines: list[list[_Priced]] = [[] for _ in entries]
    for number, of_line in zip(good, by_line, strict=True):
        lines[number] = of_line
    return lines


def _is_for_sale(definition: Definition, entry: Entry, viewer: Caller) -> bool:
    try:
        return bool(pricing.price(definition, [entry], viewer.today, None))
    except LookupError:
        return False


def _facts_of(definition: Definition, row: Row, viewer: Caller) -> Facts:
    """What the exemptions may read of a draft: also what the household ordered, in other cases."""
    draft = facts.Draft(row["answers"], row["cart"], row["facts"], row["channel"], row["sent_in"] or {})
    known = facts.of_draft(definition, draft, viewer.loket.settings.municipality, datetime.now(UTC))
    if not row["household_index"] or definition.catalogue is None:
        return known
    nothing = dict.fromkeys((product.key for product in definition.catalogue.products), 0)
    household = replace(
        known.household,
        ordered_this_year=nothing | _counts(row, viewer.today.year),
        ordered_ever=nothing | _counts(row, EVER),
    )
    return replace(known, household=household)


def _by_line(priced: Sequence[_Priced]) -> list[list[_Priced]]:
    lines: list[list[_Priced]] = []
    for one in priced:
        if one.kind == pricing.LineKind.PRODUCT:
            lines.append([])
        lines[-1].append(one)
    return lines


def _line(definition: Definition, entry: Entry, priced: Sequence[_Priced], viewer: Caller) -> CartLine:
    product = definition.catalogue.find(entry.product) if definition.catalogue else None
    assert product is not None
    whole = [one.amount for one in priced if one.kind == pricing.LineKind.PRODUCT]
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
        deposit=product.deposit,
        discount=_taken_off(priced, pricing.LineKind.DISCOUNT),
        free=_taken_off(priced, pricing.LineKind.FREE),
        amount=eur(_sum(priced)) if priced else None,
    )


def _taken_off(priced: Sequence[_Priced], kind: str) -> Money | None:
    amount = -_sum([one for one in priced if one.kind == kind])
    return eur(amount) if amount else None


def _exemptions(definition: Definition, priced: Sequence[_Priced], viewer: Caller) -> list[CartExemption]:
    exemptions = definition.catalogue.free if definition.catalogue else ()
    taken = {one.key: -_sum([line for line in priced if line.free == one.key]) for one in exemptions}
    return [
        CartExemption(key=one.key, title=one.title.get(viewer.language), amount=eur(taken[one.key]))
        for one in exemptions
        if taken[one.key]
    ]


def _sum(priced: Sequence[_Priced]) -> Decimal:
    return sum((one.amount for one in priced), Decimal(0))


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
