"""What the bank says: statements of the municipality's account, and the movements on them.

Money of all departments goes over that one account, and of other people too: it is for who keeps the books
of all of them.
"""

from datetime import date, datetime
from decimal import Decimal

from loket import records
from loket.api.naming import Field, input_type
from loket.api.objects import suggestions
from loket.api.objects.conditions import among, equal
from loket.api.objects.money import Payment, Payout
from loket.api.objects.people import StaffMember
from loket.api.objects.suggestions import BankEntrySuggestion
from loket.api.reads import (
    Connection,
    Node,
    column,
    condition,
    entity,
    expression,
    many,
    newest,
    oldest,
    one,
    orders,
    part,
    parts,
)
from loket.api.scalars import Money
from loket.api.visibility import of_all_books
from loket.lifecycle import BankEntryStatus
from loket.records import StatementFormat


def _euro(text: str, name: str) -> Field:
    return part(text, {"amount": f"{{t}}.{name}", "currency": "'EUR'"})


@input_type
class BankEntryFilter:
    """Which movements."""

    status: list[BankEntryStatus] | None = among("In one of these.", "status")
    amount: Decimal | None = equal("Of exactly this many EUR; below zero for what left.", "amount")
    text: str | None = condition(
        "With these words in the communication, or in the name of the other side.",
        "position(lower({value}) IN lower({t}.remittance || ' ' || {t}.counterparty_name)) > 0",
    )
    reference: str | None = equal("With this structured communication, 12 digits.", "reference")
    booked_from: date | None = condition("Booked on this day or later.", "{t}.booked_on >= {value}")
    booked_until: date | None = condition("Booked on this day or before.", "{t}.booked_on <= {value}")
    incoming: bool | None = condition("True: what came; false: what left.", "({t}.amount > 0) = {value}")


BANK_ENTRY_ORDER = orders(
    "BankEntryOrder",
    "In which order movements come.",
    NEWEST=(newest("booked_on"), "Last booked first."),
    OLDEST=(oldest("booked_on"), "First booked first."),
)
IN_ORDER = orders("BankStatementEntryOrder", "In which order.", POSITION=(oldest("position"), "The bank's."))
BANK_STATEMENT_ORDER = orders(
    "BankStatementOrder",
    "In which order statements come.",
    NEWEST=(newest("imported_at"), "Last imported first."),
)


@entity(records.BankEntry, policy=of_all_books)
class BankEntry(Node):
    """A movement on the municipality's account."""

    status: BankEntryStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    position: int = column("Its place on the statement, from 1.")
    amount: Money = _euro("How much: above zero it came, below it left.", "amount")
    booked_on: date = column("When the bank booked it.")
    value_on: date = column("The day on which it counts.")
    bank_reference: str = column("The bank's own name for it.")
    end_to_end_id: str = column("What who ordered it called it.")
    structured_reference: str = column(
        "The structured communication, 12 digits; empty without one.", "reference"
    )
    remittance: str = column("What the payer wrote.")
    counterparty_name: str = column("Who paid, or was paid.")
    counterparty_account: str = column("The other account, masked.", "counterparty_iban_masked")
    return_code: str = column("Why it came back (ISO 20022); empty when it did not.")
    reason: str = column("Why a person set it aside.")
    settled_by: StaffMember | None = one(
        "Who matched it or set it aside; null when it went by itself.", on="settled_by_id"
    )
    settled_at: datetime | None = column("When.")
    statement: "BankStatement" = one("On which statement.", on="statement_id", with_parent=True)
    payment: Payment | None = one("The payment that it is.", on="payment_id")
    payout: Payout | None = one("The payout that it is, or the return of.", on="payout_id")
    suggestions: list[BankEntrySuggestion] = parts(
        "Invoices that it may pay, the most probable first; empty once it is matched.",
        suggestions.ARRAY,
        suggestions.FIELDS,
    )


@entity(records.BankStatement, policy=of_all_books)
class BankStatement(Node):
    """What the bank says happened on the municipality's account (rekeninguittreksel)."""

    format: StatementFormat = column("In which form it came.")
    account: str = column("The municipality's account.", "iban")
    number: str = column("The bank's number of it.", "statement_key")
    starts_on: date = column("The day of the opening balance.")
    ends_on: date = column("The day of the closing balance.")
    opening: Money = _euro("The opening balance.", "opening")
    closing: Money = _euro("The closing balance.", "closing")
    file_name: str = column("The file that it came in.")
    imported_at: datetime = column("When.")
    imported_by: StaffMember | None = one("By whom; null when it lay in the folder.", on="imported_by_id")
    open_count: int = expression(
        "How many of its movements nobody knows yet what they are of.",
        "(SELECT count(*) FROM bankentry e WHERE e.statement_id = {t}.id AND e.status = 'OPEN')::int",
    )
    entries: Connection[BankEntry] = many(
        "Its movements.", on="statement_id", filter=BankEntryFilter, orders=IN_ORDER
    )
