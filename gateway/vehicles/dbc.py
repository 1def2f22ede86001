"""Installed DBC files, which say what the frames of CAN logs mean; the highest version is in force."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from anonymize.can.database import load_database
from audit.events import EventType
from gateway.database import ReadSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.models.statements import digest_of
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.signed_files import SignedFile, completed, open_file, sign_file
from gateway.vault.jws import PrivateKey
from gateway.vehicles.records import DbcRow

INSTALL: Final = "dbc.install"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LARGEST_VERSION = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledDbc:
    """An installed DBC, its signature verified.

    Attributes:
        name: What it is called.
        version: Its version; the highest is in force.
        digest: SHA-256 of its content, hexadecimal.
        installed_by: Who signed.
        installed_at: When.
        content: The file.
    """

    name: str
    version: int
    digest: str
    installed_by: str
    installed_at: datetime
    content: bytes = field(repr=False)


def install_dbc(
    gate: Gate, content: bytes, *, name: str, version: int, actor: Actor, key: PrivateKey
) -> InstalledDbc:
    """Install a DBC under a compliance officer's signature; CAN logs are treated with it from then on.

    Installing the same file under the same name and version again changes nothing. An earlier content may come
    again under a higher version.

    Raises:
        ForbiddenError: The person is no compliance officer; the attempt is in the ledger.
        InvalidRequestError: Name or version are impossible.
        ProfileError: It is no DBC.
        ConflictError: Another file of this version, or one of a higher version, is installed.
    """
    permit(gate, actor, INSTALL, on=name)
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"a DBC has a name of letters, digits and _.- (got {name!r}, expected 1 to 64 characters)"
        )
    if not 1 <= version <= _LARGEST_VERSION:
        raise InvalidRequestError(f"a version is a number (got {version}, expected 1 to {_LARGEST_VERSION})")
    load_database(content)
    signed = sign_file(gate, content, act=INSTALL, says=_says(name, version), actor=actor, key=key)
    digests = {**actor.digests, "dbc": signed.digest, "statement": digest_of(signed.statement)}
    with recorded(
        gate,
        EventType.DBC_FILE_INSTALL,
        actor=actor.id,
        object_id=_object(name, version),
        digests=digests,
        facts={"version": version},
    ) as session:
        newest = session.scalar(sa.select(DbcRow).order_by(DbcRow.version.desc()).limit(1))
        same = newest is not None and (newest.version, newest.name, newest.digest) == (
            version,
            name,
            signed.digest,
        )
        if newest is not None and newest.version >= version and not same:
            raise ConflictError(f"DBC version {newest.version} is installed (got version {version})")
        if not same:
            session.add(
                DbcRow(
                    version=version,
                    name=name,
                    digest=signed.digest,
                    statement=signed.statement,
                    sealed=signed.sealed,
                    installed_by=actor.id,
                    installed_at=gate.clock(),
                )
            )
    return require_dbc(gate, signed.digest)


def dbc_in_force(gate: Gate) -> InstalledDbc | None:
    """The DBC of the highest version, verified; None where none was ever installed.

    Raises:
        EvidenceError: A row does not verify, or one that the ledger saw installed is missing.
        SealBrokenError: The sealed file was altered.
    """
    return next(iter(installed_dbcs(gate)), None)


def installed_dbcs(gate: Gate) -> tuple[InstalledDbc, ...]:
    """Every installed DBC, the one in force first, each verified.

    Raises:
        EvidenceError: A row does not verify, or one that the ledger saw installed is missing.
        SealBrokenError: A sealed file was altered.
    """
    installed = completed(gate.ledger, EventType.DBC_FILE_INSTALL)
    with gate.database.read() as session:
        rows = session.scalars(sa.select(DbcRow).order_by(DbcRow.version.desc())).all()
        found = tuple(_verified(gate, session, row) for row in rows)
    missing = installed - {_object(dbc.name, dbc.version) for dbc in found}
    if missing:
        raise EvidenceError(f"DBC files are missing from the registry (got none of {sorted(missing)})")
    return found


def require_dbc(gate: Gate, digest: str) -> InstalledDbc:
    """The DBC of a digest, in force or not: a log is checked with the one that it was treated with.

    Raises:
        EvidenceError: There is none, or the registry does not verify.
        SealBrokenError: A sealed file was altered.
    """
    for dbc in installed_dbcs(gate):
        if dbc.digest == digest:
            return dbc
    raise EvidenceError(f"no DBC of this digest is installed (got {digest})")


def _verified(gate: Gate, session: ReadSession, row: DbcRow) -> InstalledDbc:
    signed = SignedFile(
        digest=row.digest, statement=row.statement, sealed=row.sealed, signer=row.installed_by
    )
    content = open_file(
        gate,
        session,
        signed,
        act=INSTALL,
        says=_says(row.name, row.version),
        what=f"DBC {_object(row.name, row.version)}",
    )
    return InstalledDbc(
        name=row.name,
        version=row.version,
        digest=row.digest,
        installed_by=row.installed_by,
        installed_at=row.installed_at,
        content=content,
    )


def _says(name: str, version: int) -> dict[str, str]:
    return {"name": name, "version": str(version)}


def _object(name: str, version: int) -> str:
    return f"{name}@{version}"
