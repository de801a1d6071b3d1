"""The pieces of an answer: each knows the SQL of its value, its arguments, and what Python must finish.

`compiler` puts them together from a selection. Those that look at other rows are in `rows` and `pages`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loket.api.mapping import quote
from loket.api.reads import Computed
from loket.api.rendering import NEEDS, Binding, Finishing, Rendering, Row, Site, build_object, select
from loket.errors import UnknownVersion


class Piece(ABC):
    """A part of an answer. `bound`: it holds arguments; `finished`: Python has work to do on it."""

    bound = False
    finished = False

    def bind(self, binding: Binding) -> None:  # noqa: B027  # most hold no arguments
        """Put the arguments in here and below into `binding`."""

    @abstractmethod
    def render(self, rendering: Rendering, t: str) -> str:
        """The SQL of this value, in a row of the table named `t`."""

    def finish(  # noqa: B027  # most are finished as they come from the database
        self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing
    ) -> None:
        """Finish `row[key]`."""


class Template(Piece):
    def __init__(self, sql: str) -> None:
        self.sql = sql

    def render(self, rendering: Rendering, t: str) -> str:
        return rendering.fill(self.sql, t=t)


class Fixed(Piece):
    """The same in every row: the name of a type, or null for what is not for the viewer."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def render(self, rendering: Rendering, t: str) -> str:
        return "NULL" if self.value is None else quote(self.value)


class Number(Template):
    """A Float: PostgreSQL writes 1 where GraphQL writes 1.0."""

    finished = True

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        if row[key] is not None:
            row[key] = float(row[key])


class Made(Piece):
    """A computed field: what it needs comes with the row; the null in its place keeps the order of keys."""

    finished = True

    def __init__(
        self,
        source: Computed,
        needs: Mapping[str, int],
        shape: Callable[[Any], Any] | None,
        site: Site | None,
        names: Mapping[str, str],
    ) -> None:
        self.bound = site is not None
        self._function = source.function
        self._needs = needs
        self._shape = shape
        self._site = site
        self._names = names

    def bind(self, binding: Binding) -> None:
        if self._site is not None:
            given = self._site.arguments(binding.variables)
            binding.values[self._site.index] = {self._names[name]: value for name, value in given.items()}

    def render(self, rendering: Rendering, t: str) -> str:
        return "NULL"

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        given = finishing.values[self._site.index] if self._site else {}
        mine = {name: needs[index] for name, index in self._needs.items()}
        try:
            value = self._function(mine, finishing.viewer, **given)
            row[key] = value if self._shape is None else self._shape(value)
        except UnknownVersion:
            raise  # the row is read once more when it is known
        except Exception as fault:  # noqa: BLE001  # becomes this field's error, as in a resolver
            row[key] = fault
            finishing.faulty = True


class Object(Piece):
    """The selected fields of one type over one row."""

    def __init__(self) -> None:
        self.members: list[tuple[str, Piece]] = []
        self._needs: dict[str, int] = {}

    def need(self, template: str) -> int:
        """The place at which the row carries `template`."""
        return self._needs.setdefault(template, len(self._needs))

    def close(self) -> None:
        """No more members: what must be bound and finished is known."""
        self.bound = any(piece.bound for _, piece in self.members)
        self.finished = bool(self._needs) or any(piece.finished for _, piece in self.members)
        self._binding = [piece for _, piece in self.members if piece.bound]
        self._finishing = [(key, piece) for key, piece in self.members if piece.finished]

    def bind(self, binding: Binding) -> None:
        for piece in self._binding:
            piece.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        pairs = [(key, piece.render(rendering, t)) for key, piece in self.members]
        if self._needs:
            needs = ", ".join(rendering.fill(template, t=t) for template in self._needs)
            pairs.append((NEEDS, f"json_build_array({needs})"))
        return build_object(pairs)

    def finish_row(self, row: Row, finishing: Finishing) -> None:
        needs = row.pop(NEEDS, ())
        for key, piece in self._finishing:
            piece.finish(row, key, needs, finishing)

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        if row[key] is not None:
            self.finish_row(row[key], finishing)


class PartOf(Piece):
    """An object out of the same row."""

    def __init__(self, content: Object, unless: str | None) -> None:
        self.content = content
        self.finished = content.finished
        self._unless = unless

    def render(self, rendering: Rendering, t: str) -> str:
        made = self.content.render(rendering, t)
        if self._unless is None:
            return made
        return f"CASE WHEN {rendering.fill(self._unless, t=t)} THEN NULL ELSE {made} END"

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        self.content.finish(row, key, needs, finishing)


class Elements(Piece):
    """The elements of a JSON array."""

    def __init__(self, content: Object, array: str, *, sure: bool) -> None:
        self.content = content
        self.finished = content.finished
        self._array = array
        self._sure = sure

    def render(self, rendering: Rendering, t: str) -> str:
        array = rendering.fill(self._array, t=t)
        inner = rendering.alias()
        made = self.content.render(rendering, f"{inner}.value")
        listed = f"json_agg({made} ORDER BY {inner}.place)"
        if self._sure:
            listed = f"coalesce({listed}, '[]'::json)"
        else:
            listed = f"CASE WHEN {array} IS NULL THEN NULL ELSE coalesce({listed}, '[]'::json) END"
        return select(
            listed,
            f"jsonb_array_elements(CASE jsonb_typeof({array}) WHEN 'array' THEN {array} END)"
            f" WITH ORDINALITY AS {inner}(value, place)",
        )

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for one in row[key] or ():
            self.content.finish_row(one, finishing)
