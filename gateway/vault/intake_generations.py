"""Generations of the intake key: which one vehicles seal to, and how long the ones before still open.

A generation is a statement in the keystore's directory ``intake``, written once: its number, since when it is the
current one, and until when the one before opens. The first needs none. A rotation takes effect with that file.
A key whose time is over may be destroyed; the record of that keeps its thumbprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from gateway.vault.destroyed import Destruction
from gateway.vault.durable import storage, sync_directory, write_once
from gateway.vault.errors import KeyExistsError, KeyUnavailableError, StatementError
from gateway.vault.intake_key import IntakeKey, secret_name
from gateway.vault.jws import sign_statement, thumbprint, verify_statement
from gateway.vault.keys import Keystore

GENERATION_TYPE: Final = "fleetgate-intake-generation+json"
_SIGNER: Final = "intake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An intake key and its time.

    Attributes:
        number: 1 for the first.
        since: From when on it is the current one; None for the first.
        until: When it stops opening; None for the current one.
    """

    number: int
    since: datetime | None
    until: datetime | None


def generations(keystore: Keystore) -> tuple[Generation, ...]:
    """Every generation, the current one last.

    1. The statements are numbered without a gap. 2. Each is signed by the gate's own key for them, and says its
    number.

    Raises:
        KeyUnavailableError: A step failed.
        StorageError: A statement cannot be read.
    """
    directory = keystore.path / "intake"
    said = []
    for number, path in enumerate(sorted(directory.glob("*.jws")), start=2):
        if path.name != _name(number):  # 1
            raise KeyUnavailableError(
                f"generation of the intake key (got {path.name}, expected {_name(number)})"
            )
        said.append(_verified(keystore, path, number))  # 2
    since = [None, *(datetime.fromisoformat(each["since"]) for each in said)]
    until = [*(datetime.fromisoformat(each["before_until"]) for each in said), None]
    return tuple(
        Generation(number=number, since=begun, until=ended)
        for number, (begun, ended) in enumerate(zip(since, until, strict=True), start=1)
    )


def current_key(keystore: Keystore) -> IntakeKey:
    """The key that vehicles seal to; errors as for :func:`generations`."""
    return IntakeKey(keystore, generations(keystore)[-1].number)


def accepted_keys(keystore: Keystore, now: datetime) -> tuple[IntakeKey, ...]:
    """The keys that still open at a moment (aware), the current one first; errors as for :func:`generations`."""
    living = [each.number for each in generations(keystore) if each.until is None or now < each.until]
    # A clock that went back brings no destroyed key back.
    kept = [number for number in living if keystore.secrets.destruction(secret_name(number)) is None]
    return tuple(IntakeKey(keystore, number) for number in reversed(kept))


def destroyed_keys(keystore: Keystore) -> dict[str, datetime]:
    """When each key that was destroyed after its grace was, by thumbprint; errors as for :func:`generations`."""
    records = [keystore.secrets.destruction(secret_name(each.number)) for each in generations(keystore)]
    return {_kid_of(record): record.time for record in records if record is not None}


def ended_generations(keystore: Keystore, now: datetime) -> tuple[Generation, ...]:
    """Those whose grace is over at a moment (aware), destroyed or not; errors as for :func:`generations`."""
    return tuple(each for each in generations(keystore) if each.until is not None and each.until <= now)


def destroy_ended_key(keystore: Keystore, generation: Generation, now: datetime) -> Destruction:
    """Destroy an intake key whose grace is over. Safe to repeat; a crash is finished when the keystore opens next.

    Raises:
        KeyUnavailableError: It is the current one, its grace is not over, or it does not open.
        StorageError: A step failed; call again.
    """
    if generation not in ended_generations(keystore, now):
        raise KeyUnavailableError(f"intake key still opens (got generation {generation.number})")
    # A thumbprint is a SHA-256 (RFC 7638); the ledger and certificates write such in hexadecimal.
    thumb = urlsafe_b64decode(_kid(keystore, generation.number).encode("ascii"))
    return keystore.secrets.destroy(secret_name(generation.number), fingerprint=thumb.hex())


def _kid(keystore: Keystore, number: int) -> str:
    record = keystore.secrets.destruction(secret_name(number))
    return IntakeKey(keystore, number).public.kid if record is None else _kid_of(record)


def _kid_of(record: Destruction) -> str:
    return urlsafe_b64encode(bytes.fromhex(record.fingerprint)).decode("ascii")


def rotate_intake_key(keystore: Keystore, *, now: datetime, grace: timedelta) -> Generation:
    """Make the next intake key the current one; the one before opens for the grace, older ones as was stated.

    1. The next key is durable. A crash after it leaves a key that nobody uses, and the next rotation takes.
    2. The statement is durable: from here on the next key is the current one.

    Raises:
        ValueError: The grace is negative.
        KeyExistsError: Another process rotated in the same moment.
        KeyUnavailableError: As for :func:`generations`.
        StorageError: It is not durable.
    """
    if grace < timedelta(0):
        raise ValueError(f"grace of an intake key (got {grace}, expected none or more)")
    number = generations(keystore)[-1].number + 1
    key = IntakeKey(keystore, number)  # 1
    signer = keystore.signing_key(_SIGNER)
    statement = sign_statement(
        signer,
        GENERATION_TYPE,
        thumbprint(signer),
        {
            "before_until": (now + grace).isoformat(),
            "kid": key.public.kid,
            "number": number,
            "since": now.isoformat(),
        },
    )
    directory = keystore.path / "intake"
    with storage("create directory", directory.name):
        directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(keystore.path)
    try:
        write_once(directory / _name(number), statement.encode("ascii"))  # 2
    except FileExistsError:
        raise KeyExistsError(f"the intake key was rotated meanwhile (generation {number} exists)") from None
    return generations(keystore)[-1]


def _name(number: int) -> str:
    return f"{number:06d}.jws"


def _verified(keystore: Keystore, path: Path, number: int) -> Mapping[str, Any]:
    with storage("read file", path.name):
        statement = path.read_text(encoding="ascii")
    try:
        said = verify_statement(statement, GENERATION_TYPE, keystore.signing_key(_SIGNER))
    except StatementError as error:
        raise KeyUnavailableError(f"generation {number} of the intake key: {error}") from error
    if said["number"] != number or said["kid"] != _kid(keystore, number):
        raise KeyUnavailableError(
            f"generation of the intake key (got number {said['number']}, key {said['kid']}, expected {number})"
        )
    return said
