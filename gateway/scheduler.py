"""Scheduled work in one process: retention, checkpoints, archive, stalled recordings. Jobs may be repeated."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from audit.errors import LedgerError
from audit.events import EventType
from audit.orphans import ORPHAN_AFTER
from audit.tiles import archive_tiles
from gateway.api.nonces import forget_nonces
from gateway.api.windows import forget_windows
from gateway.errors import ConfigurationError
from gateway.flow.acts import intended
from gateway.flow.closing import expire_candidates
from gateway.flow.disk import watch_disk
from gateway.flow.erase import expire_raw
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseState
from gateway.flow.records import GrantRow, JobRunRow, ReleaseRow
from gateway.intake_rotation import destroy_ended_intake_keys
from gateway.people.break_glass_reports import report_every_break_glass
from gateway.people.registry import GATE_ACTOR
from gateway.workers import advance, stalled

log = logging.getLogger(__name__)

Job = Callable[[Gate], Mapping[str, int]]
_ADVISORY_LOCK = 0x666C_7367
_MISFIRE_S = 3600


def retention(gate: Gate) -> Mapping[str, int]:
    """Delete raw originals past their term (rule 21); end grants of releases and candidates past theirs.

    Intake keys whose grace is over are destroyed, each with a certificate.

    What requests left in the state is deleted once it refuses nothing any more: spent nonces, counts.
    """
    originals = expire_raw(gate)
    now = gate.clock()
    with gate.database.transaction() as session:
        expired = sa.select(ReleaseRow.id).where(
            ReleaseRow.expires_at < now, ReleaseRow.state == ReleaseState.RELEASED
        )
        ended = session.execute(
            sa.update(GrantRow)
            .where(GrantRow.release_id.in_(expired), GrantRow.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        grants = int(getattr(ended, "rowcount", 0))
        forget_nonces(session, now)
        forget_windows(session, now)
    return {
        "originals": originals,
        "grants": grants,
        "candidates": expire_candidates(gate),
        "intake_keys": destroy_ended_intake_keys(gate),
    }


def checkpoint(gate: Gate) -> Mapping[str, int]:
    """Sign the ledger's present size and root, and have its witnesses cosign them."""
    gate.checkpoint()
    return {"size": gate.ledger.size}


def retry_stalled(gate: Gate) -> Mapping[str, int]:
    """Go on with recordings whose worker died, and with held ones that a certificate covers by now.

    One that cannot go on does not keep the others waiting. ``outside`` counts those that none covers yet.

    Raises:
        LedgerError: No ledger, no work.
    """
    waiting = stalled(gate)
    failed = outside = 0
    for recording in waiting:
        try:
            done = advance(gate, recording)
            outside += done is not None and done.outside is not None
        except LedgerError:
            raise
        except Exception:  # counted in the ledger's entry of this run; the recording stays where it is
            log.exception("recording %s stalls", recording)
            failed += 1
    return {"recordings": len(waiting), "failed": failed, "outside": outside}


def orphaned_intents(gate: Gate) -> Mapping[str, int]:
    """Count intents that nothing settled within a day; `fleetgate audit ask orphans` lists them as findings."""
    orphans = gate.ledger.orphan_intents(ORPHAN_AFTER)
    for entry in orphans:
        log.warning("entry %d: %s on %s has no outcome", entry.index, entry.event.type, entry.event.object)
    return {"orphans": len(orphans)}


def disk(gate: Gate) -> Mapping[str, int]:
    """Put an alarm into the ledger where a disk is low; hold the ledger's reserve again where it is not."""
    state = watch_disk(gate)
    return {"free_bytes": state.free_bytes, "low": int(state.low)}


def break_glass(gate: Gate) -> Mapping[str, int]:
    """Report what became of break-glass: its end, a review that is overdue, and what a crash kept back."""
    found = report_every_break_glass(gate)
    if found["overdue"]:
        log.warning("%d break-glass accesses were not reviewed in time", found["overdue"])
    return found


def archive(gate: Gate) -> Mapping[str, int]:
    """Bring the archive of tiles up to a fresh checkpoint, cosigned where there are witnesses.

    Raises:
        ConfigurationError: The settings name no archive.
        SignatureError: The directory holds the archive of another ledger.
        TileError: The archive is ahead of the ledger: the ledger was rolled back.
        LedgerCorruptError: The ledger does not extend its archive.
        OSError: The disk refused.
    """
    directory = gate.settings.archive_dir
    if directory is None:
        raise ConfigurationError("no archive (set FLEETGATE_ARCHIVE_DIR to a directory)")
    note = gate.checkpoint()
    try:
        archived = archive_tiles(gate.ledger, directory, note)
    except LedgerError as error:
        log.critical("the archive in %s is not that of this ledger as it stands: %s", directory, error)
        raise
    return {"entries": archived.size, "files": archived.written}


JOBS: Mapping[str, Job] = {
    "retention": retention,
    "checkpoint": checkpoint,
    "retry_stalled": retry_stalled,
    "orphaned_intents": orphaned_intents,
    "archive": archive,
    "disk": disk,
    "break_glass": break_glass,
}


def run_job(gate: Gate, name: str) -> Mapping[str, int]:
    """Run one job now and record it.

    Raises:
        KeyError: There is no such job.
        LedgerUnavailableError: No ledger, no work.
    """
    job = JOBS[name]
    event = intended(EventType.SCHEDULER_JOB_RUN, actor=GATE_ACTOR.id, object_id=name)
    with gate.ledger.intent(event) as intent:
        result = dict(job(gate))
        with gate.database.transaction() as session:
            session.merge(JobRunRow(name=name, finished_at=gate.clock(), result=result))
        intent.complete(facts=dict(result))
    return result


@contextmanager
def sole_scheduler(gate: Gate) -> Iterator[bool]:
    """Hold the one right to schedule for this gate; false where another process holds it."""
    if gate.database.engine.dialect.name == "postgresql":
        with gate.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Two gates may share a database in schemas of their own.
            key = (_ADVISORY_LOCK, sa.func.hashtext(sa.func.current_schema()))
            held = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(*key))))
            try:
                yield held
            finally:
                if held:
                    # The connection goes back to its pool alive, and the lock would go with it.
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(*key)))
        return
    lock = FileLock(gate.settings.home / "scheduler.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _guarded(gate: Gate, name: str) -> None:
    try:
        run_job(gate, name)
    except Exception:  # a job that fails is in the ledger as failed; the scheduler goes on with the others
        log.exception("job %s failed", name)


@contextmanager
def scheduled(gate: Gate) -> Iterator[bool]:
    """Run the jobs in the background for as long as the context lasts; false where another process does."""
    with sole_scheduler(gate) as sole:
        if not sole:
            yield False
            return
        scheduler = BackgroundScheduler(timezone="UTC")
        intervals = {
            "checkpoint": gate.settings.checkpoint_interval_s,
            "retry_stalled": gate.settings.sweep_interval_s,
            "retention": gate.settings.sweep_interval_s,
            "orphaned_intents": gate.settings.sweep_interval_s,
            "disk": gate.settings.sweep_interval_s,
            "break_glass": gate.settings.sweep_interval_s,
        }
        if gate.settings.archive_dir is not None:
            intervals["archive"] = gate.settings.archive_interval_s
        for name, seconds in intervals.items():
            scheduler.add_job(
                _guarded,
                "interval",
                args=(gate, name),
                id=name,
                seconds=seconds,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=_MISFIRE_S,
            )
        scheduler.start()
        try:
            yield True
        finally:
            scheduler.shutdown(wait=True)
