"""Which scripts walk through which procedure: the stages tell, not the name."""

from typing import Any

from loket.walk import buying, owing, premium
from loket.walk.scene import Script

Json = dict[str, Any]

NAMES = tuple(dict.fromkeys([*buying.VARIANTS, *owing.VARIANTS, *premium.VARIANTS]))


def scripts_for(procedure: Json) -> dict[str, Script]:
    """By the name of the variant, the straight one first; empty where no script fits."""
    match tuple(procedure["stages"]):
        case buying.STAGES:
            return buying.VARIANTS | owing.VARIANTS
        case premium.STAGES:
            return premium.variants(procedure["key"])
        case _:
            return {}
