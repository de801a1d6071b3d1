"""Compare planning and statuses daily

Revision 0009, after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in PROCESSES_AND_TRACES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE process")
    op.execute("ALTER TABLE event DROP COLUMN trace")
    op.execute("DROP VIEW everyeffect")
    op.execute("ALTER TABLE effect DROP COLUMN trace")
    op.execute("ALTER TABLE effectarchive DROP COLUMN trace")
    op.execute("CREATE VIEW everyeffect AS SELECT * FROM effect UNION ALL SELECT * FROM effectarchive")


# --- who runs, and what belongs together --------------------------------------------------------

PROCESSES_AND_TRACES = (
    """CREATE TABLE process (
        id uuid PRIMARY KEY,
        kind varchar(40) NOT NULL CONSTRAINT processkind_known CHECK (kind IN ('API', 'WORKER')),
        name varchar NOT NULL,
        version varchar NOT NULL,
        started_at timestamptz NOT NULL,
        beat_at timestamptz NOT NULL,
        counted jsonb DEFAULT '[]'::jsonb NOT NULL
    )""",
    "ALTER TABLE event ADD COLUMN trace uuid",
    "ALTER TABLE effect ADD COLUMN trace varchar",
    "ALTER TABLE effectarchive ADD COLUMN trace varchar",
    "CREATE OR REPLACE VIEW everyeffect AS SELECT * FROM effect UNION ALL SELECT * FROM effectarchive",
)
