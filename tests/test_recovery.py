"""A database that is brought back to an earlier moment knows that the world has gone on."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from conftest import FAST, _room
from loket import care, postgres, recovery, revisions
from loket.postgres import Postgres
from loket.settings import Settings
from served import SECRET
from test_webhooks import happen, has_heard, heard, ids, subscribes
from town import OPERATOR, Town, _insz, opened

REFUND = """
    INSERT INTO effect (id, lane, system, kind, state, attempts, last_error, created_at)
    VALUES (gen_random_uuid(), 'refund', 'payments', 'PAYMENT_REFUND', 'PENDING', 0, '', now())
"""


# ── what is done to it ────────────────────────────────────────────────────────────────────────────────


def test_the_feed_begins_anew_and_who_counts_or_tells_it_goes_on(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE feedepoch SET epoch = 7, floor_xid = '3'")
        connection.execute("INSERT INTO follower (name, epoch, xid, seq) VALUES ('figures', 7, '12', 34)")
        connection.execute(
            "INSERT INTO webhooksubscription (id, url, description, secret_sealed, owner_kind, owner_id,"
            " owner_name, state, created_at, epoch, xid, seq, due_at, token, failures, last_error, told)"
            " VALUES (%s, '', '', '', 'STAFF', %s, '', 'ACTIVE', now(), 7, 56, 78, now(), %s, 0, '', 0)",
            (uuid4(), uuid4(), uuid4()),
        )
        connection.execute(REFUND)
        told: list[str] = []
        settings = Settings(secret_key=SECRET)
        assert care.recovered(settings, database_url, {("VF", 2026): 412}, told.append) == 0
        row = connection.execute(
            "SELECT feedepoch.epoch > 7, floor_xid::text, follower.epoch = feedepoch.epoch,"
            " follower.xid::text, follower.seq, hook.epoch = feedepoch.epoch, hook.xid, hook.seq, hook.token"
            " FROM feedepoch, follower, webhooksubscription AS hook"
        ).fetchone()
        assert row == (True, "3", True, "12", 34, True, 56, 78, None)
        assert connection.execute("SELECT DISTINCT state FROM effect").fetchall() == [("IN_DOUBT",)]
        assert connection.execute("SELECT bool_and(paused) FROM systemstate").fetchone() == (True,)
        assert connection.execute("SELECT last_value > 10000 FROM case_number").fetchone() == (True,)
    assert "VF stands at 412" in "\n".join(told).replace("2026 ", "")
    assert "1 effects in doubt" in "\n".join(told)


# ── PostgreSQL brought back to a moment ───────────────────────────────────────────────────────────────


@dataclass
class Place:
    """A server that archives its log, the base backup that was made of it, and where it runs again."""

    room: Path
    first: Postgres
    url: str

    def sql(self, query: str) -> Any:  # noqa: ANN401  # any value
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row and row[0]

    async def is_archived(self) -> None:
        """All that is committed now is in the archive."""
        segment = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        async with asyncio.timeout(60):
            while not (self.room / "archive" / segment).exists():  # noqa: ASYNC110  # another process writes
                await asyncio.sleep(0.05)

    def brought_to(self, moment: str) -> Postgres:
        """On the base backup, brought forward by the archived log up to that moment and no further."""
        settings = FAST | {
            "restore_command": f"cp {self.room}/archive/%f %p",
            "recovery_target_time": moment,
            "recovery_target_action": "promote",
        }
        data = self.room / "second" / "server" / "data"
        (data / "recovery.signal").touch()
        os.chown(data / "recovery.signal", data.stat().st_uid, data.stat().st_gid)
        return Postgres(self.room / "second", settings=settings)


@pytest.fixture
def place() -> Iterator[Place]:
    with _room() as room:
        archive = room / "archive"
        archive.mkdir()
        archive.chmod(0o777)
        keeps = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f", "wal_level": "replica"}
        first = Postgres(room / "first", settings=FAST | keeps)
        url = first.start()
        revisions.upgrade(url)
        _base_backup(url, room / "second")
        yield Place(room, first, url)
        first.stop()


def _base_backup(url: str, root: Path) -> None:
    root.mkdir()
    user = postgres._server_user()
    home = postgres._room_for(user, root)
    binaries = postgres._binaries(root / "none", home, user)
    copied = subprocess.run(
        [binaries / "pg_basebackup", "-D", home / "data", "-c", "fast", "-X", "none", "-d", url],
        env=postgres._bare_environment(), capture_output=True, text=True, **postgres._as_user(user),
    )  # fmt: skip
    assert copied.returncode == 0, copied.stderr


@pytest.mark.skipif(not os.environ.get("SEVERAL"), reason="two servers, half a minute: SEVERAL=1 tries them")
async def test_a_town_is_recovered_to_a_moment_and_goes_on(place: Place, tmp_path: Path) -> None:
    async with opened(place.url, _folder(tmp_path, "before")) as before:
        early = await before.applies("an")
        await early.calm()
        one = await subscribes(before, types=["NOTE_ADDED"])
        told = await happen(before, early, 2)
        await has_heard(before, one, 2)
        await before.sql("UPDATE systemstate SET paused = true WHERE name = 'payments'")
        await before.sql(REFUND)
        cursors = [await _cursor(before)]
        moment = place.sql("SELECT clock_timestamp()::text")
        lost = await before.applies()
        told += await happen(before, early, 3)
        await has_heard(before, one, 5)
        cursors.append(await _cursor(before))
        await place.is_archived()
        await before.sql("UPDATE webhooksubscription SET state = 'ENDED'")

        second = place.brought_to(moment)
        url = second.start()
        try:
            await _promoted(url)
            found = recovery.recovered(url, {})
            assert found.in_doubt == 1
            assert recovery.broken_histories(url) == []
            async with opened(url, _folder(tmp_path, "after")) as after:
                assert await after.ask(OPERATOR, FIND, reference=early.reference) == {
                    "case": {"reference": early.reference}
                }
                assert await after.ask(OPERATOR, FIND, reference=lost.reference) == {"case": None}
                for cursor in cursors:
                    answer = await after.post(OPERATOR, EVENTS, {"after": cursor})
                    assert answer["errors"][0]["extensions"]["code"] == "CURSOR_EXPIRED"
                again = await after.applies()
                ((number,),) = await after.sql("SELECT last_value FROM case_number")
                assert number > place.sql("SELECT last_value FROM case_number") + 1000
                await asyncio.sleep(2)  # more than a poll
                assert await after.look("dosis", f"mbp/{_insz(again.who)}") == []
                for (system,) in await after.sql("SELECT name FROM systemstate WHERE name <> 'payments'"):
                    await after.does(OPERATOR, "systemResume", system=system)
                assert await again.dosis() != []
                told += await happen(after, replace(early, town=after), 2)
                await has_heard(before, one, 7)
                got = await heard(before, one)
                assert ids(got) == told
                assert sum(event["repeats"] for event in got) == 0
        finally:
            second.stop()


FIND = "query($reference: String!) { case(reference: $reference) { reference } }"
EVENTS = "query($after: Cursor) { events(after: $after, first: 10) { id } }"


def _folder(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir()
    return folder


async def _cursor(town: Town) -> str:
    told: str = (await town.ask(OPERATOR, "{ viewer { cursor } }"))["viewer"]["cursor"]
    return told


async def _promoted(url: str) -> None:
    """A server takes questions before it is through the log."""
    with psycopg.connect(url, autocommit=True) as connection:
        async with asyncio.timeout(60):
            while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
