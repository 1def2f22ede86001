"""Rotation of the intake key, recorded, and its signed publication to vehicles."""

from datetime import timedelta

from audit.events import EventType
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.vault.intake_generations import Generation, current_key, generations, rotate_intake_key
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
