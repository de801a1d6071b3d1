"""What the planning tool and DOSIS have is compared with ours: what one side lost is found, and mended."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from loket import agreements, reconciliation
from loket.ids import decode_id
from loket.work import the_system
from town import FINANCE, OPERATOR, Dossier, Json, Town, opened, until

PATIENCE = 60.0
"""Seconds; a busy machine must not fail a test."""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tool was told a moment ago counts."""
    monkeypatch.setattr(agreements, "QUIET", timedelta(0))


async def planned(town: Town) -> Dossier:
    """Somebody who paid and chose a slot, of which the tool knows."""
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT", PATIENCE)
    await dossier.books()
    await dossier.calm(PATIENCE)
    return dossier


async def compared(town: Town, subject: str = "PLANNING") -> Json:
    """A comparison, once it is done."""
    payload = await town.does(OPERATOR, "comparisonRun", "reconciliation { id }", subject=subject)
    seen: Json = {}

    async def done() -> bool:
        document = """query($id: ID!) { node(id: $id) { ... on Reconciliation { subject endedAt compared
            differences { id kind state detail case { reference } } } } }"""
        seen.update((await town.ask(OPERATOR, document, id=payload["reconciliation"]["id"]))["node"])
        return seen["endedAt"] is not None

    await until(done, PATIENCE)
    return seen


def of(found: Json, dossier: Dossier) -> list[Json]:
    """What was found on a case."""
    return [one for one in found["differences"] if (one["case"] or {}).get("reference") == dossier.reference]


async def state(town: Town, difference: Json) -> str:
    asked = "query($id: ID!) { node(id: $id) { ... on Difference { state } } }"
    told: str = (await town.ask(OPERATOR, asked, id=difference["id"]))["node"]["state"]
    return told


async def repairs(town: Town, difference: Json) -> None:
    payload = await town.does(OPERATOR, "differenceRepair", "difference { state }", id=difference["id"])
    assert payload["difference"]["state"] == "REPAIRED"


def tools(town: Town) -> Any:  # noqa: ANN401  # the sandbox's own
    return town.served.house.states["planning"]


# ── deliveries ────────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_differs_where_nothing_was_lost(town: Town) -> None:
    dossier = await planned(town)
    found = await compared(town)
    assert (found["subject"], found["compared"]["asked"]) == ("PLANNING", True)
    assert found["compared"]["places"] >= 1
    assert of(found, dossier) == []


async def test_a_place_that_the_tool_lost_is_taken_again(town: Town) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    tools(town).delete("booking", booking["id"])
    (lost,) = of(await compared(town), dossier)
    assert (lost["kind"], lost["detail"]["slot"]) == ("PLACE_MISSING", booking["slotId"])
    await repairs(town, lost)
    (again,) = await dossier.bookings()
    assert (again["slotId"], again["status"]) == (booking["slotId"], "BOOKED")
    assert of(await compared(town), dossier) == []


async def test_a_place_that_nobody_wants_any_more_is_given_back(town: Town) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)
    (cancelled,) = await dossier.bookings()
    assert cancelled["status"] == "CANCELLED"
    tools(town).put("booking", booking["id"], booking)
    (kept,) = of(await compared(town), dossier)
    assert kept["kind"] == "PLACE_UNKNOWN"
    await repairs(town, kept)
    (cancelled,) = await dossier.bookings()
    assert cancelled["status"] == "CANCELLED"


async def test_a_place_in_another_slot_is_moved_to_the_one_that_was_agreed(town: Town) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    other = next(one["id"] for one in await town.look("planning", "slots") if one["id"] != booking["slotId"])
    tools(town).put("booking", booking["id"], booking | {"slotId": other})
    (moved,) = of(await compared(town), dossier)
    assert (moved["kind"], moved["detail"]["told"]) == ("PLACE_DIFFERS", other)
    await repairs(town, moved)
    (again,) = await dossier.bookings()
    assert again["slotId"] == booking["slotId"]


@pytest.mark.parametrize(("order", "status"), [("confirm", "COMPLETED"), ("miss", "AWAITING_SLOT")])
async def test_how_a_delivery_went_is_taken_over_where_no_notice_came(
    town: Town, order: str, status: str
) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    async with town.hooks("planning", "lose"):
        await town.order("planning", f"bookings/{booking['id']}/{order}")
        (unheard,) = of(await compared(town), dossier)
    assert unheard["kind"] == "OUTCOME_UNHEARD"
    assert (await dossier.read())["status"] == "AWAITING_DELIVERY"
    await repairs(town, unheard)
    await dossier.until(status, PATIENCE)


