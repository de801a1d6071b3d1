"""Names that clients see: the descriptions of types, inputs and enums.

strawberry takes no description from a docstring, so the decorators here do.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

Field = Any
"""What declares a field, where a class body wants a value of the field's type."""

T = TypeVar("T")
E = TypeVar("E", bound=type[Enum])


# --- descriptions -----------------------------------------------------------------------------


def described(
    text: str,
    *,
    default: object = MISSING,
    default_factory: object = MISSING,
    metadata: Mapping[Any, Any] | None = None,
) -> Field:
    """A plain field with its description."""
    return strawberry.field(
        description=text,
        default=default,
        default_factory=default_factory,
        metadata=metadata,
    )


def described_argument(text: str, *, name: str | None = None) -> object:
    """Describes an argument, inside its `Annotated[…]`; `name` where Python keeps the word for itself."""
    return strawberry.argument(description=text, name=name)


@dataclass_transform(kw_only_default=True, field_specifiers=(described, strawberry.field, StrawberryField))
def output(cls: type[T]) -> type[T]:
    """A GraphQL object type whose description is its docstring."""
    return strawberry.type(cls, description=document(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(described, strawberry.field, StrawberryField))
def input_type(cls: type[T]) -> type[T]:
    """A GraphQL input type whose description is its docstring."""
    return strawberry.input(cls, description=document(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(described, strawberry.field, StrawberryField))
def interface(cls: type[T]) -> type[T]:
    """A GraphQL interface whose description is its docstring."""
    return strawberry.interface(cls, description=document(cls))


def enumeration(
    kind: E, values: Mapping[str, str], *, name: str | None = None, description: str | None = None
) -> E:
    """Publish the enum `kind`; `values` describes every member by its name.

    Raises:
        TypeError: a member has no description, or one describes no member.
    """
    names = {member.name for member in kind}
    if names != set(values):
        raise TypeError(f"{kind.__name__}: describe each of {sorted(names)}, not {sorted(values)}")
    strawberry.enum(kind, name=name, description=description or document(kind))
    definition: StrawberryEnumDefinition = kind.__strawberry_definition__  # type: ignore[attr-defined]  # set above
    for value in definition.values:
        value.description = values[value.name]
    return kind


def document(thing: type[Any] | Callable[..., Any]) -> str:
    """The docstring of `thing`, for its description.

    Raises:
        TypeError: it has none of its own.
    """
    text = thing.__doc__ and inspect.getdoc(thing)
    if not text or text.startswith(f"{getattr(thing, '__name__', '')}("):  # what a dataclass writes by itself
        raise TypeError(f"{thing!r} has no docstring: clients see it as its description")
    return text
