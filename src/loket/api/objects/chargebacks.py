"""What the payer's bank took back of a payment."""

from datetime import date

from loket import records
from loket.api.reads import Node, column, entity, part
from loket.api.scalars import Money
from loket.api.visibility import of_case


@entity(records.Chargeback, policy=of_case)
class Chargeback(Node):
    """Money that the payer's bank took back (terugboeking)."""

    amount: Money = part("How much.", {"amount": "{t}.amount", "currency": "'EUR'"})
    taken_on: date = column("When.")
    reversed_on: date | None = column("When it became ours again, where the dispute was won.")
