"""An installation from before the journal is brought to it: what happened is booked, and agrees."""

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql
from psycopg.types.json import Jsonb

from loket import comparing_money, revisions

KEY = {"account": "70000", "policy_item": "0300-00"}
LINES = [
    {"kind": "PRODUCT", "product": "bak", "option": None, "amount": "30.00", "budget_key": KEY},
    {"kind": "DISCOUNT", "product": "bak", "option": None, "amount": "-2.00", "budget_key": KEY},
]
DAY = "2026-10-05"
PERIOD = {"starts_on": date(2026, 1, 1), "ends_on": date(2036, 12, 31)}


@pytest.fixture
def older(empty_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A database as it was before revision 0004."""
    with revisions._connected(empty_database_url) as connection:
        command.upgrade(revisions._config(connection), "0003")
        connection.commit()
    with psycopg.connect(empty_database_url, autocommit=True) as opened:
        yield opened


def _put(older: psycopg.Connection[Any], table: str, **given: object) -> UUID:
    """A row, with something in each column that must have something."""
    given = {"id": uuid4(), **given}
    needed = older.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name = %s AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
        " AND is_generated = 'NEVER'",
        (table,),
    ).fetchall()
    blank = {"jsonb": Jsonb({}), "boolean": False, "uuid": uuid4(), "date": DAY, "bytea": b"", "text": "",
             "timestamp with time zone": f"{DAY}T12:00Z", "character varying": ""}  # fmt: skip
    row = {name: given.get(name, blank.get(kind, 1)) for name, kind in needed} | given
    into = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )
    older.execute(into, list(row.values()))
    id_ = row["id"]
    assert isinstance(id_, UUID)
    return id_


def _invoice(older: psycopg.Connection[Any], number: int, **given: object) -> dict[str, UUID]:
    person = _put(older, "person", given_name="An", family_name="Peeters", language="nl")
    application = _put(older, "application", person_id=person, channel="ONLINE", status="SUBMITTED")
    case = _put(
        older, "case", person_id=person, application_id=application, reference=f"CB-{number}",
        channel="ONLINE", stage="payment", status="AWAITING_PAYMENT",
    )  # fmt: skip
    told = {"status": "ISSUED", "amount": 28, "paid": 0} | given
    invoice = _put(
        older, "invoice", case_id=case, person_id=person, journal="VF", year=2026, sequence=number,
        number=f"VF-2026-{number:06d}", reference=f"{number:012d}", lines=Jsonb(LINES), **told,
    )  # fmt: skip
    return {"case_id": case, "invoice_id": invoice}


def _entries(older: psycopg.Connection[Any], invoice: UUID) -> list[tuple[str, str]]:
    rows = older.execute("SELECT type, state FROM journalentry WHERE invoice_id = %s", (invoice,)).fetchall()
    return sorted((row[0], row[1]) for row in rows)


def test_what_happened_before_there_was_a_journal_is_booked_and_agrees(
    older: psycopg.Connection[Any], empty_database_url: str
) -> None:
    issued = _invoice(older, 1)
    paid = _invoice(older, 2, status="PAID", paid=28)
    money = {"method": "ONLINE", "module": "worldline", "status": "CAPTURED", "ended_at": f"{DAY}T12:00Z"}
    payment = _put(older, "payment", **paid, **money, amount=30)
    refund = _put(older, "refund", case_id=paid["case_id"], payment_id=payment, status="DONE", amount=2,
                  ended_at=f"{DAY}T12:00Z")  # fmt: skip
    credited = _invoice(older, 3, status="CREDITED")
    note = _put(older, "creditnote", invoice_id=credited["invoice_id"], number="VFC-2026-000001", amount=28)
    for kind, id_, case, state in (
        ("INVOICE", issued["invoice_id"], issued["case_id"], "PENDING"),
        ("CREDIT_NOTE", note, credited["case_id"], "PARKED"),
        ("REFUND", refund, paid["case_id"], "PENDING"),
        ("PAYMENT", payment, paid["case_id"], "DONE"),
    ):
        _put(older, "effect", case_id=case, kind="ACCOUNTING_ENTRY", state=state, system="accounting",
             payload=Jsonb({"id": str(id_), "type": kind}))  # fmt: skip
    revisions.upgrade(empty_database_url)
    assert _entries(older, issued["invoice_id"]) == [("INVOICE", "LEFT")]
    assert _entries(older, paid["invoice_id"]) == [
        ("INVOICE", "KNOWN"),
        ("PAYMENT", "KNOWN"),
        ("REFUND", "LEFT"),
        ("REFUND_DUE", "KNOWN"),
    ]
    assert _entries(older, credited["invoice_id"]) == [("CREDIT_NOTE", "REJECTED"), ("INVOICE", "KNOWN")]
    left = older.execute("SELECT payload FROM effect WHERE state <> 'DONE'").fetchall()
    assert all(list(row[0]) == ["entry_id"] for row in left)
    revenue = older.execute("SELECT budget_key, sum(credit - debit) FROM journalline"
                            " WHERE account = 'REVENUE' GROUP BY 1").fetchall()  # fmt: skip
    assert revenue == [(KEY, 56)]
    with revisions._connected(empty_database_url) as connection:
        found = [
            row["subject_id"]
            for _, statement in comparing_money.COMPARISONS
            for row in connection.execute(statement, PERIOD).mappings()
        ]
    assert found == [note]
