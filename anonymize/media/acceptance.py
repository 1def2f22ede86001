"""How many pictures a person looks at, and what their counts prove: acceptance sampling of a finite batch.

Everything about pictures is computed with whole numbers (the hypergeometric distribution), so no rounding decides
on which side of a threshold a batch falls. Sources: ISO 2859-2 (plans by limiting quality for isolated lots);
Cochran, *Sampling Techniques*, 3rd ed., §§ 3.6 and 5A; Wright, *Exact Confidence Bounds when Sampling from Small
Finite Universes* (1991); Clopper and Pearson, Biometrika 26 (1934).
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import comb

_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTerms:
    """What a plan must promise.

    Attributes:
        threshold: Least share of conforming pictures.
        confidence: A batch below ``threshold`` is accepted with a probability of at most ``1 - confidence``.
        good_share: Share of conforming pictures of a batch that should be accepted.
        good_accepted: Least probability with which such a batch is.
    """

    threshold: Fraction
    confidence: Fraction
    good_share: Fraction
    good_accepted: Fraction

    def __post_init__(self) -> None:
        shares = (self.threshold, self.confidence, self.good_share, self.good_accepted)
        if not all(0 < share < 1 for share in shares) or self.good_share <= self.threshold:
            raise ValueError(
                "terms of sampling lie between 0 and 1, the good share above the threshold "
                f"(got {', '.join(str(float(share)) for share in shares)})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPlan:
    """A single sampling plan for one batch.

    Attributes:
        population: Pictures of the batch.
        size: How many of them are looked at.
        allowed: The batch is accepted with at most so many that do not conform.
    """

    population: int
    size: int
    allowed: int

    @property
    def census(self) -> bool:
        """Whether every picture is looked at."""
        return self.size == self.population

    def accepts(self, nonconforming: int) -> Fraction:
        """The probability that the plan accepts a batch with so many pictures that do not conform."""
        return at_most(self.allowed, population=self.population, marked=nonconforming, size=self.size)


def at_most(found: int, *, population: int, marked: int, size: int) -> Fraction:
    """The probability that a sample without replacement holds at most ``found`` of the marked ones.

    Raises:
        ValueError: The numbers contradict one another.
    """
    if not (0 <= marked <= population and 0 <= size <= population):
        raise ValueError(f"no such sample (got {size} of {population}, {marked} of them marked)")
    ways = sum(
        comb(marked, k) * comb(population - marked, size - k)
        for k in range(max(0, size - (population - marked)), min(found, marked, size) + 1)
    )
    return Fraction(ways, comb(population, size))


def plan_sample(population: int, terms: SamplingTerms) -> SamplingPlan:
    """The smallest plan that keeps both promises for a batch; every picture where no smaller one does.

    With every picture looked at, the batch is accepted if and only if it reaches the threshold.

    Raises:
        ValueError: The batch is empty.
    """
    if population < 1:
        raise ValueError(f"there is nothing to sample (got {population} pictures)")
    limit = int((1 - terms.threshold) * population) + 1  # the fewest that put the batch below the threshold
    good = int((1 - terms.good_share) * population)
    for allowed in range(limit):
        size = _least_size(population, allowed, limit, terms.confidence)
        if size == population:
            break
        plan = SamplingPlan(population=population, size=size, allowed=allowed)
        if plan.accepts(good) >= terms.good_accepted:
            return plan
    return SamplingPlan(population=population, size=population, allowed=limit - 1)


def least_conforming(population: int, size: int, nonconforming: int, *, confidence: Fraction) -> float:
    """Lower confidence bound of the share of conforming pictures of a finite batch, rounded down to six places.

    The one-sided bound of Clopper and Pearson for a sample without replacement: the share under the largest
    number of pictures that do not conform of which so few would still be seen with a probability of more than
    ``1 - confidence``. It reaches a threshold if and only if the plan for that threshold accepts. Of a batch that
    was looked at as a whole it is the share itself; without a sample it is 0.

    Raises:
        ValueError: The numbers contradict one another.
    """
    if not 0 <= nonconforming <= size <= population or population < 1:
        raise ValueError(f"no such sample (got {nonconforming} of {size} of {population})")
    most = population - (size - nonconforming)
    first_refuted = _first(
        nonconforming + 1,
        most + 1,
        lambda marked: (
            marked > most
            or at_most(nonconforming, population=population, marked=marked, size=size) <= 1 - confidence
        ),
    )
    conforming = population - (first_refuted - 1)
    return float(conforming * 10**_PLACES // population / 10**_PLACES)


def least_share(hits: int, of: int, *, confidence: float) -> float:
    """One-sided lower bound of Clopper and Pearson for a share of independent trials; 0 without trials.

    Raises:
        ValueError: ``hits`` is not within 0 to ``of``.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"hits must lie within the trials (got {hits} of {of})")
    if hits == 0:
        return 0.0
    # Importing scipy takes a while, and most callers never come here.
    from scipy.special import betaincinv  # type: ignore[import-untyped]  # noqa: PLC0415

    return float(int(float(betaincinv(hits, of - hits + 1, 1 - confidence)) * 10**_PLACES) / 10**_PLACES)


def _least_size(population: int, allowed: int, limit: int, confidence: Fraction) -> int:
    """The fewest to look at so that ``limit`` that do not conform are seldom taken for ``allowed``."""

    def seldom(size: int) -> bool:
        return at_most(allowed, population=population, marked=limit, size=size) <= 1 - confidence

    return _first(allowed + 1, population, seldom)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The least number from ``low`` on for which a monotone condition holds, ``high`` if none below it.

    Goes up in doubling steps: exact numbers of large samples are slow, and the answer is mostly a small one.
    """
    step = 1
    while low + step < high and not holds(low + step):
        low, step = low + step + 1, 2 * step
    high = min(high, low + step)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high
