"""``train federated-server`` and ``federated-site`` in processes of their own: two gates, Flower, one detector."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from gated_street import PICTURES, SIDE, GatedStreet, gated_street
from gateway.cli import app
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from labelled_street import NETWORK
from pipeline.federated.errors import UpdateError, WeightsError
from pipeline.federated.flower_peer import Arrays, _await
from pipeline.federated.record import SiteRecord
from pipeline.federated.site import Site
from pipeline.federated.weights_file import (
    alone_in,
    beginning,
    digest_of,
    last_weights,
    read_weights,
    write_weights,
)
from pipeline.training.federated_detector import first_weights
from pipeline.training.training_manifest import TrainingManifest

pytestmark = pytest.mark.alone

PATIENCE_S = 500
TEXT = (Path(__file__).parents[3] / "docs" / "federated.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^fleetgate train federated-.*$", TEXT, re.MULTILINE)
CLIP = 5.0
ENTERS = """
import sys
from pathlib import Path

from pipeline.federated.weights_file import alone_in

with alone_in(Path(sys.argv[1])):
    pass
"""

needs_flower = pytest.mark.skipif(
    "FLEETGATE_FLOWER_PYTHON" not in os.environ,
    reason="FLEETGATE_FLOWER_PYTHON names no interpreter with Flower beside it",
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.yaml"
    path.write_text(NETWORK, encoding="utf-8")
    return path


@pytest.fixture
def streets(tmp_path: Path) -> Iterator[dict[str, GatedStreet]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(gated_street(tmp_path / name, first_seed=seed))
            for seed, name in enumerate(("north", "south"))
        }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Federation:
    """A server and two sites as commands, each a process of its own."""

    def __init__(self, folder: Path, streets: dict[str, GatedStreet], network: Path) -> None:
        self.folder, self.streets = folder, streets
        shutil.copy(network, folder / "network.yaml")

    def run(
        self,
        rounds: int,
        only: tuple[str, ...] = ("server", "north", "south"),
        *,
        certified: tuple[Path, Path] | None = None,
    ) -> dict[str, tuple[int, dict[str, Any]]]:
        """Exit status and answer of each; over TLS where there is a certificate with its key."""
        flower = os.environ["FLEETGATE_FLOWER_PYTHON"]
        known = {"127.0.0.1:8080": f"127.0.0.1:{free_port()}", "flower/bin/python": flower}
        server, site = (
            [known.get(word, word) for word in shlex.split(line)[2:] if word != "…"] for line in DOCUMENTED
        )
        commands = {"server": [*server[: server.index("--rounds")], "--rounds", str(rounds), "--sites", "2"]}
        tls: tuple[str, ...] = ()
        if certified is not None:
            certificate, key = map(str, certified)
            tls = ("--root", certificate)
            commands["server"] += [*tls, "--certificate", certificate, "--certificate-key", key]
        for name, street in self.streets.items():
            gate = street.options(self.folder / f"{name}-keys")
            own = {
                "north": f"{name}/site",
                "north.jws": str(self.folder / f"{name}-keys" / "m.jws"),
                "north-shards": str(street.shards),
            }
            patient = ("--reach-s", str(PATIENCE_S))
            small = ("--batch", "4", "--side", str(SIDE), "--workers", "0", "--hold-out", street.releases[1])
            commands[name] = [
                *(own.get(word, word) for word in site),
                *small,
                *patient,
                *tls,
                *gate,
                "--name",
                name,
            ]
        root = str(Path(__file__).parents[3])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        running = {
            name: subprocess.Popen(  # noqa: S603 (this interpreter on our own command)
                [
                    sys.executable,
                    "-m",
                    "gateway.cli",
                    "train",
                    *command,
                    "--wait-s",
                    str(PATIENCE_S),
                    "--json",
                ],
                env=environment,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, command in commands.items()
            if name in only
        }
        ended = {}
        try:
            for name, process in running.items():
                stdout, stderr = process.communicate(timeout=PATIENCE_S)
                assert stdout, (name, stderr)
                ended[name] = process.returncode, json.loads(stdout)
        finally:
            for process in running.values():
                process.kill()
                process.communicate()
        return ended


def certified_server(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private


def distance(before: Arrays, after: Arrays) -> float:
    return float(np.sqrt(sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))))


def listed(street: GatedStreet) -> dict[str, Any]:
    auditor = street.house.people["auditor"].actor
    found = release_lineage(street.gate, street.releases[0], actor=auditor)["artefacts"]
    return {each["artefact"]: each for each in found}


@needs_flower
@pytest.mark.timeout(1500)
def test_two_sites_train_one_detector_and_the_same_commands_go_on(
    streets: dict[str, GatedStreet], network: Path, tmp_path: Path
):
    federation = Federation(tmp_path, streets, network)
    weights = tmp_path / "weights"

    first = federation.run(2)

    assert {name: status for name, (status, _) in first.items()} == dict.fromkeys(first, 0), first
    server = first["server"][1]
    assert (server["rounds"], server["rounds_from_before"]) == (2, 0)
    assert [each["samples"] for each in server["history"]] == [2 * PICTURES] * 2
    rounds = [read_weights(weights / f"round-{number:04}.npz") for number in range(3)]
    assert [each.number for each in rounds] == [0, 1, 2]
    assert rounds[0].names == first_weights(str(network), ("car", "行人"), 0)[0]
    assert all(np.isfinite(array).all() for each in rounds for array in each.arrays)
    moved = [distance(before.arrays, after.arrays) for before, after in pairwise(rounds)]
    assert all(0 < each <= CLIP * 1.001 for each in moved), (
        "the mean of clipped updates is no longer than one"
    )
    for name, street in streets.items():
        answer = first[name][1]
        assert answer["left"] == 2
        assert [each["base"] for each in answer["updates"]] == [each.digest for each in rounds[:2]]
        assert all("metrics/mAP50-95(B)" in each["metrics"] for each in answer["updates"])
        known = listed(street)
        for update in answer["updates"]:
            stated = known[update["artefact"]]
            assert set(stated["derived_from"]["releases"]) == set(street.releases)
            (shards,) = stated["derived_from"]["artefacts"]
            assert known[shards]["kind"] == "data_set"
        assert len(SiteRecord(tmp_path / name / "site" / "updates.jsonl").entries()) == 2
        assert not list((tmp_path / name / "site").rglob("*.pt"))

    second = federation.run(3, certified=certified_server(tmp_path))

    assert {name: status for name, (status, _) in second.items()} == dict.fromkeys(second, 0), second
    assert (second["server"][1]["rounds"], second["server"][1]["rounds_from_before"]) == (3, 2)
    (update,) = second["north"][1]["updates"]
    assert (update["round"], update["base"]) == (3, rounds[2].digest)

    ending = streets["south"]
    revoke_release(ending.gate, ending.releases[0], actor=ending.house.people["officer"].actor)
    status, refused = federation.run(4, only=("south",))["south"]
    assert (status, refused["reason"]) in {(1, "denied"), (1, "no_grant"), (1, "release_ended")}
    assert last_weights(weights, rounds[0]).number == 3
    assert len(SiteRecord(tmp_path / "south" / "site" / "updates.jsonl").entries()) == 3


def test_a_site_waits_for_a_server_that_is_not_there_yet():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(TimeoutError, match=f"server {address}"):
        _await(address, 0.1)
    waiting = threading.Thread(target=_await, args=(address, 60.0))
    waiting.start()
    waiting.join(0.7)
    assert waiting.is_alive()
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        waiting.join(30)
        assert not waiting.is_alive()


def test_rounds_that_are_there_are_not_done_again_and_other_trainings_are_refused(
    tmp_path: Path, network: Path
):
    def serve(*more: str) -> tuple[int, Any]:
        asked = (
            *("train", "federated-server", "--out", str(tmp_path / "weights"), "--address", "127.0.0.1:1"),
            *("--flower-python", str(tmp_path / "none"), "--sites", "2", "--json", *more),
        )
        done = CliRunner().invoke(app, asked)
        return done.exit_code, json.loads(done.stdout) if done.exit_code < 2 else done.output

    start = beginning(("w",), [np.zeros(3, np.float32)], "a model")
    (tmp_path / "weights").mkdir()
    write_weights(tmp_path / "weights", start)
    begun = ("--weights", str(tmp_path / "weights" / "round-0000.npz"))
    status, answer = serve(*begun, "--rounds", "1")
    assert (status, answer["reason"]) == (1, "flower_failed")

    after = beginning(("w",), [np.ones(3, np.float32)], "a model")
    kept = type(start)(
        number=1, names=("w",), arrays=after.arrays, model="a model", begun=start.begun, sites=2
    )
    write_weights(tmp_path / "weights", kept)
    status, answer = serve(*begun, "--rounds", "1")
    assert (status, answer["rounds"], answer["digest"]) == (0, 1, kept.digest)

    write_weights(tmp_path, after)
    for named, more in (
        ("another training", ("--weights", str(tmp_path / "round-0000.npz"))),
        ("another training", ("--model", str(network), "--class", "car")),
    ):
        status, answer = serve(*more, "--rounds", "1")
        assert (status, answer["reason"]) == (1, "weights_unusable")
        assert named in answer["detail"]
    with alone_in(tmp_path / "weights"):
        held = subprocess.run(  # noqa: S603 (this interpreter on the lines above)
            [sys.executable, "-c", ENTERS, str(tmp_path / "weights")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
    assert "another process is at work here" in held.stderr

    for wrong in (
        ("--rounds", "1"),
        ("--rounds", "1", "--model", str(network)),
        ("--rounds", "1", *begun, "--class", "car"),
        ("--rounds", "1", *begun, "--root", "ca.pem"),
        ("--rounds", "2", *begun, "--address", "0.0.0.0:1"),
    ):
        assert serve(*wrong)[0] == 2, wrong


def test_files_of_weights_hold_numbers_and_say_what_is_wrong(tmp_path: Path):
    start = beginning(("a", "b"), [np.zeros((2, 3), np.float32), np.ones(4, np.float16)], "m")
    read = read_weights(write_weights(tmp_path, start))
    assert (read.number, read.names, read.model, read.begun) == (0, ("a", "b"), "m", digest_of(start.arrays))
    assert [array.dtype for array in read.arrays] == [np.float32, np.float16]
    with pytest.raises(WeightsError, match="got int64"):
        beginning(("a",), [np.zeros(2, np.int64)], "m")
    with pytest.raises(WeightsError, match="finite"):
        beginning(("a",), [np.array([np.nan], np.float32)], "m")
    with pytest.raises(WeightsError, match="at least one"):
        beginning((), [], "m")
    path = tmp_path / "x.npz"
    np.savez(path, head=np.array([{"a": 1}], object))
    for content in (path.read_bytes(), b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"x\.npz is no file of weights"):
            read_weights(path)
    write_weights(tmp_path, type(start)(number=2, names=("a",), arrays=start.arrays[:1], model="m", begun=""))
    with pytest.raises(WeightsError, match=r"got rounds \[0, 2\]"):
        last_weights(tmp_path, start)


def test_a_site_of_another_model_trains_nothing(tmp_path: Path):
    def train(_weights: Any, _number: int) -> Any:
        pytest.fail("it was trained")

    site = Site(
        name="north", client=None, manifest=TrainingManifest, train=train, clip=1.0,  # type: ignore[arg-type]
        record=tmp_path / "updates.jsonl", code="c", model="theirs",
    )  # fmt: skip
    with pytest.raises(UpdateError, match="got ours, expected theirs"):
        site.answer(1, [np.zeros(1, np.float32)], 10, "ours")
    assert not site.record.exists()
