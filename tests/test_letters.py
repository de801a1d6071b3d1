"""Decisions on paper: what the body reads, what the citizen gets, what goes to the post and comes back."""

import csv
import hashlib
import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from loket import paper
from loket.anonymity import Somebody
from loket.paper import PrintLetter, ProofOfPosting, ProofRefused, Result, Service
from loket.paper.words import WORDS
from loket.settings import Municipality
from loket.wording import Wording

HALL = Municipality()
LEGAL = (
    "Reglement sociale toelagen van 28 mei 2026, artikelen 3 en 5.",
    "Wet van 29 juli 1991 betreffende de uitdrukkelijke motivering van de bestuurshandelingen.",
)
APPEAL = paper.Appeal(
    body="Arbeidsrechtbank Antwerpen, afdeling Turnhout",
    form="Met een verzoekschrift, aangetekend of op de griffie",
    term="Binnen 3 maanden nadat u deze brief kreeg",
    address="Kasteelplein 1, 2300 Turnhout",
    remark="Het beroep is gratis.",
)
GREET = paper.Signatory("Greet Claes", "Algemeen directeur", date(2026, 11, 19))
JAN = paper.Signatory("Jan Wouters", "Voorzitter van het bijzonder comité", date(2026, 11, 20))
LONG = "Het gezin bestaat uit vier personen en het inkomen ligt onder het grensbedrag. " * 14


def decision(**changes: Any) -> paper.DecisionLetter:  # noqa: ANN401  # any of its fields
    made = paper.DecisionLetter(
        municipality=HALL,
        addressee=paper.Addressee("An Peeters", ("Kerkstraat 14 bus 3", "2999 Lindebeke")),
        dated_on=date(2026, 11, 20),
        reference="SP-2026-7KQ3M9-R",
        title="Sociale toelage handicap",
        result=Result.GRANTED,
        decided_by="Bijzonder comité voor de sociale dienst",
        decided_on=date(2026, 11, 18),
        applied_on=date(2026, 10, 27),
        legal_grounds=LEGAL,
        factual_grounds=("U woonde op 1 januari 2026 in Lindebeke.", "U hebt de verhoogde tegemoetkoming."),
        appeal=APPEAL,
        contact=paper.Contact("Sofie Leemans", "+3214000001", "sociale.dienst@lindebeke.example"),
        signatories=(GREET, JAN),
        department="Sociale dienst",
        language="nl",
        amount_eur=Decimal("255.00"),
        iban="BE71 0961 2345 6769",
        payout_days=30,
        conditions=("Meld een verhuis binnen 30 dagen.",),
    )
    return replace(made, **changes)


REFUSED: dict[str, Any] = {
    "result": Result.REFUSED,
    "amount_eur": None,
    "iban": "",
    "payout_days": None,
    "conditions": (),
}
CASES = (
    paper.AnnexCase("SP-2026-000001-A", Somebody("An", "Peeters"), Decimal("255.00"), Result.GRANTED),
    paper.AnnexCase(
        "SP-2026-000002-B",
        Somebody("Fatima", "El Amrani"),
        Decimal(70),
        Result.PARTLY_GRANTED,
        "Geen attest.",
    ),
    paper.AnnexCase(
        "SP-2026-000003-C", Somebody("Jan Pieter", "Wouters"), Decimal(0), Result.REFUSED, "Geen inwoner."
    ),
)


def draft(**changes: Any) -> paper.DecisionDraft:  # noqa: ANN401  # any of its fields
    made = paper.DecisionDraft(
        municipality=HALL,
        body="Bijzonder comité voor de sociale dienst",
        title="Sociale toelagen 2026, lijst van november",
        department="Sociale dienst",
        drafted_on=date(2026, 11, 10),
        legal_grounds=LEGAL,
        factual_grounds=("De aanvragen zijn ontvankelijk.",),
        advices=(paper.AdviceSummary("Dienst Financiën", "gunstig, er is krediet."),),
        articles=("Het comité kent de toelagen toe.", "De dienst Financiën betaalt ze uit."),
        closed=True,
        cases=CASES,
    )
    return replace(made, **changes)


def text_of(content: bytes) -> str:
    """All that is printed, in reading order, without the places where a word may be broken."""
    return "\n".join(pages_of(content))


