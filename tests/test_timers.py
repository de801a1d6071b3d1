"""Deadlines that come by themselves: once, in time, and never for what was settled before."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, tzinfo

import pytest

from loket import app, retention, timers, work, worker
from loket.ids import decode_id
from loket.timers import Deadlines
from loket.worker import Worker
from served import served
from town import HANDLER, Dossier, Town, until

PATIENCE = 60.0
"""Seconds; a busy machine must not fail a test."""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Nothing fires until a test lets a worker watch."""
    async with served(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield Town(found)


@asynccontextmanager
async def watching(town: Town, number: int = 1) -> AsyncIterator[None]:
    workers = [Worker(town.served.loket) for _ in range(number)]
    running = [asyncio.create_task(one.run()) for one in workers]
    try:
        yield
    finally:
        for one in workers:
            one.stop()
        await asyncio.gather(*running)


async def comes(town: Town, dossier: Dossier, kind: str, seconds: float = -1.0) -> None:
    """Let the time pass until a deadline is `seconds` ahead."""
    changed = await town.sql(
        "UPDATE timer SET due_at = now() + make_interval(secs => :seconds)"
        " WHERE case_id = :id AND kind = :kind AND state = 'ARMED' RETURNING id",
        id=decode_id(dossier.id, "Case"), kind=kind, seconds=seconds,
    )  # fmt: skip
    assert len(changed) == 1


async def states(town: Town, dossier: Dossier, kind: str) -> list[str]:
    rows = await town.sql(
        "SELECT state FROM timer WHERE case_id = :id AND kind = :kind ORDER BY number, state DESC",
        id=decode_id(dossier.id, "Case"), kind=kind,
    )  # fmt: skip
    return [row.state for row in rows]


async def happened(dossier: Dossier, event: str) -> None:
    async def there() -> bool:
        return event in await dossier.events()

    await until(there, PATIENCE)


async def to_slot(town: Town, who: str | None = None) -> Dossier:
    """Somebody who paid, and may choose."""
    dossier = await town.applies(who)
    await dossier.pays()
    await dossier.until("AWAITING_SLOT", PATIENCE)
    return dossier


async def test_each_deadline_comes_once_whoever_watches(town: Town) -> None:
    dossiers = [await town.applies() for _ in range(4)]
    for one in dossiers:
        await comes(town, one, "PAYMENT_REMINDER")
    rows = await town.sql("SELECT id FROM timer WHERE kind = 'PAYMENT_REMINDER' AND due_at < now()")
    async with watching(town, 3):
        await asyncio.gather(*(timers.fire(town.served.loket, row.id) for row in rows for _ in range(2)))
        for one in dossiers:
            await happened(one, "PAYMENT_REMINDED")
        await asyncio.sleep(1.5)
    for one in dossiers:
        assert (await one.events()).count("PAYMENT_REMINDED") == 1
        assert (await states(town, one, "PAYMENT_REMINDER"))[0] == "FIRED"


async def test_a_deadline_that_gave_way_to_another_transaction_comes_at_once_again(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """The database undoes the first try, as after a deadlock; a sequence knows that, whatever is undone."""
    dossier = await town.applies()
    (timer,) = await town.sql(
        "SELECT id FROM timer WHERE case_id = :id AND kind = 'PAYMENT_REMINDER'",
        id=decode_id(dossier.id, "Case"),
    )
    await town.sql("CREATE SEQUENCE tries")
    await town.sql(
        "CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$"
    )
    await town.sql(
        "CREATE TRIGGER give_way BEFORE UPDATE ON timer FOR EACH ROW"
        f" WHEN (NEW.id = '{timer.id}' AND NEW.state = 'FIRED') EXECUTE FUNCTION give_way()"
    )
    try:
        with caplog.at_level(logging.INFO, "loket.database"):
            assert await timers.fire(town.served.loket, timer.id)
    finally:
        for made in ("TRIGGER give_way ON timer", "FUNCTION give_way", "SEQUENCE tries"):
            await town.sql(f"DROP {made}")
    assert [one for one in caplog.messages if "gave way" in one]
    assert (await dossier.events()).count("PAYMENT_REMINDED") == 1


async def test_no_deadline_comes_before_its_time(town: Town) -> None:
    dossier = await town.applies()
    async with watching(town, 2):
        await comes(town, dossier, "PAYMENT_REMINDER", seconds=2.5)
        await happened(dossier, "PAYMENT_REMINDED")
    rows = await town.sql(
        "SELECT occurred_at >= due_at AS in_time FROM event JOIN timer ON timer.case_id = event.case_id"
        " WHERE event.case_id = :id AND type = 'PAYMENT_REMINDED' AND timer.state = 'FIRED'",
        id=decode_id(dossier.id, "Case"),
    )
    assert [row.in_time for row in rows] == [True]


async def test_a_deadline_and_what_settles_it_at_the_same_moment_end_in_one_way(town: Town) -> None:
    for turn in range(6):
        dossier = await town.applies()
        await comes(town, dossier, "PAYMENT_REMINDER")
        (timer,) = await town.sql(
            "SELECT id FROM timer WHERE case_id = :id AND kind = 'PAYMENT_REMINDER'",
            id=decode_id(dossier.id, "Case"),
        )

        async def withdraw(dossier: Dossier = dossier, wait: float = (turn % 4) * 0.005) -> None:
            await asyncio.sleep(wait)
            await town.does(dossier.who, "caseWithdraw", id=dossier.id)

        await asyncio.gather(withdraw(), timers.fire(town.served.loket, timer.id))
        events = await dossier.events()
        reminded = "PAYMENT_REMINDED" in events
        assert reminded == ("FIRED" in await states(town, dossier, "PAYMENT_REMINDER"))
        assert not reminded or events.index("PAYMENT_REMINDED") < events.index("WITHDRAWN")
        assert not await dossier.timers()
        assert not await timers.fire(town.served.loket, timer.id)


async def test_a_draft_that_ends_while_it_is_handed_in_ends_in_one_way(town: Town) -> None:
    for turn in range(6):
        who = town.somebody()
        draft = await town.fills_in(who)
        (timer,) = await town.sql(
            "SELECT id FROM timer WHERE kind = 'DRAFT_END' AND subject_id = :id",
            id=decode_id(draft, "Application"),
        )

        async def expire(timer_id: object = timer.id, wait: float = (turn % 5) * 0.01) -> None:
            await asyncio.sleep(wait)
            await timers.fire(town.served.loket, timer_id)  # type: ignore[arg-type]  # a UUID

        submitted, _ = await asyncio.gather(
            town.tries(who, "applicationSubmit", "case { reference }", id=draft), expire()
        )
        status = (await town.ask(who, DRAFT, id=draft))["application"]["status"]
        if submitted["errors"]:
            assert (submitted["errors"][0]["code"], status) == ("TRANSITION_NOT_ALLOWED", "EXPIRED")
        else:
            assert (bool(submitted["case"]), status) == (True, "SUBMITTED")


async def test_a_forgotten_draft_is_emptied(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who)
    await town.sql(
        "UPDATE timer SET due_at = now() WHERE kind = 'DRAFT_END' AND subject_id = :id",
        id=decode_id(draft, "Application"),
    )
    assert await town.registrations(who)
    async with watching(town):

        async def ended() -> bool:
            seen = await town.ask(who, DRAFT, id=draft)
            return bool(seen["application"]["status"] == "EXPIRED")

        async def let_go() -> bool:
            return not await town.registrations(who)

        await until(ended, PATIENCE)
        await until(let_go, PATIENCE)
    seen = (await town.ask(who, DRAFT, id=draft))["application"]
    assert (seen["answers"], seen["prefill"]) == ({}, [])
    assert not (seen["cart"] or {}).get("lines")


DRAFT = """query($id: ID!) {
    application(id: $id) { status answers prefill { field } cart { lines { product } } } }"""


async def test_every_waiting_state_goes_on_by_itself(town: Town) -> None:
    unpaid, lost, unchosen, unconfirmed = (
        await town.applies(), await town.applies(), await to_slot(town), await to_slot(town),
    )  # fmt: skip
    slot = (await unchosen.slots())[0]
    held = await town.does(
        unchosen.who, "deliveryHoldSlot", "booking { status }", caseId=unchosen.id, slotId=slot["id"]
    )
    assert held["booking"]["status"] == "HELD"
    await unconfirmed.books()
    async with town.hooks("worldline", "lose"):
        await lost.pays()  # no webhook comes, and nobody returns
        await comes(town, lost, "CHECKOUT_POLL")
        await comes(town, unpaid, "PAYMENT_END")
        await comes(town, unchosen, "HOLD_END")
        await comes(town, unchosen, "SLOT_REMINDER")
        await comes(town, unconfirmed, "DELIVERY_UNCONFIRMED")
        async with watching(town):
            await unpaid.until("CANCELLED", PATIENCE)
            await lost.until("AWAITING_SLOT", PATIENCE)
            await happened(unchosen, "SLOT_REMINDED")

            async def let_go() -> bool:
                seen = await unchosen.read(fields="delivery { booking { status } }")
                return (seen["delivery"]["booking"] or {}).get("status") != "HELD"

            await until(let_go, PATIENCE)
            await comes(town, unchosen, "SLOT_END")
            await unchosen.until("AWAITING_DELIVERY", PATIENCE)

            async def asked() -> bool:
                return "DELIVERY_UNCONFIRMED" in await unconfirmed.tasks()

            await until(asked, PATIENCE)
    assert not await unpaid.timers()


async def test_a_term_and_an_answer_have_their_ends(town: Town) -> None:
    waiting = await town.applies("dirk")
    again = {"stage": "SCREENING", "reason": "Bezwaar"}
    await town.does(HANDLER, "caseReopen", id=waiting.id, input=again)
    await comes(town, waiting, "TERM_ALARM")
    async with watching(town):

        async def alarmed() -> bool:
            return "TERM_ALARM" in await waiting.tasks()

        await until(alarmed, PATIENCE)
        await town.does(HANDLER, "caseRequestInformation", id=waiting.id, input={"question": "Waar woont u?"})
        await comes(town, waiting, "ANSWER")
        await happened(waiting, "INFORMATION_LAPSED")
        await comes(town, waiting, "TERM")
        await happened(waiting, "TERM_LAPSED")
        assert (await waiting.read())["overdue"] is True


async def test_a_deadline_that_fails_is_tried_again_later_and_holds_up_no_other(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    broken, well = await town.applies(), await town.applies()
    await comes(town, broken, "PAYMENT_REMINDER", seconds=-3600)
    await comes(town, well, "PAYMENT_REMINDER")
    case_id = decode_id(broken.id, "Case")
    await town.sql('UPDATE "case" SET procedure_version = 99 WHERE id = :id', id=case_id)
    caplog.set_level(logging.ERROR)
    async with watching(town):
        await happened(well, "PAYMENT_REMINDED")
        await asyncio.sleep(4.0)
        tries = [one for one in caplog.records if "could not be fired" in one.message]
        assert 1 <= len(tries) <= 3, "at once, after two seconds, after four more"
        await town.sql('UPDATE "case" SET procedure_version = 1 WHERE id = :id', id=case_id)
        await happened(broken, "PAYMENT_REMINDED")
    assert (await broken.events()).count("PAYMENT_REMINDED") == 1


async def test_a_planning_tool_that_hangs_holds_up_no_deadline_but_its_own(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 0.5)
    unchosen, other = await to_slot(town), await town.applies()
    await town.sql("UPDATE slot SET refreshed_at = refreshed_at - interval '1 hour'")
    await town.fails("planning", mode="timeout", seconds=30)
    await comes(town, unchosen, "SLOT_END", seconds=-3600)
    async with watching(town):
        await comes(town, other, "PAYMENT_REMINDER")
        async with asyncio.timeout(8):
            await happened(other, "PAYMENT_REMINDED")
        assert (await unchosen.read())["status"] == "AWAITING_SLOT"
        await town.recovers("planning")


# ── a machine whose clock is wrong ────────────────────────────────────────────────────────────────────


@contextmanager
def clock_off(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> Iterator[None]:
    """What this process takes for the time, where it looks itself."""

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Off":
            told = datetime.now(tz) + by
            return cls.fromtimestamp(told.timestamp(), tz)

    with monkeypatch.context() as patch:
        for module in (app, retention, timers, worker, work):
            patch.setattr(module, "datetime", Off, raising=False)
        yield


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1)])
async def test_a_machine_whose_clock_jumps_fires_nothing_early_and_nothing_late(
    town: Town, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    later, due = await town.applies(), await town.applies()
    await comes(town, later, "PAYMENT_REMINDER", seconds=3600)
    await comes(town, due, "PAYMENT_REMINDER")
    with clock_off(monkeypatch, by):
        while await Deadlines(town.served.loket, asking=False).fire_due():
            pass
    assert "PAYMENT_REMINDED" not in await later.events()
    assert "ARMED" in await states(town, later, "PAYMENT_REMINDER")
    assert (await due.events()).count("PAYMENT_REMINDED") == 1
    rows = await town.sql(
        "SELECT occurred_at BETWEEN now() - interval '1 hour' AND now() AS well FROM event"
        " WHERE case_id = :id AND type = 'PAYMENT_REMINDED'",
        id=decode_id(due.id, "Case"),
    )
    assert [row.well for row in rows] == [True]


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1)])
async def test_a_worker_whose_clock_is_wrong_tries_again_when_it_should(
    town: Town, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    await town.fails("dosis", mode="error", count=1)
    with clock_off(monkeypatch, by):
        dossier = await town.applies()
        async with watching(town):

            async def told() -> bool:
                rows = await town.sql(
                    "SELECT state, attempts FROM effect WHERE case_id = :id AND system = 'dosis'",
                    id=decode_id(dossier.id, "Case"),
                )
                return bool(rows) and {row.state for row in rows} == {"DONE"}

            await until(told, PATIENCE)
    rows = await town.sql(
        "SELECT max(ended_at) FILTER (WHERE outcome = 'RETRY') AS failed, min(started_at) AS first,"
        " max(attempt.number) AS tries FROM attempt JOIN effect ON effect.id = attempt.effect_id"
        " WHERE case_id = :id AND system = 'dosis'",
        id=decode_id(dossier.id, "Case"),
    )
    assert rows[0].tries <= 3


async def test_a_worker_whose_clock_is_years_ahead_lets_no_month_go(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def parts() -> set[str]:
        rows = await town.sql(
            "SELECT concat(inhrelid::regclass, ' ', inhparent::regclass) AS part FROM pg_inherits"
        )
        return {row.part for row in rows}

    loket = town.served.loket
    before = await parts()
    with clock_off(monkeypatch, timedelta(days=1000)):
        await retention.Keeper(loket.database, loket.settings.retention, loket.procedures).tend()
    assert await parts() == before
