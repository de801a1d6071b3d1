"""Which papers must be there when an application is handed in (verplicht bewijsstuk): its file says when."""

from loket.definition import Definition, DocumentKind
from loket.errors import ErrorCode
from loket.forms import FieldFault
from loket.rules import Facts, Outcome, weigh

_MISSING = ("Voeg dit bewijsstuk toe: {title}.", "Add this document: {title}.")


def required(definition: Definition, facts: Facts) -> list[DocumentKind]:
    """Those that must certainly be there; where it cannot be told yet, a handler can ask."""
    return [
        kind
        for kind in definition.documents
        if kind.required is not None and weigh(kind.required, facts).outcome is Outcome.MET
    ]


def missing(definition: Definition, facts: Facts, language: str) -> list[FieldFault]:
    """A fault for each that must be there and is not; `facts` of the draft."""
    said = _MISSING[language == "en"]
    return [
        FieldFault(["documents", kind.key], ErrorCode.REQUIRED, said.format(title=kind.title.get(language)))
        for kind in required(definition, facts)
        if not facts.documents.get(kind.key)
    ]
