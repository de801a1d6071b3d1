"""What comes out of the printer, as a citizen, a banking app, a screen reader and an archive meet it."""

import asyncio
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
import segno.helpers
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import PdfObject

from loket import paper
from loket.numbers import structured_reference
from loket.paper.words import WORDS
from loket.settings import Municipality, ReferenceLine, Settings, SettingsError

HALL = Municipality()
MM = 72 / 25.4
"""Points in a millimetre."""
VAT = "Geen btw: retributie van een openbare overheid (artikel 6 van het Btw-wetboek)."
ENDLESS = "Zeer" * 40
PRODUCTS = (
    ("Compostvat 280 liter", Decimal(40)),
    ("Compostbak hout 1 m³", Decimal("30.50")),
    ("Beluchtingsstok", Decimal(5)),
    ("Korting eerste compostvat per gezin", Decimal(-10)),
)


def invoice(count: int = 5, **changes: Any) -> paper.InvoicePaper:  # noqa: ANN401  # any of its fields
    chosen = [PRODUCTS[at % len(PRODUCTS)] for at in range(count)]
    lines = tuple(paper.BillLine(name, 2, price, 2 * price) for name, price in chosen)
    made = paper.InvoicePaper(
        municipality=HALL,
        addressee=paper.Addressee("An Peeters", ("Kerkstraat 12 bus 3", "2999 Lindebeke")),
        number="VF-2026-000017",
        issued_on=date(2026, 11, 22),
        due_on=date(2026, 12, 22),
        case_reference="CB-2026-7KQ3M9-R",
        title="Compostbak of compostvat kopen",
        lines=lines,
        total=sum((line.amount for line in lines), Decimal(0)),
        vat_note=VAT,
        structured_reference="090933755493",
        remark="Betaal met de gestructureerde mededeling.",
        contact_name="Milieudienst",
        language="nl",
    )
    return replace(made, **changes)


def credit_note(**changes: Any) -> paper.CreditNotePaper:  # noqa: ANN401  # any of its fields
    made = paper.CreditNotePaper(
        municipality=HALL,
        addressee=paper.Addressee("An Peeters", ("Kerkstraat 12 bus 3", "2999 Lindebeke")),
        number="VFC-2026-000003",
        issued_on=date(2026, 12, 1),
        invoice_number="VF-2026-000017",
        invoice_issued_on=date(2026, 11, 22),
        case_reference="CB-2026-7KQ3M9-R",
        title="Compostbak of compostvat kopen",
        lines=(paper.BillLine("Compostbak", 1, Decimal(48), Decimal(48)),),
        costs=Decimal(7),
        total=Decimal(55),
        vat_note=VAT,
        extent=paper.Extent.PART,
        reason="Eén van de twee bakken kwam stuk aan.",
        refunded=Decimal(20),
        goes_back=paper.GoesBack.ONLINE,
        settled=False,
        contact_name="Milieudienst",
        language="nl",
    )
    return replace(made, **changes)


TAXED = paper.BillExtras(
    vat=(
        paper.VatPart(Decimal(21), Decimal("49.59"), Decimal("10.41")),
        paper.VatPart(Decimal(0), Decimal(10), Decimal(0)),
    ),
    vat_number="BE0207500123",
    buyer_name="Tuinen bv",
    buyer_number="0403170701",
    ubl=b"<Invoice/>",
)


def letter(**changes: Any) -> paper.LetterPaper:  # noqa: ANN401  # any of its fields
    made = paper.LetterPaper(
        municipality=HALL,
        addressee=paper.Addressee("An Peeters", ("Kerkstraat 12 bus 3", "2999 Lindebeke")),
        dated_on=date(2026, 11, 22),
        reference="CB-2026-7KQ3M9-R",
        subject="Wij hebben uw aanvraag goedgekeurd",
        paragraphs=("Beste An Peeters", "U woont in Lindebeke.\nUw gezin kocht nog niets."),
        appeal="U kunt binnen 60 dagen in beroep gaan bij de Raad van State.",
        signatories=(
            paper.Signatory("Greet Claes", "Algemeen directeur"),
            paper.Signatory("Jan Wouters", "Burgemeester"),
        ),
        contact_name="Milieudienst",
        language="nl",
    )
    return replace(made, **changes)


