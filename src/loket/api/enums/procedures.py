"""The enums of what differs between two versions of a procedure."""

from loket.api.naming import enumeration
from loket.changes import ChangeKind

enumeration(
    ChangeKind,
    {
        "FIELD_ADDED": "Something more is asked.",
        "FIELD_REMOVED": "Something is not asked any more.",
        "FIELD_REQUIRED": "A question has to be answered now.",
        "FIELD_OPTIONAL": "A question need not be answered any more.",
        "FIELD_CHANGED": "A question takes other answers, or is asked in other cases.",
        "PRODUCT_ADDED": "Something more can be ordered.",
        "PRODUCT_REMOVED": "Something can not be ordered any more.",
        "PRODUCT_CHANGED": "Another discount, deposit or maximum.",
        "PRICE_CHANGED": "Another price.",
        "RULE_ADDED": "A new condition.",
        "RULE_REMOVED": "No condition any more.",
        "RULE_CHANGED": "A condition reads otherwise.",
        "DOCUMENT_ADDED": "Another paper can be added.",
        "DOCUMENT_REMOVED": "A paper is not a document of its own any more.",
        "DOCUMENT_CHANGED": "A paper is needed in other cases, or must hold something else.",
        "LOOK_UP_ADDED": "Something more is looked up in an authentic source.",
        "LOOK_UP_REMOVED": "Something is not looked up any more.",
        "LOOK_UP_CHANGED": "Something is looked up otherwise.",
        "BENEFIT_ADDED": "Another sum can be granted.",
        "BENEFIT_REMOVED": "A sum is not granted any more.",
        "BENEFIT_CHANGED": "A sum is granted on other conditions.",
        "AMOUNT_CHANGED": "Another amount is granted.",
        "TERM_CHANGED": "Another term to decide in.",
        "PART_CHANGED": "Something else in a part of the definition; `subject` is its word.",
    },
    name="ProcedureChangeKind",
    description="What is different in another version of a procedure.",
)
