"""Words that everybody reads name nobody, and words that only resemble a name pass."""

import pytest

from loket.anonymity import Somebody, named_in

AN = Somebody(
    given_name="Anne-Cécile Maria",
    family_name="Van den Broeck",
    address="Kerkstraat 12B",
    email="an.vandenbroeck@voorbeeld.be",
    phone="+32470123456",
)
JO = Somebody(given_name="Jo", family_name="Peeters", address="Dorpsplein 1")
OURS = ("Gemeente Lindebeke", "Dorpsplein 1", "BE71 0961 2345 6769")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("De aanvraag van Anne-Cécile Maria Van den Broeck is volledig.", "NAME"),
        ("VANDENBROECK, anne cecile woont er.", "NAME"),
        ("Broeck is van A. van den Broeck.", "NAME"),
        ("Maria van-den-Broeck woont er.", "NAME"),
        ("Zij is de weduwe Vandenbroeck.", "FAMILY_NAME"),
        ("Daar woont Van den Broeck niet.", "FAMILY_NAME"),
        ("Mevrouw Van den Broeck vroeg dit.", "FAMILY_NAME"),
        ("De woning in de kerkstraat nr. 12 B is gesloopt.", "ADDRESS"),
        ("Kerkstraat 12b", "ADDRESS"),
        ("Zie AN.VandenBroeck@voorbeeld.be.", "EMAIL"),
        ("Bel 0470/12.34.56 daarover.", "PHONE"),
        ("Bel +32 470 12 34 56 daarover.", "PHONE"),
        ("Nummer 85.07.30-033.28.", "NATIONAL_NUMBER"),
        ("Nummer 85/07/30 033 28.", "NATIONAL_NUMBER"),
        ("Op be68 5390 0754 7034 gestort.", "ACCOUNT"),
    ],
)
def test_what_names_somebody_is_found_and_not_repeated(text: str, kind: str) -> None:
    named = named_in(text, AN, ours=OURS)
    assert named is not None
    assert (named.kind, len(named.piece)) == (kind, 2)


@pytest.mark.parametrize(
    "text",
    [
        "De aanvrager woont in de Kerkstraat, op nummer 120.",
        "Anne-Cécile vroeg het; de broeck is van een ander.",
        "Van den Broecke is een ander, en Broeck ook.",
        "Rekening BE71 0961 2345 6769 is die van de gemeente.",
        "Budgetsleutel 0909-00/6480000, dossier SP-2026-7KQ3M9-X, nummer 85073003329.",
        "Gestructureerde mededeling +++123/4567/89002+++.",
    ],
)
def test_what_only_resembles_a_name_passes(text: str) -> None:
    assert named_in(text, AN, ours=OURS) is None


def test_a_family_name_is_one_where_it_stands_as_a_name() -> None:
    for text in (
        "De peeters is geen naam.",
        "Peeters begint een zin.",
        "Peetersdal ligt hier.",
        "Dorpsplein 1",
    ):
        assert named_in(text, JO, ours=OURS) is None, text
    for text in ("Dat is van Peeters.", "Mevr. Peeters", "de heer Jo PEETERS", "J. Peeters kreeg niets."):
        assert named_in(text, JO, ours=OURS) is not None, text


@pytest.mark.parametrize("name", ["Vlaamse", "De Raad", "Lindebeke", "Li", ""])
def test_a_family_name_that_is_a_word_of_acts_or_our_own_stops_nothing(name: str) -> None:
    somebody = Somebody(given_name="Jo", family_name=name)
    text = "Volgens het Vlaamse decreet besliste de Raad van Lindebeke; Li is een rivier."
    assert named_in(text, somebody, ours=OURS) is None
    if name:
        assert named_in(f"Dat vroeg Jo {name}.", somebody, ours=OURS) is not None
