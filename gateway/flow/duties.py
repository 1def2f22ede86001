"""Duties that policy ties to an allowed release: performed when it was built, and proved by its evidence (law 6).

What evidence does not show counts as not performed, and the release is refused.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from anonymize.finding import FindingKind
from gateway.database import ReadSession
from gateway.flow.build import built_payload
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.recording import Built, Cleansed, ReleaseMode
from policies.decision import Obligation, ObligationKind
from policies.question import Point


def is_performed(gate: Gate, session: ReadSession, built: Built, duty: Obligation) -> bool:
    """Whether a candidate's evidence, verified while reading it, proves a duty.

    Raises:
        EvidenceError: Evidence does not verify.
    """
    parameters = duty.parameters
    match duty.kind:
        case ObligationKind.EXPIRE:
            # The manifest carries the date, a grant may not outlive it, and each read is judged by it.
            return bool(parameters.get("not_after") == instant(built.terms.expires_at))
        case ObligationKind.IN_ZONE_ONLY:
            judged = gate.bundle.bundle.catalogue[Point.SERVE]
            return "zone_bound" in judged and parameters.get("zone") == built.terms.destination_zone
        case ObligationKind.CLIP_LENGTH:
            return _is_cut(gate, session, built, parameters)
        case ObligationKind.THIN_POINTS:
            return _is_thinned(gate, session, built, parameters)
        case ObligationKind.MASK_SIGNS:
            return _signs_are_masked(gate, session, built, parameters)
        case _:
            # ``watermark``: no released form of a picture carries one yet.
            return False


def _is_cut(gate: Gate, session: ReadSession, built: Built, parameters: Mapping[str, Any]) -> bool:
    limit = parameters.get("max_m")
    longest = [built_payload(gate, session, built.terms.release).get("longest_clip_m")]
    longest += [i.payload["facts"].get("longest_clip_m", 0.0) for i in built.items]
    return built.terms.mode is ReleaseMode.LOCAL and _within(longest, limit)


def _within(lengths: Sequence[object], limit: object) -> bool:
    return isinstance(limit, int | float) and all(isinstance(m, int | float) and m <= limit for m in lengths)


def _is_thinned(gate: Gate, session: ReadSession, built: Built, parameters: Mapping[str, Any]) -> bool:
    """Of each sensor's sweeps, no more than one in so many is released; of fewer than that, one."""
    step, classes = parameters.get("keep_every"), parameters.get("classes", ())
    if not isinstance(step, int) or step < 1:
        return False
    sensors: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for item in built.items:
        if item.data_class.value not in classes:
            continue
        facts = load_cleansed(gate, session, item.source).payload["facts"]
        if "messages" in facts:
            if not _container_is_thinned(facts, step):
                return False
            continue
        series = item.payload.get("series")
        if not isinstance(series, Mapping):
            return False
        sensors[str(item.recording), str(series["sensor"])].append(int(series["count"]))
    return all(len(counts) <= max(1, -(-max(counts) // step)) for counts in sensors.values())


def _container_is_thinned(facts: Mapping[str, Any], step: int) -> bool:
    """Whether the first pass kept one sweep in so many of each channel, beginning with the first."""
    counts = [facts.get(name) for name in ("sweeps_in", "sweeps_kept", "sweep_channels")]
    if not all(isinstance(count, int) for count in counts):
        return False
    found, kept, channels = (int(count) for count in counts if count is not None)
    return kept * step <= found + channels * (step - 1)


def _signs_are_masked(gate: Gate, session: ReadSession, built: Built, parameters: Mapping[str, Any]) -> bool:
    named = set(parameters.get("items", ()))
    pictured = {item.name: item for item in built.items}
    return (
        bool(named)
        and named <= pictured.keys()
        and all(_sign_is_masked(load_cleansed(gate, session, pictured[name].source)) for name in named)
    )


def _sign_is_masked(cleansed: Cleansed) -> bool:
    payload, sign = cleansed.payload, FindingKind.LIMIT_SIGN.value
    looked = has_pixels(cleansed) and sign in payload.get("detector_kinds", ())
    return looked and int(payload["treated"].get(sign, 0)) >= int(payload["counts"].get(sign, 0))