def reading(content: bytes) -> PdfReader:
    return PdfReader(BytesIO(content))


def catalogue(content: bytes) -> dict[str, Any]:
    """What the PDF says of itself as a whole."""
    return cast("dict[str, Any]", reading(content).trailer["/Root"].get_object())


def text_of(content: bytes) -> str:
    """All that is printed, in reading order, without the places where a word may be broken."""
    pages = "\n".join(page.extract_text() for page in reading(content).pages)
    return pages.replace("\N{NO-BREAK SPACE}", " ").replace("\N{ZERO WIDTH SPACE}", "")


# --- what stands on an invoice ----------------------------------------------------------------


async def test_an_invoice_says_who_owes_what_to_whom_and_by_when() -> None:
    text = text_of(await paper.invoice_pdf(invoice()))
    for said in (
        "Gemeente Lindebeke",
        "Dorpsplein 1",
        "+32 14 00 00 00",
        "Milieudienst",
        "An Peeters",
        "Kerkstraat 12 bus 3",
        "VF-2026-000017",
        "22 november 2026",
        "CB-2026-7KQ3M9-R",
        "Compostbak of compostvat kopen",
        "Compostvat 280 liter 2 € 40,00 € 80,00",
        "Compostbak hout 1 m³ 2 € 30,50 € 61,00",
        "Korting eerste compostvat per gezin 2 -€ 10,00 -€ 20,00",
        "Betaal € 211,00 ten laatste op 22 december 2026.",
        "BE71 0961 2345 6769",
        "GKCCBEBB",
        "+++090/9337/55493+++",
        VAT,
        "Betaal met de gestructureerde mededeling.",
        "Ondernemingsnummer 0207.500.123",
        "Pagina 1 van 1",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("language", "spoken", "said"),
    [
        ("nl", "nl-BE", ("Factuur", "€ 1.280,00", "22 november 2026", "Scan met uw bankapp")),
        ("en", "en-BE", ("Invoice", "€1,280.00", "22 November 2026", "Scan with your banking app")),
        ("fr", "fr-BE", ("Facture", "1.280,00 €", "22 novembre 2026", "Scannez avec votre appli bancaire")),
        ("de", "de-BE", ("Rechnung", "1.280,00 €", "22. November 2026", "Mit Ihrer Banking-App scannen")),
        ("tr", "nl-BE", ("Factuur", "€ 1.280,00", "22 november 2026", "Scan met uw bankapp")),
    ],
)
async def test_an_invoice_speaks_one_language_throughout(
    language: str, spoken: str, said: tuple[str, ...]
) -> None:
    content = await paper.invoice_pdf(invoice(language=language, total=Decimal(1280)))
    text = " ".join(text_of(content).split())
    assert catalogue(content)["/Lang"] == spoken
    assert [one for one in said if one not in text] == []
    others = {words["invoice"] for words in WORDS.values()} - {said[0]}
    assert not {word for word in others if re.search(rf"\b{word}\b", text)}


def test_every_language_has_every_word() -> None:
    assert {language: words.keys() for language, words in WORDS.items()} == dict.fromkeys(
        WORDS, WORDS["nl"].keys()
    )


@pytest.mark.parametrize("total", [Decimal(0), Decimal("-12.50")])
async def test_where_nothing_is_due_nothing_asks_to_be_paid(total: Decimal) -> None:
    content = await paper.invoice_pdf(invoice(total=total))
    text = text_of(content)
    assert "U hoeft niets te betalen." in text
    assert "Te betalen tegen" not in text
    assert "+++" not in text
    assert not figures(content)


async def test_what_a_person_typed_is_printed_as_it_is() -> None:
    """A description is data: neither Typst's markup, nor its code, nor HTML in it is acted upon."""
    typed = '#read("/etc/passwd") *vet* $x^2$ <b>ja</b> = kop // weg \\ @ref `code`'
    named = paper.Addressee("#panic()", ('"]; #let x = 1', "- nee"))
    line = paper.BillLine(typed, 1, Decimal(1), Decimal(1))
    content = await paper.invoice_pdf(invoice(addressee=named, lines=(line,), title=typed))
    text = " ".join(text_of(content).split())
    assert text.count(typed) == 2
    assert "#panic()" in text
    assert '"]; #let x = 1' in text
    assert "root:" not in text


