"""What is sealed in the answers of an application: the account number, and national numbers.

Whoever fills in a draft sees what they wrote. Of a national number staff see the masked form, and so does
everybody once the application is handed in; the account number is kept apart then (`payout_accounts`).
"""

from cryptography.exceptions import InvalidTag

from loket.definition import Definition
from loket.formfields import all_fields
from loket.forms import NATIONAL_NUMBER
from loket.numbers import masked_national_number, national_number
from loket.records import Json
from loket.sources import read, write
from loket.vault import Vault

SEALED = "sealed:"
"""Before a number in the answers as they are kept."""


def sealed_in(definition: Definition, vault: Vault, answers: Json) -> Json:
    """The answers as they are kept: no such number stands in them in the open."""
    for pointer in (*_account(definition), *_numbers(definition)):
        given = _text(answers, pointer)
        if given.strip() and not _is_sealed(vault, given):
            answers = write(answers, pointer, SEALED + vault.seal(given).hex())
    return answers


def opened_in(definition: Definition, vault: Vault, answers: Json) -> Json:
    """The answers as they were given."""
    for pointer in (*_account(definition), *_numbers(definition)):
        kept = _text(answers, pointer)
        if kept.startswith(SEALED):
            answers = write(answers, pointer, vault.open(bytes.fromhex(kept.removeprefix(SEALED))))
    return answers


def masked_in(definition: Definition, answers: Json) -> Json:
    """The answers with what one knows one's own national number by; `answers` as they were given."""
    for pointer in _numbers(definition):
        number = national_number(_text(answers, pointer))
        if number is not None:
            answers = write(answers, pointer, masked_national_number(number))
    return answers


def unmasked_in(definition: Definition, before: Json, answers: Json) -> Json:
    """The answers, where a masked number was sent back with the number that it stands for."""
    masked = masked_in(definition, before)
    for pointer in _numbers(definition):
        if (given := _text(answers, pointer)) and given == _text(masked, pointer):
            answers = write(answers, pointer, _text(before, pointer))
    return answers


def given_in(definition: Definition, answers: Json) -> str:
    """What stands in the field for the account; empty where the procedure has none."""
    return next((_text(answers, pointer) for pointer in _account(definition)), "")


def with_account(definition: Definition, answers: Json, account: str) -> Json:
    """A copy of `answers` with `account` in its field."""
    (pointer,) = _account(definition)
    return write(answers, pointer, account)


def _is_sealed(vault: Vault, text: str) -> bool:
    """Whether it was sealed by us: anybody can type the word."""
    try:
        vault.open(bytes.fromhex(text.removeprefix(SEALED)))
    except (ValueError, InvalidTag):
        return False
    return text.startswith(SEALED)


def _account(definition: Definition) -> list[list[str]]:
    return [_steps(definition.payout.account_field)] if definition.payout else []


def _numbers(definition: Definition) -> list[list[str]]:
    """Where national numbers stand, also those that are asked only sometimes."""
    fields = all_fields(definition.form.json_schema)
    return [
        _steps(pointer)
        for pointer in dict.fromkeys(at for at, one in fields if one.get("format") == NATIONAL_NUMBER)
    ]


def _steps(pointer: str) -> list[str]:
    return pointer.strip("/").split("/")


def _text(answers: Json, pointer: list[str]) -> str:
    found = read(answers, pointer)
    return found if isinstance(found, str) else ""
