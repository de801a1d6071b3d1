"""Invoices and credit notes that machines read: UBL 2.1 after the European norm EN 16931.

For a person it is the norm and no more; for an organisation, known by its enterprise number, it is Peppol BIS
Billing 3.0, which asks for the addresses of both on that network. The same document gives the same bytes.

What the norm calls amounts is without VAT: a price here holds it, and is split line by line, to the cent.
Costs of reminders stand on no invoice, so neither here.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from lxml import etree
from lxml.etree import _Element as Element

from loket.definition import VatCategory
from loket.definition.catalogue import OUTSIDE_SCOPE
from loket.numbers import printed_reference
from loket.settings import Municipality

CORE = "urn:cen.eu:en16931:2017"
PEPPOL = f"{CORE}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
BILLING = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
ENTERPRISE = "0208"
"""The list in which enterprise numbers stand, among those of ISO/IEC 6523."""
CREDIT_TRANSFER = "30"
INVOICE_TYPE, CREDIT_NOTE_TYPE = "380", "381"
PIECE = "C62"
CURRENCY = "EUR"
UNNAMED = "onbekend"
_URN = "urn:oasis:names:specification:ubl:schema:xsd:"
_CAC, _CBC = f"{_URN}CommonAggregateComponents-2", f"{_URN}CommonBasicComponents-2"
_CENT = Decimal("0.01")
_PRICE = Decimal("0.000001")
_UNSAID = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Buyer:
    """Whom it is for, as the invoice has it. `country` in two letters (ISO 3166-1)."""

    name: str
    street: str = ""
    """With the house number."""
    box: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = "BE"
    enterprise_number: str | None = None
    """Ten bare digits, of an organisation."""


@dataclass(frozen=True)
class UblLine:
    """What is charged; amounts in EUR, VAT contained in them."""

    description: str
    quantity: int
    amount: Decimal
    """Of all of it, `discount` taken off."""
    vat_amount: Decimal
    """Contained in `amount`."""
    category: VatCategory
    rate: Decimal = Decimal(0)
    """In per cent."""
    reason: str = ""
    """Why there is no VAT."""
    reason_code: str | None = None
    discount: Decimal = Decimal(0)
    discount_reason: str = ""

    @property
    def net(self) -> Decimal:
        return self.amount - self.vat_amount

    @property
    def net_discount(self) -> Decimal:
        """The discount in the proportion that VAT has in the rate."""
        return (self.discount * 100 / (100 + self.rate)).quantize(_CENT)


@dataclass(frozen=True)
class Bill:
    """What an invoice and a credit note have in common. `case_reference` is by what the buyer knows it."""

    number: str
    issued_on: date
    case_reference: str
    buyer: Buyer
    lines: tuple[UblLine, ...]


@dataclass(frozen=True)
class Claim(Bill):
    """An invoice: what is to be paid, by when, with which structured reference (12 bare digits)."""

    due_on: date
    structured_reference: str


@dataclass(frozen=True)
class Correction(Bill):
    """A credit note: which invoice it takes back, and why."""

    invoice_number: str
    invoice_issued_on: date
    reason: str


def invoice_ubl(municipality: Municipality, claim: Claim) -> bytes:
    """Raises `ValueError` where nothing is charged, or for VAT without a VAT number to charge it under."""
    root = _document("Invoice", municipality, claim)
    _say(root, "ID", claim.number)
    _say(root, "IssueDate", claim.issued_on.isoformat())
    _say(root, "DueDate", claim.due_on.isoformat())
    _say(root, "InvoiceTypeCode", INVOICE_TYPE)
    _say(root, "DocumentCurrencyCode", CURRENCY)
    _say(root, "BuyerReference", claim.case_reference)
    _parties(root, municipality, claim)
    _payment(root, municipality, claim)
    _totals(root, claim.lines)
    for number, line in enumerate(claim.lines, start=1):
        _line(root, "Invoice", number, line)
    return _written(root)


def credit_note_ubl(municipality: Municipality, correction: Correction) -> bytes:
    """Raises as `invoice_ubl` does."""
    root = _document("CreditNote", municipality, correction)
    _say(root, "ID", correction.number)
    _say(root, "IssueDate", correction.issued_on.isoformat())
    _say(root, "CreditNoteTypeCode", CREDIT_NOTE_TYPE)
    _say(root, "Note", correction.reason)
    _say(root, "DocumentCurrencyCode", CURRENCY)
    _say(root, "BuyerReference", correction.case_reference)
    reference = _put(_put(root, "BillingReference"), "InvoiceDocumentReference")
    _say(reference, "ID", correction.invoice_number)
    _say(reference, "IssueDate", correction.invoice_issued_on.isoformat())
    _parties(root, municipality, correction)
    # the norm wants terms where there is no due date; nobody has to pay a credit note
    _say(_put(root, "PaymentTerms"), "Note", f"In mindering van factuur {correction.invoice_number}")
    _totals(root, correction.lines)
    for number, line in enumerate(correction.lines, start=1):
        _line(root, "CreditNote", number, line)
    return _written(root)


# --- who, to whom, over which account ----------------------------------------------------------


def _document(kind: str, municipality: Municipality, bill: Bill) -> Element:
    if not bill.lines:
        raise ValueError(f"{bill.number} charges nothing")
    if not municipality.vat_number and _is_in_scope(bill):
        raise ValueError(f"{bill.number} speaks of VAT, but the municipality has no VAT number")
    own = f"{_URN}{kind}-2"
    namespaces = {None: own, "cac": _CAC, "cbc": _CBC}
    root = etree.Element(f"{{{own}}}{kind}", nsmap=namespaces)  # type: ignore[arg-type]  # its stubs know no default one
    _say(root, "CustomizationID", PEPPOL if bill.buyer.enterprise_number else CORE)
    if bill.buyer.enterprise_number:
        _say(root, "ProfileID", BILLING)
    return root


def _is_in_scope(bill: Bill) -> bool:
    """Outside the scope of VAT no VAT number may stand on an invoice; within it the seller's must."""
    return any(line.category is not VatCategory.OUTSIDE_SCOPE for line in bill.lines)


