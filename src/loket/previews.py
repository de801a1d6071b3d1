"""Every message of a definition as somebody would get it, with sample values: to look at before it goes out.

A message that is not wholly there in a language falls back to Dutch, in part or as a whole: what is missing
is named. Of a text message it is told how it is carried, and which characters make it dear.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from loket import notation, wording
from loket.definition import LANGUAGES, Definition, Message, MessageChannel, Text
from loket.errors import ErrorCode, Refused
from loket.letterhead import Picture
from loket.lifecycle import EventType
from loket.numbers import printed_reference
from loket.segments import Dear, Segments, dear, segments
from loket.sepa import masked_iban
from loket.settings import Settings

QR = "betaalcode"
"""Content id of the payment code in an e-mail, as `notices` has it."""
STRUCTURED = "262600000193"
"""A structured reference that is right and nobody's."""
_DAY = date(2026, 11, 27)
_AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
_WINDOW = notation.Window(datetime(2026, 11, 27, 7, tzinfo=UTC), datetime(2026, 11, 27, 11, tzinfo=UTC))
_BEFORE = notation.Window(datetime(2026, 11, 20, 7, tzinfo=UTC), datetime(2026, 11, 20, 11, tzinfo=UTC))
_REFERENCE = "2026-7K3M9Q-4"
_DRAFT = "/opnieuw"


@dataclass(frozen=True)
class Preview:
    """One message over one channel, asked in `language` and really said in `spoken`."""

    event: EventType
    channel: MessageChannel
    language: str
    spoken: str
    subject: str
    text: str
    html: str | None
    """Of an e-mail."""
    link: str | None
    missing: tuple[str, ...]
    """Parts of the definition that are not there in `language`: `body`, `salutation`…"""
    segments: Segments | None
    """Of a text message."""
    dear: tuple[Dear, ...]


def previews(
    definition: Definition,
    settings: Settings,
    *,
    event: EventType | None = None,
    languages: Sequence[str] = LANGUAGES,
) -> list[Preview]:
    """Every message that the definition has, or that of `event`, in each of `languages`.

    Raises:
        Refused: NOT_FOUND for an event about which nothing is said; VALIDATION for another language.
    """
    messages = definition.texts.messages
    if event is not None and event not in messages:
        raise Refused(ErrorCode.NOT_FOUND, path=["event"])
    for language in languages:
        if language not in LANGUAGES:
            raise Refused(ErrorCode.VALIDATION, path=["language"], reason=f"one of: {', '.join(LANGUAGES)}")
    wanted = messages if event is None else [event]
    return [
        _preview(definition, settings, one, channel, language)
        for one in wanted
        for language in languages
        for channel in messages[one].channels
    ]


def _preview(
    definition: Definition, settings: Settings, event: EventType, channel: MessageChannel, language: str
) -> Preview:
    said = wording.render(
        definition,
        event,
        channel,
        language,
        sample_values(definition, settings, language),
        municipality=settings.municipality,
    )
    by_sms = channel is MessageChannel.SMS
    return Preview(
        event=event,
        channel=channel,
        language=language,
        spoken=said.language,
        subject=said.subject,
        text=said.text,
        html=said.html,
        link=said.link,
        missing=tuple(_missing(definition, definition.texts.messages[event], channel, language)),
        segments=segments(said.text) if by_sms else None,
        dear=dear(said.text) if by_sms else (),
    )


def _missing(
    definition: Definition, message: Message, channel: MessageChannel, language: str
) -> Iterator[str]:
    texts = definition.texts
    brief = channel is MessageChannel.SMS
    parts: dict[str, Text | None] = {"body": message.body}
    if brief:
        parts |= {"sms": message.sms, "sms_opening": texts.sms_opening}
    else:
        parts |= {"subject": message.subject, "button": message.button.label if message.button else None}
    if channel in (MessageChannel.EMAIL, MessageChannel.LETTER):
        parts |= {"salutation": texts.salutation, "closing": texts.closing}
    for name, text in parts.items():
        if text is not None and language not in text.languages():
            yield name


# --- sample values ----------------------------------------------------------------------------

