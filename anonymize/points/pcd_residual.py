"""Independent look at a PCD file that left a pass: its header must match a grammar, pypcd4 reads its points."""

import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from pypcd4.pypcd4 import PointCloud

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray
from anonymize.points.attributes import is_listed
from anonymize.points.las_residual import Residue

_HEADER = re.compile(
    rb"# \.PCD v0\.7 - Point Cloud Data file format\nVERSION 0\.7\nFIELDS ([!-~]+(?: [!-~]+)*)\n"
    rb"SIZE ([1248](?: [1248])*)\nTYPE [FUI](?: [FUI])*\nCOUNT (\d+(?: \d+)*)\nWIDTH (\d+)\nHEIGHT 1\n"
    rb"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS (\d+)\nDATA (binary|binary_compressed)\n"
)
_PLACES = {"x", "y", "z"}


def scan_pcd_structure(content: bytes, allowed: Sequence[str]) -> Iterator[Residue]:
    """Everything in the file that is not the points, as far as it is unlisted."""
    header = _HEADER.match(content)
    if header is None or header[4] != header[5]:
        yield Residue(metadata=True, name="header")
        return
    names = header[1].decode("ascii").split()
    if any(n not in _PLACES and not is_listed(n, allowed) for n in names):
        yield Residue(metadata=False, name="unlisted field")
    sizes, counts = ([int(v) for v in header[group].split()] for group in (2, 3))
    record = sum(s * c for s, c in zip(sizes, counts, strict=True))
    rest = len(content) - header.end()
    if header[6] == b"binary_compressed":
        expected = 8 + int.from_bytes(content[header.end() : header.end() + 4], "little")
    else:
        expected = record * int(header[5])
    if rest != expected:
        yield Residue(metadata=True, name="trailing data")


def read_pcd_places(content: bytes) -> FloatArray:
    """One row of x, y, z per point, as pypcd4 reads them.

    Raises:
        MalformedItemError: pypcd4 cannot read the file.
    """
    try:
        cloud = PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(content)))
        return np.stack([np.asarray(cloud.pc_data[n], np.float64) for n in ("x", "y", "z")], axis=1)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise MalformedItemError(f"the file cannot be read again ({type(error).__name__})") from error
