"""Register what a principal derived from released data, under a live grant on everything that it rests on."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from audit.events import EventType
from audit.intent import Intent
from gateway.database import ReadSession, WriteSession
from gateway.errors import GatewayError, InvalidRequestError, NotFoundError, StageOrderError
from gateway.flow.acts import intended
from gateway.flow.artefacts import ARTEFACT_TYPE, Artefact, load_artefact, seal_artefact, sources_of, told_of
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseState
from gateway.flow.records import ArtefactRow, ReleaseRow
from gateway.flow.release import load_released
from gateway.flow.serve import admit
from gateway.models.statements import digest_of
from gateway.people.records import PersonRow
from gateway.people.registry import Actor
from gateway.vault.errors import StatementError
from gateway.vault.jws import public_key_of, verify_statement

REGISTER: Final = "artefact.register"
MAX_STATEMENT_LENGTH: Final = 1024 * 1024
_MAX_NAME: Final = 200
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MEMBERS: Final = {
    "act",
    "at",
    "attributed_to",
    "derived_from",
    "digest",
    "generated_by",
    "kind",
    "name",
    "purpose",
}


class ArtefactKind(StrEnum):
    """What was derived."""

    INDEX = "index"
    LABEL_SET = "label_set"
    MODEL = "model"
    SCENARIO = "scenario"
    DATA_SET = "data_set"


def register_artefact(gate: Gate, statement: str, *, actor: Actor, purpose: str) -> dict[str, Any]:
    """Register a derived artefact; registering the same statement again changes nothing.

    1. The caller's enrolled key signed the statement, and it says what it must. 2. Its parents are registered, by
    principals of the same recipient, and not revoked. 3. For every release that it rests on, through its parents,
    too, the caller holds a live grant and policy allows a read now. 4. The items that it names are of those
    releases. 5. None of them was revoked meanwhile.

    Args:
        gate: The gate.
        statement: Compact JWS of type ``fleetgate-artefact+jwt``.
        actor: Who registers.
        purpose: What for, as the request states; the statement says the same.

    Raises:
        InvalidRequestError: Step 1, 2 or 4 fails.
        NoGrantError: The caller holds no grant on one of the releases.
        DeniedError: Policy refuses.
        StageOrderError: Step 5.
    """
    artefact = digest_of(statement)
    event = intended(
        EventType.ARTEFACT_ARTEFACT_REGISTER,
        actor=actor.id,
        object_id=artefact,
        purpose=purpose,
        digests={**actor.digests, "statement": artefact},
    )
    with gate.ledger.intent(event) as intent:
        try:
            with gate.database.read() as session:
                found = _stated(session, artefact, statement, actor=actor, purpose=purpose)  # 1
                _require_parents(gate, session, found, actor)  # 2
                sources = sources_of(gate, session, found)
            if not sources:
                raise InvalidRequestError(
                    "an artefact names a release or an artefact that it is derived from"
                )
        except GatewayError as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        items = _admitted(gate, intent, sources, actor=actor, purpose=purpose)  # 3
        unknown = set(found.said["derived_from"]["items"]) - items
        if unknown:  # 4
            intent.refuse(facts={"reason": InvalidRequestError.reason})
            raise InvalidRequestError(f"items of none of its releases (got {sorted(unknown)[:3]})")
        with gate.database.transaction() as session:
            _require_live(session, sources)  # 5
            if session.get(ArtefactRow, artefact) is None:
                _store(gate, session, found, statement)
        intent.complete(facts={"kind": str(found.said["kind"]), "releases": len(sources)})
    return {"artefact": artefact, "releases": sorted(sources)}


def _stated(session: ReadSession, artefact: str, statement: str, *, actor: Actor, purpose: str) -> Artefact:
    if len(statement) > MAX_STATEMENT_LENGTH:
        raise InvalidRequestError(
            f"statement too long (got {len(statement)}, expected at most {MAX_STATEMENT_LENGTH})"
        )
    person = session.get_one(PersonRow, actor.id)
    try:
        said = verify_statement(statement, ARTEFACT_TYPE, public_key_of(person.public_jwk))
    except StatementError as error:
        raise InvalidRequestError(f"statement of an artefact: {error}") from error
    _check(said, actor=actor, purpose=purpose)
    return Artefact(id=artefact, said=said, attested=False, revoked_at=None)


def _check(said: Mapping[str, Any], *, actor: Actor, purpose: str) -> None:
    """Demand every member of a statement, each of its kind.

    Raises:
        InvalidRequestError: One is missing, too many, or something else.
    """
    if set(said) != _MEMBERS:
        raise InvalidRequestError(f"members (got {sorted(said)}, expected {sorted(_MEMBERS)})")
    expected = {"act": REGISTER, "attributed_to": actor.id, "purpose": purpose}
    got = {name: said[name] for name in expected}
    if got != expected:
        raise InvalidRequestError(f"statement (got {got}, expected {expected})")
    if said["kind"] not in set(ArtefactKind):
        raise InvalidRequestError(
            f"kind (got {said['kind']!r}, expected one of {[k.value for k in ArtefactKind]})"
        )
    if not isinstance(said["name"], str) or not 0 < len(said["name"].strip()) <= _MAX_NAME:
        raise InvalidRequestError(f"name (expected 1 to {_MAX_NAME} characters)")
    made = said["generated_by"]
    if not isinstance(made, Mapping) or set(made) != {"code", "parameters"}:
        raise InvalidRequestError("generated_by (expected code and parameters)")
    if not isinstance(made["code"], str) or not made["code"] or not isinstance(made["parameters"], Mapping):
        raise InvalidRequestError("generated_by (expected a version of code, and an object of parameters)")
    _check_sources(said)
    try:
        moment = datetime.fromisoformat(str(said["at"]))
    except ValueError as error:
        raise InvalidRequestError(f"at (got {said['at']!r}, expected a time)") from error
    if moment.tzinfo is None:
        raise InvalidRequestError(f"at (got {said['at']!r}, expected a time with an offset)")


def _check_sources(said: Mapping[str, Any]) -> None:
    sources = said["derived_from"]
    if not isinstance(sources, Mapping) or set(sources) != {"artefacts", "items", "releases"}:
        raise InvalidRequestError("derived_from (expected artefacts, items and releases)")
    for name, listed in sources.items():
        if not isinstance(listed, list) or listed != sorted({str(each) for each in listed}):
            raise InvalidRequestError(f"derived_from.{name} (expected ids, each once, in order)")
    digests = [said["digest"], *sources["artefacts"], *sources["items"]]
    wrong = [each for each in digests if not isinstance(each, str) or _DIGEST.fullmatch(each) is None]
    if wrong:
        raise InvalidRequestError(f"SHA-256 (got {wrong[:3]}, expected 64 hexadecimal digits)")


def _require_parents(gate: Gate, session: ReadSession, found: Artefact, actor: Actor) -> None:
    for parent_id in found.parents:
        parent = load_artefact(gate, session, parent_id)
        owner = session.get(PersonRow, parent.principal) if parent else None
        if parent is None or owner is None or owner.recipient_id != actor.recipient:
            raise InvalidRequestError(f"no such artefact of this recipient (got {parent_id})")
        if parent.revoked_at is not None:
            raise InvalidRequestError(f"a parent is revoked (got {parent_id})")


def _admitted(gate: Gate, intent: Intent, sources: set[str], *, actor: Actor, purpose: str) -> set[str]:
    items: set[str] = set()
    for release in sorted(sources):
        offered, _ = admit(gate, intent, actor=actor, release=release, purpose=purpose, item="artefact")
        items |= {file.sha256 for file in offered.offer.files.values() if not file.mask}
    return items


def _require_live(session: WriteSession, sources: set[str]) -> None:
    for release in sorted(sources):
        row = session.get_one(ReleaseRow, release, with_for_update=True)
        if row.state != ReleaseState.RELEASED:
            raise StageOrderError(f"release is not out (got state {row.state!r})")


def _store(gate: Gate, session: WriteSession, found: Artefact, statement: str) -> None:
    session.add(
        ArtefactRow(
            id=found.id,
            principal=found.principal,
            sealed=seal_artefact(gate, statement),
            registered_at=gate.clock(),
        )
    )


def read_artefact(gate: Gate, artefact: str, *, actor: Actor, purpose: str) -> dict[str, Any]:
    """How an artefact of the caller's recipient stands: whether a release that it rests on was revoked.

    Raises:
        NotFoundError: There is none of this recipient.
        EvidenceError: It does not verify.
    """
    event = intended(
        EventType.ARTEFACT_ARTEFACT_READ,
        actor=actor.id,
        object_id=artefact,
        purpose=purpose,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent, gate.database.read() as session:
        found = load_artefact(gate, session, artefact)
        owner = session.get(PersonRow, found.principal) if found else None
        if found is None or owner is None or owner.recipient_id != actor.recipient:
            intent.refuse(facts={"reason": NotFoundError.reason})
            raise NotFoundError(f"no such artefact (got {artefact[:64]!r})")
        revoked = sorted(
            release
            for release in sources_of(gate, session, found)
            if load_released(gate, session, release).revoked
        )
        intent.complete()
    told = told_of(found)
    return {**told, "revoked": bool(revoked) or told["revoked"], "revoked_releases": revoked}
