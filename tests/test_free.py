"""Who pays nothing: what is taken off, when it is weighed, and that doubt never is free."""

import random
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loket import publishing
from loket.app import SHIPPED
from loket.definition import Catalogue, Definition, Free
from loket.orders import as_json, net_lines
from loket.pricing import LineKind, PricedLine, exempt, price, total, vat_in
from loket.publishing import DefinitionError
from loket.rules import Applicant, CartLine, Facts, Household, Municipality
from premiums import check
from shops import Json, product, shop
from town import DRIVER, Dossier, Town, nothing_stays_open, opened

BIN = publishing.load(SHIPPED / "compost-bin.yaml")
DAY = date(2026, 11, 27)
NOTHING: dict[str, int] = {}
REGISTERED = Facts(
    municipality=Municipality("13999"),
    today=DAY,
    channel="ONLINE",
    applicant=Applicant(True, 70),
    household=Household(True, 2),
)


def exemption(key: str = "low-income", **more: Any) -> Free:  # noqa: ANN401  # as the shape has it
    told = {"key": key, "title": {"nl": "Vrijgesteld", "en": "Exempt"}, "when": "applicant.age >= 65"}
    return Free.model_validate(told | more)


def selling(*products: Json) -> Definition:
    return BIN.model_copy(update={"catalogue": Catalogue.model_validate({"products": products})})


def shown(lines: list[PricedLine]) -> list[tuple[str, str | None, int, str]]:
    return [(line.kind, line.option, line.quantity, str(line.amount)) for line in lines]


# ── what is taken off ─────────────────────────────────────────────────────────────────────────────────


def test_all_of_a_cart_is_free_with_its_options_as_lines_of_their_own() -> None:
    lines = price(BIN, [CartLine("bak", 2, {"beluchtingsstok": 1})], DAY, NOTHING, [exemption()])
    assert shown(lines) == [
        ("PRODUCT", None, 2, "80.00"),
        ("FREE", None, 2, "-80.00"),
        ("OPTION", "beluchtingsstok", 1, "5.00"),
        ("FREE", "beluchtingsstok", 1, "-5.00"),
    ]
    assert total(lines) == 0
    assert lines[1].description.nl == "Vrijgesteld: Compostbak"
    assert lines[3].description.get("en") == "Exempt: Aerator stick"


def test_the_first_units_are_free_and_their_options_go_with_them() -> None:
    cart = [CartLine("bak", 3, {"beluchtingsstok": 2})]
    lines = price(BIN, cart, DAY, {"bak": 1}, [exemption(units=1)])
    assert shown(lines) == [
        ("PRODUCT", None, 3, "120.00"),
        ("FREE", None, 1, "-40.00"),
        ("OPTION", "beluchtingsstok", 2, "10.00"),
        ("FREE", "beluchtingsstok", 1, "-5.00"),
    ]


def test_a_free_unit_is_the_first_one_so_there_is_no_discount_on_another() -> None:
    lines = price(BIN, [CartLine("bak", 2)], DAY, NOTHING, [exemption(units=1)])
    assert shown(lines) == [("PRODUCT", None, 2, "80.00"), ("FREE", None, 1, "-40.00")]


def test_of_counted_units_the_dearest_are_free_first() -> None:
    lines = price(BIN, [CartLine("vat", 1), CartLine("bak", 1)], DAY, {"vat": 1}, [exemption(units=1)])
    assert [(line.product, str(line.amount)) for line in lines if line.kind is LineKind.FREE] == [
        ("bak", "-40.00")
    ]


def test_two_exemptions_take_off_one_after_the_other() -> None:
    both = [exemption("one", units=1), exemption("two", units=5)]
    lines = price(BIN, [CartLine("bak", 3)], DAY, None, both)
    assert [(line.free, line.quantity) for line in lines] == [(None, 3), ("one", 1), ("two", 2)]
    assert total(lines) == 0


