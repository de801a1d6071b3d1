"""The published transition tables as Markdown: what stands in the README is what the server enforces."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loket.lifecycle import FINAL, PARTS, CaseMachine, CaseState, Machine, Role, Stage, case_machine

README = Path("README.md")
BEGIN, END = "<!-- tables: written by `loket tables --write` -->", "<!-- end of tables -->"
ORDERS: dict[str, tuple[Stage, ...]] = {
    "A sale": (Stage.SCREENING, Stage.DECISION, Stage.PAYMENT, Stage.PLANNING, Stage.DELIVERY),
    "A premium": (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION, Stage.PAYOUT),
}
"""The two orders of stages whose tables are printed; together they have every row."""


def written(page: str) -> str:
    """`page` with the tables as they are now between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} has no marks for the tables: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{markdown()}{END}{after}"


def markdown() -> str:
    """All tables."""
    parts = [_case(name, case_machine(order)) for name, order in ORDERS.items()]
    parts += [_part(machine) for machine in PARTS]
    return "\n".join(parts)


def _case(name: str, machine: CaseMachine) -> str:
    stages = " → ".join(dict.fromkeys(step.state[0] for step in machine.steps))
    lines = [
        f"**{name}**: {stages}",
        "",
        "| stage | in | action | to | who | event |",
        "|---|---|---|---|---|---|",
    ]
    where: dict[tuple[Any, ...], list[CaseState]] = defaultdict(list)
    for step in machine.steps:
        same = step.to == step.state
        where[step.action, None if same else step.to[1], step.by, step.event].append(step.state)
    opened = {state for state in machine.states() if state[1] not in FINAL and state in machine.waiting}
    final = {step.state for step in machine.steps if step.state[1] in FINAL}
    rows = [
        (stage, f"| {stage} | {status} | {action} | {to or 'the same'} | {_who(by)} | {event} |")
        for (action, to, by, event), states in where.items()
        for stage, status in _places(states, opened, final)
    ]
    order = [*dict.fromkeys(step.state[0] for step in machine.steps), "all"]
    lines += [line for _, line in sorted(rows, key=lambda row: order.index(row[0]))]
    lines += ["", *_waits(machine), ""]
    return "\n".join(lines)


def _places(
    states: Sequence[CaseState], opened: set[CaseState], final: set[CaseState]
) -> Iterator[tuple[str, str]]:
    """(stage, statuses), with one line for what is possible everywhere."""
    if opened <= set(states):
        yield "all", "every open status"
        return
    if set(states) <= final:
        yield "all", "every final status"
        return
    for one in dict.fromkeys(stage for stage, _ in states):
        yield one, ", ".join(status for stage, status in states if stage == one)


def _part(machine: Machine[Any, Any]) -> str:
    lines = [f"**{machine.name.capitalize()}**", "", "| in | action | to | who |", "|---|---|---|---|"]
    lines += [f"| {one.state} | {one.action} | {one.to} | {_who(one.by)} |" for one in machine.steps]
    return "\n".join([*lines, "", *_waits(machine), ""])


def _waits(machine: Machine[Any, Any]) -> list[str]:
    if not machine.waits:
        return []
    named = [
        (" ".join(one.state) if isinstance(one.state, tuple) else one.state, one) for one in machine.waits
    ]
    return [
        "No waiting without an end: "
        + "; ".join(f"{at} ({one.timer}): {one.then}" for at, one in named)
        + "."
    ]


def _who(by: Iterable[Role]) -> str:
    return ", ".join(role for role in Role if role in set(by))
