"""Cut-ins of real releases: read under a grant, sealed, resumed, registered, gone once one is revoked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from joserfc.jwk import OKPKey
from typer.testing import CliRunner

from gateway.cli import app
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import revoke_release
from pipeline.errors import UnregisteredError
from pipeline.manifest import ReleaseItem
from pipeline.mining.signal_file import read_signal_file
from pipeline.mining.signals import Clip, signal_table
from pipeline.simulation.cut_in_events import cut_ins
from pipeline.simulation.derive import extract as extract_released
from pipeline.simulation.derive import register_table, sealed_events
from pipeline.simulation.errors import ReleaseEndedError, SealedTableError, TracksError
from pipeline.simulation.read_lead import lead_tracks
from pipeline.simulation.read_nuscenes import nuscenes_tracks
from pipeline.simulation.released_tracks import EGO, released_tracks
from pipeline.simulation.scenario_file import example_text
from pipeline.simulation.sealed_tables import SealedTable
from traffic_drives import DBC, DRIVER, SIGNALS, MadeCutIn, annotated_drive, radar_log, speed_at

# Each test may have to wait for a gate with its releases on a busy machine.
pytestmark = pytest.mark.timeout(900)


def answer(*arguments: object, status: int | None = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["simulate", *map(str, arguments), "--json"])
    assert status is None or done.exit_code == status, done.output
    return json.loads(done.stdout)


def matched(row: dict[str, Any], made: list[MadeCutIn]) -> MadeCutIn:
    """The cut-in that was made which is most like one that was found: clips say no time of the drive."""

    def away(each: MadeCutIn) -> float:
        return (
            abs(each.gap - row["gap"]) / 2.0
            + abs(each.relative_speed - row["relative_speed"])
            + abs(float(speed_at(each.starts)) - row["ego_speed"])
        )

    return min(made, key=away)


@pytest.mark.parametrize(("which", "least"), [("annotated", 20), ("radar", 15)])
def test_cut_ins_of_a_release_are_those_that_were_driven(traffic: Any, which: str, least: int):
    made = annotated_drive()[1] if which == "annotated" else radar_log()[1]
    with traffic.client() as client:
        release = getattr(traffic, which)
        tracks = released_tracks(client, release, signals=read_signal_file(SIGNALS, DBC))
        names = client.manifest(release).by_name
    assert {name: names[name].sha256 for name in tracks.items} == dict(tracks.items)
    assert set(tracks.items) | set(tracks.passed_over) == set(names)
    found = cut_ins(tracks.table, EGO)
    assert least <= found.height <= len(made)
    pairs = [(row, matched(row, made)) for row in found.iter_rows(named=True)]
    for name, tolerance in (
        ("gap", 2.0),
        ("relative_speed", 0.5),
        ("braking", 0.5),
        ("lane_change_duration", 1.5),
    ):
        true = {"lane_change_duration": "duration"}.get(name, name)
        errors = [abs(row[name] - getattr(each, true)) for row, each in pairs]
        assert np.median(errors) < tolerance, (name, sorted(errors))


def test_from_releases_to_a_registered_scenario_without_plaintext(traffic: Any, tmp_path: Path):
    options = traffic.options(tmp_path)
    events, cache = tmp_path / "events", tmp_path / "cache"
    asked = (
        "extract", traffic.annotated, traffic.radar, *options, *traffic.signals(tmp_path),
        "--out", events, "--cache", cache, "--register", "cut-ins 1",
    )  # fmt: skip
    done = answer(*asked)
    assert set(done["releases"]) == {traffic.annotated, traffic.radar}
    assert all(each["rows"] > 10 for each in done["releases"].values())
    assert done["rests_on"]["items"][traffic.radar].keys().isdisjoint(done["passed_over"][traffic.radar])
    again = answer(*asked)
    assert again["kept_from_before"] == [traffic.annotated, traffic.radar]
    assert again["rests_on"] == done["rests_on"]
    template, out = tmp_path / "template.yaml", tmp_path / "fitted.yaml"
    example = json.loads(CliRunner().invoke(app, ["simulate", "example", "--json"]).stdout)["scenario"]
    template.write_text(example.replace("[12, 38]", "[5, 38]"), encoding="utf-8")
    fitted = answer("fit", events, "--template", template, "--out", out, *options)
    assert fitted["events"] == done["rows"]
    text = out.read_text(encoding="utf-8")
    assert again["artefact"] == done["artefact"]
    assert done["artefact"] in text
    registered = answer("register", out, *options)
    assert registered["artefact"] == fitted["artefact"]
    assert set(registered["releases"]) == {traffic.annotated, traffic.radar}
    band = answer(
        "reliability", out, "--dir", tmp_path / "runs", "--events", events, "--replicates", 20,
        "--runs", 5500, *options, status=None,
    )  # fmt: skip
    assert "rests_on" in band, band
    assert band["rests_on"]["sources"]
    sealed = [path.read_bytes() for path in events.rglob("*") if path.is_file()]
    assert all(b"PAR1" not in each and b"ego_speed" not in each for each in sealed)


@pytest.fixture
def extract(traffic: Any, tmp_path: Path) -> Any:
    options = traffic.options(tmp_path)

    def run(*more: object, status: int = 0, out: str = "events") -> dict[str, Any]:
        return answer("extract", *more, *options, "--out", tmp_path / out, status=status)

    return run


def test_a_release_revoked_in_the_middle_leaves_what_was_sealed_of_others(
    traffic: Any, extract: Any, tmp_path: Path
):
    ending = traffic.another(seed=2)
    first = extract(traffic.annotated, ending)
    officer = traffic.house.people["officer"]
    table = SealedTable(tmp_path / "second", traffic.house.people["engineer"].key)

    def end(item: ReleaseItem, number: int, _of: int) -> None:
        if number == 2 and item.name in names:
            revoke_release(traffic.gate, ending, actor=officer.actor)

    with traffic.client() as client:
        names = client.manifest(ending).by_name
        with pytest.raises(ReleaseEndedError, match=ending):
            extract_released(
                client, client, table, [traffic.annotated, ending], signals=None, only=(), progress=end
            )
        assert [each.release for each in table.about().parts] == [traffic.annotated]
        with pytest.raises(UnregisteredError, match="repeat `extract`"):
            sealed_events(client, table)
        register_table(client, table, "second")
        assert sealed_events(client, table).columns["gap"].size > 10
    # The table that was whole before does not open any more, and what it held of the release is gone.
    template = tmp_path / "template.yaml"
    template.write_text(example_text(), encoding="utf-8")
    options = traffic.options(tmp_path)
    fit = ("fit", tmp_path / "events", "--template", template, "--out", tmp_path / "fitted.yaml", *options)
    refused = answer(*fit, status=1)
    assert refused["reason"] == "release_ended"
    assert ending in refused["detail"]
    assert len(list((tmp_path / "events").rglob("salt"))) == 1
    assert extract(traffic.annotated, ending, status=1)["reason"] == "release_ended"
    kept = extract(traffic.annotated)
    assert kept["kept_from_before"] == [traffic.annotated]
    assert kept["releases"] == {traffic.annotated: first["releases"][traffic.annotated]}


def test_drivers_of_a_release_are_a_population_that_scenarios_use(
    traffic: Any, following: str, tmp_path: Path
):
    options = traffic.options(tmp_path)
    asked = (
        "calibrate", following, *options, *traffic.signals(tmp_path), "--out", tmp_path / "drivers",
        "--register", "drivers 1",
    )  # fmt: skip
    done = answer(*asked)
    assert done["table"] == "drivers"
    found = {each["name"]: each for each in done["population"]}
    assert {each["automated"] for each in done["population"]} == {True}
    # Clips of 300 m of unsteady following tell the headway of most drivers.
    assert found["headway"]["drivers"] == done["rows"] >= 6
    assert found["headway"]["determined"] >= done["rows"] // 3
    assert found["headway"]["quartiles"][1] == pytest.approx(DRIVER["headway"], rel=0.2)
    template = tmp_path / "template.yaml"
    law = "headway: {unit: s, bounds: [0.3, 4], law: {normal: {mean: 1.5, deviation: 0.3}}}"
    template.write_text(example_text().replace("inputs:\n", f"inputs:\n  {law}\n"), encoding="utf-8")
    fit = ("fit", "--drivers", tmp_path / "drivers", "--template", template, "--out", tmp_path / "out.yaml")
    refused = answer(*fit, *options, status=1)
    assert refused["reason"] == "fit_impossible"
    assert "headway is determined for" in refused["detail"]
    assert "drivers (expected 30 or more)" in refused["detail"]
    # A table of drivers is none of cut-ins.
    wrong = ("fit", tmp_path / "drivers", "--template", template, "--out", tmp_path / "out.yaml", *options)
    assert "expected 'cut_ins'" in answer(*wrong, status=1)["detail"]


def test_what_cannot_be_extracted_is_refused_and_says_why(traffic: Any, extract: Any, tmp_path: Path):
    refused = extract(traffic.radar, status=1)
    assert refused["reason"] == "tracks_unusable"
    assert "no file of signals was given" in refused["detail"]
    assert "has no item none.json" in extract(traffic.radar, "--item", "none.json", status=1)["detail"]
    assert extract("rel-of-nobody", status=1)["reason"] == "release_ended"
    extract(traffic.annotated, out="other")
    name = json.loads((tmp_path / "other" / "table.json").read_text())["parts"][0]["items"]
    refused = extract(traffic.annotated, "--item", next(iter(name)), out="other", status=1)
    assert refused["reason"] == "table_unusable"
    assert "give another folder" in refused["detail"]


def refused(case: str, client: Any, table: SealedTable) -> None:
    sealed_events(client, table)
    pytest.fail(f"{case} was not noticed")


def test_altered_sealed_rows_are_refused(traffic: Any, extract: Any, tmp_path: Path):
    extract(traffic.annotated)
    (rows,) = (tmp_path / "events").rglob("rows.sealed")
    about = tmp_path / "events" / "table.json"
    whole, stated = rows.read_bytes(), about.read_text()
    spoilt = bytearray(whole)
    spoilt[len(spoilt) // 2] ^= 1
    stranger = OKPKey.generate_key("Ed25519")
    cases = {
        "a bit": (bytes(spoilt), stated, None),
        "cut short": (whole[:-40], stated, None),
        "other parameters": (whole, stated.replace('"outside_m": 2.5', '"outside_m": 2.0'), None),
        "another key": (whole, stated, stranger),
        "no JSON": (whole, "{", None),
        "another kind": (whole, stated.replace('"cut_ins"', '"drivers"'), None),
    }
    for case, (sealed, said, key) in cases.items():
        rows.write_bytes(sealed)
        about.write_text(said)
        table = SealedTable(tmp_path / "events", key or traffic.house.people["engineer"].key)
        with traffic.client() as client, pytest.raises(SealedTableError, match=r"events|digest|release"):
            refused(case, client, table)


def test_displaced_releases_are_read_as_well(traffic: Any):
    release = traffic.another(seed=3, mode=ReleaseMode.OFFSET)
    with traffic.client() as client:
        tracks = released_tracks(client, release)
    # 500 to 1,500 m of 4.3 km go at each end.
    assert cut_ins(tracks.table, EGO).height > 5


def tables() -> dict[str, list[dict[str, Any]]]:
    return annotated_drive(seconds=40)[0].tables


SPOILT = {
    "NaN in a pose": ("ego_pose", lambda row: row["translation"].__setitem__(0, float("nan")), "ego_pose"),
    "infinite place": (
        "sample_annotation",
        lambda row: row["translation"].__setitem__(1, float("inf")),
        "sample_annotation",
    ),
    "no size": ("sample_annotation", lambda row: row.pop("size"), "KeyError: 'size'"),
    "no time": ("sample", lambda row: row.__setitem__("timestamp", None), "TypeError"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_tables_are_refused_with_their_place(case: str):
    made = tables()
    table, spoil, said = SPOILT[case]
    spoil(made[table][4])
    with pytest.raises(TracksError, match=said):
        nuscenes_tracks(made)


def test_missing_tables_are_named():
    made = tables()
    del made["sample_data"]
    with pytest.raises(TracksError, match="expected sample_data too"):
        nuscenes_tracks(made)


def test_a_tracker_that_jumps_is_another_vehicle_and_absent_signals_are_told():
    t = np.arange(100) / 10.0
    gap = np.where(t < 5.0, 30.0, 60.0)
    gap[20:25] = np.nan
    columns = {"t_s": t, "speed_mps": np.full(100, 20.0), "gap_m": gap}
    clip = Clip(release="r", item="bus.blf", number=0)
    made = lead_tracks(signal_table(clip, columns))
    assert made is not None
    assert made["track"].unique().sort().to_list() == ["ego", "lead-0", "lead-1"]
    assert made.filter(pl.col("track") != "ego").height == 95
    assert lead_tracks(signal_table(clip, {"t_s": t, "gap_m": gap})) is None
    assert lead_tracks(signal_table(clip, {**columns, "gap_m": np.full(100, np.nan)})) is None
