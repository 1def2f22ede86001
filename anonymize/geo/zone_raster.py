"""A raster that answers most zone tests without geometry: outside, inside, or to be tested exactly.

Cells of about 50 m are grouped in square tiles; a tile that no border crosses is one number in a coarse grid,
so a large zone costs its perimeter, not its area. Every cell holds a code: which zones cover it entirely, and
which borders cross it. Cells that a border crosses are found by sampling the border finely and taking every
cell within half a sample of a sample, which cannot miss one; only positions in those cells are tested against
polygons. Where a set would need too much memory, cells grow.
"""

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from anonymize.geo.ellipsoid import FloatArray

IntArray = NDArray[np.int64]

_METRES_PER_DEGREE = 111_320.0
_CELL_M = 50.0
_SHIFT = 5
_TILE = 1 << _SHIFT
_MASK = _TILE - 1
_MAX_TILES = 8_000_000
_MAX_MIXED = 16_384
_CHUNK = 32_768
_FEW_CELLS = 1024
_SAMPLES_PER_CELL = 4


class ZoneRaster:
    """A raster over shapes in degrees, the most severe first; ``bits`` are each shape's kind."""

    def __init__(self, shapes: tuple[BaseGeometry, ...], bits: NDArray[np.uint16]) -> None:
        self._shapes = shapes
        self._bits = bits
        cell_m = _CELL_M
        tiles_crossed = sum(s.length for s in shapes) * _METRES_PER_DEGREE / (_TILE * cell_m)
        while tiles_crossed > 2 * _MAX_MIXED or not self._build(cell_m):
            cell_m *= 2.0
            tiles_crossed /= 2.0
        self.cell_m = cell_m

    @property
    def nbytes(self) -> int:
        """Memory of the raster in bytes."""
        return self._tile_of.nbytes + self._cells.nbytes

    def test(self, x: FloatArray, y: FloatArray) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """The most severe shape that holds each position (-1 for none), and the kinds of all that do."""
        zone, bits = np.full(len(x), -1, np.int32), np.zeros(len(x), np.uint16)
        if not self._shapes:
            return zone, bits
        for start in range(0, len(x), _CHUNK):
            part = slice(start, start + _CHUNK)
            self._test(x[part], y[part], zone[part], bits[part])
        return zone, bits

    def _test(self, x: FloatArray, y: FloatArray, zone: NDArray[np.int32], bits: NDArray[np.uint16]) -> None:
        alike = self._common_code(x, y)
        if alike is not None:
            zone[:], bits[:] = self._code_zone[alike], self._code_bits[alike]
            return
        code = self._codes_at(*self._cell(x, y))
        near = np.flatnonzero(code)
        if not len(near):
            return
        code = code[near]
        zone[near] = self._code_zone[code]
        bits[near] = self._code_bits[code]
        border = np.flatnonzero(self._code_crossed[code])
        if len(border):
            self._test_borders(near[border], code[border], (x, y), zone, bits)

    def _common_code(self, x: FloatArray, y: FloatArray) -> int | None:
        """The code of every cell about the positions, where it is one and settles them all."""
        columns, rows = self._cell(np.array([x.min(), x.max()]), np.array([y.min(), y.max()]))
        if (int(columns[1]) - int(columns[0]) + 1) * (int(rows[1]) - int(rows[0]) + 1) > _FEW_CELLS:
            return None
        across, up = np.arange(columns[0], columns[1] + 1), np.arange(rows[0], rows[1] + 1)
        codes = self._codes_at(np.tile(across, len(up)), np.repeat(up, len(across)))
        settled = (codes == codes[0]).all() and not self._code_crossed[codes[0]]
        return int(codes[0]) if settled else None

    def _codes_at(self, column: NDArray[np.int32], row: NDArray[np.int32]) -> NDArray[np.int32]:
        tile = self._tile_of[(row >> _SHIFT) * self._tiles_x + (column >> _SHIFT)]
        mixed = np.flatnonzero(tile > 0)
        code = np.negative(tile)
        inner = ((row[mixed] & _MASK) << _SHIFT) | (column[mixed] & _MASK)
        code[mixed] = self._cells[tile[mixed] - 1, inner]
        return code

    def _test_borders(
        self,
        at: IntArray,
        code: NDArray[np.int32],
        position: tuple[FloatArray, FloatArray],
        zone: NDArray[np.int32],
        bits: NDArray[np.uint16],
    ) -> None:
        order = np.argsort(code, kind="stable")
        at, code = at[order], code[order]
        starts = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
        pending: dict[int, list[IntArray]] = {}
        for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
            for index in self._codes[int(code[start])][1]:
                pending.setdefault(index, []).append(at[start:stop])
        for index, groups in pending.items():
            candidates = np.concatenate(groups)
            held = shapely.intersects_xy(
                self._shapes[index], position[0][candidates], position[1][candidates]
            )
            hit = candidates[held]
            zone[hit] = np.where((zone[hit] < 0) | (zone[hit] > index), index, zone[hit])
            bits[hit] |= self._bits[index]

    def _cell(self, x: FloatArray, y: FloatArray) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        column = np.minimum(np.maximum((x - self._west) * self._per_x, 0.0), self._last_x).astype(np.int32)
        row = np.minimum(np.maximum((y - self._south) * self._per_y, 0.0), self._last_y).astype(np.int32)
        return column, row

    def _build(self, cell_m: float) -> bool:
        if not self._shapes:
            self._tile_of, self._cells = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)
            return True
        if not self._lay_out(cell_m):
            return False
        self._codes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
        self._code_of = {self._codes[0]: 0}
        self._mixed: list[NDArray[np.int32]] = []
        for index in range(len(self._shapes)):
            self._overlay(index)
            if len(self._mixed) > _MAX_MIXED:
                return False
        self._cells = np.stack(self._mixed) if self._mixed else np.zeros((0, _TILE * _TILE), np.int32)
        del self._mixed
        least = [min(covering, default=-1) for covering, _ in self._codes]
        self._code_zone = np.array(least, dtype=np.int32)
        self._code_crossed = np.array([bool(crossing) for _, crossing in self._codes])
        self._code_bits = np.array(
            [np.bitwise_or.reduce(self._bits[list(c)]) if c else 0 for c, _ in self._codes], dtype=np.uint16
        )
        return True

    def _lay_out(self, cell_m: float) -> bool:
        bounds = np.array([s.bounds for s in self._shapes])
        west, south = (float(v) for v in bounds[:, :2].min(axis=0))
        east, north = (float(v) for v in bounds[:, 2:].max(axis=0))
        width = cell_m / (_METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2.0)))
        height = cell_m / _METRES_PER_DEGREE
        self._west, self._south = west - _TILE * width, south - _TILE * height
        self._per_x, self._per_y = 1.0 / width, 1.0 / height
        self._tiles_x = math.ceil((east - west) / width / _TILE) + 2
        self._tiles_y = math.ceil((north - south) / height / _TILE) + 2
        self._last_x, self._last_y = self._tiles_x * _TILE - 1.0, self._tiles_y * _TILE - 1.0
        if self._tiles_x * self._tiles_y > _MAX_TILES:
            return False
        self._tile_of = np.zeros(self._tiles_x * self._tiles_y, np.int32)
        return True

    def _overlay(self, index: int) -> None:
        crossed = self._crossed_cells(self._shapes[index])
        columns, rows = crossed % (self._tiles_x * _TILE), crossed // (self._tiles_x * _TILE)
        tiles = (rows >> _SHIFT) * self._tiles_x + (columns >> _SHIFT)
        inner = ((rows & _MASK) << _SHIFT) | (columns & _MASK)
        touched, first = np.unique(tiles, return_inverse=True)
        self._cover_tiles(index, touched)
        borders = np.zeros((len(touched), _TILE * _TILE), dtype=bool)
        borders[first, inner] = True
        covered = self._covered_cells(index, touched, borders)
        cells = np.stack([self._mixed_tile(tile) for tile in touched.tolist()])
        cells[borders] = self._recode(cells[borders], index, crossing=True)
        cells[covered] = self._recode(cells[covered], index, crossing=False)
        for tile, recoded in zip(touched.tolist(), cells, strict=True):
            self._mixed[self._tile_of[tile] - 1] = recoded

    def _crossed_cells(self, shape: BaseGeometry) -> IntArray:
        step = min(1.0 / self._per_x, 1.0 / self._per_y) / _SAMPLES_PER_CELL
        lines = shapely.get_parts(shapely.get_rings(shapely.get_parts(shape)))
        sampled = shapely.get_coordinates(shapely.segmentize(lines, step))
        reach = 0.51 * step + 1e-11
        keys = []
        for dx, dy in ((reach, reach), (reach, -reach), (-reach, reach), (-reach, -reach)):
            column, row = self._cell(sampled[:, 0] + dx, sampled[:, 1] + dy)
            key = row.astype(np.int64) * (self._tiles_x * _TILE) + column
            keys.append(key[np.r_[True, key[1:] != key[:-1]]])
        return np.unique(np.concatenate(keys))

    def _cover_tiles(self, index: int, touched: IntArray) -> None:
        """Mark the tiles that no border of the shape crosses and whose centre it holds."""
        shape = self._shapes[index]
        crossed = np.zeros(len(self._tile_of), dtype=bool)
        crossed[touched] = True
        west, south, east, north = shape.bounds
        (x0, x1), (y0, y1) = self._cell(np.array([west, east]), np.array([south, north]))
        across = np.arange(x0 >> _SHIFT, (x1 >> _SHIFT) + 1, dtype=np.int64)
        for row in range(y0 >> _SHIFT, (y1 >> _SHIFT) + 1):
            tiles = row * self._tiles_x + across
            tiles = tiles[~crossed[tiles]]
            x = self._west + ((tiles % self._tiles_x) + 0.5) * _TILE / self._per_x
            y = self._south + np.full(len(tiles), (row + 0.5) * _TILE / self._per_y)
            held = tiles[shapely.intersects_xy(shape, x, y)]
            known = self._tile_of[held]
            uniform = known <= 0
            self._tile_of[held[uniform]] = -self._recode(-known[uniform], index, crossing=False)
            for mixed in known[~uniform].tolist():
                self._mixed[mixed - 1][:] = self._recode(self._mixed[mixed - 1], index, crossing=False)

    def _covered_cells(self, index: int, touched: IntArray, borders: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which cells of crossed tiles the shape covers; a run of cells between borders is tested once."""
        grid = borders.reshape(len(touched), _TILE, _TILE)
        begins = ~grid
        begins[:, :, 1:] &= grid[:, :, :-1]
        tile, row, column = np.nonzero(begins)
        x = self._west + ((touched[tile] % self._tiles_x) * _TILE + column + 0.5) / self._per_x
        y = self._south + ((touched[tile] // self._tiles_x) * _TILE + row + 0.5) / self._per_y
        held = shapely.intersects_xy(self._shapes[index], x, y)
        runs = np.cumsum(begins.ravel()) - 1
        covered = np.r_[held, False][runs] & ~grid.ravel()
        return np.asarray(covered.reshape(borders.shape))

    def _mixed_tile(self, tile: int) -> NDArray[np.int32]:
        known = int(self._tile_of[tile])
        if known <= 0:
            self._mixed.append(np.full(_TILE * _TILE, -known, np.int32))
            self._tile_of[tile] = known = len(self._mixed)
        return self._mixed[known - 1]

    def _recode(self, codes: NDArray[np.int32], index: int, *, crossing: bool) -> NDArray[np.int32]:
        present = np.zeros(len(self._codes), dtype=bool)
        present[codes] = True
        recoded = np.zeros(len(self._codes), dtype=np.int32)
        for code in np.flatnonzero(present).tolist():
            covering, crossed = self._codes[code]
            key = (covering, (*crossed, index)) if crossing else ((*covering, index), crossed)
            if key not in self._code_of:
                self._code_of[key] = len(self._codes)
                self._codes.append(key)
            recoded[code] = self._code_of[key]
        return recoded[codes]
