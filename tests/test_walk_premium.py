"""The walk of a premium: it ends well where all is well, and says what is missing where something is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loket.walk import arrivals, buying, owing
from loket.walk.citizen import Place
from loket.walk.command import find_place, numbers, walk
from loket.walk.expectations import Expected, promised
from loket.walk.outside import Outside, Received
from loket.walk.promises import NotThere, Promises
from loket.walk.scripts import scripts_for
from town import Town, opened

Json = dict[str, Any]


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("premium")) as found:
        yield found


@pytest.fixture
async def place(town: Town) -> AsyncIterator[Place]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        outside = Outside(town.served.house.config.urls, http)
        yield await find_place("social-premium", town.served.url, outside, http, 30.0)


# ── walking ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_premium_is_decided_on_and_paid_and_everybody_hears_of_it(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await walk(place, "granted", numbers(tmp_path / "number"))
    told = capsys.readouterr().out
    assert "OK  granted" in told
    assert "KlaarVoorBeslissing → Goedgekeurd → KlaarVoorBetaling → KlaarVoorBetaling → Betaald" in told
    assert "the link serves once: EXPIRED" in told
    assert "executed  255.00 EUR" in told


async def test_who_has_only_an_address_hears_all_by_post(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await walk(place, "at-the-counter", numbers(tmp_path / "number"))
    told = capsys.readouterr().out
    assert "Mijn Burgerprofiel (0)" in told
    assert "Decision letters (5)" in told


# ── which scripts fit ─────────────────────────────────────────────────────────────────────────────────


def test_a_procedure_is_walked_by_the_scripts_that_were_written_for_it(place: Place) -> None:
    assert scripts_for(_at(place, "compost-bin")) == buying.VARIANTS | owing.VARIANTS
    assert "partly" in scripts_for(_at(place, "social-premium"))
    assert "partly" not in scripts_for(_at(place, "energy-premium"))


def test_any_procedure_is_walked_in_the_ways_that_its_definition_has(place: Place) -> None:
    by_definition = replace(_at(place, "compost-bin"), by_definition=True)
    assert list(scripts_for(by_definition)) == ["straight", "withdrawn", "unpaid", "inadmissible", "missed"]
    assert list(scripts_for(replace(place, by_definition=True))) == [
        "straight", "refused", "withdrawn", "inadmissible", "no-advice",
    ]  # fmt: skip
    with pytest.raises(NotThere, match="has unheard-of version 1"):
        scripts_for(_at(place, "unheard-of"))


def _at(place: Place, key: str) -> Place:
    return replace(place, procedure={"key": key, "version": 1})


# ── what a definition promises ────────────────────────────────────────────────────────────────────────

PROMISES = Promises(
    codes={"SUBMITTED": "Ingediend", "APPROVED": "Goedgekeurd", "PAID_OUT": "Betaald"},
    messages={
        "SUBMITTED": {},
        "ADMISSIBLE": {},
        "APPROVED": {"replaces": ["ADMISSIBLE"]},
        "PAID_OUT": {"joins": ["APPROVED"]},
    },
    benefits={
        "home": {
            "amounts": [{"from": date(2025, 1, 1), "amount": 60}, {"from": date(2026, 1, 1), "amount": 70.5}]
        }
    },
    body="COLLEGE",
    appeal=("de Raad van State", "binnen 60 dagen"),
    papers={},
)


def test_one_message_speaks_for_what_happens_with_it() -> None:
    assert PROMISES.told(["SUBMITTED", "ADMISSIBLE", "APPROVED", "PAID_OUT"]) == [
        "SUBMITTED", "ADMISSIBLE", "APPROVED", "PAID_OUT",
    ]  # fmt: skip
    assert PROMISES.told(["SUBMITTED", ("ADMISSIBLE", "APPROVED", "PAID_OUT")]) == ["SUBMITTED", "APPROVED"]


def test_dosis_hears_of_what_has_a_row() -> None:
    assert PROMISES.statuses(["SUBMITTED", ("ADMISSIBLE", "APPROVED")]) == ["SUBMITTED", "APPROVED"]


def test_a_benefit_is_worth_what_it_was_on_the_day() -> None:
    assert PROMISES.amount(["home"], date(2025, 7, 1)) == Decimal("60.00")
    assert PROMISES.amount(["home"], date(2026, 1, 1)) == Decimal("70.50")


def test_the_shipped_premiums_can_be_read_so() -> None:
    social = Promises.of("social-premium")
    assert social.amount(["household", "handicap"], date(2026, 1, 1)) == Decimal("255.00")
    assert social.appeal[0] == "de Raad van State"
    assert Promises.of("energy-premium").body == "BCSD"


# ── what is missing is noticed ────────────────────────────────────────────────────────────────────────

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
AMOUNT = Decimal("70.50")
HAPPENED = ["SUBMITTED", "ADMISSIBLE", "APPROVED", "PAID_OUT"]
EXPECTED: Expected = promised(
    PROMISES,
    "COMPLETED",
    HAPPENED,
    payouts=[("EXECUTED", AMOUNT)],
    letters=["EBOX"],
    agenda=["accepted"],
)
SEEN = [{"id": "1"}]


def _order(status: str, amount: str, *approvals: str) -> Json:
    return {"status": status, "order": {"amount": amount, "approvals": [{"name": one} for one in approvals]}}


def _all_well() -> arrivals.Found:
    said = [
        {"about": one, "channel": channel, "status": "SENT", "reason": "", "subject": one, "body": f"{one}!"}
        for channel in arrivals.CHANNELS
        for one in HAPPENED
    ]
    heard = [
        Received(
            AT + timedelta(seconds=number),
            one["channel"],
            f"{one['channel']} {one['about']}",
            one["body" if one["channel"] == "SMS" else "subject"],
        )
        for number, one in enumerate(said)
    ]
    codes = [PROMISES.codes[one] for one in HAPPENED if one in PROMISES.codes]
    letter = "Kenmerk SP-1. Niet akkoord? Ga naar de Raad van State, binnen 60 dagen."
    return arrivals.Found(
        case={"reference": "SP-1", "status": "COMPLETED", "invoice": None, "delivery": None},
        failed=[],
        tasks=[],
        said=said,
        heard=heard,
        statuses=[
            {"Status": {"VlaamsCode": one}, "OutOfOrder": False, "Repeats": 0, "UploadId": one}
            for one in codes
        ],
        entries=[],
        bookings=[],
        checkouts=[],
        registered=False,
        timeline=["1"],
        happened=["SCREENING_STARTED", *HAPPENED],
        payouts=[_order("EXECUTED", "70.50", "Filip Goossens", "Farah Benali")],
        letters=[{"way": "EBOX", "text": letter}],
        items=[{"state": "accepted", "title": "Sociale toelage (1)", "decision": "Het college kent toe."}],
        name="Rita Bogaerts",
    )


def _faults(found: arrivals.Found) -> list[str]:
    return arrivals.differences(found, EXPECTED, SEEN)


def test_nothing_is_found_where_all_is_well() -> None:
    assert _faults(_all_well()) == []


def test_messages_in_another_order_are_noticed() -> None:
    found = _all_well()
    found.heard[0], found.heard[1] = found.heard[1], found.heard[0]
    (fault,) = _faults(found)
    assert fault.startswith("Mijn Burgerprofiel: came in the order ['ADMISSIBLE', 'SUBMITTED'")


def test_an_event_too_many_is_noticed() -> None:
    found = _all_well()
    found.happened.append("PAID_OUT")
    (fault,) = _faults(found)
    assert fault.startswith("this happened: ['SUBMITTED', 'ADMISSIBLE', 'APPROVED', 'PAID_OUT', 'PAID_OUT']")


def test_money_that_was_paid_twice_or_by_one_alone_is_noticed() -> None:
    found = _all_well()
    found.payouts[0]["order"]["approvals"] = [{"name": "Farah Benali"}, {"name": "Farah Benali"}]
    assert _faults(found) == ["one person alone had 70.50 EUR paid"]
    found.payouts = found.payouts * 2
    (fault,) = _faults(found)
    assert fault.startswith("accounting has payouts [('EXECUTED', Decimal('70.50')), ('EXECUTED'")


def test_a_decision_without_its_letter_or_without_appeal_is_noticed() -> None:
    found = _all_well()
    found.letters[0]["text"] = "Kenmerk SP-1, binnen 60 dagen."
    assert _faults(found) == ["the letter with the decision does not say 'de Raad van State'"]
    found.letters = []
    assert _faults(found) == ["the decision was delivered by [], expected ['EBOX']"]


def test_an_agenda_that_names_somebody_is_noticed() -> None:
    found = _all_well()
    found.items[0]["decision"] = "Het college kent Rita BOGAERTS een toelage toe."
    assert _faults(found) == ["the agenda names Rita Bogaerts"]
    found.items = [found.items[0] | {"state": "delayed", "decision": ""}]
    assert _faults(found) == ["the minutes system has ['delayed'], expected ['accepted']"]


def test_who_hears_by_post_alone_gets_nothing_else() -> None:
    by_post = replace(EXPECTED, channels=())
    found = _all_well()
    faults = arrivals.differences(found, by_post, SEEN)
    assert [fault.partition(":")[0] for fault in faults] == list(arrivals.CHANNELS.values())
