"""Keep books of all money

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
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
"""Of `event.type`."""
EVENT_TYPES_BEFORE = [
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
    "CREDIT_NOTE_PDF",
    "WARRANT_PDF",
    "RECONCILE",
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
"""Of `effect.kind`."""
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
    "DEFAULT_NOTICE",
    "PAYMENT_END",
    "CHECKOUT_POLL",
    "SLOT_REMINDER",
    "SLOT_END",
    "HOLD_END",
    "DELIVERY_UNCONFIRMED",
    "DRAFT_END",
    "RECONCILIATION",
]
"""Of `timer.kind`."""
TIMER_KINDS_BEFORE = [
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
BALANCED = """
    CREATE FUNCTION loket_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        debits numeric;
        credits numeric;
    BEGIN
        SELECT sum(debit), sum(credit) INTO debits, credits FROM journalline WHERE entry_id = NEW.id;
        IF debits IS DISTINCT FROM credits OR debits IS DISTINCT FROM NEW.amount THEN
            RAISE EXCEPTION 'journal entry % does not balance: debit %, credit %, amount %',
                NEW.id, debits, credits, NEW.amount USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
"""

OPENING = [
    # what was invoiced, credited, paid, paid back and paid out before there was a journal: accounting knows it
    """
    INSERT INTO journalentry (id, type, subject_id, number, case_id, invoice_id, journal, document_number,
                              booked_on, amount, state, voucher, reason)
    SELECT m.id, m.type, m.subject_id, 1, m.case_id, m.invoice_id, coalesce(m.journal, ''), left(m.number, 35),
           m.booked_on, m.amount, 'KNOWN', '', ''
      FROM (
        SELECT id, 'INVOICE' AS type, id AS subject_id, case_id, id AS invoice_id, journal, number,
               issued_on AS booked_on, amount
          FROM invoice
        UNION ALL
        SELECT id, 'CREDIT_NOTE', id, case_id, invoice_id, journal, number, issued_on, amount FROM creditnote
        UNION ALL
        SELECT p.id, 'PAYMENT', p.id, p.case_id, p.invoice_id, i.journal,
               coalesce(p.provider_payment_id, p.id::text), (coalesce(p.ended_at, p.started_at) AT TIME ZONE 'Europe/Brussels')::date, p.amount
          FROM payment p JOIN invoice i ON i.id = p.invoice_id WHERE p.status = 'CAPTURED'
        UNION ALL
        SELECT r.id, 'REFUND_DUE', r.id, r.case_id, p.invoice_id, i.journal, r.id::text, r.due_on, r.amount
          FROM refund r JOIN payment p ON p.id = r.payment_id JOIN invoice i ON i.id = p.invoice_id
        UNION ALL
        SELECT gen_random_uuid(), 'REFUND', r.id, r.case_id, p.invoice_id, i.journal,
               coalesce(r.provider_refund_id, r.id::text), (coalesce(r.ended_at, r.ordered_at) AT TIME ZONE 'Europe/Brussels')::date, r.amount
          FROM refund r JOIN payment p ON p.id = r.payment_id JOIN invoice i ON i.id = p.invoice_id
         WHERE r.status = 'DONE'
        UNION ALL
        SELECT gen_random_uuid(), 'PAYOUT', id, case_id, NULL, '', replace(id::text, '-', ''),
               coalesce(executed_on, (coalesce(ended_at, ordered_at) AT TIME ZONE 'Europe/Brussels')::date), amount
          FROM payout WHERE (kind, status) = ('PREMIUM', 'EXECUTED')
      ) m
    """,
    # two sides: one account has it, another gives it
    """
    INSERT INTO journalline (entry_id, position, booked_on, account, debit, credit, description)
    SELECT e.id, side.position, e.booked_on, side.account,
           CASE side.position WHEN 1 THEN e.amount ELSE 0 END, CASE side.position WHEN 1 THEN 0 ELSE e.amount END, ''
      FROM journalentry e
      LEFT JOIN refund r ON r.id = e.subject_id
      LEFT JOIN payment p ON p.id = coalesce(r.payment_id, e.subject_id)
     CROSS JOIN LATERAL (
           SELECT CASE WHEN EXISTS (SELECT FROM payout o WHERE o.refund_id = r.id AND o.status = 'EXECUTED')
                       THEN 'BANK' ELSE CASE p.method WHEN 'ONLINE' THEN 'MODULE' WHEN 'COUNTER' THEN 'CASH'
                       ELSE 'BANK' END END AS name) money
     CROSS JOIN LATERAL (
           SELECT 1 AS position, CASE e.type WHEN 'PAYMENT' THEN money.name WHEN 'REFUND' THEN 'REFUNDABLE'
                                 WHEN 'PAYOUT' THEN 'GRANTS' ELSE 'RECEIVABLE' END AS account
           UNION ALL
           SELECT 2, CASE e.type WHEN 'PAYMENT' THEN 'RECEIVABLE' WHEN 'REFUND' THEN money.name
                     WHEN 'PAYOUT' THEN 'BANK' ELSE 'REFUNDABLE' END) side
     WHERE e.type IN ('PAYMENT', 'REFUND_DUE', 'REFUND', 'PAYOUT')
    """,
    # of an invoice, and of what takes it back, the revenue by budget key; what its lines do not say, without
    """
    INSERT INTO journalline (entry_id, position, booked_on, account, budget_key, debit, credit, description)
    SELECT e.id, row_number() OVER (PARTITION BY e.id ORDER BY part.account, part.key::text), e.booked_on,
           part.account, part.key,
           CASE WHEN (part.amount > 0) = (e.type = 'INVOICE') THEN abs(part.amount) ELSE 0 END,
           CASE WHEN (part.amount > 0) = (e.type = 'INVOICE') THEN 0 ELSE abs(part.amount) END, ''
      FROM journalentry e JOIN invoice i ON i.id = e.invoice_id
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(one.amount), 0) <> e.amount OR coalesce(min(one.amount), 0) < 0 AS found
             FROM (SELECT sum((line ->> 'amount')::numeric) AS amount
                     FROM jsonb_array_elements(i.lines) AS line GROUP BY line -> 'budget_key') one) odd
     CROSS JOIN LATERAL (
           SELECT 'RECEIVABLE' AS account, NULL::jsonb AS key, e.amount
           UNION ALL
           SELECT 'REVENUE', found.key, -found.amount
             FROM (SELECT line -> 'budget_key' AS key, sum((line ->> 'amount')::numeric) AS amount
                     FROM jsonb_array_elements(i.lines) AS line GROUP BY 1) found
            WHERE NOT odd.found
           UNION ALL
           SELECT 'REVENUE', NULL, -e.amount WHERE odd.found) part
     WHERE e.type IN ('INVOICE', 'CREDIT_NOTE') AND part.amount <> 0
    """,
    # what accounting was still to be told is told as an entry
    """
    UPDATE journalentry e
       SET state = CASE f.state WHEN 'PENDING' THEN 'LEFT' ELSE 'REJECTED' END,
           reason = CASE f.state WHEN 'PENDING' THEN '' ELSE left(f.last_error, 500) END, effect_id = f.id
      FROM effect f
     WHERE f.kind = 'ACCOUNTING_ENTRY' AND f.state IN ('PENDING', 'PARKED', 'IN_DOUBT')
       AND f.payload ->> 'id' = e.subject_id::text
       AND e.type = CASE WHEN f.payload ->> 'type' = 'REFUND' AND NOT EXISTS (
                              SELECT FROM refund r WHERE r.id = e.subject_id AND r.status = 'DONE')
                         THEN 'REFUND_DUE' ELSE f.payload ->> 'type' END
    """,
    """
    UPDATE effect SET payload = jsonb_build_object('entry_id', e.id)
      FROM journalentry e WHERE e.effect_id = effect.id
    """,
]
"""The journal of what happened before."""


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
        "bankstatement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "format",
            sa.Enum(
                "CODA",
                "CAMT_053",
                name="statementformat_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("iban", sa.String(), nullable=False),
        sa.Column("statement_key", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("opening", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("closing", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("file_hash", sa.LargeBinary(), nullable=False),
        sa.Column("imported_by_id", sa.Uuid(), nullable=True),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["imported_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("iban", "statement_key"),
    )
    op.create_index("bankstatement_newest", "bankstatement", ["imported_at", "id"], unique=False)
    op.create_index(op.f("ix_bankstatement_file_hash"), "bankstatement", ["file_hash"], unique=False)
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_by_id", sa.Uuid(), nullable=True),
        sa.Column(
            "compared",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["started_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reconciliation_newest", "reconciliation", ["started_at", "id"], unique=False)
    op.create_table(
        "difference",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reconciliation_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "PROVIDER",
                "ENTRY_MISSING",
                "ENTRY_DIFFERS",
                "ENTRY_NOT_TOLD",
                "STATEMENT",
                "INVOICE",
                "REFUND",
                "PAYOUT",
                "LEDGER",
                name="differencekind_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "OPEN",
                "REPAIRED",
                "GONE",
                name="differencestate_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("expected", sa.Numeric(precision=12, scale=2), nullable=True),
        sa.Column("found", sa.Numeric(precision=12, scale=2), nullable=True),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("repaired_by_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["repaired_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("difference_newest", "difference", ["found_at", "id"], unique=False)
    op.create_index(
        "difference_once",
        "difference",
        ["kind", "subject_id"],
        unique=True,
        postgresql_where=sa.text("state = 'OPEN'"),
    )
    op.create_index(op.f("ix_difference_case_id"), "difference", ["case_id"], unique=False)
    op.create_index(
        op.f("ix_difference_reconciliation_id"), "difference", ["reconciliation_id"], unique=False
    )
    op.create_table(
        "journalentry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "type",
            sa.Enum(
                "INVOICE",
                "COSTS",
                "CREDIT_NOTE",
                "PAYMENT",
                "REFUND_DUE",
                "REFUND",
                "REFUND_RETURNED",
                "WRITE_OFF",
                "WRITE_OFF_REVERSED",
                "CHARGEBACK",
                "CHARGEBACK_REVERSED",
                "PAYOUT",
                "PAYOUT_RETURNED",
                name="entrytype_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("journal", sa.String(), nullable=False),
        sa.Column("document_number", sa.String(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "LEFT",
                "BOOKED",
                "REJECTED",
                "KNOWN",
                name="entrystate_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("voucher", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("effect_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("amount > 0", name="journalentry_amount"),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"],
            ["invoice.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("type", "subject_id", "number"),
    )
    op.create_index(op.f("ix_journalentry_case_id"), "journalentry", ["case_id"], unique=False)
    op.create_index(op.f("ix_journalentry_invoice_id"), "journalentry", ["invoice_id"], unique=False)
    op.create_index("journalentry_by_day", "journalentry", ["booked_on", "id"], unique=False)
    op.create_index(
        "journalentry_not_told",
        "journalentry",
        ["booked_on", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('LEFT', 'REJECTED')"),
    )
    op.create_table(
        "journalline",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column(
            "account",
            sa.Enum(
                "RECEIVABLE",
                "REVENUE",
                "VAT",
                "COSTS",
                "BANK",
                "MODULE",
                "CASH",
                "REFUNDABLE",
                "GRANTS",
                "LOSS",
                name="ledgeraccount_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("budget_key", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("debit", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("credit", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.CheckConstraint("least(debit, credit) = 0 AND debit + credit > 0", name="journalline_side"),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["journalentry.id"],
        ),
        sa.PrimaryKeyConstraint("entry_id", "position"),
    )
    op.create_index("journalline_by_day", "journalline", ["booked_on", "account"], unique=False)
    op.create_table(
        "chargeback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("module", sa.String(), nullable=False),
        sa.Column("provider_id", sa.String(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("counted", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("taken_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reversed_on", sa.Date(), nullable=True),
        sa.CheckConstraint("amount > 0", name="chargeback_amount"),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["payment.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("module", "provider_id"),
    )
    op.create_index(op.f("ix_chargeback_case_id"), "chargeback", ["case_id"], unique=False)
    op.create_index(op.f("ix_chargeback_payment_id"), "chargeback", ["payment_id"], unique=False)
    op.create_table(
        "paymentname",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["payment.id"],
        ),
        sa.PrimaryKeyConstraint("source", "name"),
        sa.UniqueConstraint("payment_id", "source"),
    )
    op.create_table(
        "dunning",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "REMINDER",
                "DEFAULT_NOTICE",
                "HANDED_OVER",
                "WRITTEN_OFF",
                name="dunningkind_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("taken_on", sa.Date(), nullable=False),
        sa.Column("cost", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=True),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("taken_by_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("cost >= 0", name="dunning_cost"),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"],
            ["invoice.id"],
        ),
        sa.ForeignKeyConstraint(
            ["letter_id"],
            ["letter.id"],
        ),
        sa.ForeignKeyConstraint(
            ["taken_by_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("invoice_id", "kind", "number"),
    )
    op.create_index(op.f("ix_dunning_case_id"), "dunning", ["case_id"], unique=False)
    op.create_table(
        "bankentry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("statement_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "OPEN",
                "MATCHED",
                "SET_ASIDE",
                name="bankentrystatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("value_on", sa.Date(), nullable=False),
        sa.Column("bank_reference", sa.String(), nullable=False),
        sa.Column("end_to_end_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("remittance", sa.String(), nullable=False),
        sa.Column("counterparty_name", sa.String(), nullable=False),
        sa.Column("counterparty_iban_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("counterparty_iban_masked", sa.String(), nullable=False),
        sa.Column("counterparty_iban_index", sa.LargeBinary(), nullable=True),
        sa.Column("return_code", sa.String(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("payout_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("settled_by_id", sa.Uuid(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'MATCHED') = (num_nonnulls(payment_id, payout_id) = 1)", name="bankentry_matched"
        ),
        sa.CheckConstraint("amount <> 0", name="bankentry_amount"),
        sa.ForeignKeyConstraint(
            ["payment_id"],
            ["payment.id"],
        ),
        sa.ForeignKeyConstraint(
            ["payout_id"],
            ["payout.id"],
        ),
        sa.ForeignKeyConstraint(
            ["settled_by_id"],
            ["staff.id"],
        ),
        sa.ForeignKeyConstraint(
            ["statement_id"],
            ["bankstatement.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("payment_id"),
        sa.UniqueConstraint("statement_id", "position"),
    )
    op.create_index("bankentry_newest", "bankentry", ["booked_on", "id"], unique=False)
    op.create_index("bankentry_of_account", "bankentry", ["counterparty_iban_index"], unique=False)
    op.create_index(
        "bankentry_open",
        "bankentry",
        ["booked_on", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'OPEN'"),
    )
    op.create_index(op.f("ix_bankentry_payout_id"), "bankentry", ["payout_id"], unique=False)
    op.add_column("creditnote", sa.Column("case_id", sa.Uuid()))
    op.add_column("creditnote", sa.Column("journal", sa.String()))
    op.add_column("creditnote", sa.Column("year", sa.Integer()))
    op.add_column("creditnote", sa.Column("sequence", sa.Integer()))
    op.add_column(
        "creditnote",
        sa.Column(
            "lines",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column("creditnote", sa.Column("document_id", sa.Uuid(), nullable=True))
    op.add_column("creditnote", sa.Column("ubl_document_id", sa.Uuid(), nullable=True))
    op.drop_constraint(op.f("creditnote_invoice_id_key"), "creditnote", type_="unique")
    op.create_foreign_key("creditnote_case_id_fkey", "creditnote", "case", ["case_id"], ["id"])
    op.create_index(op.f("ix_creditnote_case_id"), "creditnote", ["case_id"], unique=False)
    op.create_index(op.f("ix_creditnote_invoice_id"), "creditnote", ["invoice_id"], unique=False)
    op.create_unique_constraint(
        "creditnote_journal_year_sequence_key", "creditnote", ["journal", "year", "sequence"]
    )
    op.create_foreign_key("creditnote_document_id_fkey", "creditnote", "document", ["document_id"], ["id"])
    op.create_foreign_key(
        "creditnote_ubl_document_id_fkey", "creditnote", "document", ["ubl_document_id"], ["id"]
    )
    op.add_column(
        "invoice",
        sa.Column("credited", sa.Numeric(precision=12, scale=2), nullable=False, server_default="0"),
    )
    op.add_column(
        "invoice", sa.Column("costs", sa.Numeric(precision=12, scale=2), nullable=False, server_default="0")
    )
    op.add_column(
        "invoice",
        sa.Column("written_off", sa.Numeric(precision=12, scale=2), nullable=False, server_default="0"),
    )
    op.add_column(
        "invoice",
        sa.Column(
            "buyer",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column("invoice", sa.Column("ubl_document_id", sa.Uuid(), nullable=True))
    op.create_foreign_key("invoice_ubl_document_id_fkey", "invoice", "document", ["ubl_document_id"], ["id"])
    op.add_column("refund", sa.Column("due_on", sa.Date()))
    op.execute("UPDATE refund SET due_on = coalesce(ordered_at, now())::date")
    op.alter_column("refund", "due_on", nullable=False)
    op.add_column(
        "payment", sa.Column("checkout_form", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column("payment", sa.Column("payer_iban_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("payment", sa.Column("payer_iban_masked", sa.String(), nullable=False, server_default=""))
    # credit notes were of whole invoices; numbers are journal, year and sequence
    op.execute(
        "UPDATE creditnote SET journal = split_part(creditnote.number, '-', 1), year = split_part(creditnote.number, '-', 2)::int,"
        " sequence = split_part(creditnote.number, '-', 3)::int, lines = invoice.lines, case_id = invoice.case_id"
        " FROM invoice WHERE invoice.id = creditnote.invoice_id"
    )
    for column in ("case_id", "journal", "year", "sequence"):
        op.alter_column("creditnote", column, nullable=False)
    op.create_check_constraint("creditnote_amount", "creditnote", "amount > 0")
    op.execute("UPDATE invoice SET credited = amount, paid = 0 WHERE status = 'CREDITED'")
    op.execute(
        "UPDATE invoice SET buyer = jsonb_build_object('name', trim(given_name || ' ' || family_name),"
        " 'address', coalesce(address, '{}'::jsonb)) FROM person WHERE person.id = invoice.person_id"
    )
    op.drop_constraint("invoice_amounts", "invoice", type_="check")
    op.create_check_constraint(
        "invoice_amounts",
        "invoice",
        "amount > 0 AND least(paid, credited, costs, written_off) >= 0"
        " AND paid + credited + written_off <= amount + costs",
    )
    for table, column in (
        ("invoice", "credited"),
        ("invoice", "costs"),
        ("invoice", "written_off"),
        ("payment", "payer_iban_masked"),
    ):
        op.alter_column(table, column, server_default=None)
    op.execute(
        "INSERT INTO paymentname (source, name, payment_id)"
        " SELECT module, provider_payment_id, id FROM payment WHERE provider_payment_id IS NOT NULL"
    )
    for statement in OPENING:
        op.execute(statement)
    op.execute(BALANCED)
    op.execute(
        "CREATE CONSTRAINT TRIGGER journalentry_balances AFTER INSERT ON journalentry"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loket_entry_balances()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER journalentry_balances ON journalentry")
    op.execute("DROP FUNCTION loket_entry_balances()")
    op.drop_constraint("invoice_amounts", "invoice", type_="check")
    op.create_check_constraint("invoice_amounts", "invoice", "amount > 0 AND paid >= 0")
    op.drop_constraint("creditnote_amount", "creditnote", type_="check")
    _known("event", "type", "eventtype_known", EVENT_TYPES_BEFORE)
    _known("effect", "kind", "effectkind_known", EFFECT_KINDS_BEFORE)
    _known("timer", "kind", "timerkind_known", TIMER_KINDS_BEFORE)
    op.drop_column("refund", "due_on")
    op.drop_column("payment", "payer_iban_masked")
    op.drop_column("payment", "payer_iban_sealed")
    op.drop_column("payment", "checkout_form")
    op.drop_constraint("invoice_ubl_document_id_fkey", "invoice", type_="foreignkey")
    op.drop_column("invoice", "ubl_document_id")
    op.drop_column("invoice", "buyer")
    op.drop_column("invoice", "written_off")
    op.drop_column("invoice", "costs")
    op.drop_column("invoice", "credited")
    op.drop_constraint("creditnote_ubl_document_id_fkey", "creditnote", type_="foreignkey")
    op.drop_constraint("creditnote_document_id_fkey", "creditnote", type_="foreignkey")
    op.drop_constraint("creditnote_journal_year_sequence_key", "creditnote", type_="unique")
    op.drop_index(op.f("ix_creditnote_invoice_id"), table_name="creditnote")
    op.drop_index(op.f("ix_creditnote_case_id"), table_name="creditnote")
    op.drop_constraint("creditnote_case_id_fkey", "creditnote", type_="foreignkey")
    op.create_unique_constraint(op.f("creditnote_invoice_id_key"), "creditnote", ["invoice_id"])
    op.drop_column("creditnote", "ubl_document_id")
    op.drop_column("creditnote", "document_id")
    op.drop_column("creditnote", "lines")
    op.drop_column("creditnote", "sequence")
    op.drop_column("creditnote", "year")
    op.drop_column("creditnote", "journal")
    op.drop_column("creditnote", "case_id")
    op.drop_index(op.f("ix_bankentry_payout_id"), table_name="bankentry")
    op.drop_index("bankentry_open", table_name="bankentry", postgresql_where=sa.text("status = 'OPEN'"))
    op.drop_index("bankentry_of_account", table_name="bankentry")
    op.drop_index("bankentry_newest", table_name="bankentry")
    op.drop_table("bankentry")
    op.drop_index(op.f("ix_dunning_case_id"), table_name="dunning")
    op.drop_table("dunning")
    op.drop_table("paymentname")
    op.drop_index(op.f("ix_chargeback_payment_id"), table_name="chargeback")
    op.drop_index(op.f("ix_chargeback_case_id"), table_name="chargeback")
    op.drop_table("chargeback")
    op.drop_index("journalline_by_day", table_name="journalline")
    op.drop_table("journalline")
    op.drop_index(
        "journalentry_not_told",
        table_name="journalentry",
        postgresql_where=sa.text("state IN ('LEFT', 'REJECTED')"),
    )
    op.drop_index("journalentry_by_day", table_name="journalentry")
    op.drop_index(op.f("ix_journalentry_invoice_id"), table_name="journalentry")
    op.drop_index(op.f("ix_journalentry_case_id"), table_name="journalentry")
    op.drop_table("journalentry")
    op.drop_index(op.f("ix_difference_reconciliation_id"), table_name="difference")
    op.drop_index(op.f("ix_difference_case_id"), table_name="difference")
    op.drop_index("difference_once", table_name="difference", postgresql_where=sa.text("state = 'OPEN'"))
    op.drop_index("difference_newest", table_name="difference")
    op.drop_table("difference")
    op.drop_index("reconciliation_newest", table_name="reconciliation")
    op.drop_table("reconciliation")
    op.drop_index(op.f("ix_bankstatement_file_hash"), table_name="bankstatement")
    op.drop_index("bankstatement_newest", table_name="bankstatement")
    op.drop_table("bankstatement")
