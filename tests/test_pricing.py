"""What a cart costs: exact, dated, with the discount once."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loket import publishing
from loket.definition import Catalogue, Definition, Price, Vat
from loket.orders import as_json, net_lines
from loket.pricing import LineKind, check_cart, exceeded, price, total, vat_in
from loket.rules import CartLine

FILE = Path(__file__).parents[1] / "src" / "loket" / "procedures" / "compost-bin.yaml"
DAY = date(2026, 11, 27)
NOTHING: dict[str, int] = {}
SHIPPED = publishing.load(FILE)


def raised(definition: Definition) -> Definition:
    """The same procedure with a higher price from 2027 on."""
    text = definition.source.replace(
        "- {from: 2026-01-01, amount: 40.00}",
        "- {from: 2026-01-01, to: 2026-12-31, amount: 40.00}\n        - {from: 2027-01-01, amount: 42.50}",
        1,
    )
    return publishing.parse(text, "file.yaml")


def test_the_first_unit_of_each_kind_is_cheaper() -> None:
    lines = price(SHIPPED, [CartLine("bak", 2), CartLine("vat", 1)], DAY, NOTHING)
    assert [(line.kind, line.product, line.quantity, str(line.amount)) for line in lines] == [
        (LineKind.PRODUCT, "bak", 2, "80.00"),
        (LineKind.DISCOUNT, "bak", 1, "-12.00"),
        (LineKind.PRODUCT, "vat", 1, "30.00"),
        (LineKind.DISCOUNT, "vat", 1, "-6.00"),
    ]
    assert str(total(lines)) == "92.00"
    assert lines[1].description.nl == "Korting eerste stuk: Compostbak"


def test_who_ordered_before_pays_the_full_price() -> None:
    assert total(price(SHIPPED, [CartLine("bak", 1)], DAY, {"bak": 1})) == Decimal(40)
    assert total(price(SHIPPED, [CartLine("bak", 1)], DAY, {"vat": 1, "bak": 0})) == Decimal(28)


def test_an_unknown_household_gets_no_discount() -> None:
    assert total(price(SHIPPED, [CartLine("bak", 1)], DAY, None)) == Decimal(40)


def test_the_discount_is_given_once_however_the_cart_is_split() -> None:
    lines = price(SHIPPED, [CartLine("bak", 1), CartLine("bak", 1)], DAY, NOTHING)
    assert total(lines) == Decimal(68)


def test_options_are_lines_of_their_own() -> None:
    lines = price(SHIPPED, [CartLine("vat", 2, {"beluchtingsstok": 2})], DAY, {"vat": 1})
    assert [(line.kind, line.option, str(line.unit_amount), str(line.amount)) for line in lines] == [
        (LineKind.PRODUCT, None, "30.00", "60.00"),
        (LineKind.OPTION, "beluchtingsstok", "5.00", "10.00"),
    ]
    assert all(line.budget_key.account and line.vat.exemption_reason for line in lines)


def test_the_price_is_that_of_the_day() -> None:
    definition = raised(SHIPPED)
    for day, amount in ((date(2026, 12, 31), "40.00"), (date(2027, 1, 1), "42.50")):
        assert str(total(price(definition, [CartLine("bak", 1)], day, None))) == amount


def test_what_is_not_for_sale_has_no_price() -> None:
    for cart, day in (
        ([CartLine("wormenbak", 1)], DAY),
        ([CartLine("bak", 1, {"dakje": 1})], DAY),
        ([CartLine("bak", 1)], date(2025, 12, 31)),
    ):
        with pytest.raises(LookupError):
            price(SHIPPED, cart, day, NOTHING)


def test_every_fault_of_a_cart_is_told_with_its_place() -> None:
    cart = [
        CartLine("wormenbak", 1),
        CartLine("bak", 0),
        CartLine("vat", 1, {"beluchtingsstok": 2, "dakje": 1}),
    ]
    faults = check_cart(SHIPPED, cart, DAY, "nl")
    assert [fault.path for fault in faults] == [
        ["0", "product"],
        ["1", "quantity"],
        ["2", "options", "beluchtingsstok"],
        ["2", "options"],
    ]
    assert faults[1].message == "Kies een aantal van 1 tot 100."
    assert [fault.message for fault in check_cart(SHIPPED, [], DAY, "en")] == ["Choose at least one product."]
    assert len(check_cart(SHIPPED, [CartLine("x", 1)] * 1000, DAY, "nl")) == 1
    assert check_cart(SHIPPED, [CartLine("bak", 1)], DAY, "nl") == []


def test_the_maximum_counts_what_the_household_has_and_what_it_asks() -> None:
    def over(cart: list[CartLine], this_year: dict[str, int]) -> list[str]:
        return [product.key for product in exceeded(SHIPPED, cart, this_year, {"bak": 50})]

    assert over([CartLine("bak", 3)], NOTHING) == []
    assert over([CartLine("bak", 2), CartLine("bak", 2)], NOTHING) == ["bak"]
    assert over([CartLine("bak", 2), CartLine("vat", 3)], {"bak": 2, "vat": 0}) == ["bak"]


carts = st.lists(
    st.builds(
        lambda product, quantity, sticks: CartLine(
            product, quantity, {"beluchtingsstok": min(sticks, quantity)}
        ),
        st.sampled_from(["bak", "vat"]),
        st.integers(1, 100),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=20,
)


@given(carts, st.dictionaries(st.sampled_from(["bak", "vat"]), st.integers(0, 5)))
def test_any_good_cart_has_a_positive_exact_total(cart: list[CartLine], before: dict[str, int]) -> None:
    assert check_cart(SHIPPED, cart, DAY, "nl") == []
    lines = price(SHIPPED, cart, DAY, before)
    assert total(lines) > 0
    assert all(line.amount == line.unit_amount * line.quantity for line in lines)
    assert all(line.amount == line.amount.quantize(Decimal("0.01")) for line in lines)
    discounts = [line.product for line in lines if line.kind is LineKind.DISCOUNT]
    assert len(discounts) == len(set(discounts))
    assert set(discounts) == {line.product for line in cart if not before.get(line.product)}


@pytest.mark.parametrize(
    ("gross", "rate", "vat"),
    [("60.00", "21", "10.41"), ("0.01", "21", "0.00"), ("10.00", "6", "0.57"), ("40.00", "0", "0.00")],
)
def test_a_gross_price_holds_its_vat_to_the_cent(gross: str, rate: str, vat: str) -> None:
    assert str(vat_in(Decimal(gross), Decimal(rate))) == vat


@given(rate=st.sampled_from([6, 12, 21]), price_=st.integers(601, 99_999), quantity=st.integers(1, 100))
def test_a_product_and_its_discount_hold_together_the_vat_of_what_is_paid(
    rate: int, price_: int, quantity: int
) -> None:
    amount = Decimal(price_) / 100
    assert SHIPPED.catalogue is not None
    sold = SHIPPED.catalogue.products[1].model_copy(
        update={
            "vat": Vat.model_validate({"rate": rate}),
            "prices": (Price.model_validate({"from": "2026-01-01", "amount": amount}),),
        }
    )
    taxed = SHIPPED.model_copy(update={"catalogue": Catalogue(products=(sold,))})
    lines = price(taxed, [CartLine(sold.key, quantity)], DAY, NOTHING)
    assert len(lines) == 2
    assert sum(line.vat_amount for line in lines) == vat_in(total(lines), Decimal(rate))
    (net,) = net_lines([as_json(line) for line in lines])
    assert Decimal(net["vat_amount"]) == vat_in(Decimal(net["amount"]), Decimal(rate))