def _parties(root: Element, municipality: Municipality, bill: Bill) -> None:
    seller = _put(_put(root, "AccountingSupplierParty"), "Party")
    if bill.buyer.enterprise_number:
        _say(seller, "EndpointID", municipality.kbo, schemeID=ENTERPRISE)
    _say(_put(seller, "PartyName"), "Name", municipality.name)
    _address(seller, municipality.street, "", municipality.postal_code, municipality.city, "BE")
    if _is_in_scope(bill):
        scheme = _put(seller, "PartyTaxScheme")
        _say(scheme, "CompanyID", municipality.vat_number)
        _say(_put(scheme, "TaxScheme"), "ID", "VAT")
    _legal(seller, municipality.name, municipality.kbo)
    contact = _put(seller, "Contact")
    _say(contact, "Telephone", municipality.phone)
    _say(contact, "ElectronicMail", municipality.email)

    buyer = bill.buyer
    party = _put(_put(root, "AccountingCustomerParty"), "Party")
    if buyer.enterprise_number:
        _say(party, "EndpointID", buyer.enterprise_number, schemeID=ENTERPRISE)
    name = _plain(buyer.name) or UNNAMED
    _say(_put(party, "PartyName"), "Name", name)
    _address(party, buyer.street, buyer.box, buyer.postal_code, buyer.city, buyer.country)
    _legal(party, name, buyer.enterprise_number)


def _address(party: Element, street: str, box: str, postal_code: str, city: str, country: str) -> None:
    address = _put(party, "PostalAddress")
    _say(address, "StreetName", street)
    _say(address, "AdditionalStreetName", f"bus {box}" if box else "")
    _say(address, "CityName", city)
    _say(address, "PostalZone", postal_code)
    _say(_put(address, "Country"), "IdentificationCode", country)


def _legal(party: Element, name: str, enterprise_number: str | None) -> None:
    entity = _put(party, "PartyLegalEntity")
    _say(entity, "RegistrationName", name)
    if enterprise_number:
        _say(entity, "CompanyID", enterprise_number, schemeID=ENTERPRISE)


def _payment(root: Element, municipality: Municipality, claim: Claim) -> None:
    means = _put(root, "PaymentMeans")
    _say(means, "PaymentMeansCode", CREDIT_TRANSFER)
    _say(means, "PaymentID", printed_reference(claim.structured_reference))
    account = _put(means, "PayeeFinancialAccount")
    _say(account, "ID", "".join(municipality.iban.split()))
    _say(account, "Name", municipality.name)
    if municipality.bic.strip():
        _say(_put(account, "FinancialInstitutionBranch"), "ID", municipality.bic.strip())