def test_only_the_products_named_are_free_and_a_deposit_never_is() -> None:
    hall = selling(
        product("hall", "100.00"), product("cups", "20.00"), product("deposit", "50.00", deposit=True)
    )
    cart = [CartLine("hall", 1), CartLine("cups", 1), CartLine("deposit", 1)]
    assert total(price(hall, cart, DAY, None, [exemption(products=("hall",))])) == 70
    assert total(price(hall, cart, DAY, None, [exemption()])) == 50
    assert total(price(hall, cart, DAY, None, [exemption(products=("deposit",))])) == 170


@st.composite
def sales(draw: st.DrawFn) -> tuple[Definition, list[CartLine], list[Free], dict[str, int]]:
    rate = draw(st.sampled_from([None, "6", "21"]))
    products = []
    keys = ["a", "b", "c"][: draw(st.integers(1, 3))]
    for key in keys:
        cents = draw(st.integers(1, 9_999))
        option = {"key": "extra", "title": "Extra", "per_unit": draw(st.integers(1, 3))}
        option["prices"] = [{"from": "2026-01-01", "amount": draw(st.sampled_from(["0.35", "5.00"]))}]
        vat = {"rate": rate} if rate else {"exemption_reason": "Geen btw"}
        more: Json = {"vat": vat, "options": [option]}
        if draw(st.booleans()):
            less = str(Decimal(draw(st.integers(1, cents))) / 100)
            more["first_unit_discount"] = {"amount": less, "from": "2026-01-01"}
        products.append(product(key, str(Decimal(cents) / 100), **more))
    definition = selling(*products)
    assert definition.catalogue is not None
    per_unit = {one.key: one.options[0].per_unit for one in definition.catalogue.products}
    cart = []
    for _ in range(draw(st.integers(1, 4))):
        key, quantity = draw(st.sampled_from(keys)), draw(st.integers(1, 5))
        cart.append(CartLine(key, quantity, {"extra": draw(st.integers(0, quantity * per_unit[key]))}))
    free = [
        exemption(f"f{number}", units=draw(st.none() | st.integers(1, 6)), products=tuple(sorted(of)))
        for number, of in enumerate(draw(st.lists(st.sets(st.sampled_from(keys)), max_size=2)))
    ]
    return definition, cart, free, draw(st.dictionaries(st.sampled_from(keys), st.integers(0, 1)))


@given(sale=sales(), seed=st.integers(0, 99))
def test_whatever_is_free_nothing_goes_below_zero_and_all_sums_agree(
    sale: tuple[Definition, list[CartLine], list[Free], dict[str, int]], seed: int
) -> None:
    definition, cart, free, before = sale
    lines = price(definition, cart, DAY, before, free)
    assert 0 <= total(lines) <= total(price(definition, cart, DAY, before))
    if any(not one.products and one.units is None for one in free):
        assert total(lines) == 0
    assert all(line.amount == line.unit_amount * line.quantity for line in lines)
    net = net_lines([as_json(line) for line in lines])
    assert sum(Decimal(one["amount"]) for one in net) == total(lines)
    assert sum(Decimal(one["vat_amount"]) for one in net) == sum(line.vat_amount for line in lines)
    for one in net:
        assert Decimal(one["vat_amount"]) == vat_in(Decimal(one["amount"]), Decimal(one["vat_rate"]))
    turned = random.Random(seed).sample(cart, len(cart))
    assert total(price(definition, turned, DAY, before, free)) == total(lines)


# ── who is exempt ─────────────────────────────────────────────────────────────────────────────────────


def _exempt(when: str, facts: Facts, before: tuple[str, ...] = ()) -> bool:
    assert BIN.catalogue is not None
    catalogue = BIN.catalogue.model_copy(update={"free": (exemption(when=when),)})
    return bool(exempt(BIN.model_copy(update={"catalogue": catalogue}), facts, before))