@pytest.mark.parametrize(
    "name",
    [
        "Ștefan Łukasz Öztürk",
        "Ελένη Παπαδοπούλου",
        "Александр Щукин",
        "Nguyễn Thị Đào",
        "Zoe\N{COMBINING DIAERESIS}",
    ],
)
async def test_a_name_from_elsewhere_is_printed_right(name: str) -> None:
    content = await paper.invoice_pdf(invoice(1, addressee=paper.Addressee(name, ())))
    assert unicodedata.normalize("NFC", name) in text_of(content)


@pytest.mark.parametrize("name", ["山田太郎", "Emma 😀", "نور", "a\x00b\x1b[31m", "\ud7ff\ue000\uffff"])
async def test_characters_without_a_shape_do_not_keep_the_paper_from_being_made(name: str) -> None:
    named = paper.Addressee(name, (name,))
    text = text_of(await paper.invoice_pdf(invoice(addressee=named, title=f"Voor {name}", vat_note=name)))
    assert ("Voor □" in text) == (name[0] != "a" and name[0] != "E")


async def test_whatever_is_let_through_has_a_shape_in_both_weights() -> None:
    """The compiler refuses a PDF/A-3a in which a character has none: this one must be made."""
    everything = "".join(
        chr(code) for code in range(0x20, 0x2C00) if not unicodedata.category(chr(code)).startswith("C")
    )
    rows = tuple(everything[at : at + 1000] for at in range(0, len(everything), 1000))
    bold = tuple(paper.Signatory(row, "") for row in rows)
    content = await paper.letter_pdf(letter(paragraphs=rows, signatories=bold))
    assert content.startswith(b"%PDF-1.7")


# --- VAT, and what is taken back --------------------------------------------------------------


async def test_an_invoice_with_vat_shows_it_by_rate_with_both_numbers() -> None:
    text = " ".join(text_of(await paper.invoice_pdf(invoice(extras=TAXED))).split())
    for said in (
        "Klant: Tuinen bv, ondernemingsnummer 0403.170.701",
        "Btw-tarief Zonder btw Btw Met btw",
        "21 % € 49,59 € 10,41 € 60,00",
        "Vrijgesteld € 10,00 € 0,00 € 10,00",
        "De bedragen zijn btw inbegrepen. Btw-nummer BE 0207.500.123.",
        VAT,
    ):
        assert said in text


async def test_an_invoice_without_vat_speaks_of_none_but_says_why() -> None:
    text = text_of(await paper.invoice_pdf(invoice()))
    assert VAT in text
    assert "Btw-nummer" not in text
    assert "Klant" not in text


