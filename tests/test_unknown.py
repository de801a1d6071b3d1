"""A procedure that the code has never met, written with the reference alone: published and walked."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from shutil import copy

import pytest

from loket import publishing
from loket.sandbox import personas
from town import DRIVER, FINANCE, Dossier, Json, Town, opened, until

FILE = Path(__file__).with_name("unknown.yaml")
FROM = (date.today() + timedelta(days=40)).isoformat()  # noqa: DTZ011  # any day ahead
UNTIL = (date.today() + timedelta(days=42)).isoformat()  # noqa: DTZ011
ANSWERS: Json = {"period": {"from": FROM, "until": UNTIL}, "helmets": 1}


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    copy(FILE, folder)
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def draft(town: Town, who: str, **answers: object) -> str:
    payload = await town.does(who, "applicationStart", "application { id }", procedure="cargo-bike")
    id: str = payload["application"]["id"]
    citizen = personas.person(who)
    assert isinstance(citizen, personas.Citizen)
    given = {"email": citizen.email} | ANSWERS | answers
    await town.does(who, "applicationSetAnswers", id=id, input=given)
    lines = [{"product": "day", "quantity": 2}, {"product": "deposit", "quantity": 1}]
    await town.does(who, "applicationSetCart", id=id, input={"lines": lines})
    return id


async def borrows(town: Town, who: str | None = None, **answers: object) -> Dossier:
    who = who or town.somebody()
    id = await draft(town, who, **answers)
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=id)
    return Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])


def test_its_file_is_in_order() -> None:
    assert publishing.load(FILE).key == "cargo-bike"


async def test_a_bike_is_lent_from_the_application_to_the_deposit(town: Town) -> None:
    dossier = await borrows(town, allowance=True)
    invoice = (await dossier.until("AWAITING_PAYMENT"))["invoice"]
    assert invoice["amount"] == {"amount": "110.00"}  # two days, of which one is free, and the deposit
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await dossier.books()
    delivery = (await dossier.until("AWAITING_DELIVERY"))["delivery"]
    await town.does(DRIVER, "deliveryConfirm", id=delivery["id"])
    seen = await dossier.read(fields="status validFrom validUntil")
    assert seen == {"status": "COMPLETED", "validFrom": FROM, "validUntil": UNTIL}
    told = {"kept": "30.00", "reason": "De bel is weg."}
    await town.does(FINANCE, "depositReturn", "case { id }", caseId=dossier.id, input=told)
    await until(lambda: _heard(dossier, "Uw waarborg"))
    assert await _heard(dossier, "betaal nu")
    assert await _heard(dossier, "Veel plezier")
    assert (await dossier.dosis())[-1] == ("Uitgevoerd", "Afgerond")
    assert {"VALIDITY_REMINDER", "RENEWAL"} <= await dossier.timers()


async def _heard(dossier: Dossier, subject: str) -> bool:
    return any(subject in one["subject"] for one in await dossier.letters())


async def test_who_borrows_together_waits_for_the_other(town: Town) -> None:
    other = town.somebody()
    citizen = personas.person(other)
    assert isinstance(citizen, personas.Citizen)
    dossier = await borrows(town, together=True, partner={"number": citizen.insz})
    assert (await dossier.read())["status"] == "AWAITING_APPLICANT"
    seen = await town.ask(other, "{ viewer { coApplications { id reference } } }")
    (asked,) = [one for one in seen["viewer"]["coApplications"] if one["reference"] == dossier.reference]
    await town.does(other, "coApplicationConfirm", id=asked["id"])
    await dossier.until("AWAITING_PAYMENT")


async def test_one_household_borrows_one_bike_a_day(town: Town) -> None:
    first = await borrows(town)
    await first.until("AWAITING_PAYMENT")
    again = await borrows(town, first.who)
    assert (await again.until("INADMISSIBLE"))["outcome"] == "INADMISSIBLE"
    assert "Uw gezin leent op die dag al een bakfiets" in str(await again.letters())


async def test_two_helmets_ask_for_a_licence(town: Town) -> None:
    who = town.somebody()
    refusal = await town.refused(who, "applicationSubmit", id=await draft(town, who, helmets=2))
    assert "Rijbewijs" in refusal["message"]