async def test_a_booking_that_we_never_made_is_for_who_operates_all_departments(town: Town) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    stranger = booking | {"id": str(uuid7()), "reference": "CB-2026-VREEMD-1"}
    tools(town).put("booking", stranger["id"], stranger)
    (found,) = [one for one in (await compared(town))["differences"] if one["case"] is None]
    assert (found["kind"], found["detail"]["reference"]) == ("PLACE_UNKNOWN", "CB-2026-VREEMD-1")
    assert (await town.refused(FINANCE, "differenceRepair", id=found["id"]))["code"] == "NOT_FOUND"
    seen = await town.ask(FINANCE, "{ differences { nodes { id } } }")
    assert found["id"] not in [one["id"] for one in seen["differences"]["nodes"]]
    await repairs(town, found)

    async def gone() -> bool:
        kept = tools(town).get("booking", stranger["id"])
        return bool(kept["status"] == "CANCELLED")

    await until(gone, PATIENCE)


async def test_what_is_under_way_is_no_difference_and_what_was_mended_elsewhere_is_gone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    tools(town).delete("booking", booking["id"])
    monkeypatch.setattr(agreements, "QUIET", timedelta(hours=1))
    assert of(await compared(town), dossier) == []
    monkeypatch.setattr(agreements, "QUIET", timedelta(0))
    (lost,) = of(await compared(town), dossier)
    tools(town).put("booking", booking["id"], booking)
    await compared(town)
    assert await state(town, lost) == "GONE"


async def test_a_tool_that_cannot_tell_is_not_compared(town: Town) -> None:
    dossier = await planned(town)
    (booking,) = await dossier.bookings()
    tools(town).delete("booking", booking["id"])
    base = town.served.house.config.urls["planning"]
    fault = {"mode": "refuse", "status": 404, "path": "/v1/bookings", "count": 1}
    (await town.client.post(f"{base}/sim/faults", json=fault)).raise_for_status()
    found = await compared(town)
    assert (found["compared"], found["differences"]) == ({"asked": False}, [])
    tools(town).put("booking", booking["id"], booking)


# ── statuses ──────────────────────────────────────────────────────────────────────────────────────────


async def last_told(town: Town, dossier: Dossier) -> Any:  # noqa: ANN401  # a row
    rows = await town.sql(
        "SELECT id, state, payload FROM effect WHERE case_id = :id AND kind = 'DOSIS_STATUS' ORDER BY seq",
        id=decode_id(dossier.id, "Case"),
    )
    return rows[-1]


async def test_a_status_that_dosis_could_not_process_is_sent_again(town: Town) -> None:
    dossier = await town.applies()
    shown = await dossier.dosis()
    assert of(await compared(town, "STATUSES"), dossier) == []
    last = await last_told(town, dossier)
    await town.order("dosis", f"uploads/{last.id}/fail", reason="onbekend product")
    (refused,) = of(await compared(town, "STATUSES"), dossier)
    assert refused["kind"] == "STATUS_REFUSED"
    assert "onbekend product" in str(refused["detail"]["faults"])
    await repairs(town, refused)
    assert await dossier.dosis() == [*shown, shown[-1]]
    assert (await last_told(town, dossier)).id != last.id


async def test_a_status_that_stayed_behind_is_told_after_all(town: Town) -> None:
    dossier = await town.applies()
    shown = await dossier.dosis()
    base = town.served.house.config.urls["dosis"]
    fault = {"mode": "refuse", "path": "/api/v2/dosis", "count": 1}
    (await town.client.post(f"{base}/sim/faults", json=fault)).raise_for_status()
    await town.does(dossier.who, "caseWithdraw", id=dossier.id)

    async def parked() -> bool:
        return bool((await last_told(town, dossier)).state == "PARKED")

    await until(parked, PATIENCE)
    (behind,) = of(await compared(town, "STATUSES"), dossier)
    assert (behind["kind"], behind["detail"]["state"]) == ("STATUS_NOT_TOLD", "PARKED")
    await repairs(town, behind)
    assert len(await dossier.dosis()) == len(shown) + 1
    assert of(await compared(town, "STATUSES"), dossier) == []


async def test_the_day_brings_all_three_comparisons_once(town: Town) -> None:
    before = await town.sql("SELECT count(*) AS number FROM reconciliation")
    async with town.served.loket.work(the_system()) as work:
        await reconciliation.daily(work)
    rows = await town.sql(
        "SELECT subject FROM reconciliation ORDER BY id OFFSET :number", number=before[0].number
    )
    assert [row.subject for row in rows] == ["PLANNING", "STATUSES", "MONEY"]