@pytest.mark.parametrize("kind", ["invoice", "credit note"])
async def test_what_machines_read_travels_inside_the_archived_paper(kind: str) -> None:
    content = await (
        paper.invoice_pdf(invoice(extras=TAXED))
        if kind == "invoice"
        else paper.credit_note_pdf(credit_note(extras=TAXED))
    )
    ((name, (found,)),) = reading(content).attachments.items()
    assert name == ("VF-2026-000017.xml" if kind == "invoice" else "VFC-2026-000003.xml")
    assert found == b"<Invoice/>"
    (associated,) = catalogue(content)["/AF"]
    assert associated.get_object()["/AFRelationship"] == "/Alternative"
    xmp = catalogue(content)["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in xmp
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in xmp
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp


async def test_a_credit_note_says_what_it_takes_back_of_which_invoice_and_why() -> None:
    text = " ".join(text_of(await paper.credit_note_pdf(credit_note())).split())
    for said in (
        "Creditnota",
        "VFC-2026-000003",
        "1 december 2026",
        "een deel terug van factuur VF-2026-000017 van 22 november 2026",
        "Eén van de twee bakken kwam stuk aan.",
        "Compostbak 1 € 48,00 € 48,00",
        "Kosten van herinneringen 1 € 7,00 € 7,00",
        "Teruggenomen € 55,00",
        "Wij betalen € 20,00 terug langs dezelfde weg",
        "Trek € 35,00 af",
    ):
        assert said in text
    assert "+++" not in text


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        (
            {"extent": paper.Extent.WHOLE, "settled": True},
            ("helemaal terug", "niets meer te betalen"),
            "Trek",
        ),
        ({"extent": paper.Extent.REST, "settled": True}, ("overbleef", "niets meer te betalen"), "Trek"),
        ({"refunded": Decimal(0)}, ("een deel terug", "Trek € 55,00 af"), "storten"),
        ({"goes_back": paper.GoesBack.TRANSFER}, ("Wij storten € 20,00 terug op de rekening",), "online"),
        ({"goes_back": paper.GoesBack.COUNTER}, ("U krijgt € 20,00 terug aan het loket",), "online"),
        ({"extras": TAXED}, ("Btw terug te storten aan de Staat",), "+++"),
    ],
)
async def test_a_credit_note_says_what_becomes_of_the_money(
    changes: dict[str, Any], said: tuple[str, ...], unsaid: str
) -> None:
    text = " ".join(text_of(await paper.credit_note_pdf(credit_note(**changes))).split())
    places = [text.index(one) for one in said]
    assert places == sorted(places)
    assert unsaid not in text


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ("Credit note", "We pay €20.00 back", "Take €35.00 off")),
        ("fr", ("Note de crédit", "remboursons 20,00 €", "Déduisez 35,00 €")),
        ("de", ("Gutschrift", "zahlen 20,00 €", "Ziehen Sie 35,00 €")),
    ],
)
async def test_a_credit_note_speaks_the_buyers_language(language: str, said: tuple[str, ...]) -> None:
    text = " ".join(text_of(await paper.credit_note_pdf(credit_note(language=language))).split())
    assert [one for one in said if one not in text] == []


def test_every_language_has_every_word_of_a_bill() -> None:
    words = paper.BILL_WORDS
    assert {language: one.keys() for language, one in words.items()} == dict.fromkeys(
        WORDS, words["nl"].keys()
    )


async def test_a_long_credit_note_runs_over_pages_and_off_none() -> None:
    line = paper.BillLine(ENDLESS, 10_000, Decimal("123456.78"), Decimal("1234567800.00"))
    many = credit_note(lines=(line,) * 30, reason=ENDLESS, title=ENDLESS, vat_note=ENDLESS, extras=TAXED)
    content = await paper.credit_note_pdf(many)
    assert all(word.left >= 24.9 and word.right <= 190.1 for word in words_on(content))
    assert len(reading(content).pages) > 1


@pytest.mark.parametrize("changes", [{"total": Decimal(0)}, {"refunded": Decimal(56)}])
async def test_a_credit_note_that_cannot_be_is_not_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes something back"):
        await paper.credit_note_pdf(credit_note(**changes))


# --- the sheet --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """A printed word and its box, in mm from the left and the top of its page."""

    text: str
    page: int
    left: float
    top: float
    right: float
    bottom: float


def words_on(content: bytes) -> list[Word]:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed: places on the sheet stay unseen")
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(content)
        file.flush()
        told = subprocess.run(["pdftotext", "-bbox", file.name, "-"], capture_output=True, check=True)
    return list(_boxes(told.stdout.decode()))


def _boxes(html: str) -> Iterator[Word]:
    box = re.compile(r'<word xMin="(.+?)" yMin="(.+?)" xMax="(.+?)" yMax="(.+?)">(.*?)</word>')
    for page, part in enumerate(html.split("<page ")[1:]):
        for left, top, right, bottom, text in box.findall(part):
            place = (float(one) / MM for one in (left, top, right, bottom))
            yield Word(text, page, *place)


@pytest.mark.parametrize("count", [1, 5, 40])
async def test_every_page_with_lines_repeats_what_the_columns_are(count: int) -> None:
    content = await paper.invoice_pdf(invoice(count))
    pages = [page.extract_text().replace("\N{NO-BREAK SPACE}", " ") for page in reading(content).pages]
    rows = [sum(page.count(name) for name, _ in PRODUCTS) for page in pages]
    assert sum(rows) == count
    assert [page.count("Prijs per stuk") for page in pages] == [1 if some else 0 for some in rows]
    assert len(pages) == 1 if count <= 5 else len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert f"Pagina {number} van {len(pages)}" in page
        assert ("Factuur VF-2026-000017" in page) == (number > 1)
    assert sum("Totaal" in page for page in pages) == 1


