"""A smooth displacement field whose control values come from a pseudo-random function.

Each octave is a lattice of control vectors, uniform in a disc of the octave's amplitude, read from keyed
BLAKE2b over the octave and a block of 4 x 4 nodes. The finest octave's lattice carries all of them: at each
of its nodes the coarser octaves are evaluated as uniform cubic B-splines and added to the node's own vector,
and the field between nodes is one cubic B-spline over the sums: twice continuously differentiable, 16 control
vectors per position whatever the number of octaves.

The lattices lie in a Mercator chart with true scale at 35 degrees of latitude, closed around the
antimeridian, and displacements scale with it, so that the gradient of the field, which is what distorts
distances, is the same at every latitude.
"""

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.geo.ellipsoid import MEAN_RADIUS_M, FloatArray
from anonymize.geo.prf import require_key, subkey

_TRUE_SCALE = math.cos(math.radians(35.0))
_EQUATOR_M = 2.0 * math.pi * MEAN_RADIUS_M * _TRUE_SCALE
_FARTHEST_LAT = 85.0
_RADIANS = math.pi / 180.0
_BLOCK = 4
_SHIFT = 5
_TILE = 1 << _SHIFT
_TAPS = 4
_SIDE = _TILE + _TAPS - 1
_KEPT_TILES = 4096
_CHUNK = 8192
_MOST_SLOTS = 65_536

Complex = NDArray[np.complex128]
Complex64 = NDArray[np.complex64]


class Octave:
    """One lattice of control vectors (east + i north, metres)."""

    def __init__(self, key: bytes, number: int, spacing_m: float, amplitude_m: float) -> None:
        self._key = subkey(key, "octave", number.to_bytes(4, "big"))
        self._amplitude_m = amplitude_m
        self._blocks_x = max(round(_EQUATOR_M / spacing_m / _BLOCK), 1)
        self.nodes_x = self._blocks_x * _BLOCK
        self.spacing_m = _EQUATOR_M / self.nodes_x

    def patch(self, column: int, row: int, columns: int, rows: int) -> Complex:
        """Control vectors of the nodes from ``column``, ``row``; columns close around the antimeridian."""
        first_x, first_y = column // _BLOCK, row // _BLOCK
        last_x, last_y = (column + columns - 1) // _BLOCK, (row + rows - 1) // _BLOCK
        blocks = [
            self._block(x % self._blocks_x, y)
            for y in range(first_y, last_y + 1)
            for x in range(first_x, last_x + 1)
        ]
        words = np.frombuffer(b"".join(blocks), dtype="<u2").reshape(
            last_y - first_y + 1, last_x - first_x + 1, _BLOCK, _BLOCK, 2
        )
        grid = words.transpose(0, 2, 1, 3, 4).reshape((last_y - first_y + 1) * _BLOCK, -1, 2)
        x0, y0 = column - first_x * _BLOCK, row - first_y * _BLOCK
        share = (grid[y0 : y0 + rows, x0 : x0 + columns].astype(np.float64) + 0.5) / 65536.0
        radius = self._amplitude_m * np.sqrt(share[..., 0])
        return np.asarray(radius * np.exp(2j * np.pi * share[..., 1]))

    def at_grid(self, x_m: FloatArray, y_m: FloatArray) -> Complex:
        """The octave's B-spline on a grid of chart coordinates in metres, both increasing."""
        wx, first_x, columns = _grid_weights(x_m / self.spacing_m)
        wy, first_y, rows = _grid_weights(y_m / self.spacing_m)
        return np.asarray(wy @ self.patch(first_x, first_y, columns, rows) @ wx.T)

    def _block(self, x: int, y: int) -> bytes:
        place = x.to_bytes(8, "big") + y.to_bytes(8, "big", signed=True)
        return hashlib.blake2b(place, key=self._key, digest_size=64).digest()