def pages_of(content: bytes) -> list[str]:
    found = [page.extract_text() for page in PdfReader(BytesIO(content)).pages]
    return [one.replace("\N{NO-BREAK SPACE}", " ").replace("\N{ZERO WIDTH SPACE}", "") for one in found]


def in_order(text: str, said: Sequence[str]) -> None:
    places = [text.index(one) for one in said]
    assert places == sorted(places)


# --- the letter with the decision --------------------------------------------------------------


async def test_a_granted_application_says_what_when_why_and_what_to_do_about_it() -> None:
    text = text_of(await paper.decision_letter_pdf(decision()))
    in_order(
        text,
        (
            "Sociale dienst",
            "An Peeters\nKerkstraat 14 bus 3\n2999 Lindebeke",
            "20 november 2026",
            "SP-2026-7KQ3M9-R",
            "Beslissing: Sociale toelage handicap",
            "Beste An Peeters",
            "Uw aanvraag is goedgekeurd",
            "€ 255,00",
            "BE71 •••• •••• 6769",
            "27 oktober 2026",
            "Bijzonder comité voor de sociale dienst",
            "18 november 2026",
            "Op welke regels steunt ze?",
            "artikelen 3 en 5",
            "Op welke feiten steunt ze?",
            "verhoogde tegemoetkoming",
            "Voorwaarden",
            "Uitbetaling",
            "Wij storten € 255,00 binnen 30 dagen",
            "Greet Claes",
            "Algemeen directeur",
            "Ondertekend op 19 november 2026",
            "Jan Wouters",
            "Ondertekend op 20 november 2026",
            "Niet akkoord?",
            "Arbeidsrechtbank Antwerpen",
            "Kasteelplein 1, 2300 Turnhout",
            "Met een verzoekschrift",
            "Binnen 3 maanden",
            "Vragen?",
            "Sofie Leemans",
            "+32 14 00 00 01",
        ),
    )


async def test_the_account_is_never_printed_whole() -> None:
    text = re.sub(r"\s", "", text_of(await paper.decision_letter_pdf(decision(iban="NL91ABNA0417164300"))))
    assert "NL91••••••••••4300" in text
    assert "0417" not in text
    assert paper.masked_iban("be71 0961 2345 6769").split("\N{NO-BREAK SPACE}") == [
        "BE71",
        "••••",
        "••••",
        "6769",
    ]


async def test_a_refusal_speaks_of_no_money_and_of_appeal() -> None:
    text = text_of(await paper.decision_letter_pdf(decision(**REFUSED)))
    assert "Uw aanvraag is geweigerd" in text
    assert "Toegekend bedrag" not in text
    assert "Uitbetaling" not in text
    assert "•" not in text.split("Waarom")[0]
    assert "Niet akkoord?" in text


async def test_a_part_that_is_granted_stands_beside_what_was_asked() -> None:
    letter = decision(result=Result.PARTLY_GRANTED, amount_eur=Decimal(70), asked_eur=Decimal(255))
    text = text_of(await paper.decision_letter_pdf(letter))
    in_order(text, ("gedeeltelijk goedgekeurd", "Toegekend bedrag € 70,00", "Gevraagd bedrag € 255,00"))


@pytest.mark.parametrize("language", ["nl", "en", "fr", "de"])
async def test_a_decision_is_made_in_each_language(language: str) -> None:
    text = text_of(await paper.decision_letter_pdf(decision(language=language)))
    words = {name: said.replace("\N{NO-BREAK SPACE}", " ") for name, said in WORDS[language].items()}
    for name in ("granted", "motivation", "appeal_term", "questions", "regards", "conditions"):
        assert words[name] in text
    others = {one["granted"] for one in WORDS.values()} - {WORDS[language]["granted"]}
    assert not any(other in text for other in others)


