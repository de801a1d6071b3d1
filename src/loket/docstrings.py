"""What the source says of the attributes of a class: the docstrings that stand under them.

Python forgets those; they are read from the source, when a reference is written, never while Loket runs.
"""

import ast
import importlib
import inspect
from functools import cache


@cache
def of_attributes(owner: type) -> dict[str, str]:
    """Attribute → its docstring as one paragraph; those of its parents too."""
    found: dict[str, str] = {}
    for one in reversed(owner.__mro__):
        if one.__module__.startswith("loket."):
            found |= _own(one)
    return found


def of_class(owner: type) -> str:
    """Its own docstring, as paragraphs; empty where there is none."""
    return inspect.cleandoc(owner.__dict__.get("__doc__") or "")


def _own(owner: type) -> dict[str, str]:
    (body,) = [one for one in _module(owner.__module__).body if _is(one, owner.__name__)]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for attribute, following in zip(body.body, body.body[1:], strict=False):
        name = _name(attribute)
        if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            found[name] = " ".join(str(following.value.value).split())
    return found


def _is(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name


def _name(node: ast.stmt) -> str:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return ""


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(name)))
