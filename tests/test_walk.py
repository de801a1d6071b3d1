"""The walk: it ends well where all is well, and says what is missing where something is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from loket.supervisor import StartError
from loket.walk import arrivals, browser, queries
from loket.walk.citizen import Place
from loket.walk.client import Client
from loket.walk.command import find_place, numbers, variants_of, walk
from loket.walk.crowd import crowd
from loket.walk.expectations import delivered
from loket.walk.form import Memory, missing_answers
from loket.walk.outside import Outside, Received
from loket.walk.story import percentile
from town import Dossier, Town, opened

PROCEDURE = "compost-bin"
SOURCE = Path(__file__).parent.parent / "src" / "loket" / "walk"


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("walk")) as found:
        yield found


@pytest.fixture
async def place(town: Town) -> AsyncIterator[Place]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        outside = Outside(town.served.house.config.urls, http)
        yield await find_place(PROCEDURE, town.served.url, outside, http, 30.0)


# ── walking ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_bin_is_delivered_and_everybody_hears_of_it(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await walk(place, "straight", numbers(tmp_path / "number"))
    told = capsys.readouterr().out
    assert "OK  straight" in told
    assert "Ingediend → Ontvankelijk → Goedgekeurd → KlaarVoorBetaling → Betaald → Gepland" in told
    assert "calendar request, sequence 1" in told


async def test_a_household_gets_its_share_back_so_that_it_can_be_walked_again(
    town: Town, place: Place, tmp_path: Path
) -> None:
    assert await walk(place, "household", numbers(tmp_path / "number"))
    kept = [
        case["status"]
        for who in ("an", "bert")
        for case in (await town.ask(who, queries.MY_CASES))["viewer"]["cases"]["nodes"]
    ]
    assert sorted(kept) == ["INADMISSIBLE", "WITHDRAWN"]


async def test_a_system_that_stays_away_ends_the_walk_and_is_named(
    town: Town, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await town.served.order("accounting", "faults", mode="error")
    try:
        assert not await walk(replace(place, seconds=2.0), "transfer", numbers(tmp_path / "number"))
    finally:
        await place.outside.mend()
    told = capsys.readouterr().out
    assert "WRONG  transfer" in told
    assert "waited 2 s for accounting to book the invoice" in told
    assert "accounting  ACCOUNTING_ENTRY" in told


async def test_a_crowd_says_how_many_went_well_and_how_fast(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await crowd(place, numbers(tmp_path / "number"), count=2, parallel=2) == 0
    told = capsys.readouterr().out
    assert "2 of 2 walks, 2 well, 0 repeats" in told
    assert "cases/s, 0 went wrong" in told
    assert "Nothing was said or done twice." in told


async def test_a_walk_needs_a_variant_that_exists_and_says_which_there_are(place: Place) -> None:
    assert variants_of(place, "all")[:2] == ["straight", "refused"]
    with pytest.raises(StartError, match="no variant sideways: straight, refused, transfer"):
        variants_of(place, "sideways")


def test_the_walk_is_a_client_and_nothing_more() -> None:
    allowed = ("loket.walk", "loket.installation", "loket import supervisor")
    for file in SOURCE.glob("*.py"):
        for line in file.read_text().splitlines():
            if line.startswith(("import loket", "from loket")):
                assert any(name in line for name in allowed), f"{file.name}: {line}"


# ── what walking brought to light ─────────────────────────────────────────────────────────────────────


async def test_a_day_that_falls_away_is_told_to_who_waits_and_not_to_who_was_served(town: Town) -> None:
    served, waiting = await _may_choose(town), await _may_choose(town)
    slot = (await served.slots())[-1]
    for dossier in (served, waiting):
        await dossier.books(slot)
        await dossier.calm()
    await town.order("planning", f"bookings/{(await served.bookings())[0]['id']}/confirm")
    await served.until("COMPLETED")
    tool_slot = (await waiting.bookings())[0]["slotId"]
    begins = datetime.fromisoformat(slot["startsAt"])
    later = {"startsAt": begins.isoformat(), "endsAt": (begins + timedelta(hours=5)).isoformat()}
    await town.order("planning", f"slots/{tool_slot}/move", **later)
    await town.order("planning", f"slots/{tool_slot}/cancel", reason="IJzel")
    await waiting.until("AWAITING_SLOT")
    assert {"SLOT_MOVED", "SLOT_LOST"} <= set(await waiting.events())
    assert (await served.events())[-1] == "COMPLETED"
    assert (await served.read())["delivery"]["status"] == "DELIVERED"


async def test_citizens_who_change_places_never_wait_for_each_other(town: Town) -> None:
    one, other = await _may_choose(town), await _may_choose(town)
    first, second = (await one.slots())[:2]
    await asyncio.gather(one.books(first), other.books(second))
    for _ in range(12):
        first, second = second, first
        await asyncio.gather(
            town.does(one.who, "deliveryReschedule", caseId=one.id, slotId=first["id"]),
            town.does(other.who, "deliveryReschedule", caseId=other.id, slotId=second["id"]),
        )
    assert (await one.read())["delivery"]["booking"]["slot"]["id"] == first["id"]
    assert (await other.read())["delivery"]["booking"]["slot"]["id"] == second["id"]


async def _may_choose(town: Town) -> Dossier:
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    return dossier


# ── what is missing is noticed ────────────────────────────────────────────────────────────────────────

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
AMOUNT = Decimal("57.00")


def _all_well() -> arrivals.Found:
    """A delivered case of which everybody heard."""
    about = delivered(AMOUNT).messages
    said = [
        {"about": one, "channel": channel, "status": "SENT", "reason": "", "subject": one, "body": f"{one}!"}
        for one in about
        for channel in arrivals.CHANNELS
    ]
    heard = [
        Received(AT, str(one["channel"]), f"{one['channel']} {one['about']}", str(_shown(one)))
        for one in said
    ]
    statuses = [
        {"Status": {"VlaamsCode": code}, "OutOfOrder": False, "Repeats": 0, "UploadId": code}
        for code in delivered(AMOUNT).dosis
    ]
    entries = [
        {"entry": {"type": kind, "amount": "57.00"}, "status": "BOOKED"} for kind in ("INVOICE", "PAYMENT")
    ]
    case = {"status": "COMPLETED", "invoice": {"status": "PAID"}, "delivery": None}
    return arrivals.Found(
        case=case,
        failed=[],
        tasks=[],
        said=said,
        heard=heard,
        statuses=statuses,
        entries=entries,
        bookings=[{"status": "DELIVERED"}],
        checkouts=[{"how": "pay"}],
        registered=False,
        timeline=["1", "2"],
    )


def _shown(message: dict[str, str]) -> str:
    return message["body" if message["channel"] == "SMS" else "subject"]


SEEN = [{"id": "1"}, {"id": "2"}, {"id": "effect"}]


def _faults(found: arrivals.Found) -> list[str]:
    return arrivals.differences(found, delivered(AMOUNT), SEEN)


def test_nothing_is_found_where_all_is_well() -> None:
    assert _faults(_all_well()) == []


def test_a_message_that_never_arrived_is_missed() -> None:
    found = _all_well()
    lost = found.heard.pop()
    assert _faults(found) == [f"text message: never arrived: {lost.text!r}"]


def test_a_message_that_came_twice_under_one_name_is_a_repeat_and_under_two_a_fault() -> None:
    found = _all_well()
    found.heard.append(found.heard[0])
    assert _faults(found) == []
    assert found.repeats == ["Mijn Burgerprofiel MBP SUBMITTED came 2 times"]
    found.heard.append(replace(found.heard[0], key="another"))
    assert _faults(found) == ["Mijn Burgerprofiel: arrived, and Loket knows nothing of it: 'SUBMITTED'"]


def test_a_status_out_of_order_or_left_out_is_noticed() -> None:
    found = _all_well()
    found.statuses[2]["OutOfOrder"] = True
    assert _faults(found) == ["DOSIS heard out of order: ['Goedgekeurd']"]
    del found.statuses[2]
    (fault,) = _faults(found)
    assert fault.startswith("DOSIS heard ['Ingediend', 'Ontvankelijk', 'KlaarVoorBetaling'")


def test_books_must_agree_to_the_cent_and_once() -> None:
    found = _all_well()
    found.entries.append(found.entries[1])
    assert _faults(found) == ["accounting booked PAYMENT 57.00 too much"]
    found.entries[1:] = [{"entry": {"type": "PAYMENT", "amount": "56.99"}, "status": "BOOKED"}]
    assert _faults(found) == [
        "accounting never booked PAYMENT 57.00",
        "accounting booked PAYMENT 56.99 too much",
    ]


def test_what_an_ended_case_leaves_open_is_noticed() -> None:
    found = _all_well()
    found.case["invoice"]["status"] = "ISSUED"
    found.registered = True
    found.tasks.append("REFUND_DUE")
    found.bookings = []
    assert _faults(found) == [
        "waiting for a person: ['REFUND_DUE'], expected []",
        "an ended case has an invoice that is ISSUED",
        "the case ended, and MAGDA still has the citizen registered",
        "the planning tool has no booking, expected ['DELIVERED']",
    ]


def test_an_event_that_the_socket_left_out_or_told_twice_is_noticed() -> None:
    found = _all_well()
    seen = [{"id": "1"}, {"id": "1"}]
    assert arrivals.differences(found, delivered(AMOUNT), seen) == [
        "the socket told event 1 2 times",
        "the socket never told 1 of the 2 events of the timeline",
    ]


def test_an_appointment_whose_number_does_not_rise_is_noticed() -> None:
    mails = [
        {"subject": "", "complaints": [], "calendar": {"uid": "x", "sequence": one}} for one in (0, 1, 1)
    ]
    expected = delivered(AMOUNT, calendar=[0, 1, 2])
    (fault,) = arrivals.appointments(expected, mails)
    assert fault == "the mailbox got the appointment as sequence [0, 1, 1], expected [0, 1, 2]"


# ── the client ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_browser_signs_in_through_acm_and_holds_a_session(town: Town) -> None:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http:
        await browser.sign_in(http, town.served.url, "carla")
        viewer = (await Client(town.served.url, http=http).ask(queries.VIEWER))["viewer"]
    assert viewer["person"]["name"] == "Carla Janssens"


async def test_somebody_whom_acm_does_not_know_gets_no_session(town: Town) -> None:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http:
        with pytest.raises(browser.LostError, match="no session"):
            await browser.sign_in(http, town.served.url, "nobody")


async def test_a_request_without_an_answer_is_sent_again_as_it_was() -> None:
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
        if len(bodies) > 2:
            told = b'{"data":{"wish":{"errors":[],"granted":true}}}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
            await writer.drain()
        writer.close()

    async with _listening(answer) as url, httpx2.AsyncClient(trust_env=False) as http:
        payload = await Client(url, http=http).do("wish", "mutation { wish }", idempotencyKey="once")
    assert payload["granted"] is True
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


async def test_nobody_is_asked_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with httpx2.AsyncClient(trust_env=False) as http:
        client = Client(f"http://127.0.0.1:{port}", http=http, patience_seconds=0.3)
        with pytest.raises(TimeoutError, match=r"did not answer for 0\.3 s"):
            await client.ask("{ viewer { kind } }")


@asynccontextmanager
async def _listening(answer: object) -> AsyncIterator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)  # type: ignore[arg-type]  # a handler
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_form_is_filled_in_from_its_schema_alone() -> None:
    address = {"type": "object", "required": ["street"], "properties": {"street": {"type": "string"}}}
    schema = {
        "required": ["applicant", "delivery", "declaration"],
        "properties": {
            "applicant": {
                "required": ["name", "address"],
                "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
            },
            "contact": {"properties": {"email": {"type": "string"}}},
            "delivery": {"properties": {"place": {"oneOf": [], "default": "home"}, "remark": {}}},
            "declaration": {"const": True},
        },
        "$defs": {"address": address},
    }
    by_heart = Memory({"name": "An Peeters", "street": "Kerkstraat"})
    assert missing_answers(schema, {"applicant": {"name": "Bert Maes"}}, by_heart) == {
        "applicant": {"address": {"street": "Kerkstraat"}},
        "delivery": {"place": "home"},
        "declaration": True,
    }
    whole = {
        "applicant": {"name": "An", "address": {"street": "Dorp"}},
        "delivery": {"place": "other"},
        "declaration": True,
    }
    assert missing_answers(schema, whole, Memory()) == {}


def test_no_citizen_is_given_out_twice_however_many_ask(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda _: numbers(tmp_path / "number")(), range(200)))
    assert len(set(given)) == 200
    assert all(1 <= number <= 99_999 for number in given)


def test_the_last_citizen_is_followed_by_the_first(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("99998")
    take = numbers(tmp_path / "number")
    assert [take(), take()] == [99_999, 1]


@pytest.mark.parametrize(("percent", "value"), [(50, 2), (95, 4), (100, 4), (25, 1)])
def test_percentiles_are_values_that_were_measured(percent: int, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value
