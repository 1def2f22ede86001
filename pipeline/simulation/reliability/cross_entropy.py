"""One step of the cross-entropy method: fit a mixture to the failing runs, each by its weight."""

import numpy as np
from scipy.special import logsumexp  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.reliability.mixture import Mixture

LEAST_SHARE = 0.01
ITERATIONS = 8


def fitted(
    start: Mixture, failing: Floats, log_weights: Floats, *, shrinkage: float, least: float
) -> Mixture:
    """The mixture that comes nearest the law of failures, by expectation maximisation from ``start``.

    Covariances are shrunk towards the identity by ``shrinkage`` plus what few effective points ask for, and
    their eigenvalues are at least ``least``: too narrow a component gives weights without bound.
    """
    weights = np.exp(log_weights - logsumexp(log_weights))
    mixture = start
    dimension = failing.shape[1]
    for _ in range(ITERATIONS):
        parts = mixture.log_parts(failing)
        belongs = np.exp(parts - logsumexp(parts, axis=1, keepdims=True)) * weights[:, None]
        shares = belongs.sum(axis=0)
        kept = shares > LEAST_SHARE
        belongs, shares = belongs[:, kept], shares[kept]
        means = (belongs.T @ failing) / shares[:, None]
        covariances = []
        for k in range(len(shares)):
            centred = failing - means[k]
            spread = (centred * (belongs[:, k] / shares[k])[:, None]).T @ centred
            effective = shares[k] ** 2 / (belongs[:, k] ** 2).sum()
            blend = min(1.0, shrinkage + dimension / (dimension + effective))
            values, vectors = np.linalg.eigh((1.0 - blend) * spread + blend * np.eye(dimension))
            covariances.append((vectors * np.maximum(values, least)) @ vectors.T)
        mixture = Mixture(shares=shares / shares.sum(), means=means, covariances=np.array(covariances))
    return mixture
