"""Is the money the same everywhere: at the payment module, in accounting, and here; to the cent?"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from storm.evidence import Evidence, Row
from storm.findings import Bench

Json = dict[str, Any]
CENT = Decimal("0.01")
PAID_AT_SIPS = ("CAPTURED", "TO_CREDIT", "CREDITED")


def judge(evidence: Evidence, bench: Bench) -> None:
    _payments(evidence, bench)
    _transfers(evidence, bench)
    _refunds(evidence, bench)
    _payouts(evidence, bench)
    _invoices(evidence, bench)
    _movements(evidence, bench)
    _entries(evidence, bench)
    _accounting(evidence, bench)
    _sums(evidence, bench)


def cents(number: float) -> Decimal:
    return (Decimal(str(number)) / 100).quantize(CENT)


# --- what came in -----------------------------------------------------------------------------


def _payments(evidence: Evidence, bench: Bench) -> None:
    """Each payment captured at a module is one captured payment here, of the same amount; and back."""
    theirs: dict[tuple[str, str], tuple[Decimal, str]] = {}
    for key, standing, amount, reference in evidence.outside.parts(
        "worldline", "payment", "standing", "amount", "reference"
    ):
        if standing == "captured":
            theirs["WORLDLINE", key] = cents(amount), reference
    for key, status, amount, reference in evidence.outside.parts(
        "sips", "transaction", "status", "amount", "reference"
    ):
        if status in PAID_AT_SIPS:
            theirs["SIPS", key] = cents(amount), reference
    ours = evidence.rows("""
        SELECT id, case_id, upper(module) AS module, provider_payment_id, amount, status FROM payment
         WHERE method = 'ONLINE' AND (status = 'CAPTURED' OR provider_payment_id IS NOT NULL)
    """)
    bench.checked("payments at the modules", len(theirs))
    bench.checked("payments captured here", len(ours))
    known: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for one in ours:
        known[one.module, one.provider_payment_id].append(one)
    for key, (amount, reference) in theirs.items():
        of = [one for one in known.get(key, []) if one.status == "CAPTURED"]
        if len(of) != 1:
            bench.wrong(
                "paid at the module, and not once here", reference, payment=key[1], here=len(of), eur=amount
            )
        elif of[0].amount != amount or evidence.name(of[0].case_id) != reference:
            bench.wrong("paid at the module, and otherwise here", reference,
                        payment=key[1], theirs=amount, ours=of[0].amount)  # fmt: skip
    for key, rows in known.items():
        if key not in theirs:
            bench.wrong(
                "captured here, and not at the module", evidence.name(rows[0].case_id), payment=key[1]
            )


def _transfers(evidence: Evidence, bench: Bench) -> None:
    """Each transfer in accounting with a reference of ours is named once here, with its amount."""
    found = evidence.rows("""
        SELECT n.name, p.amount, p.status, p.case_id, i.reference
          FROM paymentname n JOIN payment p ON p.id = n.payment_id JOIN invoice i ON i.id = p.invoice_id
         WHERE n.source = 'accounting'
    """)
    ours = {one.name: one for one in found}
    invoices = {one.reference for one in evidence.rows("SELECT reference FROM invoice")}
    theirs = evidence.outside.parts("accounting", "transfer", "reference", "amount")
    mine = [one for one in theirs if one[1] in invoices]
    bench.checked("transfers in accounting", len(mine))
    for name, reference, amount in mine:
        one = ours.get(name)
        if one is None or one.status != "CAPTURED":
            bench.wrong("a transfer that is not here", reference, name=name, eur=amount)
        elif (one.amount, one.reference) != (Decimal(amount), reference):
            bench.wrong(
                "a transfer that is otherwise here", reference, name=name, theirs=amount, ours=one.amount
            )
    for name in ours.keys() - {one[0] for one in theirs}:
        bench.wrong("a transfer that accounting does not know", evidence.name(ours[name].case_id), name=name)


# --- what went out ----------------------------------------------------------------------------


def _refunds(evidence: Evidence, bench: Bench) -> None:
    """Each refund at a module is one here; and what went back of a payment is never more than came."""
    theirs = {
        key: (standing, cents(amount), payment)
        for key, standing, amount, payment in evidence.outside.parts(
            "worldline", "refund", "standing", "amount", "paymentId"
        )
    }
    ours = evidence.rows("""
        SELECT r.id, r.case_id, r.status, r.amount, r.provider_refund_id, p.provider_payment_id, p.method,
               upper(p.module) AS module,
               EXISTS (SELECT FROM payout o WHERE o.refund_id = r.id AND o.status = 'EXECUTED') AS paid_out
          FROM refund r JOIN payment p ON p.id = r.payment_id
    """)
    bench.checked("refunds at the module", len(theirs))
    bench.checked("refunds here", len(ours))
    named = {one.provider_refund_id: one for one in ours if one.provider_refund_id}
    for key, (standing, amount, payment) in theirs.items():
        one = named.get(key)
        if one is None:
            bench.wrong("a refund that is not here", payment, refund=key, eur=amount)
        elif (one.amount, one.provider_payment_id) != (amount, payment):
            bench.wrong(
                "a refund that is otherwise here", evidence.name(one.case_id), theirs=amount, ours=one.amount
            )
        elif standing == "refunded" and one.status != "DONE":
            bench.wrong("paid back, and not so here", evidence.name(one.case_id), here=one.status)
    for one in ours:
        if one.module == "WORLDLINE" and one.status == "DONE" and not one.paid_out:
            standing = theirs.get(one.provider_refund_id, ("nothing",))[0]
            bench.unless(standing == "refunded", "paid back here, and not at the module",
                         evidence.name(one.case_id), module=standing)  # fmt: skip
    for one in evidence.rows("""
        SELECT p.case_id, p.amount, sum(r.amount) AS back FROM refund r JOIN payment p ON p.id = r.payment_id
         GROUP BY p.id HAVING sum(r.amount) > p.amount
    """):
        bench.wrong("more goes back than came", evidence.name(one.case_id), came=one.amount, back=one.back)


def _payouts(evidence: Evidence, bench: Bench) -> None:
    """Each payout that was sent is one order at accounting, of its amount, for its case; and back."""
    theirs = {
        key: (status, Decimal(amount), reference, end_to_end)
        for key, status, amount, reference, end_to_end in evidence.outside.parts(
            "accounting", "payout", "status", "order.amount", "order.caseReference", "order.endToEndId"
        )
    }
    ours = {
        str(one.id): one
        for one in evidence.rows("SELECT id, case_id, decision_id, refund_id, status, amount FROM payout")
    }
    bench.checked("payouts at accounting", len(theirs))
    bench.checked("payouts here", len(ours))
    for id, (status, amount, reference, end_to_end) in theirs.items():
        one = ours.get(id)
        if one is None:
            bench.wrong("an order that is not here", reference, payout=id, eur=amount)
            continue
        if (one.amount, evidence.name(one.case_id), one.id.hex) != (amount, reference, end_to_end):
            bench.wrong("an order that is otherwise here", reference, theirs=amount, ours=one.amount)
        if one.status not in SAME[status]:
            bench.wrong("an order that stands otherwise here", reference, theirs=status, ours=one.status)
    for id, one in ours.items():
        if one.status in ("SENT", "EXECUTED", "RETURNED") and id not in theirs:
            bench.wrong("sent here, and accounting has no order", evidence.name(one.case_id), payout=id)
    paid: dict[object, list[str]] = defaultdict(list)
    for id, one in ours.items():
        if theirs.get(id, ("",))[0] in ("ACCEPTED", "EXECUTED"):
            paid[one.decision_id or one.refund_id].append(id)
    for of in paid.values():
        if len(of) > 1:
            bench.wrong("paid out twice", evidence.name(ours[of[0]].case_id), payouts=of)
    _granted(evidence, bench)


SAME = {
    "ACCEPTED": ("SENT", "IN_DOUBT"),
    "EXECUTED": ("EXECUTED",),
    "REJECTED": ("REJECTED",),
    "RETURNED": ("RETURNED",),
    "CANCELLED": ("CANCELLED", "REJECTED"),
}
"""What a payout may be here when accounting says so of its order."""


def _granted(evidence: Evidence, bench: Bench) -> None:
    found = evidence.rows("""
        SELECT d.case_id, d.amount AS granted,
               coalesce(sum(o.amount) FILTER (WHERE o.status IN ('SENT', 'EXECUTED')), 0) AS paid
          FROM decision d JOIN payout o ON o.decision_id = d.id GROUP BY d.id
    """)
    bench.checked("decisions that are paid out", len(found))
    for one in found:
        bench.unless(one.paid <= (one.granted or 0), "more paid out than granted",
                     evidence.name(one.case_id), granted=one.granted, paid=one.paid)  # fmt: skip


# --- invoices and books -----------------------------------------------------------------------


def _invoices(evidence: Evidence, bench: Bench) -> None:
    """What an invoice says of itself is the sum of its payments, refunds, credit notes and costs."""
    found = evidence.rows("""
        WITH came AS (SELECT invoice_id, sum(amount) AS eur FROM payment
                       WHERE status = 'CAPTURED' GROUP BY 1),
        back AS (SELECT p.invoice_id, sum(r.amount) AS eur
                   FROM refund r JOIN payment p ON p.id = r.payment_id GROUP BY 1),
        taken AS (SELECT p.invoice_id, sum(b.counted) AS eur
                    FROM chargeback b JOIN payment p ON p.id = b.payment_id
                   WHERE b.reversed_on IS NULL GROUP BY 1),
        noted AS (SELECT invoice_id, sum(amount) AS eur FROM creditnote GROUP BY 1),
        asked AS (SELECT invoice_id, sum(cost) AS eur FROM dunning GROUP BY 1),
        lines AS (SELECT i.id, sum((line->>'amount')::numeric) AS eur
                    FROM invoice i CROSS JOIN LATERAL jsonb_array_elements(i.lines) AS line GROUP BY 1)
        SELECT i.*, coalesce(came.eur, 0) - coalesce(back.eur, 0) - coalesce(taken.eur, 0) AS came_in,
               coalesce(noted.eur, 0) AS noted, coalesce(asked.eur, 0) AS asked,
               coalesce(lines.eur, 0) AS of_lines
          FROM invoice i LEFT JOIN came ON came.invoice_id = i.id LEFT JOIN back ON back.invoice_id = i.id
          LEFT JOIN taken ON taken.invoice_id = i.id LEFT JOIN noted ON noted.invoice_id = i.id
          LEFT JOIN asked ON asked.invoice_id = i.id LEFT JOIN lines ON lines.id = i.id
    """)
    bench.checked("invoices", len(found))
    for one in found:
        case = evidence.name(one.case_id)
        for name, said, is_ in (
            ("paid", one.paid, one.came_in), ("credited", one.credited, one.noted),
            ("costs", one.costs, one.asked), ("amount", one.amount, one.of_lines),
        ):  # fmt: skip
            if said != is_:
                bench.wrong(
                    f"an invoice whose {name} does not add up", case, number=one.number, says=said, sum=is_
                )
        left = one.amount + one.costs - one.credited - one.paid - one.written_off
        if (
            (one.status == "PAID" and left > 0)
            or (one.status in ("ISSUED", "PARTLY_PAID") and left <= 0)
            or left < 0
        ):
            bench.wrong(
                "an invoice that is not what its sums say", case, number=one.number, is_=one.status, open=left
            )


# fmt: off
MOVED = (
    # table         where                                               entry           at the same amount
    ("invoice",    "true",                                              "INVOICE"),
    ("creditnote", "true",                                              "CREDIT_NOTE"),
    ("payment",    "status = 'CAPTURED'",                               "PAYMENT"),
    ("refund",     "true",                                              "REFUND_DUE"),
    ("refund",     "status = 'DONE'",                                   "REFUND"),
    ("chargeback", "true",                                              "CHARGEBACK"),
    ("payout",     "kind = 'PREMIUM' AND status IN ('EXECUTED', 'RETURNED')", "PAYOUT"),
)
# fmt: on


def _movements(evidence: Evidence, bench: Bench) -> None:
    """Each movement is booked once, at its amount; each entry of such a type books one."""
    entries: dict[tuple[str, object], list[Row]] = defaultdict(list)
    for one in evidence.rows("SELECT type, subject_id, case_id, amount FROM journalentry"):
        entries[one.type, one.subject_id].append(one)
    for table, where, type in MOVED:
        found = evidence.rows(f"SELECT id, case_id, amount FROM {table} WHERE {where}")  # noqa: S608  # ours
        bench.checked(f"{table}s booked as {type}", len(found))
        for one in found:
            amounts = [entry.amount for entry in entries.pop((type, one.id), [])]
            again = type == "REFUND"  # it may go, come back, and go again
            if one.amount not in amounts or (len(amounts) > 1 and not again):
                bench.wrong(f"a {table} that is not booked once", evidence.name(one.case_id),
                            entry=type, eur=one.amount, booked=amounts)  # fmt: skip
    own = {type for _, _, type in MOVED} - {"REFUND"}
    for (type, subject), rows in entries.items():
        if type in own:
            bench.wrong(
                "an entry of what did not happen", evidence.name(rows[0].case_id), entry=type, subject=subject
            )


def _entries(evidence: Evidence, bench: Bench) -> None:
    found = evidence.rows("""
        SELECT e.case_id, e.document_number, e.amount, coalesce(sum(l.debit), 0) AS debit,
               coalesce(sum(l.credit), 0) AS credit
          FROM journalentry e LEFT JOIN journalline l ON l.entry_id = e.id GROUP BY e.id
    """)
    bench.checked("entries that balance", len(found))
    for one in found:
        if not one.debit == one.credit == one.amount:
            bench.wrong("an entry that does not balance", evidence.name(one.case_id),
                        number=one.document_number, eur=one.amount,
                        debit=one.debit, credit=one.credit)  # fmt: skip


def _accounting(evidence: Evidence, bench: Bench) -> None:
    """Accounting has each entry that it must be told of, line by line, and no other."""
    theirs = dict(evidence.outside.documents("accounting", "entry"))
    ours = {
        str(one.id): one
        for one in evidence.rows("""
            SELECT e.id, e.case_id, e.type, e.amount, e.state, e.document_number, e.voucher, i.reference,
                   (SELECT jsonb_agg(jsonb_build_array(l.account, (l.debit - l.credit)::text)
                                     ORDER BY l.account, l.debit - l.credit)
                      FROM journalline l WHERE l.entry_id = e.id) AS lines
              FROM journalentry e LEFT JOIN invoice i ON i.id = e.invoice_id
        """)
    }
    tell = {id: one for id, one in ours.items() if one.state != "KNOWN" and one.reference is not None}
    bench.checked("entries told to accounting", len(tell))
    for id, one in tell.items():
        kept = theirs.get(id)
        case = evidence.name(one.case_id)
        if kept is None or kept["status"] != "BOOKED":
            bench.wrong("an entry that accounting does not have", case, type=one.type, state=one.state)
            continue
        entry = kept["entry"]
        if (Decimal(entry["amount"]), entry["type"], entry["reference"]) != (
            one.amount,
            one.type,
            one.reference,
        ):
            bench.wrong(
                "an entry that accounting has otherwise",
                case,
                type=one.type,
                ours=one.amount,
                theirs=entry["amount"],
            )
        if _postings(entry["postings"]) != sorted(
            (account, Decimal(eur)) for account, eur in one.lines or ()
        ):
            bench.wrong(
                "an entry with other lines at accounting", case, type=one.type, number=one.document_number
            )
        if one.state != "BOOKED" or one.voucher != kept["voucher"]:
            bench.wrong("booked at accounting, and not so here", case, type=one.type, state=one.state)
    for id in theirs.keys() - tell.keys():
        bench.wrong("an entry that only accounting has", theirs[id]["entry"]["reference"], entry=id)


def _postings(told: Iterable[Json]) -> list[tuple[str, Decimal]]:
    return sorted(
        (one["account"], Decimal(one.get("debit", "0")) - Decimal(one.get("credit", "0"))) for one in told
    )


def _sums(evidence: Evidence, bench: Bench) -> None:
    """What the ledger has with the payment module is what the module has of ours."""
    (ours,) = evidence.rows("""
        SELECT coalesce(sum(debit - credit), 0) AS eur, count(*) AS lines FROM journalline
         WHERE account = 'MODULE'
    """)
    outside = evidence.outside
    captured = outside.parts("worldline", "payment", "standing", "amount")
    returned = outside.parts("worldline", "refund", "standing", "amount")
    at_sips = outside.parts("sips", "transaction", "status", "current")
    theirs = sum((cents(eur) for _, standing, eur in captured if standing == "captured"), Decimal(0))
    theirs -= sum((cents(eur) for _, standing, eur in returned if standing == "refunded"), Decimal(0))
    theirs += sum((cents(eur) for _, status, eur in at_sips if status in PAID_AT_SIPS), Decimal(0))
    taken = evidence.rows("SELECT coalesce(sum(amount), 0) AS eur FROM chargeback WHERE reversed_on IS NULL")[
        0
    ].eur
    bench.checked("lines with the payment module", ours.lines)
    bench.unless(ours.eur == theirs - taken, "the ledger has other money with the module", "all",
                 ours=ours.eur, theirs=theirs, charged_back=taken)  # fmt: skip
    (total,) = evidence.rows(
        "SELECT coalesce(sum(debit), 0) AS debit, coalesce(sum(credit), 0) AS credit FROM journalline"
    )
    bench.unless(
        total.debit == total.credit,
        "the ledger does not balance",
        "all",
        debit=total.debit,
        credit=total.credit,
    )
