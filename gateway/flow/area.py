"""The ground that releases cover, added up per recipient (COMPLIANCE.md A8, rule 18).

Evidence of a release outlives the recordings that it was drawn from. It therefore keeps no place, only a keyed
digest of each cell of ground: enough to form unions, and to nobody without the gate's secret a map.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anonymize.formats.track import Track
from anonymize.geo.hull_area import hull_cells
from anonymize.geo.swept_area import CELL_KM2, swept_ground
from gateway.flow.gate import Gate

_SECRET = "swept-cells"  # noqa: S105 - the secret's name
_BYTES = 8
_COUNTED_KM2 = 100.0
"""Ground of a release beyond which no cell is kept: more than any limit, so that its number says enough."""


def area_evidence(
    gate: Gate,
    tracks: Iterable[Track],
    places: Iterable[tuple[float, float]],
    maps: Iterable[tuple[ArrayLike, ArrayLike]] = (),
) -> dict[str, Any]:
    """What the evidence of a release keeps of the ground it covers.

    Args:
        gate: The gate.
        tracks: The true tracks of its recordings.
        places: Latitudes and longitudes, degrees WGS-84, of single items.
        maps: Latitudes and longitudes of all positions of each map; the ground within its hull counts.
    """
    profile = gate.profile.profile
    paths: list[tuple[ArrayLike, ArrayLike]] = [
        (track.lat[part], track.lon[part]) for track in tracks for part in track.segments()
    ]
    paths += places
    radius_m = max(profile.images.view_distance_m, profile.points.max_range_m)
    ground = swept_ground(paths, radius_m=radius_m)
    if area_km2(ground.count) > _COUNTED_KM2:
        return {"km2": area_km2(ground.count), "cells": ""}
    cells = np.unique(np.concatenate([ground.cells(), *(hull_cells(lat, lon) for lat, lon in maps)]))
    secret = gate.keystore.secret(_SECRET)
    digests = sorted(
        hashlib.blake2b(cell.to_bytes(8, "big"), key=secret, digest_size=_BYTES).digest()
        for cell in cells.tolist()
    )
    return {"km2": area_km2(len(cells)), "cells": base64.b64encode(b"".join(digests)).decode()}


def area_km2(cells: int) -> float:
    """Area in km² of a number of cells."""
    return round(cells * CELL_KM2, 6)


def united_km2(areas: Iterable[Mapping[str, Any]]) -> float:
    """Area in km² of the union of what ``area_evidence`` kept of several releases; what has no cells adds up."""
    held = list(areas)
    kept = [np.frombuffer(base64.b64decode(area["cells"]), dtype=f">u{_BYTES}") for area in held]
    united = area_km2(len(np.unique(np.concatenate([np.zeros(0, f">u{_BYTES}"), *kept]))))
    return round(united + sum(float(area["km2"]) for area in held if not area["cells"]), 6)
