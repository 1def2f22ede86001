"""A real ledger on a real SQLite file or a real PostgreSQL, with a sealer that really seals."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import create_engine, text

from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables

NONCE_SIZE = 12


class SubjectSealer:
    """AES-256-GCM under one key per subject; ``destroy`` shreds the key."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        key = self.keys.setdefault(subject, AESGCM.generate_key(256))
        nonce = secrets.token_bytes(NONCE_SIZE)
        return nonce + AESGCM(key).encrypt(nonce, plaintext, subject.encode())

    def open(self, subject: str, sealed: bytes) -> bytes:
        return AESGCM(self.keys[subject]).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], subject.encode())

    def destroy(self, subject: str) -> None:
        del self.keys[subject]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Callable[[str], str]]:
    runtime = Path(tempfile.mkdtemp(prefix="fgpg"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pgserver  # noqa: PLC0415 - it reads XDG_RUNTIME_DIR when it is imported

    server = pgserver.get_server(Path(tempfile.mkdtemp(prefix="fgpg")), cleanup_mode="delete")
    admin = create_engine(_psycopg(server.get_uri()), isolation_level="AUTOCOMMIT")

    def schema(name: str) -> str:
        with admin.connect() as connection:
            connection.execute(text(f'CREATE SCHEMA "{name}"'))
        return f"{_psycopg(server.get_uri())}&application_name={name}&options=-csearch_path%3D{name}"

    yield schema
    admin.dispose()
    postmaster = server.get_postmaster_info().process
    postmaster.send_signal(
        signal.SIGQUIT
    )  # at once: a shutdown checkpoint of data that is deleted takes 10 s
    postmaster.wait()
    server.cleanup()
    shutil.rmtree(runtime)
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
    return schema(f"ledger_{secrets.token_hex(8)}")


@pytest.fixture
def signer() -> CheckpointSigner:
    return CheckpointSigner(bytes(range(32)), "fleetgate.test/ledger")


@pytest.fixture
def sealer() -> SubjectSealer:
    return SubjectSealer()


@pytest.fixture
def open_ledger(signer: CheckpointSigner, sealer: SubjectSealer) -> Iterator[Callable[..., Ledger]]:
    opened: list[Ledger] = []

    def _open(url: str, **changes: object) -> Ledger:
        engine = create_engine(url)
        try:
            create_tables(engine)
            ledger = Ledger(engine, **{"signer": signer, "sealer": sealer, **changes})
        except BaseException:
            engine.dispose()
            raise
        opened.append(ledger)
        return ledger

    yield _open
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(database_url: str, open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(database_url)


@pytest.fixture
def sqlite_ledger(tmp_path: Path, open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def make_event() -> Callable[..., Event]:
    def _event(**changes: object) -> Event:
        values = {
            "type": EventType.SERVE_ITEM_READ,
            "outcome": Outcome.COMPLETED,
            "actor": "engineer-1",
            "object": "item-1",
        }
        return Event(**{**values, **changes})

    return _event


def _psycopg(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)
