"""Real files of other makers through the gate: each passes, or is held for the reason that is right for it."""

from pathlib import Path

from gateway.flow.dossier import recording_summary
from simulators import SMALL_DRIVE, cleanse

HELD = {
    # No track points: waypoints, routes or nothing.
    **dict.fromkeys(
        ("custom_schema_locations.gpx", "default_schema_locations.gpx", "gpx1.1_with_extensions.gpx",
         "gpx1.1_with_extensions_without_namespaces.gpx", "gpx_with_garmin_extension.gpx", "route.gpx",
         "unicode.gpx", "unicode2.gpx", "unicode_with_bom.gpx", "unicode_with_bom_noencoding.gpx"),
        ("malformed", "no fixes"),
    ),
    # Line 4 is "foobar".
    "data.log": ("malformed", "line 4"),
    # Metres of no stated system under a manifest in degrees.
    "simple.las": ("malformed", "EPSG:4326"),
    "extrabytes.las": ("malformed", "EPSG:4326"),
    # Their own definition is contradicted by their points: feet called metres, an index called degrees.
    "simple.copc.laz": ("malformed", "outside the area"),
    "simple1_4.las": ("malformed", "outside the area"),
    # A channel of a type that no rule names, and a type whose definition is nowhere.
    "rewriter_a_0.db3": ("unknown_format", "a_empty"),
    "rewriter_a_0.mcap": ("unknown_format", "a_empty"),
    "talker.db3": ("malformed", "rcl_interfaces/msg/Log"),
    "example.record.00000": ("unknown_format", "protobuf"),
    # numpy arrays without a name that says so.
    "frame_positions": ("unknown_format", "93 4e 55 4d 50 59"),
}  # fmt: skip
SAMPLES = (
    "gpx/*.gpx",
    "nmea/data.log",
    "las/*",
    "ros2/[rt]*",
    "cyber/*",
    "comma2k19/Example_1/*/40/global_pose/frame_positions",
)


def test_each_sample_passes_or_is_held_for_its_reason(sqlite_gate, shared_data: Path):
    paths = sorted(p for pattern in SAMPLES for p in (shared_data / "formats").glob(pattern))
    files = {path.name: path.read_bytes() for path in paths}
    assert len(files) == len(paths) >= 40
    recording = cleanse(sqlite_gate, {**SMALL_DRIVE, **files}, attestation="a closed test track")
    items = {item["name"]: item for item in recording_summary(sqlite_gate, recording)["items"]}
    held = {name: item for name, item in items.items() if item["state"] == "held"}
    assert set(held) == set(HELD)
    for name, (reason, said) in HELD.items():
        assert held[name]["reason"] == reason, held[name]
        assert said in held[name]["detail"]
    assert {item["state"] for name, item in items.items() if name not in HELD} <= {"cleansed", "cut"}
