"""Invoices and credit notes that machines read: what the official rules say of them, and what is in them."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader
from uuid_utils.compat import uuid7

from loket import bills, bookkeeping, credits, orders, pricing, publishing
from loket.app import SHIPPED, load_procedures
from loket.definition import Catalogue, Definition, VatCategory
from loket.ids import decode_id
from loket.lifecycle import InvoiceStatus, Stage
from loket.numbers import structured_reference
from loket.paper import credit_note_ubl, invoice_ubl
from loket.records import Case, CreditNote, Invoice, Json, LedgerAccount, Person
from loket.rules import CartLine
from loket.settings import Municipality, SettingsError, VatNumber
from loket.settings import Settings as LoketSettings
from town import FINANCE, Dossier, Town, opened, until

T = TypeVar("T")
BIN = publishing.load(SHIPPED / "compost-bin.yaml")
HALL = Municipality(vat_number=VatNumber("BE 0207.500.123"))
UNREGISTERED = Municipality()
ORGANISATION = "0403170701"
DAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
OUTSIDE = {"exemption_reason": "Niet onderworpen aan btw (artikel 6 van het Btw-wetboek)"}
EXEMPTED = {
    "category": "E",
    "exemption_reason": "Vrijgesteld (artikel 44)",
    "exemption_code": "VATEX-EU-132-1N",
}
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
INVOICES = 100


# --- the judges --------------------------------------------------------------------------------


def judge(folder: Path, documents: dict[str, bytes]) -> dict[str, list[str]]:
    """What the official rules have against each document; nothing for who is not named."""
    missing = [one for one in ("facturx", "saxonche") if importlib.util.find_spec(one) is None]
    if missing:
        pytest.skip(f"the official rules are not installed ({', '.join(missing)}): pip install .[rules]")
    for name, content in documents.items():
        (folder / f"{name}.xml").write_bytes(content)
    # Peppol's own rules stand in no package; who has them names the file
    peppol = os.environ.get("PEPPOL_RULES")
    told = subprocess.run(
        [sys.executable, Path(__file__).with_name("ubl_rules.py"), folder, *([peppol] if peppol else [])],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    said: dict[str, list[str]] = json.loads(told.stdout)
    assert len(said) == len(documents)
    return {name.removesuffix(".xml"): faults for name, faults in said.items() if faults}


# --- bills of every kind -----------------------------------------------------------------------


def sold(
    vat: list[Json], prices: list[str], discounts: list[str | None], free: list[Json] | None = None
) -> Definition:
    """The bin's procedure with another catalogue: a product for each VAT, each with an option."""
    products = []
    for number, (treatment, price, discount) in enumerate(zip(vat, prices, discounts, strict=True)):
        prices_ = [{"from": "2026-01-01", "amount": price}]
        option = {"key": "extra", "title": "Extra", "prices": [{"from": "2026-01-01", "amount": "5.05"}]}
        product = {
            "key": f"p{number}",
            "title": f"Product {number} & <co>",
            "prices": prices_,
            "options": [option],
            "vat": treatment,
            "budget_key": {"account": "7010000", "policy_item": "0309-00"},
        }
        if discount is not None and Decimal(discount) <= Decimal(price):
            product["first_unit_discount"] = {"amount": discount, "from": "2026-01-01"}
        products.append(product)
    return BIN.model_copy(
        update={"catalogue": Catalogue.model_validate({"products": products, "free": free or []})}
    )


def billed(definition: Definition, cart: list[CartLine], buyer: Json | None = None) -> bills.Bill:
    """As it would be issued, to somebody for whom all exemptions hold."""
    free = definition.catalogue.free if definition.catalogue else ()
    lines = orders.with_vat([orders.as_json(one) for one in pricing.price(definition, cart, DAY, {}, free)])
    home = {"street": "Kerkstraat", "number": "12", "box": "3", "postal_code": "2999", "city": "Lindebeke"}
    person = Person(id=uuid7(), given_name="An", family_name="Peeters", address=home, created_at=NOW)
    case = Case(
        reference="CB-2026-7KQ3M9-R",
        person_id=person.id,
        application_id=uuid7(),
        procedure_key=definition.key,
        procedure_version=definition.version,
        submitted_at=NOW,
        due_on=DAY,
        updated_at=NOW,
        stage=Stage.PAYMENT,
    )
    invoice = Invoice(
        case_id=case.id,
        person_id=person.id,
        journal="VF",
        year=2026,
        sequence=17,
        number="VF-2026-000017",
        reference=structured_reference(2600000017),
        amount=sum((Decimal(one["amount"]) for one in lines), Decimal(0)),
        buyer={"name": "An Peeters", "address": home, "language": "nl"} | (buyer or {}),
        lines=lines,
        issued_on=DAY,
        due_on=date(2026, 12, 22),
        status=InvoiceStatus.ISSUED,
    )
    return bills.Bill(invoice, case, person, definition)


