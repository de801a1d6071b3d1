"""Belgian days: which are holidays, and what time it is in Brussels."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BRUSSELS = ZoneInfo("Europe/Brussels")


def at(day: date, hour: time) -> datetime:
    """The clock in Brussels."""
    return datetime.combine(day, hour, BRUSSELS)


def is_holiday(day: date) -> bool:
    """One of the ten legal holidays (Act of 4 January 1974, Royal Decree of 18 April 1974)."""
    fixed = {(1, 1), (5, 1), (7, 21), (8, 15), (11, 1), (11, 11), (12, 25)}
    easter = easter_sunday(day.year)
    moving = {easter + timedelta(days=days) for days in (1, 39, 50)}
    return (day.month, day.day) in fixed or day in moving


def easter_sunday(year: int) -> date:
    """Gregorian calendar, after Oudin."""
    golden = year % 19
    century = year // 100
    correction = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    moon = correction - (correction // 28) * (1 - (29 // (correction + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + moon + 2 - century + century // 4) % 7
    days = moon - weekday
    month = 3 + (days + 40) // 44
    return date(year, month, days + 28 - 31 * (month // 4))
