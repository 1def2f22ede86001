"""Rotation of the intake key and the end of earlier ones, recorded, and its signed publication to vehicles."""

from datetime import timedelta

from audit.events import EventType
from gateway.destruction import INTAKE, certificate_path, certify_intake_key, intake_key_id
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.registry import GATE_ACTOR, Actor
from gateway.vault.intake_generations import (
    Generation,
    current_key,
    destroy_ended_key,
    ended_generations,
    generations,
    rotate_intake_key,
)
from gateway.vehicles.intake_publication import publish_intake_key


def rotate_intake(gate: Gate, *, grace: timedelta, actor: Actor) -> Generation:
    """Make a fresh intake key the current one; the one before opens what was sealed to it for the grace.

    Killed before its completion, it leaves an intent without an outcome, a finding: ``fleetgate intake-key`` says
    which key is current.

    Raises:
        ActDeniedError: Policy refuses.
        ValueError: The grace is negative.
        KeyExistsError: Another process rotated in the same moment.
        KeyUnavailableError: The record of generations does not verify.
        StorageError: It is not durable.
    """
    permit(gate, actor, "key.rotate-intake")
    event = intended(
        EventType.VAULT_KEY_ROTATE,
        actor=actor.id,
        object_id="intake",
        digests=actor.digests,
        facts={"before": current_key(gate.keystore).public.kid},
    )
    with gate.ledger.intent(event) as intent:
        made = rotate_intake_key(gate.keystore, now=gate.clock(), grace=grace)
        intent.complete(
            facts={
                "grace_s": int(grace.total_seconds()),
                "generation": made.number,
                "key": current_key(gate.keystore).public.kid,
            }
        )
    return made


def destroy_ended_intake_keys(gate: Gate) -> int:
    """Destroy every intake key whose grace is over, each with an entry and a certificate of destruction.

    Who rotated the key was permitted to, and stated the grace; nothing is judged anew here. What a crash left is
    finished at the next call: a key is done with once its certificate is kept (``gateway.destruction``).

    Returns:
        How many were destroyed, or finished, now.

    Raises:
        KeyUnavailableError: The record of generations does not verify.
        LedgerUnavailableError: No ledger, no destruction.
        StorageError: A step failed; call again.
    """
    done = 0
    for each in ended_generations(gate.keystore, gate.clock()):
        key = intake_key_id(each.number)
        if certificate_path(gate, key).exists():
            continue
        event = intended(EventType.VAULT_KEY_DESTROY, actor=GATE_ACTOR.id, object_id=key)
        with gate.ledger.intent(event) as intent:
            destroyed = destroy_ended_key(gate.keystore, each, gate.clock())
            intent.complete(
                digests={"fingerprint": destroyed.fingerprint}, facts={"kek": key, "kind": INTAKE}
            )
        certify_intake_key(gate, destroyed, each.number)
        done += 1
    return done


def published_intake_key(gate: Gate) -> str:
    """The signed publication of the current key (compact JWS), by the release key that vehicles pin."""
    return publish_intake_key(
        gate.keystore.statement_key("release"),
        current_key(gate.keystore).public,
        generation=generations(gate.keystore)[-1].number,
        gate=gate.settings.origin,
        published_at=gate.clock().isoformat(),
    )


def tell_intake_key(gate: Gate, *, vehicle: Actor) -> str:
    """The signed publication for a vehicle that asks; which key it was told is in the ledger.

    Raises:
        KeyUnavailableError: The record of generations does not verify.
        LedgerUnavailableError: No ledger, no answer.
    """
    event = intended(
        EventType.VAULT_KEY_PUBLISH,
        actor=vehicle.id,
        object_id="intake",
        vehicle=vehicle.id,
        digests=vehicle.digests,
    )
    with gate.ledger.intent(event) as intent:
        publication = published_intake_key(gate)
        intent.complete(facts={"key": current_key(gate.keystore).public.kid})
    return publication
