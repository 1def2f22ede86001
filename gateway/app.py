"""The composition root: opens keystore, databases, ledger, vault and policy engine, and makes one gate of them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from anonymize.profile import shipped_profile
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from gateway.api.nonces import begin_epoch
from gateway.database import Database, WriteSession, create_engine
from gateway.dossier import records as _dossier_tables  # noqa: F401 (registers tables)
from gateway.errors import ConfigurationError, NotInitialisedError
from gateway.flow import records as _flow_tables  # noqa: F401 (registers tables)
from gateway.flow.gate import Gate, Instruments
from gateway.flow.logged import require_admitted_log
from gateway.key_provider import provider_of
from gateway.ledger import Through, opened_ledger
from gateway.models.in_use import ModelsInUse
from gateway.opa import opa_engine
from gateway.people.policy_in_force import InForce, bundle_in_force, shipped_files, store_files
from gateway.people.policy_statement import is_in_force, sign_policy
from gateway.people.records import GateSecretRow, PolicyStatementRow
from gateway.settings import Settings
from gateway.vault.blobs import Blobs, LocalBlobs
from gateway.vault.jws import public_jwk, read_unverified_algorithm
from gateway.vault.keys import Keystore
from gateway.vault.store import Vault
from gateway.vault.suites import suite_by_name
from gateway.witnessing import witnessed
from policies.bundle import VerifiedBundle, shipped_bundle
from policies.drafts import shipped_draft
from policies.embedded import EmbeddedEngine
from policies.engine import Engine, start_engine
from policies.errors import PolicyError

GATE_KEK = "gate"
POLICY_PERIOD = timedelta(days=365)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Aware UTC time."""
    return datetime.now(UTC)


def keystore_path(settings: Settings) -> Path:
    """Where the keystore lies."""
    return settings.home / "keystore"


def initialise(settings: Settings, *, keystore: Keystore | None = None, clock: Clock = utc_now) -> None:
    """Make a gate: keystore, databases, gate key and a signed statement that puts the shipped policy into force.

    Safe to repeat: what exists is kept.

    Raises:
        ConfigurationError: The keystore was opened in another suite than the setting's.
        KeyUnavailableError: The key provider refuses.
        PassphraseError: A keystore exists and the passphrase does not open it.
        StorageError: The disk refused.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if keystore is None:
        provider, suite = provider_of(settings), suite_by_name(settings.suite)
        path = keystore_path(settings)
        keystore = (
            Keystore.open(path, provider, suite=suite)
            if Keystore.exists(path)
            else Keystore.create(path, provider, suite=suite)
        )
    _check_suite(settings, keystore)
    database = Database(create_engine(settings.state_url))
    database.migrate()
    keystore.ensure_kek(GATE_KEK)
    with opened_ledger(settings, keystore, clock) as ledger, database.transaction() as session:
        if session.get(GateSecretRow, 1) is None:
            ledger.append(
                Event(
                    type=EventType.SYSTEM_GATEWAY_INIT,
                    outcome=Outcome.COMPLETED,
                    actor="gate",
                    object=settings.origin,
                )
            )
            session.add(GateSecretRow(id=1, kek_id=GATE_KEK, initialised_at=clock()))
            begin_epoch(session, clock())
        _put_shipped_bundle_into_force(session, ledger, keystore, clock())
        # From the first checkpoint on, another key in the ledger key's place stops the next start (law 5).
        ledger.checkpoint()
    database.dispose()


def _put_shipped_bundle_into_force(
    session: WriteSession, ledger: Ledger, keystore: Keystore, now: datetime
) -> None:
    """State the shipped bundle unless a statement for it is in force; an operator's own stays before it."""
    bundle = shipped_bundle()
    store_files(session, keystore, shipped_files(), kek=GATE_KEK, now=now)
    known = sa.select(PolicyStatementRow).where(
        PolicyStatementRow.bundle_digest == bundle.digest, PolicyStatementRow.proposal.is_(None)
    )
    newest = session.scalar(known.order_by(PolicyStatementRow.id.desc()).limit(1))
    if newest is not None and is_in_force(keystore, bundle, newest.statement, now):
        return
    begin, end = now - timedelta(minutes=5), now + POLICY_PERIOD
    statement = sign_policy(keystore, bundle, not_before=begin, not_after=end)
    ledger.append(
        Event(
            type=EventType.POLICY_BUNDLE_INSTALL,
            outcome=Outcome.COMPLETED,
            actor="gate",
            object=bundle.digest,
            digests={"bundle": bundle.digest},
        )
    )
    session.add(PolicyStatementRow(bundle_digest=bundle.digest, statement=statement, installed_at=now))


def open_keystore(settings: Settings) -> Keystore:
    """The keystore of a gate that was made.

    Raises:
        NotInitialisedError: ``fleetgate init`` was not run.
        KeyUnavailableError: The key provider refuses.
        PassphraseError: The passphrase does not open it.
    """
    if not keystore_path(settings).is_dir():
        raise NotInitialisedError(f"no gate in {settings.home} (run: fleetgate init)")
    return Keystore.open(keystore_path(settings), provider_of(settings), suite=suite_by_name(settings.suite))


