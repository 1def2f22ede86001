"""Figures of the attacks: how many clips and drives were tried, found and claimed, by length of the clips."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anonymize.geo.attacks.cross_release import Drive, HeldDrives
from anonymize.geo.attacks.map_matching import FOUND_M, Match, match_displaced, match_local
from anonymize.geo.attacks.road_network import ComplexArray, RoadNetwork
from anonymize.geo.attacks.shapes import along_m

Mode = Literal["LOCAL", "OFFSET"]
Progress = Callable[[int, int], None]

LENGTHS_M = (0.0, 150.0, 300.0, 700.0, 1500.0, float("inf"))
"""Bounds of the classes of clip length, in metres; a clip of exactly a bound belongs below it."""

_ON_ROAD_M = 40.0
_ON_ROAD_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One piece of a release, as released and in truth, fix by fix.

    Attributes:
        shown: LOCAL: metres in the clip's own frame. OFFSET: metres in the network's frame.
        truth: True places, metres in the network's frame.
    """

    shown: ComplexArray
    truth: ComplexArray

    @property
    def length_m(self) -> float:
        """Length of its way as released, in metres."""
        return float(along_m(self.shown)[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingFigure:
    """What map matching found among clips of one class of length.

    Attributes:
        over_m: The clips are longer than this, in metres.
        to_m: And at most as long as this; None for no bound.
        tried: Clips whose true place is on roads of the extract.
        found: Of these, how many the best match puts within 50 m of their true place.
        claimed: Of these, for how many the match stands out, so that an attacker would believe it.
        claimed_wrong: Of the claimed ones, how many are somewhere else.
        elsewhere: Clips whose true place is on no road of the extract: a control.
        elsewhere_claimed: Of these, for how many an attacker would believe a match.
    """

    over_m: float
    to_m: float | None
    tried: int
    found: int
    claimed: int
    claimed_wrong: int
    elsewhere: int
    elsewhere_claimed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFigure:
    """What joining drives by their steps found.

    Attributes:
        drives: Drives with anything to compare, whose other release is among the candidates.
        candidates: Drives that each is compared with.
        found: For how many the best candidate is the same drive.
        claimed: For how many the best candidate stands out.
        claimed_wrong: Of the claimed ones, how many are another drive.
        alone: Drives that no other release holds: a control.
        alone_claimed: Of these, for how many an attacker would believe a candidate.
    """

    drives: int
    candidates: int
    found: int
    claimed: int
    claimed_wrong: int
    alone: int
    alone_claimed: int


def split(at: Clip, length_m: float) -> Iterator[Clip]:
    """Cut a long clip into pieces of about that length, as an attacker does; a shorter rest is left out."""
    along = along_m(at.shown)
    bounds = np.searchsorted(along, np.arange(0.0, along[-1] + 1e-9, length_m))
    for first, last in itertools.pairwise(bounds.tolist()):
        if last - first > 1:
            yield Clip(shown=at.shown[first : last + 1], truth=at.truth[first : last + 1])


def thinned(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most ``most`` clips, evenly chosen."""
    if len(clips) <= most:
        return list(clips)
    return [clips[i] for i in np.linspace(0, len(clips) - 1, most).astype(np.intp)]


def matching_figures(
    network: RoadNetwork, clips: Sequence[Clip], *, mode: Mode, reach_m: float, progress: Progress
) -> tuple[MatchingFigure, ...]:
    """Run map matching on clips; one figure for each class of length that has any.

    Args:
        network: The roads.
        clips: The clips.
        mode: How they were released.
        reach_m: How far an offset may go in metres.
        progress: Told after each clip how many of how many are done.
    """
    outcomes: dict[int, list[tuple[bool, bool, bool]]] = {}
    for number, clip in enumerate(clips, start=1):
        match = (
            match_local(network, clip.shown)
            if mode == "LOCAL"
            else match_displaced(network, clip.shown, reach_m=reach_m)
        )
        near = np.abs(network.nearest(clip.truth) - clip.truth) <= _ON_ROAD_M
        inside = bool(near.mean() >= _ON_ROAD_SHARE)
        length = int(np.searchsorted(LENGTHS_M, clip.length_m)) - 1
        outcomes.setdefault(max(length, 0), []).append((inside, *_judged(match, clip)))
        progress(number, len(clips))
    return tuple(_matching(length, outcomes[length]) for length in sorted(outcomes))


def _judged(match: Match | None, clip: Clip) -> tuple[bool, bool]:
    if match is None:
        return False, False
    return match.error_m(clip.truth) <= FOUND_M, match.claimed


def _matching(length: int, outcomes: Sequence[tuple[bool, bool, bool]]) -> MatchingFigure:
    inside = [(found, claimed) for on_roads, found, claimed in outcomes if on_roads]
    outside = [claimed for on_roads, _, claimed in outcomes if not on_roads]
    to_m = LENGTHS_M[length + 1]
    return MatchingFigure(
        over_m=LENGTHS_M[length],
        to_m=None if np.isinf(to_m) else to_m,
        tried=len(inside),
        found=sum(found for found, _ in inside),
        claimed=sum(claimed for _, claimed in inside),
        claimed_wrong=sum(claimed and not found for found, claimed in inside),
        elsewhere=len(outside),
        elsewhere_claimed=sum(outside),
    )


def join_figures(
    drives: Sequence[tuple[str, Drive]], held: Sequence[tuple[str, Drive]], *, progress: Progress
) -> JoinFigure:
    """Join drives to drives of other releases.

    Args:
        drives: Each with a name that says which drives are the same.
        held: The candidates, likewise.
        progress: Told after each drive how many of how many are done.
    """
    names = {name for name, _ in held}
    candidates = HeldDrives([drive for _, drive in held])
    counts = dict.fromkeys(("drives", "found", "claimed", "claimed_wrong", "alone", "alone_claimed"), 0)
    for number, (name, drive) in enumerate(drives, start=1):
        joined = candidates.join(drive)
        claimed = joined is not None and joined.claimed
        if name not in names:
            counts["alone"] += 1
            counts["alone_claimed"] += claimed
        elif joined is not None:
            found = held[joined.best][0] == name and joined.score > joined.runner_up
            counts["drives"] += 1
            counts["found"] += found
            counts["claimed"] += claimed
            counts["claimed_wrong"] += claimed and not found
        progress(number, len(drives))
    return JoinFigure(candidates=len(held), **counts)
