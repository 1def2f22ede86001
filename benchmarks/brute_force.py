"""Monte Carlo of the cut-in, compiled from the normal deviate to the outcome: what methods are held to.

    python benchmarks/brute_force.py [--minutes 20] [--stratum-runs 4000000] [--gap 4.25] [--json]

Two references of the same probability. *Crude*: independent runs, as many as the minutes give. *Stratified*: runs
per shell of distance from the origin of standard space, weighted by the shell's exact probability; unbiased too,
and precise where failure is rare. Inputs come from tables of each law's quantiles (OpenTURNS's, checked against
OpenTURNS's own map in the same run), correlation from the copula's Cholesky factor.
"""

import argparse
import json
import time
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from scipy.stats import chi2

from pipeline.simulation.cut_in import CutIn, one_run
from pipeline.simulation.laws import JointLaw
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.scenario import LogicalScenario
from pipeline.simulation.scenario_file import example_text, parse_scenario

REACH = 9.0
KNOTS = 16385
SHELLS = (0.0, 3.5, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 8.0, np.inf)
STEP_S = 0.1


def scenario(gap_log_mean: float) -> LogicalScenario:
    """The example cut-in with another median gap: the same limit state, rarer or more frequent."""
    return parse_scenario(example_text().replace("log_mean: 4.25", f"log_mean: {gap_log_mean}"))


class Compiled:
    """The scenario as arrays for compiled loops."""

    def __init__(self, described: LogicalScenario) -> None:
        self.limit_state = LimitState(described, CutIn(STEP_S))
        law = self.limit_state.law
        deviates = np.linspace(-REACH, REACH, KNOTS)
        self.tables = np.stack(
            [JointLaw((each,), None).to_physical(deviates[:, None])[:, 0] for each in described.inputs]
        )
        copula = law.distribution.getCopula()
        shape = np.array(copula.getShapeMatrix()) if described.spearman else np.eye(law.dimension)
        self.factor = np.linalg.cholesky(shape)
        self.row = self.limit_state._row  # noqa: SLF001 - compiled loops take arrays
        self.columns = np.array(self.limit_state._columns)  # noqa: SLF001 - the same

    def check(self, count: int = 100_000) -> dict[str, float]:
        """The tables against OpenTURNS, and the loop's outcomes against the back end's."""
        points = np.random.default_rng(0).standard_normal((count, len(self.columns))) * 1.8
        points = points[np.abs(points @ self.factor.T).max(axis=1) < REACH]
        exact = self.limit_state.law.to_physical(points)
        mine = np.stack([physical(u, self.tables, self.factor) for u in points])
        spread = exact.std(axis=0)
        failed = self.limit_state.run(exact).failed
        compiled = failing(points, self.tables, self.factor, self.row, self.columns, STEP_S)
        return {
            "worst_difference_in_deviations": float((np.abs(mine - exact) / spread).max()),
            "failing": int(failed.sum()),
            "outcomes_that_differ": int((failed != compiled).sum()),
        }


@numba.njit(cache=True)
def physical(point, tables, factor):  # noqa: ANN001, ANN201 - compiled
    """Physical values of one standard normal point."""
    count = len(point)
    values = np.empty(count)
    for i in range(count):
        z = 0.0
        for j in range(i + 1):
            z += factor[i, j] * point[j]
        place = (z + REACH) / (2.0 * REACH) * (KNOTS - 1)
        place = min(max(place, 0.0), KNOTS - 1.000001)
        k = int(place)
        part = place - k
        values[i] = tables[i, k] * (1.0 - part) + tables[i, k + 1] * part
    return values


@numba.njit(cache=True)
def failing(points, tables, factor, row, columns, step):  # noqa: ANN001, ANN201 - compiled
    """Which points end in a collision."""
    answers = np.zeros(len(points), dtype=np.bool_)
    values = row.copy()
    for i in range(len(points)):
        values[columns] = physical(points[i], tables, factor)
        answers[i] = one_run(values, step)[0] <= 0.0
    return answers


@numba.njit(cache=True)
def crude(count, seed, tables, factor, row, columns, step):  # noqa: ANN001, ANN201 - compiled
    """How many of ``count`` independent runs end in a collision."""
    np.random.seed(seed)  # noqa: NPY002 - inside compiled code
    values = row.copy()
    point = np.empty(len(columns))
    found = 0
    for _ in range(count):
        for j in range(len(columns)):
            point[j] = np.random.standard_normal()  # noqa: NPY002 - inside compiled code
        values[columns] = physical(point, tables, factor)
        if one_run(values, step)[0] <= 0.0:
            found += 1
    return found


def run_crude(compiled: Compiled, minutes: float, seed: int) -> dict[str, Any]:
    """Crude Monte Carlo for a time."""
    runs = found = 0
    started = time.monotonic()
    batch = 200_000
    while not runs or time.monotonic() - started < 60.0 * minutes:
        found += crude(
            batch, seed + runs, compiled.tables, compiled.factor, compiled.row, compiled.columns, STEP_S
        )
        runs += batch
    p = found / runs
    spent = time.monotonic() - started
    return {
        "runs": runs, "failures": found, "probability": p,
        "standard_error": (p * (1 - p) / runs) ** 0.5,
        "seconds": round(spent, 1), "runs_per_s": round(runs / spent),
    }  # fmt: skip


def run_stratified(compiled: Compiled, stratum_runs: int, seed: int) -> dict[str, Any]:
    """Monte Carlo by shells of the distance from the origin."""
    random = np.random.default_rng(seed)
    dimension = len(compiled.columns)
    probability = variance = bound = 0.0
    shells = []
    for inner, outer in pairwise(SHELLS):
        # Survival functions keep the digits of outer shells.
        far, near = chi2.sf(outer**2, dimension), chi2.sf(inner**2, dimension)
        found = runs = 0
        while runs < stratum_runs:
            batch = min(500_000, stratum_runs - runs)
            radius = np.sqrt(chi2.isf(random.uniform(far, near, batch), dimension))
            direction = random.standard_normal((batch, dimension))
            direction *= (radius / np.linalg.norm(direction, axis=1))[:, None]
            answers = failing(
                direction, compiled.tables, compiled.factor, compiled.row, compiled.columns, STEP_S
            )
            found += int(answers.sum())
            runs += batch
        share, mass = found / runs, near - far
        probability += mass * share
        variance += mass**2 * share * (1 - share) / runs
        if not found:
            bound += mass * (1.0 - 0.05 ** (1.0 / runs))
        shells.append(
            {"from": inner, "to": None if np.isinf(outer) else outer, "runs": runs, "failures": found}
        )
    return {
        "probability": probability, "standard_error": variance**0.5, "runs": sum(s["runs"] for s in shells),
        "at_most_in_shells_without_failure": bound, "shells": shells,
    }  # fmt: skip


def main() -> None:
    """Print both references."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--stratum-runs", type=int, default=4_000_000)
    parser.add_argument("--gap", type=float, default=4.25, help="logarithm of the median gap in metres")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    compiled = Compiled(scenario(asked.gap))
    report = {
        "benchmark": "brute_force",
        "gap_log_mean": asked.gap,
        "check": compiled.check(),
        "stratified": run_stratified(compiled, asked.stratum_runs, asked.seed),
        "crude": run_crude(compiled, asked.minutes, asked.seed),
    }
    print(json.dumps(report, indent=None if asked.json else 1))


if __name__ == "__main__":
    main()
