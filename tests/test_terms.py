"""Terms as the calendar on the wall counts them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loket.terms import add_days, end_of, holidays, is_working_day, next_post

DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))


def test_the_legal_holidays_of_a_year_are_these_ten() -> None:
    assert sorted(day.isoformat() for day in holidays(2027)) == [
        "2027-01-01", "2027-03-29", "2027-05-01", "2027-05-06", "2027-05-17",
        "2027-07-21", "2027-08-15", "2027-11-01", "2027-11-11", "2027-12-25",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "days", "last"),
    [
        ("2026-12-23", 2, "2026-12-28"),  # Christmas is a Friday, then a weekend
        ("2027-03-25", 2, "2027-03-30"),  # Good Friday counts, Easter Monday does not
        ("2027-05-05", 1, "2027-05-07"),  # Ascension
        ("2026-11-20", 1, "2026-11-23"),  # Friday to Monday
    ],
)
def test_working_days_skip_weekends_and_holidays(start: str, days: int, last: str) -> None:
    assert add_days(date.fromisoformat(start), days, "working") == date.fromisoformat(last)


def test_calendar_days_skip_nothing() -> None:
    assert add_days(date(2026, 12, 20), 30) == date(2027, 1, 19)


@given(DAYS, st.integers(1, 60))
def test_a_term_of_working_days_ends_on_one_and_has_so_many(start: date, days: int) -> None:
    last = add_days(start, days, "working")
    between = [start + timedelta(days=number) for number in range(1, (last - start).days + 1)]
    assert is_working_day(last)
    assert sum(map(is_working_day, between)) == days


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-11-20T14:59:59", "2026-11-20T15:00"),  # a Friday in winter
        ("2026-11-20T15:00:01", "2026-11-23T15:00"),
        ("2026-12-24T16:00:00", "2026-12-28T15:00"),  # Christmas is a Friday
        ("2026-07-20T22:30:00", "2026-07-22T14:00"),  # past midnight on the national holiday, in summer
    ],
)
def test_the_post_goes_on_working_days_at_four(after: str, due: str) -> None:
    at = next_post(datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert at.astimezone(UTC).isoformat(timespec="minutes") == f"{due}+00:00"


@given(DAYS)
def test_a_day_is_over_at_its_midnight_in_belgium_also_when_the_clock_changes(day: date) -> None:
    midnight = end_of(day)
    assert midnight.date() == day + timedelta(days=1)
    assert (midnight.hour, midnight.minute) == (0, 0)
