"""Mixtures of normal laws in standard space, to sample from and to weigh by."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import logsumexp  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Normal components: shares (summing to 1), means, covariances."""

    shares: Floats
    means: Floats
    covariances: Floats

    @classmethod
    def around(cls, points: Floats, spread: float = 1.0) -> Self:
        """Equal components of one spread around points."""
        count, dimension = points.shape
        return cls(
            shares=np.full(count, 1.0 / count),
            means=points.copy(),
            covariances=np.tile(np.eye(dimension) * spread**2, (count, 1, 1)),
        )

    @property
    def size(self) -> int:
        """How many components there are."""
        return len(self.shares)

    def blended(self, other: Self, share: float) -> Self:
        """This mixture with ``share`` of its mass given to another."""
        return type(self)(
            shares=np.concatenate([self.shares * (1.0 - share), other.shares * share]),
            means=np.concatenate([self.means, other.means]),
            covariances=np.concatenate([self.covariances, other.covariances]),
        )

    def sample(self, count: int, random: np.random.Generator) -> Floats:
        """Points, spread over the components in fixed proportion.

        Counts per component differ from ``count`` times its share by less than 1, and which components get the
        remainder is drawn by those remainders, so that the mean of weighted points stays unbiased.
        """
        exact = self.shares * count
        counts = np.floor(exact).astype(int)
        rest = exact - counts
        missing = count - int(counts.sum())
        if missing:
            # Systematic sampling: component i is taken with probability rest[i] exactly.
            places = np.searchsorted(np.cumsum(rest), random.uniform() + np.arange(missing), side="right")
            np.add.at(counts, np.minimum(places, self.size - 1), 1)
        factors = np.linalg.cholesky(self.covariances)
        parts = [
            mean + random.standard_normal((n, len(mean))) @ factor.T
            for mean, factor, n in zip(self.means, factors, counts, strict=True)
        ]
        return np.concatenate(parts)

    def log_parts(self, points: Floats) -> Floats:
        """Logarithm of share times density of each component (columns) at each point (rows)."""
        factors = np.linalg.cholesky(self.covariances)
        parts = []
        for share, mean, factor in zip(self.shares, self.means, factors, strict=True):
            scaled = np.linalg.solve(factor, (points - mean).T)
            log_root = np.log(np.diag(factor)).sum()
            parts.append(np.log(share) - log_root + _log_standard(scaled.T))
        return np.stack(parts, axis=1)

    def log_density(self, points: Floats) -> Floats:
        """Logarithm of the density."""
        return np.asarray(logsumexp(self.log_parts(points), axis=1))

    def log_weights(self, points: Floats) -> Floats:
        """Logarithm of standard normal density over this one."""
        return _log_standard(points) - self.log_density(points)


def _log_standard(points: Floats) -> Floats:
    dimension = points.shape[1]
    return np.asarray(-0.5 * (points**2).sum(axis=1) - 0.5 * dimension * np.log(2.0 * np.pi))
