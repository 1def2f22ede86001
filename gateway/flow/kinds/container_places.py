"""Places in a released container: what it rightly shows, the scan of a processor's places, and its level."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from anonymize.containers.approved_residual import scan_approved_places
from anonymize.containers.container_pass import PassOutcome
from anonymize.containers.open import open_container
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Container, ContainerKind, Summary
from anonymize.errors import MalformedItemError
from anonymize.formats.track import Track
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.offset import offset_track
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.profile import ContainerProfile, Profile
from anonymize.residual import ResidualReport
from gateway.flow.kinds.approving import mode_of
from gateway.flow.kinds.handling import Unlinking
from gateway.flow.recording import Level

_TRUE_MOTION = frozenset({"motion", "can"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """What a release in another mode than LOCAL shows of its reference track.

    Attributes:
        track: The displaced track.
        facts: What the keyed offset did; empty of a processor.
    """

    track: Track = field(repr=False)
    facts: Mapping[str, Any]


def shown_of(
    unlinking: Unlinking, reference: Track, displacement: KeyedOffset | None, profile: Profile
) -> Shown | None:
    """The reference track as the release shows it; None in LOCAL.

    Raises:
        LimitExceededError: Nothing of the track is left, or a limit of the keyed offset is missed.
        ProcessorError: A processor does not answer as it has to, or fails a check.
    """
    mode = mode_of(unlinking)
    if mode == "LOCAL" or displacement is None:
        return None
    if mode == "OFFSET":
        moved = offset_track(reference, key=unlinking.key, context=unlinking.context, profile=profile.tracks)
        found = moved.evidence
        return Shown(
            track=moved.track,
            facts={
                "max_distance_error": found.max_distance_error,
                "min_shift_m": found.min_shift_m,
                "mean_shift_m": found.mean_shift_m,
                "max_heading_error_deg": found.max_heading_error_deg,
                "max_strain": found.max_strain,
            },
        )
    plan = approved_plan(unlinking)
    numbers = [np.full(len(inner), span, np.int32) for span, inner in enumerate(plan.kept)]
    source = reference.take(np.concatenate(plan.kept), np.concatenate(numbers))
    lat, lon = displacement.displace(source.lat, source.lon)
    return Shown(track=replace(source, lat=lat, lon=lon), facts={})


def approved_plan(unlinking: Unlinking) -> OffsetPlan:
    """The plan of an APPROVED release.

    Raises:
        LimitExceededError: Nothing of the track is left.
        MalformedItemError: The recording has no track with times.
    """
    plan = unlinking.plan()
    if not isinstance(plan, OffsetPlan):
        raise MalformedItemError("a processor places a container along a track with times (got none)")
    return plan


def scanned_places(
    released: Container, treated: BinaryIO, unlinking: Unlinking, reference: Track, profile: Profile
) -> tuple[ResidualReport, ...]:
    """The scan of every place against the processor; none in other modes.

    Raises:
        MalformedItemError: A message cannot be read again.
        ProcessorError: The processor does not answer.
    """
    if mode_of(unlinking) != "APPROVED":
        return ()
    treated.seek(0)
    return (
        scan_approved_places(
            released,
            cleansed=open_container(treated, ContainerKind.MCAP, profile=profile.containers),
            plan=approved_plan(unlinking),
            reference=reference,
            profile=profile,
        ),
    )


def lowered(
    unlinking: Unlinking, outcome: PassOutcome, summary: Summary, profile: ContainerProfile
) -> Level | None:
    """The level of a container in which all that tells of a way is the processor's; None: it keeps its own.

    Motion (inertial measurements, velocities, frames of CAN) and sweeps that could not be carried are true still,
    and what no recognised technology processed keeps its level (COMPLIANCE A7).
    """
    if mode_of(unlinking) != "APPROVED":
        # A LOCAL release has a channel of its own, /clip, which no rule names.
        return None
    treatments = treatments_of(summary, profile)
    topics = {c.topic for c in summary.channels if treatments[c.id] in _TRUE_MOTION}
    true = any(outcome.facts["messages"].get(topic, {"out": 0})["out"] for topic in topics)
    if true or outcome.facts.get("sweeps_not_carried", 0):
        return None
    return Level.S1_PROCESSED
