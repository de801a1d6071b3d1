"""Numbers that people and banks read: structured references, and references of cases.

Each carries check characters, so that a mistyped one is noticed before anybody looks it up.
"""

import hmac
import re
from collections.abc import Hashable, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import TypeVar

Part = TypeVar("Part", bound=Hashable)

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no I, L, O or U, so nothing is misread or spells a word by accident."""
_HALF_BITS = 15
_ROUNDS = 4
_VALUES = {one: at for at, one in enumerate(_BASE32)} | {one: at for at, one in enumerate("ILOU")}
"""A prefix may hold the letters that are left out elsewhere; it holds no digits, so their values are free."""
_GF32 = 0b100101
"""x⁵ + x² + 1, primitive: the first 31 powers of x are all different."""
_CASE = re.compile(rf"([A-Z]{{2,4}})-([0-9]{{4}})-([{_BASE32}]{{6}})-([{_BASE32}])")
_CENT = Decimal("0.01")
_BETWEEN_DIGITS = re.compile(r"[ .\-]")
_IN_TEXT = re.compile(r"(?<!\d)[0-9]{3}[/ .]?[0-9]{4}[/ .]?[0-9]{5}(?!\d)")


def structured_reference(number: int) -> str:
    """The Belgian structured communication (OGM) for `number`, 12 bare digits.

    Ten digits and two check digits: the ten digits modulo 97, or 97 where that is 0.
    Printed +++123/4567/89002+++.

    Raises:
        ValueError: `number` does not fit ten digits, or is 0.
    """
    if not 0 < number < 10**10:
        raise ValueError("a structured reference is made from 1 to 10 digits")
    return f"{number:010d}{number % 97 or 97:02d}"


def printed_reference(digits: str) -> str:
    """+++123/4567/89002+++."""
    return f"+++{digits[:3]}/{digits[3:7]}/{digits[7:]}+++"


def valid_structured_reference(digits: str) -> bool:
    """Whether these are 12 bare digits of which the last two check the others."""
    if re.fullmatch("[0-9]{12}", digits) is None:
        return False
    number = int(digits[:10])
    return number > 0 and int(digits[10:]) == (number % 97 or 97)


def find_references(text: str) -> list[str]:
    """The valid structured references in free text, 12 bare digits each, in order."""
    found = (re.sub(r"\D", "", match.group()) for match in _IN_TEXT.finditer(text))
    return [digits for digits in found if valid_structured_reference(digits)]


def is_national_number(digits: str) -> bool:
    """Of the National Register or of the Crossroads Bank, born before or from 2000 on (KB 3 april 1984)."""
    if re.fullmatch("[0-9]{11}", digits) is None:
        return False
    first, check = int(digits[:9]), int(digits[9:])
    return check in (97 - first % 97, 97 - (2_000_000_000 + first) % 97)


def national_number(text: str) -> str | None:
    """Eleven bare digits, of what may be written with points; None for what is no such number."""
    digits = _BETWEEN_DIGITS.sub("", text.strip())
    return digits if is_national_number(digits) else None


def masked_national_number(digits: str) -> str:
    """What one knows one's own by: 84.**.**-***.23."""
    return f"{digits[:2]}.**.**-***.{digits[-2:]}"


def case_reference(prefix: str, year: int, number: int, key: bytes) -> str:
    """The reference of the `number`th case: CB-2026-7KQ3M9-X.

    The number is permuted under `key` (a Feistel network over 30 bits), so that a reference says nothing of
    how many cases there are and none can be guessed from another, yet no two are ever the same.

    Raises:
        ValueError: `number` does not fit 30 bits.
    """
    if not 0 <= number < 1 << 2 * _HALF_BITS:
        raise ValueError("out of case numbers")
    hidden = _permute(number, key)
    body = "".join(_BASE32[hidden >> shift & 31] for shift in range(25, -1, -5))
    return f"{prefix}-{year}-{body}-{_check_character(f'{prefix}{year}{body}')}"


def valid_case_reference(text: str) -> bool:
    """Whether the check character agrees: with one wrong character, or two neighbours swapped, never."""
    match = _CASE.fullmatch(text.strip().upper())
    return match is not None and _check_character("".join(match.groups()[:3])) == match[4]


def _permute(number: int, key: bytes) -> int:
    mask = (1 << _HALF_BITS) - 1
    left, right = number >> _HALF_BITS, number & mask
    for turn in range(_ROUNDS):
        digest = hmac.digest(key, bytes([turn]) + right.to_bytes(2, "big"), "sha256")
        left, right = right, left ^ int.from_bytes(digest[:2], "big") & mask
    return left << _HALF_BITS | right


def _check_character(text: str) -> str:
    """A sum over GF(32) in which each place weighs another power of x."""
    total = 0
    for one in text:
        total = (total ^ _VALUES[one]) << 1
        total = total ^ _GF32 if total & 32 else total
    return _BASE32[total]


def shared(total: Decimal, weights: Mapping[Part, Decimal]) -> dict[Part, Decimal]:
    """`total` (EUR) in proportion to `weights`, in whole cents: what is left goes to the largest remainders.

    Of equal remainders the one that stands first gets more. Who gets nothing is left out; weights below zero
    count for nothing.

    Raises:
        ValueError: no weight is above zero.
    """
    used = {part: weight for part, weight in weights.items() if weight > 0}
    if not used:
        raise ValueError("nothing to share by")
    whole = sum(used.values())
    exact = {part: total * weight / whole for part, weight in used.items()}
    cents = {part: share.quantize(_CENT, ROUND_FLOOR) for part, share in exact.items()}
    left = int((total - sum(cents.values())) / _CENT)
    for part in sorted(used, key=lambda one: cents[one] - exact[one])[:left]:
        cents[part] += _CENT
    return {part: share for part, share in cents.items() if share}
