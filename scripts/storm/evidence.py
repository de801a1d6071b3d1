"""What the judge reads: Loket's rows by plain SQL, the sandbox's files, and the ledger of the storm.

Nothing of Loket's verbs is used: whoever wrote the rows must not explain them too.
"""

import base64
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from storm.ledger import Journal

Json = dict[str, Any]
Row = Any
"""A named tuple, as the statement names its columns."""

BODY_READ = 4_000
"""Characters: every name stands before the long texts."""
STOP_WAKES = timedelta(seconds=60)
"""How long after a blow its consequences may still come: a lease of 30 s runs out, a retry follows, and a
database that was killed comes back first."""


@dataclass
class Evidence:
    town: psycopg.Connection[Row]
    outside: "Outside"
    journal: Journal

    def rows(self, statement: str, *given: object) -> list[Row]:
        return self.town.execute(statement, given).fetchall()

    @cached_property
    def now(self) -> datetime:
        """When the ledger ends; without one, now. In a town that was stopped nobody fires timers."""
        ended: datetime = self.rows("SELECT now() AS now")[0].now
        return self.journal.lines[-1].at if self.journal.lines else ended

    @cached_property
    def definitions(self) -> dict[tuple[str, int], Json]:
        """What was published, as it stands in the file."""
        found = self.rows("SELECT key, version, content FROM procedureversion")
        return {(one.key, one.version): json.loads(one.content) for one in found}

    @cached_property
    def cases(self) -> dict[UUID, Row]:
        found = self.rows("""
            SELECT c.id, c.reference, c.procedure_key, c.procedure_version, c.stage, c.status, c.version,
                   c.round, c.person_id, c.application_id, c.closed_at, c.outcome,
                   p.insz_sealed IS NOT NULL AS has_number, p.by_email, p.by_sms, p.by_letter,
                   p.email, p.phone, p.deceased_on
              FROM "case" c JOIN person p ON p.id = c.person_id
        """)
        return {one.id: one for one in found}

    @cached_property
    def references(self) -> dict[str, Row]:
        return {one.reference: one for one in self.cases.values()}

    @cached_property
    def history(self) -> dict[UUID, list[Row]]:
        """The events of each case by its versions; what became of effects is not among them."""
        found: dict[UUID, list[Row]] = defaultdict(list)
        for one in self.rows("""
            SELECT seq, xid::text::bigint AS xid, id, case_id, person_id, case_version, type, stage, status,
                   previous_status, occurred_at, actor_kind, actor_id, actor_name, data, chain
              FROM event WHERE case_version IS NOT NULL ORDER BY case_id, case_version, seq
        """):
            found[one.case_id].append(one)
        return found

    @cached_property
    def effects(self) -> dict[UUID, Row]:
        found = self.rows("""
            SELECT id, seq, lane, system, kind, case_id, event_seq, state, attempts, last_error, receipt,
                   retry_at, resend_of,
                   coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(payload)
                     WHERE key ~ '_id$' OR key IN ('channel', 'code', 'phase')), '{}') AS payload
              FROM effect ORDER BY seq
        """)
        return {one.id: one for one in found}

    def effects_of(self, *kinds: str) -> list[Row]:
        """In the order in which they were left."""
        return [one for one in self.effects.values() if one.kind in kinds]

    @cached_property
    def given_up(self) -> set[UUID]:
        """Effects that were parked once: a person had them tried again, when others had gone by."""
        found = self.rows("SELECT DISTINCT effect_id FROM attempt WHERE outcome IN ('PARKED', 'IN_DOUBT')")
        return {one.effect_id for one in found}

    def name(self, case_id: UUID | None) -> str:
        found = self.cases.get(case_id) if case_id else None
        return found.reference if found else str(case_id or "")

    @cached_property
    def struck(self) -> list[tuple[datetime, datetime]]:
        """When something was killed, stopped or cut off, and until when that may still be felt."""
        return [
            (one.at - timedelta(seconds=1), one.at + timedelta(seconds=one.get("seconds") or 0) + STOP_WAKES)
            for one in self.journal.blows("kill", "terminate", "stop", "start")
        ]

    def was_struck(self, since: datetime, until: datetime) -> bool:
        return any(began <= until and since <= ended for began, ended in self.struck)


