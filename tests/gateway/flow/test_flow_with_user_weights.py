"""User-supplied weights, run by ultralytics, look at every image beside the embedded detectors."""

import hashlib
from pathlib import Path

import pytest

import anonymize.media
from anonymize.errors import ModelError
from gateway.commands.demo_drive import photographs
from gateway.flow.dossier import recording_summary
from gateway.workers import advance
from simulators import House, cleanse, deliver

MODEL = Path(anonymize.media.__file__).parent / "models" / "plate.onnx"


def _settings(digest: str) -> dict[str, object]:
    return {
        "detector_weights": MODEL,
        "detector_weights_sha256": digest,
        "detector_weights_classes": {"plate": "plate"},
    }


def test_user_weights_run_beside_the_embedded_detectors(tmp_path: Path):
    changes = _settings(hashlib.sha256(MODEL.read_bytes()).hexdigest())
    house = House(home=tmp_path / "home", settings_changes=changes)
    with house.opened() as gate:
        house.furnish(gate)
        names = [d.name for d in gate.instruments.detectors]
        assert names[-1] == "ultralytics:plate"
        assert len(names) == 3
        recording = cleanse(gate, {"a.jpg": photographs()[-1]}, attestation="a test photograph")
        assert [i["state"] for i in recording_summary(gate, recording)["items"]] == ["cleansed"]


def test_weights_of_another_digest_stop_every_image(tmp_path: Path):
    """Law 5: an altered model stops the item in quarantine, with the reason."""
    house = House(home=tmp_path / "home", settings_changes=_settings("0" * 64))
    with house.opened() as gate:
        house.furnish(gate)
        with pytest.raises(ModelError):
            _ = gate.instruments.detectors
        recording = deliver(gate, {"a.jpg": photographs()[-1]}, attestation="a test photograph")
        advance(gate, recording)
        (item,) = recording_summary(gate, recording)["items"]
        assert (item["state"], item["reason"]) == ("held", "model_unavailable")
