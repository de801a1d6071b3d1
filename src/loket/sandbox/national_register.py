"""What the National Register says of a person, in the XML that MAGDA passes on."""

from lxml import etree

from loket.sandbox.personas import Citizen, person

Element = etree._Element  # noqa: SLF001  # the name that lxml's stubs give it


def element(tag: str, *content: Element | str, **attributes: str) -> Element:
    """`<tag>` without a namespace, holding elements or one text."""
    made = etree.Element(tag, attributes)
    for part in content:
        if isinstance(part, str):
            made.text = part
        else:
            made.append(part)
    return made


def person_element(one: Citizen, leader: Citizen) -> Element:
    """One person; `leader` is the reference person of their household."""
    since = one.since.isoformat()
    parts = [
        element("INSZ", one.insz),
        _name(one),
        _sex(one),
        element(
            "Register", element("Code", "1"), element("Omschrijving", "V.R.", Taal="nl"), DatumBegin=since
        ),
        element(
            "Nationaliteiten",
            element(
                "Nationaliteit",
                element("Code", "150"),
                element("Omschrijving", "Belg"),
                DatumBegin=one.born_on.isoformat(),
            ),
        ),
        element(
            "Geboorte",
            element("Datum", one.born_on.isoformat()),
            element("Plaats", element("Gemeente", element("NISCode", one.nis), element("Naam", one.city))),
            DatumBegin=one.born_on.isoformat(),
        ),
    ]
    if one.died_on is not None:
        parts.append(
            element(
                "Overlijden", element("Datum", one.died_on.isoformat()), DatumBegin=one.died_on.isoformat()
            )
        )
    return element(
        "Persoon",
        *parts,
        element("BurgerlijkeStaten", _marriage(one)),
        element("Adressen", _domicile(one)),
        element(
            "Referentiepersoon",
            element("INSZ", leader.insz),
            _position(one, leads=leader == one),
            DatumBegin=since,
        ),
        Bron="RR",
    )


def member(one: Citizen, *, leads: bool) -> Element:
    return element(
        "Gezinslid",
        element("INSZ", one.insz),
        _name(one),
        _sex(one),
        element("Geboortedatum", one.born_on.isoformat()),
        _position(one, leads=leads),
        element("Adressen", _domicile(one)),
        element("Bron", element("Code", "RR"), element("Omschrijving", "Rijksregister", Taal="nl")),
        element(
            "Beheerder",
            element("Plaats", element("Gemeente", element("NISCode", one.nis), element("Naam", one.city))),
            DatumBegin=one.since.isoformat(),
        ),
        DatumBegin=one.since.isoformat(),
    )


def _name(one: Citizen) -> Element:
    return element(
        "Naam",
        element("Achternamen", element("Achternaam", one.family_name)),
        element("Voornamen", element("Voornaam", one.given_name)),
        DatumBegin=one.born_on.isoformat(),
    )


def _sex(one: Citizen) -> Element:
    code, word = ("2", "Vrouwelijk") if one.sex == "F" else ("1", "Mannelijk")
    return element("Geslacht", element("Code", code), element("Omschrijving", word))


def _position(one: Citizen, *, leads: bool) -> Element:
    code, word = ("03", "zoon/dochter") if one.parent else ("02", "echtgenoot/echtgenote")
    if leads:
        code, word = "01", "gezinshoofd"
    return element("Positie", element("Code", code), element("Omschrijving", word, Taal="nl"))


def _marriage(one: Citizen) -> Element:
    partner = person(one.partner or "")
    if not isinstance(partner, Citizen):
        return element(
            "BurgerlijkeStaat",
            element("Code", "10"),
            element("Omschrijving", "Ongehuwd"),
            DatumBegin=one.born_on.isoformat(),
        )
    return element(
        "BurgerlijkeStaat",
        element("Code", "20"),
        element("Omschrijving", "Gehuwd"),
        element("Partner", element("INSZ", partner.insz)),
        DatumBegin=one.since.isoformat(),
    )


def _domicile(one: Citizen) -> Element:
    def dutch(tag_: str, text: str) -> Element:
        return element(tag_, element("String", text), element("Taal", "nl"))

    return element(
        "Hoofdverblijfplaats",
        dutch("Straatnaam", one.street),
        element("Huisnummer", one.number),
        dutch("Gemeentenaam", one.city),
        dutch("Land", "BELGIE"),
        element("Postcode", one.postal_code),
        element("NISCodeLand", "150"),
        element("ISOCodeLand", "BEL"),
        element("NISCodeGemeente", one.nis),
        DatumBegin=one.since.isoformat(),
    )
