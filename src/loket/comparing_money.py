"""What is compared of the money of a period: statements, each of which finds what disagrees to the cent."""

from sqlalchemy import TextClause, text

from loket.records import DifferenceKind

BANK_DAYS = 5
"""So many days after its value day a transfer is on the statements."""
_DAY = "(%s AT TIME ZONE 'Europe/Brussels')::date"
# fmt: off
BOOKED = (
    # what moved   its day                entry          where
    ("invoice",    "t.issued_on",         "INVOICE",     "TRUE"),
    ("creditnote", "t.issued_on",         "CREDIT_NOTE", "TRUE"),
    ("payment",    _DAY % "t.ended_at",   "PAYMENT",     "t.status = 'CAPTURED'"),
    ("refund",     "t.due_on",            "REFUND_DUE",  "TRUE"),
    ("refund",     _DAY % "t.ended_at",   "REFUND",      "t.status = 'DONE'"),
    ("chargeback", "t.taken_on",          "CHARGEBACK",  "TRUE"),
    ("payout",     _DAY % "t.ended_at",   "PAYOUT",      "(t.kind, t.status) = ('PREMIUM', 'EXECUTED')"),
)
# fmt: on
"""Each movement, and the journal entry that must say so with the same amount."""


def _unbooked(table: str, day: str, entry: str, where: str) -> TextClause:
    return text(f"""
        SELECT t.id AS subject_id, t.case_id, t.amount AS expected, NULL::numeric AS found,
               jsonb_build_object('type', '{entry}') AS detail
          FROM {table} t
         WHERE {day} BETWEEN :starts_on AND :ends_on AND {where}
           AND NOT EXISTS (SELECT FROM journalentry e WHERE e.type = '{entry}' AND e.subject_id = t.id)
    """)  # noqa: S608  # only words of the table above


def _booked_otherwise(table: str, day: str, entry: str, where: str) -> TextClause:
    """A refund may go, come back and go again: each time is an entry of the same amount."""
    return text(f"""
        SELECT e.id AS subject_id, t.case_id, t.amount AS expected, e.amount AS found,
               jsonb_build_object('type', '{entry}', 'number', e.document_number) AS detail
          FROM {table} t JOIN journalentry e ON e.type = '{entry}' AND e.subject_id = t.id
         WHERE {day} BETWEEN :starts_on AND :ends_on AND {where} AND e.amount <> t.amount
    """)  # noqa: S608  # only words of the table above


_NOT_TOLD = text("""
    SELECT e.id AS subject_id, e.case_id, e.amount AS expected, NULL::numeric AS found,
           jsonb_build_object('type', e.type, 'number', e.document_number, 'state', e.state,
                              'reason', nullif(e.reason, '')) AS detail
      FROM journalentry e LEFT JOIN effect f ON f.id = e.effect_id
     WHERE e.booked_on BETWEEN :starts_on AND :ends_on AND e.state IN ('LEFT', 'REJECTED')
       AND (e.state = 'REJECTED' OR f.state IS DISTINCT FROM 'PENDING')
""")

_NOT_ON_A_STATEMENT = text(f"""
    WITH covered AS (SELECT max(ends_on) AS until, min(starts_on) AS since FROM bankstatement),
    gone AS (
        SELECT p.id, p.case_id, p.amount, p.value_on AS day, 'payment' AS what FROM payment p
         WHERE p.method = 'TRANSFER' AND p.status = 'CAPTURED'
           AND NOT EXISTS (SELECT FROM bankentry b WHERE b.payment_id = p.id)
        UNION ALL
        SELECT p.id, p.case_id, -p.amount, p.executed_on, 'payout' FROM payout p
         WHERE p.status IN ('EXECUTED', 'RETURNED') AND p.executed_on IS NOT NULL
           AND NOT EXISTS (SELECT FROM bankentry b WHERE b.payout_id = p.id AND b.amount < 0)
    )
    SELECT g.id AS subject_id, g.case_id, g.amount AS expected, NULL::numeric AS found,
           jsonb_build_object(g.what || '_id', g.id, 'day', g.day) AS detail
      FROM gone g, covered c
     WHERE g.day BETWEEN :starts_on AND :ends_on AND g.day BETWEEN c.since AND c.until - {BANK_DAYS}
""")  # noqa: S608  # a number of ours

