"""Vector maps through the gate: cleansed against rules and zones, reviewed, moved, and nothing planted leaves."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import osmium.io
import pytest
import sqlalchemy as sa

from anonymize.geo.crs import geodesic_m
from gateway.errors import (
    DeniedError,
    HeldError,
    InvalidRequestError,
    ReviewPendingError,
)
from gateway.flow.classify import load_classified, readable_original
from gateway.flow.cleanse import load_cleansed
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.judge import judge_release
from gateway.flow.kinds.handling import ignore_progress
from gateway.flow.kinds.table import handler_of
from gateway.flow.recording import Cleansed, ItemState, ReleaseMode, ReleaseState
from gateway.flow.records import ItemRow, RecordingRow, ReleaseRow
from gateway.flow.serve import read_item
from gateway.workers import advance, surroundings_of
from simulators import (
    PURPOSE,
    House,
    candidate,
    cleanse,
    csv_track,
    deliver,
    grant,
    publish,
    zone_file,
)
from town_maps import GARRISON, PLANTED, Tags, at, built, decide, geojson_town, osm, state_of, town


@pytest.fixture
def zoned(sqlite_house: House) -> Iterator[Gate]:
    """A furnished gate with a military zone two kilometres north of the origin."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zone_file(("MIL", *GARRISON, 100.0)))
        yield gate