class DisplacementField:
    """The sum of all octaves, evaluated at positions in degrees."""

    def __init__(self, key: bytes, octaves: tuple[tuple[float, float], ...]) -> None:
        if not octaves:
            raise ProfileError("an offset has at least one octave (got 0)")
        by_spacing = sorted(octaves, reverse=True)
        made = [Octave(require_key(key), number, *octave) for number, octave in enumerate(by_spacing)]
        *self._coarse, self._fine = made
        self._tiles: dict[tuple[int, int], Complex64] = {}

    def at(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Displacement in metres on the ground towards east and north, and the cosine of the latitude.

        Raises:
            LimitExceededError: A position is within 5 degrees of a pole.
        """
        if len(lat) and not max(lat.max(), -lat.min()) <= _FARTHEST_LAT:
            raise LimitExceededError(
                f"an offset is defined up to {_FARTHEST_LAT} degrees of latitude (got {np.abs(lat).max()!r})"
            )
        east, north, cosine = np.empty(len(lat)), np.empty(len(lat)), np.empty(len(lat))
        for start in range(0, len(lat), _CHUNK):
            part = slice(start, start + _CHUNK)
            sine = np.sin(lat[part] * _RADIANS)
            cosine[part] = np.sqrt(1.0 - sine * sine)
            moved = self._chart_vectors(sine, lon[part])
            scale = cosine[part] / _TRUE_SCALE
            np.multiply(moved.real, scale, out=east[part])
            np.multiply(moved.imag, scale, out=north[part])
        return east, north, cosine

    def _chart_vectors(self, sine: FloatArray, lon: FloatArray) -> Complex64:
        x = lon * (self._fine.nodes_x / 360.0)
        y = np.log((1.0 + sine) / (1.0 - sine)) * (0.5 * MEAN_RADIUS_M * _TRUE_SCALE / self._fine.spacing_m)
        column, row = np.floor(x), np.floor(y)
        wx, wy = _weights((x - column).astype(np.float32)), _weights((y - row).astype(np.float32))
        table, base = self._table(column.astype(np.int32), row.astype(np.int32))
        moved = np.zeros(len(lon), np.complex64)
        for j in range(_TAPS):
            line = table[j * _SIDE :].take(base, mode="clip") * wx[0]
            for i in range(1, _TAPS):
                line += table[j * _SIDE + i :].take(base, mode="clip") * wx[i]
            line *= wy[j]
            moved += line
        return moved

    def _table(self, column: NDArray[np.int32], row: NDArray[np.int32]) -> tuple[Complex64, NDArray[np.intp]]:
        """Control vectors of the touched tiles, and where in them each 4 x 4 window begins."""
        tile_x, tile_y = column >> _SHIFT, row >> _SHIFT
        west, south = int(tile_x.min()), int(tile_y.min())
        across = int(tile_x.max()) - west + 1
        number = (tile_y - south) * across + (tile_x - west)
        touched, slot = _slots(number)
        tiles = [self._tile(west + int(n) % across, south + int(n) // across) for n in touched]
        inner = (row & (_TILE - 1)).astype(np.intp) * _SIDE + (column & (_TILE - 1))
        if len(tiles) == 1:
            return tiles[0], inner
        return np.concatenate(tiles), slot * (_SIDE * _SIDE) + inner

    def _tile(self, tile_x: int, tile_y: int) -> Complex64:
        place = (tile_x, tile_y)
        tile = self._tiles.get(place)
        if tile is None:
            tile = self._controls((tile_x << _SHIFT) - 1, (tile_y << _SHIFT) - 1)
            if len(self._tiles) >= _KEPT_TILES:
                self._tiles.clear()
            self._tiles[place] = tile
        return tile

    def _controls(self, column: int, row: int) -> Complex64:
        controls = self._fine.patch(column, row, _SIDE, _SIDE)
        x = np.arange(column, column + _SIDE, dtype=np.float64) * self._fine.spacing_m
        y = np.arange(row, row + _SIDE, dtype=np.float64) * self._fine.spacing_m
        for octave in self._coarse:
            controls += octave.at_grid(x, y)
        return np.ascontiguousarray(controls, dtype=np.complex64).ravel()


def _slots(number: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The distinct values in order, and each value's place among them."""
    most = int(number.max())
    if most > _MOST_SLOTS:
        distinct, slot = np.unique(number, return_inverse=True)
        return distinct.astype(np.intp), slot
    present = np.zeros(most + 1, dtype=bool)
    present[number] = True
    touched = np.flatnonzero(present)
    return touched, np.cumsum(present)[number] - 1


def _weights(t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The four uniform cubic B-spline weights at ``t`` in [0, 1)."""
    rest, t2 = 1 - t, t * t
    t3 = t2 * t
    first, second, fourth = rest * rest * rest / 6, (3 * t3 - 6 * t2 + 4) / 6, t3 / 6
    return first, second, 1 - first - second - fourth, fourth


def _grid_weights(position: FloatArray) -> tuple[FloatArray, int, int]:
    """A dense matrix of B-spline weights from lattice nodes to positions, the first node and their number."""
    cell = np.floor(position).astype(np.int64)
    first, last = int(cell[0]) - 1, int(cell[-1]) + 2
    matrix = np.zeros((len(position), last - first + 1))
    rows = np.arange(len(position))
    for tap, weight in enumerate(_weights(position - cell)):
        matrix[rows, cell - 1 + tap - first] = weight
    return matrix, first, last - first + 1