_ON_A_STATEMENT_OTHERWISE = text("""
    SELECT b.id AS subject_id, coalesce(p.case_id, o.case_id) AS case_id,
           coalesce(p.amount, o.amount) AS expected, abs(b.amount) AS found,
           jsonb_build_object('bank_reference', nullif(b.bank_reference, '')) AS detail
      FROM bankentry b LEFT JOIN payment p ON p.id = b.payment_id LEFT JOIN payout o ON o.id = b.payout_id
     WHERE b.booked_on BETWEEN :starts_on AND :ends_on AND b.status = 'MATCHED'
       AND abs(b.amount) <> coalesce(p.amount, o.amount)
""")

_INVOICES = text("""
    WITH these AS (
        SELECT i.* FROM invoice i
         WHERE i.issued_on BETWEEN :starts_on AND :ends_on
            OR i.id IN (SELECT invoice_id FROM journalentry WHERE booked_on BETWEEN :starts_on AND :ends_on)
    ), sums AS (
        SELECT i.id, i.case_id, i.number, i.amount + i.costs - i.credited - i.paid - i.written_off AS open,
               i.paid, i.credited, i.costs,
               (SELECT coalesce(sum(p.amount), 0) FROM payment p
                 WHERE p.invoice_id = i.id AND p.status = 'CAPTURED')
             - (SELECT coalesce(sum(r.amount), 0) FROM refund r JOIN payment p ON p.id = r.payment_id
                 WHERE p.invoice_id = i.id)
             - (SELECT coalesce(sum(b.counted), 0) FROM chargeback b JOIN payment p ON p.id = b.payment_id
                 WHERE p.invoice_id = i.id AND b.reversed_on IS NULL) AS came_in,
               (SELECT coalesce(sum(n.amount), 0) FROM creditnote n WHERE n.invoice_id = i.id) AS noted,
               (SELECT coalesce(sum(d.cost), 0) FROM dunning d WHERE d.invoice_id = i.id) AS charged,
               (SELECT coalesce(sum(l.debit - l.credit), 0)
                  FROM journalentry e JOIN journalline l ON l.entry_id = e.id
                 WHERE e.invoice_id = i.id AND l.account = 'RECEIVABLE') AS booked,
               (SELECT coalesce(sum(b.amount - b.counted), 0)
                  FROM chargeback b JOIN payment p ON p.id = b.payment_id
                 WHERE p.invoice_id = i.id AND b.reversed_on IS NULL)
             + (SELECT coalesce(sum(CASE e.type WHEN 'PAYOUT' THEN e.amount ELSE -e.amount END), 0)
                  FROM journalentry e
                 WHERE e.invoice_id = i.id AND e.type IN ('PAYOUT', 'PAYOUT_RETURNED')) AS owed_besides
          FROM these i
    )
    SELECT id AS subject_id, case_id, open AS expected, booked - owed_besides AS found,
           jsonb_strip_nulls(jsonb_build_object('number', number,
               'paid', CASE WHEN paid <> came_in THEN jsonb_build_array(paid, came_in) END,
               'credited', CASE WHEN credited <> noted THEN jsonb_build_array(credited, noted) END,
               'costs', CASE WHEN costs <> charged THEN jsonb_build_array(costs, charged) END)) AS detail
      FROM sums
     WHERE open <> booked - owed_besides OR paid <> came_in OR credited <> noted OR costs <> charged
""")

_REFUNDS = text("""
    SELECT p.id AS subject_id, p.case_id, p.amount AS expected, sum(r.amount) AS found,
           jsonb_build_object('payment_id', p.id) AS detail
      FROM payment p JOIN refund r ON r.payment_id = p.id
     WHERE p.id IN (SELECT payment_id FROM refund WHERE due_on BETWEEN :starts_on AND :ends_on)
     GROUP BY p.id HAVING sum(r.amount) > p.amount
""")

