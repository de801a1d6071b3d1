"""Keep lead times as numbers of one size

Revision 0006, after 0005. Lead times are a column of `figure` from now on: a histogram in one whole number, ten
decimal digits per bucket, which is added where the other figures are. Buckets beyond 255, of 23 years and more,
are added to that one; all else is kept to the case.

The old name stays as a view, for processes of the version before that still serve: they read it as ever. Those of
them that count can no longer write, so that their transactions are undone whole, cursor and all, and tried again
until they are replaced: nothing is lost or counted twice. A later revision takes the view away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PACKED = """
    UPDATE figure SET lead_times = packed.lead_times
      FROM (SELECT procedure_key, days, day, phase,
                   sum((number || repeat('0', 10 * least(bucket::int, 255)))::numeric) AS lead_times
              FROM leadtime, jsonb_each_text(cases) AS bucket (bucket, number)
             GROUP BY procedure_key, days, day, phase) AS packed
     WHERE (figure.procedure_key, figure.days, figure.day, figure.phase)
         = (packed.procedure_key, packed.days, packed.day, packed.phase)
"""
UNPACKED = """
    SELECT procedure_key, days, day, phase,
           (SELECT jsonb_object_agg(bucket, number)
              FROM (SELECT bucket,
                           substr(lpad(lead_times::text, 2560, '0'), 2551 - 10 * bucket, 10)::bigint AS number
                      FROM generate_series(0, 255) AS bucket) AS buckets
             WHERE number > 0) AS cases
      FROM figure
     WHERE lead_times > 0
"""


def upgrade() -> None:
    op.add_column(
        "figure", sa.Column("lead_times", sa.Numeric(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("LOCK TABLE leadtime IN ACCESS EXCLUSIVE MODE")  # after `figure`, like whoever counts
    op.execute(PACKED)
    op.drop_table("leadtime")
    op.execute(f"CREATE VIEW leadtime AS {UNPACKED}")


def downgrade() -> None:
    op.execute("LOCK TABLE figure IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER VIEW leadtime RENAME TO packed")
    op.execute(
        "CREATE TABLE leadtime (procedure_key varchar NOT NULL, days integer NOT NULL, day date NOT NULL,"
        " phase varchar NOT NULL, cases jsonb NOT NULL, PRIMARY KEY (procedure_key, days, day, phase))"
    )
    op.execute("INSERT INTO leadtime SELECT * FROM packed")
    op.execute("DROP VIEW packed")
    op.drop_column("figure", "lead_times")