def credited(bill: bills.Bill, amount: Decimal, reason: str = "Stuk aangekomen") -> bills.Taken:
    note = CreditNote(
        invoice_id=bill.invoice.id,
        case_id=bill.case.id,
        journal="VFC",
        year=2026,
        sequence=1,
        number="VFC-2026-000001",
        amount=amount,
        lines=credits.taken(orders.net_lines(bill.invoice.lines), amount),
        issued_on=date(2026, 12, 1),
        reason=reason,
    )
    return bills.Taken(bill, note, bills.MoneyBack(Decimal(0), frozenset()), last=True)


def euros(highest: int) -> st.SearchStrategy[str]:
    return st.integers(1, highest).map(lambda cents: f"{Decimal(cents) / 100:.2f}")


RATES = st.sampled_from(["6", "12", "21", "2.5"]).map(lambda rate: {"rate": Decimal(rate)})
IN_SCOPE = st.lists(st.one_of(RATES, st.just(EXEMPTED)), min_size=1, max_size=4)
TREATMENTS = st.one_of(st.lists(st.just(OUTSIDE), min_size=1, max_size=4), IN_SCOPE)
ENTERPRISES = st.integers(10**6, 10**8 // 97 * 97).map(lambda base: f"{base:08d}{97 - base % 97:02d}")


@dataclass(frozen=True)
class Sale:
    """What a bill is made of: small to show where a test fails."""

    treatments: list[Json]
    prices: list[str]
    discounts: list[str | None]
    free: list[Json]
    cart: list[CartLine]
    buyer: Json

    def bill(self) -> bills.Bill:
        return billed(sold(self.treatments, self.prices, self.discounts, self.free), self.cart, self.buyer)


@st.composite
def sales(draw: st.DrawFn) -> Sale:
    treatments = draw(TREATMENTS)
    size = len(treatments)
    prices = draw(st.lists(euros(1_000_000), min_size=size, max_size=size))
    discounts = draw(st.lists(st.none() | euros(5_000), min_size=size, max_size=size))
    cart = [
        CartLine(
            f"p{index}", quantity := draw(st.integers(1, 100)), {"extra": draw(st.integers(0, quantity))}
        )
        for index in draw(st.permutations(range(size)))
    ]
    buyer: Json = {"name": draw(st.text(max_size=70))}
    if draw(st.booleans()):
        buyer["enterprise_number"] = draw(ENTERPRISES)
    if draw(st.booleans()):
        buyer["address"] = {"street": draw(st.text(max_size=30)), "city": draw(st.text(max_size=30))}
    free: list[Json] = []
    for number in range(draw(st.integers(0, 2))):
        of = [f"p{index}" for index in draw(st.sets(st.integers(0, size - 1)))]
        units = {"units": draw(st.integers(1, 20))}
        free.append(
            {"key": f"f{number}", "title": "Vrij & kosteloos", "when": "true", "products": of} | units
        )
    return Sale(treatments, prices, discounts, free, cart, buyer)


# --- the official rules ------------------------------------------------------------------------


def test_the_official_rules_accept_a_hundred_invoices_of_every_kind_and_what_takes_them_back(
    tmp_path: Path,
) -> None:
    documents: dict[str, bytes] = {}
    numbers = count(1)

    @settings(
        max_examples=INVOICES,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(sale=sales(), share=st.integers(1, 100))
    def issue(sale: Sale, share: int) -> None:
        bill = sale.bill()
        assume(bill.invoice.amount > 0)  # what costs nothing is not invoiced
        number = next(numbers)
        documents[f"{number:03d}-invoice"] = invoice_ubl(HALL, bills.claim(bill))
        part = (bill.invoice.amount * share / 100).quantize(Decimal("0.01")) or Decimal("0.01")
        for name, amount in (("part", part), ("whole", bill.invoice.amount)):
            taken = credited(bill, amount)
            documents[f"{number:03d}-{name}"] = credit_note_ubl(HALL, bills.correction(taken))

    issue()
    assert len(documents) >= 3 * INVOICES
    assert judge(tmp_path, documents) == {}


def _without(name: str) -> Callable[[bytes], bytes]:
    return lambda content: re.sub(rf"(?s)<cac:{name}>.*?</cac:{name}>".encode(), b"", content, count=1)


def test_the_official_rules_refuse_what_is_wrong(tmp_path: Path) -> None:
    """So that an empty answer of theirs means something."""
    right = invoice_ubl(
        HALL, bills.claim(billed(sold([{"rate": 21}], ["60.00"], [None]), [CartLine("p0", 1)]))
    )
    wrong = {
        "XSD": right.replace(b"InvoiceTypeCode", b"InvoiceSortCode"),
        "BR-CO-15": right.replace(b">60.00</cbc:TaxInclusiveAmount>", b">61.00</cbc:TaxInclusiveAmount>"),
        "BR-S-02": _without("PartyTaxScheme")(right),
        "BR-CO-10": right.replace(
            b">49.59</cbc:LineExtensionAmount>", b">48.00</cbc:LineExtensionAmount>", 1
        ),
        "BR-16": _without("InvoiceLine")(right),
        "BR-CL-14": right.replace(b">BE</cbc:IdentificationCode>", b">XX</cbc:IdentificationCode>", 1),
    }
    assert right not in wrong.values()
    said = judge(tmp_path, {"right": right} | wrong)
    assert "right" not in said
    assert {rule for rule in wrong if any(fault.startswith(rule) for fault in said.get(rule, []))} == set(
        wrong
    )


# --- what is in them ---------------------------------------------------------------------------


def read(content: bytes) -> etree._Element:
    return etree.fromstring(content)


def texts(content: bytes, path: str) -> list[str]:
    """What stands at a path of bare names, in order."""
    found = [read(content)]
    for step in path.split("/"):
        found = [one for above in found for one in (*above.findall(CAC + step), *above.findall(CBC + step))]
    return [one.text or "" for one in found]


def test_a_gross_price_is_split_to_the_cent() -> None:
    bill = billed(sold([{"rate": 21}], ["60.00"], [None]), [CartLine("p0", 1)])
    content = invoice_ubl(HALL, bills.claim(bill))
    assert texts(content, "TaxTotal/TaxAmount") == ["10.41"]
    assert texts(content, "LegalMonetaryTotal/TaxExclusiveAmount") == ["49.59"]
    assert texts(content, "LegalMonetaryTotal/PayableAmount") == ["60.00"]
    assert texts(content, "InvoiceLine/Price/PriceAmount") == ["49.59"]
    assert texts(content, "InvoiceLine/Item/ClassifiedTaxCategory/Percent") == ["21.00"]


def test_a_persons_invoice_follows_the_norm_and_is_not_for_peppol() -> None:
    content = invoice_ubl(HALL, bills.claim(billed(BIN, [CartLine("bak", 2)])))
    assert texts(content, "CustomizationID") == ["urn:cen.eu:en16931:2017"]
    assert texts(content, "ProfileID") == []
    assert b"EndpointID" not in content
    assert texts(content, "BuyerReference") == ["CB-2026-7KQ3M9-R"]
    assert texts(content, "DueDate") == ["2026-12-22"]
    assert texts(content, "PaymentMeans/PaymentMeansCode") == ["30"]
    assert texts(content, "PaymentMeans/PaymentID") == ["+++260/0000/01786+++"]
    assert texts(content, "PaymentMeans/PayeeFinancialAccount/ID") == ["BE71096123456769"]
    assert texts(content, "PaymentMeans/PayeeFinancialAccount/FinancialInstitutionBranch/ID") == ["GKCCBEBB"]
    assert b'unitCode="C62"' in content


def test_outside_the_scope_of_vat_the_reason_stands_there_and_no_vat_number() -> None:
    content = invoice_ubl(HALL, bills.claim(billed(BIN, [CartLine("bak", 2)])))
    category = "TaxTotal/TaxSubtotal/TaxCategory"
    assert texts(content, f"{category}/ID") == ["O"]
    assert texts(content, f"{category}/TaxExemptionReasonCode") == ["VATEX-EU-O"]
    assert "artikel 6" in texts(content, f"{category}/TaxExemptionReason")[0]
    assert b"BE0207500123" not in content
    assert texts(content, "InvoiceLine/AllowanceCharge/Amount") == ["12.00"]
    assert texts(content, "InvoiceLine/LineExtensionAmount") == ["68.00"]


def test_an_organisation_is_reached_over_peppol_under_its_enterprise_number() -> None:
    """What Peppol BIS Billing 3.0 asks beyond the norm: its rules R003, R007, R010, R020."""
    buyer = {"name": "Tuinen bv", "enterprise_number": ORGANISATION}
    bill = billed(sold([{"rate": 21}, EXEMPTED], ["60.00", "10.00"], ["7.00", None]), CART_OF_TWO, buyer)
    for content in (
        invoice_ubl(HALL, bills.claim(bill)),
        credit_note_ubl(HALL, bills.correction(credited(bill, Decimal("12.34")))),
    ):
        assert texts(content, "CustomizationID") == [
            "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
        ]
        assert texts(content, "ProfileID") == ["urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"]
        ends = [one.text for one in read(content).iter(f"{CBC}EndpointID") if one.get("schemeID") == "0208"]
        assert ends == ["0207500123", ORGANISATION]
        assert texts(content, "AccountingCustomerParty/Party/PartyLegalEntity/CompanyID") == [ORGANISATION]
        assert texts(content, "BuyerReference")
        assert len(texts(content, "TaxTotal/TaxAmount")) == 1


CART_OF_TWO = [CartLine("p0", 3), CartLine("p1", 2)]


@given(sale=sales())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_paper_books_and_machines_say_one_amount_and_one_vat(sale: Sale) -> None:
    bill = sale.bill()
    assume(bill.invoice.amount > 0)
    content = invoice_ubl(HALL, bills.claim(bill))
    (vat,) = map(Decimal, texts(content, "TaxTotal/TaxAmount"))
    (net,) = map(Decimal, texts(content, "LegalMonetaryTotal/TaxExclusiveAmount"))
    (payable,) = map(Decimal, texts(content, "LegalMonetaryTotal/PayableAmount"))
    assert (net + vat, payable) == (bill.invoice.amount, bill.invoice.amount)
    postings = bookkeeping.of_lines(orders.net_lines(bill.invoice.lines))
    booked = {
        account: -sum((one.amount for one in postings if one.account is account), Decimal(0))
        for account in (LedgerAccount.VAT, LedgerAccount.REVENUE)
    }
    assert booked == {LedgerAccount.VAT: vat, LedgerAccount.REVENUE: net}
    printed = bills.invoice_paper(HALL, bill, content).extras.vat
    assert not printed or sum(part.vat for part in printed) == vat
    _follows_peppols_arithmetic(content)


def _follows_peppols_arithmetic(content: bytes) -> None:
    """R120: a line is quantity times price, less its discount, within two cents. R008: nothing is empty."""
    for line in read(content).findall(f"{CAC}InvoiceLine"):

        def amount(path: str, line: etree._Element = line) -> Decimal:
            found = line.findtext(path)
            return Decimal(found) if found else Decimal(0)

        worth = amount(f"{CBC}InvoicedQuantity") * amount(f"{CAC}Price/{CBC}PriceAmount")
        worth -= amount(f"{CAC}AllowanceCharge/{CBC}Amount")
        assert abs(worth - amount(f"{CBC}LineExtensionAmount")) <= Decimal("0.02")
        assert amount(f"{CAC}Price/{CBC}PriceAmount") >= 0
    assert [one.tag for one in read(content).iter() if not len(one) and not (one.text or "").strip()] == []


def test_a_credit_note_says_which_invoice_it_takes_back_and_why() -> None:
    bill = billed(BIN, [CartLine("bak", 2)])
    content = credit_note_ubl(HALL, bills.correction(credited(bill, Decimal("20.00"), "cancelled")))
    assert texts(content, "CreditNoteTypeCode") == ["381"]
    assert texts(content, "BillingReference/InvoiceDocumentReference/ID") == ["VF-2026-000017"]
    assert texts(content, "BillingReference/InvoiceDocumentReference/IssueDate") == ["2026-11-22"]
    assert texts(content, "LegalMonetaryTotal/PayableAmount") == ["20.00"]
    assert texts(content, "Note") == ["De aanvraag is stopgezet."]


def test_the_same_bill_gives_the_same_bytes() -> None:
    bill = billed(BIN, [CartLine("bak", 2)])
    assert len({invoice_ubl(HALL, bills.claim(bill)) for _ in range(3)}) == 1


@pytest.mark.parametrize("treatment", [{"rate": 21}, EXEMPTED])
def test_who_is_not_registered_charges_nothing_within_the_scope_of_vat(treatment: Json) -> None:
    bill = billed(sold([treatment], ["60.00"], [None]), [CartLine("p0", 1)])
    with pytest.raises(ValueError, match="no VAT number"):
        invoice_ubl(UNREGISTERED, bills.claim(bill))


def test_a_line_of_before_vat_was_kept_still_makes_an_invoice() -> None:
    bill = billed(BIN, [CartLine("bak", 2)])
    for line in bill.invoice.lines:
        for name in ("vat_category", "vat_amount", "vat_code"):
            del line[name]
    content = invoice_ubl(UNREGISTERED, bills.claim(bill))
    assert texts(content, "TaxTotal/TaxSubtotal/TaxCategory/ID") == ["O"]
    bills.invoice_paper(UNREGISTERED, bill, content)


# --- through the doors -------------------------------------------------------------------------

ORGANISATION_FIELDS = """      organisation:
        type: object
        title: Koopt u voor een organisatie?
        additionalProperties: false
        properties:
          name: {type: string, title: Naam van de organisatie, maxLength: 140}
          enterprise_number: {type: string, title: KBO-nummer, format: enterprise-number, maxLength: 20}
"""
BUYER = """  buyer:
    name: /organisation/name
    enterprise_number: /organisation/enterprise_number
"""
SHOWN = """amount { amount } lines { amount vatCategory vatRate vatAmount vatNote }
    buyer { name enterpriseNumber }
    document { kind filename url } ublDocument { kind filename url }
    creditNotes { number amount { amount } document { filename url } ublDocument { filename url } }"""
NAMED = {"organisation": {"name": "Tuinen Peeters bv", "enterprise_number": "0403.170.701"}}


def taxed_bin() -> str:
    """The bin's file for organisations too, with VAT on its price."""
    text = (SHIPPED / "compost-bin.yaml").read_text("utf-8")
    text = text.replace(
        "      declaration:\n        type", f"{ORGANISATION_FIELDS}      declaration:\n        type"
    )
    text = text.replace("  journal: VF\n", f"  journal: VB\n{BUYER}")
    text = re.sub(r"(?m)^      vat:\n(?:        .*\n)+", "      vat: {rate: 21}\n", text)
    return text.replace("key: compost-bin\n", "key: taxed-bin\n")


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    (folder / "taxed-bin.yaml").write_text(taxed_bin(), "utf-8")
    home = tmp_path_factory.mktemp("town")
    async with opened(module_database_url, home, procedures=str(folder), municipality=HALL) as found:
        yield found


async def fetched(town: Town, url: str) -> bytes:
    answer = await town.client.get(url)
    assert answer.is_success
    return answer.content


def enclosed(pdf: bytes) -> dict[str, bytes]:
    return {name: found[0] for name, found in PdfReader(BytesIO(pdf)).attachments.items()}


def printed(pdf: bytes) -> str:
    pages = " ".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    return " ".join(pages.replace("\N{NO-BREAK SPACE}", " ").split())


async def test_an_organisation_buys_gets_peppol_pays_part_of_it_back_and_the_rest(town: Town) -> None:
    dossier = await town.applies(procedure="taxed-bin", cart={"bak": 2}, answers=NAMED)
    await dossier.until("AWAITING_PAYMENT")
    await dossier.calm()
    bill = (await dossier.read(dossier.who, f"invoice {{ id {SHOWN} }}"))["invoice"]
    assert bill["buyer"] == {"name": "Tuinen Peeters bv", "enterpriseNumber": ORGANISATION}
    assert [
        (one["amount"], one["vatCategory"], one["vatRate"], one["vatAmount"]) for one in bill["lines"]
    ] == [
        ("80.00", "STANDARD", "21", "13.88"),
        ("-12.00", "STANDARD", "21", "-2.08"),
    ]
    pdf, ubl = [await fetched(town, bill[name]["url"]) for name in ("document", "ublDocument")]
    assert list(enclosed(pdf).values()) == [ubl]
    assert texts(ubl, "AccountingCustomerParty/Party/EndpointID") == [ORGANISATION]
    assert texts(ubl, "TaxTotal/TaxAmount") == ["11.80"]
    for said in ("Tuinen Peeters bv", "0403.170.701", "21 % € 56,20 € 11,80 € 68,00", "BE 0207.500.123"):
        assert said in printed(pdf)

    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    part = {"amount": "20.00", "reason": "Eén bak kwam met een barst."}
    await town.does(FINANCE, "invoiceCredit", id=bill["id"], input=part)
    await once(lambda: papers(town, dossier, 1))
    (note,) = (await dossier.read(dossier.who, f"invoice {{ {SHOWN} }}"))["invoice"]["creditNotes"]
    pdf, ubl = [await fetched(town, note[name]["url"]) for name in ("document", "ublDocument")]
    assert list(enclosed(pdf).values()) == [ubl]
    assert texts(ubl, "BillingReference/InvoiceDocumentReference/ID") == texts(
        enclosed(await fetched(town, bill["document"]["url"])).popitem()[1], "ID"
    )
    assert texts(ubl, "TaxTotal/TaxAmount") == ["3.47"]
    for said in ("een deel terug", "barst", "Wij betalen € 20,00 terug", "online betaalde", "in aftrek"):
        assert said in printed(pdf)

    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    _, rest = await once(lambda: papers(town, dossier, 2))
    rows = await town.sql(
        "SELECT l.account, sum(l.debit - l.credit) AS due FROM journalline l JOIN journalentry e"
        " ON e.id = l.entry_id WHERE e.case_id = :id AND l.account IN ('VAT', 'REVENUE') GROUP BY 1",
        id=decode_id(dossier.id, "Case"),
    )
    assert {row.account: row.due for row in rows} == {"VAT": 0, "REVENUE": 0}
    for said in ("wat nog overbleef", "U trok uw aanvraag in.", "Wij betalen € 48,00 terug"):
        assert said in printed(rest)

    (letter,) = await once(lambda: told_of_withdrawal(town, dossier))
    assert [re.sub(r"\d{4}", "", one["filename"], count=1) for one in letter["attachments"]] == [
        "creditnota-VBC--000002.pdf"
    ]


async def once(found: Callable[[], Awaitable[list[T]]]) -> list[T]:
    """What is found, as soon as anything is."""
    seen: list[T] = []

    async def there() -> bool:
        seen[:] = await found()
        return bool(seen)

    await until(there)
    return seen


async def papers(town: Town, dossier: Dossier, number: int) -> list[bytes]:
    """The credit notes, once there are so many."""
    rows = await town.sql(
        "SELECT c.content FROM documentcontent c JOIN document d ON d.id = c.document_id"
        " WHERE d.case_id = :id AND d.kind = 'CREDIT_NOTE' ORDER BY d.filename",
        id=decode_id(dossier.id, "Case"),
    )
    found = [bytes(row.content) for row in rows]
    return found if len(found) == number else []


async def told_of_withdrawal(town: Town, dossier: Dossier) -> list[Json]:
    letters = await town.letters(dossier.who)
    return [one for one in letters if dossier.reference in one["subject"] and "ingetrokken" in one["subject"]]


async def test_a_person_who_leaves_the_organisation_open_is_invoiced_by_name(town: Town) -> None:
    dossier = await town.applies(procedure="taxed-bin", answers={"organisation": {"enterprise_number": ""}})
    await dossier.until("AWAITING_PAYMENT")
    await dossier.calm()
    await town.sql("UPDATE person SET family_name = 'Verhuisd' WHERE family_name <> ''")
    bill = (await dossier.read(dossier.who, f"invoice {{ {SHOWN} }}"))["invoice"]
    assert bill["buyer"]["enterpriseNumber"] is None
    assert bill["ublDocument"] is None
    pdf = await fetched(town, bill["document"]["url"])
    (ubl,) = enclosed(pdf).values()
    assert texts(ubl, "CustomizationID") == ["urn:cen.eu:en16931:2017"]
    assert bill["buyer"]["name"] in printed(pdf)


async def test_a_wrong_enterprise_number_is_refused_where_it_stands(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who, procedure="taxed-bin")
    wrong = {"organisation": {"name": "Tuinen bv", "enterprise_number": "0403.170.702"}}
    refusal = await town.refused(who, "applicationSetAnswers", id=draft, input=wrong)
    assert refusal["path"] == ["input", "organisation", "enterprise_number"]
    assert "ondernemingsnummer" in refusal["message"]
    unnamed = {"organisation": {"enterprise_number": ORGANISATION}}
    await town.does(who, "applicationSetAnswers", id=draft, input=unnamed)
    refusal = await town.refused(who, "applicationSubmit", id=draft)
    assert (refusal["code"], refusal["path"]) == ("REQUIRED", ["answers", "organisation", "name"])


# --- what may be published ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("vat: {rate: 21}", "vat: {category: S}", "S is for a rate above 0"),
        ("vat: {rate: 21}", "vat: {category: E, rate: 6, exemption_reason: Les}", "E has no rate; S has"),
        ("vat: {rate: 21}", "vat: {rate: 21, exemption_reason: Les}", "no reason for an exemption"),
        ("vat: {rate: 21}", "vat: {category: E}", "there must be an exemption_reason"),
        (
            "vat: {rate: 21}",
            "vat: {category: E, exemption_reason: Les, exemption_code: VATEX-EU-O}",
            "VATEX-EU-O is no code of EN 16931 for the category E",
        ),
        ("vat: {rate: 21}", "vat: {exemption_reason: Retributie}", "not beside E or S"),
        ("/organisation/name", "/organisation/naam", "the form has no field /organisation/naam"),
        ("format: enterprise-number, ", "", "must have the format 'enterprise-number'"),
    ],
)
def test_contradictions_about_vat_and_buyers_are_found_before_anything_is_sold(
    old: str, new: str, reason: str
) -> None:
    publishing.parse(taxed_bin(), "file.yaml")
    with pytest.raises(publishing.DefinitionError, match=re.escape(reason)):
        publishing.parse(taxed_bin().replace(old, new, 1), "file.yaml")


