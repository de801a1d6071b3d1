"""The back office: what there is to do and for whom, what the term allows, who may do what state by state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loket.api.actions import STEPS, CaseAction
from loket.handling import TASKS, WITH_TERM, role_of
from loket.ids import decode_id
from loket.lifecycle import FINAL, Action, Role, Stage, Status, case_machine
from served import served
from town import DRIVER, FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened

SOCIAL, ADVISER, SECRETARIAT = "sofie", "astrid", "sandra"
STAFF = (HANDLER, FINANCE, DRIVER, OPERATOR, ADVISER, SECRETARIAT)
FOUND = """query($filter: CaseFilter, $orderBy: CaseOrder) {
    cases(filter: $filter, orderBy: $orderBy, first: 100) { totalCount nodes { reference } } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


async def finds(town: Town, who: str = HANDLER, order: str | None = None, **wanted: Any) -> list[str]:  # noqa: ANN401  # JSON
    """The references of the cases in somebody's queue that meet all of this."""
    told = await town.ask(who, FOUND, filter=wanted or None, orderBy=order)
    return [one["reference"] for one in told["cases"]["nodes"]]


async def visits(town: Town, given_name: str, family_name: str) -> Dossier:
    """The case of somebody of that name, entered at the counter."""
    said = {"givenName": given_name, "familyName": family_name}
    payload = await town.does(
        HANDLER, "applicationStartAtCounter", "application { id }", procedure="compost-bin", input=said
    )
    draft = payload["application"]["id"]
    answers = {
        "applicant": {
            "address": {"street": "Beekdal", "number": "9", "postal_code": "2999", "city": "Lindebeke"}
        },
        "contact": {}, "delivery": {"place": "home"}, "declaration": True,
    }  # fmt: skip
    await town.does(HANDLER, "applicationSetAnswers", id=draft, input=answers)
    cart = {"lines": [{"product": "bak", "quantity": 1}]}
    await town.does(HANDLER, "applicationSetCart", id=draft, input=cart)
    payload = await town.does(HANDLER, "applicationSubmit", "case { id reference }", id=draft)
    return Dossier(town, HANDLER, payload["case"]["id"], payload["case"]["reference"])


# ── the queue ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_case_is_found_by_how_the_names_or_the_reference_begin(town: Town) -> None:
    renee = await visits(town, "Renée", "D'Hondt-Müller")
    jose = await visits(town, "José", "Van den Broeck")
    for words in ("renee", "RENÉE", "hondt", "d'hondt", "mul ren", "müller", "ren d hon m"):
        assert renee.reference in await finds(town, search=words), words
    for words in ("enee", "renee jose", "hond x", "ondt"):
        assert await finds(town, search=words) == [], words
    assert await finds(town, search="jose van den bro") == [jose.reference]
    for part in (jose.reference, jose.reference.lower(), f" {jose.reference[:-3]}"):
        assert await finds(town, search=part) == [jose.reference]
    for odd in ("'", "\\", "%", "_", "!", "a:*b|c", "((", "<->", "&", "  "):
        assert renee.reference not in await finds(town, search=odd.strip() or "'"), odd


async def test_the_queue_is_filtered_by_what_handlers_ask_for(town: Town) -> None:
    mine, free = await visits(town, "Mia", "Mijn"), await visits(town, "Vera", "Vrij")
    await town.does(HANDLER, "caseAssign", id=mine.id)
    both = {mine.reference, free.reference}
    seen = await mine.read(fields="due department")
    due, department = date.fromisoformat(seen["due"]), seen["department"]

    async def found(**wanted: Any) -> set[str]:  # noqa: ANN401  # JSON
        return both & set(await finds(town, **wanted))

    expected: list[tuple[Json, set[str]]] = [
        ({"mine": True}, {mine.reference}),
        ({"unassigned": True}, {free.reference}),
        ({"unassigned": False}, {mine.reference}),
        ({"stage": ["SCREENING"]}, both),
        ({"stage": ["PAYMENT", "DELIVERY"]}, set()),
        ({"status": ["SCREENING", "AWAITING_SLOT"], "procedure": "compost-bin"}, both),
        ({"procedure": "social-premium"}, set()),
        ({"department": department}, both),
        ({"department": "Sociale dienst"}, set()),
        ({"channel": "COUNTER"}, both),
        ({"channel": "ONLINE"}, set()),
        ({"dueAfter": (due - timedelta(days=1)).isoformat()}, both),
        ({"dueAfter": due.isoformat()}, set()),
        ({"dueBefore": (due + timedelta(days=1)).isoformat()}, both),
        ({"dueBefore": due.isoformat()}, set()),
        ({"overdue": True}, set()),
        ({"mine": True, "unassigned": True}, set()),
        ({"withOpenTask": True}, both),
    ]
    for wanted, references in expected:
        assert await found(**wanted) == references, wanted


async def test_what_changed_last_comes_first_when_asked_so(town: Town) -> None:
    first, second = await visits(town, "Ann", "Eerst"), await visits(town, "Bob", "Tweede")
    for one in (first, second):
        await one.calm()
    await town.does(HANDLER, "caseAddNote", id=first.id, input={"text": "gebeld"})
    both = (first.reference, second.reference)
    orders = {
        order: [one for one in await finds(town, order=order) if one in both]
        for order in ("UPDATED", "NEWEST", "OLDEST")
    }
    assert orders == {"UPDATED": [*both], "NEWEST": [*reversed(both)], "OLDEST": [*both]}


async def test_many_are_given_at_once_and_each_has_its_own_answer(town: Town) -> None:
    one, other = await visits(town, "Een", "Twee"), await visits(town, "Drie", "Vier")
    ended = await visits(town, "Vijf", "Zes")
    await town.does(HANDLER, "caseCancel", id=ended.id, input={"reason": "dubbel"})
    wanted = [one.id, ended.id, other.id, "geen dossier"]
    told = await town.ask(
        HANDLER,
        "mutation($ids: [ID!]!) { caseBulkAssign(ids: $ids) { errors { code }"
        " results { caseId error case { handler { name } } } } }",
        ids=wanted,
    )
    results = told["caseBulkAssign"]["results"]
    assert [one["caseId"] for one in results] == wanted
    assert [bool(one["error"]) for one in results] == [False, True, False, True]
    assert {one["case"]["handler"]["name"] for one in results if one["case"]} == {"Hilde Van Dyck"}
    await town.does(HANDLER, "caseRelease", id=one.id)
    refused = await town.refused(HANDLER, "caseRelease", id=one.id)
    assert refused["code"] == "TRANSITION_NOT_ALLOWED"
    assert "CASE_RELEASE" not in refused["allowedActions"]


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────────


async def task(town: Town, dossier: Dossier, kind: str) -> str:
    """An open task on the case: its id as the operator sees it."""
    await town.sql(
        "INSERT INTO task (id, case_id, kind, status, data, opened_at, remark)"
        " VALUES (gen_random_uuid(), :case, :kind, 'OPEN', '{}', now(), '')",
        case=decode_id(dossier.id, "Case"), kind=kind,
    )  # fmt: skip
    found = await tasks(town, OPERATOR, kind=kind, case=dossier.id)
    return str(found[0]["id"])


async def tasks(town: Town, who: str, **wanted: Any) -> list[Json]:  # noqa: ANN401  # JSON
    document = """query($filter: TaskFilter) { tasks(filter: $filter, first: 100) {
        nodes { id kind role case { reference } } } }"""
    told = await town.ask(who, document, filter=wanted)
    found: list[Json] = told["tasks"]["nodes"]
    return found


PEOPLE = {
    Role.HANDLER: HANDLER,
    Role.FINANCE: FINANCE,
    Role.FIELD_WORKER: DRIVER,
    Role.SECRETARIAT: SECRETARIAT,
}


async def test_a_task_is_settled_by_those_whose_it_is_and_by_an_operator(town: Town) -> None:
    dossier = await visits(town, "Taak", "Vol")
    await dossier.calm()
    for role in PEOPLE:
        kind = TASKS[role][0] if role in TASKS else "ANSWER_LAPSED"
        assert role_of(kind) is role
        id = await task(town, dossier, kind)
        mine = await tasks(town, PEOPLE[role], role=role, case=dossier.id, status="OPEN")
        assert kind in {one["kind"] for one in mine}
        assert {one["role"] for one in mine} == {role}
        for other, who in PEOPLE.items():
            if other is not role:
                assert (await town.refused(who, "taskComplete", id=id))["code"] == "NOT_ALLOWED", (kind, who)
        assert (await town.refused(ADVISER, "taskComplete", id=id))["code"] in {"NOT_FOUND", "NOT_ALLOWED"}
        who = OPERATOR if role is Role.FIELD_WORKER else PEOPLE[role]
        await town.does(who, "taskComplete", "task { status doneBy { name } }", id=id)
        refused = await town.refused(who, "taskComplete", id=id)
        assert refused["code"] == "TRANSITION_NOT_ALLOWED"


async def test_settling_a_task_is_offered_to_whom_it_belongs(town: Town) -> None:
    dossier = await visits(town, "Aanbod", "Taken")
    await dossier.calm()
    offered = {who: "TASK_COMPLETE" in await dossier.actions(who) for who in PEOPLE.values()}
    assert offered == {HANDLER: True, FINANCE: False, DRIVER: False, SECRETARIAT: False}
    await task(town, dossier, "REFUND_DUE")
    assert "TASK_COMPLETE" in await dossier.actions(FINANCE)
    assert "TASK_COMPLETE" not in await dossier.actions(DRIVER)


# ── the term ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_queue_warns_before_a_term_lapses_and_an_extension_settles_that(town: Town) -> None:
    dossier = await visits(town, "Bijna", "Te Laat")
    await dossier.fires("TERM_ALARM")
    assert await finds(town, alarm=True, search="bijna") == [dossier.reference]
    assert await finds(town, alarm=False, search="bijna") == []
    due = date.fromisoformat((await dossier.read())["due"])
    later = {"until": (due + timedelta(days=10)).isoformat(), "reason": "Er is meer onderzoek nodig."}
    await town.does(HANDLER, "caseExtendTerm", id=dossier.id, input=later)
    assert await finds(town, alarm=True, search="bijna") == []
    assert "TERM_ALARM" not in await dossier.tasks()
    await dossier.fires("TERM_ALARM")
    await dossier.fires("TERM")
    assert await finds(town, alarm=True, search="bijna") == []  # too late to warn
    assert await finds(town, overdue=True, search="bijna") == [dossier.reference]
    assert "TERM_LAPSED" in await dossier.tasks()


async def test_after_the_decision_there_is_no_term_to_extend_or_to_stop(town: Town) -> None:
    dossier = await town.applies()
    await dossier.until("AWAITING_PAYMENT")
    due = date.fromisoformat((await dossier.read())["due"])
    later = {"until": (due + timedelta(days=10)).isoformat(), "reason": "zomaar"}
    offered = await dossier.actions(HANDLER)
    for action, input in (("caseExtendTerm", later), ("caseSuspend", {"reason": "zomaar"})):
        refused = await town.refused(HANDLER, action, id=dossier.id, input=input)
        assert refused["code"] == "TRANSITION_NOT_ALLOWED"
    assert not offered & {"CASE_EXTEND_TERM", "CASE_SUSPEND"}
    assert (await dossier.read())["due"] == due.isoformat()


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────────

# fmt: off
LISTS = {
    # list             whose
    "cases":          {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARIAT},
    "tasks":          {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARIAT},
    "applications":   {HANDLER, OPERATOR},
    "invoices":       {HANDLER, FINANCE, DRIVER, OPERATOR, SECRETARIAT},
    "payments":       {HANDLER, FINANCE, OPERATOR},
    "deliveries":     {HANDLER, DRIVER, OPERATOR},
    "decisions":      {HANDLER, OPERATOR, SECRETARIAT},
    "failedEffects":  {OPERATOR},
}
# fmt: on


async def test_each_role_has_its_own_lists(town: Town) -> None:
    await visits(town, "Lijst", "Vol")
    dossier = await town.applies()
    await dossier.pays()
    await dossier.until("AWAITING_SLOT")
    await town.sql(
        "UPDATE effect SET state = 'PARKED' WHERE id = (SELECT id FROM effect WHERE state = 'DONE' LIMIT 1)"
    )
    document = f"{{ {' '.join(f'{one} {{ totalCount }}' for one in LISTS)} }}"
    for who in STAFF:
        told = await town.ask(who, document)
        assert {one for one in LISTS if told[one]["totalCount"]} == {
            one for one, people in LISTS.items() if who in people
        }, who
    await town.sql("UPDATE effect SET state = 'DONE' WHERE state = 'PARKED'")


# ── who may do what, state by state ───────────────────────────────────────────────────────────────────

PREMIUM = (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION, Stage.PAYOUT)
ROLES = {
    HANDLER: {Role.HANDLER},
    FINANCE: {Role.FINANCE},
    DRIVER: {Role.FIELD_WORKER},
    SECRETARIAT: {Role.SECRETARIAT},
    OPERATOR: {Role.OPERATOR, Role.HANDLER},
}
WHY = {"motivationLegal": "Reglement", "motivationFactual": "Zo is het."}
LATER = {"until": (date.today() + timedelta(days=60)).isoformat(), "reason": "Meer tijd nodig."}  # noqa: DTZ011  # far enough
# fmt: off
INPUTS: dict[CaseAction, Json] = {
    CaseAction.CASE_DECLARE_INADMISSIBLE: WHY,
    CaseAction.CASE_REQUEST_INFORMATION:  {"question": "Welk?"},
    CaseAction.CASE_SUPPLY_INFORMATION:   {"answer": "Dit."},
    CaseAction.CASE_SUSPEND:              {"reason": "Verhuist."},
    CaseAction.CASE_EXTEND_TERM:          LATER,
    CaseAction.CASE_CANCEL:               {"reason": "Dubbel."},
    CaseAction.CASE_REOPEN:               {"stage": "SCREENING", "reason": "Beroep."},
    CaseAction.CASE_ADD_NOTE:             {"text": "Nota."},
}
# fmt: on
ACTIONS = {
    one: moves
    for one, moves in STEPS.items()
    if {step.action for step in case_machine(PREMIUM).steps} & {*moves}
}


TABLE = case_machine(PREMIUM)
ACTIONS = {one: moves for one, moves in STEPS.items() if {step.action for step in TABLE.steps} & {*moves}}
STATES = sorted({step.to for step in TABLE.steps if step.to[1] not in (Status.RECEIVED, Status.APPROVED)})
"""Those that a case can be left in."""


@dataclass
class Tried:
    """A premium's case that is put into one state after another."""

    town: Town
    dossier: Dossier
    who: str

    async def put(self, stage: Stage, status: Status, *, still: bool) -> None:
        await self.town.sql(
            'UPDATE "case" SET stage = :stage, status = :status, outcome = CAST(:outcome AS varchar),'
            " closed_at = CASE WHEN CAST(:outcome AS varchar) IS NOT NULL THEN now() END, overdue = false,"
            " round = 1, due_on = current_date + 30, suspensions = CAST(:still AS jsonb),"
            " handler_id = (SELECT id FROM staff WHERE given_name = 'Hilde') WHERE id = :id",
            stage=stage.value, status=status.value, outcome=status.value if status in FINAL else None,
            still='[{"reason": "x", "from": "2026-11-01", "to": null}]' if still else "[]",
            id=decode_id(self.dossier.id, "Case"),
        )  # fmt: skip

    async def asks(self, who: str, actions: list[CaseAction]) -> dict[CaseAction, list[str]]:
        """All these mutations in one document, one after the other: the codes of their errors."""
        fields = [
            f"{one}: {_field(one)}(id: $id{f', input: {_literal(INPUTS[one])}' if one in INPUTS else ''})"
            " { errors { code } }"
            for one in actions
        ]
        if not fields:
            return {}
        told = await self.town.ask(who, f"mutation($id: ID!) {{ {' '.join(fields)} }}", id=self.dossier.id)
        return {one: [error["code"] for error in told[one]["errors"]] for one in actions}

    async def state(self) -> tuple[Any, ...]:
        (row,) = await self.town.sql(
            'SELECT stage, status, version, handler_id, due_on, suspensions::text FROM "case" WHERE id = :id',
            id=decode_id(self.dossier.id, "Case"),
        )
        return tuple(row)


def _field(action: CaseAction) -> str:
    first, *rest = action.lower().split("_")
    return first + "".join(one.title() for one in rest)


def _literal(given: Json) -> str:
    words = (
        f"{name}: {value if name == 'stage' else f'{chr(34)}{value}{chr(34)}'}"
        for name, value in given.items()
    )
    return f"{{ {', '.join(words)} }}"


@pytest.fixture
async def tried(database_url: str, tmp_path: Path) -> AsyncIterator[Tried]:
    """Nobody carries out what the tries leave behind: there is no worker."""
    async with _unmanned(database_url, tmp_path) as town:
        for who in STAFF:
            await town.ask(who, "{ viewer { kind } }")
        who = town.somebody()
        payload = await town.does(who, "applicationStart", "application { id }", procedure="social-premium")
        draft = payload["application"]["id"]
        await town.does(who, "applicationSetAnswers", id=draft, input=ANSWERS)
        payload = await town.does(who, "applicationSubmit", "case { id reference }", id=draft)
        dossier = Dossier(town, who, payload["case"]["id"], payload["case"]["reference"])
        # a department that has people in every role
        await town.sql("UPDATE \"case\" SET department = 'Milieudienst'")
        yield Tried(town, dossier, who)


@asynccontextmanager
async def _unmanned(database_url: str, folder: Path) -> AsyncIterator[Town]:
    async with (
        served(database_url, folder) as found,
        httpx2.AsyncClient(base_url=found.url, trust_env=False, timeout=60) as client,
    ):
        yield Town(found, client)


ANSWERS: Json = {
    "benefits": ["household"],
    "payout": {"iban": "BE68539007547034"},
    "contact": {},
    "declaration": {"informed": True, "changes": True, "correct": True},
}


CLOCK = {CaseAction.CASE_SUSPEND, CaseAction.CASE_RESUME}
STOPPED = {
    CaseAction.CASE_RESUME: [],
    CaseAction.CASE_SUSPEND: ["TRANSITION_NOT_ALLOWED"],
}


async def test_what_is_offered_is_what_the_table_says_and_what_the_api_does(tried: Tried) -> None:
    """Every state of a premium's case, every action of its table, every role."""
    people = {**ROLES, tried.who: {Role.APPLICANT}}
    wrong: list[str] = []
    done = refused = 0
    for stage, status in STATES:
        await tried.put(stage, status, still=False)
        granted: set[CaseAction] = set()
        for who, roles in people.items():
            may = {
                one
                for one, moves in ACTIONS.items()
                if any(_may(TABLE.find((stage, status), move), roles, stage) for move in moves)
            }
            if (offered := await tried.dossier.actions(who) & set(ACTIONS)) != may:
                wrong.append(f"{stage} {status} for {who}: {offered ^ may} should (not) be offered")
            before = await tried.state()
            answers = await tried.asks(who, sorted(set(ACTIONS) - may))
            wrong += [
                f"{stage} {status}: {one} by {who} is not refused" for one in answers if not answers[one]
            ]
            assert await tried.state() == before, (stage, status, who)
            refused += len(answers)
            again = granted if who == OPERATOR else set()  # a handler as well: the same road
            for one in sorted(may - again):
                answers = await tried.asks(who, [one])
                if answers[one]:
                    wrong.append(f"{stage} {status}: {one} by {who}: {answers[one]}")
                done += 1
                await tried.put(stage, status, still=False)
            granted |= may
        if status not in FINAL:
            await tried.put(stage, status, still=True)
            offered = await tried.dossier.actions(HANDLER) & CLOCK
            answers = await tried.asks(HANDLER, sorted(CLOCK, reverse=True))
            if (offered, answers) != ({CaseAction.CASE_RESUME}, STOPPED):
                wrong.append(f"{stage} {status}: the clock stands still: {offered} {answers}")
    assert wrong == []
    assert (done > 100, refused > 500) == (True, True)


def _may(step: Any, roles: set[Role], stage: Stage) -> bool:  # noqa: ANN401  # a step of the table
    if step is None or not step.by & roles:
        return False
    if step.action in (Action.SUSPEND, Action.EXTEND_TERM):
        return stage in WITH_TERM
    return step.action is not Action.RESUME
