"""What is owed, what came in, and what goes out: invoices, payments, refunds and payouts."""

from datetime import date, datetime
from decimal import Decimal

from loket import lifecycle, paper, records
from loket.api.context import Caller
from loket.api.naming import Field, described, input_type, output
from loket.api.objects.chargebacks import Chargeback
from loket.api.objects.conditions import among, equal
from loket.api.objects.documents import Document
from loket.api.objects.letters import Letter
from loket.api.objects.links import ItsCase
from loket.api.objects.people import StaffMember
from loket.api.procedures import Row
from loket.api.reads import (
    Node,
    column,
    computed,
    condition,
    entity,
    expression,
    listed,
    newest,
    oldest,
    one,
    orders,
    part,
    parts,
)
from loket.api.scalars import Money
from loket.api.visibility import of_case, of_person
from loket.definition import VatCategory
from loket.lifecycle import InvoiceStatus, PaymentStatus, PayoutStatus, RefundStatus
from loket.records import DunningKind, PaymentMethod, PayoutKind


def _euro(text: str, name: str) -> Field:
    """A column of whole cents that is never empty, as Money."""
    return part(text, {"amount": f"{{t}}.{name}", "currency": "'EUR'"})


@output
class InvoiceLine:
    """A line of an invoice."""

    description: str = described("What for.")
    quantity: int = described("How many.")
    unit_amount: Decimal = described("Each, in EUR, VAT included.")
    amount: Decimal = described("Together, in EUR; below zero for a discount.")
    vat_category: VatCategory = described("How VAT looks at it.")
    vat_rate: Decimal = described("In per cent.")
    vat_amount: Decimal = described("What of the amount is VAT, in EUR.")
    vat_note: str | None = described("Why there is no VAT.")


@output
class Buyer:
    """Whom an invoice is for, as it was when it was issued."""

    name: str = described("The person or the organisation.")
    enterprise_number: str | None = described("KBO number of an organisation, 10 digits; null for a person.")


@output
class Payee:
    """The account to which a transfer goes."""

    name: str = described("Its holder.")
    iban: str = described("IBAN, without spaces.")
    bic: str = described("BIC of its bank; empty where none is needed.")


_OPEN = "({t}.amount + {t}.costs - {t}.credited - {t}.paid - {t}.written_off)"
_PAYABLE = ", ".join(
    f"'{one}'" for one in InvoiceStatus if lifecycle.INVOICE.find(one, lifecycle.PartAction.PAY_FULL)
)


@entity(records.Payment, policy=of_case)
class Payment(Node):
    """What came in, or an attempt at it (betaling)."""

    status: PaymentStatus = column("Where it stands.")
    method: PaymentMethod = column("How the money came.")
    amount: Money = _euro("How much.", "amount")
    value_date: date | None = column("The day on which it counts.", "value_on")
    started_at: datetime = column("When it was begun.")
    ended_at: datetime | None = column("When it was settled.")
    chargebacks: list[Chargeback] = listed(
        "What the payer's bank took back.",
        where="{t}.payment_id = {parent}.id",
        order="{t}.taken_on, {t}.id",
        with_parent=True,
    )
    invoice: "Invoice" = one("What it pays.", on="invoice_id", with_parent=True)


@entity(records.Refund, policy=of_case)
class Refund(Node):
    """Money that goes back."""

    status: RefundStatus = column("Where it stands.")
    amount: Money = _euro("How much.", "amount")
    reason: str = column("Why.")
    ordered_at: datetime | None = column("When it was ordered.")
    ended_at: datetime | None = column("When it was done.")


@entity(records.CreditNote, policy=of_case)
class CreditNote(Node):
    """Takes an invoice back, whole or in part (creditnota)."""

    number: str = column("Its number, without gaps per journal and year.")
    amount: Money = _euro("How much is not due any more, VAT included.", "amount")
    issued_on: date = column("The day of issue.")
    reason: str = column("Why.")
    document: Document | None = one("The PDF, with the UBL inside.", on="document_id", with_parent=True)
    ubl_document: Document | None = one(
        "The UBL by itself (Peppol BIS Billing 3.0); for an organisation alone.",
        on="ubl_document_id",
        with_parent=True,
    )
    invoice: "Invoice" = one("What it takes back.", on="invoice_id", with_parent=True)


