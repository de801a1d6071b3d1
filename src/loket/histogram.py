"""Lead times in a logarithmic histogram: of one size, added by addition, as exact for a second as for a year.

A histogram is one whole number: each bucket has ten of its decimal digits, and the first bucket the last ten.
Adding two numbers adds every bucket, as no bucket comes near ten thousand million cases; so PostgreSQL adds
histograms with `+` and `sum`, exactly, in its type `numeric`. No I/O.
"""

import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate

ACCURACY = 0.04
"""Half of a bucket's width: a lead time read out of the histogram is at most so far from the real one."""
BUCKETS = 256
"""The last one also has all that took longer: 23 years and more."""
DIGITS = 10
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_ONE: list[int] = [10 ** (DIGITS * bucket) for bucket in range(BUCKETS)]


def bucket_of(duration: timedelta) -> int:
    """The bucket of the histogram in which a lead time falls: 0 under a second, then growing by a twelfth."""
    seconds = duration.total_seconds()
    return 0 if seconds < 1 else min(1 + math.floor(math.log(seconds, _GROWTH)), BUCKETS - 1)


def seconds_of(bucket: int) -> float:
    """The lead time for which a bucket stands, in seconds; at most `ACCURACY` from every one in it."""
    return 0.0 if bucket == 0 else 2 * _GROWTH**bucket / (_GROWTH + 1)


def of_one(duration: timedelta) -> int:
    """The histogram of one case."""
    return _ONE[bucket_of(duration)]


def counts_of(histogram: str) -> list[int]:
    """How many cases are in each bucket of a histogram that is written in decimal digits."""
    digits = histogram.zfill(BUCKETS * DIGITS)
    return [int(digits[at - DIGITS : at]) for at in range(len(digits), 0, -DIGITS)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The lead time, in seconds, within which `share` of the cases went; None without cases.

    The nearest-rank quantile. The answer differs from the exact one by less than 5 % of it (`ACCURACY`), and
    by less than a second where that is under one; beyond 23 years it is 22.
    """
    cases = sum(counts)
    if cases == 0:
        return None
    rank = max(math.ceil(share * cases), 1)
    return seconds_of(next(bucket for bucket, seen in enumerate(accumulate(counts)) if seen >= rank))
