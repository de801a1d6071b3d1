"""Numbers that are typed over by hand: a slip is noticed, and none gives another away."""

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.be import ogm_vcs

from loket.numbers import (
    case_reference,
    find_references,
    printed_reference,
    structured_reference,
    valid_case_reference,
    valid_structured_reference,
)

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY = bytes(range(32))

ten_digits = st.integers(1, 10**10 - 1)
case_numbers = st.integers(0, 2**30 - 1)
prefixes = st.text(string.ascii_uppercase, min_size=2, max_size=4)
keys = st.binary(min_size=32, max_size=32)


# --- structured references --------------------------------------------------------------------


@given(ten_digits)
def test_a_structured_reference_is_what_the_standard_says(number: int) -> None:
    digits = structured_reference(number)
    assert len(digits) == 12
    assert digits[:10] == f"{number:010d}"
    assert digits[10:] == ogm_vcs.calc_check_digits(digits[:10])
    assert ogm_vcs.is_valid(printed_reference(digits))
    assert printed_reference(digits).strip("+") == ogm_vcs.format(digits)


@given(st.integers(1, 10**10 // 97 - 1))
def test_where_nothing_remains_the_check_digits_are_97(times: int) -> None:
    assert structured_reference(97 * times)[10:] == "97"


@pytest.mark.parametrize("number", [-1, 0, 10**10])
def test_no_structured_reference_is_made_of_nothing_or_of_eleven_digits(number: int) -> None:
    with pytest.raises(ValueError, match="1 to 10 digits"):
        structured_reference(number)


def test_a_structured_reference_is_printed_in_three_groups() -> None:
    assert printed_reference("090933755493") == "+++090/9337/55493+++"


@given(st.text("0123456789", min_size=12, max_size=12))
def test_the_standard_and_we_accept_the_same_twelve_digits(digits: str) -> None:
    assert valid_structured_reference(digits) == ogm_vcs.is_valid(digits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "09093375549",
        "0909337554931",
        "+++090/9337/55493+++",
        "09093375549x",
        "٠٩٠٩٣٣٧٥٥٤٩٣",
        "090933755493\n",
    ],
)
def test_only_twelve_bare_digits_are_a_structured_reference(text: str) -> None:
    assert not valid_structured_reference(text)


@given(ten_digits, st.integers(0, 11), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(number: int, place: int, more: int) -> None:
    digits = structured_reference(number)
    wrong = digits[:place] + str((int(digits[place]) + more) % 10) + digits[place + 1 :]
    assert not valid_structured_reference(wrong)


@given(ten_digits, st.sampled_from(["{}", "+++{}+++", "***{}***", "OGM {} dank u", "({}),", "ref:{}."]))
def test_a_reference_is_found_in_what_a_citizen_typed(number: int, around: str) -> None:
    digits = structured_reference(number)
    a, b, c = digits[:3], digits[3:7], digits[7:]
    for written in (digits, f"{a}/{b}/{c}", f"{a} {b} {c}", f"{a}.{b}.{c}"):
        assert find_references(around.format(written)) == [digits]


def test_references_are_found_in_their_order() -> None:
    first, second = structured_reference(909337554), structured_reference(7)
    text = f"facturen {printed_reference(first)} en {printed_reference(second)}"
    assert find_references(text) == [first, second]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "geen mededeling",
        "090/9337/55494",  # wrong check digits
        "1090933755493",  # a longer number
        "0909337554931",
        "BE71 0961 2345 6769",
        "000/0000/00097",  # the number nobody gives
        "٠٩٠/٩٣٣٧/٥٥٤٩٣",  # other digits than a bank sends
    ],
)
def test_nothing_is_found_where_nothing_valid_stands(text: str) -> None:
    assert find_references(text) == []


@given(st.text())
def test_whatever_is_found_is_valid(text: str) -> None:
    assert all(valid_structured_reference(digits) for digits in find_references(text))


# --- references of cases ----------------------------------------------------------------------


@given(prefixes, st.integers(2000, 9999), case_numbers, keys)
def test_a_case_reference_is_valid_as_it_is_made(prefix: str, year: int, number: int, key: bytes) -> None:
    reference = case_reference(prefix, year, number, key)
    assert valid_case_reference(reference)
    assert valid_case_reference(f" {reference.lower()} ")
    assert reference.startswith(f"{prefix}-{year}-")
    assert set(reference.removeprefix(f"{prefix}-{year}-")) <= {*BASE32, "-"}


@given(prefixes, case_numbers, st.data())
def test_one_wrong_character_is_always_noticed_in_a_case_reference(
    prefix: str, number: int, data: st.DataObject
) -> None:
    reference = case_reference(prefix, 2026, number, KEY)
    place = data.draw(st.integers(0, len(reference) - 1))
    other = data.draw(st.sampled_from(string.digits + string.ascii_uppercase))
    wrong = reference[:place] + other + reference[place + 1 :]
    assert wrong == reference or not valid_case_reference(wrong)


@pytest.mark.parametrize("number", range(50))
def test_every_other_character_in_every_place_is_noticed(number: int) -> None:
    reference = case_reference("CB", 2026, number, KEY)
    for place, right in enumerate(reference):
        for other in set(string.digits + string.ascii_uppercase) - {right}:
            assert not valid_case_reference(reference[:place] + other + reference[place + 1 :])


@given(prefixes, st.integers(2000, 9999), case_numbers)
def test_two_swapped_neighbours_are_always_noticed(prefix: str, year: int, number: int) -> None:
    reference = case_reference(prefix, year, number, KEY)
    places = [at for at, one in enumerate(reference) if one != "-"]
    for a, b in itertools.pairwise(places):
        swapped = list(reference)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        assert reference[a] == reference[b] or not valid_case_reference("".join(swapped))


@pytest.mark.parametrize(
    "text", ["", "CB-2026", "CB-2026-7KQ3M9", "C-2026-000000-0", "CB-٢٠٢٦-000000-0", "CB2026"]
)
def test_what_is_no_case_reference_is_refused(text: str) -> None:
    assert not valid_case_reference(text)


def test_letters_that_look_like_digits_are_never_printed_nor_accepted_after_the_year() -> None:
    printed = "".join(case_reference("LOI", 2026, number, KEY)[9:] for number in range(2000))
    assert not set(printed) & set("ILOU")
    reference = next(one for n in range(99) if "0" in (one := case_reference("CB", 2026, n, KEY))[8:14])
    assert not valid_case_reference(reference[:8] + reference[8:].replace("0", "O"))


@given(st.lists(case_numbers, unique=True, min_size=2, max_size=200), keys)
def test_two_cases_never_share_a_reference(numbers: list[int], key: bytes) -> None:
    assert len({case_reference("CB", 2026, number, key) for number in numbers}) == len(numbers)


def test_a_year_of_cases_has_a_reference_each_and_they_are_in_no_order() -> None:
    references = [case_reference("CB", 2026, number, KEY) for number in range(20_000)]
    assert len(set(references)) == len(references)
    rising = sum(one < following for one, following in itertools.pairwise(references))
    assert 0.45 < rising / len(references) < 0.55


def test_another_key_gives_other_references() -> None:
    ours = {case_reference("CB", 2026, number, KEY) for number in range(1000)}
    theirs = {case_reference("CB", 2026, number, bytes(32)) for number in range(1000)}
    assert len(ours & theirs) < 5


@pytest.mark.parametrize("number", [-1, 2**30])
def test_a_case_number_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="out of case numbers"):
        case_reference("CB", 2026, number, KEY)
