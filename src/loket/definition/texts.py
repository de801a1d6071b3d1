"""What is said, and what it can name."""

from typing import Literal

from loket.definition.shape import MessageChannel, Shape, Text
from loket.lifecycle import EventType

PLACEHOLDERS: dict[str, str] = {
    "applicant": "name of the applicant",
    "reference": "number of the case",
    "procedure": "title of the procedure",
    "municipality": "name of the municipality",
    "department": "department that handles the case",
    "contact_name": "whom to ask",
    "contact_phone": "phone number of the contact",
    "contact_email": "e-mail address of the contact",
    "contact_website": "website of the contact",
    "term_days": "days of the term",
    "decide_by": "last day of the term (date)",
    "submitted_on": "day of submission (date)",
    "items": "what was ordered, one line per product (list)",
    "amount": "what is to be paid (amount)",
    "paid": "what came in (amount)",
    "outstanding": "what is still to be paid (amount)",
    "open_before": "what was to be paid before a reminder's cost (amount)",
    "cost": "what this reminder or notice of default costs (amount)",
    "costs": "what all reminders together cost (amount)",
    "pay_by": "last day before more follows on a reminder (date)",
    "credited": "what is not due any more (amount)",
    "charged_back": "what the payer's bank took back (amount)",
    "due_on": "last day to pay (date)",
    "invoice_number": "number of the invoice",
    "structured_reference": "structured communication, printed +++123/4567/89002+++",
    "iban": "account of the municipality, in groups of four",
    "payee": "name on that account",
    "qr": "picture of the payment code, in a paragraph of its own (only in e-mail)",
    "button": "the message's button, in a paragraph of its own; not named: at the end",
    "refund": "what is paid back (amount)",
    "reason": "why, in plain words (list)",
    "fact": "motivation in fact (list)",
    "legal": "motivation in law (list)",
    "appeal": "where, how and by when to appeal",
    "question": "what the handler asks",
    "answer_by": "last day to answer (date)",
    "choose_by": "last day to choose a slot (date)",
    "slot": "the agreed delivery: day and hours (window)",
    "previous_slot": "the delivery that was agreed before (window)",
    "address": "where it is delivered",
    "link_case": "page of the case",
    "link_pay": "page to pay online",
    "link_slots": "page to choose a slot",
    "link_answer": "page to give information",
    "link_review": "page to ask that a person looks again",
    "body": "the body that decides, in full",
    "meeting_on": "day of the meeting that decides (date)",
    "granted": "what is granted (amount)",
    "benefits": "what is granted, one line each (list)",
    "refused_benefits": "what was asked and is not granted (list)",
    "conditions": "conditions of the decision (list)",
    "account": "the applicant's account, masked",
    "paid_on": "day of payment (date)",
    "adviser": "who is asked for advice",
    "link_account": "page to give another account",
    "co_applicant": "name of the co-applicant",
    "valid_from": "first day on which it holds (date)",
    "valid_until": "last day on which it holds (date)",
    "deposit": "what of a deposit is released (amount)",
    "kept": "what of a deposit is kept (amount)",
    "link_draft": "page of the draft that was opened to ask it again",
    "link_confirm": "page on which a co-applicant confirms",
    "link_experience": "page to say how it went",
}
"""What a text can name between braces, and what it stands for."""

ALWAYS = frozenset(
    {
        "applicant",
        "reference",
        "procedure",
        "municipality",
        "department",
        "contact_name",
        "contact_phone",
        "contact_email",
        "contact_website",
        "term_days",
        "appeal",
        "body",
        "submitted_on",
        "link_case",
    }
)
"""Placeholders that every message has a value for; only these may stand in a subject."""

LINKS = frozenset(name for name in PLACEHOLDERS if name.startswith("link_"))


class Button(Shape):
    """What the citizen is asked to do, in one press."""

    label: Text
    """What stands on it."""
    link: Literal[
        "link_case",
        "link_pay",
        "link_slots",
        "link_answer",
        "link_review",
        "link_account",
        "link_draft",
        "link_confirm",
        "link_experience",
    ]
    """Where it leads; see the placeholders of the same name."""


class Message(Shape):
    """What is said when an event happens.

    `body` is paragraphs separated by an empty line; lines that begin with "- " are a list. A paragraph or
    list line that names something which is not there (no value for its placeholder) is left out; so is a
    line of `sms`.
    """

    subject: Text
    """Only placeholders that always have a value may stand here."""
    body: Text
    """For Mijn Burgerprofiel, e-mail and letter."""
    sms: Text
    """For SMS; short, a line per thing."""
    button: Button | None = None
    """Where one goes from here."""
    joins: tuple[EventType, ...] = ()
    """Happens it together with one of these, then it is added to that message and not sent apart."""
    joined_subject: Text | None = None
    """The subject then; `{subject}` is that of the message it joined."""
    replaces: tuple[EventType, ...] = ()
    """Happens it together with one of these, then those are not sent."""
    channels: tuple[MessageChannel, ...] = tuple(MessageChannel)
    """Over which it may go; the citizen's own choice is among them."""


class Texts(Shape):
    """Only the events that stand here produce a message."""

    salutation: Text
    """Above each message."""
    closing: Text
    """Under each message."""
    sms_opening: Text
    """Before each SMS: who sends it."""
    messages: dict[EventType, Message]
    """Per event, what is said."""
