"""What commands answer, as JSON documents and as lines for people; verdicts in Chinese and English."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.simulation.derive import DRIVERS, Derived, Population
from pipeline.simulation.fitting import Fit
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.bootstrap import Band
from pipeline.simulation.reliability.estimate import Estimate
from pipeline.simulation.reliability.margins import Margin
from pipeline.simulation.reliability.study import Study
from pipeline.simulation.reliability.verdict import Verdict
from pipeline.simulation.sensitivity import Held, Influence
from pipeline.simulation.tasks import Opened, as_document

VERDICTS: Final = {
    Verdict.CONVERGED: ("converged", "已收敛"),
    Verdict.NOT_CONVERGED: ("not converged", "未收敛"),
    Verdict.NO_FAILURE_FOUND: ("no failure found", "未发现失效"),
}


def derived_document(done: Derived, out: str, artefact: str | None) -> dict[str, Any]:
    """A table that was sealed."""
    about = done.about
    return {
        "out": out,
        "table": about.kind,
        "rows": sum(each.rows for each in about.parts),
        "releases": {each.release: {"rows": each.rows, "looked_at": each.looked_at} for each in about.parts},
        "kept_from_before": list(done.kept),
        "passed_over": {release: dict(each) for release, each in done.passed_over.items()},
        "artefact": artefact,
        "rests_on": {
            "releases": {each.release: each.digest for each in about.parts},
            "items": {each.release: dict(each.items) for each in about.parts},
            "parameters": dict(about.parameters),
            "code": about.code,
            "sha256": about.sha256,
        },
    }


def derived_lines(done: Derived, out: str, artefact: str | None) -> Iterator[str]:
    """A table that was sealed, for people."""
    about = done.about
    yield f"{out}: {sum(each.rows for each in about.parts)} {about.kind.replace('_', '-')}, sealed"
    for each in about.parts:
        before = ", from before" if each.release in done.kept else ""
        among = "tracks" if about.kind == DRIVERS else "pairs of tracks"
        yield f"  {each.release}: {each.rows} among {each.looked_at} {among}{before}"
    for release, passed_over in done.passed_over.items():
        for name, reason in passed_over.items():
            yield f"  未读取 / passed over {release}/{name}: {reason}"
    if artefact is not None:
        yield f"已登记 / registered as {artefact}"


def population_document(found: Sequence[Population]) -> dict[str, Any]:
    """What is known of drivers."""
    return {"population": [as_document(each) for each in found]}


def population_lines(found: Sequence[Population]) -> Iterator[str]:
    """What is known of drivers, for people."""
    for each in found:
        who = "automated" if each.automated else "others"
        spread = ", ".join(f"{value:.3g}" for value in each.quartiles)
        known = (
            f"quartiles {spread} {each.unit}"
            if each.quartiles
            else "not determined by these data 数据未能确定"
        )
        yield f"  {who:10} {each.name:24} {each.determined:4} of {each.drivers:4} drivers: {known}"


def fit_document(fitted: Fit, out: str) -> dict[str, Any]:
    """A fit."""
    return {
        "scenario": out,
        "events": fitted.events,
        "marginals": [as_document(each) for each in fitted.marginals],
        "copula_p_value": fitted.copula_p_value,
        "not_observed": list(fitted.not_observed),
    }


def fit_lines(fitted: Fit, out: str) -> Iterator[str]:
    """A fit for people."""
    yield f"{out}: fitted on {fitted.events} events"
    for each in fitted.marginals:
        yield f"  {each.name}: {each.family}, distance {each.statistic:.3f}, p = {each.p_value:.2f}"
    if fitted.copula_p_value is not None:
        yield f"  normal copula: p = {fitted.copula_p_value:.2f}"
    if fitted.not_observed:
        yield f"  as the template says, not observed: {', '.join(fitted.not_observed)}"


def study_document(opened: Opened, study: Study, band: Band | None) -> dict[str, Any]:
    """A reliability study."""
    judgement = study.judgement
    english, chinese = VERDICTS[judgement.verdict]
    return {
        "rests_on": as_document(opened.rests_on),
        "verdict": judgement.verdict.value,
        "verdict_en": english,
        "verdict_zh": chinese,
        "reasons": list(judgement.reasons),
        "probability": judgement.probability,
        "standard_error": judgement.standard_error,
        "upper_bound": None if study.plain is None else as_document(study.plain),
        "estimates": [_estimate(opened.limit_state, each) for each in study.estimates],
        "cross_check": None if study.check is None else as_document(study.check),
        "margins": [_margin(each) for each in study.margins],
        "band": None if band is None else as_document(band) | {"factor": band.factor},
        "runs": study.runs,
        "runs_kept_from_before": opened.runs.kept,
    }


def study_lines(study: Study, band: Band | None) -> Iterator[str]:
    """A reliability study for people."""
    english, chinese = VERDICTS[study.judgement.verdict]
    yield f"{english} {chinese}, {study.runs} runs"
    if study.judgement.probability is not None and study.judgement.standard_error is not None:
        error = study.judgement.standard_error / study.judgement.probability
        yield f"  probability of failure {study.judgement.probability:.3g} ± {error:.1%} (standard error)"
    for reason in study.judgement.reasons:
        yield f"  {reason}"
    if study.plain is not None:
        yield (
            f"  at most {study.plain.upper_bound:.2g} with 95 % confidence: {study.plain.failures} of "
            f"{study.plain.runs} plain runs failed"
        )
    if band is not None:
        yield f"  {band.low:.3g} to {band.high:.3g} (90 %, × {band.factor:.1f}) as the events are drawn anew"
    for margin in study.margins:
        yield f"  design point {margin.distance:.2f} deviations out; {margin.firmness:.0%} of its neighbours fail"
        for each in margin.inputs:
            turns = "never turns it" if each.passes_at is None else f"{each.passes_at:.3g} passes"
            yield f"    {each.name} {each.value:.3g} {each.unit}: {turns}"


def sensitivity_document(
    opened: Opened, influences: Sequence[Influence], held: Sequence[Held]
) -> dict[str, Any]:
    """Sensitivities."""
    return {
        "rests_on": as_document(opened.rests_on),
        "bulk": [as_document(each) for each in influences],
        "held": [
            {
                "name": each.name,
                "median": each.median,
                "probability": each.estimate.probability,
                "standard_error": each.estimate.standard_error,
                "ratio": each.ratio,
                "ratio_error": each.ratio_error,
                "runs": each.estimate.runs,
            }
            for each in held
        ],
        "runs": opened.limit_state.runs,
    }


def sensitivity_lines(influences: Sequence[Influence], held: Sequence[Held]) -> Iterator[str]:
    """Sensitivities for people."""
    yield f"{'input':24} {'Morris':>8} {'Sobol, total':>14} {'held at its median':>20} {'failure then':>16}"
    for bulk, still in zip(influences, held, strict=True):
        ratio = "none found" if still.ratio is None else f"× {still.ratio:.2g}"
        total = f"{bulk.total:.3f} ± {bulk.total_confidence:.3f}"
        yield f"{bulk.name:24} {bulk.mean_effect:8.3g} {total:>14} {still.median:20.4g} {ratio:>16}"


def _estimate(limit_state: LimitState, each: Estimate) -> dict[str, Any]:
    physical = limit_state.law.to_physical(each.design_points) if len(each.design_points) else ()
    return {
        "probability": each.probability,
        "standard_error": each.standard_error,
        "variation": each.variation,
        "runs": each.runs,
        "explored_failures": each.explored_failures,
        "final_runs": each.final_runs,
        "final_failures": len(each.points),
        "heaviest": each.heaviest,
        "design_points": [
            {i.name: float(v) for i, v in zip(limit_state.law.inputs, row, strict=True)} for row in physical
        ],
    }


def _margin(each: Margin) -> dict[str, Any]:
    return {
        "distance": each.distance,
        "firmness": each.firmness,
        "inputs": [as_document(one) for one in each.inputs],
    }
