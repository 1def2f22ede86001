import numpy as np
import pytest
from scipy import stats

from pipeline.simulation.laws import FAMILIES, JointLaw
from pipeline.simulation.scenario import Input

LAWS = {
    "normal": ({"mean": 5.0, "deviation": 2.0}, stats.norm(5, 2)),
    "lognormal": ({"log_mean": 1.0, "log_deviation": 0.5, "shift": 1.0}, stats.lognorm(0.5, 1, np.e)),
    "uniform": ({"from": 1.0, "to": 9.0}, stats.uniform(1, 8)),
    "exponential": ({"rate": 0.5, "shift": 1.0}, stats.expon(1, 2)),
    "gamma": ({"shape": 2.0, "rate": 0.5, "shift": 0.0}, stats.gamma(2, 0, 2)),
    "weibull": ({"scale": 3.0, "shape": 1.5, "shift": 0.5}, stats.weibull_min(1.5, 0.5, 3)),
    "gumbel": ({"scale": 1.5, "mode": 4.0}, stats.gumbel_r(4, 1.5)),
    "logistic": ({"mean": 5.0, "scale": 1.0}, stats.logistic(5, 1)),
    "beta": ({"alpha": 2.0, "beta": 3.0, "from": 0.0, "to": 10.0}, stats.beta(2, 3, 0, 10)),
}


def varied(family: str, lower: float = 1.5, upper: float = 8.5) -> Input:
    return Input(name=family, unit="m", lower=lower, upper=upper, family=family, law=LAWS[family][0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_law_within_bounds_is_what_scipy_says_of_it(family: str):
    law, reference = JointLaw((varied(family),), None), LAWS[family][1]
    z = np.linspace(-5.5, 5.5, 45)
    below, above = reference.cdf(1.5), reference.cdf(8.5)
    # From the nearer end, so that the far tail keeps its digits.
    expected = np.where(
        z < 0,
        reference.ppf(below + stats.norm.cdf(z) * (above - below)),
        reference.isf(reference.sf(8.5) + stats.norm.sf(z) * (above - below)),
    )
    assert law.to_physical(z[:, None])[:, 0] == pytest.approx(expected, abs=1e-6)


def test_the_map_to_standard_space_and_back_is_the_identity_out_to_six_deviations():
    inputs = tuple(varied(family) for family in FAMILIES)
    ranks = np.full((9, 9), 0.2) + 0.8 * np.eye(9)
    law = JointLaw(inputs, tuple(tuple(row) for row in ranks.tolist()))
    points = np.random.default_rng(5).uniform(-5, 5, (200, 9)) / 2
    assert law.to_standard(law.to_physical(points)) == pytest.approx(points, abs=1e-6)


def test_values_stay_within_bounds_however_far_out_the_point():
    law = JointLaw((varied("normal"), varied("weibull")), None)
    far = law.to_physical(np.array([[-40.0, 40.0], [40.0, -40.0]]))
    assert ((far >= 1.5) & (far <= 8.5)).all()


def test_the_copula_has_the_stated_rank_correlation():
    law = JointLaw((varied("lognormal"), varied("weibull")), ((1.0, -0.6), (-0.6, 1.0)))
    sample = law.to_physical(np.random.default_rng(8).standard_normal((20_000, 2)))
    # Standard error of a rank correlation of 20,000 pairs: under 0.008.
    assert stats.spearmanr(sample).statistic == pytest.approx(-0.6, abs=0.03)


def test_the_density_integrates_to_one():
    law = JointLaw((varied("gamma"),), None)
    grid = np.linspace(1.5, 8.5, 20_001)
    assert np.trapezoid(np.exp(law.log_density(grid[:, None])), grid) == pytest.approx(1.0, abs=1e-4)
