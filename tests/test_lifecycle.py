"""The published tables: what they promise, and that `advance` does what they say and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import permutations, product
from uuid import UUID, uuid4

import pytest

from loket import cases
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.lifecycle import (
    ENTRY,
    FINAL,
    INVOICE,
    PARTS,
    Action,
    CaseMachine,
    CaseState,
    EventType,
    InvoiceStatus,
    Machine,
    PartAction,
    Role,
    Stage,
    StageOrderError,
    Status,
    Step,
    TableError,
    TimerKind,
    Wait,
    case_machine,
)
from loket.records import ActorKind, Case
from loket.work import Actor, Work, the_system
from town import Dossier, Town, opened

STAGES = (Stage.SCREENING, Stage.DECISION, Stage.PAYMENT, Stage.PLANNING, Stage.DELIVERY)
PREMIUM = (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION, Stage.PAYOUT)
AFTER_AN_END = {Action.REOPEN, Action.ADD_NOTE}
PARTS_BY_NAME = {one.name: one for one in PARTS}


def _is_legal(order: tuple[Stage, ...]) -> bool:
    try:
        case_machine(order)
    except StageOrderError:
        return False
    return True


LEGAL = [order for order in permutations(STAGES) if _is_legal(order)]


def _named(order: tuple[Stage, ...]) -> str:
    return " ".join(order)


# ── orders of stages ──────────────────────────────────────────────────────────────────────────────────


def test_fifteen_orders_of_the_five_stages_make_sense() -> None:
    assert len(LEGAL) == 15
    for order in LEGAL:
        at = {stage: number for number, stage in enumerate(order)}
        assert at[Stage.SCREENING] < at[Stage.DECISION] < at[Stage.DELIVERY]
        assert at[Stage.PLANNING] < at[Stage.DELIVERY]


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ((), "at least one stage"),
        ((Stage.SCREENING, Stage.SCREENING), "stands twice"),
        ((Stage.DECISION, Stage.SCREENING), "'decision' needs 'screening' before it"),
        ((Stage.SCREENING, Stage.PLANNING, Stage.DELIVERY), "'delivery' needs 'decision' before it"),
        ((Stage.SCREENING, Stage.DECISION, Stage.DELIVERY), "'delivery' needs 'planning' before it"),
        ((Stage.SCREENING, Stage.DECISION, Stage.PLANNING), "'delivery', which is missing"),
        ((Stage.SCREENING, Stage.ASSESSMENT), "'assessment' leads to a 'decision'"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_its_reason(
    stages: tuple[Stage, ...], reason: str
) -> None:
    with pytest.raises(StageOrderError, match=reason):
        case_machine(stages)


# ── properties of the case's table ────────────────────────────────────────────────────────────────────


@pytest.fixture(params=LEGAL, ids=_named)
def table(request: pytest.FixtureRequest) -> CaseMachine:
    return case_machine(request.param)


def test_every_waiting_state_has_a_deadline(table: CaseMachine) -> None:
    ends = {wait.state for wait in table.waits}
    for stage, status in table.states():
        if status not in FINAL and status not in (Status.RECEIVED, Status.APPROVED):
            assert (stage, status) in ends


def test_an_ended_case_moves_only_by_being_reopened(table: CaseMachine) -> None:
    for step in table.steps:
        if step.state[1] in FINAL:
            assert step.action in AFTER_AN_END
            assert not step.by & {Role.APPLICANT, Role.ADVISER, Role.SYSTEM}


def test_every_state_is_reached_from_the_first_one(table: CaseMachine) -> None:
    first = (_stages(table)[0], Status.RECEIVED)
    reached = _reached(table, {first}, but=AFTER_AN_END)
    leads_on = {step.state for step in table.steps if step.action not in AFTER_AN_END}
    assert leads_on <= reached


def test_from_every_state_the_case_can_still_be_completed(table: CaseMachine) -> None:
    completed = {state for state in table.states() if state[1] is Status.COMPLETED}
    for state in table.states():
        if state[1] in FINAL or state[1] is Status.RECEIVED:
            continue
        assert _reached(table, {state}, but=AFTER_AN_END) & completed, state


def test_nobody_withdraws_or_cancels_what_was_delivered(table: CaseMachine) -> None:
    stages = _stages(table)
    for step in table.steps:
        if step.action in (Action.WITHDRAW, Action.CANCEL):
            assert stages.index(step.state[0]) <= stages.index(Stage.DELIVERY)
    for state in table.states():
        open_still = state[1] not in FINAL and stages.index(state[0]) <= stages.index(Stage.DELIVERY)
        if open_still and table.allowed(state, {Role.HANDLER}):
            assert {Action.WITHDRAW, Action.CANCEL} <= set(table.allowed(state, {Role.HANDLER})), state


def test_stages_are_passed_in_their_order(table: CaseMachine) -> None:
    stages = _stages(table)
    for step in table.steps:
        assert stages.index(step.to[0]) - stages.index(step.state[0]) in (0, 1)


def test_a_citizen_decides_nothing(table: CaseMachine) -> None:
    wishes = {Action.WITHDRAW, Action.SUPPLY_INFORMATION, Action.BOOK_SLOT, Action.RESCHEDULE}
    assert {step.action for step in table.steps if Role.APPLICANT in step.by} == wishes


def test_only_facts_pay_and_only_time_gives_up(table: CaseMachine) -> None:
    for step in table.steps:
        if step.action is Action.PAY:
            assert step.by == {Role.FINANCE, Role.SYSTEM}
        if step.action in (Action.GIVE_UP, Action.HAND_OVER, Action.REMIND, Action.LAPSE_TERM):
            assert step.by == {Role.SYSTEM}


def test_every_move_is_written_down(table: CaseMachine) -> None:
    assert all(step.event is not None for step in table.steps)


def _stages(table: CaseMachine) -> list[Stage]:
    return list(dict.fromkeys(step.state[0] for step in table.steps))


def _reached(table: CaseMachine, found: set[CaseState], but: set[Action]) -> set[CaseState]:
    steps = [step for step in table.steps if step.action not in but]
    while more := {step.to for step in steps if step.state in found} - found:
        found = found | more
    return found


# ── the parts of a case ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", PARTS_BY_NAME)
def test_a_part_that_waits_has_a_deadline(name: str) -> None:
    machine = PARTS_BY_NAME[name]
    waiting = {str(state) for state in machine.waiting}
    assert {str(wait.state) for wait in machine.waits} == waiting
    assert waiting <= {str(step.state) for step in machine.steps}


def test_money_that_came_can_be_written_down_in_every_state_that_owes_it() -> None:
    # what was written off is not forgiven
    handed = {InvoiceStatus.HANDED_OVER, InvoiceStatus.WRITTEN_OFF}
    owed = {InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID, *handed}
    for status in InvoiceStatus:
        for action in (PartAction.PAY_PART, PartAction.PAY_FULL):
            assert (INVOICE.find(status, action) is not None) == (status in owed)


def test_a_table_that_contradicts_itself_is_no_table() -> None:
    nobody: frozenset[Role] = frozenset()
    twice = (Step("here", "go", "there", nobody), Step("here", "go", "elsewhere", nobody))
    with pytest.raises(TableError, match="two rows"):
        Machine("twice", twice)
    with pytest.raises(TableError, match="without an end"):
        Machine("endless", twice[:1], waiting=frozenset({"here"}))
    ends = (Wait("here", TimerKind.TERM, "it ends"),)
    assert Machine("ended", twice[:1], frozenset({"here"}), ends).find("here", "go") == twice[0]


# ── what `advance` does with the table ────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(scope="module")
async def dossier(town: Town) -> Dossier:
    return await town.applies()


@pytest.mark.parametrize(("procedure", "stages"), [("compost-bin", STAGES), ("social-premium", PREMIUM)])
async def test_advance_follows_the_table_for_every_state_action_and_role(
    town: Town, dossier: Dossier, procedure: str, stages: tuple[Stage, ...]
) -> None:
    table = case_machine(stages)
    wrong: list[str] = []
    moved = 0
    async with _trying(town, dossier) as (work, case):
        case.procedure_key = procedure
        assert work.definition(case).stages == stages
        for stage, status, action, role in product(stages, Status, Action, Role):
            case.stage, case.status, case.closed_at, case.outcome = stage, status, None, None
            told = await _try(work.as_actor(_actor(role, case.person_id)), case, action)
            step = table.find((stage, status), action)
            allowed = step is not None and role in step.by
            moved += allowed
            if step is None or not allowed:
                fine = told is None and (case.stage, case.status) == (stage, status)
            elif action is Action.REOPEN:
                fine = told is step.event and case.status is ENTRY[Stage.SCREENING][0]
            else:
                fine = told is step.event and (case.stage, case.status) == step.to
            if not fine:
                wrong.append(f"{stage} {status} {action} by {role}: {told}, {case.stage} {case.status}")
            work.entered.clear()
            work.happened.clear()
    assert wrong == []
    assert moved == sum(len(step.by) for step in table.steps)


async def test_another_citizen_moves_nothing(town: Town, dossier: Dossier) -> None:
    async with _trying(town, dossier) as (work, case):
        stranger = work.as_actor(_actor(Role.APPLICANT, uuid4()))
        for (stage, status), action in product(sorted(case_machine(STAGES).states()), Action):
            case.stage, case.status = stage, status
            assert await _try(stranger, case, action) is None


class _Undone(Exception):
    """Nothing of a try is kept."""


@asynccontextmanager
async def _trying(town: Town, dossier: Dossier) -> AsyncIterator[tuple[Work, Case]]:
    with suppress(_Undone):
        async with town.served.loket.work(the_system()) as work:
            yield work, await cases.get(work, decode_id(dossier.id, "Case"))
            raise _Undone


async def _try(work: Work, case: Case, action: Action) -> EventType | None:
    """What is written down when `action` is taken; None when it is refused."""
    try:
        event = await cases.advance(work, case, action, data={"stage": Stage.SCREENING})
    except Refused as refusal:
        if refusal.code is not ErrorCode.TRANSITION_NOT_ALLOWED:
            raise
        return None
    return event.type


def _actor(role: Role, person_id: UUID) -> Actor:
    if role is Role.SYSTEM:
        return the_system()
    kind = ActorKind.CITIZEN if role is Role.APPLICANT else ActorKind.STAFF
    return Actor(kind, role, frozenset({role}), person_id)
