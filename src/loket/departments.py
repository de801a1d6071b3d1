"""What the roles of ACM/IDM mean here, and for which departments of the municipality they hold.

Procedures name one in words (`Sociale dienst`), ACM/IDM in a role (`LoketBehandelaar-SocialeDienst`): the
same letters are the same department.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from loket.lifecycle import Role

Departments = Mapping[Role, tuple[str, ...]]
"""Of which departments a role is, by their keys; a role that stands nowhere holds for all of them."""

# fmt: off
ROLES = {
    # what ACM/IDM calls it     what one may do here
    "LoketBehandelaar":         Role.HANDLER,
    "LoketFinancien":           Role.FINANCE,
    "LoketUitvoerder":          Role.FIELD_WORKER,
    "LoketAdviseur":            Role.ADVISER,
    "LoketSecretariaat":        Role.SECRETARIAT,
    "LoketBeheerder":           Role.OPERATOR,
}
# fmt: on
"""A role may carry a suffix, for one department; whoever has it more than once has it for each."""

_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_BETWEEN = re.compile(r"[!-/:-@\[-`{-~\s]+")


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """What roles of ACM/IDM mean here; names that are not ours mean nothing."""
    return frozenset(role for role, _ in _read(names))


def departments_of(names: Iterable[str]) -> Departments:
    """For which departments somebody has each role; once without a department: for all of them."""
    found: dict[Role, set[str]] = {}
    for role, key in _read(names):
        found.setdefault(role, set()).add(key)
    return {role: tuple(sorted(keys)) for role, keys in found.items() if "" not in keys}


def key_of(department: str) -> str:
    """`Sociale dienst` and `SocialeDienst` are `socialedienst`; the same in SQL: `records.people.key_of`."""
    return _BETWEEN.sub("", _ACCENTS.sub("", unicodedata.normalize("NFD", department)).lower())


def roles_at(roles: Iterable[Role], departments: Departments, department: str) -> frozenset[Role]:
    """Those of `roles` that hold for a department."""
    key = key_of(department)
    return frozenset(one for one in roles if one not in departments or key in departments[one])


def _read(names: Iterable[str]) -> list[tuple[Role, str]]:
    """Each role with a department, or with nothing for all of them; an empty suffix names no department."""
    parts = (name.partition("-") for name in names)
    return [
        (ROLES[name], (key_of(suffix) or "-") if dash else "")
        for name, dash, suffix in parts
        if name in ROLES
    ]