def test_only_a_clear_yes_with_sources_is_free() -> None:
    assert _exempt("applicant.age >= 65", REGISTERED)
    assert not _exempt("applicant.age >= 75", REGISTERED)
    unsourced = Facts(**{**REGISTERED.__dict__, "applicant": Applicant(False, 70)})
    assert not _exempt("applicant.age >= 65", unsourced)
    assert not _exempt("household.dependants > 1.0", REGISTERED)  # nobody knows
    assert not _exempt("'REFER'", REGISTERED)


def test_a_doubt_that_comes_later_takes_nothing_back_but_a_clear_no_does() -> None:
    stale = Facts(**{**REGISTERED.__dict__, "applicant": Applicant(False, 70)})
    assert _exempt("applicant.age >= 65", stale, ("low-income",))
    assert not _exempt("applicant.age >= 75", REGISTERED, ("low-income",))


# ── in a town ─────────────────────────────────────────────────────────────────────────────────────────

TAKEN_OUT: Json = {"delivery": {"place": "other", "address": {
    "street": "Dorpsplein", "number": "1", "postal_code": "2999", "city": "Lindebeke"}}}  # fmt: skip
"""What makes it cost something in these shops."""


def _at_home_free(told: Json) -> None:
    """Free for who stays at home and is registered; of units, one."""
    registered = "household.members >= 1 && application.delivery.place == 'home'"
    told["catalogue"] = {
        "products": [product("hall", "100.00"), product("cups", "20.00")],
        "free": [
            {"key": "at-home", "title": {"nl": "Thuis gratis", "en": "Free at home"}, "when": registered},
        ],
    }
    told["rules"]["screening"] = told["rules"]["screening"][:2]


def _one_free(told: Json) -> None:
    _at_home_free(told)
    told["catalogue"]["free"][0] |= {"units": 1, "products": ["hall"]}


def _after_the_check(told: Json) -> None:
    """Free for who has the increased allowance, as MAGDA says while the case is assessed."""
    _at_home_free(told)
    told["catalogue"]["free"][0]["when"] = "checks.increased == 'MET'"
    told["checks"] = [check("increased", "social_status", "answer.statuses.BIM_BVT", statuses=["BIM_BVT"])]
    told["assessment"] = {"by": "rule"}
    told["phases"][1]["stages"] = ["screening", "assessment", "decision"]


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    shop(folder, "free-first", "payment, screening, decision", _at_home_free)
    shop(folder, "free-last", "screening, decision, planning, delivery, payment", _at_home_free)
    shop(folder, "one-free", "screening, decision, payment", _one_free)
    shop(folder, "weighed-later", "screening, assessment, decision, payment", _after_the_check)
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder)) as found:
        yield found


async def _order(dossier: Dossier) -> tuple[str, list[tuple[str, str]]]:
    """What the application costs, and what is free of it."""
    seen = await dossier.read(
        dossier.who, "application { cart { total { amount } free { title amount { amount } } } }"
    )
    cart = seen["application"]["cart"]
    return cart["total"]["amount"], [(one["title"], one["amount"]["amount"]) for one in cart["free"]]


async def test_who_pays_nothing_gets_no_invoice_and_is_asked_no_money(town: Town) -> None:
    dossier = await town.applies(procedure="free-first", cart={"hall": 2})
    case = await dossier.until("COMPLETED")
    assert case["invoice"] is None
    assert await _order(dossier) == ("0.00", [("Thuis gratis", "200.00")])
    assert await dossier.entries() == []
    assert not any("etaal" in one["subject"] for one in await dossier.letters())
    assert "KlaarVoorBetaling" not in [code for code, _ in await dossier.dosis()]
    assert (await dossier.timers(), await dossier.tasks()) == (set(), [])


