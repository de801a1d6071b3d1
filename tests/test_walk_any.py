"""The walk of any procedure: what a definition file can describe is walked, without a line written for it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest

from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Worker, is_insz, person
from loket.walk.form import Memory, Unfillable, missing_answers
from loket.walk.patterns import example

Json = dict[str, Any]

# ── whoever a procedure needs ─────────────────────────────────────────────────────────────────────────


@dataclass
class Outdoors:
    house: House
    client: httpx2.AsyncClient

    async def read(self, system: str, path: str, **query: str) -> Any:  # noqa: ANN401  # JSON
        answer = await self.client.get(f"{self.house.config.urls[system]}{path}", params=query)
        assert answer.is_success, answer.text
        return answer.json()

    async def status(self, system: str, path: str, order: Mapping[str, str]) -> int:
        answer = await self.client.post(f"{self.house.config.urls[system]}{path}", json=dict(order))
        return answer.status_code


@pytest.fixture
async def outdoors() -> AsyncIterator[Outdoors]:
    document = {
        "port": 0,
        "loket_url": "http://127.0.0.1:1",
        "planning": {"token": "t", "weekdays": ["tuesday"]},
    }
    async with sandbox(document) as house, httpx2.AsyncClient(trust_env=False) as client:
        yield Outdoors(house, client)


def test_one_key_is_one_worker_with_a_role_at_a_department() -> None:
    adviser = person("medewerker:LoketAdviseur:Technische dienst")
    assert isinstance(adviser, Worker)
    assert adviser == person("medewerker:LoketAdviseur:Technische dienst")
    assert adviser.roles == ("LoketAdviseur-TechnischeDienst",)
    assert adviser.mailbox == "medewerker-loketadviseur-technische-dienst"
    assert is_insz(adviser.insz)
    everywhere = person("medewerker:LoketFinancien")
    assert isinstance(everywhere, Worker)
    assert everywhere.roles == ("LoketFinancien",)


@pytest.mark.parametrize(
    "key",
    [
        "medewerker:LoketBaas:Politie",
        "medewerker:LoketAdviseur:",
        "medewerker:LoketAdviseur: Politie",
        "medewerker:LoketAdviseur:a:b",
        f"medewerker:LoketAdviseur:{'x' * 61}",
        "medewerker",
    ],
)
def test_a_role_that_there_is_not_has_nobody(key: str) -> None:
    assert person(key) is None


async def test_acm_signs_a_worker_on_demand_in_with_the_role_of_the_department(outdoors: Outdoors) -> None:
    key = "medewerker:LoketAdviseur:Politie"
    token = (await outdoors.read("acmidm", "/sim/token", persona=key))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{outdoors.house.config.urls['acmidm']}/op/v1/userinfo"
    claims = (await outdoors.client.get(url, headers=headers)).json()
    assert claims["loket_rol_3d"] == ["LoketAdviseur-Politie:0207500123"]
    assert claims["vo_email"] == "medewerker-loketadviseur-politie@lindebeke.example"


async def test_the_desk_shows_whoever_is_asked_for(outdoors: Outdoors) -> None:
    url = f"{outdoors.house.config.urls['desk']}/medewerker"
    page = (await outdoors.client.get(url, params={"rol": "LoketUitvoerder", "dienst": "Groendienst"})).text
    assert "LoketUitvoerder-Groendienst" in page
    assert "login_hint=medewerker%3ALoketUitvoerder%3AGroendienst" in page
    assert (await outdoors.client.get(url, params={"rol": "Burgemeester", "dienst": ""})).status_code == 404


async def test_the_minutes_package_knows_what_its_administrator_adds(outdoors: Outdoors) -> None:
    for kind in ("organisations", "categories"):
        assert (
            await outdoors.status("minutes", f"/sim/{kind}", {"id": "jeugddienst", "title": "Jeugd"}) == 200
        )
        assert await outdoors.status("minutes", f"/sim/{kind}", {"id": "jeugddienst"}) == 409
        assert await outdoors.status("minutes", f"/sim/{kind}", {"id": "Jeugd dienst"}) == 400
        known = {one["id"]: one["title"] for one in await outdoors.read("minutes", f"/sim/{kind}")}
        assert known["jeugddienst"] == "Jeugd"


async def test_the_van_drives_on_the_days_of_the_configuration(outdoors: Outdoors) -> None:
    slots = await outdoors.read("planning", "/sim/slots")
    assert slots
    assert {datetime.fromisoformat(one["startsAt"]).weekday() for one in slots} == {1}


# ── any form ──────────────────────────────────────────────────────────────────────────────────────────


def _filled(schema: Json, answers: Json | None = None, memory: Memory | None = None) -> Json:
    return missing_answers(schema, answers or {}, memory or Memory())


def test_what_an_answer_calls_for_is_filled_in_too() -> None:
    schema = {
        "type": "object",
        "required": ["kind", "pet"],
        "properties": {
            "kind": {"oneOf": [{"const": "dog"}, {"const": "cat"}]},
            "pet": {"type": "object", "required": ["name"], "properties": {"name": {"enum": ["Rex", "Tim"]}}},
            "leash": {"type": "integer", "minimum": 2, "multipleOf": 3},
            "chip": {"type": "string", "pattern": "^[0-9]{3}-[A-Z]$"},
        },
        "if": {"properties": {"kind": {"const": "dog"}}},
        "then": {"required": ["leash"]},
        "else": {"required": ["nobody"]},
        "dependentRequired": {"leash": ["chip"]},
    }
    assert _filled(schema) == {"kind": "dog", "pet": {"name": "Rex"}, "leash": 3, "chip": "000-A"}
    assert _filled(schema, {"kind": "dog", "leash": 6, "pet": {"name": "Tim"}}) == {"chip": "000-A"}


def test_each_day_comes_after_the_one_before_and_a_birth_long_ago() -> None:
    day = {"type": "string", "format": "date"}
    schema = {"required": ["from", "until", "birth_date"], "properties": dict.fromkeys(
        ("from", "until", "birth_date"), day
    )}  # fmt: skip
    found = _filled(schema)
    assert datetime.now(UTC).date() + timedelta(days=30) < date.fromisoformat(found["from"])
    assert found["from"] < found["until"]
    assert found["birth_date"] == "1980-05-17"


def test_a_list_holds_as_many_as_it_must_and_nothing_twice() -> None:
    group = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "maxLength": 4}},
    }
    schema = {
        "required": ["people", "days"],
        "properties": {
            "people": {"type": "array", "minItems": 2, "items": group},
            "days": {
                "type": "array",
                "minItems": 2,
                "uniqueItems": True,
                "items": {"enum": ["mo", "tu", "we"]},
            },
        },
    }
    known = Memory({"name": "An"}, {})
    assert _filled(schema, memory=known) == {"people": [{"name": "An"}, {"name": "An"}], "days": ["mo", "tu"]}


def test_formats_are_written_by_who_knows_them_and_examples_come_first() -> None:
    schema = {
        "required": ["account", "plate", "size", "agreed"],
        "properties": {
            "account": {"type": "string", "format": "iban"},
            "plate": {"type": "string", "pattern": "^1-[A-Z]{3}-[0-9]{3}$", "examples": ["1-ABC-234"]},
            "size": {"type": "number", "exclusiveMinimum": 2, "maximum": 9},
            "agreed": {"const": True},
        },
    }
    found = _filled(schema, memory=Memory({}, {"iban": lambda: "BE68539007547034"}))
    assert found == {"account": "BE68539007547034", "plate": "1-ABC-234", "size": 3, "agreed": True}


def test_a_field_that_nobody_can_fill_in_is_named() -> None:
    schema = {"required": ["code"], "properties": {"code": {"type": "string", "pattern": "(?=x)y"}}}
    with pytest.raises(Unfillable, match="/code asks for"):
        _filled(schema)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[1-9][0-9]{3}$", "1000"),
        (r"^\d-[A-Z]{3}-\d{3}$", "7-AAA-777"),
        ("^(?:ja|nee)$", "ja"),
        (r"^[\w.-]+@x\.be$", "a@x.be"),
        ("[^0-9]+x?", "a"),
        ("^(ab){2,}$", "abab"),
        ("(?=x)y", None),
        ("[", None),
    ],
)
def test_a_text_is_made_that_fits_a_pattern(pattern: str, text: str | None) -> None:
    assert example(pattern) == text


def test_a_text_is_made_as_long_as_it_must_be() -> None:
    assert example("^[A-Z]+$", shortest=5) == "AAAAA"
