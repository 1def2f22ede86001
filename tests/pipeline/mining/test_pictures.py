"""Pictures in numbers: what survives JPEG, scale, masks, crops; groups, selection and tags."""

import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mining_drives import scene
from pipeline.manifest import ClipTime, ReleaseItem
from pipeline.mining.descriptors import Look, distance, look_at
from pipeline.mining.duplicates import near_duplicates
from pipeline.mining.errors import TagFileError, UnreadableItemError
from pipeline.mining.ontology import shipped_ontology
from pipeline.mining.selection import by_quota, k_center
from pipeline.mining.signals import Clip
from pipeline.mining.tags import Tag, event_tags, picture_tags, read_tag_file, stratum
from pipeline.mining.triggers import Event


def jpeg(picture: Image.Image, quality: int = 92) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def masked(picture: Image.Image) -> Image.Image:
    made = picture.copy()
    for x, y in ((100, 150), (300, 220), (480, 180)):
        made.paste((127, 127, 127), (x, y, x + 36, y + 36))
    return made


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 40": lambda picture: jpeg(picture, 40),
    "half size": lambda picture: jpeg(picture.resize((320, 200))),
    "masks": lambda picture: jpeg(masked(picture)),
    "crop of 5 %": lambda picture: jpeg(picture.crop((32, 20, 608, 380))),
    "shift of 4 %": lambda picture: jpeg(picture.crop((25, 0, 640, 400))),
}
SCENES = 30


@pytest.fixture(scope="module")
def looks() -> dict[str, Look]:
    return {f"{n:02}.jpg": look_at(jpeg(scene(n)), None, item="x") for n in range(SCENES)}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_scene_is_found_again(looks: dict[str, Look], change: str):
    again = {f"{n:02}-again.jpg": look_at(CHANGES[change](scene(n)), None, item="x") for n in range(SCENES)}

    groups = near_duplicates({**looks, **again})

    assert {frozenset((group.kept, *group.others)) for group in groups} == {
        frozenset((f"{n:02}.jpg", f"{n:02}-again.jpg")) for n in range(SCENES)
    }


def test_other_scenes_are_not_grouped(looks: dict[str, Look]):
    assert near_duplicates(looks) == ()
    hashes = [look.hash for look in looks.values()]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 10


def test_the_sharpest_of_a_group_is_kept_and_chains_are_one_group():
    first = scene(3)
    made = {
        "a.jpg": look_at(jpeg(first.resize((160, 100)).resize((640, 400))), None, item="a"),
        "b.jpg": look_at(jpeg(first), None, item="b"),
        "c.jpg": look_at(jpeg(first.crop((32, 20, 608, 380))), None, item="c"),
        "other.jpg": look_at(jpeg(scene(4)), None, item="other"),
    }
    (group,) = near_duplicates(made)
    assert {group.kept, *group.others} == {"a.jpg", "b.jpg", "c.jpg"}
    assert group.kept != "a.jpg"
    same = dict.fromkeys(("z.jpg", "y.jpg"), made["b.jpg"])
    assert near_duplicates(same)[0].kept == "y.jpg"


def test_none_and_one_have_no_duplicates(looks: dict[str, Look]):
    assert near_duplicates({}) == ()
    assert near_duplicates({"00.jpg": looks["00.jpg"]}) == ()


def test_masks_count_neither_for_brightness_nor_for_sharpness():
    plain = scene(5)
    covered = np.zeros((400, 640), bool)
    covered[100:300, 200:500] = True
    covered[10:30, 10:30] = True
    black = np.asarray(plain).copy()
    black[covered] = 0
    mask = io.BytesIO()
    Image.fromarray(covered).save(mask, "PNG")
    png = io.BytesIO()
    Image.fromarray(black).save(png, "PNG")

    look = look_at(png.getvalue(), mask.getvalue(), item="a")
    without = look_at(png.getvalue(), None, item="a")

    clear = np.asarray(plain.convert("L"), float)[~covered].mean() / 255
    assert look.brightness == pytest.approx(clear, abs=0.005)
    assert without.brightness < clear - 0.1
    assert (look.masked_places, without.masked_places) == (2, None)
    assert look.masked_share == pytest.approx(covered.mean())


