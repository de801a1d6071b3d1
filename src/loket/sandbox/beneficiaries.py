"""Citizens for whom social premiums were made, with what social security and the treasury know of them."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Social:
    """What the harmonised statuses, the treasury and the FOD Sociale Zekerheid say of somebody.

    `pillars`: the points of a child in each of the three pillars. `income_eur`: taxable in any past year;
    None when there is no assessment.
    """

    statuses: frozenset[str] = frozenset()
    adult_points: int | None = None
    pillars: tuple[int, int, int] | None = None
    income_eur: Decimal | None = Decimal("28450.00")


@dataclass(frozen=True)
class Beneficiary:
    """`lives_with`: the key of a child's parent, or of a grown-up's partner."""

    key: str
    born_on: date
    serial: int
    given_name: str
    family_name: str
    sex: str
    street: str
    number: str
    social: Social
    note: str
    lives_with: str | None = None
    child: bool = False
    leads: bool = True


def _social(income_eur: str | None, *statuses: str, adult: int | None = None) -> Social:
    return Social(frozenset(statuses), adult, None, None if income_eur is None else Decimal(income_eur))


_CHILD = Social(income_eur=None)
BVT = "BIM_BVT"
# fmt: off
BENEFICIARIES = (
    Beneficiary("rita", date(1971, 5, 6), 204, "Rita", "Bogaerts", "F", "Molenweg", "21",
                _social("14820.55", BVT, adult=9),
                "verhoogde tegemoetkoming, alleenstaand, 9 punten op de schaal voor volwassenen"),
    Beneficiary("omar", date(1980, 10, 2), 311, "Omar", "Haddad", "M", "Lindelaan", "40",
                _social("16240.00", BVT),
                "verhoogde tegemoetkoming, geen handicap"),
    Beneficiary("karel", date(1963, 1, 28), 127, "Karel", "Lambrecht", "M", "Markt", "2",
                _social("31975.10"),
                "geen verhoogde tegemoetkoming"),
    Beneficiary("lotte", date(1986, 6, 15), 242, "Lotte", "Verbeke", "F", "Beekdal", "9",
                _social("17305.80", BVT),
                "verhoogde tegemoetkoming, voedt Stan op"),
    Beneficiary("stan", date(2016, 3, 9), 133, "Stan", "Verbeke", "M", "Beekdal", "9",
                Social(pillars=(5, 1, 2), income_eur=None),
                "kind van Lotte, 5 punten in pijler 1", "lotte", child=True, leads=False),
    Beneficiary("ines", date(1989, 9, 21), 286, "Ines", "Pauwels", "F", "Schoolstraat", "17",
                _social("36250.00"),
                "inkomen onder de grens dankzij twee kinderen ten laste: Mila en Jef"),
    Beneficiary("mila", date(2014, 2, 17), 158, "Mila", "Pauwels", "F", "Schoolstraat", "17",
                _CHILD, "kind van Ines", "ines", child=True, leads=False),
    Beneficiary("jef", date(2018, 11, 30), 171, "Jef", "Pauwels", "M", "Schoolstraat", "17",
                _CHILD, "kind van Ines", "ines", child=True, leads=False),
    Beneficiary("joost", date(1977, 7, 12), 335, "Joost", "De Wilde", "M", "Kapelstraat", "12",
                _social("52300.75"),
                "inkomen boven de grens"),
    Beneficiary("paul", date(1999, 4, 3), 219, "Paul", "Segers", "M", "Kerkstraat", "88",
                _social(None),
                "heeft geen aanslagbiljet (45008)"),
    Beneficiary("marie", date(1974, 12, 8), 264, "Marie", "Goethals", "F", "Molenweg", "55",
                _social("21400.00"),
                "wordt samen met haar man Koen belast (A7555 en B7555)", "koen"),
    Beneficiary("koen", date(1973, 3, 19), 347, "Koen", "Van Acker", "M", "Molenweg", "55",
                _social("9850.25"),
                "zelfde gezin als Marie", "marie", leads=False),
    Beneficiary("ward", date(1958, 8, 25), 103, "Ward", "Michiels", "M", "Lindelaan", "3",
                _social("18100.00", BVT),
                "zijn sociale statuten zijn er niet (99996) zolang de schakelaar aan staat"),
    Beneficiary("vera", date(1949, 2, 1), 180, "Vera", "Desmedt", "F", "Kerkstraat", "5",
                _social("15990.40", BVT, adult=8),
                "verhoogde tegemoetkoming; laat haar overlijden, verhuizen of een nieuw nummer krijgen"),
)
# fmt: on


def social_of(key: str) -> Social:
    """What is known of a persona.

    Of the generated ones the odd have the increased allowance, every fifth has 9 points, and incomes lie
    between 15 000 and 55 000 euro.
    """
    found = next((one.social for one in BENEFICIARIES if one.key == key), None)
    if found is not None:
        return found
    word, _, digits = key.partition("-")
    if word != "burger":
        return Social()
    number = int(digits)
    return Social(
        frozenset({BVT}) if number % 2 else frozenset(),
        9 if number % 5 == 0 else None,
        None,
        Decimal(15_000 + number * 613 % 40_000),
    )
