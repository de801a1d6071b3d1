"""The walk of any procedure: what a definition file can describe is walked, without a line written for it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Worker, is_insz, person
from loket.walk.citizen import Place
from loket.walk.command import find_place, numbers, walk
from loket.walk.form import Memory, Unfillable, leaves, merged, missing_answers
from loket.walk.known import SHIPPED, Known, known_of
from loket.walk.outside import Outside
from loket.walk.patterns import example
from loket.walk.promises import NotThere, Promises
from loket.walk.trying import Desk, refuses_outsiders
from loket.walk.ways import variants
from town import Town, opened

Json = dict[str, Any]

OWN = Path(__file__).parent / "procedures"
"""A procedure of nobody: its file, and nothing beside it."""

# ── a procedure that nobody knows ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("any"), procedures=str(OWN)) as found:
        yield found


@pytest.fixture
async def place(town: Town) -> AsyncIterator[Place]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        outside = Outside(town.served.house.config.urls, http)
        found = await find_place("cargo-bike", town.served.url, outside, http, 30.0)
        yield replace(found, folders=(SHIPPED, OWN))


async def test_a_procedure_of_which_there_is_only_a_file_is_walked_to_its_very_end(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = await walk(place, "ending", numbers(tmp_path / "number"))
    told = capsys.readouterr().out
    assert ended, told
    for wanted in (
        "agrees with what",  # a co-applicant
        "Fietsatelier: positive",  # an adviser of a department that no persona is of
        "the link serves once",  # one elsewhere
        "sends the van out on",  # on a day on which it does not drive by itself
        "finds a draft that is filled in already",
        "releases the deposit of 150.00 EUR",
    ):
        assert wanted in told


def test_the_ways_that_it_can_go_are_read_from_the_file() -> None:
    bike = Promises.of("cargo-bike", 1, (SHIPPED, OWN))
    assert list(variants(bike)) == [
        "straight", "refused", "withdrawn", "unpaid", "inadmissible", "missed", "no-advice", "not-together",
        "ending",
    ]  # fmt: skip
    with pytest.raises(NotThere, match="has cargo-bike version 2"):
        Promises.of("cargo-bike", 2, (SHIPPED, OWN))


def test_what_is_known_beside_a_file_may_be_left_out(tmp_path: Path) -> None:
    assert known_of("cargo-bike", (SHIPPED, OWN)) == Known()
    (tmp_path / "walks").mkdir()
    told = '{"answers": {"use": {"together": false}}, "entitled": {"of": 10, "among": [5]}}'
    (tmp_path / "walks" / "cargo-bike.json").write_text(told)
    known = known_of("cargo-bike", (SHIPPED, tmp_path))
    assert known.answers == {"use": {"together": False}}
    assert [number for number in range(20) if known.entitled(number)] == [5, 15]


# ── who reads the rules ───────────────────────────────────────────────────────────────────────────────

HOME = {"street": "Lindelaan", "number": "5", "postal_code": "2999", "city": "Lindebeke"}


def _improved(when: Mapping[str, str], properties: Json, **more: Any) -> tuple[Json, list[str]]:  # noqa: ANN401
    """What is filled in at the end, and the rules that still say no."""
    schema = {"required": [*properties], "properties": properties}
    rules = {"screening": [{"key": key, "when": rule} for key, rule in when.items()]}
    desk = Desk({"rules": rules} | more, schema, Memory(), HOME, frozenset())
    found = desk.improved(missing_answers(schema, {}, Memory()))
    return found, desk.broken(found)


def test_other_answers_are_given_where_the_first_are_refused() -> None:
    found, broken = _improved(
        {
            "bus": "!application.bus",
            "most": "application.agreed * 3 >= application.asked * 2",
            "street": "application.street == applicant.address.street ? true : 'REFER'",
            "kind": "application.kind in ['b', 'c']",
        },
        {
            "bus": {"type": "boolean"},
            "asked": {"type": "integer", "minimum": 4},
            "agreed": {"type": "integer", "minimum": 0},
            "street": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
        },
    )
    assert broken == []
    assert (found["bus"], found["street"], found["kind"]) == (False, "Lindelaan", "b")


def test_what_a_rule_wants_answered_has_the_form_of_its_question() -> None:
    plate = {"type": "string", "pattern": "^[0-9A-Z-]{2,10}$"}
    when = "!cart.exists(line, line.product == 'second-car') || has(application.second_plate)"
    desk = Desk(
        {"rules": {"screening": [{"key": "second", "when": when}]}},
        {"properties": {"second_plate": plate}},
        Memory(),
        HOME,
        frozenset(),
        cart=[{"product": "second-car", "quantity": 1}],
    )
    assert desk.improved({}) == {"second_plate": "2999"}


def test_days_are_moved_together_to_where_the_rules_want_them() -> None:
    day = {"type": "string", "format": "date"}
    summer = "timestamp(application.{} + 'T00:00:00Z').getMonth() in [6, 7]"
    found, broken = _improved(
        {
            "summer": f"{summer.format('first')} && {summer.format('last')}",
            "order": "application.first < application.last",
        },
        {"first": day, "last": day},
    )
    assert broken == []
    assert found["first"][5:7] in ("07", "08")


def test_a_rule_that_nothing_helps_against_stays_broken_and_what_is_known_stays_as_it_is() -> None:
    assert _improved({"never": "application.kind == 'z'"}, {"kind": {"enum": ["a", "b"]}})[1] != []
    schema = {"required": ["dog"], "properties": {"dog": {"type": "boolean"}}}
    rules = {"rules": {"screening": [{"key": "no-dog", "when": "!application.dog"}]}}
    fixed = Desk(rules, schema, Memory(), HOME, frozenset(leaves({"dog": True})))
    assert fixed.improved({"dog": True}) == {"dog": True}


def test_what_somebody_wants_besides_is_answered_so() -> None:
    schema = {"required": ["allowance"], "properties": {"allowance": {"type": "boolean"}}}
    pays = Desk({}, schema, Memory(), HOME, frozenset(), goals={"application.allowance": False})
    assert pays.improved({"allowance": True}) == {"allowance": False}
    free = replace(pays, goals={"application.allowance": True})
    assert free.improved({"allowance": False}) == {"allowance": True}


def test_whether_the_rules_refuse_who_lives_elsewhere_is_read_from_them() -> None:
    rule = {"key": "resident", "when": "applicant.address.nis == municipality.nis"}
    asked = {"key": "there", "when": "application.postal_code == municipality.postal_code"}
    assert refuses_outsiders({"rules": {"screening": [asked, rule]}})
    assert not refuses_outsiders({"rules": {"screening": [asked], "approval": [rule]}})


def test_answers_are_laid_over_each_other() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}


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


def test_a_number_that_is_a_national_number_is_not_that_of_a_house() -> None:
    schema = {
        "required": ["number", "partner"],
        "properties": {
            "number": {"type": "string"},
            "partner": {
                "required": ["number"],
                "properties": {"number": {"type": "string", "format": "national-number"}},
            },
        },
    }
    known = Memory({"number": "1"}, {"national-number": lambda: "85073003328"})
    assert _filled(schema, memory=known) == {"number": "1", "partner": {"number": "85073003328"}}


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
