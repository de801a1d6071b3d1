"""Let procedures be published and followed

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

EVENT_TYPES = [
    "SUBMITTED",
    "SCREENING_STARTED",
    "REFERRED",
    "ADMISSIBLE",
    "INADMISSIBLE",
    "INFORMATION_REQUESTED",
    "INFORMATION_REMINDED",
    "INFORMATION_SUPPLIED",
    "INFORMATION_LAPSED",
    "CO_APPLICANT_ASKED",
    "CO_APPLICANT_REMINDED",
    "CO_APPLICANT_CONFIRMED",
    "CO_APPLICANT_REFUSED",
    "CO_APPLICANT_LAPSED",
    "ASSESSMENT_STARTED",
    "CHECK_STARTED",
    "CHECK_ANSWERED",
    "CHECK_FAILED",
    "CHECK_REPLACED",
    "ADVICE_REQUESTED",
    "ADVICE_REMINDED",
    "ADVICE_GIVEN",
    "ADVICE_LAPSED",
    "ADVICE_WITHDRAWN",
    "ADVICE_COMPLETE",
    "DECISION_PENDING",
    "DECISION_PREPARED",
    "DECISION_SENT",
    "DECISION_ON_AGENDA",
    "DECISION_POSTPONED",
    "DECISION_MODIFIED",
    "DECISION_SIGNED",
    "DECISION_WITHDRAWN",
    "LETTER_SENT",
    "APPROVED",
    "PARTLY_APPROVED",
    "REJECTED",
    "STAGE_PASSED",
    "PAYMENT_DUE",
    "PAYMENT_RECEIVED",
    "PAID",
    "PAYMENT_REMINDED",
    "DEFAULT_NOTICE_SENT",
    "HANDED_OVER",
    "WRITTEN_OFF",
    "INVOICE_CREDITED",
    "CHARGED_BACK",
    "CHARGEBACK_REVERSED",
    "REFUND_DUE",
    "REFUNDED",
    "SLOT_NEEDED",
    "SLOT_REMINDED",
    "PLANNED",
    "RESCHEDULED",
    "SLOT_MOVED",
    "SLOT_LOST",
    "DELIVERY_PENDING",
    "DELIVERED",
    "MISSED",
    "PAYOUT_DUE",
    "PAYOUT_ORDERED",
    "PAYOUT_APPROVED",
    "PAYOUT_DECLINED",
    "PAYOUT_CANCELLED",
    "PAYOUT_SENT",
    "PAYOUT_REJECTED",
    "PAYOUT_RETURNED",
    "PAYOUT_IN_DOUBT",
    "ACCOUNT_NEEDED",
    "ACCOUNT_CORRECTED",
    "ACCOUNT_LAPSED",
    "PAID_OUT",
    "COMPLETED",
    "VALIDITY_ENDING",
    "VALIDITY_ENDED",
    "RENEWAL_OFFERED",
    "DEPOSIT_RETURNED",
    "WITHDRAWN",
    "CANCELLED",
    "REOPENED",
    "ASSIGNED",
    "RELEASED",
    "NOTE_ADDED",
    "SUSPENDED",
    "RESUMED",
    "TERM_EXTENDED",
    "TERM_LAPSED",
    "TASK_OPENED",
    "TASK_DONE",
    "EFFECT_DONE",
    "EFFECT_RETRIED",
    "EFFECT_PARKED",
    "EFFECT_SKIPPED",
]
NEW_EVENT_TYPES = [
    "CO_APPLICANT_ASKED",
    "CO_APPLICANT_REMINDED",
    "CO_APPLICANT_CONFIRMED",
    "CO_APPLICANT_REFUSED",
    "CO_APPLICANT_LAPSED",
    "VALIDITY_ENDING",
    "VALIDITY_ENDED",
    "RENEWAL_OFFERED",
    "DEPOSIT_RETURNED",
]
TIMER_KINDS = [
    "ANSWER",
    "ANSWER_REMINDER",
    "CO_APPLICANT_REMINDER",
    "CO_APPLICANT_END",
    "ADVICE_REMINDER",
    "ADVICE_END",
    "MINUTES_POLL",
    "SUCCESSOR_END",
    "NOTIFY_END",
    "EBOX_POLL",
    "LETTER_BATCH",
    "PAYOUT_POLL",
    "PAYOUT_END",
    "TERM",
    "TERM_ALARM",
    "PAYMENT_REMINDER",
    "DEFAULT_NOTICE",
    "PAYMENT_END",
    "CHECKOUT_POLL",
    "SLOT_REMINDER",
    "SLOT_END",
    "HOLD_END",
    "DELIVERY_UNCONFIRMED",
    "VALIDITY_REMINDER",
    "VALIDITY_END",
    "RENEWAL",
    "DEPOSIT_END",
    "DRAFT_END",
    "RECONCILIATION",
]
NEW_TIMER_KINDS = [
    "CO_APPLICANT_REMINDER",
    "CO_APPLICANT_END",
    "VALIDITY_REMINDER",
    "VALIDITY_END",
    "RENEWAL",
    "DEPOSIT_END",
]
IMMUTABLE = """
    CREATE FUNCTION loket_published_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a published procedure is never changed: publish a next version';
    END $$
