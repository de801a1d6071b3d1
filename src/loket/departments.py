"""Departments of the municipality, and for which of them a role holds.

Procedures name one in words (`Sociale dienst`), ACM/IDM in a role (`LoketBehandelaar-SocialeDienst`): the
same letters are the same department.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from loket.lifecycle import Role

Departments = Mapping[Role, tuple[str, ...]]
"""Of which departments a role is, by their keys; a role that stands nowhere holds for all of them."""

_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_BETWEEN = re.compile(r"[!-/:-@\[-`{-~\s]+")


def key_of(department: str) -> str:
    """`Sociale dienst` and `SocialeDienst` are `socialedienst`; the same in SQL: `records.people.key_of`."""
    return _BETWEEN.sub("", _ACCENTS.sub("", unicodedata.normalize("NFD", department)).lower())


def roles_at(roles: Iterable[Role], departments: Departments, department: str) -> frozenset[Role]:
    """Those of `roles` that hold for a department."""
    key = key_of(department)
    return frozenset(one for one in roles if one not in departments or key in departments[one])
