"""``fleetgate quality``: draw, look, count in parts by file and by prompt, and the release goes on (rule 17)."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.review.quality_counts import COLUMNS
from simulators import UNIT, png

STILLS = 3


@pytest.fixture(scope="module")
def waiting(furnished: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A release that was requested and waits for somebody to count in its pictures."""
    folder: Path = tmp_path_factory.mktemp("stills")
    for number in range(STILLS):
        (folder / f"{number}.png").write_bytes(png(seed=number))
    recording = furnished.did(
        "officer", "ingest", folder, "--carrier", "disk-1", "--unit", UNIT, "--region", "110108",
        "--attest-outside-zones", "no position",
    )  # fmt: skip
    answer = furnished.act(
        "submitter", "release", "request", recording["recording"], "--purpose", "training",
        "--recipient", "team",
    )  # fmt: skip
    assert (answer.code, answer.document["error"]) == (1, "review_pending")
    return str(answer.document["detail"].split("fleetgate quality sample ")[1].split(",")[0])


def test_a_release_goes_on_after_its_pictures_were_counted(
    furnished: Any, waiting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = furnished.run("quality", "sample", waiting, *furnished.proof("officer")).out
    assert "pending, 0 of 3 sampled pictures counted, of 3" in shown
    assert "at least 90.0% (unverified) at 95% confidence" in shown
    assert furnished.act("officer", "quality", "sample", waiting).document["error"] == "conflict"
    assert furnished.act("submitter", "release", "resume", waiting).code == 1

    folder = tmp_path / "sample"
    files = furnished.did("first", "quality", "frames", waiting, "--out", folder)["files"]
    assert sorted(map(Path, files)) == sorted(folder.iterdir())
    assert len(files) == STILLS
    for file in files:
        assert Path(file).stat().st_mode & 0o077 == 0
        with Image.open(file) as picture:
            assert picture.size[1] > 48

    counts = tmp_path / "counts.csv"
    counts.write_text(f"{','.join(COLUMNS)}\n2,0,0,0,0,0,0,0\n")
    part = furnished.did("first", "quality", "record", waiting, "--file", counts)
    assert (part["standing"], part["waiting"]) == ("pending", [1, 3])
    answers = iter(["0 0 0 0 0 0", "0 0 0 0 0 0 0", "q"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    part = furnished.did("officer", "quality", "record", waiting)
    assert part["waiting"] == [3]
    whole = tmp_path / "counts.json"
    none = {"masked": 0, "missed": 0}
    whole.write_text(json.dumps([{"picture": 3, "face": none, "plate": none, "false_masks": 2}]))
    done = furnished.did("officer", "quality", "record", waiting, "--file", whole)
    assert (done["standing"], done["false_masks"]) == ("reached", 2)

    assert furnished.did("submitter", "release", "resume", waiting)["state"] == "judged"
    told = furnished.run("release", "show", waiting, *furnished.proof("first")).out
    assert "quality   reached: 3 of 3 sampled pictures counted, of 3; threshold 90.0% (unverified)" in told
    assert "quality   face: 0 masked, 0 missed" in told
    assert furnished.did("auditor", "quality", "status", waiting)["reviewed"] == STILLS


def test_bad_counts_and_wrong_people_are_refused(furnished: Any, waiting: str, tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("picture\n1\n")
    refused = furnished.act("officer", "quality", "record", waiting, "--file", file)
    assert (refused.code, refused.document["error"]) == (1, "invalid_request")
    assert (
        furnished.act("auditor", "quality", "frames", waiting, "--out", tmp_path).document["error"]
        == "forbidden"
    )
    for command in ("sample", "status"):
        unknown = furnished.act("officer", "quality", command, "0" * 32)
        assert unknown.document["error"] == "not_found"
