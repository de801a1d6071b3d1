"""From a tree of pieces to one SQL statement that returns the answer's JSON.

A plan belongs to one operation, one scope of viewers and one outcome of its @skip and @include. `bind` puts
the variables in: values become parameters, and what changes the statement itself (page sizes, orders, which
filters are given) is its shape, for which the text is made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError
from graphql.execution.values import VariableValues

from loket.api.kept import Kept
from loket.api.pieces import Fixed, Object
from loket.api.rendering import Binding, Finishing, Rendering, Row, Shape, build_object, plain
from loket.api.rows import Found

STATEMENTS = 5_000
STATEMENT_CHARACTERS = 20_000_000
"""Of all kept statements together."""


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    parameters: Sequence[object]


Statements = Kept[Any, Statement]
"""Of all plans, by plan and shape."""


def statements() -> Statements:
    return Kept(STATEMENTS, STATEMENT_CHARACTERS)


@dataclass(slots=True)
class Bound:
    """A plan with the values of one request. `failures`: root fields whose arguments cannot be."""

    statement: Statement
    values: dict[Any, Any]
    parameters: list[Any]
    failures: dict[str, GraphQLError]


class Plan:
    """`complete`: every root field is in the map. `direct`: no execution is needed after finishing."""

    def __init__(self, top: Object, statements: Statements, *, complete: bool, direct: bool) -> None:
        self.complete = complete
        self.direct = direct
        self.finished = top.finished
        self.keys = [key for key, _ in top.members]
        fixed = {key: piece.value for key, piece in top.members if isinstance(piece, Fixed)}
        self.known = fixed if len(fixed) == len(top.members) else None
        """The whole answer, where no row is asked for."""
        self._top = top
        self._statements = statements

    def bind(
        self,
        variables: VariableValues,
        viewer: Any,  # noqa: ANN401  # the application's
        keys: Any = None,  # noqa: ANN401  # one or several
        within: Any = None,  # noqa: ANN401  # the same
    ) -> Bound:
        """The statement and its parameters; `keys` for a plan of named rows, `within` see `reads.Entity`."""
        binding = Binding(variables, viewer)
        failures: dict[str, GraphQLError] = {}
        for key, piece in self._top.members:
            if piece.bound:
                try:
                    piece.bind(binding)
                except GraphQLError as fault:
                    failures[key] = fault
        shape = (self, tuple(binding.shapes.items()), tuple(failures))
        statement = self._statements.get(shape)
        if statement is None:
            statement = self._render(binding.shapes, failures)
            self._statements.put(shape, statement, len(statement.text))
        binding.values["", "keys"] = keys
        binding.values["", "within"] = within
        values = binding.values
        parameters = [
            plain(getattr(viewer, one)) if isinstance(one, str) else values[one]
            for one in statement.parameters
        ]
        return Bound(statement, values, parameters, failures)

    def finish(self, data: Row, bound: Bound, viewer: object) -> bool:
        """Finish what PostgreSQL answered. False: an error stands in it, so it must be executed."""
        finishing = Finishing(viewer, bound.values)
        for key, piece in self._top.members:
            if piece.finished and key not in bound.failures:
                piece.finish(data, key, (), finishing)
        return not finishing.faulty

    def prepare(self, data: Row, bound: Bound) -> None:
        """Make finished `data` the root value of an execution."""
        data.update(bound.failures)
        for key, piece in self._top.members:
            if isinstance(piece, Found) and key not in bound.failures:
                piece.mark(data, key, bound.values)

    def _render(self, shapes: Mapping[int, Shape], failures: Mapping[str, object]) -> Statement:
        rendering = Rendering(shapes)
        pairs = [
            (key, "NULL" if key in failures else piece.render(rendering, ""))
            for key, piece in self._top.members
        ]
        return Statement(f"SELECT {build_object(pairs)} AS answer", rendering.parameters)
