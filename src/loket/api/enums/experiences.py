"""The enums of what citizens say of how it went."""

from loket.api.naming import enumeration
from loket.records import Feeling

enumeration(
    Feeling,
    {"HAPPY": "😊 Happy with it.", "NEUTRAL": "😐 Neither.", "UNHAPPY": "😞 Unhappy with it."},
)
