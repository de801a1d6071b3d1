"""Tasks: each has its role, and a department hears that a case waits for somebody of it."""

import ast
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import loket
from loket.handling import TASKS
from loket.ids import decode_id
from loket.sandbox import personas
from loket.settings import Mailboxes, Settings, SettingsError
from premiums import Json, written
from town import OPERATOR, Dossier, Town, opened

BOXES = "Sociale dienst=sociaal@lindebeke.example; *=onthaal@lindebeke.example"
RECEPTION, SOCIAL = "onthaal@lindebeke.example", "sociaal@lindebeke.example"

# ── whose they are ────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_task_that_is_ever_opened_has_one_role() -> None:
    opened = {kind for path in sorted(Path(loket.__file__).parent.glob("*.py")) for kind in _opened_in(path)}
    listed = [kind for kinds in TASKS.values() for kind in kinds]
    assert len(listed) == len(set(listed))
    assert opened == set(listed)


def _opened_in(path: Path) -> Iterator[str]:
    """The kinds that `cases.open_task` is called with, also by a name for them."""
    module = ast.parse(path.read_text("utf-8"))
    functions = [one for one in ast.walk(module) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "open_task":
                asked = call.args[2]
                named = asked.id if isinstance(asked, ast.Name) else ""
                meant = [*_assigned(function, named), *_assigned(module, named)] if named else [asked]
                kinds = [kind for one in meant for kind in _texts(one)]
                assert kinds, f"{path.name}:{call.lineno}: which kind of task?"
                yield from kinds


def _assigned(where: ast.AST, name: str) -> Iterator[ast.expr]:
    for one in ast.walk(where) if not isinstance(where, ast.Module) else where.body:
        if isinstance(one, ast.Assign) and name in map(ast.unparse, one.targets):
            yield one.value


def _texts(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value


# ── who hears of them ─────────────────────────────────────────────────────────────────────────────────


def _of_the_social_service(told: Json) -> None:
    """Referred to a handler at each of its stages, without any check."""
    told["department"] = "Sociale dienst"
    told["checks"], told["documents"], told["benefits"] = [], [], told["benefits"][1:]
    told["benefits"][0]["when"] = "true"


def _of_another(told: Json) -> None:
    _of_the_social_service(told)
    told["department"] = "Dienst Cultuur"


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "social", _of_the_social_service)
    written(folder, "culture", _of_another)
    home = tmp_path_factory.mktemp("town")
    boxes = Mailboxes(BOXES)
    async with opened(module_database_url, home, procedures=str(folder), department_mailboxes=boxes) as found:
        yield found


async def _referred(town: Town, procedure: str) -> Dossier:
    who = town.somebody()
    payload = await town.does(who, "applicationStart", "application { id }", procedure=procedure)
    draft = payload["application"]["id"]
    await town.does(who, "applicationSetAnswers", id=draft, input={"benefits": ["own"]})
    payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
    dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
    await dossier.until("SCREENING")
    assert await dossier.tasks() == ["REFERRED"]
    return dossier


async def _heard(town: Town, dossier: Dossier, address: str) -> list[Json]:
    await dossier.calm()
    letters: list[Json] = await town.look("smtp", f"mailbox/{address}")
    return [one for one in letters if dossier.reference in one["subject"]]


async def test_a_department_hears_once_that_a_case_waits_and_nobodys_name(town: Town) -> None:
    dossier = await _referred(town, "social")
    (letter,) = await _heard(town, dossier, SOCIAL)
    assert letter["complaints"] == []
    citizen = personas.person(dossier.who)
    assert isinstance(citizen, personas.Citizen)
    for told in (citizen.family_name, citizen.insz, citizen.email):
        assert told
        assert told not in str(letter)
    assert f"{town.served.loket.settings.website_url}/beheer/dossiers/{dossier.reference}" in letter["text"]
    await town.does(OPERATOR, "caseDeclareAdmissible", id=dossier.id)
    assert await dossier.tasks() == ["ASSESS"]
    assert len(await _heard(town, dossier, SOCIAL)) == 1, "it is no new case any more"
    assert await _heard(town, dossier, RECEPTION) == []


async def test_who_has_no_mailbox_of_its_own_shares_one_and_what_is_taken_is_not_told(town: Town) -> None:
    told = await _referred(town, "culture")
    assert len(await _heard(town, told, RECEPTION)) == 1
    await town.does(OPERATOR, "systemPause", system="email")
    taken = await _referred(town, "culture")
    await town.does(OPERATOR, "caseAssign", id=taken.id)
    await town.does(OPERATOR, "systemResume", system="email")
    assert await _heard(town, taken, RECEPTION) == []
    (effect,) = await town.sql(
        "SELECT state, receipt FROM effect WHERE kind = 'STAFF_EMAIL' AND case_id = :id",
        id=decode_id(taken.id, "Case"),
    )
    assert (effect.state, list(effect.receipt)) == ("DONE", ["skipped"])


def test_a_department_without_a_mailbox_where_none_is_for_all_is_told_nothing() -> None:
    assert Mailboxes("Sociale dienst = sociaal@lindebeke.example;").of("sociale dienst") == SOCIAL
    assert Mailboxes("Sociale dienst=sociaal@lindebeke.example").of("Onthaal") is None
    assert Mailboxes().of("Onthaal") is None


@pytest.mark.parametrize(
    "text",
    [
        "sociaal@lindebeke.example",
        "Dienst=sociaal",
        "=a@b.example",
        "*=a@b.example;*=c@d.example",
        "A=a b@c.d",
    ],
)
def test_a_mailbox_that_cannot_be_one_stops_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="LOKET_DEPARTMENT_MAILBOXES"):
        Settings.from_environment({"LOKET_DEPARTMENT_MAILBOXES": text})
    assert Settings.from_environment({"LOKET_DEPARTMENT_MAILBOXES": BOXES}).department_mailboxes.of("X")
