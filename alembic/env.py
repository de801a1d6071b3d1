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


def run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=_render,
        process_revision_directives=_with_sequences,
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


def _with_sequences(_context: object, _revision: object, directives: list[ops.MigrationScript]) -> None:
    """Alembic compares tables only: the records' own sequences are added here."""
    found = set(sa.inspect(context.get_bind()).get_sequence_names())
    for name in sorted(one.name for one in vars(records).values() if isinstance(one, sa.Sequence)):
        if directives and name not in found:
            script = directives[0]
            assert script.upgrade_ops is not None
            assert script.downgrade_ops is not None
            script.upgrade_ops.ops.insert(0, ops.ExecuteSQLOp(f'CREATE SEQUENCE "{name}"'))
            script.downgrade_ops.ops.append(ops.ExecuteSQLOp(f'DROP SEQUENCE "{name}"'))


run(context.config.attributes["connection"])
