"""The pieces of an answer that look at other rows: one, a short list, or those named by their keys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from loket.api.mapping import column_name, quote, table_name
from loket.api.pieces import Object, Piece
from loket.api.reads import EVERYBODY, LARGEST_PAGE, Entity, Listed, One
from loket.api.rendering import (
    KIND,
    BadArgument,
    Binding,
    Finishing,
    Rendering,
    Row,
    Site,
    key_of,
    parameter,
    select,
)
from loket.ids import GlobalId, read_id


class Rows:
    """The rows of an entity that a viewer may see."""

    def __init__(self, entity: Entity, policy: str, key_cast: str) -> None:
        self.entity = entity
        self.table = None if entity.table is None else table_name(entity.table)
        self.key = column_name(entity.key)
        self.key_cast = key_cast
        self.within = None if entity.within is None else column_name(entity.within)
        self.policy = policy

    def source(self, alias: str) -> str:
        return f"(SELECT 1) AS {alias}" if self.table is None else f"{self.table} AS {alias}"

    def conditions(self, rendering: Rendering, t: str, asked: Iterable[str]) -> list[str]:
        """What is asked of the rows, and what the viewer's place asks of them."""
        return [one for one in (*asked, rendering.fill(self.policy, t=t)) if one != EVERYBODY]

    def where(self, rendering: Rendering, t: str, asked: Iterable[str]) -> str:
        return " AND ".join(f"({one})" for one in self.conditions(rendering, t, asked))


class OneOf(Piece):
    """A related row, or null."""

    def __init__(self, content: Object, rows: Rows, join: str | None, source: One, site: Site | None) -> None:
        self.content = content
        self.bound = content.bound or site is not None
        self.finished = content.finished
        self._rows = rows
        self._join = join
        self._order = source.order
        self._lookups = source.lookups
        self._site = site

    def bind(self, binding: Binding) -> None:
        if self._site is not None:
            given = self._site.arguments(binding.variables)
            for name, lookup in self._lookups.items():
                value = given.get(name)
                if lookup.by_id is not None:
                    value = key_of(value, lookup.by_id)
                binding.values[self._site.index, name] = parameter(value, self._site.node)
        if self.content.bound:
            self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        conditions = [] if self._join is None else [rendering.fill(self._join, t=inner, parent=t)]
        if self._site is not None:
            conditions += [
                rendering.fill(lookup.sql, t=inner, value=rendering.slot((self._site.index, name)))
                for name, lookup in self._lookups.items()
            ]
        where = self._rows.where(rendering, inner, conditions)
        made = self.content.render(rendering, inner)
        source = self._rows.source(inner)
        if self._order is None:
            return select(made, source, where, limit=1)
        order = rendering.fill(self._order, t=inner)
        return select(made, f"{select(f'{inner}.*', source, where, order, 1)} AS {inner}")

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        self.content.finish(row, key, needs, finishing)


class ListOf(Piece):
    """All related rows of a short list."""

    def __init__(self, content: Object, rows: Rows, join: str | None, source: Listed) -> None:
        self.content = content
        self.bound = content.bound
        self.finished = content.finished
        self._rows = rows
        self._join = join
        self._order = source.order
        self._at_most = source.at_most

    def bind(self, binding: Binding) -> None:
        self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        conditions = [] if self._join is None else [rendering.fill(self._join, t=inner, parent=t)]
        page = select(
            f"{inner}.*",
            self._rows.source(inner),
            self._rows.where(rendering, inner, conditions),
            rendering.fill(self._order, t=inner),
            self._at_most,
        )
        made = self.content.render(rendering, inner)
        return select(f"coalesce(json_agg({made}), '[]'::json)", f"{page} AS {inner}")

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for one in row[key]:
            self.content.finish_row(one, finishing)


