"""The restricted-zone file in force, installed under a compliance officer's signature."""

import hashlib
from dataclasses import dataclass

import rfc8785
import sqlalchemy as sa
from joserfc.jwk import OKPKey

from anonymize.geo.zone_file import is_draft
from anonymize.geo.zones import ZoneSet
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.people.records import PersonRow, ZoneFileRow
from gateway.people.registry import ACT_TYPE, Actor
from gateway.vault.errors import StatementError
from gateway.vault.jws import public_key_of, sign_statement, thumbprint, verify_statement
from gateway.vault.values import open_value, seal_value


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledZones:
    """The zone file in force, its signature verified."""

    zones: ZoneSet
    digest: str
    version: int


def _zone_context(digest: str) -> bytes:
    return rfc8785.dumps({"digest": digest, "role": "zones"})


def install_zones(gate: Gate, content: bytes, *, actor: Actor, key: OKPKey) -> InstalledZones:
    """Install a restricted-zone file under a compliance officer's signature; the highest version is in force.

    Raises:
        ZoneFileError: The file is malformed.
        InvalidRequestError: The person is no compliance officer, or the file's name says that it is a draft.
        ConflictError: Another file of this or a higher version is installed.
    """
    if "compliance_officer" not in actor.roles:
        raise InvalidRequestError(f"only a compliance officer installs zones (got roles {actor.roles})")
    zones = ZoneSet.from_geojson(content)
    if is_draft(zones.name):
        raise InvalidRequestError(
            f"a draft is reviewed and renamed before it is installed (got {zones.name!r})"
        )
    payload = {"act": "zones.install", "digest": zones.digest, "person": actor.id, "version": zones.version}
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
    """The zone file of the highest version, verified.

    1. The seal opens. 2. The content has the recorded digest. 3. The statement is signed by the key of the
    person who installed it. 4. The statement names this digest and version.

    Raises:
        EvidenceError: Any step fails; cleansing stops.
    """
    row = session.scalar(sa.select(ZoneFileRow).order_by(ZoneFileRow.version.desc()).limit(1))
    if row is None:
        return None
    content = open_value(  # step 1
        gate.keystore, kek_id=gate.gate_kek, context=_zone_context(row.digest), sealed=row.sealed
    )
    zones = ZoneSet.from_geojson(content)
    if zones.digest != row.digest:  # step 2
        raise EvidenceError(f"zone file has digest {zones.digest} (expected {row.digest})")
    installer = session.get(PersonRow, row.installed_by)
    if installer is None:
        raise EvidenceError(f"zone file was installed by nobody enrolled (got {row.installed_by!r})")
    try:  # step 3
        payload = verify_statement(row.statement, ACT_TYPE, public_key_of(installer.public_jwk))
    except StatementError as error:
        raise EvidenceError(f"zone file's signature does not verify: {error}") from error
    if (payload.get("digest"), payload.get("version")) != (row.digest, row.version):  # step 4
        raise EvidenceError(f"zone file's signature is for another file (got {payload.get('digest')!r})")
    return InstalledZones(zones=zones, digest=row.digest, version=row.version)
