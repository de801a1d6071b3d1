"""What a cart costs, on a day, for a household: one calculation for the cart and for the invoice."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from loket.definition import BudgetKey, Definition, Free, Option, Price, Product, Text, Vat
from loket.errors import ErrorCode
from loket.forms import FieldFault
from loket.rules import CartLine, Facts, Outcome, weigh

MAX_LINES = 20
MAX_QUANTITY = 100
"""Units on one line, whatever the catalogue allows."""
CENT = Decimal("0.01")


class LineKind(StrEnum):
    PRODUCT = "PRODUCT"
    OPTION = "OPTION"
    DISCOUNT = "DISCOUNT"
    FREE = "FREE"
    """What is free of charge of the line before it, of a product or an option."""


LESS = frozenset({LineKind.DISCOUNT, LineKind.FREE})
"""Lines that take something off the one before them."""


@dataclass(frozen=True)
class PricedLine:
    """One line of a cart or an invoice; amounts in EUR, VAT included, exact to the cent."""

    kind: LineKind
    product: str
    option: str | None
    description: Text
    quantity: int
    unit_amount: Decimal
    amount: Decimal
    """quantity × unit_amount; below zero for what is taken off."""
    budget_key: BudgetKey
    vat: Vat
    vat_amount: Decimal
    """Contained in `amount`. A discount's is what it takes off its product's, so that the two together hold
    what is in what remains."""
    deposit: bool = False
    free: str | None = None
    """Of kind FREE: by which exemption of the catalogue."""


def vat_in(gross: Decimal, rate: Decimal) -> Decimal:
    """What of `gross` (EUR) is VAT at `rate` (per cent), to the cent: 10.41 of 60.00 at 21."""
    return (gross * rate / (100 + rate)).quantize(CENT, ROUND_HALF_UP)


def price(
    definition: Definition,
    cart: Sequence[CartLine],
    on: date,
    ordered_ever: Mapping[str, int] | None,
    free: Sequence[Free] = (),
) -> list[PricedLine]:
    """The lines of `cart` at the prices of day `on`.

    `ordered_ever` is what the household took before, per product; None when the household is not known: then
    no discount is given (it is never given without a source). `free`: the exemptions that hold. A free unit
    is free with its options; where they are counted, the dearest units of the cart come first, whatever the
    order of its lines. Of a product of which a unit is free, that is the first one: no discount beside it.

    Raises:
        LookupError: something in the cart is not for sale on that day; `check_cart` says what, kindly.
    """
    lines: list[PricedLine] = []
    freed = _freed(definition, cart, on, free)
    discounted = {cart[number].product for number in freed}
    for number, entry in enumerate(cart):
        product = _product(definition, entry.product)
        of_it = freed.get(number, [])
        whole = [_line(LineKind.PRODUCT, product, None, product.title, entry.quantity, product.prices, on)]
        discount = product.first_unit_discount
        first = (
            ordered_ever is not None and not ordered_ever.get(product.key) and product.key not in discounted
        )
        if discount is not None and discount.holds(on) and first and entry.quantity:
            discounted.add(product.key)
            whole.append(_less(whole, discount_text(product), 1, discount.amount, LineKind.DISCOUNT))
        for one in of_it:
            whole.append(_free(whole, one.exemption, one.units))
        lines += whole
        for option, quantity in _options(product, entry):
            whole = [_line(LineKind.OPTION, product, option, option.title, quantity, option.prices, on)]
            for one in of_it:
                if of_units := one.of_option(option, quantity):
                    whole.append(_free(whole, one.exemption, of_units))
            lines += whole
    return lines


def exempt(definition: Definition, facts: Facts, before: Collection[str] = ()) -> list[Free]:
    """Who pays nothing, as the facts are known now: only a clear yes counts.

    `before`: keys of what was clear earlier; a doubt that came later does not take it away.
    """
    found: list[Free] = []
    for one in definition.catalogue.free if definition.catalogue else ():
        outcome = weigh(one.when, facts).outcome
        if outcome is Outcome.MET or (outcome is Outcome.REFER and one.key in before):
            found.append(one)
    return found


def cart_lines(cart: Sequence[Mapping[str, Any]]) -> list[CartLine]:
    """A cart as an application keeps it."""
    return [CartLine(line["product"], line["quantity"], line.get("options") or {}) for line in cart]


def discount_text(product: Product) -> Text:
    words = {"nl": "Korting eerste stuk", "en": "Discount on the first one"}
    words |= {"fr": "Réduction sur le premier", "de": "Ermäßigung auf das erste"}
    return Text(**{one: f"{words[one]}: {title}" for one, title in product.title.languages().items()})


def free_text(exemption: Free, of: Text) -> Text:
    """`of`: what is free by it."""
    said = exemption.title.languages()
    return Text(**{one: f"{title}: {of.get(one)}" for one, title in said.items() if one in of.languages()})


def total(lines: Sequence[PricedLine]) -> Decimal:
    return sum((line.amount for line in lines), Decimal("0.00"))


def check_cart(definition: Definition, cart: Sequence[CartLine], on: date, language: str) -> list[FieldFault]:
    """Every fault of a cart; the household's maximum is a rule's affair (`exceeded`), not a fault here."""
    faults: list[FieldFault] = []

    def say(path: list[str], key: str, **values: object) -> None:
        text = _MESSAGES[key][language == "en"].format_map(values)
        faults.append(FieldFault(path, ErrorCode.VALIDATION, text))

    if not cart:
        faults.append(FieldFault([], ErrorCode.REQUIRED, _MESSAGES["empty"][language == "en"]))
    if len(cart) > MAX_LINES:
        return [
            FieldFault([], ErrorCode.TOO_LARGE, _MESSAGES["lines"][language == "en"].format(limit=MAX_LINES))
        ]
    catalogue = definition.catalogue
    for number, entry in enumerate(cart):
        at = str(number)
        product = catalogue.find(entry.product) if catalogue else None
        if product is None or _find_price(product.prices, on) is None:
            say([at, "product"], "product")
            continue
        if not 1 <= entry.quantity <= MAX_QUANTITY:
            say([at, "quantity"], "quantity", limit=MAX_QUANTITY)
        options = {option.key: option for option in product.options}
        for key, quantity in entry.options.items():
            option = options.get(key)
            if option is None or _find_price(option.prices, on) is None:
                say([at, "options"], "option")
            elif not 0 <= quantity <= entry.quantity * option.per_unit:
                say([at, "options", key], "quantity_option", limit=max(entry.quantity, 0) * option.per_unit)
    return faults


def exceeded(
    definition: Definition,
    cart: Sequence[CartLine],
    ordered_this_year: Mapping[str, int],
    ordered_ever: Mapping[str, int],
) -> list[Product]:
    """The products of which the household would have more than the catalogue's maximum."""
    wanted: dict[str, int] = {}
    for entry in cart:
        wanted[entry.product] = wanted.get(entry.product, 0) + entry.quantity
    over: list[Product] = []
    for key, quantity in wanted.items():
        product = _product(definition, key)
        if product.maximum is not None:
            before = ordered_this_year if product.maximum.period == "year" else ordered_ever
            if before.get(key, 0) + quantity > product.maximum.quantity:
                over.append(product)
    return over


