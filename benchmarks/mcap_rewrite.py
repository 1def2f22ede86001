"""Rewriting an MCAP against a raw copy by the `mcap` library of the same file, in one run on one machine.

    python benchmarks/mcap_rewrite.py [--mib 256] [--rounds 3] [--pass none first [second]] [--json]

A drive is made first with rosbags: JPEG frames that do not compress, fixes, odometry, tf, inertial measurements
and a sweep every second, in lz4 chunks of 4 MiB. Ours opens it (which reads all of it once and checks every CRC)
and then

- `none`: reads it again and writes it;
- `first`: cleanses it as the gate does, along its own track, with zones far away and one beside the way, every
  string by the analyzer, frames given back as they are (pixels are measured elsewhere);
- `second`: gives what the first pass wrote to the second, in LOCAL mode.

The library's copy of the same file reads it once without checking. Rounds take turns, each side in a process of
its own, whose peak memory (VmHWM) is shown; a drive of a quarter of the length shows how memory grows. What came
out of `none` and `first` is held against what went in, message by message and point by point, by readers and plane
geometry written apart from the code under test. Figures are medians in MB/s of the file that is read, the ratio is
the median of each round's. Building the analyzer (seconds, once for each process of the gate) is not counted in
the time, but in the memory.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from recordings.ros2_drive import (
    CAMERA,
    CHUNK_BYTES,
    STORE,
    SWEEP,
    SWEEPS,
    TICK_BYTES,
    Way,
    make,
    way,
    zone_file,
)

from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.positions import tracks_of
from anonymize.containers.stream import Container, ContainerKind
from anonymize.containers.unlink import unlink_container
from anonymize.finding import Treated
from anonymize.formats.track import Track
from anonymize.geo.zones import ZoneSet
from anonymize.profile import shipped_profile

TARGET = 0.6
MIB = 1024 * 1024
PROFILE = shipped_profile("cn-2026").profile

Pass = Literal["none", "first", "second"]
PASSES: tuple[Pass, ...] = ("none", "first", "second")


def opened(file: Any) -> Container:
    return open_container(file, ContainerKind.MCAP, profile=PROFILE.containers)


def prepared(how: Pass, folder: Path) -> Callable[[Container], Iterator[bytes]]:
    """What is done with the opened container; models, zones and the track are there before the clock starts."""
    if how == "none":
        return lambda container: write_mcap(
            container.messages(), profile=container.summary.profile, chunk_bytes=CHUNK_BYTES
        )
    with np.load(folder / "track.npz") as arrays:
        track = Track(crs="EPSG:4326", **arrays)
    if how == "second":
        return lambda container: unlink_container(
            container, mode="LOCAL", key=bytes(range(32)), context=b"drive", reference=track, profile=PROFILE
        ).chunks()
    from anonymize.text.analyzer import TextAnalyzer  # noqa: PLC0415 - its import takes seconds
    from anonymize.text.redact import redact  # noqa: PLC0415 - as above

    zones, analyzer = ZoneSet.from_geojson((folder / "zones.json").read_bytes()), TextAnalyzer(PROFILE.text)
    return lambda container: cleanse_container(
        container,
        zones=zones,
        reference=track,
        profile=PROFILE,
        images=lambda content, _: Treated(
            content=content, media_type="image/jpeg", findings=(), treatments=()
        ),
        text=lambda text: redact(text, analyzer).text,
    ).chunks()


def raw(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as out:
        reader = make_reader(file)
        writer = Writer(out, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start(profile=reader.get_header().profile)
        schemas: dict[int, int] = {}
        channels: dict[int, int] = {}
        for schema, channel, message in reader.iter_messages(log_time_order=False):
            if schema is not None and schema.id not in schemas:
                schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
            if channel.id not in channels:
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, schemas[channel.schema_id], channel.metadata
                )
            writer.add_message(
                channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence
            )
        writer.finish()  # type: ignore[no-untyped-call]


def child(how: str, source: Path, target: Path) -> dict[str, float]:
    if how == "raw":
        start = time.perf_counter()
        raw(source, target)
    else:
        treat = prepared(how, source.parent)  # type: ignore[arg-type]
        start = time.perf_counter()
        with source.open("rb") as file, target.open("wb") as out:
            for piece in treat(opened(file)):
                out.write(piece)
    seconds = time.perf_counter() - start
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    return {"seconds": seconds, "peak_mib": peak}


def run(how: str, source: Path, target: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", how, str(source), str(target)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def read(path: Path) -> Iterator[tuple[str, int, int, int, bytes]]:
    """Topic, times, sequence and payload of all messages in order, as the library reads them."""
    with path.open("rb") as file:
        names: dict[int, str] = {}
        for record in StreamReader(file, validate_crcs=True).records:
            m: Any = record
            if type(record).__name__ == "Channel":
                names[m.id] = m.topic
            if type(record).__name__ == "Message":
                yield names[m.channel_id], m.log_time, m.publish_time, m.sequence, m.data


def digest(path: Path) -> str:
    total = hashlib.sha256()
    for *head, data in read(path):
        total.update(f"{head} ".encode())
        total.update(data)
    return total.hexdigest()


def rows_of(data: bytes) -> np.ndarray:
    """The points of a sweep by the layout that it states."""
    cloud: Any = STORE.deserialize_cdr(data, "sensor_msgs/msg/PointCloud2")
    kinds = {7: "<f4", 4: "<u2"}
    layout = np.dtype({
        "names": [f.name for f in cloud.fields], "formats": [kinds[f.datatype] for f in cloud.fields],
        "offsets": [f.offset for f in cloud.fields], "itemsize": cloud.point_step,
    })  # fmt: skip
    return np.frombuffer(cloud.data.tobytes(), layout)[list(SWEEP.names or ())]


def check_cleansed(source: Path, cleansed: Path, drive: Way) -> dict[str, Any]:
    """Whether exactly the frames and points that the near zone asks for are gone, and nothing else changed.

    Frames may go up to 15 m beyond what the profile asks for: spans of time are rounded outwards. Points go by
    the spread of a heading that is taken from fixes, or by their circle where it is not known: none may go whose
    circle stays 35 m from the near zone. Sweeps are thinned to every second one.
    """
    out = {(topic, sent): data for topic, sent, _, _, data in read(cleansed)}
    sight = PROFILE.images.view_distance_m + PROFILE.images.pose_error_m
    count = {"frames": 0, "frames kept": 0, "points": 0, "points kept": 0}
    number = matched = 0
    for topic, sent, _, _, data in read(source):
        kept = out.get((topic, sent))
        matched += kept is not None
        if topic == CAMERA:
            away = drive.from_near(sent)
            assert away > sight if kept else away < sight + 15.0, f"a frame at {away:.1f} m"
            assert kept in {None, data}, "a frame changed"
            count["frames"] += 1
            count["frames kept"] += kept is not None
        elif topic == SWEEPS:
            number += 1
            assert (kept is not None) == (number % PROFILE.points.keep_every == 1), "thinned otherwise"
            if kept is not None:
                before, after = rows_of(data), rows_of(kept)
                left = np.isin(before, after)
                assert np.array_equal(before[left], after), "points changed"
                away = drive.from_near(sent, before["x"].astype(float), before["y"].astype(float))
                reach = np.hypot(before["x"], before["y"])
                assert not (left & ((away < 5.0) | (reach > PROFILE.points.max_range_m))).any(), "points left"
                clear = drive.from_near(sent) - 35.0
                assert left[reach < min(clear, PROFILE.points.max_range_m)].all(), "points missing"
                count["points"] += len(before)
                count["points kept"] += len(after)
        else:
            assert kept == data, f"a message of {topic} changed"
    assert matched == len(out), "messages that were not there"
    return count


def remember_track(source: Path) -> None:
    with source.open("rb") as file:
        track = tracks_of(opened(file), profile=PROFILE)[0]
    names = ("lat", "lon", "time_s", "elevation_m", "speed_mps", "segment")
    np.savez(source.parent / "track.npz", **{name: getattr(track, name) for name in names})


def prepare(folder: Path, mib: int) -> tuple[Path, Way]:
    """A drive with its zones and its track."""
    folder.mkdir()
    ticks = max(1, mib * MIB // TICK_BYTES)
    drive = way(ticks)
    make(folder / "in", drive, ticks)
    (folder / "zones.json").write_bytes(zone_file(drive))
    remember_track(folder / "in")
    return folder / "in", drive


def cleansed(source: Path) -> Path:
    """What the first pass makes of a drive, with its track, for the second."""
    target = source.parent / "cleansed" / "in"
    target.parent.mkdir(exist_ok=True)
    run("first", source, target)
    remember_track(target)
    return target


def measure(how: Pass, source: Path, quarter: Path, rounds: int) -> dict[str, Any]:
    if how == "second":
        source, quarter = cleansed(source), cleansed(quarter)
    one, other = source.parent / how, source.parent / "raw"
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "raw": []}
    for _ in range(rounds):
        taken["ours"].append(run(how, source, one))
        taken["raw"].append(run("raw", source, other))
    short = run(how, quarter, quarter.parent / how)
    megabytes = source.stat().st_size / 1e6
    return {
        "MB": megabytes,
        "MB written": one.stat().st_size / 1e6,
        "ours MB/s": megabytes / statistics.median(t["seconds"] for t in taken["ours"]),
        "mcap copy MB/s": megabytes / statistics.median(t["seconds"] for t in taken["raw"]),
        "ratio": statistics.median(
            raw["seconds"] / ours["seconds"] for ours, raw in zip(taken["ours"], taken["raw"], strict=True)
        ),
        "ours peak MiB": max(t["peak_mib"] for t in taken["ours"]),
        "ours peak MiB, a quarter of the file": short["peak_mib"],
        "mcap copy peak MiB": max(t["peak_mib"] for t in taken["raw"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=256, help="length of the file in MiB")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; figures are medians")
    parser.add_argument(
        "--pass", dest="passes", nargs="+", choices=PASSES, default=PASSES[:2], help="what is done"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", nargs=3, metavar=("HOW", "IN", "OUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        how, path, target = asked.child
        print(json.dumps(child(how, Path(path), Path(target))))
        return 0
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, drive = prepare(Path(folder) / "whole", asked.mib)
        quarter, _ = prepare(Path(folder) / "quarter", max(1, asked.mib // 4))
        for how in asked.passes:
            figures[how] = measure(how, source, quarter, asked.rounds)
        if "none" in figures:
            same = {digest(source.parent / name) for name in ("in", "none", "raw")}
            assert len(same) == 1, "what was written differs from what was read"
        if "first" in figures:
            figures["first"] |= check_cleansed(source, source.parent / "first", drive)
    if asked.json:
        print(json.dumps({"benchmark": "mcap_rewrite", "figures": figures}))
        return 0
    for how, told in figures.items():
        print(f"pass: {how}" + (f"  (target of the ratio {TARGET})" if how != "second" else ""))
        for name, value in told.items():
            print(f"  {name:40} {value:10.2f}" if isinstance(value, float) else f"  {name:40} {value!s:>10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
