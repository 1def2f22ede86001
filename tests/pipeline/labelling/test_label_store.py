"""What a task's folder keeps: revisions that are never replaced, conflicts, and a journal that is held to them."""

import os
import threading
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from pipeline.errors import KeyFileError
from pipeline.labelling.errors import LabelStoreError
from pipeline.labelling.store import Conflict, Revision, TaskFolder, tasks_in

TASK = "task-0123456789ab"


@pytest.fixture(scope="module")
def key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


@pytest.fixture
def folder(tmp_path: Path, key: OKPKey) -> TaskFolder:
    made = TaskFolder(tmp_path, TASK, key)
    made.make()
    return made


def sealed(folder: TaskFolder) -> list[Path]:
    return sorted(folder.folder.glob("documents/*/*.sealed"))


def test_revisions_follow_one_another_and_stay(folder: TaskFolder):
    first = folder.save("frame:0", [1], based_on=0, by="wang")
    second = folder.save("frame:0", [2], based_on=1, by="li")

    assert isinstance(first, Revision)
    assert isinstance(second, Revision)
    assert (first.number, second.number) == (1, 2)
    assert [folder.revision("frame:0", n).value for n in (1, 2)] == [[1], [2]]
    assert tasks_in(folder.folder.parent) == (TASK,)


def test_a_save_on_an_older_revision_is_kept_beside(folder: TaskFolder):
    folder.save("frame:0", [1], based_on=0, by="wang")
    late = folder.save("frame:0", [9], based_on=0, by="li")

    assert isinstance(late, Conflict)
    assert (late.last.number, late.last.value) == (1, [1])
    assert (folder.conflict(late.kept).value, folder.conflict(late.kept).by) == ([9], "li")
    folder.check()


def test_of_many_at_once_one_wins_each_revision(folder: TaskFolder):
    won: list[Revision | Conflict] = []

    def save(number: int) -> None:
        won.append(folder.save("frame:0", [number], based_on=0, by=f"p{number}"))

    threads = [threading.Thread(target=save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(isinstance(each, Revision) for each in won) == 1
    assert len(folder.conflicts()) == 7
    folder.check()


def test_nobody_opens_it_with_another_key_or_from_another_place(folder: TaskFolder):
    folder.save("frame:0", [1], based_on=0, by="wang")
    folder.save("frame:1", [2], based_on=0, by="wang")
    other = TaskFolder(folder.folder.parent, TASK, OKPKey.generate_key("Ed25519"))
    with pytest.raises(LabelStoreError, match="does not open"):
        other.last("frame:0")
    with pytest.raises(KeyFileError):
        TaskFolder(
            folder.folder.parent,
            TASK,
            OKPKey.import_key(OKPKey.generate_key("Ed25519").as_dict(private=False)),
        )

    one, two = sealed(folder)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(LabelStoreError, match="does not open"):
        folder.last("frame:0")


def test_a_save_that_was_taken_away_is_found(folder: TaskFolder):
    folder.save("frame:0", [1], based_on=0, by="wang")
    folder.save("frame:0", [2], based_on=1, by="wang")
    sealed(folder)[-1].unlink()

    with pytest.raises(LabelStoreError, match="the journal names revision 2"):
        folder.check()


@pytest.mark.parametrize("change", ["alter", "drop", "swap"])
def test_a_journal_that_was_changed_is_found(folder: TaskFolder, change: str):
    for number in range(3):
        folder.record("wang", "view", {"frame": number})
    path = folder.folder / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "alter":
        lines[1] = lines[1][:50] + (b"A" if lines[1][50:51] != b"A" else b"B") + lines[1][51:]
    elif change == "drop":
        del lines[1]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    path.write_bytes(b"".join(lines))

    with pytest.raises(LabelStoreError, match="journal"):
        folder.check()


def test_a_line_that_a_crash_cut_short_is_dropped_and_the_chain_goes_on(folder: TaskFolder):
    folder.record("wang", "view", {"frame": 0})
    with (folder.folder / "journal").open("ab") as file:
        file.write(b"A" * 70_000)

    folder.record("wang", "view", {"frame": 1})

    assert [line["facts"]["frame"] for line in folder.journal()] == [0, 1]


def test_a_disk_that_is_full_acknowledges_nothing(folder: TaskFolder, monkeypatch: pytest.MonkeyPatch):
    folder.save("frame:0", [1], based_on=0, by="wang")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LabelStoreError, match="No space left"):
            folder.save("frame:0", [2], based_on=1, by="wang")

    assert folder.revisions("frame:0") == (1,)
    assert folder.save("frame:0", [2], based_on=1, by="wang") == folder.last("frame:0")
    folder.check()
