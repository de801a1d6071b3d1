"""The account number in the answers of a draft: kept sealed, shown to who fills it in."""

from loket.definition import Definition
from loket.records import Json
from loket.sources import read, write
from loket.vault import Vault

SEALED = "sealed:"
"""Before an account number in the answers as they are kept."""


def sealed_in(definition: Definition, vault: Vault, answers: Json) -> Json:
    """The answers of a draft as they are kept: no account number stands in them in the open."""
    given = given_in(definition, answers)
    return with_account(definition, answers, SEALED + vault.seal(given).hex()) if given.strip() else answers


def opened_in(definition: Definition, vault: Vault, answers: Json) -> Json:
    """The answers of a draft as they were given."""
    kept = given_in(definition, answers)
    if not kept.startswith(SEALED):
        return answers
    return with_account(definition, answers, vault.open(bytes.fromhex(kept.removeprefix(SEALED))))


def given_in(definition: Definition, answers: Json) -> str:
    """What stands in the field for the account; empty where the procedure has none."""
    given = read(answers, _pointer(definition)) if definition.payout else None
    return given if isinstance(given, str) else ""


def with_account(definition: Definition, answers: Json, account: str) -> Json:
    """A copy of `answers` with `account` in its field."""
    return write(answers, _pointer(definition), account)


def _pointer(definition: Definition) -> list[str]:
    assert definition.payout is not None
    return definition.payout.account_field.strip("/").split("/")
