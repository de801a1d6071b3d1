"""All that a procedure says, with sample values; and in which language it is really said."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from loket import notation, previews, publishing, segments, trials, wording
from loket.app import SHIPPED, load_procedures
from loket.definition import LANGUAGES, PLACEHOLDERS, Definition, MessageChannel
from loket.errors import Refused
from loket.lifecycle import EventType
from loket.settings import Settings
from town import HANDLER, OPERATOR, Json, Town, opened

SETTINGS = Settings(website_url="https://www.lindebeke.example")
TEXTS = """query($definition: String, $procedure: String, $event: CaseEventType, $language: String) {
    procedureTexts(definition: $definition, procedure: $procedure, event: $event, language: $language) {
        faults { line reason }
        messages { event channel language spoken subject text html link missing
            length { encoding units segments dear { character times forcesUcs2 } } } } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


def toy(**languages: Json) -> str:
    """The shipped file, of which one message is also there in these languages, by subject, body and SMS."""
    told = YAML(typ="safe", pure=True).load((SHIPPED / "compost-bin.yaml").read_text("utf-8"))
    message = told["texts"]["messages"]["SUBMITTED"]
    for language, said in languages.items():
        for part in ("subject", "body", "sms"):
            message[part][language] = said[part]
        if message.get("button"):
            message["button"]["label"][language] = language
        for part in ("salutation", "closing", "sms_opening"):
            own = told["texts"][part]
            own = {"nl": own, "en": own} if isinstance(own, str) else own
            told["texts"][part] = own | {language: f"{language} {own['nl']}"}
    return dumped(told)


def dumped(told: Json) -> str:
    page = io.StringIO()
    YAML(typ="safe", pure=True).dump(told, page)
    return page.getvalue()


FRENCH = {
    "subject": "Reçu : {reference}",
    "body": "Nous l’avons reçu. Réponse avant le {decide_by}.",
    "sms": "Reçu, œuvre en cours.",
}
GERMAN = {
    "subject": "Erhalten: {reference}",
    "body": "Wir haben es erhalten. Antwort vor {decide_by}.",
    "sms": "Erhalten.",
}


def polyglot() -> Definition:
    """A toy of which one message is there in French and German as well."""
    return publishing.parse(toy(fr=FRENCH, de=GERMAN), "toy.yaml")


# ── sample values ─────────────────────────────────────────────────────────────────────────────────────


def test_every_placeholder_has_a_sample_in_each_language() -> None:
    for definition in load_procedures(SETTINGS).values():
        for language in LANGUAGES:
            values = previews.sample_values(definition, SETTINGS, language)
            assert PLACEHOLDERS.keys() - values.keys() == {"button"}
            assert [name for name, value in values.items() if not value] == []


def test_no_shipped_message_is_empty_or_leaves_a_brace() -> None:
    for definition in load_procedures(SETTINGS).values():
        for one in previews.previews(definition, SETTINGS, languages=("nl", "en")):
            assert one.text.strip(), one.event
            assert "{" not in one.text + one.subject, one.event
            assert bool(one.html) == (one.channel is MessageChannel.EMAIL)


# ── languages ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("language", "said"), [("fr", "Nous l’avons reçu"), ("de", "Wir haben es erhalten")])
def test_a_citizen_is_written_to_in_their_own_language_where_it_is_there(language: str, said: str) -> None:
    several = polyglot()
    found = previews.previews(several, SETTINGS, event=EventType.SUBMITTED, languages=(language,))
    assert {one.spoken for one in found} == {language}
    assert all(one.missing == () for one in found)
    mail = next(one for one in found if one.channel is MessageChannel.EMAIL)
    assert said in mail.text
    assert mail.text.startswith(f"{language} ")
    assert f'lang="{language}"' in (mail.html or "")
    others = previews.previews(several, SETTINGS, event=EventType.APPROVED, languages=(language,))
    assert {one.spoken for one in others} == {"nl"}
    assert all("body" in one.missing or "sms" in one.missing for one in others)


def test_what_is_not_there_in_a_language_is_named_part_by_part() -> None:
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    found = previews.previews(definition, SETTINGS, event=EventType.SUBMITTED, languages=("fr",))
    missing = {one.channel: set(one.missing) for one in found}
    assert missing[MessageChannel.SMS] == {"body", "sms", "sms_opening"}
    assert missing[MessageChannel.MBP] >= {"body", "subject"}
    assert missing[MessageChannel.EMAIL] == missing[MessageChannel.MBP] | {"salutation", "closing"}


def test_dates_and_amounts_are_written_as_the_language_does() -> None:
    values = previews.sample_values(polyglot(), SETTINGS, "fr")
    assert wording.line(polyglot().title, "nl", values) is not None
    assert notation.day(values["due_on"], "fr") == "vendredi 27 novembre 2026"  # type: ignore[arg-type]  # a day
    assert notation.amount(values["amount"], "de") == "1.280,00\N{NO-BREAK SPACE}€"  # type: ignore[arg-type]  # money


# ── text messages ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "encoding", "count", "dear"),
    [
        ("Uw aanvraag is goedgekeurd.", "GSM-7", 1, []),
        ("é" * 160, "GSM-7", 1, []),
        ("Te betalen: € 28,00 [€]", "GSM-7", 1, [("€", 2, False), ("[", 1, False), ("]", 1, False)]),
        ("ê" * 71, "UCS-2", 2, [("ê", 71, True)]),
        ("Klaar 👍 voor €", "UCS-2", 1, [("👍", 1, True), ("€", 1, False)]),
    ],
)
def test_the_characters_that_make_a_text_message_dear_are_named(
    text: str, encoding: str, count: int, dear: list[tuple[str, int, bool]]
) -> None:
    counted = segments.segments(text)
    assert (counted.encoding, counted.count) == (encoding, count)
    assert [(one.character, one.times, one.forces_ucs2) for one in segments.dear(text)] == dear


