"""What stands behind positions of records and poses that leave displaced, item by item."""

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.formats.track import Track
from anonymize.geo.approved import approve_track, sample_of
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.offset import OffsetEvidence
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import Settled, Unlinking
from gateway.flow.recording import ReleaseMode

_SAMPLE = 20
"""Positions before and after that the operator keeps of each track (COMPLIANCE.md §4)."""


def settled(
    gate: Gate,
    unlinking: Unlinking,
    report: ResidualReport,
    *,
    source: Track,
    evidence: OffsetEvidence | None,
) -> Settled:
    """What is known of an item that leaves by its recording's plan: nothing more in LOCAL, figures in OFFSET.

    In APPROVED the processor must pass every check on the recording's track and on the item's own positions; the
    operator keeps a sample. Of a file of one position it is kept where the recording's sample has that position.

    Args:
        gate: The gate.
        unlinking: The release.
        report: The item's scan.
        source: The true positions behind what leaves.
        evidence: What the offset did; None in the other modes.

    Raises:
        MalformedItemError: No plan with a processor's positions is there.
        ProcessorError: The processor is not attested now, fails, or fails a check.
    """
    if evidence is not None:
        facts = {
            "max_distance_error": evidence.max_distance_error,
            "min_shift_m": evidence.min_shift_m,
            "mean_shift_m": evidence.mean_shift_m,
            "max_heading_error_deg": evidence.max_heading_error_deg,
            "max_strain": evidence.max_strain,
        }
        return Settled(residual=report, facts=facts)
    if unlinking.mode is not ReleaseMode.APPROVED:
        return Settled(residual=report)
    plan, whole = unlinking.plan(), unlinking.approved()
    if whole is None or not isinstance(plan, OffsetPlan) or not isinstance(plan.offset, ApprovedDisplacement):
        raise MalformedItemError("a processor takes recordings with a timed track (got none)")
    own = approve_track(
        source,
        processor=plan.offset.processor,
        now=gate.clock(),
        shift_s=plan.shift_s,
        certificate_sha256=gate.settings.processor_certificate_sha256,
    )
    times = whole.source.time_s
    sampled = times[np.linspace(0, len(times) - 1, _SAMPLE).round().astype(np.intp)]
    kept = len(source) > 1 or bool(np.isin(source.time_s, sampled).all())
    sample = {"processor_sample": sample_of(own.source, own.track, _SAMPLE).content().decode()}
    return Settled(residual=report, facts=own.evidence.facts(), kept=sample if kept else {})
