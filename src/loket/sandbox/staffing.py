"""Workers on demand: whoever a procedure needs can sign in, whatever its departments are called.

`medewerker:LoketAdviseur:Technische dienst` is the adviser of the technical service; without a department
(`medewerker:LoketFinancien`) the role holds for all of them. One key is always the same person.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, timedelta

WORD = "medewerker"
# fmt: off
ROLES = {
    # what ACM/IDM calls it   in words
    "LoketBehandelaar":       "dossierbehandelaar",
    "LoketAdviseur":          "interne adviseur",
    "LoketUitvoerder":        "uitvoerder",
    "LoketFinancien":         "financiën",
    "LoketSecretariaat":      "secretariaat",
    "LoketBeheerder":         "applicatiebeheerder",
}
# fmt: on
LONGEST = 60
"""Characters of a department."""
FIRST_SERIAL = 800
"""Above the serials of the citizens who are made on demand."""
_FIRST_DAY = date(1960, 1, 1)
_DAYS = 16_000
_WOMEN = ("Anneleen", "Britt", "Chantal", "Dina", "Eva", "Griet", "Hanne", "Imane", "Kim", "Veerle")
_MEN = ("Adil", "Bram", "Cedric", "Dries", "Emre", "Gert", "Hans", "Ilyas", "Koen", "Wannes")
_FAMILIES = ("Baert", "Cools", "Devos", "Engels", "Ferrari", "Goris", "Hermans", "Ozdemir", "Put", "Raes")


@dataclass(frozen=True)
class Posting:
    """Who works where: `role` as ACM/IDM gives it, the department behind a hyphen."""

    given_name: str
    family_name: str
    born_on: date
    serial: int
    role: str
    note: str


def posting(key: str) -> Posting | None:
    """The worker behind a key; None for a role that there is not, or a department that is no name."""
    word, _, rest = key.partition(":")
    role, colon, department = rest.partition(":")
    named = department.strip()
    if word != WORD or role not in ROLES or (colon and not _is_name(named)) or department != named:
        return None
    number = int.from_bytes(hashlib.sha256(f"{role}:{named}".encode()).digest()[:8])
    man = number % 2
    return Posting(
        (_MEN if man else _WOMEN)[number // 2 % 10],
        _FAMILIES[number // 20 % 10],
        _FIRST_DAY + timedelta(days=number // 200 % _DAYS),
        FIRST_SERIAL + 2 * (number // 4_000_000 % 90) + man,
        f"{role}-{_together(named)}" if named else role,
        f"{ROLES[role]}, {named}" if named else f"{ROLES[role]} van alle diensten",
    )


def _is_name(department: str) -> bool:
    return 0 < len(department) <= LONGEST and department.isprintable() and ":" not in department


def _together(department: str) -> str:
    """`Technische dienst` stands in a role as `TechnischeDienst`."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[\s-]+", department))
