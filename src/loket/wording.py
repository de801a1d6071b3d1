"""What a person reads: an event becomes subject and body in their language, fit for the channel.

The words stand in the procedure file. Here they are put together: values filled in as people write them
(dates, amounts), what does not apply left out, texts that belong together made one message.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from string import Formatter

from loket import letterhead
from loket.definition import LINKS, PLACEHOLDERS, Definition, Message, MessageChannel, Text
from loket.letterhead import Block, Button, Facts, Items, Paragraph, Picture
from loket.lifecycle import EventType
from loket.notation import Window, amount, clean, day, phone, window
from loket.rules import Outcome, Verdict
from loket.settings import Municipality

Value = str | int | Decimal | date | Window | Picture | Sequence[str] | None
"""What stands for a placeholder: Decimal is an amount in EUR, a list takes several lines, None is nothing."""
Values = Mapping[str, Value]

PAGES = {
    "link_case": "",
    "link_pay": "/betalen",
    "link_slots": "/levering",
    "link_answer": "/antwoord",
    "link_review": "/herziening",
    "link_account": "/rekening",
    "link_experience": "/beleving",
}
"""Where on the website, below the page of a case, the links in messages lead."""


@dataclass(frozen=True)
class Wording:
    """One message, ready for its channel. `html` only for e-mail; SMS has no subject."""

    subject: str
    text: str
    html: str | None
    language: str
    link: str | None
    """Where the message leads: the page behind its button."""


@dataclass(frozen=True)
class DueMessage:
    """A message to send for `event`; `joined` happened with it and is told in the same message."""

    event: EventType
    joined: tuple[EventType, ...] = ()


def messages_due(definition: Definition, events: Sequence[EventType]) -> list[DueMessage]:
    """Which messages the events of one transaction, in order, lead to: few, instead of one per event."""
    messages = definition.texts.messages
    told = [event for event in dict.fromkeys(events) if event in messages]
    replaced = {other for event in told for other in messages[event].replaces}
    due: dict[EventType, list[EventType]] = {}
    carrier: dict[EventType, EventType] = {}
    for event in told:
        if event in replaced:
            continue
        carriers = [carrier[other] for other in carrier if other in messages[event].joins]
        if carriers:
            due[carriers[-1]].append(event)
            carrier[event] = carriers[-1]
        else:
            due[event] = []
            carrier[event] = event
    return [DueMessage(event, tuple(joined)) for event, joined in due.items()]


def render(
    definition: Definition,
    event: EventType,
    channel: MessageChannel | str,
    language: str,
    values: Values,
    *,
    municipality: Municipality,
    joined: Sequence[EventType] = (),
    addressee: str | None = None,
) -> Wording:
    """The message for `event` and what happened with it.

    `addressee` is greeted where the message goes to somebody else than the applicant.

    `values` has what `definition.PLACEHOLDERS` lists, as far as it is there; what the definition and the
    municipality know themselves (`own_values`) is filled in here.

    Raises:
        KeyError: the definition has no message for the event.
        ValueError: a value has a name that no text can use, or a link is not http(s).
    """
    messages = [definition.texts.messages[one] for one in (event, *joined)]
    spoken = _language(definition, messages, language)
    known = {**values, **own_values(definition, municipality, spoken)}
    _check(known)
    over = MessageChannel(channel)
    voice = _Voice(spoken, known, brief=over is MessageChannel.SMS)
    subject = _subject(messages, voice)
    body = _body(messages, voice)
    link = next((block.url for block in reversed(body) if isinstance(block, Button)), None)
    if over is MessageChannel.SMS:
        return Wording("", _sms(definition, messages, voice) or subject, None, spoken, link)
    untold = _Voice(spoken, {**known, "qr": None})  # plain text cannot show a picture, nor announce one
    text = _body(messages, untold)
    if over is MessageChannel.MBP:
        return Wording(subject, plain(text) or subject, None, spoken, link)
    greeted = voice if addressee is None else _Voice(spoken, {**known, "applicant": addressee})
    salutation = _blocks(definition.texts.salutation.get(spoken), greeted)
    closing = _blocks(definition.texts.closing.get(spoken), voice)
    html = None
    if over is MessageChannel.EMAIL:
        whole = [*salutation, *body]
        html = letterhead.page(subject, whole, closing, municipality=municipality, language=spoken)
    return Wording(subject, plain([*salutation, *text, *closing]), html, spoken, link)


def line(text: Text, language: str, values: Values) -> str | None:
    """One line of a definition, filled in (what DOSIS shows); None when it names what is not there."""
    _check(values)
    filled = _Voice(language if language in text.languages() else "nl", values).fill(text.get(language))
    return None if filled is None else " ".join(filled.split())


def own_values(definition: Definition, municipality: Municipality, language: str) -> dict[str, Value]:
    """What every text about a procedure can name, whatever the case."""
    contact = definition.contact
    return {
        "procedure": definition.title.get(language),
        "department": definition.department.get(language),
        "municipality": municipality.name,
        "contact_name": contact.name,
        "contact_phone": phone(contact.phone or municipality.phone),
        "contact_email": contact.email or municipality.email,
        "contact_website": contact.website or municipality.website,
        "term_days": definition.term.days,
        "appeal": definition.appeal.get(language),
        "body": definition.deciding_body.get(language),
    }


def motivation(
    definition: Definition,
    verdicts: Sequence[Verdict],
    language: str,
    values: Values,
    *,
    municipality: Municipality,
) -> dict[str, list[str]]:
    """Of the rules that were not met: why in plain words, in fact and in law (reason, fact, legal)."""
    known = {**values, **own_values(definition, municipality, language)}
    unmet = [verdict for verdict in verdicts if verdict.outcome is Outcome.NOT_MET]
    texts = {
        "reason": [verdict.message for verdict in unmet],
        "fact": [verdict.fact for verdict in unmet],
        "legal": [verdict.legal for verdict in unmet],
    }
    said = {name: [line(one, language, known) for one in group] for name, group in texts.items()}
    return {name: [one for one in group if one] for name, group in said.items()}


def _language(definition: Definition, messages: Sequence[Message], wished: str) -> str:
    """The wished language if the whole message exists in it: no message speaks two."""
    there = all(wished in message.body.languages() for message in messages)
    return wished if there and wished in definition.texts.salutation.languages() else "nl"


def _check(values: Values) -> None:
    unknown = sorted(values.keys() - PLACEHOLDERS.keys())
    if unknown:
        raise ValueError(f"no text can name: {', '.join(unknown)}")
    for name in sorted(LINKS & values.keys()):
        link = values[name]
        if link and not str(link).startswith(("https://", "http://")):
            raise ValueError(f"{name} is not an http(s) address")


# --- putting a text together ------------------------------------------------------------------

_FACT = re.compile(r"([^:{}]{1,40}): (\{\w+\})")


def _subject(messages: Sequence[Message], voice: "_Voice") -> str:
    subject = voice.fill(messages[0].subject.get(voice.language)) or ""
    for message in messages[1:]:
        if message.joined_subject is not None:
            template = message.joined_subject.get(voice.language)
            subject = voice.fill(template, subject=subject) or subject
    return " ".join(subject.split())


def _body(messages: Sequence[Message], voice: "_Voice") -> list[Block]:
    """The messages one after the other; of several, each but the first keeps its button."""
    body: list[Block] = []
    for number, message in enumerate(messages):
        button = _button(message, voice) if number or len(messages) == 1 else None
        body += _blocks(message.body.get(voice.language), voice, button)
    return body


def _button(message: Message, voice: "_Voice") -> Button | None:
    url = voice.values.get(message.button.link) if message.button else None
    return Button(message.button.label.get(voice.language), str(url)) if message.button and url else None


def _sms(definition: Definition, messages: Sequence[Message], voice: "_Voice") -> str:
    """One line: the opening, then every line whose values are there."""
    lines = [one for message in messages for one in message.sms.get(voice.language).splitlines()]
    said = [filled for one in lines if (filled := voice.fill(one))]
    opening = voice.fill(definition.texts.sms_opening.get(voice.language)) or ""
    return " ".join(" ".join([opening, *said]).split()) if said else ""


def _blocks(template: str, voice: "_Voice", button: Button | None = None) -> list[Block]:
    """A text's paragraphs and lists, without those that name what is not there.

    A paragraph that ends in a colon or asks something announces what follows and goes with it. The button
    stands where the text says `{button}`, else at the end.
    """
    blocks: list[Block] = []
    kept = False
    for part in re.split(r"\n\s*\n", template.strip()):
        block = button if part.strip() == "{button}" else _block(part.splitlines(), voice)
        announcement = blocks[-1] if kept else None
        kept = block is not None
        if block is not None:
            blocks.append(block)
        elif isinstance(announcement, Paragraph) and announcement.text.endswith((":", "?")):
            blocks.pop()
    return blocks if button is None or button in blocks else [*blocks, button]


def _block(lines: Sequence[str], voice: "_Voice") -> Block | None:
    return _list(lines, voice) if all(one.startswith("- ") for one in lines) else _paragraph(lines, voice)


def _paragraph(lines: Sequence[str], voice: "_Voice") -> Block | None:
    if len(lines) == 1 and lines[0].strip() == "{qr}":
        picture = voice.values.get("qr")
        return picture if isinstance(picture, Picture) else None
    filled = voice.fill("\n".join(one.strip() for one in lines))
    return Paragraph(filled) if filled else None


def _list(lines: Sequence[str], voice: "_Voice") -> Block | None:
    """A list; where every line is `label: {value}` it is shown as a small table."""
    templates = [one.removeprefix("- ").strip() for one in lines]
    labelled = [_FACT.fullmatch(one) for one in templates]
    if all(labelled):
        facts = [(one[1], value) for one in labelled if one and (value := voice.fill(one[2]))]
        return Facts(tuple(facts)) if facts else None
    items = [item for one in templates for item in voice.items(one)]
    return Items(tuple(items)) if items else None


def plain(blocks: Sequence[Block]) -> str:
    """The blocks as plain text; a picture cannot be told."""
    return "\n\n".join(text for block in blocks if (text := _plain(block)))


def _plain(block: Block) -> str:
    match block:
        case Paragraph(text):
            return text
        case Items(items):
            return "\n".join(f"- {item}" for item in items)
        case Facts(facts):
            return "\n".join(f"{label}: {value}" for label, value in facts)
        case Button(label, url):
            return f"{label}: {url}"
        case Picture():
            return ""


@dataclass(frozen=True)
class _Voice:
    """A language and the values to speak of; `brief` for text messages."""

    language: str
    values: Values
    brief: bool = False

    def fill(self, template: str, **more: str) -> str | None:
        """The template with its values; None when one of them is not there."""
        said: list[str] = []
        for literal, name, _, _ in Formatter().parse(template):
            said.append(literal)
            if name is not None:
                value = more.get(name) or self._say(self.values.get(name))
                if not value:
                    return None
                said.append(value)
        return "".join(said).strip()

    def items(self, template: str) -> Iterator[str]:
        """The list lines that one line becomes: one for each entry where it is nothing but a list's name."""
        name = template.removeprefix("{").removesuffix("}")
        value = self.values.get(name) if template == f"{{{name}}}" else None
        if isinstance(value, Sequence) and not isinstance(value, str):
            yield from (clean(str(one)) for one in value if str(one).strip())
        elif (filled := self.fill(template)) is not None:
            yield filled

    def _say(self, value: Value) -> str:
        match value:
            case None | Picture():
                return ""
            case str():
                return clean(value)
            case Decimal():
                text = amount(value, self.language)
                return text.replace("\N{NO-BREAK SPACE}", " ") if self.brief else text
            case Window():
                return window(value, self.language, brief=self.brief)
            case date():
                return day(value, self.language, brief=self.brief)
            case int():
                return str(value)
            case _:
                return "; ".join(clean(str(one)) for one in value)