@pytest.mark.parametrize("count", range(8, 24))
async def test_how_to_pay_is_never_cut_in_two_and_the_total_never_stands_alone(count: int) -> None:
    pages = [page.extract_text() for page in reading(await paper.invoice_pdf(invoice(count))).pages]
    (paying,) = (page for page in pages if "Betalen" in page)
    assert "Scan met uw bankapp" in paying
    assert "+++090/9337/55493+++" in paying
    (totalled,) = (page for page in pages if "Totaal" in page)
    assert any(name in totalled for name, _ in PRODUCTS)


async def test_the_addressee_stands_in_the_window_and_nothing_else_does() -> None:
    """Envelope 220 × 110 mm, window of 110 × 40 mm at 15 mm from the right and 20 mm from below.

    The sheet has 10 mm to shift sideways and 11 mm up and down; what is seen however it lies is where the
    addressee must be, what is seen at all is where nothing else may be.
    """
    words = words_on(await paper.invoice_pdf(invoice()))
    wanted = {"An", "Peeters", "Kerkstraat", "12", "bus", "3", "2999", "Lindebeke"}
    seen = [w for w in words if w.page == 0 and w.right > 85 and w.bottom > 39 and w.top < 90]
    assert {word.text for word in seen} == wanted
    assert all(w.left > 95 and w.right < 195 and w.top > 50 and w.bottom < 79 for w in seen)


async def test_nothing_runs_off_the_paper_however_long_it_is() -> None:
    name = "Maximiliaan-Alexander Van den Broecke-de Schaepmeester van Hertoghe d’Ydewalle"
    street = "Burgemeester-Ontvanger Van der Straeten-Ponthozlaan 1234 bus 0304"
    hall = replace(HALL, name="Gemeente Sint-Genesius-Rode-Onze-Lieve-Vrouw-Waver-en-Bonheiden")
    dear = paper.BillLine(ENDLESS, 10_000, Decimal("123456.78"), Decimal("1234567800.00"))
    long = invoice(
        addressee=paper.Addressee(name, (street, "2999 Lindebeke-aan-de-Grote-Nete")),
        municipality=hall,
        title=ENDLESS,
        lines=(dear,) * 3,
        vat_note=ENDLESS,
        remark=ENDLESS,
        contact_name=ENDLESS,
    )
    content = await paper.invoice_pdf(long)
    assert all(word.left >= 24.9 and word.right <= 190.1 for word in words_on(content))
    text = "".join(text_of(content).split())
    assert "".join(name.split()) in text
    assert text.count(ENDLESS) == 7


async def test_amounts_end_at_one_line_on_the_right() -> None:
    words = words_on(await paper.invoice_pdf(invoice(4)))
    amounts = ("80,00", "61,00", "20,00", "131,00")
    ends = {round(w.right, 1) for w in words if w.text.endswith(amounts) and w.left > 150}
    assert ends == {190.0}


# --- archive and screen reader ----------------------------------------------------------------


