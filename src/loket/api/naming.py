"""Names that clients see: global ids, and the descriptions of types, inputs and enums.

strawberry takes no description from a docstring, so the decorators here do.
"""

import binascii
import inspect
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from enum import Enum
from typing import Any, NamedTuple, TypeVar, dataclass_transform
from uuid import UUID

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

from loket.errors import ErrorCode, Refused

Field = Any
"""What declares a field, where a class body wants a value of the field's type."""

T = TypeVar("T")
E = TypeVar("E", bound=type[Enum])


class GlobalId(NamedTuple):
    """What a global id stands for: a GraphQL type and the key of a row, or of a thing in a file."""

    kind: str
    key: UUID | str


def encode_id(kind: str, key: UUID | str) -> str:
    """The opaque global id of the `kind` with `key`.

    base64url of `Kind:` and 16 bytes, or of `Kind/` and a text; `mapping` builds the same in SQL.
    """
    raw = kind.encode() + b":" + key.bytes if isinstance(key, UUID) else f"{kind}/{key}".encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_id(value: str) -> GlobalId | None:
    """What the global id `value` stands for; None where it is not one."""
    if len(value) > 200:
        return None
    try:
        raw = urlsafe_b64decode(value + "=" * (-len(value) % 4))
        colon, slash = raw.find(b":"), raw.find(b"/")
        if colon > 0 and (slash < 0 or colon < slash):
            found = GlobalId(raw[:colon].decode("ascii"), UUID(bytes=raw[colon + 1 :]))
        elif slash > 0:
            found = GlobalId(raw[:slash].decode("ascii"), raw[slash + 1 :].decode())
        else:
            return None
    except (binascii.Error, ValueError):
        return None
    return found if encode_id(*found) == value else None


def decode_id(value: str, kind: str, *, path: list[str] | None = None) -> UUID:
    """The key in the global id `value` of a `kind`.

    Raises:
        Refused: NOT_FOUND, as for an id that does not exist: it is malformed or of another type.
    """
    found = read_id(value)
    if found is None or found.kind != kind or not isinstance(found.key, UUID):
        raise Refused(ErrorCode.NOT_FOUND, path=path)
    return found.key


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
