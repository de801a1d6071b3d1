"""Which scripts walk a procedure: those that were written for it, else the ways of its definition."""

from typing import Any

from loket.walk import buying, owing, premium, ways
from loket.walk.citizen import Place
from loket.walk.known import known_of
from loket.walk.promises import Promises
from loket.walk.scene import Script

Json = dict[str, Any]


def scripts_for(place: Place) -> dict[str, Script]:
    """By the name of the variant, the straight one first.

    Raises:
        NotThere: no script was written for it, and no file says what it is.
    """
    key = place.procedure["key"]
    if not place.by_definition:
        match known_of(key, place.folders).scripts:
            case "buying":
                return buying.VARIANTS | owing.VARIANTS
            case "premium":
                return premium.variants(key)
            case "":
                pass
    return ways.variants(Promises.of(key, place.procedure.get("version"), place.folders))
