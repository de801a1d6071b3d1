"""Procedures as the schema shows them: out of their definition files, in the caller's language."""

from datetime import date
from typing import Any

from strawberry.scalars import JSON

import loket.api.enums  # noqa: F401  # declares the enums that stand below
from loket import forms
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.scalars import Money, eur
from loket.changes import ChangeKind
from loket.definition import Definition
from loket.lifecycle import (
    Stage,
)
from loket.records import AdviserKind
from loket.revising import changes

Row = dict[str, Any]


@output
class ProcedureChange:
    """What is different in another version of a procedure."""

    kind: ChangeKind = described("What kind of difference.")
    subject: str = described("Where: a key, a JSON pointer into the answers, or the word of a part.")
    text: str = described("In words, in your language.")
    for_applicant: bool = described("Whether it concerns somebody who is filling it in.")


def definition_of(row: Row, viewer: Caller) -> Definition:
    """The definition that a case or an application began with."""
    return viewer.loket.procedures[row["procedure_key"], row["procedure_version"]]


@output
class Phase:
    """A column of the blueprint (fase)."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    stages: list[Stage] = described("The stages that belong to it.")
    interaction_point: str = described("What the citizen does (interactiepunt).")
    medium: list[str] = described("Through which systems.")
    front_office: str = described("What happens in the front office.")
    back_office: str = described("What happens in the back office.")
    difference: str | None = described("What got better (verschil met de huidige aanpak).")


@output
class ProductOption:
    """What can be ordered with a product."""

    key: str = described("Its key, for the cart.")
    title: str = described("Its title.")
    price: Money | None = described("The price today, VAT included.")
    per_unit: int = described("At most so many with each unit.")


@output
class Product:
    """Something in the catalogue."""

    key: str = described("Its key, for the cart.")
    title: str = described("Its title.")
    description: str | None = described("What it is.")
    price: Money | None = described("The price today, VAT included.")
    deposit: bool = described("Whether it is a sum that comes back (waarborg).")
    first_unit_discount: Money | None = described(
        "The first one that a household ever orders is so much cheaper."
    )
    maximum_per_household: int | None = described("At most so many per household and year.")
    options: list[ProductOption] = described("What can be ordered with it.")


@output
class Exemption:
    """Who pays nothing, or not for all of it (vrijstelling)."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    products: list[str] = described("Of which products; empty: all but deposits.")
    units: int | None = described("Of so many units on an application; null: of all.")


@output
class Term:
    """Within how long there is a decision."""

    days: int = described("How many days.")
    working_days: bool = described("Whether these are working days.")
    suspendable: bool = described("Whether the clock stops while the applicant is asked for more.")


@output
class DocumentKind:
    """A paper that an applicant can add (bewijsstuk)."""

    key: str = described("Its key, for the document.")
    title: str = described("Its title, in your language.")
    description: str | None = described("When it is needed, and what must stand in it.")