async def test_a_language_that_nobody_wrote_is_dutch() -> None:
    assert await paper.decision_letter_pdf(decision(language="ar")) == await paper.decision_letter_pdf(
        decision()
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signatories": (GREET,)}, "two people"),
        ({"signatories": ()}, "two people"),
        ({"signatories": (GREET, replace(JAN, name=" "))}, "two people"),
        ({"signatories": (GREET, GREET)}, "two people"),
        ({"signatories": (GREET, JAN, GREET)}, "two people"),
        ({"signatories": (GREET, JAN, replace(JAN, name="Els"))}, "two people"),
        ({"signatories": (GREET, replace(JAN, signed_on=None))}, "a function and a day"),
        ({"signatories": (GREET, replace(JAN, role=""))}, "a function and a day"),
        ({"signatories": (GREET, replace(JAN, signed_on=date(2026, 11, 17)))}, "after it is taken"),
        ({"signatories": (GREET, replace(JAN, signed_on=date(2026, 11, 21)))}, "before its letter leaves"),
        ({"legal_grounds": ()}, "grounds in law"),
        ({"legal_grounds": (" ",)}, "grounds in law"),
        ({"factual_grounds": ()}, "grounds in fact"),
        ({"appeal": replace(APPEAL, body="")}, "the body to appeal to"),
        ({"appeal": replace(APPEAL, form="")}, "the form of an appeal"),
        ({"appeal": replace(APPEAL, term="")}, "the term of an appeal"),
        ({"appeal": replace(APPEAL, address="")}, "the address of an appeal"),
        ({"contact": paper.Contact("")}, "whom to ask"),
        ({"addressee": paper.Addressee("", ())}, "an addressee"),
        ({"result": Result.REFUSED}, "is not paid"),
        ({"amount_eur": Decimal(0)}, "more than nothing"),
        ({"amount_eur": None}, "needs its amount"),
        ({"amount_eur": Decimal("10.005")}, "two decimals"),
    ],
)
async def test_a_letter_that_would_not_hold_is_not_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        await paper.decision_letter_pdf(decision(**changes))


async def test_an_account_that_cannot_be_right_makes_no_letter() -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # python-stdnum raises subclasses with texts of its own
        await paper.decision_letter_pdf(decision(iban="BE71 0961 2345 6760"))


async def test_a_decision_without_money_and_one_without_account_are_whole_too() -> None:
    nothing = decision(amount_eur=None, iban="", payout_days=None)
    assert "Toegekend bedrag" not in text_of(await paper.decision_letter_pdf(nothing))
    at_the_counter = text_of(await paper.decision_letter_pdf(decision(iban="")))
    assert "U krijgt € 255,00 binnen 30 dagen" in at_the_counter
    assert "Op rekening" not in at_the_counter


async def test_who_has_no_address_still_gets_a_letter_to_read() -> None:
    letter = decision(addressee=paper.Addressee("An Peeters", ()))
    assert "Beste An Peeters" in text_of(await paper.decision_letter_pdf(letter))


async def test_a_long_decision_keeps_its_reference_on_each_page_and_its_signatures_together() -> None:
    name = "Maximiliaan-Alexander Van den Broecke-de Schaepmeester van Hertoghe d’Ydewalle"
    letter = decision(
        addressee=paper.Addressee(name, ("Straat " * 9, "2999 Lindebeke")),
        factual_grounds=(LONG,) * 4,
        legal_grounds=(LONG,),
    )
    pages = pages_of(await paper.decision_letter_pdf(letter))
    assert len(pages) >= 3
    assert all("SP-2026-7KQ3M9-R" in page for page in pages)
    (signed,) = [page for page in pages if "Greet Claes" in page]
    assert "Met vriendelijke groeten" in signed
    assert "Jan Wouters" in signed
    (appeal,) = [page for page in pages if "Niet akkoord?" in page]
    assert "Binnen 3 maanden" in appeal
    assert text_of(await paper.decision_letter_pdf(letter)).count("grensbedrag") == 14 * 5


async def test_wherever_a_page_ends_signatures_and_appeal_stay_whole() -> None:
    ended = set()
    for count in range(18, 48, 3):
        facts = tuple("U woonde daar." for _ in range(count))
        pages = pages_of(await paper.decision_letter_pdf(decision(factual_grounds=facts)))
        (signed,) = [at for at, page in enumerate(pages) if "Met vriendelijke groeten" in page]
        (appeal,) = [at for at, page in enumerate(pages) if "Niet akkoord?" in page]
        assert all(said in pages[signed] for said in ("Greet Claes", "Jan Wouters", "Ondertekend op 20"))
        assert all(said in pages[appeal] for said in ("Kasteelplein", "Termijn", "Het beroep is gratis."))
        ended.add((signed, appeal))
    assert len(ended) > 1


async def test_an_appeal_longer_than_a_page_goes_on_on_the_next() -> None:
    letter = decision(appeal=replace(APPEAL, remark=LONG * 8))
    pages = pages_of(await paper.decision_letter_pdf(letter))
    assert sum(page.count("grensbedrag") for page in pages) == 14 * 8
    assert max(page.count("grensbedrag") for page in pages) < 14 * 5  # as many as fit on a page


