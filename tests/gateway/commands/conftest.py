"""The ``fleetgate`` command over a home of its own; most tests run it in this process."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from audit.leaf import Entry
from audit.snapshot import open_snapshot
from gateway.cli import app
from gateway.flow.recording import DataClass, Level
from gateway.settings import Settings
from gateway.vault.key_files import save_private_key
from gateway.vault.root import Argon2Cost
from simulators import PASSPHRASE, START, UNIT, House, csv_track, sweep

REGION = "110108"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Cli:
    """A home directory, the keys of its people, and the command."""

    home: Path
    keys: Path
    house: House | None = None
    people: dict[str, str] = field(default_factory=dict)

    @property
    def passphrase_file(self) -> Path:
        return self.keys / "passphrase"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FLEETGATE_HOME": str(self.home),
            "FLEETGATE_PASSPHRASE_FILE": str(self.passphrase_file),
        }

    def run(self, *arguments: object) -> Answer:
        result = CliRunner().invoke(app, [str(a) for a in arguments], env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(code=result.exit_code, out=result.stdout, err=result.stderr)

    def proof(self, person: str) -> list[object]:
        """The options by which a person proves who they are."""
        key = self.keys / f"{person}.pem"
        return ["--as", person, "--key", key, "--key-passphrase-file", self.passphrase_file]

    def act(self, person: str, *arguments: object) -> Answer:
        return self.run(*arguments, *self.proof(person), "--json")

    def did(self, person: str, *arguments: object) -> dict[str, Any]:
        answer = self.act(person, *arguments)
        assert answer.code == 0, answer
        return answer.document

    def new_key(self, person: str) -> Path:
        """Make a key by the command; returns the file with the public half."""
        answer = self.run(
            "key", "new", self.keys / f"{person}.pem", "--key-passphrase-file", self.passphrase_file, "--json"
        )
        assert answer.code == 0, answer
        file = self.keys / f"{person}.jwk"
        file.write_text(answer.document["public_key"])
        return file

    def entries(self) -> list[Entry]:
        engine = sa.create_engine(Settings(home=self.home).audit_url)
        with open_snapshot(engine) as snapshot:
            entries = list(snapshot.entries(0, snapshot.size))
        engine.dispose()
        return entries


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    folder = tmp_path_factory.mktemp("cli")
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    (keys / "passphrase").write_text("a passphrase of this test alone\n")
    (keys / "passphrase").chmod(0o600)
    (keys / "wrong").write_text("not the passphrase\n")
    return Cli(home=folder / "home", keys=keys)


PEOPLE = {
    "admin": ["administrator"],
    "officer": ["compliance_officer"],
    "submitter": ["operator"],
    "first": ["operator"],
    "second": ["operator"],
    "auditor": ["auditor"],
}


@pytest.fixture(scope="module")
def furnished(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A gate that was set up by commands alone."""
    folder = tmp_path_factory.mktemp("documents")
    assert cli.run("init", "--json").code == 0
    for person, roles in PEOPLE.items():
        options: list[object] = [o for role in roles for o in ("--role", role)]
        arguments = ["person", "add", person, "--public-key", cli.new_key(person), *options]
        answer = cli.run(*arguments, "--json") if person == "admin" else cli.act("admin", *arguments)
        assert answer.code == 0, answer
    cli.did("admin", "recipient", "add", "team", "--country", "CN", "--contract", "C-1")
    cli.did("admin", "purpose", "add", "training", "--assessment", "PIA-1")
    engineer = ["--public-key", cli.new_key("engineer"), "--role", "engineer", "--recipient", "team"]
    cli.did("admin", "person", "add", "engineer", *engineer)
    (folder / "certificate.pdf").write_bytes(b"%PDF-1.7 scan")
    certificate = ["--kind", "navigation_map", "--grade", "A", "--holder", UNIT]
    certificate += ["--region", "11", "--valid-from", "2020-01-01"]
    certificate += ["--valid-to", "2090-01-01", "--document", str(folder / "certificate.pdf")]
    cli.did("officer", "certificate", "add", "甲测资字1100001", *certificate)
    contract = ["--number", "C-1", "--purpose", "training", "--valid-from", "2020-01-01"]
    contract += ["--valid-to", "2090-01-01", "--document", str(folder / "certificate.pdf")]
    cli.did("officer", "recipient", "contract", "team", *contract)
    report = ["--inspector", "officer", "--document", str(folder / "certificate.pdf")]
    cli.did("officer", "recipient", "supervise", "team", *report)
    covered = [o for each in DataClass for o in ("--class", each.value)]
    covered += [o for each in Level for o in ("--level", each.name)]
    for kind in ("pia", "provision"):
        assessment = ["--kind", kind, "--reference", kind, "--made-on", "2020-01-01", *covered]
        assessment += ["--valid-until", "2090-01-01", "--document", str(folder / "certificate.pdf")]
        cli.did("officer", "purpose", "assess", "training", *assessment)
    (folder / "zones.geojson").write_text(
        '{"type": "FeatureCollection", "name": "none", "version": 1, "features": []}'
    )
    cli.did("officer", "zones", "install", folder / "zones.geojson")
    return cli


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A gate furnished in this process, whose passphrase is stretched no more than it must; for many commands.

    Nobody holds its keystore: a rotation of the root key wants it alone.
    """
    return replace(_furnished(tmp_path_factory), house=None)


@pytest.fixture(scope="module")
def housed(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The same, with its house, so that a test can act in it beside the commands."""
    return _furnished(tmp_path_factory)


def _furnished(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    folder = tmp_path_factory.mktemp("quick")
    cost = Argon2Cost(memory_kib=19456, iterations=2, lanes=1)
    house = House(home=folder / "home", argon2=cost)
    cli = Cli(home=house.home, keys=folder, house=house)
    cli.passphrase_file.write_text(PASSPHRASE)
    cli.passphrase_file.chmod(0o600)
    with house.opened() as gate:
        house.furnish(gate)
    for name, person in house.people.items():
        save_private_key(person.key, folder / f"{name}.pem", PASSPHRASE)
    return cli


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drive without images, and a file that nobody understands."""
    folder = tmp_path_factory.mktemp("disk")
    files = {
        "drive.csv": csv_track(),
        "lidar/0.bin": sweep(),
        "notes.txt": "电话13800138000\n".encode(),
        "radar.raw": bytes(range(64)),
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (START.timestamp(), START.timestamp()))
    return folder