@dataclass(frozen=True)
class Call:
    """A request that a system received, with what it did with it."""

    at: datetime
    method: str
    path: str
    status: int | None
    fault: str | None
    key: str | None
    """Its Idempotency-Key."""
    body: str

    @property
    def acted(self) -> bool:
        """Whether the system did what it was asked; also where its answer was lost on purpose."""
        if self.fault in ("refuse", "error", "timeout"):
            return False
        return self.status is None or self.status < 300

    @property
    def times(self) -> int:
        return 2 if self.fault == "duplicate" else 1

    @property
    def answered(self) -> bool:
        return self.fault in (None, "duplicate", "slow") and self.status is not None


@dataclass
class Outside:
    """The sandbox's own records, one file for each system; read while it runs, or afterwards."""

    folder: Path
    mode: str = "?mode=ro"
    _open: dict[str, sqlite3.Connection] = field(default_factory=dict)

    def documents(self, system: str, kind: str) -> list[tuple[str, Json]]:
        """Key and document, in the order in which each first came."""
        found = self._read(system, "SELECT key, body FROM document WHERE kind = ? ORDER BY seq", kind)
        return [(key, json.loads(body)) for key, body in found]

    def parts(self, system: str, kind: str, *paths: str) -> list[tuple[Any, ...]]:
        """Of each document of a kind (`…%`: of all that begin so) its key and these parts, as they came."""
        asked = "".join(f", json_extract(body, '$.{path}')" for path in paths)
        how = "LIKE" if kind.endswith("%") else "="
        statement = f"SELECT key{asked} FROM document WHERE kind {how} ? ORDER BY seq"  # noqa: S608  # ours
        return self._read(system, statement, kind)

    def places(self, system: str, prefix: str) -> dict[str, list[str]]:
        """The keys under each kind that begins with `prefix`."""
        found: dict[str, list[str]] = defaultdict(list)
        for kind, key in self._read(
            system, "SELECT kind, key FROM document WHERE kind LIKE ? ORDER BY seq", f"{prefix}%"
        ):
            found[kind.removeprefix(prefix)].append(key)
        return found

    def calls(self, system: str) -> Iterator[Call]:
        """Every request, oldest first; of its body as much as is needed to know what it is about."""
        for at, *told in self._read(
            system,
            f"""
            SELECT json_extract(body, '$.at'), json_extract(body, '$.method'), json_extract(body, '$.path'),
                   json_extract(body, '$.status'), json_extract(body, '$.fault'),
                   json_extract(body, '$.headers."idempotency-key"'),
                   substr(json_extract(body, '$.body'), 1, {BODY_READ})
              FROM request ORDER BY seq
            """,  # noqa: S608  # a number of ours
        ):
            yield Call(datetime.fromisoformat(at), *told)

    def forgot(self, system: str) -> int:
        """How many requests it does not remember any more."""
        (first,) = self._read(system, "SELECT coalesce(min(seq), 1) - 1 FROM request")[0]
        return int(first)

    def close(self) -> None:
        for one in self._open.values():
            one.close()

    def connection(self, system: str) -> sqlite3.Connection:
        if system not in self._open:
            file = self.folder / f"{system}.sqlite"
            if not file.exists():
                raise FileNotFoundError(f"the sandbox keeps no records of {system} in {self.folder}")
            self._open[system] = sqlite3.connect(f"file:{file}{self.mode}", uri=True, isolation_level=None)
        return self._open[system]

    def _read(self, system: str, statement: str, *given: object) -> list[tuple[Any, ...]]:
        return self.connection(system).execute(statement, given).fetchall()


def open_town(url: str) -> psycopg.Connection[Row]:
    """Loket's rows as they are at one moment, for reading only."""
    connection = psycopg.connect(url, row_factory=namedtuple_row)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    connection.execute("SET TIME ZONE 'UTC'")
    return connection


def message_id(mail_id: UUID) -> str:
    """The first part of the Message-ID of an e-mail, by Loket's published habit."""
    return hashlib.sha256(str(mail_id).encode()).hexdigest()[:32]


def named(kind: str, id: UUID) -> str:
    """How clients name something."""
    return base64.urlsafe_b64encode(kind.encode() + b":" + id.bytes).decode().rstrip("=")


def uuid_of(name: str) -> UUID | None:
    """Of what clients name so; None for what is no such name."""
    try:
        kind, _, id = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).partition(b":")
        return UUID(bytes=id) if kind else None
    except ValueError:
        return None