def words_in_the_window(content: bytes) -> set[str]:
    command = ["pdftotext", "-bbox", "-l", "1", "-", "-"]
    shown = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    tree = ElementTree.fromstring(shown)  # noqa: S314  # written by pdftotext
    words = [one for one in tree.iter() if one.tag.endswith("word")]
    mm = 72 / 25.4
    return {
        str(one.text)
        for one in words
        if 95 < float(one.attrib["xMin"]) / mm < 195 and 45 < float(one.attrib["yMin"]) / mm < 90
    }


async def test_the_name_and_address_stand_in_the_window_of_the_envelope() -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed: where words stand is not looked at")
    seen = words_in_the_window(await paper.decision_letter_pdf(decision()))
    assert seen == {"An", "Peeters", "Kerkstraat", "14", "bus", "3", "2999", "Lindebeke"}


# --- any message as a letter -------------------------------------------------------------------


async def test_a_message_reads_as_a_letter() -> None:
    wording = Wording(
        subject="Wij ontvingen uw aanvraag",
        text=(
            "Beste An Peeters\n\nWij ontvingen uw aanvraag.\nU hoort van ons.\n\n"
            "Wij vragen op:\n\n- uw inkomen\n- uw gezin\n\nDienst: Sociale dienst\nTelefoon: +32 14 00 00 00"
        ),
        html=None,
        language="nl",
        link=None,
    )
    letter = paper.plain_letter(
        wording,
        municipality=HALL,
        addressee=paper.Addressee("An Peeters", ("Kerkstraat 14", "2999 Lindebeke")),
        dated_on=date(2026, 11, 22),
        reference="SP-2026-7KQ3M9-R",
        contact_name="Sociale dienst",
    )
    content = await paper.letter_pdf(letter)
    text = text_of(content)
    in_order(
        text,
        (
            "An Peeters\nKerkstraat 14",
            "Wij ontvingen uw aanvraag",
            "Beste An Peeters",
            "Wij ontvingen uw aanvraag.\nU hoort van ons.",
            "• uw inkomen",
            "• uw gezin",
            "Dienst: Sociale dienst\nTelefoon",
        ),
    )
    assert "- uw" not in text
    assert "Niet akkoord?" not in text
    assert {"/L", "/LI", "/LBody"} <= tags_of(content)


# --- what the body decides on ------------------------------------------------------------------


def test_the_minutes_system_gets_a_motivation_and_articles() -> None:
    motivation, articles = paper.decision_html(draft())
    in_order(
        motivation,
        (
            "<strong>Juridische grond</strong>",
            "<li>Reglement sociale toelagen",
            "<strong>Feiten, context en argumentatie</strong></p><p>De aanvragen zijn ontvankelijk.</p>",
            "<strong>Adviezen</strong>",
            "Dienst Financiën: gunstig",
        ),
    )
    assert articles == (
        "<p><strong>Artikel 1</strong></p><p>Het comité kent de toelagen toe.</p>"
        "<p><strong>Artikel 2</strong></p><p>De dienst Financiën betaalt ze uit.</p>"
    )


def test_a_single_article_has_no_number_and_no_advice_has_no_heading() -> None:
    motivation, articles = paper.decision_html(draft(articles=("Eén.\n\nTwee.\ndrie.",), advices=()))
    assert articles == "<p><strong>Enig artikel</strong></p><p>Eén.</p><p>Twee.<br />drie.</p>"
    assert "Adviezen" not in motivation


def test_what_people_wrote_is_text_and_never_markup() -> None:
    hostile = '<script>alert(1)</script> & "x" </li>\x00'
    for part in paper.decision_html(
        draft(
            legal_grounds=(hostile, hostile),
            articles=(hostile,),
            advices=(paper.AdviceSummary(hostile, "x"),),
        )
    ):
        tree = ElementTree.fromstring(f"<div>{part}</div>")  # noqa: S314  # ours
        assert {one.tag for one in tree.iter()} <= {"div", "p", "strong", "ul", "li", "br"}
        assert "<script>" in "".join(tree.itertext())


