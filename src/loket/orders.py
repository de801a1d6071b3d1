"""What a household orders: priced on the day of submission, and counted against its maximum.

Two members of a household who order at the same time wait for each other here, and the database
keeps the count within the maximum whatever the code does.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import pricing
from loket.definition import Definition, Free, Maximum, VatCategory
from loket.facts import facts_of, submitted_on
from loket.lifecycle import InvoiceStatus
from loket.pricing import cart_lines as cart_lines
from loket.records import Application, Case, Invoice, Json, Quota, QuotaClaim
from loket.rules import CartLine
from loket.work import Work

EVER = 0
"""The period of a count over all years."""
EXEMPT = "free"
"""Among the facts of a case: the keys of what made it free of charge."""


async def place(work: Work, case: Case, cart: Sequence[Json]) -> None:
    """Price the cart of a case and count it for the household; done again once the household is known.

    What goes over the maximum is not counted: a rule of the procedure refuses it.
    """
    definition = work.definition(case)
    lines = cart_lines(cart)
    if definition.catalogue is None or await _is_counted(work, case):
        return
    household = case.household_index
    year = submitted_on(case).year
    this_year: dict[str, int] = {}
    ever: dict[str, int] | None = None
    if household is not None:
        await work.lock_household(household)
        products = [product.key for product in definition.catalogue.products]
        this_year = dict.fromkeys(products, 0) | await _counts(work, definition.key, household, year)
        ever = dict.fromkeys(products, 0) | await _counts(work, definition.key, household, EVER)
        within = not pricing.exceeded(definition, lines, this_year, ever)
        if within:
            await _claim(work, case, definition, lines, household, year)
        quota = {"within_maximum": within, "ordered_this_year": this_year, "ordered_ever": ever}
        case.facts = {**case.facts, "quota": quota}
    await _price(work, case)


async def weigh_again(work: Work, case: Case) -> None:
    """Before an invoice: more may be known by now of who is exempt than when it was handed in."""
    catalogue = work.definition(case).catalogue
    if catalogue is not None and catalogue.free:
        await _price(work, case)


async def _price(work: Work, case: Case) -> None:
    """With what is known now; once it stands on an invoice it stays as it was."""
    definition = work.definition(case)
    if definition.catalogue is None or await _is_billed(work, case):
        return
    application = await work.session.get_one(Application, case.application_id)
    free: list[Free] = []
    if definition.catalogue.free:
        free = pricing.exempt(definition, await facts_of(work, case), case.facts.get(EXEMPT) or ())
    priced = pricing.price(
        definition,
        cart_lines(application.cart),
        submitted_on(case),
        (case.facts.get("quota") or {}).get("ordered_ever"),
        free,
    )
    exempt = {EXEMPT: [one.key for one in free]} if definition.catalogue.free else {}
    case.facts = {**case.facts, "order": [as_json(line) for line in priced], **exempt}


async def give_back(work: Work, case: Case) -> None:
    """The case ended without delivery: the household may order this again."""
    claims = await work.session.scalars(
        select(QuotaClaim).where(col(QuotaClaim.case_id) == case.id, ~col(QuotaClaim.released))
    )
    for claim in claims:
        claim.released = True
        await work.session.execute(
            update(Quota)
            .where(
                col(Quota.procedure_key) == case.procedure_key,
                col(Quota.product) == claim.product,
                col(Quota.household_index) == claim.household_index,
                col(Quota.period).in_((EVER, claim.period)),
            )
            .values(quantity=Quota.quantity - claim.quantity)
        )


async def _is_billed(work: Work, case: Case) -> bool:
    found = await work.session.scalar(
        select(col(Invoice.id))
        .where(col(Invoice.case_id) == case.id, col(Invoice.status) != InvoiceStatus.CREDITED)
        .limit(1)
    )
    return found is not None


async def _is_counted(work: Work, case: Case) -> bool:
    found = await work.session.scalar(
        select(col(QuotaClaim.case_id))
        .where(col(QuotaClaim.case_id) == case.id, ~col(QuotaClaim.released))
        .limit(1)
    )
    return found is not None


async def _counts(work: Work, procedure: str, household: bytes, period: int) -> dict[str, int]:
    found = await work.session.execute(
        select(col(Quota.product), col(Quota.quantity)).where(
            col(Quota.procedure_key) == procedure,
            col(Quota.household_index) == household,
            col(Quota.period) == period,
        )
    )
    return {row.product: row.quantity for row in found}


async def _claim(
    work: Work, case: Case, definition: Definition, lines: Sequence[CartLine], household: bytes, year: int
) -> None:
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.product] = wanted.get(line.product, 0) + line.quantity
    for product, quantity in sorted(wanted.items()):
        found = definition.catalogue.find(product) if definition.catalogue else None
        maximum = found.maximum if found else None
        for period in (EVER, year):
            row = insert(Quota).values(
                procedure_key=definition.key,
                product=product,
                household_index=household,
                period=period,
                quantity=quantity,
                ceiling=_ceiling(maximum, period),
            )
            await work.session.execute(
                row.on_conflict_do_update(
                    index_elements=["procedure_key", "product", "household_index", "period"],
                    set_={"quantity": Quota.quantity + quantity, "ceiling": row.excluded.ceiling},
                )
            )
        claim = insert(QuotaClaim).values(
            case_id=case.id,
            product=product,
            household_index=household,
            period=year,
            quantity=quantity,
            released=False,
        )
        await work.session.execute(
            claim.on_conflict_do_update(
                index_elements=["case_id", "product"], set_={"quantity": quantity, "released": False}
            )
        )


def _ceiling(maximum: Maximum | None, period: int) -> int | None:
    if maximum is None or (maximum.period == "ever") != (period == EVER):
        return None
    return maximum.quantity


def as_json(line: pricing.PricedLine) -> dict[str, Any]:
    """A line of an order as the case keeps it."""
    return {
        "kind": line.kind,
        "product": line.product,
        "option": line.option,
        "description": line.description.nl,
        "quantity": line.quantity,
        "unit_amount": str(line.unit_amount),
        "amount": str(line.amount),
        "budget_key": line.budget_key.model_dump(exclude_none=True),
        "vat_category": line.vat.category,
        "vat_rate": str(line.vat.rate),
        "vat_amount": str(line.vat_amount),
        "vat_note": line.vat.exemption_reason.nl if line.vat.exemption_reason else None,
        "vat_code": line.vat.exemption_code,
        **({"deposit": True} if line.deposit else {}),
        **({"free": line.free} if line.free else {}),
    }


def with_vat(order: Sequence[Json]) -> list[Json]:
    """The lines with their VAT, also those of an order that was placed before it was kept."""
    return [_with_vat(line) for line in order]


def _with_vat(line: Json) -> Json:
    rate = Decimal(line["vat_rate"])
    return {
        "vat_category": VatCategory.STANDARD if rate else VatCategory.OUTSIDE_SCOPE,
        "vat_amount": str(pricing.vat_in(Decimal(line["amount"]), rate)),
        "vat_code": None,
        **line,
    }


def goods(case: Case) -> list[dict[str, Any]]:
    """The lines of the order that somebody carries to the door."""
    order = case.facts.get("order", [])
    return [line for line in order if line["kind"] not in pricing.LESS and not line.get("deposit")]


def net_lines(order: Sequence[Json]) -> list[Json]:
    """The lines with what is taken off them taken off, VAT too: what accounting books per budget key."""
    net: list[Json] = []
    for line, less in with_less(order):
        amounts = {
            name: str(sum((Decimal(one.get(name) or 0) for one in (line, *less)), Decimal(0)))
            for name in ("amount", "vat_amount")
        }
        net.append({**line, **(amounts if less else {})})
    return [line for line in net if Decimal(line["amount"]) > 0]


def with_less(order: Sequence[Json]) -> list[tuple[Json, list[Json]]]:
    """Each line that asks something, with those that take something off it: they follow it."""
    found: list[tuple[Json, list[Json]]] = []
    for line in order:
        if line["kind"] not in pricing.LESS:
            found.append((line, []))
            continue
        of = (line["product"], line["option"])
        next(less for one, less in reversed(found) if (one["product"], one["option"]) == of).append(line)
    return found
