"""The journal, the ledger, and what a reconciliation found."""

from datetime import date, datetime
from decimal import Decimal
from typing import cast

from strawberry.scalars import JSON

from loket import records
from loket.api.naming import described, input_type, output
from loket.api.objects.conditions import among
from loket.api.objects.links import ItsCase
from loket.api.objects.money import Invoice
from loket.api.objects.people import StaffMember
from loket.api.reads import (
    Node,
    column,
    condition,
    entity,
    expression,
    listed,
    newest,
    oldest,
    one,
    orders,
    parts,
)
from loket.api.scalars import CurrencyCode, Money
from loket.api.visibility import of_books, of_comparison, of_difference
from loket.ledger import Balance
from loket.records import Compared, DifferenceKind, DifferenceState, EntryState, EntryType, LedgerAccount


@output
class JournalLine:
    """One side of a journal entry, on one account."""

    account: LedgerAccount = described("On which account.")
    debit: Decimal = described("In EUR; 0 on the credit side.")
    credit: Decimal = described("In EUR; 0 on the debit side.")
    budget_key: JSON | None = described("Under which budget key (BBC), where the account has them.")
    description: str = described("What for.")


@entity(records.JournalEntry, policy=of_books)
class JournalEntry(Node):
    """What one movement of money or debt means in the books (boekstuk). Its debit and credit are equal."""

    type: EntryType = column("What it is of.")
    journal: str = column("The journal (dagboek) of the invoice or credit note; empty for a premium.")
    document_number: str = column("The number of what it books.")
    booked_on: date = column("The day.")
    amount: Decimal = column("In EUR: its debit side, which is its credit side.")
    state: EntryState = column("Whether accounting has it.")
    voucher: str = column("Accounting's own number.")
    reason: str = column("Why accounting rejected it.")
    lines: list[JournalLine] = parts(
        "Its sides.",
        "(SELECT jsonb_agg(jsonb_build_object('account', l.account, 'debit', l.debit, 'credit', l.credit,"
        " 'budget_key', l.budget_key, 'description', l.description) ORDER BY l.position)"
        " FROM journalline l WHERE l.entry_id = {t}.id)",
        {
            "account": "{t} ->> 'account'",
            "debit": "({t} ->> 'debit')::numeric",
            "credit": "({t} ->> 'credit')::numeric",
            "budget_key": "{t} -> 'budget_key'",
            "description": "{t} ->> 'description'",
        },
    )
    invoice: Invoice | None = one("About which invoice.", on="invoice_id", with_parent=True)
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)


@input_type
class JournalEntryFilter:
    """Which journal entries."""

    type: list[EntryType] | None = among("Of one of these kinds.", "type")
    state: list[EntryState] | None = among("In one of these states.", "state")
    booked_from: date | None = condition("From this day on.", "{t}.booked_on >= {value}")
    booked_to: date | None = condition("Up to this day.", "{t}.booked_on <= {value}")


JOURNAL_ORDER = orders(
    "JournalEntryOrder",
    "In which order journal entries come.",
    NEWEST=(newest("booked_on"), "Last booked first."),
    OLDEST=(oldest("booked_on"), "First booked first."),
)


@output
class LedgerBalance:
    """One account under one budget key."""

    account: LedgerAccount = described("The account.")
    budget_key: JSON | None = described("The budget key (BBC), where the account has them.")
    opening: Money = described("Debit less credit before the period.")
    debit: Money = described("Debit in the period.")
    credit: Money = described("Credit in the period.")
    closing: Money = described("Debit less credit at the end of the period.")


@output
class Ledger:
    """The ledger of a period (grootboek): its debit and credit are equal."""

    starts_on: date = described("The first day.")
    ends_on: date = described("The last day.")
    debit: Money = described("All debit of the period.")
    credit: Money = described("All credit of the period.")
    balances: list[LedgerBalance] = described("By account and budget key.")


def _euro(amount: Decimal) -> Money:
    return Money(amount=amount, currency=CurrencyCode("EUR"))


def ledger_of(starts_on: date, ends_on: date, balances: list[Balance]) -> Ledger:
    return Ledger(
        starts_on=starts_on,
        ends_on=ends_on,
        debit=_euro(sum((one.debit for one in balances), Decimal(0))),
        credit=_euro(sum((one.credit for one in balances), Decimal(0))),
        balances=[
            LedgerBalance(
                account=one.account,
                budget_key=cast("JSON | None", one.budget_key),
                opening=_euro(one.opening),
                debit=_euro(one.debit),
                credit=_euro(one.credit),
                closing=_euro(one.closing),
            )
            for one in balances
        ],
    )


@entity(records.Difference, policy=of_difference)
class Difference(Node):
    """Where two records of the same thing disagree: of money, of a delivery, of a status."""

    kind: DifferenceKind = column("How they disagree.")
    state: DifferenceState = column("Where it stands.")
    expected: Decimal | None = column("Of money: what our own record says, in EUR.")
    found: Decimal | None = column("Of money: what the other says, in EUR; null when it says nothing.")
    detail: JSON = column("What else is known of it.")
    found_at: datetime = column("When it was found first.")
    ended_at: datetime | None = column("When it was settled, or not found any more.")
    repaired_by: StaffMember | None = one("Who settled it.", on="repaired_by_id")
    case: ItsCase | None = one("On which case.", on="case_id", with_parent=True)


@input_type
class DifferenceFilter:
    """Which differences."""

    state: list[DifferenceState] | None = among("In one of these states.", "state")
    kind: list[DifferenceKind] | None = among("Of one of these kinds.", "kind")


DIFFERENCE_ORDER = orders(
    "DifferenceOrder", "In which order differences come.", NEWEST=(newest("found_at"), "Last found first.")
)


@entity(records.Reconciliation, policy=of_comparison)
class Reconciliation(Node):
    """A comparison of all that is known of the money of a period, or of what others have (afstemming)."""

    subject: Compared = column("What is compared.")
    starts_on: date = column("The first day.")
    ends_on: date = column("The last day.")
    started_at: datetime = column("When it was begun.")
    ended_at: datetime | None = column("When it was done; null while a worker is at it.")
    started_by: StaffMember | None = one("Who asked for it; null for the daily one.", on="started_by_id")
    compared: JSON = column("What was compared: per kind how many, and of money their sum in EUR.")
    open_differences: int = expression(
        "How many differences it found that are not settled.",
        "(SELECT count(*)::int FROM difference d WHERE d.reconciliation_id = {t}.id AND d.state = 'OPEN')",
    )
    differences: list[Difference] = listed(
        "What it found; the first hundred.",
        where="{t}.reconciliation_id = {parent}.id",
        order="{t}.id",
    )


RECONCILIATION_ORDER = orders(
    "ReconciliationOrder",
    "In which order reconciliations come.",
    NEWEST=(newest("started_at"), "Last begun first."),
)
