"""The shape of a procedure file: what a municipality writes to have a blueprint executed.

One file per procedure and version, in YAML that a civil servant can read. Everything that differs between
procedures stands there; nothing of it stands in the code. Here is only the shape, with what each word means;
`publishing` reads a file and checks that it makes sense as a whole.
"""

from loket.definition.afterwards import Renewal, Validity
from loket.definition.blueprint import Phase
from loket.definition.catalogue import (
    BudgetKey,
    Catalogue,
    FirstUnitDiscount,
    Free,
    Maximum,
    Option,
    Price,
    Product,
    Vat,
    VatCategory,
)
from loket.definition.conditions import CoApplicant, Duplicate
from loket.definition.dosis import DOSIS_CODES, DOSIS_PHASES, DosisRow
from loket.definition.form import PREFILL_SOURCES, Form, Json, Prefill
from loket.definition.grants import Adviser, Benefit, Check, DocumentKind, Figure, ReferenceDate, Window
from loket.definition.rules import Rule, Rules
from loket.definition.shape import LANGUAGES, Days, Eur, Key, MessageChannel, Shape, Text
from loket.definition.stages import (
    Agenda,
    Appeal,
    Assessment,
    Buyer,
    Contact,
    DecidingBody,
    Decision,
    DefaultNotice,
    Delivery,
    Drafts,
    Information,
    Payment,
    PayoutRules,
    Planning,
    Reminder,
    Screening,
    Term,
)
from loket.definition.texts import ALWAYS, LINKS, PLACEHOLDERS, Button, Message, Texts
from loket.definition.whole import Definition, Retention

__all__ = [
    "ALWAYS",
    "DOSIS_CODES",
    "DOSIS_PHASES",
    "LANGUAGES",
    "LINKS",
    "PLACEHOLDERS",
    "PREFILL_SOURCES",
    "Adviser",
    "Agenda",
    "Appeal",
    "Assessment",
    "Benefit",
    "BudgetKey",
    "Button",
    "Buyer",
    "Catalogue",
    "Check",
    "CoApplicant",
    "Contact",
    "Days",
    "DecidingBody",
    "Decision",
    "DefaultNotice",
    "Definition",
    "Delivery",
    "DocumentKind",
    "DosisRow",
    "Drafts",
    "Duplicate",
    "Eur",
    "Figure",
    "FirstUnitDiscount",
    "Form",
    "Free",
    "Information",
    "Json",
    "Key",
    "Maximum",
    "Message",
    "MessageChannel",
    "Option",
    "Payment",
    "PayoutRules",
    "Phase",
    "Planning",
    "Prefill",
    "Price",
    "Product",
    "ReferenceDate",
    "Reminder",
    "Renewal",
    "Retention",
    "Rule",
    "Rules",
    "Screening",
    "Shape",
    "Term",
    "Text",
    "Texts",
    "Validity",
    "Vat",
    "VatCategory",
    "Window",
]
