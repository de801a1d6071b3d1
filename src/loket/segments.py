"""How long a text message is, as the network counts and bills it: GSM-7 or UCS-2, in segments."""

from collections import Counter
from dataclasses import dataclass

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")
"""GSM 03.38: these take two places."""


@dataclass(frozen=True)
class Segments:
    """How a text message is carried, and billed."""

    encoding: str
    """GSM-7, or UCS-2 as soon as one character is outside it."""
    units: int
    count: int


@dataclass(frozen=True)
class Dear:
    """A character that makes a text message longer than it looks."""

    character: str
    times: int
    forces_ucs2: bool
    """Outside GSM-7: for its sake all others take more room. Else it takes two places."""


def segments(text: str) -> Segments:
    """In how many parts an SMS goes out: 160 (153 when split) places of GSM-7, 70 (67) of UCS-2."""
    if all(one in _GSM7 or one in _GSM7_EXTENSION for one in text):
        units, whole, part, encoding = sum(1 + (one in _GSM7_EXTENSION) for one in text), 160, 153, "GSM-7"
    else:
        units, whole, part, encoding = len(text.encode("utf-16-be")) // 2, 70, 67, "UCS-2"
    return Segments(encoding, units, 1 if units <= whole else -(-units // part))


def dear(text: str) -> tuple[Dear, ...]:
    """The characters that make `text` dear, the worst first."""
    found = Counter(one for one in text if one not in _GSM7)
    said = [Dear(one, times, one not in _GSM7_EXTENSION) for one, times in found.items()]
    return tuple(sorted(said, key=lambda one: (not one.forces_ucs2, -one.times, one.character)))
