"""A detector trained under a real gate that falls silent in the middle: no epoch is lost, a refusal ends it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from gated_street import SIDE, GatedStreet, gated_street
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from labelled_street import NETWORK
from pipeline.errors import RefusedError, UnregisteredError
from pipeline.training.checkpoint import load_checkpoint
from pipeline.training.detector_run import DetectorOptions, train_detector
from pipeline.training.errors import ReleaseEndedError

EPOCHS = 3
TORCH_FILE = b"PK\x03\x04"

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


@dataclass(slots=True, kw_only=True)
class Street:
    """A training on one release, measured on the other; it notes which epochs were trained."""

    at: GatedStreet
    options: DetectorOptions
    done: list[int] = field(default_factory=list)

    def train(self, out: Path, after: Callable[[int], None] = lambda _epoch: None) -> dict[str, Any]:
        def progress(epoch: int, _metrics: Mapping[str, float]) -> None:
            self.done.append(epoch)
            after(epoch)

        at = self.at
        return train_detector(out, at.shards, at.manifest, at.access, self.options, progress=progress)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    (tmp_path / "network.yaml").write_text(NETWORK, encoding="utf-8")
    with gated_street(tmp_path) as at:
        options = DetectorOptions(
            model=str(tmp_path / "network.yaml"),
            epochs=EPOCHS,
            batch=4,
            side=SIDE,
            workers=0,
            held_out=(at.releases[1],),
        )
        yield Street(at=at, options=options)


def weights_of(street: Street, run: Path) -> dict[str, torch.Tensor]:
    with street.at.access.client() as client:
        state = load_checkpoint(run / "weights" / "last.pt", client).state
    return {f"{part}.{name}": value for part in ("model", "ema") for name, value in state[part].items()}


def test_an_epoch_that_could_not_be_registered_is_sealed_and_taken_up_by_the_next_start(
    street: Street, tmp_path: Path
):
    straight = street.train(tmp_path / "straight")
    street.done.clear()
    out = tmp_path / "run"

    def falls_silent(epoch: int) -> None:
        street.at.proxy.silent = epoch == 1

    with pytest.raises(UnregisteredError, match=r"503.*kept sealed"):
        street.train(out, falls_silent)
    with street.at.access.client() as client:
        assert load_checkpoint(out / "weights" / "last.pt", client).state["epoch"] == 0
    held = sorted(out.glob("weights/last.pt.*.unregistered"))
    assert len(held) == 1
    assert TORCH_FILE not in held[0].read_bytes()
    report = json.loads((out / "report.json").read_text())
    assert (report["state"], report["epochs"], report["stopped"]["reason"]) == ("stopped", 1, "unregistered")

    with pytest.raises(RefusedError, match="503"):  # still silent: nothing is lost, nothing goes on
        street.train(out)
    assert sorted(out.glob("weights/last.pt.*.unregistered")) == held
    street.at.proxy.silent = False
    report = street.train(out)

    assert street.done == [1, 3], "the second epoch was not trained again"
    assert (report["state"], report["epochs"]) == ("finished", EPOCHS)
    assert report["time"]["samples"] == straight["time"]["samples"]
    assert list(out.glob("weights/*.unregistered")) == []
    resumed, whole = weights_of(street, out), weights_of(street, tmp_path / "straight")
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    auditor = street.at.house.people["auditor"].actor
    listed = release_lineage(street.at.gate, street.at.releases[0], actor=auditor)["artefacts"]
    assert set(report["artefacts"].values()) <= {each["artefact"] for each in listed}


def test_a_revocation_at_the_registration_ends_the_training_for_good(street: Street, tmp_path: Path):
    out = tmp_path / "run"

    def revoked(epoch: int) -> None:
        if epoch == 1:
            revoke_release(street.at.gate, street.at.releases[0], actor=street.at.house.people["first"].actor)

    with pytest.raises(ReleaseEndedError, match="revoked"):
        street.train(out, revoked)
    report = json.loads((out / "report.json").read_text())
    assert (report["state"], report["epochs"], report["stopped"]["reason"]) == ("stopped", 1, "release_ended")
    kept = sorted(path.name for path in (out / "weights").iterdir())
    with pytest.raises(ReleaseEndedError):
        street.train(out)
    assert sorted(path.name for path in (out / "weights").iterdir()) == kept
    assert street.done == [1]
