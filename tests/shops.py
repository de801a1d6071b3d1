"""A shop of the tests' own: the shipped bin's file, with other stages and another catalogue in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from loket.app import SHIPPED

Json = dict[str, Any]
_OF_DELIVERY = frozenset(
    {
        "SLOT_NEEDED",
        "SLOT_REMINDED",
        "PLANNED",
        "RESCHEDULED",
        "SLOT_MOVED",
        "SLOT_LOST",
        "MISSED",
        "DELIVERED",
    }
)
OUTSIDE = {"exemption_reason": "Niet onderworpen aan btw (artikel 6 van het Btw-wetboek)"}


def product(key: str, amount: str, **more: Any) -> Json:  # noqa: ANN401  # as the shape has it
    return {
        "key": key,
        "title": key.title(),
        "prices": [{"from": "2026-01-01", "amount": amount}],
        "budget_key": {"account": "7010000", "policy_item": "0309-00"},
        "vat": OUTSIDE,
    } | more


def shop(folder: Path, key: str, stages: str, changed: Callable[[Json], None] | None = None) -> None:
    """Put a shop into `folder`, under `key`, with these stages; `changed` makes it another."""
    yaml = YAML(typ="safe", pure=True)
    (shipped,) = SHIPPED.glob("compost-bin.yaml")
    told: Json = yaml.load(shipped.read_text("utf-8"))
    told |= {"key": key, "stages": stages.split(", ")}
    _without_delivery(told)
    for phase in told["phases"]:
        if "stages" in phase:
            phase["stages"] = [one for one in phase["stages"] if one in told["stages"]]
    if changed is not None:
        changed(told)
    yaml.representer.ignore_aliases = lambda *_: True
    with (folder / f"{key}.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(told, file)


def _without_delivery(told: Json) -> None:
    if "delivery" in told["stages"]:
        return
    del told["planning"], told["delivery"]
    for rows in (told["texts"]["messages"], told["dosis"]):
        for event in _OF_DELIVERY & rows.keys():
            del rows[event]
    for message in told["texts"]["messages"].values():
        for word in {"joins", "replaces"} & message.keys():
            message[word] = [event for event in message[word] if event not in _OF_DELIVERY]