def tree(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tags of a document with their depth, in reading order."""

    def walk(node: PdfObject, depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
        tag = node.get_object()
        if isinstance(tag, dict) and "/S" in tag:
            yield depth, tag
            inside = tag.get("/K", [])
            for one in inside if isinstance(inside, list) else [inside]:
                yield from walk(one, depth + 1)

    for root in catalogue(content)["/StructTreeRoot"]["/K"]:
        yield from walk(root, 0)


def tags(content: bytes) -> list[str]:
    return [str(node["/S"]).removeprefix("/") for _, node in tree(content)]


def figures(content: bytes) -> list[str]:
    return [str(node["/Alt"]) for _, node in tree(content) if node["/S"] == "/Figure"]


@pytest.mark.parametrize("kind", ["invoice", "letter"])
async def test_a_paper_can_be_archived_and_read_aloud(kind: str) -> None:
    content = await (paper.invoice_pdf(invoice()) if kind == "invoice" else paper.letter_pdf(letter()))
    root = catalogue(content)
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "nl-BE"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert root["/OutputIntents"]
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in xmp
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in xmp
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp
    title = {
        "invoice": "Factuur VF-2026-000017, Gemeente Lindebeke",
        "letter": "Wij hebben uw aanvraag goedgekeurd",
    }[kind]
    metadata = reading(content).metadata
    assert metadata is not None
    assert (metadata.title, metadata.author) == (title, "Gemeente Lindebeke")


async def test_every_font_travels_with_the_paper() -> None:
    for page in reading(await paper.invoice_pdf(invoice())).pages:
        resources = cast("dict[str, Any]", page["/Resources"].get_object())
        for font in resources["/Font"].values():
            (descendant,) = font.get_object()["/DescendantFonts"]
            descriptor = descendant.get_object()["/FontDescriptor"]
            assert "Inter" in descriptor["/FontName"]
            assert {"/FontFile2", "/FontFile3"} & descriptor.keys()


async def test_the_lines_of_an_invoice_are_a_table_with_column_headings() -> None:
    content = await paper.invoice_pdf(invoice(3))
    said = tags(content)
    assert said.count("Table") == 1
    assert said.count("TH") == 4
    assert said.count("TR") == 1 + 3 + 1
    assert said.count("TFoot") == 1
    headings = [node for _, node in tree(content) if node["/S"] == "/TH"]
    assert all(node["/A"][0]["/Scope"] == "/Column" for node in headings)
    assert [tag for tag in said if re.fullmatch(r"H\d?", tag)] == ["H1", "H2"]


async def test_who_cannot_see_the_code_hears_what_it_says() -> None:
    (alt,) = figures(await paper.invoice_pdf(invoice(1)))
    assert alt.replace("\N{NO-BREAK SPACE}", " ") == (
        "QR-code voor uw bankapp: € 80,00 op rekening BE71 0961 2345 6769 van Gemeente Lindebeke, "
        "met mededeling +++090/9337/55493+++."
    )


async def test_a_screen_reader_meets_sender_addressee_lines_and_payment_in_that_order() -> None:
    text = text_of(await paper.invoice_pdf(invoice()))
    said = (
        "Gemeente Lindebeke",
        "An Peeters",
        "Factuurnummer",
        "Omschrijving",
        "Totaal",
        "Betalen",
        "Scan met",
    )
    places = [text.index(one) for one in said]
    assert places == sorted(places)


async def test_the_same_paper_is_the_same_bytes_side_by_side_and_in_another_process() -> None:
    first, *others = await asyncio.gather(*(paper.invoice_pdf(invoice(12)) for _ in range(8)))
    assert set(others) == {first}
    script = (
        "import asyncio, pickle, sys; from loket import paper; "
        "sys.stdout.buffer.write(asyncio.run(paper.invoice_pdf(pickle.load(sys.stdin.buffer))))"
    )
    elsewhere = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        env={"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PATH": ""},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await elsewhere.communicate(pickle.dumps(invoice(12)))
    assert printed == first
    assert await paper.invoice_pdf(invoice(12, number="VF-2026-000018")) != first


# --- letters ----------------------------------------------------------------------------------


async def test_a_letter_says_its_piece_who_signs_and_how_to_appeal() -> None:
    content = await paper.letter_pdf(letter())
    text = text_of(content)
    order = (
        "An Peeters",
        "22 november 2026",
        "CB-2026-7KQ3M9-R",
        "Wij hebben uw aanvraag goedgekeurd",
        "Beste An Peeters",
        "U woont in Lindebeke.\nUw gezin kocht nog niets.",
        "Greet Claes\nAlgemeen directeur",
        "Jan Wouters\nBurgemeester",
        "Niet akkoord?",
        "U kunt binnen 60 dagen in beroep gaan",
    )
    places = [text.index(one) for one in order]
    assert places == sorted(places)
    assert [tag for tag in tags(content) if re.fullmatch(r"H\d?", tag)] == ["H1", "H2"]


async def test_a_letter_nobody_can_object_to_does_not_speak_of_it() -> None:
    text = text_of(await paper.letter_pdf(letter(appeal="", signatories=())))
    assert "Niet akkoord?" not in text


async def test_a_long_letter_goes_on_under_its_subject() -> None:
    long = "Lorem ipsum dolor sit amet. " * 30
    content = await paper.letter_pdf(letter(paragraphs=(long,) * 12, appeal=long * 9))
    assert text_of(content).count("Lorem") == 30 * (12 + 9)
    pages = [page.extract_text() for page in reading(content).pages]
    assert len(pages) > 1
    assert all("Wij hebben uw aanvraag goedgekeurd" in page for page in pages)
    assert all(word.left >= 24.9 and word.right <= 190.1 for word in words_on(content))


# --- the payment code -------------------------------------------------------------------------


class Payment(TypedDict):
    name: str
    iban: str
    bic: str
    amount: Decimal
    reference: str


PAYMENT = Payment(
    name="Gemeente Lindebeke",
    iban="BE71 0961 2345 6769",
    bic="GKCCBEBB",
    amount=Decimal(60),
    reference="090933755493",
)


def payment(
    *,
    name: str = PAYMENT["name"],
    iban: str = PAYMENT["iban"],
    bic: str = PAYMENT["bic"],
    amount: Decimal = PAYMENT["amount"],
    reference: str = PAYMENT["reference"],
) -> Payment:
    return Payment(name=name, iban=iban, bic=bic, amount=amount, reference=reference)


def scan(gray: bytes) -> list[zxingcpp.Barcode]:
    """What is read from a picture in the PGM format, as pdftoppm writes it."""
    _, size, _, dots = gray.split(b"\n", 3)
    width, height = map(int, size.split())
    return zxingcpp.read_barcodes(memoryview(dots).cast("B", (height, width)))


def zbar(image: Path) -> str:
    command = ["zbarimg", "--quiet", "--raw", "--oneshot", "-Sbinary", str(image)]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def picture_of(content: bytes, *, dots_per_inch: int) -> bytes:
    """The last page, where the code is."""
    if shutil.which("pdftoppm") is None:
        pytest.skip("pdftoppm (poppler-utils) is not installed: the printed code stays unread")
    last = str(len(reading(content).pages))
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(content)
        file.flush()
        command = ["pdftoppm", "-r", str(dots_per_inch), "-gray", "-f", last, "-l", last, file.name]
        return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_code_holds_a_transfer_as_the_guideline_lays_it_out() -> None:
    assert paper.epc_qr_payload(**PAYMENT).split("\n") == [
        "BCD",
        "002",
        "1",  # UTF-8
        "SCT",
        "GKCCBEBB",
        "Gemeente Lindebeke",
        "BE71096123456769",
        "EUR60.00",
        "",
        "090933755493",
    ]


def test_a_municipality_can_have_the_reference_in_the_line_of_free_text() -> None:
    lines = paper.epc_qr_payload(**PAYMENT, line=ReferenceLine.TEXT).split("\n")
    assert lines[9:] == ["", "+++090/9337/55493+++"]


async def test_the_choice_of_line_is_a_setting_that_reaches_the_paper() -> None:
    settings = Settings.from_environment({"LOKET_MUNICIPALITY_REFERENCE_LINE": "text"})
    content = await paper.invoice_pdf(invoice(municipality=settings.municipality))
    (code,) = scan(picture_of(content, dots_per_inch=100))
    assert code.text.endswith("\n\n+++090/9337/55493+++")
    with pytest.raises(SettingsError, match="LOKET_MUNICIPALITY_REFERENCE_LINE"):
        Settings.from_environment({"LOKET_MUNICIPALITY_REFERENCE_LINE": "somewhere"})


@pytest.mark.parametrize("dots_per_inch", [80, 150, 300])
async def test_a_banking_app_reads_the_printed_invoice(dots_per_inch: int) -> None:
    content = await paper.invoice_pdf(invoice(40))
    (code,) = scan(picture_of(content, dots_per_inch=dots_per_inch))
    assert code.text == paper.epc_qr_payload(**payment(amount=invoice(40).total))
    assert code.ec_level == "M"


@pytest.mark.skipif(shutil.which("zbarimg") is None, reason="zbarimg (zbar-tools) is not installed")
async def test_another_reader_reads_the_same_from_paper_and_from_the_mail(tmp_path: Path) -> None:
    hall = replace(HALL, name="Gemeente Oostkamp-Überstraße €")
    printed = picture_of(await paper.invoice_pdf(invoice(municipality=hall)), dots_per_inch=150)
    (tmp_path / "paper.pgm").write_bytes(printed)
    told = payment(name=hall.name, amount=invoice().total)
    (tmp_path / "mail.png").write_bytes(paper.epc_qr_png(**told))
    for file in ("paper.pgm", "mail.png"):
        assert zbar(tmp_path / file) == paper.epc_qr_payload(**told)


def test_the_code_in_the_mail_is_big_enough_and_has_its_white_frame() -> None:
    image = paper.epc_qr_png(**PAYMENT)
    assert image.startswith(b"\x89PNG")
    width = int.from_bytes(image[16:20], "big")
    assert 300 < width < 700
    assert width % 8 == 0
    assert paper.epc_qr_svg(**PAYMENT).startswith("<svg")


def test_our_codes_carry_what_another_maker_of_codes_writes() -> None:
    theirs = segno.helpers.make_epc_qr(
        PAYMENT["name"],
        "BE71096123456769",
        Decimal("60.25"),
        reference="090933755493",
        bic="GKCCBEBB",
        encoding="utf-8",
    )
    out = BytesIO()
    theirs.save(out, kind="png", scale=8, border=4)
    assert out.getvalue() == paper.epc_qr_png(**payment(amount=Decimal("60.25")))


@pytest.mark.parametrize(
    "amount", [Decimal(0), Decimal("-0.01"), Decimal("10.005"), Decimal(10**9), Decimal("0.001")]
)
def test_an_amount_nobody_can_transfer_makes_no_code(amount: Decimal) -> None:
    for make in (paper.epc_qr_payload, paper.epc_qr_svg, paper.epc_qr_png):
        with pytest.raises(ValueError, match="cannot be transferred"):
            make(**payment(amount=amount))


@pytest.mark.parametrize("amount", ["0.01", "80", "80.5", "1E+2", "999999999.99"])
def test_an_amount_is_written_in_euros_and_cents(amount: str) -> None:
    (written,) = re.findall(
        r"^EUR(\d+\.\d\d)$", paper.epc_qr_payload(**payment(amount=Decimal(amount))), re.MULTILINE
    )
    assert Decimal(written) == Decimal(amount)


@pytest.mark.parametrize(
    "wrong",
    [
        payment(iban="NONSENSE"),
        payment(iban=""),
        payment(iban="BE71096123456760"),
        payment(bic="GKCC"),
        payment(name=" \n "),
        payment(reference="+++090/9337/55493+++"),
        payment(reference="090933755494"),
        payment(reference=""),
    ],
)
def test_a_field_that_cannot_be_right_makes_no_code(wrong: Payment) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # python-stdnum raises subclasses with texts of its own
        paper.epc_qr_payload(**wrong)


async def test_an_invoice_that_nobody_can_pay_is_not_printed() -> None:
    with pytest.raises(ValueError, match="not a structured reference"):
        await paper.invoice_pdf(invoice(structured_reference="090933755494"))
    with pytest.raises(ValueError, match="without lines"):
        await paper.invoice_pdf(invoice(lines=()))
    with pytest.raises(ValueError, match="two decimals"):
        await paper.invoice_pdf(invoice(total=Decimal("10.005")))


def test_the_bank_may_be_left_out() -> None:
    lines = paper.epc_qr_payload(**payment(bic="")).split("\n")
    assert lines[4:6] == ["", "Gemeente Lindebeke"]


@given(
    name=st.text(min_size=1, max_size=200),
    cents=st.integers(1, 99_999_999_999),
    number=st.integers(1, 10**10 - 1),
    line=st.sampled_from(ReferenceLine),
)
def test_no_name_shifts_the_fields_of_a_code(name: str, cents: int, number: int, line: ReferenceLine) -> None:
    reference = structured_reference(number)
    named = f"Gemeente {name}"
    told = payment(name=named, amount=Decimal(cents) / 100, reference=reference)
    payload = paper.epc_qr_payload(**told, line=line)
    fields = payload.split("\n")
    assert payload.splitlines() == fields
    assert len(fields) == (10 if line is ReferenceLine.STRUCTURED else 11)
    assert 1 <= len(fields[5]) <= 70
    assert fields[6] == "BE71096123456769"
    assert fields[7] == f"EUR{Decimal(cents) / 100:.2f}"
    assert re.sub(r"\D", "", fields[-1]) == reference
    assert len(payload.encode()) <= 331
