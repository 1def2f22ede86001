"""Updates and frames: what may leave, in which form, and a record that nobody changes unnoticed."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.federated.errors import SiteRecordError, UpdateError
from pipeline.federated.flower_peer import FrameError, pack, read_frame, unpack, write_frame
from pipeline.federated.record import SiteRecord
from pipeline.federated.update import update_of

BEFORE = [np.zeros((2, 3), np.float32), np.ones(4, np.float64)]


def test_an_update_is_the_difference_scaled_to_the_bound():
    after = [BEFORE[0] + np.float32(3), BEFORE[1] - 2]
    norm = float(np.sqrt(6 * 9 + 4 * 4))

    small, large = (update_of(BEFORE, after, clip=clip) for clip in (norm / 4, norm * 4))

    assert small.norm == large.norm == pytest.approx(norm)
    assert (small.clipped, large.clipped) == (True, False)
    assert [a.dtype for a in small.arrays] == [np.float32, np.float64]
    np.testing.assert_allclose(large.arrays[1], -2)
    np.testing.assert_allclose(
        np.concatenate([a.ravel() for a in small.arrays]).astype(float), [0.75] * 6 + [-0.5] * 4
    )
    assert not update_of(BEFORE, BEFORE, clip=1.0).clipped


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (BEFORE[:1], "got 1 arrays, expected 2"),
        ([BEFORE[0].T, BEFORE[1]], r"weights 0 .*\(3, 2\)"),
        ([BEFORE[0], BEFORE[1].astype(np.float32)], "weights 1 .*float32"),
        ([BEFORE[0], BEFORE[1] * np.nan], "not finite"),
    ],
)
def test_what_is_no_update_of_the_model_does_not_leave(after: list[np.ndarray], message: str):
    with pytest.raises(UpdateError, match=message):
        update_of(BEFORE, after, clip=1.0)


def test_frames_hold_numbers_and_run_nothing():
    pipe = io.BytesIO()
    write_frame(pipe, pack({"round": 3}, BEFORE))
    pipe.seek(0)
    head, arrays = unpack(read_frame(pipe) or b"")
    assert head == {"round": 3}
    for got, expected in zip(arrays, BEFORE, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    assert read_frame(pipe) is None

    with pytest.raises(FrameError, match="objects"):
        pack({}, [np.array([{}], object)])
    held = io.BytesIO()
    np.savez(held, head=np.array([{"a": 1}], object))
    for content in (held.getvalue(), pickle.dumps(BEFORE), b"PK\x03\x04", b""):
        with pytest.raises(FrameError):
            unpack(content)
    with pytest.raises(FrameError, match="expected at most"):
        read_frame(io.BytesIO(b"\xff" * 8))
    with pytest.raises(FrameError, match="got 1 bytes, expected 2"):
        read_frame(io.BytesIO(b"\0" * 7 + b"\2x"))


def test_a_record_goes_on_after_a_crash_and_notices_changes(tmp_path: Path):
    path = tmp_path / "updates.jsonl"
    for number in range(3):
        SiteRecord(path).append({"round": number})
    with path.open("ab") as file:
        file.write(b'{"round":')
    record = SiteRecord(path)
    record.append({"round": 3})
    assert [entry["round"] for entry in SiteRecord(path).entries()] == [0, 1, 2, 3]

    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b'"round":0', b'"round":7'), *lines[1:]]))
    with pytest.raises(SiteRecordError, match="line 2 does not follow"):
        SiteRecord(path)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(SiteRecordError, match="line 1"):
        SiteRecord(path)
