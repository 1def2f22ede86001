"""A detector trained on sealed pictures: nothing of them on disk, taken up again, ended by the gate."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from joserfc.jwk import OKPKey
from PIL import Image

from labelled_street import CONTENTS, COUNTS, NETWORK, SIDE, files_with_pictures, pixels, street_coco
from pipeline.client import GatewayClient
from pipeline.training.access import Access
from pipeline.training.checkpoint import load_checkpoint
from pipeline.training.detector_run import DetectorOptions, read_setting, train_detector
from pipeline.training.errors import (
    DetectorError,
    LeaseError,
    ReleaseEndedError,
    RunError,
)
from pipeline.training.labels import read_coco
from pipeline.training.mirror import MlflowMirror
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.shards import ShardFolder, write_shards
from pipeline.training.training_manifest import TrainingManifest, freeze
from rank_processes import kill_ranks, output_of, torchrun
from training_releases import PURPOSE, TwoReleases

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

SHARD_BYTES = 60_000
PATIENCE_S = 400
TOTAL = sum(COUNTS.values())


@pytest.fixture
def two(peer: Any, release_key: OKPKey, relay: Any) -> TwoReleases:
    made = TwoReleases(peer, release_key, CONTENTS)
    relay[0].app = made.app
    return made


@pytest.fixture
def manifest(client: GatewayClient, principal_key: OKPKey) -> TrainingManifest:
    labels = read_coco(street_coco())
    return freeze("street", client, list(COUNTS), key=principal_key, now=datetime.now(tz=UTC), labels=labels)


@pytest.fixture
def sealed(tmp_path: Path, client: GatewayClient, manifest: TrainingManifest, principal_key: OKPKey) -> Path:
    folder = ShardFolder(tmp_path / "shards", manifest, principal_key)
    write_shards(client, folder, labels=read_coco(street_coco()), shard_bytes=SHARD_BYTES)
    return folder.folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.yaml"
    path.write_text(NETWORK, encoding="utf-8")
    return path


@pytest.fixture
def options(network: Path) -> DetectorOptions:
    return DetectorOptions(model=str(network), epochs=2, batch=8, side=SIDE, workers=0)


@pytest.fixture
def command(
    tmp_path: Path,
    access: Access,
    manifest: TrainingManifest,
    sealed: Path,
    network: Path,
    principal_key: OKPKey,
    release_key: OKPKey,
) -> Callable[..., list[str]]:
    """Arguments of ``fleetgate train detector``, to be run in a process of its own."""
    (tmp_path / "key.pem").write_bytes(principal_key.as_pem(private=True))
    (tmp_path / "release.jwk").write_text(json.dumps(release_key.as_dict(private=False)))
    (tmp_path / "m.jws").write_text(manifest.statement)

    def arguments(out: Path, *more: str) -> list[str]:
        return [
            *("gateway.cli", "train", "detector", str(tmp_path / "m.jws")),
            *("--shards", str(sealed), "--out", str(out), "--model", str(network)),
            *("--url", access.url, "--key", str(tmp_path / "key.pem"), "--principal", "engineer-1"),
            *("--purpose", PURPOSE, "--release-key", str(tmp_path / "release.jwk")),
            *("--batch", "8", "--side", str(SIDE), "--json", *more),
        ]

    return arguments


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which every file that a process writes without being told where lies below the test's folder."""
    for name in ("tmp", "home", "cwd"):
        (tmp_path / name).mkdir()
    root = str(Path(__file__).parents[3])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "TMPDIR": str(tmp_path / "tmp"),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def left_in_shared_memory() -> set[str]:
    """Segments of torch whose process has ended; those of processes that run beside these tests are theirs."""
    names = {path.name for path in Path("/dev/shm").glob("torch_*")}  # noqa: S108 - only listed
    return {name for name in names if not Path("/proc", name.split("_")[1]).exists()}


def weights_of(run: Path, client: GatewayClient) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "weights" / "last.pt", client).state
    return {f"{part}.{name}": value for part in ("model", "ema") for name, value in state[part].items()}


