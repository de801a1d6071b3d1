"""What a citizen reads: complete, in one language, escaped, without what does not apply."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from loket import publishing, wording
from loket.definition import Definition, MessageChannel
from loket.letterhead import Picture
from loket.lifecycle import EventType
from loket.notation import Window, amount, day, window
from loket.rules import Applicant, Facts, Municipality, Quota, evaluate_all
from loket.segments import Segments, segments
from loket.settings import Municipality as Settings
from loket.wording import DueMessage, Wording, messages_due

FILE = Path(__file__).parents[1] / "src" / "loket" / "procedures" / "compost-bin.yaml"
HALL = Settings()
E = EventType
SLOT = Window(datetime(2026, 11, 27, 7, tzinfo=UTC), datetime(2026, 11, 27, 11, tzinfo=UTC))
WEBSITE = "https://www.lindebeke.example"
CASE: dict[str, wording.Value] = {
    "applicant": "An Peeters",
    "reference": "CB-2026-004213-7",
    "submitted_on": date(2026, 11, 22),
    "decide_by": date(2026, 12, 22),
    "items": ["1 × Compostbak", "2 × Compostvat"],
    "link_case": f"{WEBSITE}/dossiers/1",
}
INVOICE: dict[str, wording.Value] = {
    "amount": Decimal("1287.00"),
    "outstanding": Decimal("1287.00"),
    "paid": Decimal("1287.00"),
    "due_on": date(2026, 12, 22),
    "invoice_number": "VF-2026-000017",
    "structured_reference": "+++090/9337/55493+++",
    "iban": "BE71 0961 2345 6769",
    "payee": "Gemeente Lindebeke",
    "qr": Picture("betaalcode", "QR"),
    "link_pay": f"{WEBSITE}/betalen/1",
}
EVERYTHING: dict[str, wording.Value] = {
    **CASE,
    **INVOICE,
    "refund": Decimal("28.00"),
    "reason": ["Alleen inwoners kunnen kopen."],
    "fact": ["U woont in Mol."],
    "legal": ["Reglement, artikel 2"],
    "question": "Wat is uw huisnummer?",
    "answer_by": date(2026, 12, 1),
    "choose_by": date(2026, 12, 6),
    "slot": SLOT,
    "previous_slot": SLOT,
    "address": "Dorpsstraat 12, 2999 Lindebeke",
    "link_slots": f"{WEBSITE}/levering/1",
    "link_answer": f"{WEBSITE}/antwoord/1",
    "link_review": f"{WEBSITE}/herziening/1",
}


@pytest.fixture(scope="module")
def definition() -> Definition:
    return publishing.load(FILE)


def write(
    definition: Definition,
    event: EventType,
    channel: MessageChannel = MessageChannel.EMAIL,
    *,
    language: str = "nl",
    joined: tuple[EventType, ...] = (),
    **changes: wording.Value,
) -> Wording:
    values = {name: value for name, value in {**EVERYTHING, **changes}.items() if value is not None}
    return wording.render(definition, event, channel, language, values, municipality=HALL, joined=joined)


# --- which messages ---------------------------------------------------------------------------


def test_a_straight_through_case_gets_a_receipt_and_one_message(definition: Definition) -> None:
    events = [
        E.SUBMITTED,
        E.SCREENING_STARTED,
        E.ADMISSIBLE,
        E.DECISION_PENDING,
        E.APPROVED,
        E.STAGE_PASSED,
        E.PAYMENT_DUE,
    ]
    assert messages_due(definition, events) == [
        DueMessage(E.SUBMITTED),
        DueMessage(E.APPROVED, (E.PAYMENT_DUE,)),
    ]


@pytest.mark.parametrize(
    ("events", "due"),
    [
        ([E.ADMISSIBLE], [DueMessage(E.ADMISSIBLE)]),
        ([E.SUBMITTED, E.PAYMENT_DUE], [DueMessage(E.SUBMITTED, (E.PAYMENT_DUE,))]),
        ([E.PAYMENT_DUE], [DueMessage(E.PAYMENT_DUE)]),
        ([E.PAYMENT_RECEIVED, E.PAID, E.SLOT_NEEDED], [DueMessage(E.PAID, (E.SLOT_NEEDED,))]),
        ([E.PLANNED, E.PAYMENT_DUE], [DueMessage(E.PLANNED, (E.PAYMENT_DUE,))]),
        ([E.DELIVERED, E.PAYMENT_DUE], [DueMessage(E.DELIVERED, (E.PAYMENT_DUE,))]),
        ([E.DELIVERED, E.COMPLETED], [DueMessage(E.DELIVERED)]),
        ([E.APPROVED, E.SLOT_NEEDED], [DueMessage(E.APPROVED, (E.SLOT_NEEDED,))]),
        ([E.ASSIGNED, E.NOTE_ADDED], []),
        ([], []),
    ],
)
def test_what_happens_together_is_told_together(
    definition: Definition, events: list[EventType], due: list[DueMessage]
) -> None:
    assert messages_due(definition, events) == due


# --- every message over every channel ---------------------------------------------------------


@pytest.mark.parametrize("event", list(publishing.load(FILE).texts.messages))
@pytest.mark.parametrize("channel", list(MessageChannel))
@pytest.mark.parametrize("language", ["nl", "en"])
def test_every_message_is_whole_on_every_channel(
    definition: Definition, event: EventType, channel: MessageChannel, language: str
) -> None:
    said = write(definition, event, channel, language=language)
    assert said.text
    assert not re.search(r"[{}]", said.text + said.subject)
    assert said.link is not None
    assert (said.html is not None) is (channel is MessageChannel.EMAIL)
    assert bool(said.subject) is (channel is not MessageChannel.SMS)
    if channel in {MessageChannel.EMAIL, MessageChannel.LETTER}:
        assert said.text.startswith("Beste An Peeters" if said.language == "nl" else "Dear An Peeters")
        assert "CB-2026-004213-7" in said.text
        assert "+32 14 00 00 00" in said.text
    if channel is MessageChannel.SMS:
        assert said.text.startswith("Gemeente Lindebeke: ")
        assert "\n" not in said.text
        assert segments(said.text).encoding == "GSM-7"
        assert segments(said.text).count <= 2


def test_with_almost_nothing_known_a_message_is_still_whole(definition: Definition) -> None:
    """What is missing is left out, with what announced it."""
    for event in definition.texts.messages:
        for channel in MessageChannel:
            said = wording.render(definition, event, channel, "nl", CASE, municipality=HALL)
            assert len(said.text) > 20
            assert "None" not in said.text
            paragraphs = said.text.split("\n\n")
            for this, following in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
                assert not this.endswith(":") or following.startswith("- ") or ": " in following, (
                    event,
                    this,
                )


# --- what they say ----------------------------------------------------------------------------


def test_the_receipt_states_term_hearing_and_duty_to_report(definition: Definition) -> None:
    text = write(definition, E.SUBMITTED).text
    for words in (
        "CB-2026-004213-7",
        "zondag 22 november 2026",
        "binnen 30 dagen",
        "dinsdag 22 december 2026",
        "recht om gehoord te worden",
        "meteen melden",
        "- 1 × Compostbak\n- 2 × Compostvat",
    ):
        assert words in text


def test_a_refusal_is_motivated_and_shows_the_ways_out(definition: Definition) -> None:
    municipality = Municipality("13999", HALL.name, "2999")
    facts = Facts(
        municipality, date(2026, 11, 22), "ONLINE", applicant=Applicant(True), quota=Quota(True, False)
    )
    verdicts = evaluate_all(definition.rules.screening, facts)
    why = wording.motivation(definition, verdicts, "nl", CASE, municipality=HALL)
    assert [len(one) for one in why.values()] == [1, 1, 1]
    values = {**EVERYTHING, **why}
    said = wording.render(definition, E.INADMISSIBLE, "EMAIL", "nl", values, municipality=HALL)
    for words in (
        "hoogstens 3 compostbakken",
        "Wij telden de bestellingen",
        "Retributiereglement compostbakken, artikel 4",
        "een medewerker uw aanvraag opnieuw bekijkt",
        "Raad van State",
        "binnen 60 dagen",
        f"{WEBSITE}/herziening/1",
    ):
        assert words in said.text
    assert said.link == f"{WEBSITE}/herziening/1"


def test_approved_and_to_be_paid_is_one_message_with_all_that_paying_needs(definition: Definition) -> None:
    said = write(definition, E.APPROVED, joined=(E.PAYMENT_DUE,))
    assert said.subject == "Uw aanvraag CB-2026-004213-7 is goedgekeurd: u kunt nu betalen"
    for words in (
        "ontvankelijk en goedgekeurd",
        "Te betalen: €\N{NO-BREAK SPACE}1.287,00",
        "+++090/9337/55493+++",
        "BE71 0961 2345 6769",
        f"Betaal online: {WEBSITE}/betalen/1",
    ):
        assert words in said.text
    assert said.link == f"{WEBSITE}/betalen/1"
    assert said.html is not None
    assert said.html.count(f"{WEBSITE}/betalen/1") == 1
    assert 'src="cid:betaalcode"' in said.html
    assert "Bekijk uw dossier" not in said.text  # one button: the one that matters now


def test_what_cannot_be_shown_is_not_announced(definition: Definition) -> None:
    for channel in (MessageChannel.EMAIL, MessageChannel.MBP, MessageChannel.LETTER):
        assert "scan deze code" not in write(definition, E.PAYMENT_DUE, channel).text
    html = write(definition, E.PAYMENT_DUE, qr=None).html
    assert html is not None
    assert "scan deze code" not in html
    assert "cid:" not in html


def test_money_that_is_paid_back_is_named_only_when_there_is_some(definition: Definition) -> None:
    assert "€\N{NO-BREAK SPACE}28,00" in write(definition, E.WITHDRAWN).text
    assert "betaalde al" not in write(definition, E.WITHDRAWN, refund=None).text


def test_mijn_burgerprofiel_shows_the_message_without_the_letter_around_it(definition: Definition) -> None:
    said = write(definition, E.PLANNED, MessageChannel.MBP)
    assert said.text.startswith("Wij komen uw bestelling leveren:")
    assert "Met vriendelijke groeten" not in said.text
    assert "vrijdag 27 november 2026 tussen 8.00 en 12.00 uur" in said.text


def test_a_text_message_is_short(definition: Definition) -> None:
    said = write(definition, E.PLANNED, MessageChannel.SMS)
    assert said.text == (
        "Gemeente Lindebeke: Wij leveren CB-2026-004213-7 op vr 27/11/2026, 8.00-12.00. "
        f"Andere dag? {WEBSITE}/levering/1"
    )


def test_a_message_never_speaks_two_languages(definition: Definition) -> None:
    english = write(definition, E.PAID, language="en", joined=(E.SLOT_NEEDED,))
    assert english.language == "en"
    assert "Choose your delivery day" in english.text
    assert "Environment department" in english.text
    dutch = write(definition, E.ADMISSIBLE, language="en")  # exists in Dutch only
    assert dutch.language == "nl"
    assert dutch.text.startswith("Beste")
    assert write(definition, E.PAID, language="xx").language == "nl"


def test_what_dosis_shows_is_one_line_or_nothing(definition: Definition) -> None:
    row = definition.dosis[E.PAYMENT_DUE]
    assert row.detail is not None
    assert wording.line(row.detail, "nl", INVOICE) == (
        "Te betalen: €\N{NO-BREAK SPACE}1.287,00, ten laatste op dinsdag 22 december 2026".replace(
            "\N{NO-BREAK SPACE}", " "
        )
    )
    assert wording.line(row.detail, "nl", CASE) is None


# --- what people type -------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags of a page, and which were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


EVIL = '<script>alert(1)</script><img src=x onerror="x">" \' & {applicant} </td>'


def test_nothing_that_was_typed_becomes_markup(definition: Definition) -> None:
    typed: dict[str, Any] = {
        "applicant": EVIL,
        "question": EVIL,
        "address": EVIL,
        "items": [EVIL],
        "reason": [EVIL],
    }
    for event in definition.texts.messages:
        said = write(definition, event, **typed)
        assert said.html is not None
        tags = Tags()
        tags.feed(said.html)
        assert not [tag for tag, attributes in tags.seen if tag == "script" or "onerror" in attributes]
        assert "{applicant}" in said.text  # what somebody typed is not filled in again


def test_a_subject_stays_one_line(definition: Definition) -> None:
    said = write(definition, E.PAID, reference="CB-1\r\nBcc: all@example.be\x00\N{RIGHT-TO-LEFT OVERRIDE}")
    assert said.subject == "Wij hebben uw betaling ontvangen (CB-1 Bcc: all@example.be)"


def test_a_link_that_is_no_web_address_is_refused(definition: Definition) -> None:
    with pytest.raises(ValueError, match="link_case"):
        write(definition, E.PAID, link_case="javascript:alert(1)")


def test_a_value_that_no_text_can_name_is_a_mistake(definition: Definition) -> None:
    with pytest.raises(ValueError, match="colour"):
        write(definition, E.PAID, colour="blue")


def test_what_somebody_typed_keeps_its_lines_and_is_cut_somewhere(definition: Definition) -> None:
    said = write(definition, E.INFORMATION_REQUESTED, question="een\ntwee\n" + "x" * 10_000)
    assert "een\ntwee" in said.text
    assert len(said.text) < 6_000
    assert said.html is not None
    assert "een<br>" in said.html


def test_the_e_mail_fetches_nothing_and_is_well_formed(definition: Definition) -> None:
    for event in definition.texts.messages:
        page = write(definition, event).html
        assert page is not None
        tags = Tags()
        tags.feed(page)
        tags.close()
        assert not tags.open
        names = [tag for tag, _ in tags.seen]
        assert not {"link", "script", "iframe"} & set(names)
        assert names.count("h1") == 1
        assert "url(" not in page
        assert "Dorpsplein 1, 2999 Lindebeke" in page
        for tag, attributes in tags.seen:
            if tag == "html":
                assert attributes["lang"] == "nl"
            if tag == "img":
                assert str(attributes["src"]).startswith("cid:")
                assert attributes["alt"]
            if tag == "table":
                assert attributes["role"] == "presentation"
            if tag == "a":
                assert str(attributes["href"]).startswith("https://")


# --- dates, amounts, text messages ------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("nl", "vrijdag 27 november 2026"),
        ("en", "Friday 27 November 2026"),
        ("fr", "vendredi 27 novembre 2026"),
        ("de", "Freitag, 27. November 2026"),
    ],
)
def test_a_day_in_words(language: str, said: str) -> None:
    assert day(date(2026, 11, 27), language) == said


def test_an_instant_is_the_day_that_it_is_in_belgium() -> None:
    assert day(datetime(2026, 11, 26, 23, 30, tzinfo=UTC), "nl") == "vrijdag 27 november 2026"
    assert day(datetime(2026, 6, 30, 22, 30, tzinfo=UTC), "nl", brief=True) == "wo 01/07/2026"


def test_a_window_in_winter_and_in_summer() -> None:
    assert window(SLOT, "en") == "Friday 27 November 2026 between 8:00 and 12:00"
    summer = Window(datetime(2026, 7, 3, 6, 30, tzinfo=UTC), datetime(2026, 7, 3, 10, tzinfo=UTC))
    assert window(summer, "nl", brief=True) == "vr 03/07/2026, 8.30-12.00"


@pytest.mark.parametrize(
    ("value", "language", "said"),
    [
        ("80", "nl", "€ 80,00"),
        ("1280.5", "nl", "€ 1.280,50"),
        ("-12", "nl", "-€ 12,00"),
        ("1280.50", "en", "€1,280.50"),
        ("1280.50", "fr", "1.280,50 €"),
    ],
)
def test_an_amount_as_people_write_it(value: str, language: str, said: str) -> None:
    assert amount(Decimal(value), language).replace("\N{NO-BREAK SPACE}", " ") == said


def test_an_amount_with_parts_of_a_cent_is_refused() -> None:
    with pytest.raises(ValueError, match="two decimals"):
        amount(Decimal("1.005"), "nl")


@pytest.mark.parametrize(
    ("text", "encoding", "units", "count"),
    [
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("é" * 160, "GSM-7", 160, 1),
        ("ë" * 70, "UCS-2", 70, 1),
        ("ë" * 71, "UCS-2", 71, 2),
        ("😊", "UCS-2", 2, 1),
        ("a" * 307, "GSM-7", 307, 3),
    ],
)
def test_text_messages_are_counted_as_they_are_billed(
    text: str, encoding: str, units: int, count: int
) -> None:
    assert segments(text) == Segments(encoding, units, count)
