"""Does what a procedure sells hold together: prices, VAT, deposits, who pays nothing, who buys?"""

import re
from datetime import date

from loket.definition import Definition, Product, Vat, VatCategory
from loket.definition.catalogue import EXEMPT, OUTSIDE_SCOPE
from loket.lifecycle import EventType, Stage
from loket.proofreading.factcheck import faults_in
from loket.proofreading.findings import Checklist, Found, Place, must_name, unique, without_gaps
from loket.proofreading.form import field
from loket.proofreading.grant import names_of

SALE = Checklist()


# --- catalogue --------------------------------------------------------------------------------


@SALE.reads("catalogue", "valid_from", "valid_to")
def _catalogue(definition: Definition) -> Found:
    days = (definition.valid_from, definition.valid_to or date.max)
    products = definition.catalogue.products if definition.catalogue else ()
    base: Place = ("catalogue", "products")
    yield from unique((product.key for product in products), base, "key", "product")
    for index, product in enumerate(products):
        place = (*base, index)
        yield from without_gaps(product.prices, (*place, "prices"), "price", *days)
        yield from unique((option.key for option in product.options), (*place, "options"), "key", "option")
        for number, option in enumerate(product.options):
            yield from without_gaps(option.prices, (*place, "options", number, "prices"), "price", *days)
        discount = product.first_unit_discount
        if discount is not None and discount.amount > min(one.amount for one in product.prices):
            yield (*place, "first_unit_discount"), "the discount is more than the price"
        if discount is not None and discount.valid_to is not None and discount.valid_to < discount.valid_from:
            yield (*place, "first_unit_discount", "to"), "'to' lies before 'from'"
        yield from _vat(product.vat, (*place, "vat"))
        if product.deposit:
            yield from _deposit(product, place)
    untaxed = sum(product.vat.category is VatCategory.OUTSIDE_SCOPE for product in products)
    if 0 < untaxed < len(products):
        reason = "an invoice that is outside the scope of VAT (O) is so for all of it: not beside E or S"
        yield base, reason


def _vat(vat: Vat, place: Place) -> Found:
    if vat.category is VatCategory.STANDARD:
        if not vat.rate:
            yield (
                (*place, "category"),
                "S is for a rate above 0; without VAT it is O (outside scope) or E",
            )
        if vat.exemption_reason is not None or vat.exemption_code is not None:
            yield place, "what is taxed has no reason for an exemption"
        return
    if vat.rate:
        yield (*place, "rate"), f"{vat.category} has no rate; S has"
    if vat.exemption_reason is None:
        yield place, "without VAT there must be an exemption_reason (it stands on the invoice)"
    known = OUTSIDE_SCOPE if vat.category is VatCategory.OUTSIDE_SCOPE else EXEMPT
    if vat.exemption_code is not None and re.fullmatch(known, vat.exemption_code) is None:
        reason = f"{vat.exemption_code} is no code of EN 16931 for the category {vat.category}"
        yield (*place, "exemption_code"), reason


def _deposit(product: Product, place: Place) -> Found:
    if product.vat.category is not VatCategory.OUTSIDE_SCOPE:
        yield (*place, "vat"), "a deposit is outside the scope of VAT: it is no price (O)"
    if product.first_unit_discount is not None:
        yield (*place, "first_unit_discount"), "a deposit comes back whole: there is no discount on it"
    if product.options:
        yield (*place, "options"), "a deposit has no options: what is sold stays sold"


@SALE.reads("catalogue", "stages", "texts")
def _deposits(definition: Definition) -> Found:
    products = definition.catalogue.products if definition.catalogue else ()
    held = [index for index, product in enumerate(products) if product.deposit]
    if not held:
        return
    place: Place = ("catalogue", "products", held[0], "deposit")
    if Stage.PAYMENT not in definition.stages:
        yield place, f"a deposit is asked with the invoice: the stage '{Stage.PAYMENT}' is missing"
    told = EventType.DEPOSIT_RETURNED
    if told not in definition.texts.messages:
        yield ("texts", "messages"), f"{told} has no message: whoever paid a deposit must be told"
    else:
        body = definition.texts.messages[told].body
        yield from must_name(body, ("texts", "messages", told, "body"), ("deposit", "kept", "reason"))


@SALE.reads(
    *("catalogue", "stages", "form", "tables", "checks", "advisers", "benefits"),
    *("co_applicant", "duplicates", "documents"),
)
def _free(definition: Definition) -> Found:
    catalogue = definition.catalogue
    if catalogue is None:
        return
    base: Place = ("catalogue", "free")
    yield from unique((one.key for one in catalogue.free), base, "key", "exemption")
    for index, one in enumerate(catalogue.free):
        place = (*base, index)
        if Stage.PAYMENT not in definition.stages:
            yield place, f"nobody pays anything: the stage '{Stage.PAYMENT}' is missing"
        for reason in faults_in(one.when, definition.form.json_schema, names_of(definition)):
            yield (*place, "when"), reason
        for number, key in enumerate(one.products):
            product = catalogue.find(key)
            if product is None:
                yield (*place, "products", number), f"there is no product '{key}'"
            elif product.deposit:
                yield (*place, "products", number), f"'{key}' is a deposit: it comes back, nobody is exempt"


@SALE.reads("payment", "form")
def _buyer(definition: Definition) -> Found:
    buyer = definition.payment.buyer if definition.payment else None
    if buyer is None:
        return
    for word in ("name", "enterprise_number", "address"):
        pointer: str | None = getattr(buyer, word)
        if pointer is None:
            continue
        place: Place = ("payment", "buyer", word)
        found = field(definition.form.json_schema, pointer)
        if found is None:
            yield place, f"the form has no field {pointer}"
        elif word == "enterprise_number" and found.get("format") != "enterprise-number":
            yield place, f"the field {pointer} must have the format 'enterprise-number'"