async def test_names_stand_in_the_closed_annex_and_nowhere_else() -> None:
    texts = [*paper.decision_html(draft()), text_of(await paper.draft_pdf(draft()))]
    annex = text_of(await paper.annex_pdf(draft()))
    for case in CASES:
        assert case.applicant.name in annex
        assert case.reference in annex
        assert not any(name in text for text in texts for name in case.applicant.name.split())


@pytest.mark.parametrize(
    "leak",
    [
        "De aanvraag van An Peeters is volledig.",
        "De aanvraag van PEETERS, An is volledig.",
        "De aanvraag van El Amrani Fatima is volledig.",
        "De aanvraag van AN\n peeters is volledig.",
        "De aanvraag van Wouters Jan Pieter is volledig.",
        "Rijksregisternummer 85.07.30-033.28.",
        "INSZ 85473003317.",  # a bis number, for who stands in no register of a municipality
        "INSZ 08070300257.",  # born in 2008
    ],
)
@pytest.mark.parametrize("field", ["factual_grounds", "legal_grounds", "articles", "title", "advices"])
async def test_a_name_outside_of_the_annex_stops_the_decision(leak: str, field: str) -> None:
    put: Any = {"title": leak, "advices": (paper.AdviceSummary("Dienst", leak),)}.get(field, (leak,))
    leaking = draft(**{field: put})
    with pytest.raises(ValueError, match="outside of the closed annex"):
        paper.decision_html(leaking)
    with pytest.raises(ValueError, match="outside of the closed annex"):
        await paper.draft_pdf(leaking)


def test_words_that_only_resemble_a_name_pass() -> None:
    ground = "Dank aan Jan Peeterszoon; budgetsleutel 0909-00/6480000, rekening 85073003329."
    assert ground in paper.decision_html(draft(factual_grounds=(ground,)))[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": " "}, "a title"),
        ({"legal_grounds": ()}, "grounds in law"),
        ({"factual_grounds": ("",)}, "grounds in fact"),
        ({"articles": ()}, "articles"),
        ({"cases": (*CASES, CASES[0])}, "stands in the annex 2 times"),
        ({"cases": (replace(CASES[0], amount_eur=Decimal(0)),)}, "does not go with"),
        ({"cases": (replace(CASES[2], amount_eur=Decimal(1)),)}, "does not go with"),
    ],
)
async def test_a_draft_that_is_not_whole_is_not_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        paper.decision_html(draft(**changes))
    with pytest.raises(ValueError, match=reason):
        await paper.draft_pdf(draft(**changes))


async def test_the_draft_says_how_many_cases_the_annex_holds_and_for_how_much() -> None:
    text = text_of(await paper.draft_pdf(draft()))
    flat = " ".join(text.split())
    assert "BESLOTEN" in text
    assert "lijst van 3 dossiers (1 toegekend, 1 gedeeltelijk toegekend, 1 geweigerd), samen € 325,00" in flat
    public = text_of(await paper.draft_pdf(draft(closed=False, cases=())))
    assert "BESLOTEN" not in public
    assert "Openbaar" in public
    assert "Bijlage" not in public


async def test_each_page_of_the_annex_is_marked_as_closed_and_has_its_headings() -> None:
    many = tuple(replace(CASES[0], reference=f"SP-2026-{number:06d}-X") for number in range(80))
    content = await paper.annex_pdf(draft(cases=many))
    pages = pages_of(content)
    assert len(pages) >= 3
    assert all("BESLOTEN" in page and "Kenmerk" in page for page in pages)
    assert "€ 20.400,00" in pages[-1]
    with pytest.raises(ValueError, match="without cases"):
        await paper.annex_pdf(draft(cases=()))


# --- archive and screen reader -----------------------------------------------------------------


def tags_of(content: bytes) -> set[str]:
    found: set[str] = set()

    def walk(node: Any) -> None:  # noqa: ANN401  # whatever the tree holds
        one = node.get_object()
        if isinstance(one, dict) and "/S" in one:
            found.add(str(one["/S"]))
            inside = one.get("/K", [])
            for child in inside if isinstance(inside, list) else [inside]:
                walk(child)

    root = cast("dict[str, Any]", PdfReader(BytesIO(content)).trailer["/Root"].get_object())
    for node in root["/StructTreeRoot"]["/K"]:
        walk(node)
    return found


