"""The tables of nuScenes (schema 1.0): cuboids of instances in samples.

nuScenes knows one frame of reference, which it calls global; a release has one that says no place on earth. Its
name is given, and tables are written as if car and sensors stood at its origin: poses are not labels. Tokens are
digests of the release and of ids in it, so that no token joins two releases (law 7).
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Final

from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.exchange.foreign import (
    Exported,
    ForeignLabel,
    LeftOut,
    as_json,
    frame_of,
    placed,
    read_json,
)
from pipeline.labelling.geometry import Cuboid
from pipeline.labelling.label_set import Label, LabelledFrame, LabelSet

_FOLDER: Final = "v1.0-fleetgate"
_TABLES: Final = ("category", "attribute", "instance", "sample", "sample_data", "sample_annotation")
_STILL: Final = {"translation": [0.0, 0.0, 0.0], "rotation": [1.0, 0.0, 0.0, 0.0]}
_LEVELS: Final = (("1", "v0-40", 0.4), ("2", "v40-60", 0.6), ("3", "v60-80", 0.8), ("4", "v80-100", 1.0))
_VISIBILITY: Final = "visibility"


def read_nuscenes(
    files: Mapping[str, bytes], base: LabelSet, class_map: ClassMap, frame: str
) -> Iterator[ForeignLabel]:
    """Cuboids of the tables. One belongs to the first frame of the set among the key frames of its sample.

    Attributes are texts there, such as ``vehicle.moving``: the class map says which ours is (``moving.true``). The
    visible share is a range there and is not read.

    Raises:
        ExchangeError: A table is missing or malformed, a sample has no picture of the set, or pictures have other
            sizes.
    """
    tables = {name: _table(files, name) for name in _TABLES}
    try:
        categories = {each["token"]: str(each["name"]) for each in tables["category"]}
        attributes = {each["token"]: str(each["name"]) for each in tables["attribute"]}
        instances = {each["token"]: categories[each["category_token"]] for each in tables["instance"]}
        items = _items(tables["sample_data"], base)
        for each in tables["sample_annotation"]:
            place = f"sample_annotation {each['token']!r}"
            if each["sample_token"] not in items:
                raise ExchangeError(
                    f"{place}: sample (got {each['sample_token']!r}, expected one with a frame of the set)"
                )
            w, x, y, z = each["rotation"]
            width, length, height = each["size"]
            cx, cy, cz = each["translation"]
            with placed(place):
                shape = Cuboid(
                    centre=(cx, cy, cz), size=(length, width, height), quaternion=(x, y, z, w), frame=frame
                )
            yield ForeignLabel(
                place=place,
                item=items[each["sample_token"]],
                label_class=instances[each["instance_token"]],
                geometry=shape,
                track=str(each["instance_token"]),
                attributes=_said([attributes[token] for token in each["attribute_tokens"]], class_map, place),
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExchangeError(f"nuScenes: {type(error).__name__}: {error}") from error


def write_nuscenes(labels: LabelSet, class_map: ClassMap, frame: str) -> Exported:
    """Cuboids of a set in one frame of reference; what lies in pictures, numbers and texts are left out.

    Frames of one time are one sample, and those of a sequence are one channel.

    Raises:
        ExchangeError: A frame states no time, cuboids are in other frames of reference, an object has two in one
            sample, or the class map has two names for a class.
    """
    left_out = LeftOut()
    samples = _samples(labels)
    kept = _cuboids(labels, samples, frame, left_out)
    token = _Tokens(labels)
    ordered = list(dict.fromkeys(samples.values()))
    used = sorted({f"{n}.{_text(v)}" for each in kept for n, v in each.attributes.items() if _is_choice(v)})
    for each in kept:
        left_out.attributes(n for n, v in each.attributes.items() if not _is_choice(v) and n != _VISIBILITY)
        if each.confidence is not None:
            left_out.attributes(["confidence"])
    tables: dict[str, list[dict[str, Any]]] = {
        "category": [
            {"token": token("category", name), "name": class_map.foreign(name), "description": c.en}
            for name, c in labels.ontology.classes.items()
        ],
        "attribute": [{"token": token("attribute", name), "name": name, "description": ""} for name in used],
        "visibility": [{"token": t, "level": level, "description": ""} for t, level, _ in _LEVELS],
        "log": [{"token": token("log"), "logfile": "", "vehicle": "", "date_captured": "", "location": ""}],
        "map": [],
        **_sensors(labels, samples, token),
        **_scene(ordered, token),
        "instance": _instances(labels, kept, samples, token),
        "sample_annotation": _annotations(kept, samples, token),
    }
    return Exported(
        files={f"{_FOLDER}/{name}.json": as_json(rows) for name, rows in tables.items()}, left_out=left_out
    )


class _Tokens:
    """Tokens of one release."""

    def __init__(self, labels: LabelSet) -> None:
        self._release = labels.lineage.release_digest

    def __call__(self, *parts: object) -> str:
        return sha256(repr((self._release, *parts)).encode()).hexdigest()[:32]


def _samples(labels: LabelSet) -> dict[str, int]:
    found: dict[str, int] = {}
    for frame in labels.frames.values():
        if frame.time_us is None:
            raise ExchangeError(
                f"time of frame {frame.item!r} (got none, expected one: nuScenes has samples by time)"
            )
        found[frame.item] = frame.time_us
    return found


def _cuboids(labels: LabelSet, samples: Mapping[str, int], frame: str, left_out: LeftOut) -> list[Label]:
    kept: list[Label] = []
    seen: set[tuple[int, str]] = set()
    for label in labels.labels.values():
        if not isinstance(label.geometry, Cuboid):
            left_out.shape(label)
            continue
        if label.geometry.frame != frame:
            raise ExchangeError(
                f"cuboid of object {label.object_id!r} in frame {label.item!r} (got frame of reference "
                f"{label.geometry.frame!r}, expected {frame!r}: nuScenes has one)"
            )
        at = samples[label.item], label.object_id
        if at in seen:
            raise ExchangeError(
                f"object {label.object_id!r} (got two cuboids at {at[0]} µs, expected one in a sample)"
            )
        seen.add(at)
        kept.append(label)
    return sorted(kept, key=lambda each: (samples[each.item], each.object_id))


def _sensors(labels: LabelSet, samples: Mapping[str, int], token: _Tokens) -> dict[str, list[dict[str, Any]]]:
    channels = sorted({frame.sequence for frame in labels.frames.values()})
    by_channel: dict[str, list[LabelledFrame]] = {name: [] for name in channels}
    for frame in labels.frames.values():
        by_channel[frame.sequence].append(frame)
    data = []
    for name, frames in by_channel.items():
        for number, frame in enumerate(frames):
            near = {
                side: token("data", frames[at].item) if 0 <= at < len(frames) else ""
                for side, at in (("prev", number - 1), ("next", number + 1))
            }
            data.append(
                {
                    "token": token("data", frame.item),
                    "sample_token": token("sample", samples[frame.item]),
                    "ego_pose_token": token("pose", frame.item),
                    "calibrated_sensor_token": token("calibrated", name),
                    "timestamp": samples[frame.item],
                    "fileformat": PurePosixPath(frame.item).suffix.lstrip("."),
                    "is_key_frame": True,
                    "height": frame.height,
                    "width": frame.width,
                    "filename": frame.item,
                    **near,
                }
            )
    return {
        "sensor": [
            {"token": token("sensor", n), "channel": n or "CAMERA", "modality": "camera"} for n in channels
        ],
        "calibrated_sensor": [
            {
                "token": token("calibrated", n),
                "sensor_token": token("sensor", n),
                **_STILL,
                "camera_intrinsic": [],
            }
            for n in channels
        ],
        "ego_pose": [
            {"token": token("pose", item), "timestamp": time, **_STILL} for item, time in samples.items()
        ],
        "sample_data": data,
    }


def _scene(times: Sequence[int], token: _Tokens) -> dict[str, list[dict[str, Any]]]:
    around = dict(_around([token("sample", time) for time in times]))
    return {
        "sample": [
            {"token": each, "timestamp": time, "scene_token": token("scene"), **around[each]}
            for time, each in ((time, token("sample", time)) for time in times)
        ],
        "scene": [
            {
                "token": token("scene"),
                "name": "scene-0001",
                "description": "",
                "log_token": token("log"),
                "nbr_samples": len(times),
                "first_sample_token": token("sample", times[0]),
                "last_sample_token": token("sample", times[-1]),
            }
        ],
    }


def _instances(
    labels: LabelSet, kept: Sequence[Label], samples: Mapping[str, int], token: _Tokens
) -> list[dict[str, Any]]:
    found = []
    for object_id, known in labels.objects.items():
        mine = [token("annotation", samples[e.item], object_id) for e in kept if e.object_id == object_id]
        if mine:
            found.append(
                {
                    "token": token("instance", object_id),
                    "category_token": token("category", known.label_class),
                    "nbr_annotations": len(mine),
                    "first_annotation_token": mine[0],
                    "last_annotation_token": mine[-1],
                }
            )
    return found


def _annotations(kept: Sequence[Label], samples: Mapping[str, int], token: _Tokens) -> list[dict[str, Any]]:
    tracks: dict[str, list[str]] = {}
    for each in kept:
        tracks.setdefault(each.object_id, []).append(token("annotation", samples[each.item], each.object_id))
    around = {name: near for names in tracks.values() for name, near in _around(names)}
    found = []
    for each in kept:
        shape = each.geometry
        assert isinstance(shape, Cuboid)  # noqa: S101 - no other is kept
        (x, y, z, w), (length, width, height) = shape.quaternion, shape.size
        name = token("annotation", samples[each.item], each.object_id)
        found.append(
            {
                "token": name,
                "sample_token": token("sample", samples[each.item]),
                "instance_token": token("instance", each.object_id),
                "visibility_token": _level(each.attributes.get(_VISIBILITY)),
                "attribute_tokens": [
                    token("attribute", f"{n}.{_text(v)}") for n, v in each.attributes.items() if _is_choice(v)
                ],
                "translation": list(shape.centre),
                "size": [width, length, height],
                "rotation": [w, x, y, z],
                "num_lidar_pts": 0,
                "num_radar_pts": 0,
                **around[name],
            }
        )
    return found


def _around(names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    after, before = dict(pairwise(names)), {b: a for a, b in pairwise(names)}
    for name in names:
        yield name, {"prev": before.get(name, ""), "next": after.get(name, "")}


def _level(share: object) -> str:
    if not isinstance(share, float):
        return ""
    return next(name for name, _, upper in _LEVELS if share <= upper)


def _items(rows: Sequence[Mapping[str, Any]], base: LabelSet) -> dict[str, str]:
    """The first frame of the set for each sample, in the order of the set."""
    order = {item: place for place, item in enumerate(base.frames)}
    found: dict[str, str] = {}
    for each in rows:
        name = str(each["filename"])
        item = name if name in order else PurePosixPath(name).name
        if not each["is_key_frame"] or item not in order:
            continue
        size = (each["width"], each["height"]) if each["width"] and each["height"] else None
        frame_of(base, item, size, f"sample_data {each['token']!r}")
        sample = str(each["sample_token"])
        if sample not in found or order[item] < order[found[sample]]:
            found[sample] = item
    return found


def _said(names: Sequence[str], class_map: ClassMap, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for foreign in names:
        own = class_map.attributes.get(foreign, foreign)
        if own is None:
            continue
        name, dot, value = own.rpartition(".")
        if not dot:
            raise ExchangeError(
                f"{place}: attribute (got {foreign!r}, expected NAME.VALUE or one in the class map)"
            )
        found[name] = {"true": True, "false": False}.get(value, value)
    return found


def _table(files: Mapping[str, bytes], name: str) -> list[Mapping[str, Any]]:
    path = next((each for each in files if PurePosixPath(each).name == f"{name}.json"), None)
    rows = read_json(files[path], path) if path is not None else None
    if not isinstance(rows, list):
        raise ExchangeError(f"{name}.json (got {'none' if path is None else 'no list'}, expected a table)")
    return rows


def _is_choice(value: object) -> bool:
    """Booleans and short words can be told as NAME.VALUE; numbers and free texts cannot."""
    return isinstance(value, bool) or (isinstance(value, str) and value.isidentifier() and value.isascii())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
