"""Grant and pay premiums

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
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
    "HANDED_OVER",
    "REFUND_DUE",
    "REFUNDED",
    "SLOT_NEEDED",
    "SLOT_REMINDED",
    "SLOT_HELD",
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
"""Of `event.type`; new: INFORMATION_REMINDED, ASSESSMENT_STARTED, CHECK_STARTED, CHECK_ANSWERED, CHECK_FAILED, CHECK_REPLACED, ADVICE_REQUESTED, ADVICE_REMINDED, ADVICE_GIVEN, ADVICE_LAPSED, ADVICE_WITHDRAWN, ADVICE_COMPLETE, DECISION_PREPARED, DECISION_SENT, DECISION_ON_AGENDA, DECISION_POSTPONED, DECISION_MODIFIED, DECISION_SIGNED, DECISION_WITHDRAWN, LETTER_SENT, PARTLY_APPROVED, PAYOUT_DUE, PAYOUT_ORDERED, PAYOUT_APPROVED, PAYOUT_DECLINED, PAYOUT_CANCELLED, PAYOUT_SENT, PAYOUT_REJECTED, PAYOUT_RETURNED, PAYOUT_IN_DOUBT, ACCOUNT_NEEDED, ACCOUNT_CORRECTED, ACCOUNT_LAPSED, PAID_OUT."""
EVENT_TYPES_BEFORE = [
    "SUBMITTED",
    "SCREENING_STARTED",
    "REFERRED",
    "ADMISSIBLE",
    "INADMISSIBLE",
    "INFORMATION_REQUESTED",
    "INFORMATION_SUPPLIED",
    "INFORMATION_LAPSED",
    "DECISION_PENDING",
    "APPROVED",
    "REJECTED",
    "STAGE_PASSED",
    "PAYMENT_DUE",
    "PAYMENT_RECEIVED",
    "PAID",
    "PAYMENT_REMINDED",
    "HANDED_OVER",
    "REFUND_DUE",
    "REFUNDED",
    "SLOT_NEEDED",
    "SLOT_REMINDED",
    "SLOT_HELD",
    "PLANNED",
    "RESCHEDULED",
    "SLOT_MOVED",
    "SLOT_LOST",
    "DELIVERY_PENDING",
    "DELIVERED",
    "MISSED",
    "COMPLETED",
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

EFFECT_KINDS = [
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
"""Of `effect.kind`; new: CHECK_ASK, ADVICE_EMAIL, STAFF_EMAIL, MINUTES_CREATE, MINUTES_READ, MINUTES_WITHDRAW, LETTER_PDF, LETTER_EBOX, EBOX_READ, PAYOUT_SEND, PAYOUT_READ, PAYOUT_RECALL."""
EFFECT_KINDS_BEFORE = [
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
]

TIMER_KINDS = [
    "ANSWER",
    "ANSWER_REMINDER",
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
    "PAYMENT_END",
    "CHECKOUT_POLL",
    "SLOT_REMINDER",
    "SLOT_END",
    "HOLD_END",
    "DELIVERY_UNCONFIRMED",
    "DRAFT_END",
]
"""Of `timer.kind`; new: ANSWER_REMINDER, ADVICE_REMINDER, ADVICE_END, MINUTES_POLL, SUCCESSOR_END, NOTIFY_END, EBOX_POLL, LETTER_BATCH, PAYOUT_POLL, PAYOUT_END."""
TIMER_KINDS_BEFORE = [
    "ANSWER",
    "TERM",
    "TERM_ALARM",
    "PAYMENT_REMINDER",
    "PAYMENT_END",
    "CHECKOUT_POLL",
    "SLOT_REMINDER",
    "SLOT_END",
    "HOLD_END",
    "DELIVERY_UNCONFIRMED",
    "DRAFT_END",
]


def _known(table: str, column: str, name: str, values: list[str]) -> None:
    """Let the check of a text column know these values."""
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(name, table, f"{column} IN ({listed})")


def upgrade() -> None:
    _known("event", "type", "eventtype_known", EVENT_TYPES)
    _known("effect", "kind", "effectkind_known", EFFECT_KINDS)
    _known("timer", "kind", "timerkind_known", TIMER_KINDS)
    op.create_table(
        "entitlement",
        sa.Column("procedure_key", sa.String(), nullable=False),
        sa.Column("benefit", sa.String(), nullable=False),
        sa.Column("subject_index", sa.LargeBinary(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.PrimaryKeyConstraint("procedure_key", "benefit", "subject_index", "year"),
    )
    op.create_index(op.f("ix_entitlement_case_id"), "entitlement", ["case_id"], unique=False)
    op.create_table(
        "agendaitem",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("external_identifier", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("item_uid", sa.String(), nullable=True),
        sa.Column("meeting_uid", sa.String(), nullable=True),
        sa.Column("meeting_on", sa.Date(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("external_identifier"),
        sa.UniqueConstraint("item_uid"),
    )
    op.create_table(
        "letterbatch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "advice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("adviser", sa.String(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "INTERNAL",
                "EXTERNAL",
                "MACHINE",
                name="adviserkind_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("department", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "REQUESTED",
                "REMINDED",
                "POSITIVE",
                "NEGATIVE",
                "CONDITIONAL",
                "NO_REACTION",
                "WITHDRAWN",
                name="advicestatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("token_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_id", sa.Uuid(), nullable=True),
        sa.Column("opinion", sa.String(), nullable=False),
        sa.Column("conditions", sa.String(), nullable=False),
        sa.Column("given_by", sa.String(), nullable=False),
        sa.Column("given_by_id", sa.Uuid(), nullable=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["check_id"],
            ["check.id"],
        ),
        sa.ForeignKeyConstraint(
            ["given_by_id"],
            ["staff.id"],
        ),
        sa.ForeignKeyConstraint(
            ["requested_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(
        "advice_once",
        "advice",
        ["case_id", "round", "adviser"],
        unique=True,
        postgresql_where=sa.text("status <> 'WITHDRAWN'"),
    )
    op.create_index(
        "advice_open",
        "advice",
        ["due_on", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('REQUESTED', 'REMINDED')"),
    )
    op.create_index(op.f("ix_advice_case_id"), "advice", ["case_id"], unique=False)
    op.create_table(
        "letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column(
            "way",
            sa.Enum(
                "EBOX",
                "REGISTERED",
                "NORMAL",
                name="letterway_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "QUEUED",
                "BATCHED",
                "SENT",
                "DELIVERED",
                "FAILED",
                name="letterstatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column(
            "content",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.Column("registered_number", sa.String(), nullable=True),
        sa.Column("ebox_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["letterbatch.id"],
        ),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decision.id"],
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
        sa.UniqueConstraint("registered_number"),
    )
    op.create_index(op.f("ix_letter_batch_id"), "letter", ["batch_id"], unique=False)
    op.create_index(op.f("ix_letter_case_id"), "letter", ["case_id"], unique=False)
    op.create_index(op.f("ix_letter_person_id"), "letter", ["person_id"], unique=False)
    op.create_index(
        "letter_waiting",
        "letter",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'QUEUED'"),
    )
    op.create_table(
        "payout",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=True),
        sa.Column("refund_id", sa.Uuid(), nullable=True),
        sa.Column(
            "kind",
            sa.Enum(
                "PREMIUM",
                "REFUND",
                name="payoutkind_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "ORDERED",
                "APPROVED",
                "DECLINED",
                "SENT",
                "EXECUTED",
                "REJECTED",
                "RETURNED",
                "IN_DOUBT",
                "CANCELLED",
                name="payoutstatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("iban_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("iban_masked", sa.String(), nullable=False),
        sa.Column("remittance", sa.String(), nullable=False),
        sa.Column("ordered_by_id", sa.Uuid(), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("visum_by_id", sa.Uuid(), nullable=True),
        sa.Column("visum_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by_id", sa.Uuid(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("executed_on", sa.Date(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason_code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint("(kind = 'REFUND') = (refund_id IS NOT NULL)", name="payout_is_of"),
        sa.CheckConstraint("amount > 0", name="payout_amount"),
        sa.CheckConstraint(
            "approved_by_id IS NULL OR approved_by_id <> ordered_by_id", name="payout_four_eyes"
        ),
        sa.ForeignKeyConstraint(
            ["approved_by_id"],
            ["staff.id"],
        ),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decision.id"],
        ),
        sa.ForeignKeyConstraint(
            ["ordered_by_id"],
            ["staff.id"],
        ),
        sa.ForeignKeyConstraint(
            ["refund_id"],
            ["refund.id"],
        ),
        sa.ForeignKeyConstraint(
            ["visum_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_payout_case_id"), "payout", ["case_id"], unique=False)
    op.create_index(
        "payout_live",
        "payout",
        ["decision_id"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
    )
    op.create_index(
        "payout_live_refund",
        "payout",
        ["refund_id"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
    )
    op.create_index("payout_newest", "payout", ["ordered_at", "id"], unique=False)
    op.create_index("payout_queue", "payout", ["status", "ordered_at", "id"], unique=False)
    op.create_index(
        "case_reference_begins",
        "case",
        ["reference"],
        unique=False,
        postgresql_ops={"reference": "text_pattern_ops"},
    )
    op.create_index("case_updated", "case", ["updated_at", "id"], unique=False)
    op.add_column("check", sa.Column("subject_index", sa.LargeBinary(), nullable=True))
    op.add_column("check", sa.Column("document_id", sa.Uuid(), nullable=True))
    op.add_column("check", sa.Column("replaced_by_id", sa.Uuid(), nullable=True))
    op.add_column("check", sa.Column("remark", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_foreign_key("check_document_id_fkey", "check", "document", ["document_id"], ["id"])
    op.create_foreign_key("check_replaced_by_id_fkey", "check", "staff", ["replaced_by_id"], ["id"])
    op.add_column("decision", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.add_column("decision", sa.Column("body", sa.String(), nullable=True))
    op.add_column(
        "decision",
        sa.Column(
            "proposal",
            sa.Enum(
                "DRAFT",
                "ON_AGENDA",
                "POSTPONED",
                "GRANTED",
                "PARTLY_GRANTED",
                "REFUSED",
                "TO_CONFIRM",
                "WITHDRAWN",
                name="proposal_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
    )
    op.add_column("decision", sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=True))
    op.add_column(
        "decision",
        sa.Column(
            "benefits",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column(
        "decision", sa.Column("conditions", sa.String(), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("decision", sa.Column("agenda_item_id", sa.Uuid(), nullable=True))
    op.add_column("decision", sa.Column("decided_on", sa.Date(), nullable=True))
    op.add_column(
        "decision",
        sa.Column(
            "signatories",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column("decision", sa.Column("document_id", sa.Uuid(), nullable=True))
    op.add_column(
        "decision", sa.Column("document_sha256", sa.String(), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("decision", sa.Column("text", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("decision", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "decision", sa.Column("withdrawn_reason", sa.String(), nullable=False, server_default=sa.text("''"))
    )
    op.alter_column(
        "decision", "decided_at", existing_type=postgresql.TIMESTAMP(timezone=True), nullable=True
    )
    op.create_index(op.f("ix_decision_agenda_item_id"), "decision", ["agenda_item_id"], unique=False)
    op.create_foreign_key(
        "decision_agenda_item_id_fkey", "decision", "agendaitem", ["agenda_item_id"], ["id"]
    )
    op.create_foreign_key("decision_document_id_fkey", "decision", "document", ["document_id"], ["id"])
    op.create_index(
        "person_names",
        "person",
        [
            sa.literal_column(
                "to_tsvector('simple', regexp_replace(lower(regexp_replace(normalize(given_name || ' ' || family_name, NFD), '[\\u0300-\\u036f]+', '', 'g')), '[!-/:-@\\u005b-\\u0060\\u007b-\\u007e[:space:]]+', ' ', 'g'))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.alter_column("check", "remark", server_default=None)
    op.alter_column("decision", "version", server_default=None)
    op.alter_column("decision", "conditions", server_default=None)
    op.alter_column("decision", "document_sha256", server_default=None)
    op.alter_column("decision", "text", server_default=None)
    op.alter_column("decision", "withdrawn_reason", server_default=None)
    op.create_check_constraint("decision_amount", "decision", "amount IS NULL OR amount >= 0")


def downgrade() -> None:
    op.drop_constraint("decision_amount", "decision", type_="check")
    _known("event", "type", "eventtype_known", EVENT_TYPES_BEFORE)
    _known("effect", "kind", "effectkind_known", EFFECT_KINDS_BEFORE)
    _known("timer", "kind", "timerkind_known", TIMER_KINDS_BEFORE)
    op.drop_index("person_names", table_name="person", postgresql_using="gin")
    op.drop_constraint("decision_document_id_fkey", "decision", type_="foreignkey")
    op.drop_constraint("decision_agenda_item_id_fkey", "decision", type_="foreignkey")
    op.drop_index(op.f("ix_decision_agenda_item_id"), table_name="decision")
    op.alter_column(
        "decision", "decided_at", existing_type=postgresql.TIMESTAMP(timezone=True), nullable=False
    )
    op.drop_column("decision", "withdrawn_reason")
    op.drop_column("decision", "withdrawn_at")
    op.drop_column("decision", "text")
    op.drop_column("decision", "document_sha256")
    op.drop_column("decision", "document_id")
    op.drop_column("decision", "signatories")
    op.drop_column("decision", "decided_on")
    op.drop_column("decision", "agenda_item_id")
    op.drop_column("decision", "conditions")
    op.drop_column("decision", "benefits")
    op.drop_column("decision", "amount")
    op.drop_column("decision", "proposal")
    op.drop_column("decision", "body")
    op.drop_column("decision", "version")
    op.drop_constraint("check_replaced_by_id_fkey", "check", type_="foreignkey")
    op.drop_constraint("check_document_id_fkey", "check", type_="foreignkey")
    op.drop_column("check", "remark")
    op.drop_column("check", "replaced_by_id")
    op.drop_column("check", "document_id")
    op.drop_column("check", "subject_index")
    op.drop_index("case_updated", table_name="case")
    op.drop_index(
        "case_reference_begins", table_name="case", postgresql_ops={"reference": "text_pattern_ops"}
    )
    op.drop_index("payout_queue", table_name="payout")
    op.drop_index("payout_newest", table_name="payout")
    op.drop_index(
        "payout_live_refund",
        table_name="payout",
        postgresql_where=sa.text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
    )
    op.drop_index(
        "payout_live",
        table_name="payout",
        postgresql_where=sa.text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
    )
    op.drop_index(op.f("ix_payout_case_id"), table_name="payout")
    op.drop_table("payout")
    op.drop_index("letter_waiting", table_name="letter", postgresql_where=sa.text("status = 'QUEUED'"))
    op.drop_index(op.f("ix_letter_person_id"), table_name="letter")
    op.drop_index(op.f("ix_letter_case_id"), table_name="letter")
    op.drop_index(op.f("ix_letter_batch_id"), table_name="letter")
    op.drop_table("letter")
    op.drop_index(op.f("ix_advice_case_id"), table_name="advice")
    op.drop_index(
        "advice_open", table_name="advice", postgresql_where=sa.text("status IN ('REQUESTED', 'REMINDED')")
    )
    op.drop_index("advice_once", table_name="advice", postgresql_where=sa.text("status <> 'WITHDRAWN'"))
    op.drop_table("advice")
    op.drop_table("letterbatch")
    op.drop_table("agendaitem")
    op.drop_index(op.f("ix_entitlement_case_id"), table_name="entitlement")
    op.drop_table("entitlement")