_PAYOUTS = text("""
    WITH these AS (
        SELECT DISTINCT case_id, round FROM payout
         WHERE kind = 'PREMIUM' AND executed_on BETWEEN :starts_on AND :ends_on
    )
    SELECT c.id AS subject_id, c.id AS case_id, granted.amount AS expected, paid.amount AS found,
           '{}'::jsonb AS detail
      FROM (SELECT DISTINCT case_id FROM these) t JOIN "case" c ON c.id = t.case_id
      CROSS JOIN LATERAL (SELECT coalesce(max(d.amount), 0) AS amount FROM decision d
                           WHERE d.case_id = c.id AND d.amount IS NOT NULL) granted
      CROSS JOIN LATERAL (SELECT coalesce(sum(o.amount), 0) AS amount FROM payout o
                           WHERE o.case_id = c.id AND o.kind = 'PREMIUM'
                             AND o.executed_on IS NOT NULL AND o.status <> 'RETURNED') paid
     WHERE paid.amount > granted.amount
       AND NOT EXISTS (SELECT FROM task k WHERE k.case_id = c.id AND k.kind = 'RECOVERY')
""")

_LEDGER = text("""
    SELECT e.id AS subject_id, e.case_id, e.amount AS expected, sum(l.debit) AS found,
           jsonb_build_object('type', e.type, 'number', e.document_number, 'credit', sum(l.credit)) AS detail
      FROM journalentry e LEFT JOIN journalline l ON l.entry_id = e.id
     WHERE e.booked_on BETWEEN :starts_on AND :ends_on
     GROUP BY e.id
    HAVING sum(l.debit) IS DISTINCT FROM sum(l.credit) OR sum(l.debit) IS DISTINCT FROM e.amount
""")

COMPARISONS: tuple[tuple[DifferenceKind, TextClause], ...] = (
    *((DifferenceKind.ENTRY_MISSING, _unbooked(*one)) for one in BOOKED),
    *((DifferenceKind.ENTRY_DIFFERS, _booked_otherwise(*one)) for one in BOOKED),
    (DifferenceKind.ENTRY_NOT_TOLD, _NOT_TOLD),
    (DifferenceKind.STATEMENT, _NOT_ON_A_STATEMENT),
    (DifferenceKind.STATEMENT, _ON_A_STATEMENT_OTHERWISE),
    (DifferenceKind.INVOICE, _INVOICES),
    (DifferenceKind.REFUND, _REFUNDS),
    (DifferenceKind.PAYOUT, _PAYOUTS),
    (DifferenceKind.LEDGER, _LEDGER),
)
"""Each kind of difference, and the statement that finds it; `starts_on` and `ends_on` are the period."""

COUNTED = text("""
    SELECT jsonb_build_object(
        'invoices', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM invoice
                      WHERE issued_on BETWEEN :starts_on AND :ends_on),
        'credit_notes', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM creditnote
                          WHERE issued_on BETWEEN :starts_on AND :ends_on),
        'payments', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM payment
                      WHERE status = 'CAPTURED'
                        AND (ended_at AT TIME ZONE 'Europe/Brussels')::date BETWEEN :starts_on AND :ends_on),
        'refunds', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM refund
                     WHERE due_on BETWEEN :starts_on AND :ends_on),
        'payouts', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM payout
                     WHERE executed_on BETWEEN :starts_on AND :ends_on),
        'entries', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM journalentry
                     WHERE booked_on BETWEEN :starts_on AND :ends_on),
        'bank_movements', (SELECT jsonb_build_array(count(*), coalesce(sum(amount), 0)) FROM bankentry
                            WHERE booked_on BETWEEN :starts_on AND :ends_on)
    ) AS counted
""")
"""How much was compared in a period: numbers and sums."""
