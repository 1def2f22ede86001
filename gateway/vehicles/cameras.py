"""What a vehicle says of its cameras: which items each took, how far it sees to the sides, where it looks."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from anonymize.errors import AnonymizeError
from anonymize.formats.names import UnsafeNameError, check_name
from anonymize.formats.strict_json import parse
from gateway.vehicles.errors import ManifestError

MAX_CAMERAS: Final = 64
MAX_OFFSET_M: Final = 30.0

_FIELDS: Final = frozenset({"items", "fov_deg", "yaw_deg", "heading_error_deg", "offset_m"})
_DEPTH: Final = 2
_FULL_TURN_DEG: Final = 360.0
_HALF_TURN_DEG: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera of a vehicle, as it was while the recording's items were taken.

    Attributes:
        items: Name of the items that it took; ``*`` stands for any run of characters, ``/`` included.
        fov_deg: Horizontal field of view in degrees, from the left edge of the picture to the right, in (0, 360].
        yaw_deg: Where the optical axis points, in degrees clockwise from straight ahead, -180 to 360.
        heading_error_deg: How wrong that may be to either side, in degrees, 0 to 180.
        offset_m: Distance in metres on the ground between the camera and what positions are of, 0 to 30.
    """

    items: str
    fov_deg: float
    yaw_deg: float
    heading_error_deg: float
    offset_m: float

    def payload(self) -> dict[str, Any]:
        """The JSON object that is signed; ``parse_cameras`` reads a list of them back."""
        return {
            "items": self.items,
            "fov_deg": self.fov_deg,
            "yaw_deg": self.yaw_deg,
            "heading_error_deg": self.heading_error_deg,
            "offset_m": self.offset_m,
        }


def read_cameras(content: bytes) -> tuple[Camera, ...]:
    """Read a calibration file: a JSON list of cameras, as manifests have it under ``cameras``.

    Raises:
        ManifestError: It is no such list, or a value is impossible.
    """
    try:
        document = parse(content, max_depth=_DEPTH)
    except AnonymizeError as error:
        raise ManifestError("cameras", str(error), "a JSON list of cameras") from error
    return parse_cameras(document)


def parse_cameras(cameras: Any) -> tuple[Camera, ...]:
    """Check the cameras of a manifest and give them their type.

    1. There are 1 to 64.
    2. Each has exactly its fields; ``items`` is a name that an item could have.
    3. Each number is one and possible.

    Raises:
        ManifestError: A check fails; it names the field and the value.
    """
    if not isinstance(cameras, Sequence) or isinstance(cameras, str | bytes):
        raise ManifestError("cameras", cameras, "a list")
    if not 1 <= len(cameras) <= MAX_CAMERAS:  # 1
        raise ManifestError("cameras", f"{len(cameras)} entries", f"1 to {MAX_CAMERAS}, or no such field")
    return tuple(_camera(f"cameras[{i}]", camera) for i, camera in enumerate(cameras))


def cameras_by_item(cameras: Sequence[Camera], names: Iterable[str]) -> dict[str, Camera]:
    """Which camera took each item; items that none took are not in it, and a camera may have taken none.

    Raises:
        ManifestError: An item would have two cameras.
    """
    patterns = [_pattern(camera.items) for camera in cameras]
    found: dict[str, int] = {}
    for name in names:
        for i, pattern in enumerate(patterns):
            if pattern.fullmatch(name):
                if name in found:
                    raise ManifestError(
                        f"cameras[{i}].items",
                        cameras[i].items,
                        f"items other than those of cameras[{found[name]}], such as {name!a}",
                    )
                found[name] = i
    return {name: cameras[i] for name, i in found.items()}


def _camera(where: str, camera: Any) -> Camera:
    if not isinstance(camera, Mapping):
        raise ManifestError(where, camera, "an object")
    if set(camera) != _FIELDS:  # 2
        raise ManifestError(where, sorted(map(str, camera)), f"exactly the fields {sorted(_FIELDS)}")
    items = camera["items"]
    if not isinstance(items, str):
        raise ManifestError(f"{where}.items", items, "a string")
    try:
        check_name(items)
    except UnsafeNameError as error:
        raise ManifestError(f"{where}.items", items, f"a safe name, * for any characters: {error}") from error
    fov = _number(f"{where}.fov_deg", camera["fov_deg"], 0.0, _FULL_TURN_DEG)  # 3
    if fov == 0.0:
        raise ManifestError(f"{where}.fov_deg", fov, "more than 0 degrees")
    return Camera(
        items=items,
        fov_deg=fov,
        yaw_deg=_number(f"{where}.yaw_deg", camera["yaw_deg"], -_HALF_TURN_DEG, _FULL_TURN_DEG),
        heading_error_deg=_number(
            f"{where}.heading_error_deg", camera["heading_error_deg"], 0.0, _HALF_TURN_DEG
        ),
        offset_m=_number(f"{where}.offset_m", camera["offset_m"], 0.0, MAX_OFFSET_M),
    )


def _number(where: str, value: Any, least: float, most: float) -> float:
    # NaN is in no range.
    if type(value) not in {int, float} or not least <= value <= most:
        raise ManifestError(where, value, f"a number from {least:g} to {most:g}")
    return float(value)


def _pattern(items: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(items.replace("[", "[[]").replace("?", "[?]")))
