"""The people of the sandbox: citizens with TST national numbers, and the municipality's staff."""

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class Citizen:
    """A person as the National Register would know them. `insz` is a test number: month + 60."""

    key: str
    insz: str
    given_name: str
    family_name: str
    born_on: date
    sex: str
    street: str
    number: str
    postal_code: str
    city: str
    nis: str
    since: date
    email: str | None = None
    phone: str | None = None
    partner: str | None = None
    married: bool = False
    state: str = "known"
    """known, replaced, deceased or unknown (to the National Register)."""
    replaced_by: str | None = None
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"


@dataclass(frozen=True)
class Worker:
    """Someone who works for the municipality, with the roles that ACM/IDM gives them."""

    key: str
    insz: str
    given_name: str
    family_name: str
    roles: tuple[str, ...] = field(default=())
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}"


def insz(born_on: date, serial: int, *, test: bool = True) -> str:
    """A national number: yymmdd, serial (odd for men, even for women), 97 minus the rest by 97.

    From 2000 on, a 2 stands before the nine digits when the check digits are taken. `test`: month + 60.
    """
    nine = f"{born_on.year % 100:02}{born_on.month + (60 if test else 0):02}{born_on.day:02}{serial:03}"
    return f"{nine}{97 - int(('2' if born_on.year >= 2000 else '') + nine) % 97:02}"


def is_insz(text: str) -> bool:
    """Eleven digits whose last two are right for a birth before or from 2000 on."""
    if len(text) != 11 or not text.isascii() or not text.isdigit():
        return False
    return int(text[9:]) in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97)