def test_a_rate_says_its_category_and_none_is_outside_the_scope() -> None:
    taxed = publishing.parse(taxed_bin(), "file.yaml").catalogue
    assert taxed is not None
    assert {one.vat.category for one in taxed.products} == {VatCategory.STANDARD}
    assert BIN.catalogue is not None
    assert {one.vat.category for one in BIN.catalogue.products} == {VatCategory.OUTSIDE_SCOPE}


def test_selling_with_vat_needs_a_vat_number(tmp_path: Path) -> None:
    (tmp_path / "taxed-bin.yaml").write_text(taxed_bin(), "utf-8")
    with pytest.raises(SettingsError, match=r"LOKET_MUNICIPALITY_VAT_NUMBER is needed: taxed-bin"):
        load_procedures(LoketSettings(procedures=str(tmp_path)))
    load_procedures(LoketSettings(procedures=str(tmp_path), municipality=HALL))


def test_the_doctor_says_that_the_vat_number_is_missing(tmp_path: Path) -> None:
    (tmp_path / "taxed-bin.yaml").write_text(taxed_bin(), "utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "loket", "doctor"],
        env=dict(os.environ) | {"LOKET_PROCEDURES": str(tmp_path), "LOKET_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    assert re.search("Procedures +LOKET_MUNICIPALITY_VAT_NUMBER is needed: taxed-bin", said.stdout)


@pytest.mark.parametrize("number", ["BE0207500124", "NL123", "0207"])
def test_a_vat_number_that_cannot_be_right_is_refused(number: str) -> None:
    with pytest.raises(SettingsError, match="LOKET_MUNICIPALITY_VAT_NUMBER"):
        LoketSettings.from_environment({"LOKET_MUNICIPALITY_VAT_NUMBER": number})
    read_ = LoketSettings.from_environment({"LOKET_MUNICIPALITY_VAT_NUMBER": "0207.500.123"})
    assert read_.municipality.vat_number == "BE0207500123"
