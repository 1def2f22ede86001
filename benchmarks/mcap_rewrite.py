"""Rewriting an MCAP against a raw copy by the `mcap` library of the same file, in one run on one machine.

    python benchmarks/mcap_rewrite.py [--mib 1024] [--rounds 3] [--treat MODULE:FUNCTION] [--json]

The file is made first: camera frames that do not compress, poses, inertial measurements and fixes, in lz4 chunks
of 4 MiB. Ours opens it (which reads all of it once and checks every CRC), reads it again and writes it; the
library's copy reads it once without checking and writes it with the same chunks. Rounds interleave both, each in a
process of its own, whose peak memory (VmHWM) is shown; the same for a file of a quarter of the length shows how
memory grows with it. The outputs are compared message by message. Figures are medians, the ratio is the median
of each round's.

`--treat` names a function that takes the opened container and gives the messages to be written.
"""

import argparse
import hashlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.stream import Container, ContainerKind, Message
from anonymize.profile import shipped_profile

TARGET = 0.6
CHUNK_BYTES = 4 * 1024 * 1024
MIB = 1024 * 1024
FRAME_BYTES = 220_000
# Topic, schema, bytes of a message, messages for each frame of the camera.
SMALL = (
    ("/tf", "tf2_msgs/msg/TFMessage", 140, 5),
    ("/imu", "sensor_msgs/msg/Imu", 324, 10),
    ("/gnss/fix", "sensor_msgs/msg/NavSatFix", 120, 1),
)


def make(path: Path, mib: int) -> None:
    """A drive: one camera at 10 frames/s and what a vehicle sends beside it."""
    rng = np.random.default_rng(4)
    pixels = rng.bytes(8 * MIB)
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start(profile="ros2")
        schema = writer.register_schema("sensor_msgs/msg/CompressedImage", "ros2msg", b"uint8[] data\n")
        camera = writer.register_channel("/camera/front/compressed", "cdr", schema)
        others = [
            (
                writer.register_channel(topic, "cdr", writer.register_schema(name, "ros2msg", b"uint8 x\n")),
                size,
                n,
            )
            for topic, name, size, n in SMALL
        ]
        frame = 0
        while file.tell() < mib * MIB:
            now = 1_700_000_000_000_000_000 + frame * 100_000_000
            start = int(rng.integers(0, len(pixels) - FRAME_BYTES))
            writer.add_message(camera, now, pixels[start : start + FRAME_BYTES], now, frame)
            for channel, size, n in others:
                for i in range(n):
                    body = pixels[start + i : start + i + size // 2] + bytes(size - size // 2)
                    writer.add_message(channel, now + i * 10_000_000, body, now, frame * n + i)
            frame += 1
        writer.finish()  # type: ignore[no-untyped-call]


def ours(source: Path, target: Path, treat: str | None) -> None:
    limits = shipped_profile("cn-2026").profile.containers
    with source.open("rb") as file, target.open("wb") as out:
        container = open_container(file, ContainerKind.MCAP, profile=limits)
        messages = treated(container, treat)
        for piece in write_mcap(messages, profile=container.summary.profile, chunk_bytes=CHUNK_BYTES):
            out.write(piece)


def treated(container: Container, treat: str | None) -> Iterable[Message]:
    if treat is None:
        return container.messages()
    module, _, function = treat.partition(":")
    messages: Iterable[Message] = getattr(importlib.import_module(module), function)(container)
    return messages


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


def digest(path: Path) -> str:
    """All messages in order, topics and schemas included, as the library reads them."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        names: dict[int, str] = {}
        for record in StreamReader(file, validate_crcs=True).records:
            if type(record).__name__ == "Channel":
                names[record.id] = record.topic  # type: ignore[attr-defined]
            if type(record).__name__ == "Message":
                m: Any = record
                total.update(f"{names[m.channel_id]} {m.log_time} {m.publish_time} {m.sequence} ".encode())
                total.update(m.data)
    return total.hexdigest()


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def child(how: str, source: Path, target: Path, treat: str | None) -> dict[str, float]:
    start = time.perf_counter()
    if how == "ours":
        ours(source, target, treat)
    else:
        raw(source, target)
    return {"seconds": time.perf_counter() - start, "peak_mib": peak_mib()}


def run(how: str, source: Path, target: Path, treat: str | None) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", how, str(source), str(target)]
    command += ["--treat", treat] if treat else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def measure(folder: Path, mib: int, rounds: int, treat: str | None) -> dict[str, Any]:
    source, quarter, one, other = (folder / name for name in ("in", "quarter", "ours", "raw"))
    make(source, mib)
    make(quarter, max(1, mib // 4))
    megabytes = source.stat().st_size / 1e6
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "raw": []}
    for _ in range(rounds):
        taken["ours"].append(run("ours", source, one, treat))
        taken["raw"].append(run("raw", source, other, treat))
    short = run("ours", quarter, folder / "short", treat)
    pairs = zip(taken["ours"], taken["raw"], strict=True)
    return {
        "MB": megabytes,
        "treat": treat or "pass through",
        "ours MB/s": megabytes / statistics.median(t["seconds"] for t in taken["ours"]),
        "mcap copy MB/s": megabytes / statistics.median(t["seconds"] for t in taken["raw"]),
        "ratio": statistics.median(raw["seconds"] / ours["seconds"] for ours, raw in pairs),
        "identical": treat is not None or digest(one) == digest(other) == digest(source),
        "ours peak MiB": max(t["peak_mib"] for t in taken["ours"]),
        "ours peak MiB, a quarter of the file": short["peak_mib"],
        "mcap copy peak MiB": max(t["peak_mib"] for t in taken["raw"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024, help="length of the file in MiB")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; figures are medians")
    parser.add_argument("--treat", help="MODULE:FUNCTION that takes the container and gives messages")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", nargs=3, metavar=("HOW", "IN", "OUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        how, source, target = asked.child
        print(json.dumps(child(how, Path(source), Path(target), asked.treat)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), asked.mib, asked.rounds, asked.treat)
    assert figures["identical"], "what was written differs from what was read"
    reached = figures["ratio"] >= TARGET
    rows = [
        {"row": "MCAP rewrite / raw copy", "value": figures["ratio"], "target": TARGET, "reached": reached}
    ]
    if asked.json:
        print(json.dumps({"benchmark": "mcap_rewrite", "figures": figures, "rows": rows}))
        return 0
    for name, value in figures.items():
        print(f"{name:40} {value:10.2f}" if isinstance(value, float) else f"{name:40} {value!s:>10}")
    print(f"{rows[0]['row']:40} {figures['ratio']:10.2f}  target {TARGET}  reached {reached}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
