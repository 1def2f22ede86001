"""Which pictures to take: few that cover much (k-center), or so many of each kind (quota)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.mining.descriptors import FloatVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A picture that was taken.

    Attributes:
        name: Its name.
        stratum: Its kind: the value of each group of tags that was asked for, ``""`` where it has none.
        apart: Cosine distance to the nearest that was taken before it in its stratum; 1 for the first.
    """

    name: str
    stratum: tuple[str, ...]
    apart: float


def k_center(descriptors: Mapping[str, FloatVector], count: int) -> tuple[tuple[str, float], ...]:
    """Take pictures one by one, each the one farthest from all that were taken (Gonzalez 1985).

    No other choice of as many leaves the worst-covered picture less than half as far away. The first is the one
    nearest to the mean; of equals the first by name.

    Raises:
        ValueError: ``count`` is not positive.
    """
    if count <= 0:
        raise ValueError(f"count (got {count}, expected at least 1)")
    names = sorted(descriptors)
    if not names:
        return ()
    points = np.stack([descriptors[name] for name in names])
    first = int(np.argmax(points @ points.mean(axis=0)))
    taken = [(names[first], 1.0)]
    apart = 1.0 - points @ points[first]
    apart[first] = -1.0
    while len(taken) < min(count, len(names)):
        farthest = int(np.argmax(apart))
        taken.append((names[farthest], float(max(apart[farthest], 0.0))))
        apart = np.minimum(apart, 1.0 - points @ points[farthest])
        apart[farthest] = -1.0
    return tuple(taken)


def by_quota(
    descriptors: Mapping[str, FloatVector], strata: Mapping[str, tuple[str, ...]], count: int
) -> tuple[Selected, ...]:
    """Take as many of each stratum as there are and as is fair, within each by ``k_center``.

    Strata get places in turn, the smallest first, so that what is rare is there; what a small stratum cannot fill
    goes to the others.

    Args:
        descriptors: By name of the picture.
        strata: The stratum of each picture.
        count: How many to take.

    Raises:
        ValueError: ``count`` is not positive.
        KeyError: A picture has no stratum.
    """
    members: dict[tuple[str, ...], dict[str, FloatVector]] = {}
    for name, descriptor in descriptors.items():
        members.setdefault(strata[name], {})[name] = descriptor
    ordered = sorted(members, key=lambda stratum: (len(members[stratum]), stratum))
    chosen = {stratum: k_center(members[stratum], count) for stratum in ordered}
    places = dict.fromkeys(ordered, 0)
    left = min(count, len(descriptors))
    while left:
        for stratum in ordered:
            if left and places[stratum] < len(chosen[stratum]):
                places[stratum] += 1
                left -= 1
    return tuple(
        Selected(name=name, stratum=stratum, apart=apart)
        for stratum in ordered
        for name, apart in chosen[stratum][: places[stratum]]
    )
