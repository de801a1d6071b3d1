"""A page over several values of a column: the first rows of each value, and of these the first.

PostgreSQL takes rows in order from an index on (status, submitted_at) for one status, not for one of several:
then it walks through all rows in the order asked, however rare those are that are wanted.
"""

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import Table

from loket.api.rendering import Rendering, select

_ONE_OF = re.compile(r"\w+\.(\w+) = ANY\((.+::text\[\])\)")
"""Only where the kind of the list is said: of a parameter alone nobody knows it when it is unnested."""
_VALUES = "(SELECT DISTINCT one AS value FROM unnest({list}) AS one WHERE length(one) BETWEEN 0 AND 1000)"
"""The length lets PostgreSQL reckon with one value in place of ten: so it makes one plan for all lists, and
does not plan over every month of events each time."""


def page_of(
    rendering: Rendering,
    t: str,
    table: Table | None,
    source: str,
    conditions: Sequence[str],
    order: Sequence[str],
    direction: str,
    limit: int,
) -> str:
    """The first `limit` rows of `source`, as `t`, in the `order` of these columns."""
    listed = {found[1]: (one, found[2]) for one in conditions if (found := _ONE_OF.fullmatch(one))}
    by = ", ".join(f"{t}.{name} {direction}" for name in order)
    columns = _beginning(table, order, listed)
    values = {name: rendering.alias() for name in columns}
    rest = [one for one in conditions if one not in {listed[name][0] for name in columns}]
    rest += [f"{t}.{name} = {each}.value" for name, each in values.items()]
    rows = select(f"{t}.*", source, " AND ".join(f"({one})" for one in rest), by, limit)
    if not columns:
        return rows
    each = (f"{_VALUES.format(list=listed[name][1])} AS {alias}" for name, alias in values.items())
    return select(f"{t}.*", f"{' CROSS JOIN '.join(each)} CROSS JOIN LATERAL {rows} AS {t}", "", by, limit)


def _beginning(table: Table | None, order: Sequence[str], listed: Iterable[str]) -> Sequence[str]:
    """The most columns of `listed` with which an index of all rows begins that goes on in this order."""
    found: Sequence[str] = ()
    sorted_by = [name.strip('"') for name in order]
    for index in table.indexes if table is not None else ():
        names = [column.name for column in index.columns]
        first, then = names[: -len(sorted_by)], names[-len(sorted_by) :]
        whole = index.dialect_options["postgresql"]["where"] is None
        if whole and then == sorted_by and set(first) <= set(listed) and len(first) > len(found):
            found = first
    return found