BAD = {"no picture": (b"GIF", None), "empty": (b"", None), "no mask": (None, b"x"), "cut": (None, None)}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_picture_is_named(case: str):
    content, mask = BAD[case]
    good = jpeg(scene(1))
    given = good[: len(good) // 3] if case == "cut" else good if content is None else content
    with pytest.raises(UnreadableItemError, match=r"a\.jpg"):
        look_at(given, mask, item="a.jpg")


def test_a_mask_of_another_size_is_named():
    mask = io.BytesIO()
    Image.new("1", (10, 10)).save(mask, "PNG")
    with pytest.raises(UnreadableItemError, match="mask"):
        look_at(jpeg(scene(1)), mask.getvalue(), item="a.jpg")


def test_a_picture_of_one_colour_has_a_descriptor():
    look = look_at(jpeg(Image.new("RGB", (64, 64), (20, 20, 20))), None, item="a")
    assert np.linalg.norm(look.descriptor) == pytest.approx(1.0, abs=1e-5)
    assert look.sharpness < 1


def test_k_center_covers_within_twice_the_best():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(9, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    named = {f"{i}": points[i].astype(np.float32) for i in range(9)}
    gaps = 1 - points @ points.T

    chosen = [int(name) for name, _ in k_center(named, 3)]

    # Cosine distance is half the square of a distance: within twice the best is within four times here.
    best = min(gaps[:, list(subset)].min(axis=1).max() for subset in itertools.combinations(range(9), 3))
    assert gaps[:, chosen].min(axis=1).max() <= 4 * best + 1e-6
    assert chosen == [int(name) for name, _ in k_center(dict(reversed(named.items())), 3)]


def test_k_center_takes_all_where_fewer_are_there_and_none_of_none():
    point = np.array([1.0, 0.0], np.float32)
    assert {name for name, _ in k_center({"a": point, "b": point}, 5)} == {"a", "b"}
    assert k_center({}, 3) == ()
    with pytest.raises(ValueError, match="count"):
        k_center({"a": point}, 0)


def test_quotas_give_rare_strata_their_place():
    rng = np.random.default_rng(1)
    strata = {f"d{i}": ("day",) for i in range(40)} | {f"n{i}": ("night",) for i in range(3)} | {"u": ("",)}
    points = rng.normal(size=(len(strata), 8)).astype(np.float32)
    named = dict(zip(strata, points / np.linalg.norm(points, axis=1, keepdims=True), strict=True))

    taken = by_quota(named, strata, 12)

    counts = {s: sum(t.stratum == s for t in taken) for s in set(strata.values())}
    assert counts == {("day",): 8, ("night",): 3, ("",): 1}
    assert len({t.name for t in taken}) == 12
    assert [len(by_quota(named, strata, n)) for n in (1, 2, 44, 100)] == [1, 2, 44, 44]
    with pytest.raises(KeyError):
        by_quota(named, {}, 3)


def item(name: str = "a.jpg", clip: ClipTime | None = None) -> ReleaseItem:
    return ReleaseItem(
        name=name,
        media_type="image/jpeg",
        data_class="EXT_IMAGE",
        level="S1",
        size=1,
        sha256="0" * 64,
        clip=clip,
    )


def event(trigger: str, number: int, begin_s: float, end_s: float, of: str = "a.csv") -> Event:
    return Event(
        trigger=trigger,
        version=2,
        priority=1,
        clip=Clip(release="r", item=of, number=number),
        begin_s=begin_s,
        end_s=end_s,
        worst_s=begin_s,
        worst=None,
        severity=0.5,
        rows=1,
    )


def test_pictures_take_the_events_of_their_clip_and_time():
    events = [event("cut_in", 1, 5.0, 6.0), event("hard_brake", 1, 9.0, 9.5), event("cut_in", 2, 5.0, 6.0)]

    tags = event_tags(item(clip=ClipTime(number=1, t_s=6.8)), events)

    assert tags == (Tag(name="event:cut_in", source="event", confidence=1.0, by="cut_in v2"),)
    assert event_tags(item(clip=ClipTime(number=1, t_s=7.2)), events) == ()
    assert event_tags(item(clip=ClipTime(number=3, t_s=5.0)), events) == ()
    assert event_tags(item(clip=None), events) == ()


def test_events_of_several_items_share_their_confidence():
    events = [event("cut_in", 1, 5.0, 6.0, "a.csv"), event("cut_in", 1, 5.0, 6.0, "b.csv")]
    (tag,) = event_tags(item(clip=ClipTime(number=1, t_s=5.0)), events)
    assert tag.confidence == 0.5


def test_dark_and_blurred_pictures_are_told_with_what_was_measured():
    bright = look_at(jpeg(scene(2)), None, item="a")
    dark = Image.fromarray((np.asarray(scene(2)) * 0.15).astype(np.uint8)).resize((40, 25)).resize((640, 400))
    named = {tag.name: tag for tag in picture_tags(look_at(jpeg(dark), None, item="a"))}

    assert {tag.name for tag in picture_tags(bright)} == {"time_of_day:day", "picture:sharp"}
    assert set(named) == {"time_of_day:night", "picture:blurred"}
    assert named["time_of_day:night"].by.startswith("brightness 0.0")
    assert all(0.5 <= tag.confidence <= 1.0 for tag in named.values())


TAGS = b"""\
format: fleetgate-tags
version: 1
by: wu
tags:
  a.jpg: {"weather:rain": 0.9, "region:city": 1}
"""


def test_people_tag_pictures_and_outweigh_measurements():
    tags = read_tag_file(TAGS, shipped_ontology(), ["a.jpg", "b.jpg"])
    assert tags["a.jpg"][0] == Tag(name="weather:rain", source="person", confidence=0.9, by="wu")
    measured = Tag(name="weather:fog", source="picture", confidence=1.0, by="x")
    assert stratum([measured, *tags["a.jpg"]], ["weather", "region", "event"]) == ("rain", "city", "")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"a.jpg", b"z.jpg", "no such picture"),
        (b"weather:rain", b"weather:hail", "weather:hail"),
        (b"0.9", b"1.5", "1.5"),
        (b"0.9", b"0", "0"),
        (b"by: wu\n", b"", "by"),
    ],
)
def test_a_bad_file_of_tags_is_named(old: bytes, new: bytes, match: str):
    with pytest.raises(TagFileError, match=match):
        read_tag_file(TAGS.replace(old, new, 1), shipped_ontology(), ["a.jpg"])


def test_real_pictures_are_found_again_and_others_are_not(shared_data: Any):
    """Forty pictures of the folder of samples, cut by a tenth and compressed."""
    there = sorted((shared_data / "media").rglob("*.jpg"))
    paths = there[:: max(1, len(there) // 40)][:40]
    looks, hits = {}, 0
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((640, 640))
        w, h = picture.size
        one = look_at(jpeg(picture), None, item=path.name)
        cut = look_at(jpeg(picture.crop((w // 20, h // 20, w - w // 20, h - h // 20)), 60), None, item="x")
        hits += len(near_duplicates({"one": one, "cut": cut}))
        looks[str(path)] = one
    assert hits >= 0.95 * len(paths)
    assert sum(len(group.others) for group in near_duplicates(looks)) <= 0.05 * len(paths)
