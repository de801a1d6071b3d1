"""What must follow when a database is of an earlier moment than the world around it.

So it is after a backup was put back, after PostgreSQL recovered to a point in time, and after a standby took
over that lacked the last transactions. Then:

- the feed begins a new epoch: a cursor of before is answered with CURSOR_EXPIRED, never with a silent gap;
- nothing is sent by itself: all systems are paused, until an operator has looked;
- money that was on its way is in doubt: a person looks at the other side before anybody is paid again;
- no case number is given again, and no invoice number that it is told of (`last_invoices`).

What else was to be sent goes out again under the same id, by which others recognise it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from cryptography.exceptions import InvalidTag
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlmodel import col

from loket import lanes, migrations
from loket.cases import link
from loket.database import conninfo
from loket.installation import InstallationError
from loket.records import Case, Event
from loket.vault import Vault

CASES_BETWEEN = 10_000
"""Numbers of cases that are left out: more than were given out since that moment."""
LOOKED_AT = 1_000
"""Cases whose history is gone through."""
MONEY = ("PAYMENT_REFUND", "PAYOUT_SEND", "PAYOUT_RECALL")
"""Effects that move money."""


class RecoveryError(InstallationError):
    """The database cannot be brought to the present; the message says why and what to do."""


@dataclass(frozen=True)
class Recovered:
    """What is there now, for whoever must compare it with the world."""

    epoch: int
    last_event_at: datetime | None
    in_doubt: int
    """Effects of money that a person must look at."""
    waiting: int
    """Others, that go out again once their system is resumed."""
    journals: Mapping[str, int]
    """The last invoice number of each journal and year."""


def recovered(url: str, last_invoices: Mapping[tuple[str, int], int]) -> Recovered:
    """Let the database at `url` know that PostgreSQL brought it back to an earlier moment.

    Its transaction ids go on: whoever counts or tells events goes on where it stood at that moment, and only
    cursors that left the house say nothing any more. Best done before any process of Loket starts on it.
    `last_invoices`: the last number, per journal and year, that was given out after that moment.

    Raises:
        RecoveryError: there is no such database, it is behind, or the server recovers still.
    """
    with connect(url) as connection:
        if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
            raise RecoveryError("this PostgreSQL recovers still: promote it first (pg_promote)")
        if migrations.pending(url):
            raise RecoveryError("the database is behind: run `loket migrate` first")
        with connection.transaction():
            for statements in (NEXT_EPOCH, FOLLOW_ON, *afterwards(last_invoices)):
                connection.execute(statements.encode())
    return look(url)


def afterwards(last_invoices: Mapping[tuple[str, int], int]) -> Iterator[str]:
    yield IN_DOUBT
    yield LATER_CASES
    for name in sorted(lanes.SYSTEMS):
        yield PAUSED.format(name=name, rate=lanes.RATE_PER_SECOND, burst=lanes.BURST)
    for (journal, year), number in last_invoices.items():
        yield INVOICES.format(journal=journal.replace("'", "''"), year=year, last=number)


def look(url: str) -> Recovered:
    with connect(url) as connection:
        connection.execute("ANALYZE")
        row = connection.execute(RESTORED).fetchone()
        journals = connection.execute(
            "SELECT journal || ' ' || year, last FROM journal ORDER BY 1"
        ).fetchall()
    assert row is not None
    epoch, last_event_at, in_doubt, waiting = row
    return Recovered(epoch, last_event_at, in_doubt, waiting, dict(journals))


def is_opened_by(url: str, secret_key: str) -> bool:
    """Whether this is the key under which the database's national numbers are sealed; True without any."""
    with connect(url) as connection:
        row = connection.execute(
            "SELECT insz_sealed FROM person WHERE insz_sealed IS NOT NULL LIMIT 1"
        ).fetchone()
    if row is None:
        return True
    try:
        Vault(secret_key).open(row[0])
    except (InvalidTag, ValueError):
        return False
    return True


def broken_histories(url: str) -> list[str]:
    """Of the cases that were begun last, the ids of those whose chain of events does not hold."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    newest = select(col(Case.id)).order_by(col(Case.id).desc()).limit(LOOKED_AT)
    events = (
        select(Event)
        .where(col(Event.case_id).in_(newest), col(Event.case_version).is_not(None))
        .order_by(col(Event.case_id), col(Event.case_version))
    )
    found: list[str] = []
    with Session(engine) as session:
        case_id, chain = None, b""
        for event in session.scalars(events):
            chain = link(chain if event.case_id == case_id else b"", event)
            case_id = event.case_id
            if chain != event.chain and str(case_id) not in found:
                found.append(str(case_id))
    return found


def connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return psycopg.connect(conninfo(url), autocommit=True)
    except psycopg.OperationalError as fault:
        raise RecoveryError(f"no database: {fault}") from fault


NEXT_EPOCH = """
    SET LOCAL search_path = public;
    UPDATE feedepoch SET epoch = greatest(epoch + 1, extract(epoch FROM now())::int);
"""
FOLLOW_ON = """
    UPDATE follower SET epoch = feedepoch.epoch FROM feedepoch;
    UPDATE webhooksubscription SET epoch = feedepoch.epoch, token = NULL, due_at = now() FROM feedepoch;
"""
IN_DOUBT = f"""
    UPDATE effect SET state = 'IN_DOUBT', retry_at = NULL,
           last_error = 'put back from a backup: look whether the other side has done it since'
     WHERE state = 'PENDING' AND kind IN ({", ".join(f"'{one}'" for one in MONEY)});
    UPDATE lane SET token = NULL, due_at = now() WHERE token IS NOT NULL;
"""  # noqa: S608  # our own words
LATER_CASES = f"""
    SELECT setval('case_number', last_value + {CASES_BETWEEN}) FROM case_number;
"""  # noqa: S608  # our own words
PAUSED = """
    INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)
    VALUES ('{name}', true, {rate}, {burst}, 0)
        ON CONFLICT (name) DO UPDATE SET paused = true, failures = 0, open_until = NULL, next_at = NULL;
"""
INVOICES = """
    INSERT INTO journal (journal, year, last) VALUES ('{journal}', {year}, {last})
        ON CONFLICT (journal, year) DO UPDATE SET last = greatest(journal.last, EXCLUDED.last);
"""
RESTORED = """
    SELECT (SELECT epoch FROM feedepoch), (SELECT max(occurred_at) FROM event),
           (SELECT count(*) FROM effect WHERE state = 'IN_DOUBT'),
           (SELECT count(*) FROM effect WHERE state = 'PENDING')
"""
