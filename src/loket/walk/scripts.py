"""Which scripts walk through which procedure: the stages tell, not the name."""

from loket.walk import buying, premium
from loket.walk.scene import Script

_FITTING: dict[tuple[str, ...], dict[str, Script]] = {
    buying.STAGES: buying.VARIANTS,
    premium.STAGES: premium.VARIANTS,
}
NAMES = tuple(dict.fromkeys(name for scripts in _FITTING.values() for name in scripts))


def scripts_for(stages: list[str]) -> dict[str, Script]:
    """By the name of the variant, the straight one first; empty where no script fits."""
    return _FITTING.get(tuple(stages), {})