@contextmanager
def open_gate(
    settings: Settings,
    *,
    keystore: Keystore | None = None,
    clock: Clock = utc_now,
    repairing_policy: bool = False,
    through: Through = Through.EITHER,
) -> Iterator[Gate]:
    """Open a gate and close it again.

    1. The keystore opens. 2. The databases are there at the newest schema. 3. The ledger has entries, its tail
    verifies, and its witnesses have seen no other tree and none that is larger: through a sequencer it asks them.
    4. A signed statement puts the installed policy bundle into force now. 5. The engine answers every golden
    vector as written. 6. Policy admits the form of the ledger's entries (rule 28). Any failure stops start-up; but
    with ``repairing_policy`` a failure of step 4 opens a gate that denies everything (rule 1), so that a bundle
    that is over can be replaced.

    Raises:
        NotInitialisedError: ``fleetgate init`` was not run.
        ConfigurationError: The keystore was opened in another suite than the setting's.
        KeyUnavailableError: The key provider refuses.
        LedgerCorruptError: The ledger's tail does not verify, or it was rolled back.
        LedgerUnavailableError: Entries must go through a sequencer, and there is none that takes them.
        WitnessError: No quorum of witnesses cosigned within the grace.
        BundleError: No statement, or none in force, for the installed bundle.
        VectorMismatchError: The engine judges a golden vector differently.
        DeniedError: Entries could hold what policy keeps out of logs.
    """
    if keystore is None:
        keystore = open_keystore(settings)  # step 1
    _check_suite(settings, keystore)
    database = Database(create_engine(settings.state_url))
    try:
        database.migrate()  # step 2
        with opened_ledger(settings, keystore, clock, through) as ledger:  # step 3
            if not ledger.size:
                raise NotInitialisedError(f"the ledger is empty (got 0 entries in {settings.origin})")
            cosigning = witnessed(settings, ledger, clock)
            standing = _bundle_in_force(  # step 4
                database, ledger, keystore, clock, repairing=repairing_policy
            )
            engine = _start_engine(settings, standing, repairing=repairing_policy)  # step 5
            try:
                profile = shipped_profile(settings.profile)
                gate = Gate(
                    settings=settings,
                    database=database,
                    ledger=ledger,
                    keystore=keystore,
                    vault=Vault(open_blobs(settings), keystore),
                    engine=engine,
                    bundle=standing.verified,
                    profile=profile,
                    instruments=Instruments(settings, profile.profile, ModelsInUse(database, ledger)),
                    clock=clock,
                    gate_kek=GATE_KEK,
                    cosigning=cosigning,
                )
                if not repairing_policy:
                    require_admitted_log(gate)  # step 6
                yield gate
            finally:
                engine.close()
    finally:
        database.dispose()


def _check_suite(settings: Settings, keystore: Keystore) -> None:
    if keystore.suite.name != settings.suite:
        raise ConfigurationError(
            f"suite of the keystore (got {keystore.suite.name}, expected {settings.suite})"
        )


def _bundle_in_force(
    database: Database, ledger: Ledger, keystore: Keystore, clock: Clock, *, repairing: bool
) -> InForce:
    try:
        return bundle_in_force(database, ledger, keystore, kek=GATE_KEK, clock=clock)
    except (ConfigurationError, PolicyError):
        if not repairing:
            raise
    # Rule 1 denies whatever is asked under it: its period is empty.
    draft, never = shipped_draft(), datetime(1970, 1, 1, tzinfo=UTC)
    none = VerifiedBundle(bundle=draft.bundle, signer="nobody", not_before=never, not_after=never)
    return InForce(verified=none, draft=draft)


def _start_engine(settings: Settings, standing: InForce, *, repairing: bool) -> Engine:
    bundle, vectors = standing.draft.bundle, standing.draft.vectors()
    if settings.opa_url is None or repairing:
        return start_engine(EmbeddedEngine(bundle), vectors)
    return start_engine(opa_engine(settings, settings.opa_url, bundle), vectors)


def open_blobs(settings: Settings) -> Blobs:
    """The store of sealed files that the settings choose.

    Raises:
        ConfigurationError: The URL, the CA file or the credentials are none, or the extra ``s3`` is not installed.
        StorageError: The directory or the bucket cannot be used.
    """
    url = urlsplit(settings.objects_url or (settings.home / "objects").absolute().as_uri())
    if url.scheme == "file" and not url.netloc and url.path:
        return LocalBlobs(Path(unquote(url.path)))
    if url.scheme != "s3":
        raise ConfigurationError(
            f"objects_url (got {settings.objects_url!r}, expected s3://bucket/prefix or file:///path)"
        )
    try:
        # The extra brings a library that most gates do without.
        from gateway.vault.s3 import S3Blobs  # noqa: PLC0415
        from gateway.vault.s3_place import credentials_of, place_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"objects_url is in S3 and {error.name} is not installed (expected: pip install 'fleetgate[s3]')"
        ) from error
    ca = settings.objects_ca_file
    try:
        place = place_of(
            settings.objects_url or "",
            endpoint=settings.objects_endpoint,
            region=settings.objects_region,
            ca_pem=None if ca is None else ca.read_bytes(),
            timeout_s=settings.objects_timeout_s,
            virtual_hosted=settings.objects_virtual_hosted,
        )
        return S3Blobs(place, credentials_of(os.environ))
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"object store: {error}") from error


def release_public_jwk(gate: Gate, statement: str | None = None) -> str:
    """The public key that recipients pin, as JWK JSON: the suite's, or the one that a statement claims.

    Raises:
        StatementError: The statement names no algorithm, or one that this gate never signed by.
    """
    if statement is None:
        return json.dumps(public_jwk(gate.keystore.statement_key("release")), sort_keys=True)
    key = gate.keystore.verifying_key("release", read_unverified_algorithm(statement))
    return json.dumps(public_jwk(key), sort_keys=True)
