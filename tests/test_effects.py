"""What other systems must hear: all of it, in order, whatever they, the network and our workers do."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from uuid_utils.compat import uuid7

from loket import bookkeeping, cases, invoices, lanes, months, worker
from loket.attempts import wait_before_retry
from loket.database import clock
from loket.effects import CARRY_OUT
from loket.errors import Unavailable
from loket.ids import decode_id, encode_id
from loket.lifecycle import TimerKind
from loket.records import EffectKind, EntryType, LedgerAccount
from loket.settings import Settings
from loket.systems.calls import retry_after_seconds
from loket.timers import ON_TIME
from loket.work import the_system
from loket.worker import Worker
from served import served
from town import OPERATOR, Dossier, Json, Town, until

PATIENCE = 60.0
"""Seconds; a busy machine must not fail a test."""


@pytest.fixture(scope="module")
async def quiet_town(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    """Nobody carries anything out until a test lets somebody."""
    async with served(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield Town(found)


@pytest.fixture
async def town(quiet_town: Town) -> AsyncIterator[Town]:
    yield quiet_town
    for system in OUTSIDE:
        await clear(quiet_town, system)
    await quiet_town.sql("UPDATE effect SET state = 'SKIPPED' WHERE state <> 'DONE'")
    await quiet_town.sql("DELETE FROM lane")
    await quiet_town.sql("DELETE FROM systemstate")


@pytest.fixture(scope="module")
async def settled(quiet_town: Town) -> list[Dossier]:
    """Cases of which all is told: whoever is to hear more of them hears what a test leaves."""
    dossiers = [await quiet_town.applies() for _ in range(6)]
    async with working(quiet_town):
        await nothing_open(quiet_town)
    return dossiers


OUTSIDE = ("magda", "dosis", "notificaties", "worldline", "accounting", "planning", "sms", "smtp")


@asynccontextmanager
async def working(town: Town, number: int = 1) -> AsyncIterator[None]:
    workers = [Worker(town.served.loket) for _ in range(number)]
    running = [asyncio.create_task(one.run()) for one in workers]
    try:
        yield
    finally:
        for one in workers:
            one.stop()
        await asyncio.gather(*running)


def switches(town: Town, system: str) -> str:
    urls = town.served.house.config.urls
    base = f"{urls['desk']}/systeem/smtp" if system == "smtp" else urls[system]
    return f"{base}/sim/faults"


async def fails(town: Town, system: str, mode: str, **fault: object) -> None:
    answer = await town.served.client.post(switches(town, system), json={"mode": mode, **fault})
    assert answer.is_success, answer.text


async def clear(town: Town, system: str) -> None:
    await town.served.client.delete(switches(town, system))


# ── leaving effects ───────────────────────────────────────────────────────────────────────────────────


async def leave_codes(town: Town, number: int, box: str = "") -> list[UUID]:
    """E-mails that wait for nothing else."""
    loket = town.served.loket
    box = box or f"{uuid4().hex}@voorbeeld.example"
    async with loket.work(the_system()) as work:
        return [
            (
                await work.leave(
                    EffectKind.CONTACT_CODE,
                    {"channel": "EMAIL", "address": box, "code": work.vault.seal("123456").hex()},
                )
            ).id
            for _ in range(number)
        ]


async def leave_entries(
    town: Town, dossier: Dossier, number: int = 1, commits_after: float = 0
) -> list[UUID]:
    """Documents for the books, of one case: they go out in order."""
    loket = town.served.loket
    case_id = decode_id(dossier.id, "Case")
    async with loket.work(the_system()) as work:
        case = await cases.get(work, case_id)
        invoice = await invoices.live(work, case)
        left = []
        for _ in range(number):
            id = uuid4()
            euro = bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.COSTS, Decimal(1))
            entry = await bookkeeping.book(
                work, case, EntryType.COSTS, id, euro, document_number=id.hex[:20], invoice=invoice
            )
            assert entry is not None
            assert entry.effect_id is not None
            left.append(entry.effect_id)
        await asyncio.sleep(commits_after)
        return left


async def states(town: Town, ids: Sequence[UUID]) -> Counter[str]:
    rows = await town.sql("SELECT state FROM effect WHERE id = ANY(:ids)", ids=list(ids))
    return Counter(row.state for row in rows)


async def all_done(town: Town, ids: Sequence[UUID]) -> None:
    async def done() -> bool:
        return await states(town, ids) == {"DONE": len(ids)}

    try:
        await until(done, PATIENCE)
    except TimeoutError:
        raise AssertionError(f"{await states(town, ids)} {await open_rows(town)}") from None


async def open_rows(town: Town) -> list[Any]:
    return await town.sql(
        "SELECT effect.system, kind, state, attempts, last_error, retry_at, lane.due_at, lane.token, now()"
        " FROM effect LEFT JOIN lane ON lane.key = effect.lane WHERE state <> 'DONE' ORDER BY effect.seq"
    )


async def become(town: Town, id: UUID, state: str) -> None:
    async def there() -> bool:
        return await states(town, [id]) == {state: 1}

    await until(there, PATIENCE)


async def nothing_open(town: Town) -> None:
    """All is handed over, and no lane is left behind."""

    async def quiet() -> bool:
        rows = await town.sql(
            "SELECT FROM effect WHERE state = 'PENDING'"
            " AND (retry_at IS NULL OR attempts > 0 OR retry_at < now() + interval '5 seconds') LIMIT 1"
        )
        return not rows

    try:
        await until(quiet, PATIENCE)
    except TimeoutError:
        raise AssertionError(await open_rows(town)) from None


async def received_by(town: Town, system: str, path: str) -> list[Json]:
    url = f"{town.served.house.config.urls[system]}/sim/received"
    answer = await town.served.client.get(url, params={"path": path, "last": "10000"})
    received: list[Json] = answer.json()
    return received


async def put(town: Town) -> list[tuple[UUID, str, int | None]]:
    """What the accounting package was asked to book, in the order of arrival: key, entry, answer."""
    received = await received_by(town, "accounting", "/v1/entries")
    return [
        (UUID(one["headers"]["idempotency-key"]), one["path"].rpartition("/")[2], one["status"])
        for one in received
        if one["method"] == "PUT"
    ]


async def in_order(town: Town, wanted: Sequence[UUID]) -> None:
    """The first arrival of each came in the order in which they were left."""
    seen = dict.fromkeys(key for key, _, _ in await put(town) if key in set(wanted))
    assert list(seen) == list(wanted)


async def booked_once(town: Town, wanted: Sequence[UUID]) -> None:
    """The books hold each entry once."""
    rows = await town.sql(
        "SELECT payload ->> 'entry_id' AS entry FROM effect WHERE id = ANY(:ids)", ids=list(wanted)
    )
    entries = Counter(one["entry"]["id"] for one in await town.look("accounting", "entries"))
    assert {row.entry: entries[row.entry] for row in rows} == {row.entry: 1 for row in rows}


async def under_way(town: Town, system: str, number: int = 1) -> None:
    """Calls to a system that have no end yet."""

    async def begun() -> bool:
        rows = await town.sql(
            "SELECT FROM attempt JOIN effect ON effect.id = effect_id"
            " WHERE effect.system = :system AND state = 'PENDING' AND ended_at IS NULL",
            system=system,
        )
        return len(rows) >= number

    await until(begun, PATIENCE)


# ── with the transition ───────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_effect_and_of_deadline_has_its_function() -> None:
    assert set(CARRY_OUT) == set(EffectKind)
    assert set(ON_TIME) == set(TimerKind)


async def test_what_is_rolled_back_is_told_to_nobody(town: Town, settled: list[Dossier]) -> None:
    dossier = settled[0]
    before = await town.sql("SELECT count(*) FROM effect")
    with suppress(LookupError):
        async with town.served.loket.work(the_system()) as work:
            case = await cases.get(work, decode_id(dossier.id, "Case"))
            await work.leave(EffectKind.INVOICE_PDF, {"invoice_id": str(uuid4())}, case=case)
            raise LookupError
    assert await town.sql("SELECT count(*) FROM effect") == before
    rows = await town.sql(
        "SELECT count(*) FILTER (WHERE lane.key IS NULL) AS without FROM effect"
        " LEFT JOIN lane ON lane.key = effect.lane WHERE state = 'PENDING'"
    )
    assert rows[0].without == 0


async def test_an_attempt_is_written_down_before_the_call(town: Town, settled: list[Dossier]) -> None:
    await fails(town, "accounting", "slow", seconds=1.0)
    (entry,) = await leave_entries(town, settled[0])
    async with working(town):
        await under_way(town, "accounting")
        rows = await town.sql("SELECT number, ended_at FROM attempt WHERE effect_id = :id", id=entry)
        assert [(row.number, row.ended_at) for row in rows] == [(1, None)]
        await all_done(town, [entry])
    rows = await town.sql(
        "SELECT number, outcome, ended_at > started_at AS took FROM attempt WHERE effect_id = :id", id=entry
    )
    assert [tuple(row) for row in rows] == [(1, "DONE", True)]


# ── order, parking, people ────────────────────────────────────────────────────────────────────────────


async def test_each_system_hears_of_each_case_in_order_and_once_however_it_fails(town: Town) -> None:
    for mode in ("error", "lose_answer", "malformed", "duplicate"):
        for system in ("accounting", "dosis"):
            await fails(town, system, mode, probability=0.15)
    dossiers = [await town.applies() for _ in range(2)]
    left = {one.reference: await leave_entries(town, one, 5) for one in dossiers}
    async with working(town, 2):
        await all_done(town, [id for ids in left.values() for id in ids])
        for system in ("accounting", "dosis"):
            await clear(town, system)
        for dossier in dossiers:
            told = await dossier.dosis()  # which checks their order
            rows = await town.sql(
                "SELECT payload ->> 'code' AS code, payload ->> 'phase' AS phase FROM effect"
                " WHERE case_id = :id AND system = 'dosis' ORDER BY seq",
                id=decode_id(dossier.id, "Case"),
            )
            assert told == [(row.code, row.phase) for row in rows]
    for ids in left.values():
        await in_order(town, ids)
        await booked_once(town, ids)
    attempts = await town.sql("SELECT count(*) AS made FROM attempt")
    assert attempts[0].made >= sum(map(len, left.values()))


async def test_a_parked_message_holds_back_no_other_and_is_sent_when_tried_again(town: Town) -> None:
    await fails(town, "notificaties", "refuse", count=1)
    dossier = await town.applies()
    fields = "messages(first: 50) { nodes { id about channel status reason } }"
    async with working(town):
        await nothing_open(town)
        failed = await town.ask(
            OPERATOR, "{ failedEffects { nodes { id kind state lastError attempts { number outcome } } } }"
        )
        (parked,) = failed["failedEffects"]["nodes"]
        assert (parked["kind"], parked["state"]) == ("MESSAGE_MBP", "PARKED")
        assert "403" in parked["lastError"]
        assert parked["attempts"] == [{"number": 1, "outcome": "PARKED"}]
        told = (await dossier.read(fields=fields))["messages"]["nodes"]
        mbp = Counter(one["status"] for one in told if one["channel"] == "MBP")
        assert mbp["FAILED"] == 1
        assert mbp["SENT"] == mbp.total() - 1 > 0
        await town.does(OPERATOR, "effectRetry", "effect { state }", id=parked["id"])
        await become(town, decode_id(parked["id"], "Effect"), "DONE")
        told = (await dossier.read(fields=fields))["messages"]["nodes"]
        assert {one["status"] for one in told if one["channel"] == "MBP"} == {"SENT"}
        refused = await town.refused(OPERATOR, "effectRetry", id=parked["id"])
        assert refused["code"] == "TRANSITION_NOT_ALLOWED"
    received = await received_by(town, "notificaties", "/api")
    keys = Counter(one["body"] for one in received if dossier.reference in one["body"])
    assert max(keys.values()) == 2, "tried again with the same id and words"
    assert not (await town.ask(OPERATOR, "{ failedEffects { nodes { id } } }"))["failedEffects"]["nodes"]


async def test_messages_of_one_case_arrive_in_the_order_in_which_they_were_written(town: Town) -> None:
    for system in ("notificaties", "smtp"):
        await fails(town, system, "slow", seconds=1.0, count=1)
    dossier = await town.applies()
    async with working(town, 2):
        await nothing_open(town)
    rows = await town.sql(
        "SELECT channel, subject FROM message JOIN effect ON effect.id = message.effect_id"
        " WHERE message.case_id = :id ORDER BY effect.seq",
        id=decode_id(dossier.id, "Case"),
    )
    written: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        written[row.channel].append(row.subject)
    shown = [one["Waarden"]["Status"] for one in await town.notified(dossier.who)]
    assert len(shown) > 1
    assert shown == written["MBP"]
    assert [one["subject"] for one in await town.letters(dossier.who)] == written["EMAIL"]


async def test_a_message_that_is_parked_first_lets_the_next_one_of_its_channel_go(town: Town) -> None:
    await fails(town, "notificaties", "refuse", count=1)
    dossier = await town.applies()
    async with working(town):
        await nothing_open(town)
    rows = await town.sql(
        "SELECT effect.state, effect.lane, lane.key FROM effect LEFT JOIN lane ON lane.key = effect.lane"
        " WHERE case_id = :id AND effect.system = 'mbp' ORDER BY effect.seq",
        id=decode_id(dossier.id, "Case"),
    )
    assert [row.state for row in rows] == ["PARKED", *["DONE"] * (len(rows) - 1)]
    assert len(rows) > 1
    assert {row.lane for row in rows} == {rows[0].lane}, "one lane for all of them"
    assert {row.key for row in rows} == {None}
    await town.sql(
        "UPDATE effect SET state = 'PENDING' WHERE lane = :lane AND state = 'DONE'", lane=rows[0].lane
    )
    async with working(town):  # its sweep finds what lost its lane, also behind a parked message
        await nothing_open(town)


async def test_what_became_of_an_effect_is_told_with_the_effect(town: Town) -> None:
    await fails(town, "notificaties", "refuse", count=1)
    dossier = await town.applies()
    async with working(town):
        await nothing_open(town)
    rows = await town.sql(
        "SELECT id, type, data FROM event WHERE case_id = :id ORDER BY seq", id=decode_id(dossier.id, "Case")
    )
    fields = "... on CaseEvent { type effect { id kind state case { reference } } effects { id } }"
    ids = [encode_id("CaseEvent", row.id) for row in rows]
    seen = await town.ask(dossier.who, f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ {fields} }} }}", ids=ids)
    about = [one for one in seen["nodes"] if one["type"].startswith("EFFECT_")]
    told = [encode_id("Effect", UUID(row.data["effect"])) for row in rows if row.type.startswith("EFFECT_")]
    assert [one["effect"]["id"] for one in about] == told
    assert {(one["type"], one["effect"]["state"]) for one in about} == {
        ("EFFECT_PARKED", "PARKED"),
        ("EFFECT_DONE", "DONE"),
    }
    assert {one["effect"]["case"]["reference"] for one in about} == {dossier.reference}
    others = [one for one in seen["nodes"] if not one["type"].startswith("EFFECT_")]
    assert {one["effect"] for one in others} == {None}


async def test_a_message_that_failed_can_be_sent_anew(town: Town) -> None:
    await fails(town, "notificaties", "refuse", count=1)
    dossier = await town.applies()
    fields = "messages(first: 50) { nodes { id channel status } } effects { id state kind }"
    async with working(town):
        await nothing_open(town)
        seen = await dossier.read(fields=fields)
        (failed,) = [one for one in seen["messages"]["nodes"] if one["status"] == "FAILED"]
        again = await town.does(OPERATOR, "messageResend", "message { id status }", id=failed["id"])
        assert again["message"]["id"] != failed["id"]
        await nothing_open(town)
        seen = await dossier.read(fields=fields)
        status = {one["id"]: one["status"] for one in seen["messages"]["nodes"]}
        assert status[again["message"]["id"]] == "SENT"
        assert Counter(one["state"] for one in seen["effects"])["SKIPPED"] == 1

        async def swept() -> bool:
            return not await town.sql("SELECT FROM lane")

        await until(swept, PATIENCE)


async def test_a_parked_entry_holds_back_its_lane_until_it_is_skipped_or_tried_again(
    town: Town, settled: list[Dossier]
) -> None:
    await fails(town, "accounting", "refuse", count=2)
    skipped, retried = settled[:2]
    left = {one.reference: await leave_entries(town, one, 3) for one in (skipped, retried)}
    async with working(town):
        await nothing_open_but_parked(town)
        failed = (await town.ask(OPERATOR, PARKED))["failedEffects"]["nodes"]
        assert {one["case"]["reference"] for one in failed} == {skipped.reference, retried.reference}
        assert set(await put_of(town, [id for ids in left.values() for id in ids])) == first_of(left)
        for one in failed:
            mine = one["case"]["reference"] == skipped.reference
            refused = await town.refused(OPERATOR, "effectSkip", id=one["id"], input={"reason": " "})
            assert refused["code"] == "REQUIRED"
            if mine:
                done = await town.does(
                    OPERATOR,
                    "effectSkip",
                    "effect { state lastError }",
                    id=one["id"],
                    input={"reason": "Dubbel"},
                )
                assert done["effect"]["state"] == "SKIPPED"
                assert "Dubbel" in done["effect"]["lastError"]
            else:
                await town.does(OPERATOR, "effectRetry", id=one["id"])
        await all_done(town, [*left[skipped.reference][1:], *left[retried.reference]])
        for ids in left.values():
            await in_order(town, ids)


def first_of(left: dict[str, list[UUID]]) -> set[UUID]:
    return {ids[0] for ids in left.values()}


PARKED = "{ failedEffects(first: 50) { nodes { id kind case { reference } } } }"


async def nothing_open_but_parked(town: Town) -> None:
    async def waits_for_people() -> bool:
        rows = await town.sql(
            "SELECT FROM effect WHERE state = 'PENDING' AND NOT EXISTS (SELECT FROM effect AS first"
            " WHERE first.lane = effect.lane AND first.seq < effect.seq AND first.state = 'PARKED') LIMIT 1"
        )
        return not rows

    await until(waits_for_people, PATIENCE)


async def put_of(town: Town, ids: Sequence[UUID]) -> list[UUID]:
    return [key for key, _, _ in await put(town) if key in set(ids)]


async def test_who_takes_longer_than_its_lease_keeps_it_for_as_long_as_it_lives(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LEASE", timedelta(seconds=2))
    monkeypatch.setattr(worker, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(worker, "RENEWALS", 1000)
    box = f"{uuid4().hex}@voorbeeld.example"
    await fails(town, "smtp", "slow", seconds=3.0, count=1)
    async with working(town, 2):
        left = await leave_codes(town, 1, box)
        await all_done(town, left)
    assert len(town.served.house.states["smtp"].all(f"mailbox:{box}")) == 1
    attempts = await town.sql("SELECT number FROM attempt WHERE effect_id = :id", id=left[0])
    assert [row[0] for row in attempts] == [1]


async def test_what_the_other_side_has_is_done_also_when_it_was_skipped_meanwhile(
    town: Town, settled: list[Dossier]
) -> None:
    dossier = settled[0]
    async with working(town):
        await fails(town, "accounting", "slow", seconds=1.5, count=1)
        first, second = await leave_entries(town, dossier, 2)
        await under_way(town, "accounting")
        seen = await dossier.read(fields="effects { id state }")
        (waits,) = [one for one in seen["effects"] if decode_id(one["id"], "Effect") == first]
        await town.does(OPERATOR, "effectSkip", id=waits["id"], input={"reason": "Toch niet"})
        await all_done(town, [first, second])


async def test_a_paused_system_hears_nothing_and_the_others_go_on(town: Town, settled: list[Dossier]) -> None:
    answer = await town.does(OPERATOR, "systemPause", "system paused", system="accounting")
    assert answer["paused"] is True
    left = await leave_entries(town, settled[0], 2)
    codes = await leave_codes(town, 3)
    async with working(town):
        await all_done(town, codes)
        assert await put_of(town, left) == []
        await town.sql(
            "UPDATE effect SET created_at = created_at - interval '3 days' WHERE state = 'PENDING'"
        )
        await fails(town, "accounting", "error", count=1)
        await town.does(OPERATOR, "systemResume", "paused", system="accounting")
        await all_done(town, left)
        await in_order(town, left)
    refused = await town.refused(OPERATOR, "systemPause", system="nothing")
    assert refused["code"] == "NOT_FOUND"


# ── systems that are down, slow, or ask for rest ──────────────────────────────────────────────────────


async def test_all_arrives_when_every_system_was_down_at_first(town: Town) -> None:
    for system in OUTSIDE:
        await fails(town, system, "error")
    dossier = await town.applies(
        answers={
            "applicant": {
                "address": {"street": "Beekdal", "number": "7", "postal_code": "2999", "city": "Lindebeke"}
            }
        }
    )
    async with working(town):

        async def tried() -> bool:
            rows = await town.sql("SELECT DISTINCT system FROM effect WHERE attempts > 0")
            return {"magda", "dosis", "mbp"} <= {row.system for row in rows}

        await until(tried, PATIENCE)
        assert (await dossier.read())["status"] == "SCREENING"
        for system in OUTSIDE:
            await clear(town, system)
        await dossier.until("AWAITING_PAYMENT", PATIENCE)
        await nothing_open(town)
        assert await dossier.dosis()
        assert len(await dossier.letters()) >= 1
    assert not (await town.ask(OPERATOR, PARKED))["failedEffects"]["nodes"]


async def test_a_circuit_opens_after_failures_and_its_end_wakes_all_who_wait(
    town: Town, settled: list[Dossier]
) -> None:
    await fails(town, "accounting", "error")
    dossiers = settled
    left = [await leave_entries(town, one) for one in dossiers]
    async with working(town):

        async def opened() -> bool:
            rows = await town.sql(
                "SELECT FROM systemstate WHERE name = 'accounting' AND open_until > now() AND failures >= 5"
            )
            return bool(rows)

        await until(opened, PATIENCE)
        # a long outage: all but one wait for a quarter of an hour yet
        await town.sql(
            "UPDATE systemstate SET open_until = now() + interval '1 hour' WHERE name = 'accounting'"
        )
        tried = len(await put(town))
        await asyncio.sleep(1.5)
        assert len(await put(town)) <= tried + lanes.PER_SYSTEM, "left alone"
        await town.sql(
            "WITH far AS (UPDATE lane SET due_at = now() + interval '15 minutes',"
            " failures = greatest(failures, 1) WHERE system = 'accounting' AND token IS NULL RETURNING key)"
            " UPDATE effect SET retry_at = now() + interval '15 minutes', attempts = greatest(attempts, 1)"
            " FROM far WHERE effect.lane = far.key AND effect.state = 'PENDING'"
        )
        await clear(town, "accounting")
        lane = f"{decode_id(dossiers[3].id, 'Case')}:accounting"
        await town.sql("UPDATE effect SET retry_at = NULL WHERE lane = :lane", lane=lane)
        await town.sql("UPDATE lane SET due_at = now() WHERE key = :lane", lane=lane)
        await town.sql("UPDATE systemstate SET open_until = NULL WHERE name = 'accounting'")
        await all_done(town, [id for ids in left for id in ids])
        rows = await town.sql("SELECT failures FROM systemstate WHERE name = 'accounting'")
        assert rows[0].failures == 0


async def test_a_system_that_hangs_leaves_room_for_the_others(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 0.5)
    await fails(town, "notificaties", "timeout", seconds=30)
    dossiers = [await town.applies() for _ in range(lanes.PER_SYSTEM + 1)]
    async with working(town):

        async def hangs() -> bool:
            rows = await town.sql("SELECT FROM lane WHERE system = 'mbp' AND token IS NOT NULL")
            return len(rows) == lanes.PER_SYSTEM

        await until(hangs, PATIENCE)
        codes = await leave_codes(town, 12)
        async with asyncio.timeout(8):
            await all_done(town, codes)
        for one in dossiers:
            rows = await town.sql(
                "SELECT FROM effect WHERE case_id = :id AND system = 'mbp' AND state = 'DONE'",
                id=decode_id(one.id, "Case"),
            )
            assert not rows
        await town.sql("UPDATE systemstate SET paused = true WHERE name = 'mbp'")


async def test_a_fault_of_ours_is_tried_again_and_leaves_the_system_in_peace(
    town: Town, settled: list[Dossier]
) -> None:
    (broken,) = await leave_entries(town, settled[0])
    (entry,) = await town.sql("SELECT payload ->> 'entry_id' AS id FROM effect WHERE id = :id", id=broken)
    await town.sql('UPDATE effect SET payload = \'{"entry_id": "much"}\' WHERE id = :id', id=broken)
    async with working(town):

        async def tried() -> bool:
            rows = await town.sql("SELECT FROM effect WHERE id = :id AND attempts >= 2", id=broken)
            return bool(rows)

        await until(tried, PATIENCE)
        rows = await town.sql("SELECT last_error, retry_at FROM effect WHERE id = :id", id=broken)
        assert "our own fault" in rows[0].last_error
        rows = await town.sql("SELECT failures FROM systemstate WHERE name = 'accounting'")
        assert rows[0].failures == 0
        await town.sql(
            "UPDATE effect SET payload = jsonb_build_object('entry_id', CAST(:entry AS text)) WHERE id = :id",
            id=broken,
            entry=entry.id,
        )
        await all_done(town, [broken])


@pytest.mark.parametrize(("times", "hours"), [(49, 1), (13, 4)])
async def test_after_two_days_of_trying_a_person_is_asked_who_can_begin_anew(
    town: Town, times: int, hours: int
) -> None:
    """A system that is down and has many lanes is asked for each of them only now and then."""
    await fails(town, "smtp", "error")
    (code,) = await leave_codes(town, 1)
    async with working(town):

        async def tried() -> bool:
            return bool(
                await town.sql("SELECT FROM attempt WHERE effect_id = :id AND outcome = 'RETRY'", id=code)
            )

        await until(tried, PATIENCE)
        await town.sql(
            "INSERT INTO attempt (id, effect_id, number, started_at, ended_at, outcome, error)"
            " SELECT gen_random_uuid(), :id, 100 + n, now() - n * :pause, now(), 'RETRY', ''"
            " FROM generate_series(1, :times) AS n",
            id=code,
            times=times,
            pause=timedelta(hours=hours),
        )
        await town.sql("UPDATE effect SET attempts = 200 WHERE id = :id", id=code)
        await try_now(town, code)
        await become(town, code, "PARKED")
        (parked,) = (await town.ask(OPERATOR, PARKED))["failedEffects"]["nodes"]
        await town.does(OPERATOR, "effectRetry", id=parked["id"])

        async def again() -> bool:
            rows = await town.sql(
                "SELECT outcome FROM attempt WHERE effect_id = :id ORDER BY number", id=code
            )
            return [row.outcome for row in rows][-2:] == ["PARKED", "RETRY"]

        await until(again, PATIENCE)
        await clear(town, "smtp")
        await all_done(town, [code])


async def test_a_time_in_which_nobody_tried_is_no_trying(town: Town) -> None:
    await fails(town, "smtp", "error")
    (code,) = await leave_codes(town, 1)
    async with working(town):

        async def tried(times: int) -> bool:
            rows = await town.sql("SELECT outcome FROM attempt WHERE effect_id = :id", id=code)
            return [row.outcome for row in rows].count("RETRY") >= times

        await until(lambda: tried(1), PATIENCE)
        await town.sql(
            "UPDATE attempt SET started_at = now() - interval '3 days' WHERE effect_id = :id", id=code
        )
        await try_now(town, code)
        await until(lambda: tried(2), PATIENCE)
        await clear(town, "smtp")
        await try_now(town, code)
        await all_done(town, [code])


async def try_now(town: Town, effect: UUID) -> None:
    await town.sql("UPDATE effect SET retry_at = NULL WHERE id = :id", id=effect)
    await town.sql("UPDATE lane SET due_at = now() WHERE key = :key", key=str(effect))


@pytest.mark.parametrize("asked", ["9" * 20, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_who_asks_for_an_eternity_is_left_alone_for_a_day(asked: str) -> None:
    assert retry_after_seconds(asked) == 86_400


async def test_a_system_that_asked_for_a_rest_gets_it_of_lanes_in_hand_too(
    town: Town, settled: list[Dossier]
) -> None:
    async with town.served.loket.database.transaction() as session:
        await lanes.sweep(session)
    await town.sql("UPDATE systemstate SET open_until = now() + interval '1 hour' WHERE name = 'accounting'")
    try:
        async with town.served.loket.database.transaction() as session:
            again_at = await lanes.wait_for_turn(session, "accounting")
            assert again_at is not None
            await leave_entries(town, settled[0])
            claims = await lanes.claim(session, 100, {})
            assert "accounting" not in {one.system for one in claims}
            for one in claims:
                await lanes.let_go(session, one, await clock(session))
    finally:
        await town.sql("UPDATE systemstate SET open_until = NULL WHERE name = 'accounting'")


def test_the_wait_grows_with_the_failure_and_honours_what_was_asked() -> None:
    plain = Unavailable("x", "gone")
    for tried, low, high in (
        (timedelta(0), 0.8, 1.2),
        (timedelta(minutes=1), 9.6, 14.4),
        (timedelta(hours=40), 720, 1080),
    ):
        waits = [wait_before_retry(tried, plain).total_seconds() for _ in range(200)]
        assert low <= min(waits) < max(waits) <= high
    for asked, low, high in ((0.5, 0.8, 1.2), (1800, 1800, 1980), (10**6, 3600, 3960)):
        fault = Unavailable("x", "not now", retry_after_seconds=asked)
        waits = [wait_before_retry(timedelta(0), fault).total_seconds() for _ in range(200)]
        assert low <= min(waits) < max(waits) <= high


async def test_too_many_requests_give_the_whole_system_the_rest_that_it_asks_for(
    town: Town, settled: list[Dossier]
) -> None:
    await fails(town, "accounting", "error", status=429, count=1)
    left = [await leave_entries(town, one) for one in settled[:2]]
    async with working(town):

        async def rests() -> bool:
            rows = await town.sql("SELECT FROM systemstate WHERE name = 'accounting' AND open_until > now()")
            return bool(rows)

        await until(rests, PATIENCE)
        await all_done(town, [id for ids in left for id in ids])


async def test_two_workers_share_one_rate(town: Town) -> None:
    rate, burst = 20, 5
    await town.sql(
        "INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)"
        " VALUES ('email', false, :rate, :burst, 0)",
        rate=rate, burst=burst,
    )  # fmt: skip
    codes = await leave_codes(town, 60)
    async with working(town, 2):
        await all_done(town, codes)
    rows = await town.sql(
        "SELECT extract(epoch FROM started_at)::float8 AS at FROM attempt"
        " WHERE effect_id = ANY(:ids) ORDER BY 1",
        ids=codes,
    )
    granted = [row.at for row in rows]
    assert len(granted) == len(codes)
    for i, begin in enumerate(granted):
        for j in range(i, len(granted)):
            # an attempt's instant is taken in the transaction just before its turn: half a second of slack
            assert j - i + 1 <= rate * (granted[j] - begin + 0.5) + burst + 1
    assert granted[-1] - granted[0] >= (len(codes) - burst - 1) / rate - 0.5


# ── workers that die, freeze, or stop ─────────────────────────────────────────────────────────────────


def environment(own: Settings) -> dict[str, str]:
    """These settings as a process gets them."""
    told: dict[str, str] = {name: text for name, text in os.environ.items() if not name.startswith("LOKET_")}
    for one in fields(own):
        value = getattr(own, one.name)
        if is_dataclass(value):
            for inner in fields(value):
                told[f"LOKET_{one.name}_{inner.name}".upper()] = str(getattr(value, inner.name))
        else:
            told[f"LOKET_{one.name}".upper()] = str(value)
    return told


@asynccontextmanager
async def worker_process(town: Town) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loket", "work",
        env=environment(town.served.loket.settings), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def run_out(town: Town) -> None:
    """The leases of whoever does not renew them."""
    await town.sql("UPDATE lane SET due_at = now() WHERE token IS NOT NULL")


async def test_another_worker_takes_over_from_one_that_was_killed(town: Town, settled: list[Dossier]) -> None:
    await fails(town, "accounting", "slow", seconds=0.1)
    left = [await leave_entries(town, one, 5) for one in settled[:4]]
    box = f"{uuid4().hex}@voorbeeld.example"
    codes = await leave_codes(town, 30, box)
    everything = [*codes, *(id for ids in left for id in ids)]
    async with worker_process(town) as process:

        async def half_way() -> bool:
            return (await states(town, everything))["DONE"] >= len(everything) // 3

        await until(half_way, PATIENCE)
        process.kill()
        await process.wait()
    cut_off = await town.sql("SELECT effect_id FROM attempt WHERE ended_at IS NULL")
    assert cut_off, "killed in the middle"
    async with working(town):
        await run_out(town)
        await all_done(town, everything)
    for ids in left:
        await in_order(town, ids)
        await booked_once(town, ids)
    around = {row.effect_id for row in cut_off}
    repeated = {key for key, times in Counter(key for key, _, _ in await put(town)).items() if times > 1}
    assert repeated & set(everything) <= around
    letters = await town.look("smtp", f"mailbox/{box}")
    assert len({one["messageId"] for one in letters}) == len(codes)
    assert len(letters) <= len(codes) + len(around)


async def test_a_worker_that_was_frozen_changes_nothing_in_a_lane_that_another_has(
    town: Town, settled: list[Dossier]
) -> None:
    await fails(town, "accounting", "slow", seconds=1.0)
    entries = await leave_entries(town, settled[0], 4)
    async with worker_process(town) as frozen:
        await under_way(town, "accounting")
        frozen.send_signal(signal.SIGSTOP)
        await run_out(town)
        async with working(town):
            await all_done(town, entries[:1])
            before = await town.sql("SELECT receipt, done_at FROM effect WHERE id = :id", id=entries[0])
            frozen.send_signal(signal.SIGCONT)
            await all_done(town, entries)
        frozen.terminate()
        assert await asyncio.wait_for(frozen.wait(), PATIENCE) == 0
    rows = await town.sql(
        "SELECT effect_id, outcome FROM attempt WHERE effect_id = ANY(:ids) ORDER BY number", ids=entries
    )
    outcomes = [[row.outcome for row in rows if row.effect_id == id] for id in entries]
    assert outcomes == [["", "DONE"], ["DONE"], ["DONE"], ["DONE"]]
    assert await town.sql("SELECT receipt, done_at FROM effect WHERE id = :id", id=entries[0]) == before
    told = await town.sql(
        "SELECT data ->> 'effect' AS id FROM event"
        " WHERE type = 'EFFECT_DONE' AND data ->> 'effect' = ANY(:ids)",
        ids=[str(id) for id in entries],
    )
    assert sorted(row.id for row in told) == sorted(map(str, entries))
    await in_order(town, entries)
    await booked_once(town, entries)


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has_in_hand_but_waits_for_nothing_that_hangs(
    town: Town, settled: list[Dossier]
) -> None:
    await fails(town, "accounting", "slow", seconds=2.0)
    await fails(town, "smtp", "timeout", seconds=40)
    left = [await leave_entries(town, one, 4) for one in settled[:2]]
    (code,) = await leave_codes(town, 1)
    async with worker_process(town) as process:
        await under_way(town, "email")
        await under_way(town, "accounting", len(left))
        process.terminate()
        began = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        assert asyncio.get_running_loop().time() - began < 10
    cut_off = await town.sql(
        "SELECT effect_id FROM attempt JOIN effect ON effect.id = effect_id"
        " WHERE state = 'PENDING' AND ended_at IS NULL"
    )
    held = await town.sql("SELECT key FROM lane WHERE token IS NOT NULL")
    assert ([row.effect_id for row in cut_off], [row.key for row in held]) == ([code], [str(code)])
    assert (await states(town, [id for ids in left for id in ids]))["PENDING"] > 0
    for system in ("accounting", "smtp"):
        await clear(town, system)
    async with working(town):
        await run_out(town)
        await all_done(town, [code, *(id for ids in left for id in ids)])


# ── lanes that come and go ────────────────────────────────────────────────────────────────────────────


async def test_no_effect_is_lost_while_workers_empty_its_lane(
    town: Town, settled: list[Dossier], caplog: pytest.LogCaptureFixture
) -> None:
    dossiers = settled[:3]
    chance = random.Random(3)
    left: dict[str, list[UUID]] = defaultdict(list)

    async def writes(number: int) -> None:
        for _ in range(25):
            dossier = dossiers[number % len(dossiers)]
            left[dossier.reference] += await leave_entries(town, dossier)
            await asyncio.sleep(chance.choice((0, 0, 0.01, 0.05)))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(town, 2))
        await asyncio.gather(*(writes(number) for number in range(6)))
        await all_done(town, [id for ids in left.values() for id in ids])
    for ids in left.values():
        rows = await town.sql("SELECT id FROM effect WHERE id = ANY(:ids) ORDER BY seq", ids=ids)
        await in_order(town, [row.id for row in rows])
    assert not [one for one in caplog.records if "no lane" in one.message or "written down" in one.message]


async def test_an_effect_that_is_committed_just_after_its_lane_ran_empty_goes_out(
    town: Town, settled: list[Dossier], caplog: pytest.LogCaptureFixture
) -> None:
    async with working(town):
        for dossier in settled[:3]:
            await fails(town, "accounting", "slow", seconds=0.3, count=1)
            first = await leave_entries(town, dossier)
            await under_way(town, "accounting")
            second = await leave_entries(town, dossier, commits_after=0.8)
            await all_done(town, first + second)
    assert "had no lane" not in caplog.text


async def test_effects_of_a_clock_that_is_days_behind_that_of_the_case_go_out(
    town: Town, settled: list[Dossier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "uuid7", lambda: UUID(int=uuid7().int - 5 * months.DAY))
    left = await leave_entries(town, settled[0], 2)
    async with working(town):
        await all_done(town, left)
    await in_order(town, left)


@given(
    key=st.integers(0, 2**128 - 1).map(lambda n: UUID(int=n)),
    timed=st.integers(0, 2**48 - 1).map(lambda ms: UUID(int=ms << 80 | 7 << 76 | 2 << 62)),
)
def test_no_id_is_before_what_it_belongs_to(key: UUID, timed: UUID) -> None:
    assert months.since(key) <= months.not_before(key)
    assert months.since(timed) <= timed <= months.not_before(timed)
    assert months.not_before(timed).version == 7


async def test_a_lease_begins_when_the_lane_is_free(town: Town) -> None:
    database = town.served.loket.database
    (code,) = await leave_codes(town, 1)
    async with database.transaction() as session:
        await lanes.sweep(session)
        claims = await lanes.claim(session, 100, {})
    (mine,) = (one for one in claims if one.key == str(code))

    async def hold() -> timedelta:
        async with database.transaction() as session:
            await lanes.hold(session, mine)
            rows = await session.execute(
                text("SELECT due_at - clock_timestamp() FROM lane WHERE key = :key"), {"key": mine.key}
            )
            left: timedelta = rows.scalar_one()
            return left

    async with database.transaction() as other:
        await other.execute(text("SELECT FROM lane WHERE key = :key FOR UPDATE"), {"key": mine.key})
        holding = asyncio.create_task(hold())
        await asyncio.sleep(1.5)
    assert await holding > lanes.LEASE - timedelta(seconds=1)
    async with database.transaction() as session:
        for one in claims:
            await lanes.let_go(session, one, await clock(session))
    async with working(town):
        await all_done(town, [code])


async def test_an_effect_whose_lane_was_lost_is_found_again(
    town: Town, settled: list[Dossier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.2)
    dossier = settled[0]
    async with working(town):

        async def swept() -> bool:
            return bool(await town.sql("SELECT FROM systemstate WHERE name = 'email'"))

        await until(swept, PATIENCE)
        await town.sql("UPDATE systemstate SET paused = true")
        codes = await leave_codes(town, 2)
        entries = await leave_entries(town, dossier, 2)
        await town.sql("DELETE FROM lane WHERE system = 'email'")
        await town.sql("UPDATE lane SET due_at = NULL WHERE system = 'accounting'")
        await town.sql("UPDATE systemstate SET paused = false")
        await all_done(town, [*codes, *entries])
        await in_order(town, entries)
