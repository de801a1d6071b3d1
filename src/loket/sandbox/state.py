"""What a simulated system remembers: documents and the requests it received, kept across restarts."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REQUESTS_KEPT = 20_000
"""Older requests are forgotten."""
BODY_KEPT = 262_144
"""Characters of a body that the record keeps; the longest honest message is a notification of 80 KB."""


def now() -> datetime:
    return datetime.now(UTC)


def stamp() -> str:
    """The present instant as ISO 8601 with milliseconds, UTC."""
    return now().isoformat(timespec="milliseconds")


class State:
    """Documents by kind and key, in the order in which each first came.

    One system owns one state and is the only one to write it. A document is anything that JSON can say;
    what is returned is a copy, so a change is only kept by `put`.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS document (
                seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
                body TEXT NOT NULL, UNIQUE (kind, key));
            CREATE INDEX IF NOT EXISTS document_order ON document (kind, seq);
            CREATE TABLE IF NOT EXISTS request (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
            """
        )

    def put(self, kind: str, key: str, document: dict[str, Any]) -> None:
        """Keep `document`, in the place of an earlier one with this kind and key."""
        self._connection.execute(
            "INSERT INTO document (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, json.dumps(document)),
        )

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        row = self._connection.execute(
            "SELECT body FROM document WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return None if row is None else _read(row[0])

    def add(self, kind: str, key: str, document: dict[str, Any]) -> bool:
        """Keep `document` unless there already is one; True when it was new."""
        cursor = self._connection.execute(
            "INSERT INTO document (kind, key, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (kind, key, json.dumps(document)),
        )
        return cursor.rowcount == 1

    def append(self, kind: str, document: dict[str, Any]) -> int:
        """Keep `document` under a number of its own, never used again; answers it. The key is its text."""
        cursor = self._connection.execute(
            "INSERT INTO document (kind, key, body)"
            " VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'document'), ?)",
            (kind, json.dumps(document)),
        )
        return cursor.lastrowid or 0

    def all(self, kind: str, last: int = -1) -> list[dict[str, Any]]:
        """Oldest first; of the `last` so many only, if given."""
        return [document for _, document in self.items(kind, last)]

    def items(self, kind: str, last: int = -1) -> list[tuple[str, dict[str, Any]]]:
        """Key and document, oldest first; of the `last` so many only, if given."""
        rows = self._connection.execute(
            "SELECT key, body FROM document WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, last)
        ).fetchall()
        return [(key, _read(body)) for key, body in reversed(rows)]

    def count(self, kind: str) -> int:
        found: int = self._connection.execute(
            "SELECT count(*) FROM document WHERE kind = ?", (kind,)
        ).fetchone()[0]
        return found

    def list_under(self, kind: str, key: str, item: str) -> None:
        """Add `item` to the list that is kept as `kind` and `key`: an index of documents of another kind."""
        listed = self.get(kind, key) or {"items": []}
        self.put(kind, key, {"items": [*listed["items"], item]})

    def listed(self, kind: str, key: str, of: str) -> list[dict[str, Any]]:
        """The documents of kind `of` that the list at `kind` and `key` names, oldest first."""
        names = (self.get(kind, key) or {"items": []})["items"]
        return [found for name in names if (found := self.get(of, name)) is not None]

    def delete(self, kind: str, key: str | None = None) -> int:
        """Forget one document, or without `key` the whole kind; answers how many."""
        if key is None:
            return self._connection.execute("DELETE FROM document WHERE kind = ?", (kind,)).rowcount
        return self._connection.execute(
            "DELETE FROM document WHERE kind = ? AND key = ?", (kind, key)
        ).rowcount

    def record(self, request: dict[str, Any]) -> None:
        """Write down one request with what became of it."""
        cursor = self._connection.execute("INSERT INTO request (body) VALUES (?)", (json.dumps(request),))
        self._connection.execute(
            "DELETE FROM request WHERE seq <= ?", ((cursor.lastrowid or 0) - REQUESTS_KEPT,)
        )

    def received(self, path: str = "", last: int = 1000) -> list[dict[str, Any]]:
        """The requests received, oldest first: at, method, path, query, headers, body, status, fault, ms.

        `status` is None where no answer was given. `path` is a prefix; `last` is how many at most.
        """
        rows = self._connection.execute(
            "SELECT body FROM request WHERE substr(json_extract(body, '$.path'), 1, ?) = ?"
            " ORDER BY seq DESC LIMIT ?",
            (len(path), path, last),
        ).fetchall()
        return [_read(body) for (body,) in reversed(rows)]

    def forget_requests(self) -> None:
        self._connection.execute("DELETE FROM request")

    def close(self) -> None:
        self._connection.close()


def _read(body: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    return document
