"""Connections: keyset pages, whose rows are fetched once for edges, nodes and the page's place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loket.api import cursors
from loket.api.mapping import quote
from loket.api.pieces import Object, Piece
from loket.api.ranges import page_of
from loket.api.reads import DEFAULT_PAGE, LARGEST_PAGE, Many
from loket.api.rendering import (
    BadArgument,
    Binding,
    Finishing,
    Rendering,
    Row,
    Shape,
    Site,
    build_object,
    key_of,
    parameter,
    select,
)
from loket.api.rows import Rows

ROW, FETCHED = '"#"', '"##"'
"""Columns of a page: a row's number, and how many were fetched (one more than asked tells of a next page)."""


@dataclass(slots=True)
class PageParts:
    """What is selected of a connection, by response key."""

    members: list[tuple[str, str, Any]] = field(default_factory=list)
    """(response key, field, content): of nodes an Object, of edges and pageInfo again such members."""


class Page(Piece):
    """A connection: keyset pages in the order chosen, with the rows fetched once."""

    def __init__(
        self, parts: PageParts, rows: Rows, join: str | None, source: Many, site: Site, page: "PageFacts"
    ) -> None:
        self._parts = parts
        self._rows = rows
        self._join = join
        self._orders = source.orders
        self._site = site
        self._facts = page
        self._contents = [*self._objects()]
        self.bound = True
        self.finished = any(one.finished for one in self._contents)
        self._fixed: tuple[Shape, dict[Any, Any]] | None = None

    def _objects(self) -> Iterable[Object]:
        for _, kind, content in self._parts.members:
            if kind == "nodes":
                yield content
            elif kind == "edges":
                yield from (one for _, name, one in content if name == "node")

    # --- arguments

    def bind(self, binding: Binding) -> None:
        if self._fixed is None:
            shape, values = self._read(self._site.arguments(binding.variables))
            if self._site.fixed is not None:
                self._fixed = shape, values
        else:
            shape, values = self._fixed
        binding.shapes[self._site.index] = shape
        binding.values.update(values)
        for content in self._contents:
            if content.bound:
                content.bind(binding)

    def _read(self, given: Mapping[str, Any]) -> tuple[Shape, dict[Any, Any]]:
        first, last = given.get("first"), given.get("last")
        if first is not None and last is not None:
            raise BadArgument("Give first or last, not both.", self._site.node)
        size = first if first is not None else last if last is not None else DEFAULT_PAGE
        if not 1 <= size <= LARGEST_PAGE:
            raise BadArgument(f"A page has 1 to {LARGEST_PAGE} items.", self._site.node)
        chosen = given.get("orderBy")
        order = next(iter(self._orders.choices)) if chosen is None else str(chosen.value)
        values: dict[Any, Any] = {}
        for side in ("after", "before"):
            if given.get(side) is not None:
                self._read_cursor(given[side], order, side, values)
        asked = []
        for name, value in (given.get("filter") or {}).items():
            if value is not None:
                rule = self._facts.filters[name]
                wanted = key_of(value, rule.by_id) if rule.by_id is not None else value
                values[self._site.index, "filter", name] = parameter(wanted, self._site.node)
                asked.append(name)
        sides = tuple(side for side in ("after", "before") if given.get(side) is not None)
        return (size, last is not None, order, sides, tuple(asked)), values

    def _read_cursor(self, cursor: str, order: str, side: str, values: dict[Any, Any]) -> None:
        kinds = [kind for _, kind in self._facts.sorts[order]]
        try:
            found = cursors.read(cursor, self._facts.scope + order, kinds)
        except cursors.WrongCursor as fault:
            message = f"The cursor in {side} does not belong to this list in this order."
            raise BadArgument(message, self._site.node) from fault
        values.update({(self._site.index, side, number): value for number, value in enumerate(found)})

    # --- the statement

    def render(self, rendering: Rendering, t: str) -> str:
        size, backwards, order, sides, asked = rendering.shapes[self._site.index]
        inner = rendering.alias()
        sorts = self._facts.sorts[order]
        down = self._orders.choices[order].descending
        base = [] if self._join is None else [rendering.fill(self._join, t=inner, parent=t)]
        base += [
            rendering.fill(
                self._facts.filters[name].sql,
                t=inner,
                value=rendering.slot((self._site.index, "filter", name)),
            )
            for name in asked
        ]
        conditions = self._rows.conditions(rendering, inner, base)
        bounds = {side: self._bound(rendering, inner, sorts, side, down=down) for side in sides}
        direction = "DESC" if down != backwards else "ASC"
        page = page_of(
            rendering,
            inner,
            self._rows.entity.table,
            self._rows.source(inner),
            [*conditions, *bounds.values()],
            [name for name, _ in sorts],
            direction,
            size + 1,
        )
        fetched = f", count(*) OVER () AS {FETCHED}" if self._wants("endCursor", "startCursor") else ""
        numbered = select(f"{inner}.*, row_number() OVER () AS {ROW}{fetched}", f"{page} AS {inner}")
        cursor = cursors.write(self._facts.scope + order, [(f"{inner}.{name}", kind) for name, kind in sorts])
        frame = Frame(inner, size, cursor, self._rows.source(inner), conditions, bounds, backwards=backwards)
        pairs = [
            (key, self._member(rendering, kind, content, frame)) for key, kind, content in self._parts.members
        ]
        if all(kind in {"totalCount", "__typename"} for _, kind, _ in self._parts.members):
            return build_object(pairs)
        # the empty grouping set makes one row of a page of which nothing is asked that sums it up
        return select(build_object(pairs), f"{numbered} AS {inner} GROUP BY ()")

    def _wants(self, *names: str) -> bool:
        return any(
            name in names
            for _, kind, content in self._parts.members
            if kind == "pageInfo"
            for _, name in content
        )

    def _bound(
        self, rendering: Rendering, t: str, sorts: Sequence[tuple[str, str]], side: str, *, down: bool
    ) -> str:
        columns = ", ".join(f"{t}.{name}" for name, _ in sorts)
        values = ", ".join(
            f"{rendering.slot((self._site.index, side, number))}::{kind}"
            for number, (_, kind) in enumerate(sorts)
        )
        sign = "<" if (side == "after") == down else ">"
        return f"({columns}) {sign} ({values})"

    def _member(self, rendering: Rendering, kind: str, content: Any, frame: "Frame") -> str:  # noqa: ANN401  # by kind
        match kind:
            case "nodes":
                return frame.listed(content.render(rendering, frame.t))
            case "edges":
                return frame.listed(
                    build_object(
                        [
                            (key, one.render(rendering, frame.t) if name == "node" else frame.edge(name, one))
                            for key, name, one in content
                        ]
                    )
                )
            case "pageInfo":
                return build_object([(key, frame.info(name)) for key, name in content])
            case "totalCount":
                return select("count(*)", frame.source, frame.where())
            case _:
                return quote(content)

    # --- finishing

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        page = row[key]
        for name, kind, content in self._parts.members:
            if kind == "nodes" and content.finished:
                for one in page[name]:
                    content.finish_row(one, finishing)
            elif kind == "edges":
                for inner, what, node in content:
                    if what == "node" and node.finished:
                        for edge in page[name]:
                            node.finish_row(edge[inner], finishing)


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a connection needs to know of its rows. `scope` names the list in its cursors."""

    scope: str
    sorts: Mapping[str, Sequence[tuple[str, str]]]
    filters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """One page within a statement."""

    t: str
    size: int
    cursor: str
    source: str
    conditions: Sequence[str]
    bounds: Mapping[str, str]
    backwards: bool

    def listed(self, made: str) -> str:
        order = f" ORDER BY {self.t}.{ROW} DESC" if self.backwards else ""
        return f"coalesce(json_agg({made}{order}) FILTER (WHERE {self.t}.{ROW} <= {self.size}), '[]'::json)"

    def edge(self, name: str, kind: str) -> str:
        return self.cursor if name == "cursor" else quote(kind)

    def info(self, name: str) -> str:
        match name:
            case "hasNextPage":
                return self._beyond("before") if self.backwards else self._more()
            case "hasPreviousPage":
                return self._more() if self.backwards else self._beyond("after")
            case "startCursor":
                return self._end() if self.backwards else self._start()
            case "endCursor":
                return self._start() if self.backwards else self._end()
            case _:
                return quote("PageInfo")

    def _more(self) -> str:
        return f"count(*) > {self.size}"

    def _beyond(self, side: str) -> str:
        """Whether there is anything on the other side of the cursor, the item at it included."""
        if side not in self.bounds:
            return "FALSE"
        return f"EXISTS {select('1', self.source, self.where(f'NOT ({self.bounds[side]})'))}"

    def where(self, *also: str) -> str:
        return " AND ".join(f"({one})" for one in (*self.conditions, *also))

    def _start(self) -> str:
        return f"max({self.cursor}) FILTER (WHERE {self.t}.{ROW} = 1)"

    def _end(self) -> str:
        last = f"least({self.t}.{FETCHED}, {self.size})"
        return f"max({self.cursor}) FILTER (WHERE {self.t}.{ROW} = {last})"