@entity(records.Dunning, policy=of_case)
class DunningStep(Node):
    """What was done to have an invoice paid."""

    kind: DunningKind = column("What.")
    number: int = column("The how manieth of its kind.")
    taken_on: date = column("When.")
    cost: Money = _euro("What it costs, added to what is due.", "cost")
    letter: Letter | None = one("The letter, with its proof of sending.", on="letter_id", with_parent=True)

    @computed("reason")
    def reason(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """Why; for staff alone."""
        return str(row["reason"]) if viewer.scope.is_staff else ""

    document: Document | None = one("What the financial director gets; for staff alone.", on="document_id")
    taken_by: StaffMember | None = one("Who did it; null where it went by itself.", on="taken_by_id")


@entity(records.Invoice, policy=of_person())
class Invoice(Node):
    """What a citizen owes (factuur)."""

    number: str = column("Its number, without gaps per journal and year.")
    status: InvoiceStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    amount: Money = _euro("What is due, VAT included.", "amount")
    paid: Money = _euro("What came in on it, less what goes back.", "paid")
    credited: Money = _euro("What was taken back of it.", "credited")
    costs: Money = _euro("Costs of reminders that are charged.", "costs")
    written_off: Money = _euro("What was given up.", "written_off")
    outstanding: Money = part(
        "What is still to be paid.",
        {"amount": _OPEN, "currency": "'EUR'"},
    )
    structured_reference: str = expression(
        "The structured communication, printed.",
        "'+++' || substr({t}.reference, 1, 3) || '/' || substr({t}.reference, 4, 4) || '/'"
        " || substr({t}.reference, 8) || '+++'",
    )
    issued_on: date = column("The day of issue.")
    due_on: date = column("The last day to pay.")
    lines: list[InvoiceLine] = parts(
        "What for.",
        "{t}.lines",
        {
            "description": "{t} ->> 'description'",
            "quantity": "({t} ->> 'quantity')::int",
            "unit_amount": "({t} ->> 'unit_amount')::numeric",
            "amount": "({t} ->> 'amount')::numeric",
            "vat_category": "coalesce({t} ->> 'vat_category',"
            " CASE WHEN ({t} ->> 'vat_rate')::numeric > 0 THEN 'S' ELSE 'O' END)",
            "vat_rate": "coalesce({t} ->> 'vat_rate', '0')::numeric",
            "vat_amount": "coalesce({t} ->> 'vat_amount', '0')::numeric",
            "vat_note": "{t} ->> 'vat_note'",
        },
    )
    buyer: Buyer = part(
        "Whom it is for.",
        {
            "name": "coalesce({t}.buyer ->> 'name', '')",
            "enterprise_number": "{t}.buyer ->> 'enterprise_number'",
        },
    )
    document: Document | None = one("The PDF, with the UBL inside.", on="document_id", with_parent=True)
    ubl_document: Document | None = one(
        "The UBL by itself (Peppol BIS Billing 3.0); for an organisation alone.",
        on="ubl_document_id",
        with_parent=True,
    )

    @computed()
    def payee(row: Row, viewer: Caller) -> Payee:  # noqa: N805  # no self
        """To whom it is paid by transfer."""
        municipality = viewer.loket.settings.municipality
        return Payee(name=municipality.name, iban=municipality.iban, bic=municipality.bic)

    @computed(
        "reference",
        due=f"({_OPEN})::text",
        payable=f"{{t}}.status IN ({_PAYABLE})",
    )
    def epc_text(row: Row, viewer: Caller) -> str | None:  # noqa: N805  # no self
        """What a QR code holds that banking apps pay from (EPC069-12); null when nothing is due."""
        due = Decimal(row["due"])
        if not row["payable"] or due == 0:
            return None
        municipality = viewer.loket.settings.municipality
        return paper.epc_qr_payload(
            name=municipality.name,
            iban=municipality.iban,
            bic=municipality.bic,
            amount=due,
            reference=row["reference"],
            line=municipality.reference_line,
        )

    payments: list[Payment] = listed(
        "What came in.", where="{t}.invoice_id = {parent}.id", order="{t}.id", with_parent=True
    )
    credit_notes: list["CreditNote"] = listed(
        "What took it back.", where="{t}.invoice_id = {parent}.id", order="{t}.id", with_parent=True
    )
    dunning: list[DunningStep] = listed(
        "What was done to have it paid, in order.", where="{t}.invoice_id = {parent}.id", order="{t}.id"
    )
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)


@entity(records.Payout, policy=of_case)
class Payout(Node):
    """Money that goes to a citizen's account (uitbetaling); each attempt is one of its own."""

    kind: PayoutKind = column("What it is.")
    status: PayoutStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    amount: Money = _euro("How much.", "amount")
    payee: str = column("Holder of the account.")
    account: str = column("The account, masked.", "iban_masked")
    remittance: str = column("What stands on the account statement.")
    ordered_by: StaffMember | None = one("Who ordered it.", on="ordered_by_id")
    ordered_at: datetime = column("When it was ordered.")
    visum_by: StaffMember | None = one("Who gave the visum, where one is asked.", on="visum_by_id")
    visum_at: datetime | None = column("When the visum was given.")
    approved_by: StaffMember | None = one("Who approved it.", on="approved_by_id")
    approved_at: datetime | None = column("When it was approved.")
    sent_at: datetime | None = column("When accounting had it.")
    executed_on: date | None = column("The day on which the money left.")
    ended_at: datetime | None = column("When it ended.")
    reason_code: str = column("The bank's reason (ISO 20022), where there is one.")
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)

    @computed("reason")
    def reason(row: Row, viewer: Caller) -> str:  # noqa: N805  # no self
        """Why it ended so, in words; a colleague's words are for staff alone."""
        return str(row["reason"]) if viewer.scope.is_staff else ""


@input_type
class InvoiceFilter:
    """Which invoices."""

    status: list[InvoiceStatus] | None = among("In one of these.", "status")
    reference: str | None = equal("With this structured communication, 12 digits.", "reference")
    due_before: date | None = condition("Due before this day.", "{t}.due_on < {value}")


INVOICE_ORDER = orders(
    "InvoiceOrder",
    "In which order invoices come.",
    NEWEST=(newest("issued_on"), "Last issued first."),
    DUE=(oldest("due_on"), "First due first."),
)


@input_type
class PaymentFilter:
    """Which payments."""

    status: list[PaymentStatus] | None = among("In one of these.", "status")


PAYMENT_ORDER = orders(
    "PaymentOrder",
    "In which order payments come.",
    NEWEST=(newest("started_at"), "Last begun first."),
)


@input_type
class PayoutFilter:
    """Which payouts."""

    status: list[PayoutStatus] | None = among("In one of these states.", "status")
    kind: PayoutKind | None = equal("Of this kind.", "kind")


PAYOUT_ORDER = orders(
    "PayoutOrder",
    "In which order payouts come.",
    NEWEST=(newest("ordered_at"), "Last ordered first."),
    OLDEST=(oldest("ordered_at"), "First ordered first."),
)
