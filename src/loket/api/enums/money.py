"""The enums of invoices, payments, refunds and payouts."""

from loket.api.naming import enumeration
from loket.definition import VatCategory
from loket.lifecycle import InvoiceStatus, PaymentStatus, PayoutStatus, RefundStatus
from loket.records import DunningKind, PaymentMethod, PayoutKind

enumeration(
    InvoiceStatus,
    {
        "ISSUED": "To be paid.",
        "PARTLY_PAID": "Paid in part.",
        "PAID": "Paid.",
        "CREDITED": "Taken back.",
        "HANDED_OVER": "Handed over for recovery.",
        "WRITTEN_OFF": "Written off.",
    },
    description="Where an invoice stands.",
)
enumeration(
    VatCategory,
    {
        "OUTSIDE_SCOPE": "Outside the scope of VAT.",
        "EXEMPT": "Exempt.",
        "STANDARD": "Taxed at a rate.",
    },
    description="How VAT looks at what is sold.",
)
enumeration(
    PaymentStatus,
    {
        "STARTED": "The citizen is paying.",
        "PENDING": "Paid, but the money is not certain yet.",
        "CAPTURED": "The money is there.",
        "FAILED": "No money came of it.",
    },
    description="Where a payment stands.",
)
enumeration(
    PaymentMethod,
    {"ONLINE": "Through the payment module.", "TRANSFER": "By bank transfer.", "COUNTER": "At the counter."},
    description="How money came.",
)
enumeration(
    DunningKind,
    {
        "REMINDER": "Asked for again.",
        "DEFAULT_NOTICE": "Given notice of default, by letter.",
        "HANDED_OVER": "Handed over to the financial director, for a warrant.",
        "WRITTEN_OFF": "Given up.",
    },
    description="What was done to have an invoice paid.",
)
enumeration(
    RefundStatus,
    {
        "DUE": "To be paid back.",
        "ORDERED": "Ordered.",
        "DONE": "Paid back.",
        "FAILED": "Refused by the module.",
    },
    description="Where a refund stands.",
)
enumeration(
    PayoutKind,
    {"PREMIUM": "What was granted.", "REFUND": "What a citizen paid, going back by transfer."},
    description="What a payout is.",
)
enumeration(
    PayoutStatus,
    {
        "ORDERED": "Ordered; a second person approves.",
        "APPROVED": "Approved; on its way to accounting.",
        "DECLINED": "Not approved.",
        "SENT": "Accounting has it.",
        "EXECUTED": "Paid.",
        "REJECTED": "Refused by the bank.",
        "RETURNED": "Paid, and it came back.",
        "IN_DOUBT": "It is not certain whether money moved.",
        "CANCELLED": "Cancelled before it was sent.",
    },
    description="Where a payout stands.",
)
