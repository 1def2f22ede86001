"""Rotation of the intake key: what was sealed before opens for its grace; no crash loses a key (law 4)."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.vault.errors import KeyUnavailableError, StatementError
from gateway.vault.intake_generations import (
    accepted_keys,
    current_key,
    generations,
    rotate_intake_key,
)
from gateway.vault.intake_key import IntakeKey
from gateway.vault.jws import generate_person_key, sign_statement
from gateway.vault.keys import Keystore
from gateway.vehicles.errors import SealedDeliveryError
from gateway.vehicles.intake_publication import (
    PUBLICATION_TYPE,
    publish_intake_key,
    read_intake_publication,
)
from gateway.vehicles.outbox import open_manifest
from gateway.vehicles.sealing import manifest_info

PASSPHRASE = "correct horse 电池"
Killed = Callable[[int, Callable[[], bytes]], tuple[bool, bytes]]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
GRACE = timedelta(days=30)


def reopened(home: Path) -> Keystore:
    return Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)


def numbers(keystore: Keystore, now: datetime) -> list[str]:
    return [key.public.kid for key in accepted_keys(keystore, now)]


def test_an_earlier_key_opens_until_its_grace_ends(keystore: Keystore, home: Path) -> None:
    first = current_key(keystore).public
    assert first.kid == IntakeKey(keystore).public.kid
    sealed = first.seal(b"signed.statement.here", manifest_info(first.kid))
    made = rotate_intake_key(keystore, now=NOW, grace=GRACE)
    assert (made.number, made.since, made.until) == (2, NOW, None)
    again = reopened(home)
    second = current_key(again).public
    assert second.kid != first.kid
    last = NOW + GRACE - timedelta(microseconds=1)
    assert numbers(again, last) == [second.kid, first.kid]
    assert open_manifest(sealed, *accepted_keys(again, last)) == "signed.statement.here"
    assert numbers(again, NOW + GRACE) == [second.kid]
    with pytest.raises(SealedDeliveryError):
        open_manifest(sealed, *accepted_keys(again, NOW + GRACE))
    rotate_intake_key(again, now=NOW + timedelta(days=10), grace=timedelta(0))
    third = current_key(again).public.kid
    assert numbers(again, NOW + timedelta(days=10)) == [third, first.kid]
    assert [each.number for each in generations(again)] == [1, 2, 3]


def test_a_rotation_killed_at_every_step(keystore: Keystore, home: Path, killed_at: Killed) -> None:
    """Law 4: either key is current, and whichever it is opens what is sealed to it; acknowledged is rotated."""
    before = current_key(keystore).public.kid
    for step in range(1, 80):
        known = [each.number for each in generations(keystore)]

        def work() -> bytes:
            rotate_intake_key(keystore, now=NOW, grace=GRACE)
            return current_key(keystore).public.kid.encode()

        killed, acknowledged = killed_at(step, work)
        again = reopened(home)
        current = current_key(again)
        assert current.open(current.public.seal(b"x", b"i"), b"i") == b"x"
        found = [each.number for each in generations(again)]
        assert found in (known, [*known, known[-1] + 1])
        if acknowledged:
            assert current.public.kid == acknowledged.decode()
        assert before in numbers(again, NOW)
        assert not list((home / "keystore").rglob("*.tmp"))
        if not killed:
            assert acknowledged
            break
    else:
        pytest.fail("the work never ran to its end")
    assert step > 8


def test_a_changed_or_missing_generation_stops(keystore: Keystore, home: Path) -> None:
    for day in range(2):
        rotate_intake_key(keystore, now=NOW + timedelta(days=day), grace=GRACE)
    directory = home / "keystore" / "intake"
    one, two = sorted(directory.iterdir())
    kept = one.read_bytes()
    for content in (b"", kept[:-2], two.read_bytes()):
        one.write_bytes(content)
        with pytest.raises(KeyUnavailableError):
            generations(keystore)
    one.unlink()
    with pytest.raises(KeyUnavailableError, match="expected 000002"):
        accepted_keys(keystore, NOW)
    foreign = sign_statement(generate_person_key(), "fleetgate-intake-generation+json", "k", {"number": 2})
    one.write_text(foreign)
    with pytest.raises(KeyUnavailableError):
        current_key(keystore)
    one.write_bytes(kept)
    assert len(generations(keystore)) == 3
    shutil.rmtree(directory)
    assert [each.number for each in generations(keystore)] == [1]
    with pytest.raises(ValueError, match="grace"):
        rotate_intake_key(keystore, now=NOW, grace=timedelta(seconds=-1))


def test_vehicles_learn_the_key_from_its_signed_publication(keystore: Keystore) -> None:
    release, other = keystore.signing_key("release"), generate_person_key()
    rotate_intake_key(keystore, now=NOW, grace=GRACE)
    key = current_key(keystore).public
    statement = publish_intake_key(release, key, generation=2, gate="g", published_at=NOW.isoformat())
    for known in (0, 1, 2):
        read = read_intake_publication(statement, release, known=known)
        assert (read.generation, read.key.kid, read.gate) == (2, key.kid, "g")
    with pytest.raises(StatementError, match="earlier generation"):
        read_intake_publication(statement, release, known=3)
    with pytest.raises(StatementError):
        read_intake_publication(statement, other)
    said = {"gate": "g", "generation": 2, "key": key.text(), "published_at": "x", "version": 1}
    lies: list[dict[str, object]] = [{"version": 2}, {"generation": True}, {"generation": "2"}, {"more": 1}]
    for lie in lies:
        with pytest.raises(StatementError):
            read_intake_publication(sign_statement(release, PUBLICATION_TYPE, "k", {**said, **lie}), release)
    with pytest.raises(StatementError):
        read_intake_publication(sign_statement(release, "fleetgate-release+jwt", "k", said), release)
    bad = {**said, "key": json.dumps({"kty": "OKP"})}
    with pytest.raises(KeyUnavailableError):
        read_intake_publication(sign_statement(release, PUBLICATION_TYPE, "k", bad), release)