@dataclass(frozen=True)
class _Units:
    """Units of one line of a cart that are free by one exemption: from `first` up to before `last`."""

    exemption: Free
    first: int
    last: int

    @property
    def units(self) -> int:
        return self.last - self.first

    def of_option(self, option: Option, quantity: int) -> int:
        """How many of `quantity` options go with these units; the first units have them."""
        return min(quantity, self.last * option.per_unit) - min(quantity, self.first * option.per_unit)


def _freed(
    definition: Definition, cart: Sequence[CartLine], on: date, free: Sequence[Free]
) -> dict[int, list[_Units]]:
    """By line of the cart, counted from 0, what is free of it; one exemption after the other."""
    freed: dict[int, list[_Units]] = {}
    waiting = _dearest_first(definition, cart, on) if free else []
    for exemption in free:
        taken = [one for one in waiting if _covers(exemption, _product(definition, cart[one].product))]
        taken = taken[: exemption.units]
        for number in sorted(set(taken)):
            before = freed.setdefault(number, [])
            first = before[-1].last if before else 0
            before.append(_Units(exemption, first, first + taken.count(number)))
        gone = Counter(taken)
        kept = []
        for number in waiting:
            gone[number] -= 1
            if gone[number] < 0:
                kept.append(number)
        waiting = kept
    return freed


