"""How the positions of an item leave in each mode, and what stands behind those that a processor gives."""

from collections.abc import Mapping
from typing import Any, Literal

from anonymize.errors import ProcessorError
from anonymize.geo.approved_witness import WitnessedDisplacement
from anonymize.geo.displacement import KeyedOffset
from anonymize.residual import ResidualReport
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import Settled, Unlinking
from gateway.flow.recording import ReleaseMode

Mode = Literal["LOCAL", "OFFSET", "APPROVED"]

_MODES: Mapping[ReleaseMode, Mode] = {
    ReleaseMode.LOCAL: "LOCAL",
    ReleaseMode.OFFSET: "OFFSET",
    ReleaseMode.APPROVED: "APPROVED",
}
_SAMPLE = 20
"""Positions before and after that the operator keeps of each item (COMPLIANCE.md §4)."""


def mode_of(unlinking: Unlinking) -> Mode:
    """The mode, as the passes over items name it."""
    return _MODES[unlinking.mode]


def displacement_of(gate: Gate, unlinking: Unlinking) -> KeyedOffset | None:
    """What moves the positions of an item: the release's offset, or the recognised processor; None in LOCAL.

    Raises:
        ProcessorError: There is no processor, or its attestation is not in force.
    """
    profile = gate.profile.profile.tracks
    if unlinking.mode is ReleaseMode.LOCAL:
        return None
    if unlinking.mode is ReleaseMode.OFFSET:
        return KeyedOffset(unlinking.key, profile)
    if unlinking.processor is None:
        raise ProcessorError("mode APPROVED needs a recognised processor (got none, expected one)")
    return WitnessedDisplacement(
        unlinking.processor.processor,
        profile,
        now=gate.clock(),
        certificate_sha256=gate.settings.processor_certificate_sha256,
    )


def settled(displacement: KeyedOffset | None, residual: ResidualReport, facts: Mapping[str, Any]) -> Settled:
    """What is known of a moved item; with a processor its evidence, and positions before and after to be kept.

    Raises:
        LimitExceededError: The processor moved nothing.
        ProcessorError: It fails a check of the release.
    """
    if not isinstance(displacement, WitnessedDisplacement):
        return Settled(residual=residual, facts=dict(facts))
    evidence = displacement.evidence()
    return Settled(
        residual=residual,
        facts={**facts, **evidence.facts()},
        kept={"processor_sample": displacement.sample(_SAMPLE).content().decode()},
    )
