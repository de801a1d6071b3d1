"""A benefit is given once a year: to an address, to a person, whoever asks it and however many at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from loket import cases, sources
from loket.facts import facts_of
from loket.ids import decode_id
from loket.spelling import address_line
from loket.work import the_system
from premiums import written
from test_assessment import applies, assessed, ended, hears
from town import HANDLER, Dossier, Town, opened


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("procedures")
    written(folder, "toelage")
    async with opened(module_database_url, tmp_path_factory.mktemp("town"), procedures=str(folder)) as found:
        yield found


async def claims(town: Town, dossier: Dossier) -> dict[str, str]:
    """What a rule sees."""
    loket = town.served.loket
    async with loket.work(the_system()) as work:
        case = await cases.get(work, decode_id(dossier.id, "Case"))
        return dict((await facts_of(work, case)).claims)


async def test_two_of_one_address_who_apply_at_once_get_it_once(town: Town) -> None:
    first, second = await asyncio.gather(
        *(applies(town, who, "toelage", "home") for who in ("marie", "koen"))
    )
    standing = [await claims(town, one) for one in (first, second)]
    assert sorted(one["home"] for one in standing) == ["FREE", "TAKEN"]
    rows = await town.sql(
        "SELECT FROM entitlement WHERE case_id IN (:a, :b) AND benefit = 'home'",
        a=decode_id(first.id, "Case"),
        b=decode_id(second.id, "Case"),
    )
    assert len(rows) == 1


async def test_another_person_of_the_address_gets_what_is_given_per_person(town: Town) -> None:
    an, bert = await applies(town, "an", "toelage", "own"), await applies(town, "bert", "toelage", "own")
    assert [await claims(town, one) for one in (an, bert)] == [{"own": "FREE"}, {"own": "FREE"}]
    again = await applies(town, "an", "toelage", "own", "home")
    assert await claims(town, again) == {"own": "TAKEN", "home": "FREE"}


async def test_what_is_not_granted_is_another_ones_to_claim(town: Town) -> None:
    who = town.somebody()
    first = await assessed(town, who)
    await ended(first)
    second = await applies(town, who)
    assert await claims(town, second) == {"home": "TAKEN"}
    await town.does(who, "caseWithdraw", id=first.id)
    # free, but nobody's yet: a rule leaves it to a person until it is claimed
    assert await claims(town, second) == {"home": "ABSENT"}
    await hears(second, "REFERRED")
    await town.does(HANDLER, "caseDeclareAdmissible", id=second.id)
    await ended(second)
    assert await claims(town, second) == {"home": "FREE"}


async def test_a_year_later_it_can_be_had_again(town: Town) -> None:
    who = town.somebody()
    first = await applies(town, who)
    await town.sql(
        "UPDATE entitlement SET year = year - 1 WHERE case_id = :id", id=decode_id(first.id, "Case")
    )
    assert await claims(town, await applies(town, who)) == {"home": "FREE"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"box": "0002"}, {"box": "bus 2"}, True),
        ({"street": "Hélène-straat"}, {"street": "HELENE straat"}, True),
        ({"number": "14 A"}, {"number": "14a"}, True),
        ({"box": "2"}, {"box": "3"}, False),
        ({"number": "1", "box": "11"}, {"number": "11", "box": "1"}, False),
        ({"nis": "13999"}, {"nis": "13025"}, False),
    ],
)
def test_spellings_of_an_address_are_one_address(
    one: dict[str, str], other: dict[str, str], same: bool
) -> None:
    home = {"street": "Markt", "number": "8", "box": None, "postal_code": "2999", "nis": "13999"}
    assert (address_line(home | one) == address_line(home | other)) is same


@pytest.mark.parametrize("known", [False, True])
async def test_who_got_another_national_number_gets_no_second_one(town: Town, known: bool) -> None:
    """Also where Loket met the new number before it heard that both are one person."""
    who = f"burger-2030{known:d}"
    first = await applies(town, who, "toelage", "own")
    assert await claims(town, first) == {"own": "FREE"}
    number = (await town.order("magda", f"persons/{who}", replaced_by=True))["replaced_by"]
    if known:
        vault = town.served.loket.vault
        async with town.served.loket.work(the_system()) as work:
            await sources.of_number(work, vault.seal(number), vault.index("insz", number))
    second = await applies(town, who, "toelage", "own")
    assert await claims(town, second) == {"own": "TAKEN"}
