"""How sure a share is that was counted: intervals of shares, of what they differ by, and tests of paired answers.

Nothing here needs more than counts. Shares near 0 and 1 get intervals that stay inside, and few pictures wide ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, erfc, sqrt
from statistics import NormalDist

EXACT = 1000  # answers that differ, up to which the binomial distribution itself is summed
SURE = 0.95


@dataclass(frozen=True)
class Share:
    """How many of how many, and the interval that holds the true share with the given confidence."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.trials if self.trials else 0.0

    def __str__(self) -> str:
        return f"{self.value:.0%} ({self.low:.0%} to {self.high:.0%})"


def share_of(hits: int, trials: int, confidence: float = SURE) -> Share:
    """A share with its score interval; of no trials it may be anything.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    if not trials:
        return Share(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, spread = hits / trials, z * z / trials
    middle = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(p * (1 - p) / trials + spread / (4 * trials))
    return Share(hits, trials, max(0.0, middle - half), min(1.0, middle + half))


def difference_of(one: Share, other: Share) -> tuple[float, float]:
    """The interval of the first share less the second, of trials that do not depend on one another.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17,
    1998, method 10.
    """
    apart = one.value - other.value
    low = apart - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = apart + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return low, high


def paired_gain(lost: int, won: int, trials: int) -> tuple[float, float, float]:
    """What is won less what is lost, as a share, and its 95 % interval, by the normal approximation for paired answers."""
    count = max(trials, 1)
    gain = (won - lost) / count
    half = 1.96 * sqrt(max(won + lost - (won - lost) ** 2 / count, 0)) / count
    return gain, gain - half, gain + half


def tail(successes: int, trials: int) -> float:
    """The chance of so many heads, or more, of a fair coin: McNemar's one-sided test."""
    return float(sum(comb(trials, heads) for heads in range(successes, trials + 1)) / 2**trials)


def mcnemar(first_only: int, second_only: int) -> float:
    """The probability that answers differ so unevenly by chance: pictures that only one of two networks has right.

    Exact for few, and with the continuity correction for many.
    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12, 1947.
    """
    differ = first_only + second_only
    if differ <= EXACT:
        return min(1.0, 2 * tail(max(first_only, second_only), differ))
    return erfc(max(0, abs(first_only - second_only) - 1) / sqrt(2 * differ))
