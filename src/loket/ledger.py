"""The ledger (grootboek) of a period: what the journal adds up to, by account and budget key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import case as when
from sqlalchemy import func, select
from sqlmodel import col

from loket.errors import ErrorCode, Refused
from loket.records import JournalLine, Json, LedgerAccount
from loket.work import Work

LONGEST_DAYS = 3_660


@dataclass(frozen=True)
class Balance:
    """One account under one budget key, in EUR. `opening` and `closing`: debit less credit."""

    account: LedgerAccount
    budget_key: Json | None
    opening: Decimal
    debit: Decimal
    credit: Decimal

    @property
    def closing(self) -> Decimal:
        return self.opening + self.debit - self.credit


async def balances(work: Work, starts_on: date, ends_on: date) -> Sequence[Balance]:
    """From `starts_on` to `ends_on`, both included; accounts in the order of the chart.

    Raises:
        Refused: VALIDATION for a period that ends before it starts, or is longer than ten years.
    """
    if not timedelta(0) <= ends_on - starts_on <= timedelta(days=LONGEST_DAYS):
        raise Refused(ErrorCode.VALIDATION, path=["to"], reason="from the first day on, at most ten years")
    before = col(JournalLine.booked_on) < starts_on
    zero = Decimal(0)
    found = await work.session.execute(
        select(
            col(JournalLine.account),
            col(JournalLine.budget_key),
            func.sum(when((before, col(JournalLine.debit) - col(JournalLine.credit)), else_=zero)),
            func.sum(when((before, zero), else_=col(JournalLine.debit))),
            func.sum(when((before, zero), else_=col(JournalLine.credit))),
        )
        .where(col(JournalLine.booked_on) <= ends_on)
        .group_by(col(JournalLine.account), col(JournalLine.budget_key))
    )
    chart = list(LedgerAccount)
    return sorted(
        (Balance(*row) for row in found),
        key=lambda one: (chart.index(one.account), str(one.budget_key)),
    )
