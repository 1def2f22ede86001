import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, Message
from anonymize.containers.structure import scan_structure
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
MIB = 1024 * 1024
CHUNK_BYTES = MIB
CAMERA = Channel(id=1, topic="/camera", message_encoding="cdr", schema=None)


def frames(mib: int) -> Iterator[Message]:
    noise = np.random.default_rng(1).bytes(MIB)
    for n in range(4 * mib):
        data = noise[n % 1000 : n % 1000 + MIB // 4]
        yield Message(channel=CAMERA, log_time_ns=n, publish_time_ns=n, sequence=n, data=data)


def rewrite(source: Path, target: Path) -> int:
    """Read, write and scan; the peak of what Python allocates meanwhile, in bytes."""
    tracemalloc.start()
    with source.open("rb") as file, target.open("w+b") as out:
        container = McapContainer(file, profile=LIMITS)
        out.writelines(write_mcap(container.messages(), profile="ros2", chunk_bytes=CHUNK_BYTES))
        assert scan_structure(out, channels={"/camera"}).clean
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_is_that_of_chunks_however_long_the_file_is(tmp_path: Path) -> None:
    peaks = []
    for mib in (12, 96):
        source = tmp_path / f"{mib}.mcap"
        with source.open("wb") as file:
            file.writelines(write_mcap(frames(mib), profile="ros2", chunk_bytes=CHUNK_BYTES))
        assert source.stat().st_size > mib * MIB * 0.99
        peaks.append(rewrite(source, tmp_path / "out.mcap"))
    assert max(peaks) < 10 * CHUNK_BYTES
    assert peaks[1] == pytest.approx(peaks[0], rel=0.1)