@output
class LookUp:
    """What is asked of an authentic source, and why. Of the answer yes or no is kept."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    purpose: str = described("What is asked, and why; for the applicant.")
    documents: list[str] = described("Keys of the documents that can stand in its place.")


@output
class ProcedureBenefit:
    """A sum that can be granted (toelage, premie)."""

    key: str = described("Its key.")
    title: str = described("Its title, in your language.")
    amount: Money | None = described("How much, for an application of today.")


@output
class Appeal:
    """How a decision can be fought (beroep)."""

    body: str = described("With whom.")
    address: str = described("Where.")
    form: str = described("How.")
    term: str = described("Within how long, and from when.")
    remark: str | None = described("What else is open.")


@output
class Form:
    """What is asked."""

    schema: JSON = described("JSON Schema 2020-12 of the answers, in your language.")
    ui_schema: JSON = described("How to show it (uiSchema).")


@output
class ProcedureAdviser:
    """Whose advice can be asked."""

    key: str = described("Its key, for `adviceRequest`.")
    title: str = described("Who it is, in your language.")
    kind: AdviserKind = described("What kind of adviser.")
    question: str = described("What is always asked.")
    within_days: int = described("Within how many days there is an answer.")


@output
class Procedure:
    """A service of the municipality, as its definition describes it."""

    key: str = described("Its key.")
    version: int = described("Its version; a case stays for life on the version that it started with.")
    valid_from: date = described("The first day on which this version holds.")
    valid_to: date | None = described("The last day; null for no end.")
    title: str = described("Its title, in your language.")
    description: str = described("What it is, in your language.")
    department: str = described("Who handles it.")
    ipdc_product_id: str = described("The product in the Flemish catalogue (IPDC).")
    legal_basis: list[str] = described("On what it rests.")
    phases: list[Phase] = described("The columns of the blueprint.")
    stages: list[Stage] = described("The stages of a case, in order.")
    form: Form = described("What is asked.")
    catalogue: list[Product] = described("What can be ordered.")
    exemptions: list[Exemption] = described("Who pays nothing, or not for all of it.")
    term: Term = described("Within how long there is a decision.")
    advisers: list[ProcedureAdviser] = described("Whose advice can be asked.")
    open_today: bool = described("Whether applications are taken today.")
    deciding_body: str = described("Who decides, in full.")
    appeal: Appeal = described("How a decision can be fought.")
    benefits: list[ProcedureBenefit] = described("The sums that can be granted.")
    documents: list[DocumentKind] = described("The papers that can be added.")
    look_ups: list[LookUp] = described(
        "What is asked of authentic sources, beside name, address and household."
    )


def changed(
    before: Definition, after: Definition, viewer: Caller, *, for_applicant: bool = False
) -> list[ProcedureChange]:
    """What differs, on the first day of `after` or today; `for_applicant`: only what concerns them."""
    on = max(viewer.today, after.valid_from)
    return [
        ProcedureChange(kind=one.kind, subject=one.subject, text=one.text, for_applicant=one.for_applicant)
        for one in changes(before, after, on, viewer.language)
        if one.for_applicant or not for_applicant
    ]


def present(definition: Definition, language: str, today: date) -> Procedure:
    """A definition as the schema shows it."""
    return Procedure(
        key=definition.key,
        version=definition.version,
        valid_from=definition.valid_from,
        valid_to=definition.valid_to,
        title=definition.title.get(language),
        description=definition.description.get(language),
        department=definition.department.get(language),
        ipdc_product_id=definition.ipdc_product_id,
        legal_basis=[one.get(language) for one in definition.legal_basis],
        phases=[
            Phase(
                key=phase.key,
                title=phase.title.get(language),
                stages=list(phase.stages),
                interaction_point=phase.interaction_point.get(language),
                medium=[one.get(language) for one in phase.medium],
                front_office=phase.front_office.get(language),
                back_office=phase.back_office.get(language),
                difference=phase.difference.get(language) if phase.difference else None,
            )
            for phase in definition.phases
        ],
        stages=list(definition.stages),
        form=Form(schema=JSON(forms.form_in(definition.form, language)), ui_schema=JSON(definition.form.ui)),
        catalogue=_catalogue(definition, language, today),
        exemptions=_exemptions(definition, language),
        term=Term(
            days=definition.term.days,
            working_days=definition.term.counting == "working",
            suspendable=definition.term.suspendable,
        ),
        advisers=[
            ProcedureAdviser(
                key=one.key,
                title=one.title.get(language),
                kind=AdviserKind(one.kind),
                question=one.question.get(language),
                within_days=one.within_days,
            )
            for one in definition.advisers
        ],
        open_today=definition.window is None or definition.window.holds(today),
        deciding_body=definition.deciding_body.get(language),
        appeal=_appeal(definition, language),
        benefits=[
            ProcedureBenefit(
                key=one.key,
                title=one.title.get(language),
                amount=price_on(one.amounts, definition.reference_day(today)),
            )
            for one in definition.benefits
        ],
        documents=[
            DocumentKind(
                key=one.key,
                title=one.title.get(language),
                description=one.description.get(language) if one.description else None,
            )
            for one in definition.documents
        ],
        look_ups=[
            LookUp(
                key=one.key,
                title=one.title.get(language),
                purpose=one.purpose.get(language),
                documents=list(one.documents),
            )
            for one in definition.checks
        ],
    )


def _appeal(definition: Definition, language: str) -> Appeal:
    appeal = definition.appeal
    return Appeal(
        body=appeal.body.get(language),
        address=appeal.address.get(language),
        form=appeal.form.get(language),
        term=appeal.term.get(language),
        remark=appeal.remark.get(language) if appeal.remark else None,
    )


def _catalogue(definition: Definition, language: str, today: date) -> list[Product]:
    products = definition.catalogue.products if definition.catalogue else ()
    return [
        Product(
            key=product.key,
            title=product.title.get(language),
            description=product.description.get(language) if product.description else None,
            price=price_on(product.prices, today),
            deposit=product.deposit,
            first_unit_discount=eur(product.first_unit_discount.amount)
            if product.first_unit_discount and product.first_unit_discount.holds(today)
            else None,
            maximum_per_household=product.maximum.quantity if product.maximum else None,
            options=[
                ProductOption(
                    key=option.key,
                    title=option.title.get(language),
                    price=price_on(option.prices, today),
                    per_unit=option.per_unit,
                )
                for option in product.options
            ],
        )
        for product in products
    ]


def _exemptions(definition: Definition, language: str) -> list[Exemption]:
    return [
        Exemption(key=one.key, title=one.title.get(language), products=list(one.products), units=one.units)
        for one in (definition.catalogue.free if definition.catalogue else ())
    ]


def price_on(prices: Any, today: date) -> Money | None:  # noqa: ANN401  # prices of the definition
    return next((eur(price.amount) for price in prices if price.holds(today)), None)
