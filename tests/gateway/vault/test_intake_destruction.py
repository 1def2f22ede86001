"""An intake key whose grace is over is destroyed: nothing opens what was sealed to it any more (law 9)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.vault.errors import KeyDestroyedError, KeyUnavailableError
from gateway.vault.intake_generations import (
    accepted_keys,
    current_key,
    destroy_ended_key,
    destroyed_keys,
    ended_generations,
    generations,
    rotate_intake_key,
)
from gateway.vault.intake_key import IntakeKey
from gateway.vault.keys import Keystore
from gateway.vehicles.errors import SealedDeliveryError
from gateway.vehicles.outbox import open_manifest
from gateway.vehicles.sealing import manifest_info

PASSPHRASE = "correct horse 电池"
Killed = Callable[[int, Callable[[], bytes]], tuple[bool, bytes]]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
GRACE = timedelta(days=30)
OVER = NOW + GRACE


def reopened(home: Path) -> Keystore:
    return Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)


def key_file(home: Path) -> Path:
    return home / "keystore" / "secret" / "secret.intake.key"


def test_a_key_is_destroyed_after_its_grace_and_not_before(keystore: Keystore, home: Path) -> None:
    first = current_key(keystore).public
    sealed = first.seal(b"signed.statement.here", manifest_info(first.kid))
    rotate_intake_key(keystore, now=NOW, grace=GRACE)
    elsewhere = reopened(home)
    assert IntakeKey(elsewhere).public.kid == first.kid  # held in its memory
    before = OVER - timedelta(microseconds=1)
    assert ended_generations(keystore, before) == ()
    for generation in generations(keystore):
        with pytest.raises(KeyUnavailableError, match="still opens"):
            destroy_ended_key(keystore, generation, before)
    assert open_manifest(sealed, *accepted_keys(keystore, before)) == "signed.statement.here"
    assert destroyed_keys(keystore) == {}

    (ended,) = ended_generations(keystore, OVER)
    done = destroy_ended_key(keystore, ended, OVER)
    assert destroy_ended_key(keystore, ended, OVER) == done
    assert not key_file(home).exists()
    for each in (keystore, elsewhere, reopened(home)):
        with pytest.raises(KeyDestroyedError):
            IntakeKey(each)
        assert destroyed_keys(each) == {first.kid: done.time}
        assert [g.number for g in generations(each)] == [1, 2]
        # Not even under a clock that went back.
        assert [key.public.kid for key in accepted_keys(each, before)] == [current_key(each).public.kid]
        with pytest.raises(
            SealedDeliveryError, match=rf"{first.kid}, destroyed after its grace at {done.time:%Y}"
        ):
            open_manifest(sealed, *accepted_keys(each, OVER), destroyed=destroyed_keys(each))
    assert not key_file(home).exists()

    rotate_intake_key(keystore, now=OVER, grace=timedelta(0))
    second = generations(keystore)[1]
    destroy_ended_key(keystore, second, OVER)
    assert len(destroyed_keys(reopened(home))) == 2
    assert [g.number for g in generations(reopened(home))] == [1, 2, 3]


@pytest.mark.usefixtures("keystore")
def test_a_destruction_killed_at_every_step(home: Path, killed_at: Killed) -> None:
    """Acknowledged is destroyed; otherwise the key opens, or it is gone as a whole once the keystore is opened."""
    for step in range(1, 60):
        again = reopened(home)
        rotate_intake_key(again, now=NOW, grace=timedelta(0))
        ended = ended_generations(again, NOW)[-1]
        kid = IntakeKey(again, ended.number).public.kid

        def work(keystore: Keystore = again, ended: object = ended) -> bytes:
            return destroy_ended_key(keystore, ended, NOW).fingerprint.encode()  # type: ignore[arg-type]

        killed, acknowledged = killed_at(step, work)
        after = reopened(home)
        assert len(generations(after)) == ended.number + 1
        left = after.path / "secret" / f"secret.intake{f'-{ended.number}' if ended.number > 1 else ''}.key"
        if kid in destroyed_keys(after):
            assert not left.exists()
        else:
            assert not acknowledged
            assert IntakeKey(after, ended.number).public.kid == kid
        destroy_ended_key(after, ended, NOW)
        assert kid in destroyed_keys(after)
        assert not left.exists()
        if not killed:
            assert acknowledged
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 5
    assert not list((home / "keystore").rglob("*.tmp"))


def test_what_was_never_made_is_not_destroyed_and_a_malformed_record_stops(
    keystore: Keystore, home: Path
) -> None:
    with pytest.raises(KeyUnavailableError, match="no secret"):
        keystore.secrets.destroy("nothing", fingerprint="00")
    assert keystore.secrets.destruction("nothing") is None
    rotate_intake_key(keystore, now=NOW, grace=timedelta(0))
    (ended,) = ended_generations(keystore, NOW)
    destroy_ended_key(keystore, ended, NOW)
    tombstone = key_file(home).with_suffix(".destroyed")
    tombstone.write_text("{}")
    with pytest.raises(KeyUnavailableError, match="malformed"):
        destroyed_keys(reopened(home))
    with pytest.raises(KeyUnavailableError, match="malformed"):
        accepted_keys(reopened(home), NOW - timedelta(days=1))
