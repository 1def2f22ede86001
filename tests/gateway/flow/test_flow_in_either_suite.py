"""One gate, one suite after the other: what each sealed is read under either, and the policy admits both."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from gateway.app import release_public_jwk
from gateway.flow.gate import Gate
from gateway.flow.serve import read_item, read_manifest
from gateway.vault.jws import read_unverified_algorithm
from gateway.vault.keys import Keystore
from gateway.vault.suites import AES256GCM, SM4GCM, Suite, suite_by_name
from pipeline.errors import TamperedReleaseError
from pipeline.manifest import read_release_manifest
from pipeline.signing import release_key
from simulators import PASSPHRASE, PURPOSE, SMALL_DRIVE, House, released

FILES = {name: SMALL_DRIVE[name] for name in ("drive.csv", "meta.json")}
LATER = {"meta.json": SMALL_DRIVE["meta.json"]}


def set_suite(house: House, suite: Suite) -> None:
    """Another setting, and a start."""
    house.settings_changes["suite"] = suite.name
    house.keystore = Keystore.open(
        house.home / "keystore", PASSPHRASE, allow_insecure_test_cost=True, suite=suite
    )


def contents(gate: Gate, house: House, release: str) -> list[bytes]:
    engineer = house.people["engineer"].actor
    statement = read_manifest(gate, release, actor=engineer, purpose=PURPOSE)
    manifest = read_release_manifest(
        statement,
        release_key(json.loads(release_public_jwk(gate, statement))),
        release=release,
        purpose=PURPOSE,
    )
    names = sorted(item.name for item in manifest.items)
    readings = (
        read_item(gate, release, name, actor=engineer, purpose=PURPOSE, wanted=None) for name in names
    )
    return [b"".join(reading.chunks) for reading in readings]


def blobs(home: Path) -> dict[str, int]:
    """The suite number in the header of each sealed file."""
    files = (home / "objects").glob("*.sealed")
    return {file.stem: int.from_bytes(file.read_bytes()[10:12], "big") for file in files}


def keys(home: Path) -> dict[str, int]:
    """The suite number of each wrapped key encryption key."""
    files = (home / "keystore" / "kek").glob("*.kek")
    return {file.stem: b64decode(json.loads(file.read_bytes())["wrapped"])[0] for file in files}


@pytest.mark.parametrize(
    ("first", "second"),
    [(AES256GCM, SM4GCM), (SM4GCM, AES256GCM)],
    ids=["to commercial cryptography", "from commercial cryptography"],
)
def test_a_gate_goes_on_in_another_suite(tmp_path: Path, first: Suite, second: Suite) -> None:
    house = House(tmp_path, settings_changes={"suite": first.name})
    with house.opened() as gate:
        house.furnish(gate)
        before = released(gate, house, FILES)
        content = contents(gate, house, before)
        assert len(content) == 2
        assert all(content)
    old_blobs, old_keys = blobs(tmp_path), keys(tmp_path)
    assert set(old_blobs.values()) == set(old_keys.values()) == {first.identifier}
    set_suite(house, second)
    with house.opened() as gate:
        assert suite_by_name(gate.settings.suite) is second
        assert contents(gate, house, before) == content
        after = released(gate, house, LATER)
        assert len(contents(gate, house, after)) == 1
        engineer = house.people["engineer"].actor
        signed = [read_manifest(gate, r, actor=engineer, purpose=PURPOSE) for r in (before, after)]
        assert [read_unverified_algorithm(each) for each in signed] == [first.signature, second.signature]
        with pytest.raises(TamperedReleaseError):
            read_release_manifest(
                signed[0], release_key(json.loads(release_public_jwk(gate))), release=before, purpose=PURPOSE
            )
        assert gate.ledger.verify().open_intents == 0
    new_blobs, new_keys = blobs(tmp_path), keys(tmp_path)
    assert {name: new_blobs[name] for name in old_blobs} == old_blobs
    assert {name: new_keys[name] for name in old_keys} == old_keys
    for old, new in ((old_blobs, new_blobs), (old_keys, new_keys)):
        made = {number for name, number in new.items() if name not in old}
        assert made == {second.identifier}
    set_suite(house, first)
    with house.opened() as gate:
        assert contents(gate, house, before) == content
        assert len(contents(gate, house, after)) == 1
