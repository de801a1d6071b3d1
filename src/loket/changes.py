"""What became different between two versions of a procedure, one thing at a time and in words. No I/O."""

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What became different."""

    FIELD_ADDED = "FIELD_ADDED"
    FIELD_REMOVED = "FIELD_REMOVED"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    FIELD_OPTIONAL = "FIELD_OPTIONAL"
    FIELD_CHANGED = "FIELD_CHANGED"
    PRODUCT_ADDED = "PRODUCT_ADDED"
    PRODUCT_REMOVED = "PRODUCT_REMOVED"
    PRODUCT_CHANGED = "PRODUCT_CHANGED"
    PRICE_CHANGED = "PRICE_CHANGED"
    RULE_ADDED = "RULE_ADDED"
    RULE_REMOVED = "RULE_REMOVED"
    RULE_CHANGED = "RULE_CHANGED"
    DOCUMENT_ADDED = "DOCUMENT_ADDED"
    DOCUMENT_REMOVED = "DOCUMENT_REMOVED"
    DOCUMENT_CHANGED = "DOCUMENT_CHANGED"
    LOOK_UP_ADDED = "LOOK_UP_ADDED"
    LOOK_UP_REMOVED = "LOOK_UP_REMOVED"
    LOOK_UP_CHANGED = "LOOK_UP_CHANGED"
    BENEFIT_ADDED = "BENEFIT_ADDED"
    BENEFIT_REMOVED = "BENEFIT_REMOVED"
    BENEFIT_CHANGED = "BENEFIT_CHANGED"
    AMOUNT_CHANGED = "AMOUNT_CHANGED"
    TERM_CHANGED = "TERM_CHANGED"
    PART_CHANGED = "PART_CHANGED"


@dataclass(frozen=True)
class Change:
    """One difference."""

    kind: ChangeKind
    subject: str
    """Where, as the file has it: a key, a JSON pointer, the word of a part."""
    text: str
    for_applicant: bool = True
    """Whether it is of any concern to somebody who is filling it in."""


K = ChangeKind

PARTS: dict[str, tuple[str, str, bool]] = {
    "form": ("de woorden of de volgorde van het formulier", "the words or the order of the form", False),
    "documents": ("de woorden van de bewijsstukken", "the words about documents", False),
    "catalogue": ("de catalogus", "the catalogue", False),
    "benefits": ("de woorden van de toelagen", "the words about benefits", False),
    "rules": ("de woorden van de voorwaarden", "the words of the conditions", False),
    "checks": ("de woorden van de opzoekingen", "the words about look-ups", False),
    "term": ("de behandeltermijn", "the term", False),
    "co_applicant": ("de medeaanvrager", "the co-applicant", True),
    "duplicates": ("de controle op dubbele aanvragen", "what may be asked once", True),
    "window": ("de aanvraagperiode", "when applications are taken", True),
    "validity": ("de geldigheidsduur", "how long it holds", True),
    "renewal": ("de hernieuwing", "the renewal", True),
    "payment": ("de betaling", "the payment", True),
    "payout": ("de uitbetaling", "the payout", True),
    "planning": ("de planning van de levering", "how a delivery is planned", True),
    "delivery": ("de levering", "the delivery", True),
    "tables": ("de bedragen en drempels in de voorwaarden", "amounts and thresholds of conditions", True),
    "reference_date": ("de referentiedatum", "the reference date", True),
    "deciding_body": ("wie beslist", "who decides", True),
    "appeal": ("het beroep", "the appeal", True),
    "legal_basis": ("de rechtsgrond", "the legal basis", True),
    "valid_from": ("de eerste dag", "the first day", False),
    "valid_to": ("de laatste dag", "the last day", False),
    "title": ("de titel", "the title", False),
    "description": ("de beschrijving", "the description", False),
    "ipdc_product_id": ("het productnummer in de IPDC", "the product in the IPDC", False),
    "department": ("de dienst", "the department", False),
    "contact": ("het contactpunt", "the contact", False),
    "reference_prefix": ("het begin van de dossiernummers", "how references begin", False),
    "drafts": ("hoelang een aanvraag bewaard wordt voor ze is ingediend", "how long drafts are kept", False),
    "stages": ("de stappen", "the stages", False),
    "screening": ("de screening", "the screening", False),
    "assessment": ("de beoordeling", "the assessment", False),
    "decision": ("de beslissing", "the decision", False),
    "information": ("de vraag om meer informatie", "asking for more", False),
    "phases": ("de fasen van de blauwdruk", "the phases of the blueprint", False),
    "advisers": ("de adviseurs", "the advisers", False),
    "texts": ("de berichten", "the messages", False),
    "dosis": ("de statussen voor DOSIS", "the states for DOSIS", False),
    "retention": ("de bewaartermijnen", "how long cases are kept", False),
}
"""Every part of a definition but key and version: in Dutch, in English, whether it concerns applicants."""

_WORDS: dict[str, tuple[str, str]] = {
    "asked": ("Nieuwe vraag: {title}.", "New question: {title}."),
    "needed": ("Nieuwe vraag, verplicht in te vullen: {title}.", "New question, to be filled in: {title}."),
    K.FIELD_REMOVED: ("Niet meer gevraagd: {title}.", "Not asked any more: {title}."),
    K.FIELD_REQUIRED: ("Nu verplicht in te vullen: {title}.", "To be filled in now: {title}."),
    K.FIELD_OPTIONAL: ("Niet meer verplicht: {title}.", "May be left empty now: {title}."),
    K.FIELD_CHANGED: ("Anders gevraagd: {title}.", "Asked in another way: {title}."),
    K.PRODUCT_ADDED: ("Nieuw te krijgen: {title}, {now}.", "New: {title}, {now}."),
    K.PRODUCT_REMOVED: ("Niet meer te krijgen: {title}.", "Not to be had any more: {title}."),
    K.PRODUCT_CHANGED: (
        "Andere korting, waarborg of hoogste aantal: {title}.",
        "Another discount, deposit or maximum: {title}.",
    ),
    K.PRICE_CHANGED: ("Andere prijs: {title}, van {was} naar {now}.", "New price: {title}, {was} to {now}."),
    K.RULE_ADDED: ("Nieuwe voorwaarde: {title}.", "New condition: {title}."),
    K.RULE_REMOVED: ("Geen voorwaarde meer: {title}.", "No condition any more: {title}."),
    K.RULE_CHANGED: ("Gewijzigde voorwaarde: {title}.", "Changed condition: {title}."),
    K.DOCUMENT_ADDED: ("Nieuw bewijsstuk: {title}.", "New document: {title}."),
    K.DOCUMENT_REMOVED: ("Geen bewijsstuk meer: {title}.", "No document any more: {title}."),
    K.DOCUMENT_CHANGED: (
        "Bewijsstuk in andere gevallen of met een andere inhoud: {title}.",
        "Document needed in other cases, or with another content: {title}.",
    ),
    K.LOOK_UP_ADDED: ("Wij zoeken nu zelf op: {title}.", "We look up ourselves now: {title}."),
    K.LOOK_UP_REMOVED: ("Wij zoeken niet meer op: {title}.", "We no longer look up: {title}."),
    K.LOOK_UP_CHANGED: ("Wij zoeken op een andere manier op: {title}.", "Looked up otherwise: {title}."),
    K.BENEFIT_ADDED: ("Nieuw: {title}.", "New: {title}."),
    K.BENEFIT_REMOVED: ("Niet meer: {title}.", "No longer: {title}."),
    K.BENEFIT_CHANGED: ("Andere voorwaarden: {title}.", "Other conditions: {title}."),
    K.AMOUNT_CHANGED: (
        "Ander bedrag: {title}, van {was} naar {now}.",
        "Another amount: {title}, {was} to {now}.",
    ),
    K.TERM_CHANGED: (
        "U krijgt een beslissing binnen {now} dagen (was {was}).",
        "There is a decision within {now} days (was {was}).",
    ),
    "term_working": (
        "U krijgt een beslissing binnen {now} werkdagen (was {was} dagen).",
        "There is a decision within {now} working days (was {was} days).",
    ),
    K.PART_CHANGED: ("Gewijzigd: {part}.", "Changed: {part}."),
}


def said(
    kind: ChangeKind,
    subject: str,
    language: str,
    for_applicant: bool = True,
    *,
    words: str = "",
    **values: str,
) -> Change:
    text = _WORDS[words or kind][language == "en"].format_map(values)
    return Change(kind, subject, text, for_applicant)