def test_no_picture_reaches_the_disk_and_the_report_says_what_was_trained(
    tmp_path: Path,
    two: TwoReleases,
    command: Callable[..., list[str]],
    environment: dict[str, str],
    manifest: TrainingManifest,
    client: GatewayClient,
    principal_key: OKPKey,
):
    tags = [{"sample": name, "tags": ["night"]} for name in list(CONTENTS["rel-b"])[:6]]
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, tags)))
    out, store = tmp_path / "run", f"sqlite:///{tmp_path}/mlflow/runs.db"
    arguments = command(
        out, "--epochs", "2", "--workers", "2", "--hold-out", "rel-b", "--tags", str(tmp_path / "tags.jsonl"),
        "--mlflow", store, "--set", "close_mosaic=1",
    )  # fmt: skip
    before = left_in_shared_memory()

    done = subprocess.Popen(  # noqa: S603 (this interpreter on our own command)
        [sys.executable, "-m", *arguments], env=environment, cwd=tmp_path / "cwd", stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    stdout, stderr = output_of(done, within_s=PATIENCE_S)

    assert done.returncode == 0, stderr
    assert files_with_pictures([tmp_path]) == []
    assert left_in_shared_memory() <= before
    assert not list(tmp_path.rglob("*.cache")) + list(tmp_path.rglob("*.npy")) + list(tmp_path.rglob("*.jpg"))
    report = json.loads(stdout)
    assert report == json.loads((out / "report.json").read_text())
    assert (report["state"], report["epochs"], report["world"]) == ("finished", 2, 1)
    assert report["split"] == {"train": 26, "validate": 10, "left_out_of_each_epoch": 0, "repeated": 0}
    assert [(row["tag"], row["pictures"]) for row in report["by_tag"]] == [("all", 10), ("night", 6)]
    ours, theirs = report["by_tag"][0]["map50_95"], report["best"]["metrics"]["metrics/mAP50-95(B)"]
    assert ours == pytest.approx(theirs, abs=0.05)
    spent = report["time"]
    assert spent["samples"] == 2 * 26
    assert 0 < spent["goodput"] < 1
    assert 0 <= spent["loader_wait_share"] < 1
    assert set(report["lineage"]["releases"]) == set(COUNTS)
    for name in ("last", "best", "detector"):
        stated = two.artefacts[report["artefacts"][name]]
        content = (out / "weights" / f"{name}.pt").read_bytes()
        assert stated["digest"] == sha256(content).hexdigest()
        assert stated["derived_from"]["releases"] == sorted(COUNTS)
        assert len(stated["derived_from"]["items"]) == TOTAL
        assert stated["generated_by"]["parameters"]["training_manifest"] == manifest.digest
    assert load_checkpoint(out / "weights" / "last.pt", client).lineage.manifest == manifest.digest
    shards = ShardFolder(tmp_path / "shards", manifest, principal_key).artefact
    assert report["lineage"]["artefacts"] == [shards]
    assert two.uses[-1]["releases"] == sorted(COUNTS)
    assert report["mirror"]["failed"] is None
    with sqlite3.connect(tmp_path / "mlflow" / "runs.db") as rows:
        metrics = {name for (name,) in rows.execute("select distinct key from metrics")}
        told = dict(rows.execute("select key, value from tags"))
        assert rows.execute("select status from runs").fetchall() == [("FINISHED",)]
    assert "metrics/mAP50_B_" in metrics
    assert told["fleetgate.manifest"] == manifest.digest
    assert told["fleetgate.checkpoint"] == report["artefacts"]["last"]


def test_the_search_for_pictures_finds_them_in_files_of_any_kind(tmp_path: Path):
    name = next(iter(CONTENTS["rel-a"]))
    for number, content in enumerate((
        b"before" + CONTENTS["rel-a"][name],
        b"x" * 9 + pixels(0).tobytes() if name.endswith(".png") else CONTENTS["rel-a"][name][3:],
    )):  # fmt: skip
        (tmp_path / f"{number}.bin").write_bytes(content)
    Image.fromarray(pixels(1)).save(tmp_path / "2.bmp")
    torch.save({"picture": torch.from_numpy(pixels(2))}, tmp_path / "3.pt")
    assert len(files_with_pictures([tmp_path])) == 4


@pytest.mark.timeout(1500)
def test_a_killed_training_goes_on_as_if_it_had_never_stopped(
    tmp_path: Path,
    command: Callable[..., list[str]],
    environment: dict[str, str],
    client: GatewayClient,
):
    def run(out: Path, *more: str) -> subprocess.Popen[str]:
        arguments = command(out, "--epochs", "4", "--workers", "1", *more)
        return subprocess.Popen(  # noqa: S603 (the same)
            [sys.executable, "-m", *arguments], env=environment, cwd=tmp_path / "cwd", stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    whole, killed = run(tmp_path / "whole"), run(tmp_path / "killed")
    report = tmp_path / "killed" / "report.json"
    ends = time.monotonic() + PATIENCE_S
    while not (report.exists() and json.loads(report.read_text()).get("epochs", 0) >= 1):
        assert time.monotonic() < ends
        assert killed.poll() is None, output_of(killed, within_s=PATIENCE_S)
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    output_of(killed, within_s=PATIENCE_S)  # its loading processes notice, and end
    assert json.loads(report.read_text())["state"] == "running"
    first = json.loads(report.read_text())["artefacts"]["last"]

    again = run(tmp_path / "killed")
    stdout, stderr = output_of(again, within_s=PATIENCE_S)
    assert again.returncode == 0, stderr
    complaint = output_of(whole, within_s=PATIENCE_S)[1]
    assert whole.returncode == 0, complaint

    resumed, straight = (weights_of(tmp_path / name, client) for name in ("killed", "whole"))
    assert all(torch.equal(value, straight[name]) for name, value in resumed.items())
    told = json.loads(stdout)
    assert first in told["lineage"]["artefacts"]
    assert told["time"]["starts"] == 2
    assert (
        told["time"]["samples"]
        == json.loads((tmp_path / "whole" / "report.json").read_text())["time"]["samples"]
    )
    assert files_with_pictures([tmp_path]) == []


@pytest.mark.timeout(1500)
def test_two_ranks_train_one_model_and_go_on_after_a_kill(
    tmp_path: Path,
    command: Callable[..., list[str]],
    environment: dict[str, str],
    client: GatewayClient,
):
    out = tmp_path / "run"
    arguments = command(out, "--epochs", "4", "--workers", "1", "--set", "mosaic=0")

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 (this interpreter on our own command)
            torchrun("--module", *arguments),
            env=environment,
            cwd=tmp_path / "cwd",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    ranks, report = start(), out / "report.json"
    ends = time.monotonic() + PATIENCE_S
    while not (report.exists() and json.loads(report.read_text()).get("epochs", 0) >= 1):
        assert time.monotonic() < ends
        assert ranks.poll() is None, output_of(ranks, within_s=PATIENCE_S)
        time.sleep(0.01)
    kill_ranks(ranks.pid)
    output_of(ranks, within_s=PATIENCE_S)
    assert json.loads(report.read_text())["state"] == "running"

    ranks = start()
    stdout, stderr = output_of(ranks, within_s=PATIENCE_S)

    assert ranks.returncode == 0, stderr
    told = json.loads(stdout)
    train = told["split"]["train"]
    assert (told["state"], told["epochs"], told["world"]) == ("finished", 4, 2)
    assert told["split"]["left_out_of_each_epoch"] == train % 2
    assert told["time"]["samples"] == 4 * (train - train % 2)
    assert told["time"]["starts"] == 2
    assert all(value.isfinite().all() for value in weights_of(out, client).values())
    assert files_with_pictures([tmp_path]) == []


def test_a_release_that_ends_in_the_middle_ends_the_training_and_keeps_its_checkpoint(
    tmp_path: Path,
    two: TwoReleases,
    sealed: Path,
    manifest: TrainingManifest,
    access: Access,
    options: DetectorOptions,
):
    out = tmp_path / "run"
    asked = replace(options, epochs=3, workers=1, lease_s=0.001)

    def away(epoch: int, _metrics: Any) -> None:
        if epoch == 1:
            two.refused["rel-b"] = 503, "ledger_unavailable"

    with pytest.raises(LeaseError, match=r"'rel-b'.*503 ledger_unavailable") as told:
        train_detector(out, sealed, manifest, access, asked, progress=away)
    assert "Traceback" not in str(told.value)
    assert ShardFolder(sealed, manifest, access.key).numbers("rel-b")
    two.refused.clear()
    kept = (out / "weights" / "last.pt").read_bytes()

    def revoked(epoch: int, _metrics: Any) -> None:
        if epoch == 2:
            two.refused["rel-b"] = 403, "denied"

    with pytest.raises(ReleaseEndedError, match=r"'rel-b'.*shards are wiped"):
        train_detector(out, sealed, manifest, access, asked, progress=revoked)

    report = json.loads((out / "report.json").read_text())
    assert (report["state"], report["epochs"]) == ("stopped", 2)
    assert report["stopped"]["reason"] == "release_ended"
    assert (out / "weights" / "last.pt").read_bytes() != kept
    assert not ShardFolder(sealed, manifest, access.key).numbers("rel-b")
    assert ShardFolder(sealed, manifest, access.key).numbers("rel-a")
    with pytest.raises(ReleaseEndedError, match="rel-b"):
        train_detector(out, sealed, manifest, access, asked)
    assert files_with_pictures([tmp_path]) == []


def test_a_run_goes_on_with_what_it_began_with_and_another_is_refused(
    tmp_path: Path, sealed: Path, manifest: TrainingManifest, access: Access, options: DetectorOptions,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    out = tmp_path / "run"
    asked = replace(options, epochs=1)
    first = train_detector(out, sealed, manifest, access, asked)
    last = (out / "weights" / "last.pt").read_bytes()
    again = train_detector(out, sealed, manifest, access, asked)  # it ended: measured anew, not trained
    assert (out / "weights" / "last.pt").read_bytes() == last
    assert again["by_tag"] == first["by_tag"]
    for changes, named in (
        ({"batch": 4}, "batch (got 4, expected 8"),
        ({"seed": 1}, "seed (got 1, expected 0"),
        ({"settings": {"mosaic": 0.0}}, "settings (got {'mosaic': 0.0}, expected {}"),
    ):
        with pytest.raises(RunError) as told:
            train_detector(out, sealed, manifest, access, replace(asked, **changes))
        assert named in str(told.value)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match=r"world \(got 2, expected 1 as in"):
        train_detector(out, sealed, manifest, access, asked)


def test_exported_weights_begin_another_training_by_their_digest(
    tmp_path: Path, sealed: Path, manifest: TrainingManifest, access: Access, options: DetectorOptions
):
    asked = replace(options, epochs=1)
    train_detector(tmp_path / "run", sealed, manifest, access, asked)
    weights = tmp_path / "run" / "weights" / "detector.pt"
    digest = sha256(weights.read_bytes()).hexdigest()
    tuned = replace(asked, model=None, weights=weights, weights_sha256=digest)
    report = train_detector(tmp_path / "tuned", sealed, manifest, access, tuned)
    assert report["lineage"]["parameters"]["weights_sha256"] == digest
    with pytest.raises(DetectorError, match=f"got sha256 {digest}, expected 00"):
        train_detector(tmp_path / "other", sealed, manifest, access, replace(tuned, weights_sha256="00"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "yolo11n-seg.yaml"}, "another task .got 'segment'"),
        ({"model": "https://example.org/a.yaml"}, "expected a YAML file"),
        ({"model": "nowhere/a.yaml"}, "expected a YAML file"),
        ({"model": "nothing.yaml"}, "model 'nothing.yaml'"),
        ({"model": None}, "expected one of both"),
        ({"held_out": ("rel-z",)}, "held out releases .got .'rel-z'."),
        ({"validation_share": 0.0}, "0 to measure on"),
        ({"validation_share": 1.0}, "validation share .got 1.0"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_begins(
    tmp_path: Path, sealed: Path, manifest: TrainingManifest, access: Access, options: DetectorOptions,
    changes: dict[str, Any], named: str,
):  # fmt: skip
    with pytest.raises(DetectorError, match=named):
        train_detector(tmp_path / "run", sealed, manifest, access, replace(options, **changes))
    assert json.loads((tmp_path / "run" / "report.json").read_text())["state"] == "stopped"


def test_settings_that_reach_files_or_networks_are_refused():
    assert read_setting("mosaic=0") == ("mosaic", 0.0)
    assert read_setting("optimizer=SGD") == ("optimizer", "SGD")
    for text in ("cache=disk", "plots=True", "project=/tmp", "mosaic", "data=coco8.yaml"):
        with pytest.raises(ValueError, match="expected NAME=VALUE"):
            read_setting(text)
    with pytest.raises(ValueError, match=r"setting mosaic \(got 'no', expected float\)"):
        read_setting("mosaic=no")


def test_pictures_come_by_place_and_a_manifest_without_labels_is_refused(
    sealed: Path, manifest: TrainingManifest, access: Access
):
    pictures = SealedPictures(sealed, manifest, access)
    for place in (0, TOTAL - 1, 3):
        sample = manifest.samples[place]
        assert pictures.read(place) == CONTENTS[sample.release][sample.name]
        assert (pictures.labels[place].width, len(pictures.labels[place].boxes)) == (SIDE, 1)
    pictures.close()
    with pytest.raises(DetectorError, match="expected one frozen with labels"):
        SealedPictures(sealed, replace(manifest, labels=None), access)


def test_a_mirror_that_fails_is_told_and_the_training_goes_on(
    tmp_path: Path, sealed: Path, manifest: TrainingManifest, access: Access, options: DetectorOptions,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    (tmp_path / "file").write_text("")
    mirror = MlflowMirror(f"sqlite:///{tmp_path}/file/runs.db", experiment="street")
    report = train_detector(
        tmp_path / "run", sealed, manifest, access, replace(options, epochs=1), mirror=mirror
    )
    assert report["state"] == "finished"
    assert "Error" in report["mirror"]["failed"]
    assert "the MLflow mirror failed" in caplog.text
    for uri in ("http://127.0.0.1:5000", "postgresql://a/b", "databricks", "./runs"):
        with pytest.raises(RunError, match="a local one"):
            MlflowMirror(uri, experiment="street")
