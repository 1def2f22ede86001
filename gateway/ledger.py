"""The gate's ledger: which key signs its checkpoints, what seals its detail, and through whom entries go."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import rfc8785
import sqlalchemy as sa

from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerUnavailableError
from audit.ledger import Ledger
from audit.reserve import SpaceReserve
from audit.sequenced_writer import SequencedWriter
from audit.sm2_line import Sm2Line
from audit.tables import create_tables
from gateway.settings import Settings
from gateway.vault.keys import Keystore
from gateway.vault.suites import SM2SM3
from gateway.vault.values import open_value, seal_value


class Through(StrEnum):
    """Through whom a process appends.

    Attributes:
        OWN: A writer of its own, for the sequencer alone.
        SEQUENCER: The sequencer, which must be there.
        EITHER: The sequencer where one runs beside it, else a writer of its own.
    """

    OWN = "own"
    SEQUENCER = "sequencer"
    EITHER = "either"


class KeystoreSealer:
    """Seals ledger detail per subject, each under a key of its own (law 9)."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def _context(self, subject: str) -> bytes:
        return rfc8785.dumps({"owner": subject, "role": "ledger-detail"})

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        """Seal detail of a subject."""
        kek = f"sub-{subject}"
        self._keystore.ensure_kek(kek)
        return seal_value(self._keystore, kek_id=kek, context=self._context(subject), plaintext=plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        """Open detail of a subject."""
        return open_value(
            self._keystore, kek_id=f"sub-{subject}", context=self._context(subject), sealed=sealed
        )


def sequencer_socket(settings: Settings) -> Path:
    """Where the sequencer of a gate listens, if it has one."""
    return settings.home / "run" / "sequencer.sock"


@contextmanager
def opened_ledger(
    settings: Settings, keystore: Keystore, clock: Callable[[], datetime], through: Through = Through.EITHER
) -> Iterator[Ledger]:
    """The ledger that the settings name, its tail verified.

    Raises:
        LedgerCorruptError: The tail does not verify.
        LedgerUnavailableError: There must be a sequencer and is none, or it is another user's or another ledger's.
    """
    engine = sa.create_engine(settings.audit_url)
    try:
        create_tables(engine)
        beside = None
        if keystore.suite.signature == SM2SM3:
            key = keystore.sm2_key("ledger")
            beside = Sm2Line(name=f"{settings.origin}/sm2", point=key.public_key.point, sign=key.sign)
        signer = CheckpointSigner(keystore.seed("ledger"), settings.origin, beside=beside)
        reserve = None
        if engine.dialect.name == "sqlite":
            reserve = SpaceReserve(Path(f"{engine.url.database}.reserve"), settings.disk_reserve_bytes)
            if shutil.disk_usage(reserve.path.parent).free >= settings.disk_low_bytes:
                reserve.hold()
        sealer = KeystoreSealer(keystore)
        sequencer = None if through is Through.OWN else _sequencer(settings, signer.vkey, through)
        try:
            ledger = Ledger(
                engine, signer=signer, sealer=sealer, clock=clock, reserve=reserve, sequencer=sequencer
            )
        except BaseException:
            if sequencer is not None:
                sequencer.close()
            raise
        try:
            yield ledger
        finally:
            ledger.close()
    finally:
        engine.dispose()


def _sequencer(settings: Settings, vkey: str, through: Through) -> SequencedWriter | None:
    """The way to the sequencer; none where nobody listens and nobody must."""
    try:
        return SequencedWriter(sequencer_socket(settings), vkey)
    except LedgerUnavailableError as error:
        if through is Through.EITHER and isinstance(
            error.__cause__, FileNotFoundError | ConnectionRefusedError
        ):
            return None
        raise
