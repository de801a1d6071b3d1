"""Old months become years: nothing is lost or doubled, whatever is written meanwhile."""

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, create_engine

from loket import history, months, years
from loket.settings import Months, Retention
from test_history import Past, past  # noqa: F401  # a fixture

FOR_EVER = Retention()
THIS = months.month_of(datetime.now(UTC).date())
LAST_YEAR = THIS.year - 2
"""Of the newest year that is surely ripe."""


@pytest.fixture
def old(past: Past) -> Past:  # noqa: F811  # the fixture
    """The months of two years, each with a case and an effect in the archive."""
    for table in months.KEYS:
        past.connection.execute(f"DROP TABLE {table}_first")
    engine = create_engine(past.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        for number in range(24):
            month = months.month_of(date(LAST_YEAR - 1, 1, 1), number)
            for table in months.KEYS:
                months.make(connection, months.part_of(table, month))
                connection.commit()
    engine.dispose()
    for number in range(24):
        month = months.month_of(date(LAST_YEAR - 1, 1, 1), number)
        at = datetime(month.year, month.month, 10, 12, tzinfo=UTC)
        past.effect(at, case=past.case(at, closed_at=at))
    return past


def put_away(past: Past, *, but: str = "") -> None:  # noqa: F811
    engine = create_engine(past.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        for part in months.finished(connection, THIS, datetime(2100, 1, 1, tzinfo=UTC)):
            connection.commit()
            if part.name == but:
                continue
            months.put_away(connection, part)
            connection.commit()
    engine.dispose()


def told(past: Past) -> dict[str, list[Any]]:  # noqa: F811
    return {
        table: past.all(f"SELECT * FROM {table} ORDER BY 1, 2, 3")  # noqa: S608  # our own words
        for table in ("event", "everyeffect", "everyattempt")
    }


def test_years_hold_what_their_months_held(old: Past) -> None:
    put_away(old)
    before = told(old)
    lines = list(history.merge(old.url, FOR_EVER))
    assert len(lines) == 6
    assert told(old) == before
    kept = {f"event_{LAST_YEAR - 1}", f"event_{LAST_YEAR}"}
    assert {one for one in old.parts("event") if len(one) == len("event_2000")} == kept
    assert f"effect_{LAST_YEAR}" in old.parts("effectarchive")
    assert f"attempt_{LAST_YEAR}" in old.parts("attemptarchive")
    assert not any(one.startswith(f"event_{LAST_YEAR}_") for one in old.parts("event"))
    assert old.all("SELECT count(*) FROM pg_class WHERE relname ~ %s", f"_{LAST_YEAR}_[0-9]+$") == [(0,)]
    assert list(history.merge(old.url, FOR_EVER)) == []


def test_a_month_that_is_put_away_after_its_year_was_made_stays_beside_it(old: Past) -> None:
    january = f"effect_{LAST_YEAR}_01"
    put_away(old, but=january)
    list(history.merge(old.url, FOR_EVER))
    assert f"effect_{LAST_YEAR}" in old.parts("effectarchive")
    before = told(old)
    put_away(old)
    assert january in old.parts("effectarchive")
    assert list(history.merge(old.url, FOR_EVER)) == []
    assert told(old) == before


def test_a_year_is_like_any_part_for_who_writes_and_who_makes_months(old: Past) -> None:
    list(history.merge(old.url, FOR_EVER))
    case, person = old.all(
        "SELECT case_id, person_id FROM event WHERE tableoid = %s::regclass LIMIT 1", f"event_{LAST_YEAR}"
    )[0]
    old.event(case, person, datetime.now(UTC))
    assert old.lies_in("event", case) == {f"event_{LAST_YEAR}"}
    with pytest.raises(psycopg.errors.UniqueViolation):
        old.event(case, person, datetime.now(UTC), case_version=1)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        old.event(old.key(datetime(LAST_YEAR, 5, 5, tzinfo=UTC)), person, datetime.now(UTC))
    engine = create_engine(old.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        assert not [
            one for one in months.missing(connection, THIS) if one.ends_on <= date(LAST_YEAR + 1, 1, 1)
        ]
    engine.dispose()


def test_what_is_written_while_a_year_is_copied_comes_along(
    old: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a case that was copied, and of one that comes before all that were."""
    compare = years._compare
    late: list[Any] = []

    def write_and_compare(connection: Connection, year: years.Year, began: int) -> None:
        case, person = old.all(f"SELECT case_id, person_id FROM event_{year.number}_01 LIMIT 1")[0]  # noqa: S608
        old.event(case, person, datetime.now(UTC))
        late.append(old.case(datetime(year.number, 1, 1, 0, 0, 1, tzinfo=UTC)))
        compare(connection, year, began)

    monkeypatch.setattr(years, "_compare", write_and_compare)
    before = old.all("SELECT count(*) FROM event")[0][0]
    assert len(list(history.merge(old.url, FOR_EVER))) == 2
    assert old.all("SELECT count(*), count(DISTINCT (case_id, seq)) FROM event") == [(before + 8, before + 8)]
    assert old.lies_in("event", late[1]) == {f"event_{LAST_YEAR}"}


def test_a_copy_that_lacks_a_row_changes_nothing(old: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(years, "COPY", years.COPY.replace("LIMIT :most", "OFFSET 1 LIMIT :most"))
    before, parts = told(old), old.parts("event")
    with pytest.raises(years.NotTheSameError, match="rows of its months are not in it"):
        list(history.merge(old.url, FOR_EVER))
    assert (told(old), old.parts("event")) == (before, parts)
    monkeypatch.undo()
    assert len(list(history.merge(old.url, FOR_EVER))) == 2, "what was left of it is in nobody's way"


def test_what_is_dropped_by_the_month_stays_in_months(old: Past) -> None:
    put_away(old)
    assert list(history.merge(old.url, Retention(Months(3), Months(12), Months(12)))) == []
    made = list(history.merge(old.url, Retention(Months(3), Months(0), Months(12))))
    assert {line.split("_")[0] for line in made} == {"effect", "attempt"}


def test_months_that_somebody_holds_are_left_for_later(old: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(years, "PATIENCE", 2)
    monkeypatch.setattr(years, "PAUSE_SECONDS", 0.01)
    before = told(old)
    with psycopg.connect(old.url) as other:
        other.execute("LOCK TABLE event IN ROW EXCLUSIVE MODE")
        assert all("try again later" in line for line in history.merge(old.url, FOR_EVER))
    assert told(old) == before


def test_a_year_stays_months_until_three_months_after_its_end(old: Past) -> None:
    engine = create_engine(old.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        early, late = (
            years.ripe(connection, date(LAST_YEAR + 1, month, day), ("event",))
            for month, day in ((3, 31), (4, 1))
        )
    engine.dispose()
    assert [one.number for one in early] == [LAST_YEAR - 1]
    assert [one.number for one in late] == [LAST_YEAR - 1, LAST_YEAR]