"""


def _known(table: str, column: str, name: str, values: list[str]) -> None:
    """Let the check of a text column know these values."""
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(name, table, f"{column} IN ({listed})")


class Xid8(sa.types.UserDefinedType):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade() -> None:
    _known("event", "type", "eventtype_known", EVENT_TYPES)
    _known("timer", "kind", "timerkind_known", TIMER_KINDS)
    op.create_table(
        "figure",
        sa.Column("procedure_key", sa.String(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("cases_in", sa.Integer(), nullable=False),
        sa.Column("cases_out", sa.Integer(), nullable=False),
        sa.Column("transitions", sa.Integer(), nullable=False),
        sa.Column("by_hand", sa.Integer(), nullable=False),
        sa.Column("effects_done", sa.Integer(), nullable=False),
        sa.Column("effects_retried", sa.Integer(), nullable=False),
        sa.Column("effects_parked", sa.Integer(), nullable=False),
        sa.Column("messages_sent", sa.Integer(), nullable=False),
        sa.Column("messages_failed", sa.Integer(), nullable=False),
        sa.Column("overdue", sa.Integer(), nullable=False),
        sa.Column("happy", sa.Integer(), nullable=False),
        sa.Column("neutral", sa.Integer(), nullable=False),
        sa.Column("unhappy", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("procedure_key", "days", "day", "phase"),
    )
    op.create_table(
        "follower",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "leadtime",
        sa.Column("procedure_key", sa.String(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("cases", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("procedure_key", "days", "day", "phase"),
    )
    op.create_table(
        "coapplication",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "ASKED",
                "CONFIRMED",
                "REFUSED",
                "LAPSED",
                "WITHDRAWN",
                name="coapplicationstatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remark", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("case_id", "round"),
    )
    op.create_index(op.f("ix_coapplication_person_id"), "coapplication", ["person_id"], unique=False)
    op.create_table(
        "experience",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("procedure_key", sa.String(), nullable=False),
        sa.Column(
            "feeling",
            sa.Enum(
                "HAPPY",
                "NEUTRAL",
                "UNHAPPY",
                name="feeling_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("remark", sa.String(), nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.PrimaryKeyConstraint("case_id", "phase"),
    )
    op.create_index(
        "experience_newest",
        "experience",
        ["procedure_key", "phase", "rated_at"],
        unique=False,
        postgresql_where=sa.text("remark <> ''"),
    )
    op.create_table(
        "likeness",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("procedure_key", sa.String(), nullable=False),
        sa.Column("duplicate", sa.String(), nullable=False),
        sa.Column("subject_index", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.PrimaryKeyConstraint("case_id", "duplicate"),
    )
    op.create_index(
        "likeness_same", "likeness", ["procedure_key", "duplicate", "subject_index"], unique=False
    )
    op.create_table(
        "phasevisit",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.PrimaryKeyConstraint("case_id", "phase"),
    )
    op.create_table(
        "procedureversion",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.String(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("key", "version"),
        sa.UniqueConstraint("seq"),
    )
    op.add_column("case", sa.Column("renewal_id", sa.Uuid(), nullable=True))
    op.create_foreign_key("case_renewal_id_fkey", "case", "application", ["renewal_id"], ["id"])
    op.add_column("case", sa.Column("valid_from", sa.Date(), nullable=True))
    op.add_column("case", sa.Column("valid_until", sa.Date(), nullable=True))
    op.create_index(
        "case_valid",
        "case",
        ["valid_until", "id"],
        unique=False,
        postgresql_where=sa.text("valid_until IS NOT NULL"),
    )

    op.execute(IMMUTABLE)
    op.execute(
        "CREATE TRIGGER procedureversion_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON procedureversion"
        " FOR EACH STATEMENT EXECUTE FUNCTION loket_published_stays()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER procedureversion_stays ON procedureversion")
    op.execute("DROP FUNCTION loket_published_stays()")
    _known("event", "type", "eventtype_known", [one for one in EVENT_TYPES if one not in NEW_EVENT_TYPES])
    _known("timer", "kind", "timerkind_known", [one for one in TIMER_KINDS if one not in NEW_TIMER_KINDS])
    op.drop_index("case_valid", table_name="case", postgresql_where=sa.text("valid_until IS NOT NULL"))
    op.drop_column("case", "valid_until")
    op.drop_column("case", "valid_from")
    op.drop_constraint("case_renewal_id_fkey", "case", type_="foreignkey")
    op.drop_column("case", "renewal_id")
    op.drop_table("procedureversion")
    op.drop_table("phasevisit")
    op.drop_index("likeness_same", table_name="likeness")
    op.drop_table("likeness")
    op.drop_index("experience_newest", table_name="experience", postgresql_where=sa.text("remark <> ''"))
    op.drop_table("experience")
    op.drop_index(op.f("ix_coapplication_person_id"), table_name="coapplication")
    op.drop_table("coapplication")
    op.drop_table("leadtime")
    op.drop_table("follower")
    op.drop_table("figure")