def cleansed_of(gate: Gate, recording: str) -> Cleansed:
    with gate.database.read() as session:
        (item,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        return load_cleansed(gate, session, item.id)


def content_of(gate: Gate, house: House, release: str) -> tuple[dict[str, Any], bytes]:
    """The only item of a release that is out, as its recipient reads it."""
    (item,) = release_summary(gate, release)["items"]
    grant(gate, house, release)
    engineer = house.people["engineer"].actor
    reading = read_item(gate, release, item["name"], actor=engineer, purpose=PURPOSE, wanted=None)
    return item, b"".join(reading.chunks)


def read_osm(content: bytes, form: str) -> list[tuple[str, Tags, tuple[float, float] | None]]:
    buffer = osmium.io.FileBuffer(content, "pbf" if form == "pbf" else "osm")
    return [
        (o.type_str(), {t.k: t.v for t in o.tags}, (o.location.lat, o.location.lon) if o.is_node() else None)
        for o in osmium.FileProcessor(buffer)
    ]


@pytest.mark.parametrize("form", ["osm", "pbf"])
def test_an_osm_map_waits_for_its_review_and_then_leaves_moved_without_what_was_planted(
    zoned: Gate, sqlite_house: House, form: str
):
    recording = cleanse(zoned, {f"town.{'osm.pbf' if form == 'pbf' else 'osm'}": town(form)})
    found = cleansed_of(zoned, recording)
    assert found.classified.data_class.value == "MAP_VECTOR"
    assert found.level.name == "S3_SENSITIVE_GEO"
    assert {"LIMIT_HWW", "ELEV", "SLOPE_CURV", "MIL"} <= set(found.payload["tags"])
    assert found.payload["facts"]["reviews_by_key"] == {"incline": 1}
    with pytest.raises(ReviewPendingError):
        candidate(zoned, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    with zoned.database.read() as session:
        release = session.scalars(sa.select(ReleaseRow.id)).one()
    assert state_of(zoned, release) == ReleaseState.BUILT
    decide(zoned, sqlite_house, release)
    judge_release(zoned, release)
    publish(zoned, sqlite_house, release)
    item, content = content_of(zoned, sqlite_house, release)
    assert item["class"] == "MAP_VECTOR"
    assert item["name"].endswith(".osm.pbf" if form == "pbf" else ".osm")
    assert [planted for planted in PLANTED if planted in content] == []
    features = read_osm(content, form)
    tags = [t for _, t, _ in features if t]
    assert {"highway": "tertiary", "name": "Reed Street"} in tags
    assert {"highway": "residential", "name": "Mill Lane", "incline": "9%"} in tags
    assert {"natural": "peak", "name": "Kite Hill"} in tags
    places = np.array([place for _, _, place in features if place])
    truth = np.array([at(0.0, 0.0)] * len(places))
    away, _ = geodesic_m(truth[:, 0], truth[:, 1], places[:, 0], places[:, 1])
    assert len(places) == 9
    assert float(away.max()) < 1_500.0  # nothing of the garrison, two kilometres away
    (offset,) = release_summary(zoned, release)["offset"]
    assert offset["min_shift_m"] > 200.0
    assert 0.0 < offset["max_distance_error"] < 0.007
    assert offset["mean_shift_m"] >= offset["min_shift_m"]


def test_a_geojson_map_leaves_without_limits_heights_editors_or_garrison(zoned: Gate, sqlite_house: House):
    recording = cleanse(zoned, {"town.geojson": geojson_town()})
    assert cleansed_of(zoned, recording).payload["facts"]["reviews_by_key"] == {"坡度": 1}
    release = built(zoned, sqlite_house, recording)
    decide(zoned, sqlite_house, release)
    judge_release(zoned, release)
    publish(zoned, sqlite_house, release)
    item, content = content_of(zoned, sqlite_house, release)
    assert item["name"].endswith(".geojson")
    assert [planted for planted in PLANTED if planted in content] == []
    kept = [feature["properties"] for feature in json.loads(content)["features"]]
    assert sorted(kept, key=lambda p: p["lanes"]) == [{"lanes": 1, "坡度": "0.09"}, {"lanes": 2}]


def test_a_map_without_slopes_needs_no_review(zoned: Gate, sqlite_house: House):
    recording = cleanse(zoned, {"town.osm": town(sloped=False)})
    release = candidate(zoned, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    assert release_summary(zoned, release)["slope_review"]["standing"] == "nothing_waits"
    with pytest.raises(InvalidRequestError, match="nothing waits"):
        decide(zoned, sqlite_house, release)


def test_a_map_is_compressed_or_lies_whole_in_a_zone(zoned: Gate):
    lat, lon = GARRISON
    nodes = {1: (lat, lon, {}), 2: (lat + 1e-4, lon, {})}
    inside = osm("osm", nodes, {1: ([1, 2], {"highway": "service"})})
    cut = cleanse(zoned, {"garrison.osm": inside})
    compressed = cleanse(zoned, {"town.osm.gz": gzip.compress(town(sloped=False))})
    with zoned.database.read() as session:
        states = {
            row.recording_id: row.state
            for row in session.scalars(sa.select(ItemRow).where(ItemRow.recording_id.in_([cut, compressed])))
        }
    assert states == {cut: ItemState.CUT, compressed: ItemState.CLEANSED}


def test_no_attestation_stands_for_a_test_of_a_map(zoned: Gate):
    recording = deliver(zoned, {"town.osm": town(sloped=False)}, attestation="a closed test track")
    advance(zoned, recording)
    with zoned.database.read() as session:
        (item,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        row = session.get_one(RecordingRow, recording)
        manifest = load_manifest(zoned, session, recording)
        classified = load_classified(zoned, session, item.id)
    without = replace(surroundings_of(zoned, row, manifest), zones=None)
    original = readable_original(zoned, classified.quarantined, encoding=None)
    with pytest.raises(HeldError) as caught:
        handler_of(classified.kind).treat(zoned, classified, original, without, ignore_progress)
    assert caught.value.reason == "zones_unchecked"


def test_local_takes_a_map_within_a_clip_and_leaves_out_a_wider_one(zoned: Gate, sqlite_house: House):
    files = {"block.osm": town(sloped=False, extent_m=150.0), "town.osm": town(sloped=False)}
    release = candidate(zoned, sqlite_house, cleanse(zoned, files), mode=ReleaseMode.LOCAL)
    summary = release_summary(zoned, release)
    assert list(summary["left_out"].values()) == ["limit_exceeded"]
    publish(zoned, sqlite_house, release)
    _, content = content_of(zoned, sqlite_house, release)
    places = np.array([place for _, _, place in read_osm(content, "osm") if place])
    away, _ = geodesic_m(np.zeros(len(places)), np.zeros(len(places)), places[:, 0], places[:, 1])
    assert float(away.max()) <= 300.0


def test_one_map_goes_out_under_one_key(zoned: Gate, sqlite_house: House):
    content = town(sloped=False)
    first = candidate(zoned, sqlite_house, cleanse(zoned, {"a.osm": content}), mode=ReleaseMode.OFFSET)
    publish(zoned, sqlite_house, first)
    with pytest.raises(DeniedError) as denied:
        candidate(zoned, sqlite_house, cleanse(zoned, {"b.osm": content}), mode=ReleaseMode.OFFSET)
    assert [v.rule for v in denied.value.decision.violations] == ["trip_once"]


def test_a_map_of_the_streets_that_were_driven_moves_with_the_drive(zoned: Gate, sqlite_house: House):
    """Some displaced corners of a dense grid lie near true fixes, and are no leak."""
    side = range(25)
    nodes: dict[int, Any] = {
        1 + i + 25 * j: (*at(50.0 * j - 600.0, 50.0 * i), {}) for i in side for j in side
    }
    ways = {1 + j: ([1 + i + 25 * j for i in side], {"highway": "residential"}) for j in side}
    recording = cleanse(zoned, {"drive.csv": csv_track(), "grid.osm": osm("osm", nodes, ways)})
    release = candidate(zoned, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    summary = release_summary(zoned, release)
    assert summary["left_out"] == {}
    assert sorted(item["class"] for item in summary["items"]) == ["MAP_VECTOR", "TRAJ_ABS"]


def test_the_ground_within_a_map_counts_for_its_recipient(zoned: Gate, sqlite_house: House):
    recording = cleanse(zoned, {"block.osm": block(4_000.0)})
    release = candidate(zoned, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    held = release_summary(zoned, release)["recipient_holds"]["area_km2"]
    assert 16.0 <= held <= 16.5
    with pytest.raises(DeniedError) as denied:
        candidate(zoned, sqlite_house, cleanse(zoned, {"city.osm": block(5_100.0)}), mode=ReleaseMode.OFFSET)
    assert [v.rule for v in denied.value.decision.violations] == ["cumulative_area"]
    with pytest.raises(InvalidRequestError, match="no item"):
        candidate(
            zoned, sqlite_house, cleanse(zoned, {"province.osm": block(20_000.0)}), mode=ReleaseMode.OFFSET
        )


def block(side_m: float) -> bytes:
    """A street around an empty square south of the zone."""
    corners = [(-300.0, 0.0), (-300.0, side_m), (-300.0 - side_m, side_m), (-300.0 - side_m, 0.0)]
    nodes: dict[int, Any] = {i: (*at(*corner), {}) for i, corner in enumerate(corners, start=1)}
    ways = {1: ([1, 2, 3, 4], {"highway": "primary"}), 2: ([4, 1], {"highway": "primary"})}
    return osm("osm", nodes, ways)


def test_a_real_city_goes_through_the_gate(zoned: Gate, sqlite_house: House, shared_data: Path):
    content = (shared_data / "formats" / "osm" / "Helsinki.osm.pbf").read_bytes()
    recording = cleanse(zoned, {"Helsinki.osm.pbf": content})
    facts = cleansed_of(zoned, recording).payload["facts"]
    assert facts["attributes_nulled"] > 2_000
    release = built(zoned, sqlite_house, recording)
    if facts["reviews"]:
        decide(zoned, sqlite_house, release)
    judge_release(zoned, release)
    publish(zoned, sqlite_house, release)
    summary = release_summary(zoned, release)
    assert 1.5 < summary["recipient_holds"]["area_km2"] < 2.0
    (offset,) = summary["offset"]
    assert offset["min_shift_m"] > 200.0
    _, moved = content_of(zoned, sqlite_house, release)
    assert {t for _, tags, _ in read_osm(moved, "pbf") for t in tags} & {
        "maxheight",
        "ele",
        "voltage",
    } == set()