@pytest.mark.parametrize("kind", ["letter", "draft", "annex"])
async def test_a_decision_on_paper_can_be_archived_and_read_aloud_and_is_the_same_each_time(
    kind: str,
) -> None:
    async def made() -> bytes:
        match kind:
            case "letter":
                return await paper.decision_letter_pdf(decision())
            case "draft":
                return await paper.draft_pdf(draft())
            case _:
                return await paper.annex_pdf(draft())

    content = await made()
    assert await made() == content
    root = cast("dict[str, Any]", PdfReader(BytesIO(content)).trailer["/Root"].get_object())
    assert root["/Lang"] == "nl-BE"
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in xmp
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp
    wanted = {"letter": {"/H1", "/H2", "/H3", "/L"}, "draft": {"/H1", "/H2", "/H3"}, "annex": {"/H1", "/TH"}}
    assert wanted[kind] <= tags_of(content)


# --- the print batch ---------------------------------------------------------------------------


async def letters() -> list[PrintLetter]:
    long = decision(factual_grounds=(LONG,) * 4, reference="SP-2026-000002-B")
    short = paper.LetterPaper(
        municipality=HALL,
        addressee=paper.Addressee('=Jan; "de" Oude', ("Markt 1", "2400 Mol")),
        dated_on=date(2026, 11, 22),
        reference="CB/2026 3",
        subject="Uw aanvraag",
        paragraphs=("Beste",),
        appeal="",
        signatories=(),
        contact_name="",
        language="nl",
    )
    return [
        PrintLetter(
            "SP-2026-000002-B", long.addressee, await paper.decision_letter_pdf(long), Service.REGISTERED
        ),
        PrintLetter("CB/2026 3", short.addressee, await paper.letter_pdf(short), Service.NORMAL),
    ]


def opened(content: bytes) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
    archive = zipfile.ZipFile(BytesIO(content))
    assert archive.testzip() is None
    manifest = archive.read("manifest.csv").decode("utf-8-sig")
    return archive, list(csv.DictReader(io.StringIO(manifest, newline=""), delimiter=";"))


async def test_a_batch_holds_each_letter_all_together_and_a_list_of_them() -> None:
    sent = await letters()
    archive, rows = opened(paper.batch(sent))
    assert archive.namelist() == [
        "letters.pdf",
        "letters/0001-SP-2026-000002-B.pdf",
        "letters/0002-CB_2026_3.pdf",
        "manifest.csv",
    ]
    pages = [paper.page_count(one.content) for one in sent]
    assert pages[0] >= 3
    assert pages[1] == 1
    assert archive.read("letters/0001-SP-2026-000002-B.pdf") == sent[0].content
    merged = pages_of(archive.read("letters.pdf"))
    assert merged == [page for one in sent for page in pages_of(one.content)]
    first, second = rows
    assert (first["sequence"], first["service"], first["pages"]) == ("1", "REGISTERED", str(pages[0]))
    assert (first["addressee"], first["address_1"], first["address_2"], first["address_3"]) == (
        "An Peeters",
        "Kerkstraat 14 bus 3",
        "2999 Lindebeke",
        "",
    )
    assert first["sha256"] == hashlib.sha256(sent[0].content).hexdigest()
    assert (second["reference"], second["first_page"]) == ("CB/2026 3", str(pages[0] + 1))
    assert second["addressee"] == '\'=Jan; "de" Oude'  # text to a spreadsheet, not a formula


async def test_printed_on_both_sides_each_letter_begins_on_a_sheet_of_its_own() -> None:
    short = (await letters())[1]
    two_pages = replace(short, content=await paper.decision_letter_pdf(decision()))
    archive, rows = opened(paper.batch([short, two_pages, short], both_sides=True))
    assert [(row["pages"], row["first_page"]) for row in rows] == [("1", "1"), ("2", "3"), ("1", "5")]
    pages = pages_of(archive.read("letters.pdf"))
    assert [bool(page.strip()) for page in pages] == [True, False, True, True, True, False]


