"""How a day, a slot, an amount and a telephone number are written for people, in each language."""

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import phonenumbers

from loket.terms import BRUSSELS

MAX_VALUE = 4_000
"""Characters of one filled-in value; what a person typed is cut there."""
_DAYS = {
    "nl": ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "en": "January February March April May June July August September October November December",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_SPAN = {
    "nl": "{day} tussen {start} en {end} uur",
    "en": "{day} between {start} and {end}",
    "fr": "{day} entre {start} et {end} heures",
    "de": "{day} zwischen {start} und {end} Uhr",
}


@dataclass(frozen=True)
class Window:
    """A delivery slot, as two instants."""

    starts_at: datetime
    ends_at: datetime


def day(value: date, language: str, *, brief: bool = False) -> str:
    """As in vrijdag 27 november 2026; brief: vr 27/11/2026. An instant is the day that it is in Belgium."""
    if isinstance(value, datetime):
        value = value.astimezone(BRUSSELS).date()
    spoken = language if language in _DAYS else "nl"
    weekday = _DAYS[spoken][value.weekday()]
    if brief:
        return f"{weekday[: 3 if spoken == 'en' else 2]} {value:%d/%m/%Y}"
    month = _MONTHS[spoken].split()[value.month - 1]
    number = {"de": f"{value.day}.", "fr": "1er" if value.day == 1 else str(value.day)}.get(
        spoken, str(value.day)
    )
    return f"{weekday}{',' if spoken == 'de' else ''} {number} {month} {value.year}"


def window(value: Window, language: str, *, brief: bool = False) -> str:
    """As in vrijdag 27 november 2026 tussen 8.00 en 12.00 uur; brief: vr 27/11/2026, 8.00-12.00."""
    start, end = value.starts_at.astimezone(BRUSSELS), value.ends_at.astimezone(BRUSSELS)
    mark = ":" if language in {"en", "fr"} else "."
    hours = [f"{one.hour}{mark}{one.minute:02}" for one in (start, end)]
    if brief:
        return f"{day(start, language, brief=True)}, {hours[0]}-{hours[1]}"
    return _SPAN.get(language, _SPAN["nl"]).format(day=day(start, language), start=hours[0], end=hours[1])


def amount(value: Decimal, language: str) -> str:
    """€ 1.280,00, with a space that does not break; €1,280.00 in English.

    Raises:
        ValueError: the amount is not in whole cents.
    """
    if value != value.quantize(Decimal("0.01")):
        raise ValueError("an amount has at most two decimals")
    number = f"{abs(value):,.2f}"
    sign = "-" if value < 0 else ""
    if language == "en":
        return f"{sign}€{number}"
    number = number.translate(str.maketrans(",.", ".,"))
    space = "\N{NO-BREAK SPACE}"
    return f"{sign}{number}{space}€" if language in {"fr", "de"} else f"{sign}€{space}{number}"


def phone(number: str) -> str:
    """+32 14 00 00 00 for a number in E.164; anything else as it is written."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def clean(text: str) -> str:
    """What a person typed, without characters that steer a display or a mail header; lines are kept."""
    kept = (
        one
        for one in text[:MAX_VALUE]
        if one == "\n" or unicodedata.category(one) not in {"Cc", "Cf", "Zl", "Zp"}
    )
    return "".join(kept).strip()