class Found(Piece):
    """`node` and `nodes`: objects of any type by global id."""

    def __init__(self, contents: Mapping[str, tuple[Object, Rows]], site: Site, *, several: bool) -> None:
        self.contents = contents
        self.bound = True
        self.finished = any(content.finished for content, _ in contents.values())
        self._site = site
        self._several = several

    def bind(self, binding: Binding) -> None:
        given = self._site.arguments(binding.variables)
        ids = given["ids"] if self._several else [given["id"]]
        if len(ids) > LARGEST_PAGE:
            raise BadArgument(f"At most {LARGEST_PAGE} ids at once.", self._site.node)
        kinds, keys = [], []
        for value in ids:
            found = read_id(value)
            known = found is not None and self._can_be(found)
            kinds.append(found.kind if found is not None and known else "")
            keys.append(str(found.key) if found is not None and known else "")
        index = self._site.index
        binding.shapes[index] = tuple(sorted(set(kinds)))
        binding.values[index, "kinds"] = kinds if self._several else kinds[0]
        binding.values[index, "keys"] = keys if self._several else keys[0]
        for kind in set(kinds) - {""}:
            content, _ = self.contents[kind]
            if content.bound:
                content.bind(binding)

    def _can_be(self, found: GlobalId) -> bool:
        """Whether an object of ours can have this id: of a known type, with a key as that type has them."""
        if found.kind not in self.contents or "\x00" in str(found.key):
            return False
        _, rows = self.contents[found.kind]
        return isinstance(found.key, UUID) is (rows.key_cast == "uuid")

    def render(self, rendering: Rendering, t: str) -> str:
        index = self._site.index
        kinds = [kind for kind in rendering.shapes[index] if kind]
        if not self._several:
            return self._row(rendering, kinds[0], rendering.slot((index, "keys"))) if kinds else "NULL"
        k = rendering.alias()
        source = (
            f"unnest({rendering.slot((index, 'kinds'))}::text[], {rendering.slot((index, 'keys'))}::text[])"
            f" WITH ORDINALITY AS {k}(kind, key, place)"
        )
        cases = " ".join(
            f"WHEN {quote(kind)} THEN {self._row(rendering, kind, f'{k}.key')}" for kind in kinds
        )
        made = f"CASE {k}.kind {cases} END" if cases else "NULL::json"
        return select(f"coalesce(json_agg({made} ORDER BY {k}.place), '[]'::json)", source)

    def _row(self, rendering: Rendering, kind: str, key: str) -> str:
        content, rows = self.contents[kind]
        t = rendering.alias()
        where = rows.where(rendering, t, [f"{t}.{rows.key} = {key}::text::{rows.key_cast}"])
        return select(content.render(rendering, t), rows.source(t), where)

    def _each(self, row: Row, key: str, values: Mapping[Any, Any]) -> Iterable[tuple[str, Row]]:
        kinds = values[self._site.index, "kinds"]
        found = row[key] if self._several else [row[key]]
        return (
            (kind, one)
            for kind, one in zip(kinds if self._several else [kinds], found, strict=True)
            if one is not None
        )

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for kind, one in self._each(row, key, finishing.values):
            content, _ = self.contents[kind]
            if content.finished:
                content.finish_row(one, finishing)

    def mark(self, row: Row, key: str, values: Mapping[Any, Any]) -> None:
        """Tell each row its type."""
        for kind, one in self._each(row, key, values):
            one[KIND] = kind


class ByKeys(Piece):
    """Rows that a payload or an event names by key: one, or those of a list that the viewer may see.

    `placed`: each comes as a pair with the place of its key in the list, counted from 1.
    """

    def __init__(self, content: Object, rows: Rows, *, several: bool, placed: bool = False) -> None:
        self.content = content
        self.bound = content.bound
        self.finished = content.finished
        self._rows = rows
        self._several = several
        self._placed = placed

    def bind(self, binding: Binding) -> None:
        self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        named = {"key": (self._rows.key, rendering.slot(("", "keys")), self._rows.key_cast)}
        if self._rows.within is not None:
            named["within"] = (self._rows.within, rendering.slot(("", "within")), "uuid")
        if not self._several:
            given = [f"{inner}.{column} = {slot}::{kind}" for column, slot, kind in named.values()]
            where = self._rows.where(rendering, inner, given)
            return select(self.content.render(rendering, inner), self._rows.source(inner), where)
        k = rendering.alias()
        lists = ", ".join(f"{slot}::{kind}[]" for _, slot, kind in named.values())
        equal = " AND ".join(f"{inner}.{column} = {k}.{name}" for name, (column, *_) in named.items())
        source = (
            f"unnest({lists}) WITH ORDINALITY AS {k}({', '.join(named)}, place)"
            f" JOIN {self._rows.source(inner)} ON {equal}"
        )
        made = self.content.render(rendering, inner)
        if self._placed:
            made = f"json_build_array({k}.place, {made})"
        where = self._rows.where(rendering, inner, [])
        return select(f"coalesce(json_agg({made} ORDER BY {k}.place), '[]'::json)", source, where)

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        if self._placed:
            for _, one in row[key]:
                self.content.finish_row(one, finishing)
            return
        for one in (row[key] or ()) if self._several else filter(None, [row[key]]):
            self.content.finish_row(one, finishing)
