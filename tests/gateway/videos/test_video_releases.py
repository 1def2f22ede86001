"""Videos in a release: what lies within one clip or kept span leaves, placed there, with masks cut alike."""

import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import av
import numpy as np
import pytest

from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.recording import BuiltItem, ReleaseMode
from gateway.flow.records import ReleaseRow
from gateway.flow.request import unlink_context
from gateway.flow.serve import read_item
from gateway.flow.unlink import Secrets, trip_of
from gateway.vault.values import open_value
from simulators import PURPOSE, START, House, candidate, cleanse, csv_track, grant, publish, video

FRAMES = 60


@pytest.fixture(scope="module", params=[ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    """In both modes: a video of a minute, one of the first seconds, and one of which no time is known."""
    house = House(home=tmp_path_factory.mktemp("clips") / "home")
    files = {
        "drive.csv": csv_track(),
        "long.mp4": video(frames=FRAMES, fps=1),
        "start.mp4": video(frames=2, fps=1),
        "other/timeless.mp4": video(frames=3, fps=1),
    }
    captured = {"long.mp4": START + timedelta(seconds=100), "start.mp4": START}
    with house.opened() as gate:
        house.furnish(gate)
        recording = cleanse(gate, files, captured=captured, attestation="a closed test track")
        release = candidate(gate, house, recording, mode=request.param)
        publish(gate, house, release)
        grant(gate, house, release)
        with gate.database.read() as session:
            built = load_built(gate, session, release)
        yield SimpleNamespace(
            gate=gate, house=house, recording=recording, release=release, mode=request.param, built=built
        )


def plan_of(world: SimpleNamespace):
    gate, release = world.gate, world.release
    with gate.database.read() as session:
        row = session.get_one(ReleaseRow, release)
        key = open_value(
            gate.keystore, kek_id=row.kek_id, context=unlink_context(release), sealed=row.unlink_sealed
        )
        return trip_of(gate, session, world.recording, Secrets(mode=world.mode, key=key)).plan


def frames_of(file) -> tuple[list[np.ndarray], list[float]]:
    with av.open(file) as container:
        decoded = list(container.decode(video=0))
    return [f.to_ndarray(format="rgb24") for f in decoded], [float(f.time) for f in decoded]


def long_item(world: SimpleNamespace) -> tuple[BuiltItem, list[np.ndarray]]:
    """The released minute, and its frames before the second pass."""
    for item in world.built.items:
        with world.gate.database.read() as session:
            cleansed = load_cleansed(world.gate, session, item.source)
        if cleansed.payload["facts"].get("frames") == FRAMES:
            return item, frames_of(open_treated(world.gate, cleansed))[0]
    raise AssertionError("the minute was not released")


def read(world: SimpleNamespace, name: str) -> bytes:
    engineer = world.house.people["engineer"].actor
    return b"".join(
        read_item(world.gate, world.release, name, actor=engineer, purpose=PURPOSE, wanted=None).chunks
    )


def test_released_frames_lie_in_one_clip_and_are_placed_there(world: SimpleNamespace):
    item, treated = long_item(world)
    frames, times = frames_of(io.BytesIO(read(world, item.name)))
    plan = plan_of(world)
    place = item.manifest_entry()
    if world.mode is ReleaseMode.LOCAL:
        clip = plan.clips[place["clip"]["number"]]
        moment = clip.begin_s + place["clip"]["t_s"]
        number = clip.number
        assert len(frames) < FRAMES
        assert plan.clip_of(moment + np.array(times)).tolist() == [number] * len(frames)
    else:
        moment = datetime.fromisoformat(place["captured_at"]).timestamp() - plan.shift_s
        numbers = plan.span_of(moment + np.array(times))
        assert len(set(numbers.tolist())) == 1
        assert numbers[0] >= 0
    assert times == list(range(len(times)))
    first = round(moment - START.timestamp()) - 100
    assert moment == pytest.approx(START.timestamp() + 100 + first, abs=2e-3)
    for number, frame in enumerate(frames):
        assert np.array_equal(frame, treated[first + number])
    assert json.loads(read(world, item.mask.name))["frames"] == len(frames)
    assert item.payload["facts"]["frames"] == len(frames)
    assert item.payload["residual"]["residual"] == []


def test_what_lies_in_a_trimmed_end_is_left_out(world: SimpleNamespace):
    if world.mode is ReleaseMode.OFFSET:
        assert list(world.built.left_out.values()) == ["outside_clips"]
    else:
        assert set(world.built.left_out.values()) <= {"outside_clips"}


def test_a_video_of_unknown_time_leaves_whole_and_unplaced(world: SimpleNamespace):
    videos = [item for item in world.built.items if item.name.endswith(".mp4")]
    (timeless,) = (item for item in videos if not {"clip", "captured_at"} & item.manifest_entry().keys())
    _, times = frames_of(io.BytesIO(read(world, timeless.name)))
    assert times == [0.0, 1.0, 2.0]
    assert timeless.payload["absolute_time"] == "stripped"
