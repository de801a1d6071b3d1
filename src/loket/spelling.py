"""The same for all spellings of one thing: to find it again without looking at who wrote it how."""

import unicodedata
from collections.abc import Mapping
from typing import Any

_HOME = ("street", "number", "box", "postal_code", "nis")
"""What tells one address from another; the municipality by its code, its name has spellings."""


def bare(text: str) -> str:
    """Letters and digits alone: without case, accents, spaces, marks."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in plain if one.isalnum())


def folded(text: str) -> str:
    """Without case and accents, and with one space where there are several; marks stay."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(one for one in plain if not unicodedata.combining(one)).split())


def address_line(address: Mapping[str, Any]) -> str:
    """The same for all spellings of one address."""
    parts = [bare(str(address.get(part) or "")) for part in _HOME]
    parts[2] = parts[2].removeprefix("bus").lstrip("0")
    return "|".join(parts)
