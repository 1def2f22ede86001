"""A test kit for people who write a secrecy processor: the checks of a release, and more, on generated positions.

``python -m anonymize.geo.processor_conformance PACKAGE:OBJECT [--json]`` calls OBJECT twice without arguments and
tests what it makes. Exit code 0: conforms; 1: a check failed; 2: nothing could be tested. Its figures tell of the
transform (the greatest strain, for instance): treat a report as the transform's parameters are treated.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from anonymize.errors import AnonymizeError, ProcessorError
from anonymize.geo.approved_checks import (
    EQUAL_M,
    SAME_M,
    Check,
    Processed,
    Sample,
    apart_m,
    ask,
    continuous,
    deterministic,
    independent_of_batch,
    independent_of_heights,
    independent_of_order,
    not_public,
)
from anonymize.geo.approved_gradient import gradient_checks
from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import from_enu
from anonymize.geo.secrecy_processor import SecrecyProcessor, require_attested, require_processor

_WEST, _EAST, _SOUTH, _NORTH = 75.0, 133.0, 19.0, 52.0
_DRIVES, _FIXES = 48, 256
_STEPS_M = (1.0, 10.0, 100.0)
_GRID = 40
_THREADS = 4
_SEED = 20_260_101
_MAX_LINEAR_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceReport:
    """What the checks of one processor gave.

    Attributes:
        checks: In the order in which they ran; never empty.
        positions: How many positions they asked for at once.
        positions_per_s: Speed of the processor on them; no check.
    """

    checks: tuple[Check, ...]
    positions: int
    positions_per_s: float

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "passed": self.passed,
            "positions": self.positions,
            "positions_per_s": round(self.positions_per_s),
            "checks": [asdict(check) for check in self.checks],
        }


def conformance(
    processor: SecrecyProcessor, *, another: SecrecyProcessor | None = None, now: datetime | None = None
) -> ConformanceReport:
    """Run every check on generated positions over China.

    1. The attestation is complete and in force. 2. It answers for none, one and many positions, with heights and
    without. 3. The checks of a release (``approved_checks``, ``approved_gradient``), on drives with steps of 1, 10
    and 100 m and on a grid. 4. No linear map gives its output. 5. Several threads get the same answers. 6. Another
    instance gives the same answers.

    Args:
        processor: What is tested.
        another: A second instance from the same maker; None leaves check 6 out.
        now: Time at which the attestation must be in force; the clock's where None.
    """
    moment = now or datetime.now(UTC)
    drives, grid = _drives(), _grid()
    checks = [_run("attestation", lambda: _attested(processor, moment))]
    checks += [_run(name, partial(_answers, processor, name, sample)) for name, sample in _shapes(drives)]
    if not all(check.passed for check in checks[1:]):
        return _report(checks, drives, 0.0)
    begun = time.perf_counter()
    out = ask(processor, drives)
    speed = len(drives.lat) / max(time.perf_counter() - begun, 1e-9)
    out_grid = ask(processor, grid)
    checks += [
        _run("deterministic", lambda: deterministic(processor, drives, out)),
        _run("independent of order", lambda: independent_of_order(processor, drives, out)),
        _run("independent of batch", lambda: independent_of_batch(processor, drives, out)),
        _run("independent of heights", lambda: independent_of_heights(processor, drives, out)),
        _run("continuous", lambda: continuous(drives, out)),
        *_gradients(processor, drives),
        *not_public(grid, out_grid),
        _run("not linear", lambda: _not_linear(grid, out_grid)),
        _run("same in threads", lambda: _same_in_threads(processor, drives, out)),
    ]
    if another is not None:
        checks.append(_run("same in another instance", lambda: _same(another, drives, out)))
    return _report(checks, drives, speed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m anonymize.geo.processor_conformance",
        description="Test a secrecy processor (docs/approved-processor.md).",
    )
    parser.add_argument("processor", metavar="PACKAGE:OBJECT", help="makes a processor when called")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    try:
        processor, another = (_made(chosen.processor) for _ in range(2))
    except ProcessorError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return 2
    report = conformance(processor, another=another)
    print(json.dumps(report.as_dict(), indent=1) if chosen.json else _lines(report))  # noqa: T201 - the same
    return 0 if report.passed else 1


def _made(name: str) -> SecrecyProcessor:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ProcessorError(f"no object is named (got {name!r}, expected PACKAGE:OBJECT)")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except Exception as error:
        raise ProcessorError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    return require_processor(made, name)


def _lines(report: ConformanceReport) -> str:
    rows = [
        f"{'passed' if c.passed else 'FAILED'}  {c.name}: "
        + (c.reason or f"{c.figure:.4g} {c.unit} (at most {c.limit:g})")
        for c in report.checks
    ]
    failed = sum(not c.passed for c in report.checks)
    rows.append(
        f"{len(report.checks) - failed} passed, {failed} failed; {report.positions_per_s:.3g} positions/s"
    )
    return "\n".join(rows)


def _report(checks: list[Check], drives: Sample, speed: float) -> ConformanceReport:
    return ConformanceReport(checks=tuple(checks), positions=len(drives.lat), positions_per_s=speed)


def _run(name: str, check: Callable[[], Check]) -> Check:
    """A check that cannot be made has failed."""
    try:
        return check()
    except AnonymizeError as error:
        return Check(name=name, passed=False, figure=1.0, limit=0.0, unit="errors", reason=str(error))


def _gradients(processor: SecrecyProcessor, sample: Sample) -> tuple[Check, ...]:
    try:
        return gradient_checks(processor, sample)
    except AnonymizeError as error:
        name, reason = "continuous about each position", str(error)
        return (Check(name=name, passed=False, figure=1.0, limit=0.0, unit="errors", reason=reason),)


def _attested(processor: SecrecyProcessor, now: datetime) -> Check:
    require_attested(processor, now=now)
    return Check(name="attestation", passed=True, figure=0.0, limit=0.0, unit="errors")


def _shapes(drives: Sample) -> list[tuple[str, Sample]]:
    height = np.linspace(-100.0, 4000.0, len(drives.lat))
    some = np.arange(min(len(drives.lat), _FIXES))
    with_heights = Sample(lat=drives.lat, lon=drives.lon, height_m=height, joined=drives.joined)
    return [
        ("answers for no position", drives.take(some[:0])),
        ("answers for one position", drives.take(some[:1])),
        ("answers for one position with height", with_heights.take(some[:1])),
        ("answers for many positions", drives),
        ("answers for many positions with heights", with_heights),
    ]


def _answers(processor: SecrecyProcessor, name: str, sample: Sample) -> Check:
    ask(processor, sample)
    return Check(name=name, passed=True, figure=0.0, limit=0.0, unit="errors")


def _not_linear(grid: Sample, out: Processed) -> Check:
    """A shift or a linear map of degrees is undone by whoever knows a few positions."""
    terms = np.stack([np.ones(len(grid.lat)), grid.lat, grid.lon], axis=1)
    given = np.stack(out[:2], axis=1)
    lat, lon = (terms @ np.linalg.lstsq(terms, given, rcond=None)[0]).T
    left, _ = geodesic_m(np.clip(lat, -90.0, 90.0), lon, out[0], out[1])
    share = float((left <= EQUAL_M).mean())
    return Check(
        name="not linear",
        passed=share <= _MAX_LINEAR_SHARE,
        figure=share,
        limit=_MAX_LINEAR_SHARE,
        unit="of the positions",
    )


def _same_in_threads(processor: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    index = np.arange(len(sample.lat))
    parts = np.array_split(index, 4 * _THREADS)
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = list(pool.map(lambda part: ask(processor, sample.take(part)), parts))
    far = max(apart_m(answer, out, part) for answer, part in zip(answers, parts, strict=True))
    return Check(name="same in threads", passed=far <= SAME_M, figure=far, limit=SAME_M, unit="m")


def _same(another: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    far = apart_m(ask(another, sample), out, np.arange(len(sample.lat)))
    return Check(name="same in another instance", passed=far <= SAME_M, figure=far, limit=SAME_M, unit="m")


def _drives() -> Sample:
    """Winding drives all over China: joined fixes 1, 10 or 100 m apart."""
    rng = np.random.default_rng(_SEED)
    lat, lon = [], []
    for number in range(_DRIVES):
        heading = np.cumsum(rng.normal(0.0, 0.1, _FIXES)) + rng.uniform(0.0, 2.0 * np.pi)
        step = _STEPS_M[number % len(_STEPS_M)]
        at = (rng.uniform(_SOUTH, _NORTH), rng.uniform(_WEST, _EAST))
        y, x = from_enu(np.cumsum(step * np.sin(heading)), np.cumsum(step * np.cos(heading)), *at)
        lat.append(y)
        lon.append(x)
    joined = np.ones(_DRIVES * _FIXES - 1, dtype=bool)
    joined[_FIXES - 1 :: _FIXES] = False
    return Sample(lat=np.concatenate(lat), lon=np.concatenate(lon), height_m=None, joined=joined)


def _grid() -> Sample:
    lat, lon = np.meshgrid(np.linspace(_SOUTH, _NORTH, _GRID), np.linspace(_WEST, _EAST, _GRID))
    joined = np.zeros(lat.size - 1, dtype=bool)
    return Sample(lat=lat.ravel(), lon=lon.ravel(), height_m=None, joined=joined)


if __name__ == "__main__":
    sys.exit(main())
