"""The municipality's chart of accounts (MAR): which of its numbers each account of the ledger is."""

from loket.records import Json, LedgerAccount
from loket.settings import Ledger


def code(ledger: Ledger, account: LedgerAccount, budget_key: Json | None) -> str:
    """Where the municipality books it. Revenue and premiums stand on the account that their key names."""
    if account in BY_BUDGET_KEY and budget_key and budget_key.get("account"):
        return str(budget_key["account"])
    return str(getattr(ledger, account.lower()))


BY_BUDGET_KEY = frozenset({LedgerAccount.REVENUE, LedgerAccount.GRANTS})
