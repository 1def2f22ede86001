"""A real ledger on a real SQLite file or a real PostgreSQL, with a sealer that really seals."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import create_engine

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
