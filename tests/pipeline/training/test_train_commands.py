"""``fleetgate train``: what it writes and prints, how it resumes, and its exit status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from joserfc.jwk import OKPKey
from typer.testing import CliRunner

from gateway.cli import app
from training_releases import COUNTS, PURPOSE, coco

TOTAL = sum(COUNTS.values())


@pytest.fixture
def train(access: Any, principal_key: OKPKey, release_key: OKPKey, tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "key.pem").write_bytes(principal_key.as_pem(private=True))
    (tmp_path / "release.jwk").write_text(json.dumps(release_key.as_dict(private=False)))
    (tmp_path / "coco.json").write_bytes(coco())
    options = [
        *("--url", access.url, "--key", str(tmp_path / "key.pem"), "--principal", "engineer-1"),
        *("--purpose", PURPOSE, "--release-key", str(tmp_path / "release.jwk")),
    ]

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["train", command, *arguments, *options])

    return run


def test_from_releases_to_shards_and_again(train: Callable[..., Result], two: Any, tmp_path: Path):
    manifest, out, labels = (str(tmp_path / name) for name in ("m.jws", "shards", "coco.json"))
    frozen = ("--name", "夜间", "--out", manifest, "--labels", labels, "--class", "car", "--class", "行人")

    done = train("freeze", *COUNTS, *frozen, "--json")

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["name"], told["samples"], told["classes"]) == ("夜间", TOTAL, ["car", "行人"])
    assert set(told["releases"]) == set(COUNTS)
    before = Path(manifest).read_bytes()
    assert train("freeze", *COUNTS, *frozen).exit_code == 2  # what is frozen is not replaced
    assert Path(manifest).read_bytes() == before
    checked = train("check", manifest)
    assert checked.exit_code == 0, checked.output
    assert f"stands: 夜间: {TOTAL} samples of 2 releases" in checked.stdout
    first = train("shards", manifest, "--out", out, "--labels", labels, "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["written"] == 2
    assert [use["kind"] for use in two.uses] == ["train", "train"]
    frozen_as, sealed_as = told["artefact"], json.loads(first.stdout)["artefact"]
    assert two.artefacts[sealed_as]["derived_from"]["artefacts"] == [frozen_as]
    second = train("shards", manifest, "--out", out, "--labels", labels)
    assert f"{TOTAL} samples, 0 shards written, 2 kept" in second.stdout
    two.refused["rel-b"] = 403, "denied"
    for command in (("check", manifest), ("shards", manifest, "--out", out, "--labels", labels)):
        refused = train(*command, "--json")
        assert refused.exit_code == 1
        assert json.loads(refused.stdout)["reason"] == "release_ended"


def test_unknown_classes_and_other_files_are_refused(train: Callable[..., Result], tmp_path: Path):
    labels = str(tmp_path / "coco.json")
    done = train(
        "freeze", *COUNTS, "--name", "n", "--out", str(tmp_path / "m"), "--labels", labels, "--class", "car"
    )
    assert done.exit_code == 1
    assert "行人" in done.output
    assert not (tmp_path / "m").exists()
    assert train("check", labels).exit_code == 1
    assert train("check", str(tmp_path / "nowhere")).exit_code == 2
    (tmp_path / "m").write_text("a.b.c")
    refused = train("check", str(tmp_path / "m"), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["reason"] == "training_manifest_invalid"


def test_a_manifest_that_the_gate_does_not_know_is_kept_sealed_and_not_used(
    train: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manifest, out = str(tmp_path / "m.jws"), str(tmp_path / "shards")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.client.ARTEFACTS_PATH", "/downstream/v1/nowhere")
        refused = train("freeze", *COUNTS, "--name", "n", "--out", manifest, "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["reason"]) == (1, "unregistered")
    assert not Path(manifest).exists()
    assert len(list(tmp_path.glob("m.jws.*.unregistered"))) == 1
    assert train("freeze", *COUNTS, "--name", "n", "--out", manifest).exit_code == 0
    Path(f"{manifest}.artefact.json").unlink()
    for command in (("check", manifest), ("shards", manifest, "--out", out)):
        refused = train(*command, "--json")
        assert (refused.exit_code, json.loads(refused.stdout)["reason"]) == (1, "unregistered")


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Result]:
    def write(name: str, entries: list[dict[str, Any]]) -> str:
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
        return str(path)

    def run(wrong: int, *options: str) -> Result:
        samples = [str(n) for n in range(200)]
        labels = [{"sample": s, "label": "a", "tags": ["night"] if int(s) < 50 else []} for s in samples]
        labels[-1]["label"] = "b"
        old = [{"sample": s, "prediction": "a"} for s in samples]
        new = [{"sample": s, "prediction": "b" if int(s) < wrong else "a"} for s in samples]
        files = [write(n, e) for n, e in (("labels", labels), ("old", old), ("new", new))]
        return CliRunner().invoke(app, ["train", "compare", *files, *options])

    return run


def test_a_regression_fails_the_build_and_names_the_scenario(judged: Callable[..., Result]):
    assert judged(0).exit_code == 0
    failed = judged(12, "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["failed"] == ["all", "night"]
    shown = judged(12)
    assert "变差 / regressed" in shown.stdout
    undecided = judged(2)
    assert (undecided.exit_code, judged(2, "--require-held").exit_code) == (0, 1)
    assert "未定 / undecided" in undecided.stdout
    assert judged(0, "--confidence", "2").exit_code == 2
