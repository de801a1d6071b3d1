"""How alembic reaches the database and compares it with the records. Called through `loket migrate`."""

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlmodel import AutoString, SQLModel

from loket import records

XID8 = type(records.Event.__table__.c.xid.type)  # type: ignore[attr-defined]  # SQLModel's stubs hide it
ischema_names["xid8"] = XID8

for table in SQLModel.metadata.tables.values():
    for column in table.primary_key.columns:
        if isinstance(column.type, sa.Integer) and column.default is not None:
            column.autoincrement = False  # SQLAlchemy knows by the default, which a revision does not carry
    for key in table.foreign_key_constraints:
        key.use_alter = False  # alembic leaves those out of a revision


def run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=_render,
        process_revision_directives=_with_the_rest,
        include_name=_is_no_month,
        compare_server_default=False,  # '{}'::jsonb and its like; the test of drift compares the catalogues
    )
    with context.begin_transaction():
        # One migrates, the others wait and then find nothing to do. The number is Loket's own.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(5057531)"))
        context.run_migrations()


def _render(kind: str, item: object, autogen: AutogenContext) -> str | bool:
    """Types of ours and of SQLModel as what they are in the database: a revision imports nothing of Loket."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    if kind == "type" and isinstance(item, XID8):
        return "Xid8()"
    return False


def _is_no_month(name: str | None, kind: str, _parents: object) -> bool:
    """Months of a table come and go while Loket runs: no record has them, and no revision drops them."""
    is_one = sa.text("SELECT coalesce(bool_or(relispartition), false) FROM pg_class WHERE relname = :name")
    return kind != "table" or not context.get_bind().execute(is_one, {"name": name}).scalar_one()


def _with_the_rest(_context: object, _revision: object, directives: list[ops.MigrationScript]) -> None:
    """Alembic compares tables only: the records' sequences, and the one row of the feed, are added here."""
    if not directives:
        return
    up, down = directives[0].upgrade_ops, directives[0].downgrade_ops
    assert up is not None
    assert down is not None
    inspector = sa.inspect(context.get_bind())
    found = set(inspector.get_sequence_names())
    for name in sorted(one.name for one in vars(records).values() if isinstance(one, sa.Sequence)):
        if name not in found:
            up.ops.insert(0, ops.ExecuteSQLOp(f'CREATE SEQUENCE "{name}"'))
            down.ops.append(ops.ExecuteSQLOp(f'DROP SEQUENCE "{name}"'))
    if not inspector.has_table("feedepoch"):
        up.ops.append(ops.ExecuteSQLOp("INSERT INTO feedepoch (id, epoch) VALUES (1, 1)"))


run(context.config.attributes["connection"])
