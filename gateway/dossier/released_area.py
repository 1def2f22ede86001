"""The ground of a release as its recipient sees it: read from the released files, never from true positions.

An offset is no anonymisation, and a dossier travels further than the release. So it keeps cells of a coarse grid
of the released coordinates, and of a LOCAL release the size of each clip in a frame of its own; never a path.
"""

import csv
import io
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anonymize.formats.identify import ItemKind
from gateway.flow.gate import Gate
from gateway.flow.kinds.tracks import WGS84, read_track
from gateway.flow.recording import Built, BuiltItem, Cleansed, ReleaseMode
from gateway.vault.store import Context

CELL_DEG: Final = 0.005
"""Side of a cell in degrees: half a kilometre. Larger where the ground is large."""
_MOST_ACROSS: Final = 64
_TRACKS: Final = frozenset({ItemKind.GPX, ItemKind.CSV_TRACK, ItemKind.GEOJSON_TRACK, ItemKind.NMEA})


def area_of(gate: Gate, built: Built, cleansed: list[Cleansed]) -> dict[str, Any]:
    """What a dossier shows of the ground, JSON-ready.

    ``kind`` is ``local``, ``grid`` or ``none``; ``not_drawn`` counts items whose positions are inside containers,
    maps or layouts, which are not drawn.

    Args:
        gate: The gate.
        built: The release.
        cleansed: What each of its items was made of, in their order.
    """
    tracks = [
        item
        for item, source in zip(built.items, cleansed, strict=True)
        if source.classified.kind in _TRACKS and item.payload["position_handling"] != "none"
    ]
    kinds = {item.name: source.classified.kind for item, source in zip(built.items, cleansed, strict=True)}
    others = [
        item
        for item in built.items
        if item not in tracks and item.payload["position_handling"] in {"local", "offset", "approved"}
    ]
    told: dict[str, Any] = {"not_drawn": len(others)}
    if not tracks:
        return told | {"kind": "none"}
    if built.terms.mode is ReleaseMode.LOCAL:
        clips = [clip for item in tracks for clip in _clips(_content(gate, built, item))]
        return told | {"kind": "local", "clips": clips}
    read = [read_track(gate, kinds[item.name], _content(gate, built, item), crs=WGS84) for item in tracks]
    lat = np.concatenate([track.lat for track in read])
    lon = np.concatenate([track.lon for track in read])
    return told | {"kind": "grid", **_cells(lat, lon)}


def _content(gate: Gate, built: Built, item: BuiltItem) -> bytes:
    context = Context(owner=built.terms.release, object=item.name, role="release")
    return b"".join(gate.vault.open(item.seal, context).chunks())


def _cells(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> dict[str, Any]:
    step = CELL_DEG
    while max(np.ptp(lat), np.ptp(lon)) / step > _MOST_ACROSS:
        step *= 2
    rows, columns = np.floor(lat / step).astype(int), np.floor(lon / step).astype(int)
    cells = sorted({(int(row), int(column)) for row, column in zip(rows, columns, strict=True)})
    height_km = step * 111.32
    width_km = height_km * math.cos(math.radians((cells[0][0] + 0.5) * step))
    return {
        "cell_deg": step,
        "cells": [list(cell) for cell in cells],
        "cells_km2": round(len(cells) * height_km * width_km, 2),
    }


def _clips(content: bytes) -> Iterator[dict[str, Any]]:
    """The extent of each clip in metres, along the axes of its own, randomly turned frame."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        found.setdefault(row["clip"], []).append((float(row["x_m"]), float(row["y_m"])))
    for points in found.values():
        x, y = zip(*points, strict=True)
        yield {
            "width_m": round(max(x) - min(x)),
            "height_m": round(max(y) - min(y)),
            "fixes": len(points),
        }
