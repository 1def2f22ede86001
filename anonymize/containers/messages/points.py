"""Point clouds: sensor_msgs/PointCloud2 and foxglove.PointCloud."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.containers.tree import Fields
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import PointProfile

# sensor_msgs/PointField and foxglove.NumericType number the same types differently.
_ROS_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FOXGLOVE_TYPES = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}
_AXES = ("x", "y", "z")
_LONGEST_SWEEP = 1e8
_MOST_INDEXED = 1 << 24
_MOST_FIELDS = 256
_MOST_STRIDE = 1 << 16

Keep = Callable[[NDArray[np.float32]], NDArray[np.intp]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCloud:
    """A cloud as it leaves, None when no point may be kept, and how many points and fields went."""

    fields: Fields | None
    points_in: int
    points_out: int
    fields_dropped: int


def treat_points(fields: Fields, keep: Keep, *, profile: PointProfile) -> CutCloud:
    """Keep the points that ``keep`` names and the attributes that the profile lists.

    Points that are not finite go; a cloud in rows and columns then becomes one row. Attributes that hold
    moments instead of times within the sweep go, whatever their name. A cloud in which nothing has to go
    stays as it is, byte by byte.

    Args:
        fields: The message.
        keep: Takes x, y, z and the row's number as N × 4 float32, returns the rows to keep in order.
        profile: Limits and attributes.

    Raises:
        MalformedItemError: The layout contradicts the data, or has no x, y and z.
        LimitExceededError: The cloud has more points than the profile permits.
    """
    rows = _rows(fields, profile)
    names = rows.dtype.names or ()
    xyz = np.stack([np.asarray(rows[axis], dtype=np.float32) for axis in _AXES], axis=1)
    finite = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    numbered = np.column_stack([xyz[finite], finite.astype(np.float32)])
    kept = keep(numbered)
    listed = [n for n in names if n in _AXES or (_listed(n, profile) and not _moments(rows[n]))]
    gone = len(names) - len(listed)
    if not len(kept):
        return CutCloud(fields=None, points_in=len(rows), points_out=0, fields_dropped=gone)
    if len(kept) == len(rows) and not gone:
        return CutCloud(fields=fields, points_in=len(rows), points_out=len(rows), fields_dropped=0)
    made = _written(fields, rows[kept], listed, whole=len(kept) == len(rows))
    return CutCloud(fields=made, points_in=len(rows), points_out=len(kept), fields_dropped=gone)


def row_numbers(points: NDArray[np.float32]) -> NDArray[np.intp]:
    """The numbers of the rows that are left, out of the fourth column."""
    return points[:, 3].astype(np.intp)


def move_points(
    fields: Fields, move: Callable[[NDArray[np.float64]], NDArray[np.float64]], *, profile: PointProfile
) -> Fields:
    """The cloud with its points, N × 3 in metres, moved; layout and attributes stay.

    Raises:
        MalformedItemError: As :func:`treat_points`.
        LimitExceededError: As :func:`treat_points`.
    """
    rows = _rows(fields, profile).copy()
    moved = move(np.stack([np.asarray(rows[axis], dtype=np.float64) for axis in _AXES], axis=1))
    for column, axis in enumerate(_AXES):
        rows[axis] = moved[:, column]
    content = rows.tobytes()
    data = np.frombuffer(content, np.uint8) if isinstance(fields["data"], np.ndarray) else content
    return {**fields, "data": data}


def _is_ros(fields: Fields) -> bool:
    return "point_step" in fields


def _rows(fields: Fields, profile: PointProfile) -> Any:
    stride = int(fields["point_step" if _is_ros(fields) else "point_stride"])
    content = memoryview(fields["data"]).cast("B")
    if _is_ros(fields):
        height, width, row = int(fields["height"]), int(fields["width"]), int(fields["row_step"])
        count = height * width
        if height > 1 and row != width * stride:
            raise MalformedItemError(
                f"rows of a cloud have gaps (got steps of {row}, expected {width * stride})"
            )
    else:
        count = len(content) // max(stride, 1)
    if count > min(profile.max_points, _MOST_INDEXED):
        raise LimitExceededError(
            f"a cloud has too many points (got {count}, expected at most {profile.max_points})"
        )
    if not 0 < stride <= _MOST_STRIDE or len(content) != count * stride:
        raise MalformedItemError(
            f"a cloud contradicts itself (got {len(content)} bytes, expected {count} points of {stride})"
        )
    return np.frombuffer(content, _dtype(fields, stride), count=count)


def _dtype(fields: Fields, stride: int) -> np.dtype[Any]:
    types = _ROS_TYPES if _is_ros(fields) else _FOXGLOVE_TYPES
    order = ">" if fields.get("is_bigendian") else "<"
    layout: dict[str, list[Any]] = {"names": [], "formats": [], "offsets": []}
    if len(fields["fields"]) > _MOST_FIELDS:
        raise MalformedItemError(f"a cloud has too many fields (got {len(fields['fields'])})")
    for field in fields["fields"]:
        code = types.get(int(field["datatype" if _is_ros(fields) else "type"]))
        count = max(int(field.get("count", 1)), 1)
        if code is None or count > stride:
            raise MalformedItemError("a cloud has a field of an unknown type")
        layout["names"].append(str(field["name"]))
        layout["formats"].append(order + code if count == 1 else (order + code, (count,)))
        layout["offsets"].append(int(field["offset"]))
    if not set(_AXES) <= set(layout["names"]):
        raise MalformedItemError(f"a cloud has no x, y and z (got {len(layout['names'])} fields)")
    try:
        return np.dtype({**layout, "itemsize": stride})  # type: ignore[call-overload,no-any-return]
    except ValueError as error:
        raise MalformedItemError("the fields of a cloud overlap its stride or one another") from error


def _listed(name: str, profile: PointProfile) -> bool:
    lower = name.lower()
    return any(
        lower.startswith(kept[:-1]) if kept.endswith("*") else lower == kept
        for kept in profile.keep_attributes
    )


def _moments(values: Any) -> bool:
    """Whether 64-bit values are moments: seconds since 1973 and everything larger."""
    if values.dtype.itemsize < np.dtype(np.float64).itemsize:
        return False
    return bool(np.nanmax(np.abs(values), initial=0.0) >= _LONGEST_SWEEP)


def _written(fields: Fields, rows: Any, listed: list[str], *, whole: bool) -> Fields:
    packed = np.dtype([(n, rows.dtype[n].base, rows.dtype[n].shape) for n in listed])
    made = np.empty(len(rows), packed)
    for name in listed:
        made[name] = rows[name]
    by_name = {str(f["name"]): f for f in fields["fields"]}
    layout = [{**by_name[n], "offset": int(packed.fields[n][1])} for n in listed]  # type: ignore[index]
    content = made.tobytes()
    data = np.frombuffer(content, np.uint8) if isinstance(fields["data"], np.ndarray) else content
    changed = {**fields, "fields": layout, "data": data}
    if not _is_ros(fields):
        return {**changed, "point_stride": packed.itemsize}
    changed["point_step"] = packed.itemsize
    if whole:
        return {**changed, "row_step": packed.itemsize * int(fields["width"])}
    return {
        **changed,
        "height": 1,
        "width": len(rows),
        "row_step": packed.itemsize * len(rows),
        "is_dense": True,
    }
