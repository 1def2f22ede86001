"""Points of a LAS or LAZ file that left a pass, read by laspy instead of what wrote them."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import laspy  # type: ignore[import-untyped]
import lazrs  # type: ignore[import-untyped]
import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.attributes import is_listed

AGAIN_AT_ONCE = 100_000
_ALWAYS = {"X", "Y", "Z"}
_CLASS_FLAGS = {"synthetic", "key_point", "withheld", "overlap"}
_SYSTEM_KEYS = (3072, 2048)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadAgain:
    """Some points.

    Attributes:
        xyz: Rows of x, y, z in the unit of the file.
        times: Seconds; empty without such a field.
        unlisted: Names of attributes that are not listed and not zero.
    """

    xyz: FloatArray
    times: FloatArray
    unlisted: tuple[str, ...]


def read_again(file: BinaryIO, allowed: Sequence[str]) -> Iterator[ReadAgain]:
    """Points, some at a time.

    Raises:
        MalformedItemError: laspy cannot read the file, or its header tells other bounds than its points have.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    with _reader(file) as reader:
        for points in reader.chunk_iterator(AGAIN_AT_ONCE):
            xyz = np.stack([np.asarray(points[name], np.float64) for name in ("x", "y", "z")], axis=1)
            low, high = np.minimum(low, xyz.min(axis=0)), np.maximum(high, xyz.max(axis=0))
            names = list(points.point_format.dimension_names)
            times = np.asarray(points["gps_time"] if "gps_time" in names else [], np.float64)
            left = tuple(n for n in names if not _may_stay(n, allowed) and np.asarray(points[n]).any())
            yield ReadAgain(xyz=xyz, times=times, unlisted=left)
        told = np.stack([reader.header.mins, reader.header.maxs])
        if not np.allclose(told, np.stack([low, high]), rtol=0.0, atol=float(reader.header.scales.max())):
            raise MalformedItemError("the header tells other bounds than the points have")


def stated_again(file: BinaryIO) -> str | None:
    """The reference system that a file states, as laspy finds it: WKT or ``EPSG:<code>``.

    Raises:
        MalformedItemError: laspy cannot read the file.
    """
    with _reader(file) as reader:
        texts = [str(v.string) for v in reader.header.vlrs.get("WktCoordinateSystemVlr")]
        keys = {
            key.id: key.value_offset
            for directory in reader.header.vlrs.get("GeoKeyDirectoryVlr")
            for key in directory.geo_keys
        }
    codes = [f"EPSG:{keys[key]}" for key in _SYSTEM_KEYS if key in keys]
    return next(iter([*texts, *codes]), None)


@contextmanager
def _reader(file: BinaryIO) -> Iterator[laspy.LasReader]:
    file.seek(0)
    try:
        with laspy.LasReader(file, closefd=False, laz_backend=laspy.LazBackend.Lazrs) as reader:
            yield reader
    except (laspy.LaspyException, lazrs.LazrsError, ValueError, struct.error) as error:
        raise MalformedItemError(f"the file cannot be read again ({type(error).__name__})") from error


def _may_stay(name: str, allowed: Sequence[str]) -> bool:
    return name in _ALWAYS or is_listed("classification" if name in _CLASS_FLAGS else name, allowed)
