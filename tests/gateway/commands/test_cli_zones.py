"""Zone files made by commands: drafted from a map, with homes and depots put onto them, and installed."""

import json
import stat

import pytest
from typer.testing import CliRunner

from anonymize.geo.zones import ZoneSet
from gateway.cli import app

OSM = b"""<?xml version="1.0"?><osm version="0.6">
<node id="1" lat="39.900" lon="116.300"/><node id="2" lat="39.900" lon="116.304"/>
<node id="3" lat="39.904" lon="116.304"/>
<way id="123"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="1"/><tag k="landuse" v="military"/></way>
<way id="124"><nd ref="1"/><nd ref="99"/><tag k="power" v="plant"/></way>
<way id="125"><nd ref="98"/><nd ref="99"/><tag k="power" v="plant"/></way>
</osm>"""
PLACES = b"id,kind,lat,lon\ndepot-1,DEPOT,39.95,116.35\n"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def extract(tmp_path):
    path = tmp_path / "city.osm"
    path.write_bytes(OSM)
    return path


def test_a_draft_is_written_and_said_to_be_one_in_chinese_and_english(extract, tmp_path):
    out = tmp_path / "draft.geojson"
    result = run("zones", "draft", extract, "--out", out)
    assert result.exit_code == 0
    assert "草案" in result.stderr
    assert "only a draft" in result.stderr
    assert (
        "osm-way-124 (ENERGY): line_widened" in result.stdout
        or "osm-way-124 (ENERGY): partly" in result.stdout
    )
    assert "osm-way-125 (ENERGY): not_in_extract, left out" in result.stdout
    zones = ZoneSet.from_geojson(out.read_bytes())
    assert zones.name.startswith("DRAFT")
    assert [zone.id for zone in zones.zones] == ["osm-way-123", "osm-way-124"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_draft_in_json_carries_file_notice_and_notes(extract):
    result = run("zones", "draft", extract, "--json", "--version", 4)
    document = json.loads(result.stdout)
    assert document["zones"] == {"MIL": 1, "ENERGY": 1}
    assert set(document["notice"]) == {"zh", "en"}
    assert document["file"]["version"] == 4
    assert {note["id"]: note["left_out"] for note in document["notes"]} == {
        "osm-way-124": False,
        "osm-way-125": True,
    }


def test_without_out_the_file_itself_is_printed(extract):
    result = run("zones", "draft", extract)
    assert ZoneSet.from_geojson(result.stdout.encode()).name.startswith("DRAFT")


def test_a_table_of_ones_own_is_taken(extract, tmp_path):
    table = tmp_path / "tags.yaml"
    table.write_text(
        "version: 9\nkinds: {WATER: {margin_m: 1, point_m: 1, line_m: 1, rules: [{has: {power: any}}]}}"
    )
    document = json.loads(run("zones", "draft", extract, "--tags", table, "--json").stdout)
    assert document["zones"] == {"WATER": 1}
    assert document["file"]["tag_table_version"] == 9


def test_nothing_is_overwritten_and_bad_files_are_refused(extract, tmp_path):
    out = tmp_path / "reviewed.geojson"
    out.write_text("mine")
    assert run("zones", "draft", extract, "--out", out).exit_code == 1
    assert out.read_text() == "mine"
    extract.write_bytes(OSM[:-20])
    result = run("zones", "draft", extract, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "malformed"
    assert run("zones", "draft", tmp_path / "nowhere").exit_code == 1
    assert run("zones", "draft", extract, "--version", 0).exit_code == 2


def test_homes_and_depots_are_put_onto_a_zone_file(tmp_path):
    places, secret, onto = (tmp_path / name for name in ("places.csv", "secret", "zones.geojson"))
    places.write_bytes(PLACES)
    secret.write_text("a secret of this test alone\n")
    onto.write_text('{"type": "FeatureCollection", "name": "ours", "version": 1, "features": []}')
    arguments = ["zones", "homes", places, "--secret-file", secret]
    document = json.loads(run(*arguments, "--onto", onto, "--json").stdout)
    assert (document["version"], document["zones"]) == (2, 1)
    assert ZoneSet.from_geojson(json.dumps(document["file"]).encode()).test(39.95, 116.35).inside[0]
    assert ZoneSet.from_geojson(run(*arguments).stdout.encode()).version == 1
    out = tmp_path / "out.geojson"
    assert run(*arguments, "--out", out).exit_code == 0
    assert ZoneSet.from_geojson(out.read_bytes()).zones[0].id == "depot-1"
    places.write_bytes(PLACES + b"x,HOME,95,1\n")
    result = run(*arguments, "--json")
    assert result.exit_code == 1
    assert "row 2" in json.loads(result.stdout)["detail"]


def test_a_draft_is_not_installed_until_it_is_renamed(quick, tmp_path, extract):
    out = tmp_path / "draft.geojson"
    assert run("zones", "draft", extract, "--out", out, "--version", 50).exit_code == 0
    refused = quick.act("officer", "zones", "install", out)
    assert refused.code == 1
    assert "a draft is reviewed and renamed" in refused.document["detail"]
    reviewed = json.loads(out.read_bytes()) | {"name": "zones of the operator"}
    out.write_text(json.dumps(reviewed))
    assert quick.did("officer", "zones", "install", out)["version"] == 50
