"""The enums of the journal, the ledger and the reconciliation."""

from loket.api.naming import enumeration
from loket.journal_files import JournalFormat
from loket.records import Compared, DifferenceKind, DifferenceState, EntryState, EntryType, LedgerAccount

enumeration(
    EntryType,
    {
        "INVOICE": "An invoice was issued.",
        "COSTS": "Costs of a reminder or a default notice are charged.",
        "CREDIT_NOTE": "An invoice was taken back, whole or in part.",
        "PAYMENT": "Money came in.",
        "REFUND_DUE": "Money must go back to the payer.",
        "REFUND": "It went back.",
        "REFUND_RETURNED": "A refund came back.",
        "WRITE_OFF": "A debt was given up.",
        "WRITE_OFF_REVERSED": "It was paid after all.",
        "CHARGEBACK": "The payer's bank took a payment back.",
        "CHARGEBACK_REVERSED": "That money is ours again.",
        "PAYOUT": "A premium was paid out.",
        "PAYOUT_RETURNED": "A premium came back.",
    },
    description="What a journal entry is of.",
)
enumeration(
    EntryState,
    {
        "LEFT": "On its way to accounting.",
        "BOOKED": "Accounting booked it.",
        "REJECTED": "Accounting will not have it.",
        "KNOWN": "Accounting told us itself.",
    },
    description="Whether accounting has a journal entry.",
)
enumeration(
    JournalFormat,
    {
        "CSV": "The lines of the journal, with semicolons and a decimal comma.",
        "UBL_ZIP": "Invoices and credit notes as UBL, of organisations.",
        "PAIN_001_ZIP": "The payment files as they went to accounting; for the record, not to be paid again.",
    },
    description="As what the journal of a period is written.",
)
enumeration(
    LedgerAccount,
    {
        "RECEIVABLE": "What citizens owe.",
        "REVENUE": "Income, by budget key.",
        "VAT": "VAT that is due to the state.",
        "COSTS": "Costs of dunning that are charged.",
        "BANK": "The bank account.",
        "MODULE": "With the payment module, on its way to the bank.",
        "CASH": "The till.",
        "REFUNDABLE": "What must go back to whoever paid it.",
        "GRANTS": "Premiums, by budget key.",
        "LOSS": "What was written off.",
    },
    description="What the ledger counts on.",
)
enumeration(
    Compared,
    {
        "MONEY": "All that is known of the money of a period.",
        "PLANNING": "Deliveries, with what the planning tool has of them.",
        "STATUSES": "Statuses of cases, with what DOSIS has of them.",
    },
    description="What is compared.",
)
enumeration(
    DifferenceKind,
    {
        "PROVIDER": "The payment module says something else of a payment than we do.",
        "ENTRY_MISSING": "Money moved, and no journal entry says so.",
        "ENTRY_DIFFERS": "A journal entry is of another amount than what it books.",
        "ENTRY_NOT_TOLD": "Accounting does not have a journal entry, and nothing is under way to tell it.",
        "STATEMENT": "The bank's statements do not show a transfer of ours, or show it otherwise.",
        "INVOICE": "An invoice does not add up to what was paid, credited and booked on it.",
        "REFUND": "More goes back than came in.",
        "PAYOUT": "More was paid out than was granted.",
        "LEDGER": "Debit and credit of an entry differ.",
        "PLACE_MISSING": "A delivery is agreed on, and the planning tool has no place for it.",
        "PLACE_UNKNOWN": "The planning tool has a place for a delivery that is not agreed on.",
        "PLACE_DIFFERS": "The planning tool has a delivery in another slot.",
        "OUTCOME_UNHEARD": "The planning tool says how a delivery went, and Loket did not hear of it.",
        "STATUS_NOT_TOLD": "DOSIS does not have a case's last status, and nothing is under way to tell it.",
        "STATUS_REFUSED": "DOSIS took a case's last status, and did not process it.",
    },
    description="How two records of the same thing disagree.",
)
enumeration(
    DifferenceState,
    {
        "OPEN": "To be settled.",
        "REPAIRED": "Settled.",
        "GONE": "A later reconciliation did not find it any more.",
    },
    description="Where a difference stands.",
)
