"""The restricted-zone file in force, installed under a compliance officer's signature."""

import hashlib
from dataclasses import dataclass

import rfc8785
import sqlalchemy as sa

from anonymize.geo.zone_file import is_draft
from anonymize.geo.zones import ZoneSet
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.records import PersonRow, ZoneFileRow
from gateway.people.registry import ACT_TYPE, Actor
from gateway.signed_files import completed
from gateway.vault.errors import StatementError
from gateway.vault.jws import PrivateKey, public_key_of, sign_statement, thumbprint, verify_statement
from gateway.vault.values import open_value, seal_value

_INSTALL = "zones.install"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledZones:
    """The zone file in force, its signature verified."""

    zones: ZoneSet
    digest: str
    version: int


def _zone_context(digest: str) -> bytes:
    return rfc8785.dumps({"digest": digest, "role": "zones"})


def install_zones(gate: Gate, content: bytes, *, actor: Actor, key: PrivateKey) -> InstalledZones:
    """Install a restricted-zone file under a compliance officer's signature; the highest version is in force.

    Raises:
        ZoneFileError: The file is malformed.
        ActDeniedError: Policy refuses.
        InvalidRequestError: The file's name says that it is a draft.
        EvidenceError: The key is not the person's.
        ConflictError: Another file of this or a higher version is installed.
    """
    permit(gate, actor, "zones.install")
    zones = ZoneSet.from_geojson(content)
    if is_draft(zones.name):
        raise InvalidRequestError(
            f"a draft is reviewed and renamed before it is installed (got {zones.name!r})"
        )
    payload = {"act": _INSTALL, "digest": zones.digest, "person": actor.id, "version": zones.version}
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    sealed = seal_value(
        gate.keystore, kek_id=gate.gate_kek, context=_zone_context(zones.digest), plaintext=content
    )
    with recorded(
        gate,
        EventType.ZONES_FILE_INSTALL,
        actor=actor.id,
        object_id=zones.digest,
        digests={
            **actor.digests,
            "statement": hashlib.sha256(statement.encode()).hexdigest(),
            "zones": zones.digest,
        },
        facts={"version": zones.version},
    ) as session:
        _require_signature(session, statement, signer=actor.id, digest=zones.digest, version=zones.version)
        newest = session.scalar(sa.select(sa.func.max(ZoneFileRow.version)))
        present = session.get(ZoneFileRow, zones.digest)
        if present is None and newest is not None and newest >= zones.version:
            raise ConflictError(f"zone file version {newest} is installed (got version {zones.version})")
        if present is None:
            session.add(
                ZoneFileRow(
                    digest=zones.digest,
                    version=zones.version,
                    statement=statement,
                    sealed=sealed,
                    installed_by=actor.id,
                    installed_at=gate.clock(),
                )
            )
    return InstalledZones(zones=zones, digest=zones.digest, version=zones.version)


def zones_in_force(gate: Gate, session: ReadSession | WriteSession) -> InstalledZones | None:
    """The zone file of the highest version, verified; None where none was ever installed.

    1. No file is missing that the ledger saw installed. 2. The seal opens. 3. The content has the recorded digest.
    4. The statement is signed by the key of the person who installed it, and names this digest and version.

    Raises:
        EvidenceError: Any step fails; cleansing stops.
    """
    _require_all(gate)  # step 1
    row = session.scalar(sa.select(ZoneFileRow).order_by(ZoneFileRow.version.desc()).limit(1))
    if row is None:
        return None
    content = open_value(  # step 2
        gate.keystore, kek_id=gate.gate_kek, context=_zone_context(row.digest), sealed=row.sealed
    )
    zones = ZoneSet.from_geojson(content)
    if zones.digest != row.digest:  # step 3
        raise EvidenceError(f"zone file has digest {zones.digest} (expected {row.digest})")
    _require_signature(  # step 4
        session, row.statement, signer=row.installed_by, digest=row.digest, version=row.version
    )
    return InstalledZones(zones=zones, digest=row.digest, version=row.version)


def _require_all(gate: Gate) -> None:
    """A row says nothing of one that was deleted, with which zones of an older file would come into force."""
    installed = completed(gate.ledger, EventType.ZONES_FILE_INSTALL)
    # A session of its own: the caller's may see the database as it was before the ledger was asked.
    with gate.database.read() as session:
        missing = installed - set(session.scalars(sa.select(ZoneFileRow.digest)))
    if missing:
        raise EvidenceError(
            f"zone files are missing from the registry (got none of {sorted(missing)}, expected every one that "
            "the ledger saw installed)"
        )


def _require_signature(
    session: ReadSession | WriteSession, statement: str, *, signer: str, digest: str, version: int
) -> None:
    installer = session.get(PersonRow, signer)
    if installer is None:
        raise EvidenceError(f"zone file was installed by nobody enrolled (got {signer!r})")
    try:
        payload = verify_statement(statement, ACT_TYPE, public_key_of(installer.public_jwk))
    except StatementError as error:
        raise EvidenceError(f"zone file's signature does not verify: {error}") from error
    if (payload.get("act"), payload.get("digest"), payload.get("version")) != (_INSTALL, digest, version):
        raise EvidenceError(f"zone file's signature is for another file (got {payload.get('digest')!r})")
