"""What the bank writes: account statements (rekeninguittreksels) in the forms that Belgian banks deliver."""

from loket.bank import camt, coda
from loket.bank.statement import LARGEST_BYTES, BadStatement, Form, Movement, Statement, same_movements

__all__ = [
    "LARGEST_BYTES",
    "BadStatement",
    "Form",
    "Movement",
    "Statement",
    "read",
    "same_movements",
]


def read(content: bytes) -> tuple[Form, list[Statement]]:
    """The statements in a file, in its order. Their balances were checked against their movements.

    Raises:
        BadStatement: not all of it can be read, or it contradicts itself: nothing of it is to be believed.
    """
    if len(content) > LARGEST_BYTES:
        raise BadStatement(f"a file has at most {LARGEST_BYTES} bytes")
    if coda.looks_so(content):
        return Form.CODA, coda.read(content)
    if camt.looks_so(content):
        return Form.CAMT, camt.read(content)
    raise BadStatement("neither CODA nor camt.053")
