"""Terms in days, as the calendar on the wall in Belgium counts them. No I/O."""

from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

from dateutil.easter import easter

BRUSSELS = ZoneInfo("Europe/Brussels")
POST_TIME = time(16)
"""Belgian time: printed the same afternoon, a letter is posted the next morning."""
_FIXED = ((1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25))
"""Month and day of the legal holidays that have one (KB van 18 april 1974, art. 1)."""
_AFTER_EASTER = (1, 39, 50)
"""Days from Easter to Easter Monday, Ascension Day and Whit Monday."""


@cache
def holidays(year: int) -> frozenset[date]:
    """The ten legal holidays of Belgium; each also where it falls on a Sunday."""
    fixed = {date(year, month, day) for month, day in _FIXED}
    return frozenset(fixed | {easter(year) + timedelta(days=days) for days in _AFTER_EASTER})


def is_working_day(day: date) -> bool:
    """No Saturday, Sunday or legal holiday."""
    return day.weekday() < 5 and day not in holidays(day.year)


def add_days(start: date, days: int, counting: Literal["calendar", "working"] = "calendar") -> date:
    """The last of `days` days of which the first is the day after `start`."""
    if counting == "calendar":
        return start + timedelta(days=days)
    day = start
    while days > 0:
        day += timedelta(days=1)
        days -= is_working_day(day)
    return day


def end_of(day: date) -> datetime:
    """The midnight at which `day` is over in Belgium."""
    return datetime.combine(day + timedelta(days=1), time(), BRUSSELS)


def morning_of(day: date) -> datetime:
    """Eight o'clock in Belgium: when people may be written to."""
    return datetime.combine(day, time(8), BRUSSELS)


def next_post(after: datetime) -> datetime:
    """When the day's letters are next handed to the printer: a working day at four o'clock in Belgium."""
    day = after.astimezone(BRUSSELS).date()
    while not is_working_day(day) or datetime.combine(day, POST_TIME, BRUSSELS) < after:
        day += timedelta(days=1)
    return datetime.combine(day, POST_TIME, BRUSSELS)


def start_of(day: date) -> datetime:
    """Midnight in Belgium."""
    return datetime.combine(day, time(), BRUSSELS)