_WORDS: dict[str, dict[str, str]] = {
    "question": {
        "nl": "Kunt u ons een recent attest bezorgen?",
        "en": "Can you send us a recent certificate?",
        "fr": "Pouvez-vous nous envoyer une attestation récente ?",
        "de": "Können Sie uns eine aktuelle Bescheinigung schicken?",
    },
    "reason": {
        "nl": "U woonde op 1 januari niet in de gemeente.",
        "en": "You did not live in the municipality on 1 January.",
        "fr": "Vous n'habitiez pas la commune le 1er janvier.",
        "de": "Sie wohnten am 1. Januar nicht in der Gemeinde.",
    },
    "fact": {
        "nl": "Het Rijksregister vermeldt een domicilie in een andere gemeente.",
        "en": "The National Register shows a domicile in another municipality.",
        "fr": "Le Registre national mentionne un domicile dans une autre commune.",
        "de": "Das Nationalregister nennt einen Wohnsitz in einer anderen Gemeinde.",
    },
    "conditions": {
        "nl": "De straat blijft vrij voor hulpdiensten.",
        "en": "The street stays open for emergency services.",
        "fr": "La rue reste libre pour les services de secours.",
        "de": "Die Straße bleibt für Rettungsdienste frei.",
    },
}


def sample_values(definition: Definition, settings: Settings, language: str) -> dict[str, wording.Value]:
    """Something for every placeholder (`definition.PLACEHOLDERS`), as long as it really gets."""
    said = {name: texts.get(language, texts["nl"]) for name, texts in _WORDS.items()}
    reference = f"{definition.reference_prefix}-{_REFERENCE}"
    page = f"{settings.website_url}/dossiers/{reference}"
    values: dict[str, wording.Value] = {
        "applicant": "An Voorbeeld-Vandenbroucke",
        "reference": reference,
        "submitted_on": _AT,
        "decide_by": _DAY + timedelta(days=definition.term.days),
        "items": _items(definition, language),
        "question": said["question"],
        "reason": [said["reason"]],
        "fact": [said["fact"]],
        "legal": [one.get(language) for one in definition.legal_basis],
        "conditions": [said["conditions"]],
        "co_applicant": "Bo Voorbeeld",
        "adviser": definition.advisers[0].title.get(language) if definition.advisers else "Brandweer",
        "address": "Dorpsplein 1 bus 2, 2999 Lindebeke",
        "slot": _WINDOW,
        "previous_slot": _BEFORE,
        "valid_from": _DAY,
        "valid_until": _DAY + timedelta(days=364),
    }
    for name in ("answer_by", "choose_by", "due_on", "pay_by", "meeting_on", "paid_on"):
        values[name] = _DAY
    values |= _money(settings)
    titles = [one.title.get(language) for one in definition.benefits] or [definition.title.get(language)]
    values |= {"benefits": titles[:2], "refused_benefits": titles[-1:]}
    values |= {name: f"{page}{path}" for name, path in wording.PAGES.items()}
    values["link_draft"] = f"{page}{_DRAFT}"
    values["link_confirm"] = f"{settings.website_url}/medeaanvragen/{reference}"
    return values | wording.own_values(definition, settings.municipality, language)


def _money(settings: Settings) -> dict[str, wording.Value]:
    iban = settings.municipality.iban
    return {
        "amount": Decimal("1280.00"),
        "paid": Decimal("640.00"),
        "outstanding": Decimal("645.00"),
        "open_before": Decimal("640.00"),
        "cost": Decimal("5.00"),
        "costs": Decimal("5.00"),
        "credited": Decimal("28.00"),
        "charged_back": Decimal("640.00"),
        "refund": Decimal("28.00"),
        "granted": Decimal("255.00"),
        "deposit": Decimal("100.00"),
        "kept": Decimal("25.00"),
        "invoice_number": "VF-2026-000123",
        "structured_reference": printed_reference(STRUCTURED),
        "iban": " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)),
        "payee": settings.municipality.name,
        "account": masked_iban("BE68539007547034"),
        "qr": Picture(QR, "QR"),
    }


def _items(definition: Definition, language: str) -> list[str]:
    products = definition.catalogue.products if definition.catalogue else ()
    return [f"1 × {one.title.get(language)}" for one in products[:2]] or [definition.title.get(language)]
