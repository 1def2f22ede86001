"""``kill -9`` while a video is cleansed: the next worker goes on at the last whole segment (issue 3, item 5)."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.records import CleansingCheckpointRow, ItemRow
from gateway.vault.keys import Keystore
from gateway.vault.store import Context
from simulators import PASSPHRASE, START, House, csv_track, deliver, video

ROOT = Path(__file__).parents[2]
SEGMENTS = 3
FIRST_SAVES = 1
"""The identity of the run, which is saved before anything is found."""


@dataclass(frozen=True)
class Furnished:
    """A house in which a video of three segments waits, and what comes out of it undisturbed."""

    home: Path
    recording: str
    saved: list[str]
    content: bytes


def carry(home: Path, recording: str, log: Path, hours: int, *kill: object) -> tuple[int, list[str]]:
    """Exit status of a worker, and the names that it saved."""
    log.touch()
    command = [sys.executable, str(Path(__file__).with_name("video_victim.py"))]
    arguments = [home, recording, log, hours, *kill]
    done = subprocess.run(  # noqa: S603 (this interpreter, a file of these tests)
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode, log.read_text().split()


def treated(home: Path, recording: str) -> tuple[bytes, int]:
    """The treated video, and how many pieces of progress are left."""
    house = object.__new__(House)
    house.home, house.database_url, house.settings_changes = home, None, {}
    house.keystore = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
    with house.opened() as gate:
        return _treated(gate, recording)


def _treated(gate: Gate, recording: str) -> tuple[bytes, int]:
    with gate.database.read() as session:
        item = session.scalar(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.position == 1)
        )
        left = session.scalar(sa.select(sa.func.count()).select_from(CleansingCheckpointRow))
    assert item.state == "cleansed"
    context = Context(owner=recording, object=item.id, role="treated")
    return gate.vault.read_all(item.treated_seal, context), left


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    place = tmp_path_factory.mktemp("video")
    house = House(home=place / "home")
    with house.opened() as gate:
        house.furnish(gate)
        files = {"drive.csv": csv_track(), "front.mp4": video(frames=4 * SEGMENTS - 3, fps=1)}
        recording = deliver(gate, files, captured={"front.mp4": START + timedelta(seconds=30)})
    shutil.copytree(place / "home", place / "undisturbed")
    status, saved = carry(place / "undisturbed", recording, place / "log", 0)
    assert status == 0
    content, left = treated(place / "undisturbed", recording)
    assert left == 0
    return Furnished(home=place / "home", recording=recording, saved=saved, content=content)


def test_the_video_has_three_segments(furnished: Furnished):
    kinds = [name.split("/")[0] for name in furnished.saved]
    assert kinds == ["run", *["findings"] * SEGMENTS, *["segments", "residual"] * SEGMENTS]


@pytest.mark.parametrize(
    ("kill_at", "when"),
    [
        pytest.param(FIRST_SAVES + 2, "after", id="while looking"),
        pytest.param(FIRST_SAVES + SEGMENTS + 3, "after", id="a segment encoded and not yet scanned"),
    ],
)
def test_a_killed_worker_costs_at_most_one_segment(
    furnished: Furnished, tmp_path: Path, kill_at: int, when: str
):
    home = tmp_path / "home"
    shutil.copytree(furnished.home, home)
    status, before = carry(home, furnished.recording, tmp_path / "first", 0, kill_at, when)
    assert status == -signal.SIGKILL
    status, after = carry(home, furnished.recording, tmp_path / "second", 1)
    assert status == 0
    assert len(set(before) & set(after)) <= 1
    assert set(before) | set(after) == set(furnished.saved)
    content, left = treated(home, furnished.recording)
    assert content == furnished.content
    assert left == 0
