"""A registered model, run by ultralytics, looks at every image beside the embedded detectors."""

import hashlib
from pathlib import Path

import anonymize.media
from anonymize.media.model_card import card_of, embedded_cards
from gateway.commands.demo_drive import photographs
from gateway.commands.releases import release_lines
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.models.registry import add_model
from simulators import House, candidate, cleanse


def test_registered_weights_run_beside_the_embedded_detectors(sqlite_gate: Gate, sqlite_house: House):
    own = next(card for card in embedded_cards() if "plate" in card.classes.values())
    content = (Path(anonymize.media.__file__).parent / "models" / own.file).read_bytes()
    card = card_of(
        {
            "name": "user-plates",
            "file": own.file,
            "sha256": hashlib.sha256(content).hexdigest(),
            "source": "a copy of our own model",
            "licence": own.licence,
            "task": "detect",
            "architecture": "ultralytics",
            "classes": dict(own.classes),
        },
        name="user-plates",
    )
    officer = sqlite_house.people["officer"]
    add_model(sqlite_gate, card, content, use="both", actor=officer.actor, key=officer.key)
    detectors = sqlite_gate.instruments.detectors
    assert [d.name for d in detectors][-1] == "user-plates"
    assert "ultralytics" in detectors[-1].runtime
    recording = cleanse(sqlite_gate, {"a.jpg": photographs()[-1]}, attestation="a test photograph")
    assert [i["state"] for i in recording_summary(sqlite_gate, recording)["items"]] == ["cleansed"]
    release = candidate(sqlite_gate, sqlite_house, recording)
    summary = release_summary(sqlite_gate, release)
    (told,) = summary["detection"]
    assert [d["name"] for d in told["detectors"]] == [*(c.name for c in embedded_cards()), "user-plates"]
    shown = release_lines(summary)
    assert f"detector  user-plates ({own.licence}), sha256 {own.sha256[:16]}" in shown
    faces = next(card for card in embedded_cards() if card.name == "centerface")
    assert all(f"measured  centerface on {q.dataset} face: " in shown for q in faces.quality)
