"""The enums of checks, advice and decisions."""

from loket.advice import Opinion
from loket.api.naming import enumeration
from loket.definition import DecidingBody
from loket.lifecycle import AdviceStatus, CheckStatus, DecisionStatus
from loket.records import AdviserKind

enumeration(
    CheckStatus,
    {
        "RUNNING": "Being asked.",
        "MET": "Yes.",
        "NOT_MET": "No.",
        "UNKNOWN": "No answer.",
        "REPLACED": "Proved by a document instead.",
    },
    description="What came of a check.",
)
enumeration(
    AdviceStatus,
    {
        "REQUESTED": "Asked.",
        "REMINDED": "Asked, and reminded.",
        "POSITIVE": "In favour.",
        "NEGATIVE": "Against.",
        "CONDITIONAL": "In favour, on conditions.",
        "NO_REACTION": "No answer in time.",
        "WITHDRAWN": "The question was taken back.",
    },
    description="Where advice stands.",
)
enumeration(
    Opinion,
    {
        "POSITIVE": "In favour.",
        "NEGATIVE": "Against.",
        "CONDITIONAL": "In favour, on conditions.",
    },
    name="AdviceOpinion",
    description="What an adviser thinks of it.",
)
enumeration(
    AdviserKind,
    {
        "INTERNAL": "A service of the municipality.",
        "EXTERNAL": "A body elsewhere.",
        "MACHINE": "A source that answers by machine.",
    },
    description="Who is asked for advice.",
)
enumeration(
    DecidingBody,
    {
        "COLLEGE": "College van burgemeester en schepenen.",
        "COUNCIL": "Gemeenteraad.",
        "VAST_BUREAU": "Vast bureau.",
        "RMW": "Raad voor maatschappelijk welzijn.",
        "BCSD": "Bijzonder comité voor de sociale dienst.",
    },
    description="The body that decides (bevoegd orgaan).",
)
enumeration(
    DecisionStatus,
    {
        "DRAFT": "Being prepared.",
        "ON_AGENDA": "On the agenda of the deciding body.",
        "POSTPONED": "Put off to a later meeting.",
        "GRANTED": "Granted.",
        "PARTLY_GRANTED": "Granted in part.",
        "REFUSED": "Refused.",
        "TO_CONFIRM": "Changed by the body; the handler confirms.",
        "WITHDRAWN": "Withdrawn.",
    },
    description="Where a decision stands.",
)