async def test_the_same_letters_are_the_same_batch() -> None:
    sent = await letters()
    assert paper.batch(sent) == paper.batch(list(sent))
    assert paper.batch(sent) != paper.batch(sent[::-1])
    archive, _ = opened(paper.batch(sent))
    assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"addressee": paper.Addressee("An Peeters", ())}, "no address"),
        ({"addressee": paper.Addressee("An Peeters", (" ",))}, "no address"),
        ({"addressee": paper.Addressee("", ("Markt 1",))}, "no address"),
        ({"addressee": paper.Addressee("An", tuple("1234567"))}, "more than 6 lines"),
        ({"reference": ""}, "without a reference"),
        ({"content": b"no PDF at all"}, "is no PDF"),
        ({"content": b""}, "is no PDF"),
    ],
)
async def test_a_letter_that_cannot_be_posted_stops_the_batch(changes: dict[str, Any], reason: str) -> None:
    sent = await letters()
    with pytest.raises(ValueError, match=reason):
        paper.batch([sent[0], replace(sent[1], **changes)])
    with pytest.raises(ValueError, match="without letters"):
        paper.batch([])


# --- proof of posting --------------------------------------------------------------------------

TODAY = date(2026, 11, 24)
HEADING = "sequence;reference;registered_number;posted_on"
GOOD = "1;SP-2026-000001-A;RR 123 456 785 BE;2026-11-23"
ALSO_GOOD = "7;SP-2026-000002-B;0105.4128 8500 0000 1234 5678;24/11/2026"


def told(*lines: str) -> bytes:
    return "\r\n".join((HEADING, *lines)).encode("utf-8-sig")


def test_a_proof_says_which_letter_was_posted_when_under_which_number() -> None:
    assert paper.proof(told(GOOD, "", ALSO_GOOD, ";;;"), today=TODAY) == [
        ProofOfPosting(1, "SP-2026-000001-A", "RR123456785BE", date(2026, 11, 23)),
        ProofOfPosting(7, "SP-2026-000002-B", "010541288500000012345678", date(2026, 11, 24)),
    ]
    assert len(paper.proof(told(GOOD).decode("utf-8-sig").encode(), today=TODAY)) == 1


@pytest.mark.parametrize("number", ["rr123456785be", "RR100000025BE", "RR100000140BE"])
def test_the_check_digit_of_a_registered_letter_is_that_of_the_upu(number: str) -> None:
    (posting,) = paper.proof(told(f"1;SP-1;{number};2026-11-23"), today=TODAY)
    assert posting.registered_number == number.upper()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2;SP-1;RR123456780BE;2026-11-23", "check digit"),
        ("2;SP-1;12345;2026-11-23", "not the number of a registered letter"),
        ("2;SP-1;;2026-11-23", "not the number of a registered letter"),
        ("2;SP-1;RR123456785BE;2026-11-23", "registered number RR123456785BE stands there 2 times"),
        ("1;SP-1;RR473124829BE;2026-11-23", "sequence 1 stands there 2 times"),
        ("0;SP-1;RR473124829BE;2026-11-23", "not the sequence"),
        ("x;SP-1;RR473124829BE;2026-11-23", "not the sequence"),
        ("2;;RR473124829BE;2026-11-23", "reference is missing"),
        ("2;SP-1;RR473124829BE;2026-11-25", "still to come"),
        ("2;SP-1;RR473124829BE;2026-02-30", "not a day of the calendar"),
        ("2;SP-1;RR473124829BE;31/02/2026", "not a day of the calendar"),
        ("2;SP-1;RR473124829BE;23-11-26", "not a day"),
        ("2;SP-1;RR473124829BE", "3 fields"),
        ("2;SP-1;RR473124829BE;2026-11-23;x", "5 fields"),
        ('2;"SP-1;RR473124829BE;2026-11-23', "line"),
    ],
)
def test_one_wrong_line_refuses_the_whole_proof(line: str, reason: str) -> None:
    with pytest.raises(ProofRefused, match=reason):
        paper.proof(told(GOOD, line), today=TODAY)


def test_every_fault_of_a_proof_is_told_with_its_line() -> None:
    with pytest.raises(ProofRefused) as refusal:
        paper.proof(
            told(GOOD, "x;SP-1;RR473124829BE;2026-11-23", ALSO_GOOD, "3;SP-2;?;2026-11-23"), today=TODAY
        )
    assert [fault[:7] for fault in refusal.value.faults] == ["line 3:", "line 5:"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line must be"),
        (told(), "no line"),
        (GOOD.encode(), "first line must be"),
        (told(GOOD).replace(b";", b","), "first line must be"),
        (told(GOOD).decode("utf-8-sig").encode("utf-16"), "UTF-8"),
        (told(*[GOOD] * 30_000), "larger than"),
    ],
)
def test_a_file_that_is_no_proof_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ProofRefused, match=reason):
        paper.proof(content, today=TODAY)
