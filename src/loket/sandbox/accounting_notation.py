"""How the accounting package writes instants, days and euro."""

from zoneinfo import ZoneInfo

from loket.sandbox.state import now


def instant() -> str:
    return now().isoformat(timespec="seconds")


def today() -> str:
    return now().astimezone(ZoneInfo("Europe/Brussels")).date().isoformat()


def euro(amount: str) -> str:
    whole, _, rest = amount.partition(".")
    return f"€ {int(whole):,}".replace(",", ".") + f",{rest}"