def _covers(exemption: Free, product: Product) -> bool:
    """A deposit comes back, so nobody is exempt from it."""
    return not product.deposit and (not exemption.products or product.key in exemption.products)


def _dearest_first(definition: Definition, cart: Sequence[CartLine], on: date) -> list[int]:
    """A line's number for each unit in the cart, the one that costs most with its options first.

    Of what costs the same, that which stands first in the catalogue.
    """
    worth: list[tuple[Decimal, int, int]] = []
    places = {
        one.key: at for at, one in enumerate(definition.catalogue.products if definition.catalogue else ())
    }
    for number, entry in enumerate(cart):
        product = _product(definition, entry.product)
        each = _price(product.prices, on)
        options = [
            (option, quantity, _price(option.prices, on)) for option, quantity in _options(product, entry)
        ]
        for unit in range(entry.quantity):
            with_it = (
                amount * max(min(quantity - unit * option.per_unit, option.per_unit), 0)
                for option, quantity, amount in options
            )
            worth.append((-each - sum(with_it, Decimal(0)), places[product.key], number))
    return [number for _, _, number in sorted(worth)]


def _product(definition: Definition, key: str) -> Product:
    product = definition.catalogue.find(key) if definition.catalogue else None
    if product is None:
        raise LookupError(f"not in the catalogue: {key[:60]}")
    return product


def _options(product: Product, entry: CartLine) -> Iterator[tuple[Option, int]]:
    """In the catalogue's order."""
    unknown = set(entry.options) - {option.key for option in product.options}
    if unknown:
        raise LookupError(f"not an option of {product.key}: {min(unknown)[:60]}")
    for option in product.options:
        if entry.options.get(option.key):
            yield option, entry.options[option.key]


def _find_price(prices: Sequence[Price], on: date) -> Decimal | None:
    return next((one.amount for one in prices if one.holds(on)), None)


def _price(prices: Sequence[Price], on: date) -> Decimal:
    amount = _find_price(prices, on)
    if amount is None:
        raise LookupError(f"no price on {on}")
    return amount


def _line(
    kind: LineKind,
    product: Product,
    option: Option | None,
    description: Text,
    quantity: int,
    prices: Sequence[Price],
    on: date,
) -> PricedLine:
    unit_amount = _price(prices, on)
    amount = (quantity * unit_amount).quantize(CENT)
    return PricedLine(
        kind=kind,
        product=product.key,
        option=option.key if option else None,
        description=description,
        quantity=quantity,
        unit_amount=unit_amount.quantize(CENT),
        amount=amount,
        budget_key=product.budget_key,
        vat=product.vat,
        vat_amount=vat_in(amount, product.vat.rate),
        deposit=product.deposit,
    )


def _free(whole: Sequence[PricedLine], exemption: Free, units: int) -> PricedLine:
    text = free_text(exemption, whole[0].description)
    return replace(_less(whole, text, units, whole[0].unit_amount, LineKind.FREE), free=exemption.key)


def _less(
    whole: Sequence[PricedLine], description: Text, quantity: int, each: Decimal, kind: LineKind
) -> PricedLine:
    """What is taken off a line, of which something may be taken off already: `whole` is all of it so far."""
    amount = -(quantity * each).quantize(CENT)
    left = vat_in(total(whole) + amount, whole[0].vat.rate)
    return replace(
        whole[0],
        kind=kind,
        description=description,
        quantity=quantity,
        unit_amount=-each.quantize(CENT),
        amount=amount,
        vat_amount=left - sum((line.vat_amount for line in whole), Decimal(0)),
    )


_MESSAGES: dict[str, tuple[str, str]] = {
    "empty": ("Kies minstens één product.", "Choose at least one product."),
    "lines": ("Er passen hoogstens {limit} lijnen in het mandje.", "The cart holds at most {limit} lines."),
    "product": ("Dit product is nu niet te koop.", "This product is not for sale now."),
    "quantity": ("Kies een aantal van 1 tot {limit}.", "Choose a number from 1 to {limit}."),
    "option": ("Deze optie hoort niet bij dit product.", "This option does not belong to this product."),
    "quantity_option": ("Kies een aantal van 0 tot {limit}.", "Choose a number from 0 to {limit}."),
}
