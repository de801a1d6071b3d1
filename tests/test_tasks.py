"""Tasks: each has its role, and a department hears that a case waits for somebody of it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import loket
from loket.handling import TASKS


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
