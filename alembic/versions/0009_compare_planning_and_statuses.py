"""Compare planning and statuses daily

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SUBJECTS = ["MONEY", "PLANNING", "STATUSES"]
OF_MONEY = [
    "PROVIDER",
    "ENTRY_MISSING",
    "ENTRY_DIFFERS",
    "ENTRY_NOT_TOLD",
    "STATEMENT",
    "INVOICE",
    "REFUND",
    "PAYOUT",
    "LEDGER",
]
OF_OTHERS = [
    "PLACE_MISSING",
    "PLACE_UNKNOWN",
    "PLACE_DIFFERS",
    "OUTCOME_UNHEARD",
    "STATUS_NOT_TOLD",
    "STATUS_REFUSED",
]
KINDS = [
    "DOSIS_STATUS",
    "MESSAGE_MBP",
    "MESSAGE_EMAIL",
    "MESSAGE_SMS",
    "MAGDA_CHECK",
    "MAGDA_UNREGISTER",
    "ACCOUNTING_ENTRY",
    "PLANNING_BOOK",
    "PLANNING_CANCEL",
    "PAYMENT_POLL",
    "PAYMENT_REFUND",
    "CONTACT_CODE",
    "INVOICE_PDF",
    "CREDIT_NOTE_PDF",
    "WARRANT_PDF",
    "RECONCILE",
    "COMPARE_PLANNING",
    "COMPARE_STATUSES",
    "CHECK_ASK",
    "ADVICE_EMAIL",
    "STAFF_EMAIL",
    "MINUTES_CREATE",
    "MINUTES_READ",
    "MINUTES_WITHDRAW",
    "LETTER_PDF",
    "LETTER_EBOX",
    "EBOX_READ",
    "PAYOUT_SEND",
    "PAYOUT_READ",
    "PAYOUT_RECALL",
]
NEW_KINDS = ["COMPARE_PLANNING", "COMPARE_STATUSES"]


def _known(table: str, column: str, name: str, values: list[str]) -> None:
    """Let the check of a text column know these values."""
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.execute(f'ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ("{column}" IN ({listed}))')


def upgrade() -> None:
    for statement in PROCESSES_AND_TRACES:
        op.execute(statement)
    subject = sa.Enum(*SUBJECTS, name="compared_known", native_enum=False, create_constraint=True, length=40)
    op.add_column("reconciliation", sa.Column("subject", subject, server_default="MONEY", nullable=False))
    _known("difference", "kind", "differencekind_known", OF_MONEY + OF_OTHERS)
    _known("effect", "kind", "effectkind_known", KINDS)


def downgrade() -> None:
    of_others = ", ".join(f"'{one}'" for one in OF_OTHERS)
    new = ", ".join(f"'{one}'" for one in NEW_KINDS)
    # our own words
    op.execute(f"DELETE FROM difference WHERE kind IN ({of_others})")  # noqa: S608
    op.execute(f"DELETE FROM attempt WHERE effect_id IN (SELECT id FROM effect WHERE kind IN ({new}))")  # noqa: S608
    op.execute(f"DELETE FROM effect WHERE kind IN ({new})")  # noqa: S608
    op.execute("DELETE FROM reconciliation WHERE subject <> 'MONEY'")
    _known("effect", "kind", "effectkind_known", [one for one in KINDS if one not in NEW_KINDS])
    _known("difference", "kind", "differencekind_known", OF_MONEY)
    op.drop_column("reconciliation", "subject")
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