def test_one_letter_outside_the_alphabet_makes_the_whole_message_dear() -> None:
    several = polyglot()
    sms = {
        one.language: one
        for one in previews.previews(several, SETTINGS, event=EventType.SUBMITTED)
        if one.channel is MessageChannel.SMS
    }
    assert sms["nl"].segments is not None
    assert sms["fr"].segments is not None
    assert (sms["nl"].segments.encoding, sms["fr"].segments.encoding) == ("GSM-7", "UCS-2")
    assert [one.character for one in sms["fr"].dear if one.forces_ucs2] == ["ç", "œ"]


# ── asked ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_author_reads_what_a_procedure_says(town: Town) -> None:
    told = await town.ask(HANDLER, TEXTS, procedure="compost-bin", event="APPROVED", language="en")
    messages = told["procedureTexts"]["messages"]
    assert {one["channel"] for one in messages} == {"MBP", "EMAIL", "SMS", "LETTER"}
    assert {one["spoken"] for one in messages} == {"en"}
    (sms,) = [one for one in messages if one["channel"] == "SMS"]
    assert sms["length"]["segments"] == 1
    all_of_it = (await town.ask(OPERATOR, TEXTS, definition=toy(fr=FRENCH)))["procedureTexts"]["messages"]
    assert {one["language"] for one in all_of_it} == set(LANGUAGES)
    broken = await town.ask(OPERATOR, TEXTS, definition=toy(fr=FRENCH | {"body": "{nobody}"}))
    assert broken["procedureTexts"]["messages"] == []
    assert all(one["line"] > 1 for one in broken["procedureTexts"]["faults"])
    assert "nobody" in broken["procedureTexts"]["faults"][0]["reason"]


@pytest.mark.parametrize("language", ["fr", "de"])
async def test_a_case_of_somebody_who_speaks_french_or_german_is_told_in_it(
    town: Town, language: str
) -> None:
    path = "path { messages { event channel language text } }"
    elsewhere = {"applicant": {"nis": "13025"}}
    payload = await town.does(
        HANDLER, "procedureSimulate", path, definition=toy(fr=FRENCH, de=GERMAN), facts=elsewhere,
        application={"language": language, "submittedOn": "2026-11-22"},
    )  # fmt: skip
    said = payload["path"]["messages"]
    assert {(one["event"], one["language"]) for one in said} == {
        ("SUBMITTED", language),
        ("INADMISSIBLE", "nl"),
    }
    day = {"fr": "décembre", "de": "Dezember"}[language]
    assert all(day in one["text"] for one in said if (one["event"], one["channel"]) == ("SUBMITTED", "EMAIL"))


async def test_citizens_and_passers_by_get_none_of_it(town: Town) -> None:
    for who in (town.somebody(), None):
        assert (await town.ask(who, TEXTS, procedure="compost-bin"))["procedureTexts"] is None


def test_an_event_about_which_nothing_is_said_is_refused() -> None:
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    with pytest.raises(Refused, match="Not found"):
        previews.previews(definition, SETTINGS, event=EventType.NOTE_ADDED)
    with pytest.raises(Refused, match="nl, fr, en, de"):
        previews.previews(definition, SETTINGS, languages=("es",))


def test_another_municipality_speaks_for_itself() -> None:
    definition = publishing.load(SHIPPED / "compost-bin.yaml")
    other = replace(SETTINGS, municipality=replace(SETTINGS.municipality, name="Stad Elders"))
    (mbp, *_) = previews.previews(definition, other, event=EventType.APPROVED, languages=("nl",))
    (by_mail,) = [
        one
        for one in previews.previews(definition, other, event=EventType.APPROVED, languages=("nl",))
        if one.channel is MessageChannel.EMAIL
    ]
    assert mbp.channel is MessageChannel.MBP
    assert "Stad Elders" in by_mail.text
    assert "Lindebeke" not in (by_mail.html or "").replace("2999 Lindebeke", "").replace("lindebeke", "")


def test_e_mails_are_written_down_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = str(SHIPPED / "compost-bin.yaml"), tmp_path / "post"
    assert trials.preview(SETTINGS, file, "payment_due", None, str(folder)) == 0
    told = capsys.readouterr().out
    assert "Not in fr, and said in Dutch" in told
    assert "(‘€’ takes two places, 1 times)" in told
    pages = sorted(one.name for one in folder.iterdir())
    assert pages == ["compost-bin-payment_due-en.html", "compost-bin-payment_due-nl.html"]
    page = (folder / pages[1]).read_text("utf-8")
    assert "data:image/png;base64," in page
    assert "cid:" not in page
    assert trials.preview(SETTINGS, file, "no_such_event", None, None) == 1
    assert "no_such_event" in capsys.readouterr().out.lower()