# --- what --------------------------------------------------------------------------------------


def _totals(root: Element, lines: Sequence[UblLine]) -> None:
    net = sum((line.net for line in lines), Decimal(0))
    vat = sum((line.vat_amount for line in lines), Decimal(0))
    tax = _put(root, "TaxTotal")
    _amount(tax, "TaxAmount", vat)
    for group in _by_rate(lines):
        part = _put(tax, "TaxSubtotal")
        _amount(part, "TaxableAmount", sum((line.net for line in group), Decimal(0)))
        _amount(part, "TaxAmount", sum((line.vat_amount for line in group), Decimal(0)))
        _category(part, "TaxCategory", group[0], reasons=group)
    total = _put(root, "LegalMonetaryTotal")
    _amount(total, "LineExtensionAmount", net)
    _amount(total, "TaxExclusiveAmount", net)
    _amount(total, "TaxInclusiveAmount", net + vat)
    _amount(total, "PayableAmount", net + vat)


def _by_rate(lines: Sequence[UblLine]) -> Iterator[list[UblLine]]:
    """The norm has one breakdown for each category and rate."""
    groups: dict[tuple[VatCategory, Decimal], list[UblLine]] = {}
    for line in lines:
        groups.setdefault((line.category, line.rate), []).append(line)
    yield from groups.values()


def _category(part: Element, name: str, line: UblLine, *, reasons: Sequence[UblLine] = ()) -> None:
    category = _put(part, name)
    _say(category, "ID", line.category)
    if line.category is not VatCategory.OUTSIDE_SCOPE:
        _say(category, "Percent", f"{line.rate:.2f}")
    if reasons and line.category is not VatCategory.STANDARD:
        codes = {one.reason_code for one in reasons}
        if line.category is VatCategory.OUTSIDE_SCOPE:
            codes = {OUTSIDE_SCOPE}
        # of several reasons no code stands for all
        _say(category, "TaxExemptionReasonCode", next(iter(codes)) or "" if len(codes) == 1 else "")
        _say(category, "TaxExemptionReason", ". ".join(dict.fromkeys(one.reason for one in reasons)))
    _say(_put(category, "TaxScheme"), "ID", "VAT")


def _line(root: Element, kind: str, number: int, line: UblLine) -> None:
    one = _put(root, f"{kind}Line")
    _say(one, "ID", str(number))
    quantity = "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity"
    _say(one, quantity, str(line.quantity), unitCode=PIECE)
    _amount(one, "LineExtensionAmount", line.net)
    if line.discount:
        allowance = _put(one, "AllowanceCharge")
        _say(allowance, "ChargeIndicator", "false")
        _say(allowance, "AllowanceChargeReason", line.discount_reason or "Korting")
        _amount(allowance, "Amount", line.net_discount)
    item = _put(one, "Item")
    _say(item, "Name", _plain(line.description) or UNNAMED)
    _category(item, "ClassifiedTaxCategory", line)
    each = (line.net + line.net_discount) / line.quantity
    price = _put(one, "Price")
    _say(price, "PriceAmount", f"{each.quantize(_PRICE).normalize():f}", currencyID=CURRENCY)


# --- XML ---------------------------------------------------------------------------------------


def _put(parent: Element, name: str) -> Element:
    return etree.SubElement(parent, f"{{{_CAC}}}{name}")


def _say(parent: Element, name: str, text: str, **attributes: str) -> None:
    """A value; none that is empty, since an empty element is no value."""
    said = _plain(text)
    if said:
        etree.SubElement(parent, f"{{{_CBC}}}{name}", attributes).text = said


def _amount(parent: Element, name: str, amount: Decimal) -> None:
    _say(parent, name, f"{amount:.2f}", currencyID=CURRENCY)


def _plain(text: str) -> str:
    """On one line, without what XML cannot hold or nobody can see."""
    spaced = (" " if one in "\n\r\t" else one for one in unicodedata.normalize("NFC", text))
    return " ".join("".join(one for one in spaced if unicodedata.category(one) not in _UNSAID).split())


def _written(root: Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
