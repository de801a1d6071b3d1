"""The enums of the bank's statements."""

from enum import StrEnum

from loket.api.naming import enumeration
from loket.lifecycle import BankEntryStatus
from loket.records import StatementFormat


class SuggestionReason(StrEnum):
    """Why an invoice may be what a movement pays."""

    REFERENCE = "REFERENCE"
    ALMOST_REFERENCE = "ALMOST_REFERENCE"
    ACCOUNT = "ACCOUNT"
    AMOUNT = "AMOUNT"
    NAME = "NAME"


enumeration(
    StatementFormat,
    {"CODA": "CODA 2, of Belgian banks.", "CAMT_053": "camt.053 of ISO 20022."},
    description="In which form a statement came.",
)
enumeration(
    BankEntryStatus,
    {
        "OPEN": "Nobody knows yet what it is of.",
        "MATCHED": "It is a payment, or a payout, or its return.",
        "SET_ASIDE": "It is not for Loket.",
    },
    description="Where a movement on the account stands.",
)
enumeration(
    SuggestionReason,
    {
        "REFERENCE": "The text holds its structured communication.",
        "ALMOST_REFERENCE": "So it does but for one digit, or two that were swapped.",
        "ACCOUNT": "Its debtor paid from this account before.",
        "AMOUNT": "As much is open on it.",
        "NAME": "The payer's name is that of its debtor.",
    },
)
