"""Lead times in a logarithmic histogram: small, mergeable, as exact for a second as for a year. No I/O."""

import math
from collections.abc import Mapping
from datetime import timedelta

ACCURACY = 0.04
"""Half of a bucket's width: a lead time read out of the histogram is at most so far from the real one."""
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)


def bucket_of(duration: timedelta) -> int:
    """The bucket of the histogram in which a lead time falls: 0 under a second, then growing by a twelfth."""
    seconds = duration.total_seconds()
    return 0 if seconds < 1 else 1 + math.floor(math.log(seconds, _GROWTH))


def seconds_of(bucket: int) -> float:
    """The lead time for which a bucket stands, in seconds; at most `ACCURACY` from every one in it."""
    return 0.0 if bucket == 0 else 2 * _GROWTH**bucket / (_GROWTH + 1)


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The lead time, in seconds, within which `share` of the cases went; None without cases.

    The nearest-rank quantile. The answer differs from the exact one by less than 5 % of it (`ACCURACY`), and
    by less than a second where that is under one.
    """
    cases = sum(buckets.values())
    if cases == 0:
        return None
    rank, seen = max(math.ceil(share * cases), 1), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return seconds_of(bucket)
    raise AssertionError("a rank beyond the last case")