async def test_who_pays_nothing_afterwards_is_done_with_the_delivery(town: Town) -> None:
    dossier = await town.applies(procedure="free-last", cart={"cups": 3})
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    delivery = (await dossier.read())["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    case = await dossier.until("COMPLETED")
    assert case["invoice"] is None
    assert (await dossier.dosis())[-2:] == [("Uitgevoerd", "Uitvoering"), ("Uitgevoerd", "Afgerond")]
    assert not any("etaal" in one["subject"] for one in await dossier.letters())


async def test_a_draft_shows_what_is_free_as_far_as_it_is_known(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who, procedure="free-first", cart={"hall": 1, "cups": 1})
    document = """query($id: ID!) { application(id: $id) { cart {
        total { amount } free { key amount { amount } }
        lines { product free { amount } amount { amount } } } } }"""

    async def seen() -> Json:
        cart: Json = (await town.ask(who, document, id=draft))["application"]["cart"]
        return cart

    cart = await seen()
    assert (cart["total"]["amount"], cart["free"]) == (
        "0.00", [{"key": "at-home", "amount": {"amount": "120.00"}}],
    )  # fmt: skip
    assert [one["free"]["amount"] for one in cart["lines"]] == ["100.00", "20.00"]
    await town.does(who, "applicationSetAnswers", id=draft, input=TAKEN_OUT)
    cart = await seen()
    assert (cart["total"]["amount"], cart["free"]) == ("120.00", [])


async def test_the_invoice_has_a_line_of_its_own_for_what_is_free(town: Town) -> None:
    dossier = await town.applies(procedure="one-free", cart={"hall": 2, "cups": 1})
    case = await dossier.until("AWAITING_PAYMENT")
    assert [(one["description"], one["quantity"], one["amount"]) for one in case["invoice"]["lines"]] == [
        ("Hall", 2, "200.00"),
        ("Thuis gratis: Hall", 1, "-100.00"),
        ("Cups", 1, "20.00"),
    ]
    assert case["invoice"]["amount"]["amount"] == "120.00"
    await dossier.pays()
    await dossier.until("COMPLETED")
    assert await dossier.entries() == [("INVOICE", "120.00"), ("PAYMENT", "120.00")]


async def test_without_a_source_nobody_is_exempt_and_what_was_invoiced_stays(town: Town) -> None:
    await town.fails("magda", mode="error")
    try:
        typed = {"applicant": {"address": TAKEN_OUT["delivery"]["address"]}}
        dossier = await town.applies(procedure="free-first", cart={"hall": 1}, answers=typed)
        assert (await dossier.read())["invoice"]["amount"]["amount"] == "100.00"
    finally:
        await town.recovers("magda")
    await dossier.pays()
    case = await dossier.until("COMPLETED")
    assert (await _order(dossier))[0] == "100.00"
    assert case["refunds"] == []


@pytest.mark.parametrize(("who", "status"), [("rita", "COMPLETED"), ("karel", "AWAITING_PAYMENT")])
async def test_what_a_check_says_later_counts_before_the_invoice(town: Town, who: str, status: str) -> None:
    dossier = await town.applies(who, procedure="weighed-later", cart={"hall": 1})
    case = await dossier.until(status)
    free = [("Thuis gratis", "100.00")] if who == "rita" else []
    assert (await _order(dossier))[1] == free
    assert (case["invoice"] is None) == (who == "rita")


async def test_in_the_end_nothing_stays_open(town: Town) -> None:
    await nothing_stays_open(town)


# ── what a file may say ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"when": "applicant.height > 2"}, "'applicant' has no 'height'"),
        ({"products": ["chairs"]}, "there is no product 'chairs'"),
        ({"units": 0}, "units"),
    ],
)
def test_an_exemption_that_makes_no_sense_is_not_published(tmp_path: Path, wrong: Json, said: str) -> None:
    def changed(told: Json) -> None:
        _at_home_free(told)
        told["catalogue"]["free"][0] |= wrong

    shop(tmp_path, "hall", "screening, decision, payment", changed)
    with pytest.raises(DefinitionError, match=said):
        publishing.load(tmp_path / "hall.yaml")
