"""Rule 29: what proves who had what may not be destroyed before its term. The one place that destroys keys.

Policy judges each destruction (point ``destroy``) on what the key seals and since when its terms run; dates are
told by the same policy data. The ledger has no way to delete an entry. What can be destroyed is what keys seal,
so each key has a term:

- a recording's key, also of one that policy refused: none. Erasing personal data and expiring originals must
  always be possible (law 9); what was provided, to whom and on whose decision is sealed under the release's
  key, or not at all.
- a release's key: until as many years after the release ended as policy data says; for good where the release was
  refused for state secrets.
- a key of ledger detail: from the subject's newest detail on as long as the access log, or as the records of
  provision where the entry concerns a release.
- every other key: for good. The gate's own keys seal zone files and evidence of no single release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.tables import details
from gateway.errors import DeniedError, InvalidRequestError, RetainedError
from gateway.flow.acts import intended, refused, rules_of
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.flow.law import term_of_record
from gateway.flow.records import AskedQuestionRow, RecordingRow, ReleaseRow
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.vault.destroyed import Destruction
from gateway.vault.errors import KeyUnavailableError
from policies.decision import Level
from policies.question import Point

_SECRET_RULES = {
    EventType.JUDGE_RELEASE_DECIDE: "no_state_secret",
    EventType.JUDGE_PUBLISH_DECIDE: "known_level",
}
_SECRET_LEVELS = frozenset({Level.S4_STATE_SECRET.value, Level.SX_UNKNOWN.value})
# Entries from before all rules were listed were cut here; what was cut off may have been a rule of secrets.
_CUT_AT = 200


class Seals(StrEnum):
    """What becomes unreadable with a key, or with originals that are deleted."""

    RECORDING = "recording"
    RELEASE = "release"
    DETAIL = "detail"
    GATE = "gate"
    ORIGINALS = "originals"


class RecordKind(StrEnum):
    """What a key proves, each with a term of its own in the policy data."""

    ACCESS = "access"
    PROVISION = "provision"
    ASSESSMENT = "assessment"
    SECRET_GEO = "secret_geo"  # noqa: S105 (a kind of records, not a password)


PARAMETERS: Final = {
    RecordKind.ACCESS: "access_log_days",
    RecordKind.PROVISION: "provision_record_years",
    RecordKind.ASSESSMENT: "assessment_record_years",
    RecordKind.SECRET_GEO: "secret_geo_record_years",
}
_TERMS_RULE = "records_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record that a key proves; its term runs from ``ended_at``."""

    kind: RecordKind
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What a key seals, the records that it proves, and the fields by which the ledger names it."""

    seals: Seals
    records: tuple[Record, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


class Kind(StrEnum):
    """What a key with a term seals."""

    RELEASE = "release"
    DETAIL = "detail"


PREFIXES: Final = {Kind.RELEASE: "rel-", Kind.DETAIL: "sub-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Until when a key must be kept.

    Attributes:
        kek_id: The key.
        kind: What it seals.
        of: Id of the release, or subject of the detail.
        rule: The term in the policy data, below ``retention``.
        allowed_from: When it may be destroyed; None for never.
    """

    kek_id: str
    kind: Kind
    of: str
    rule: str
    allowed_from: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Whether the key may be destroyed at a moment (aware)."""
        return self.allowed_from is not None and self.allowed_from <= now


def destroy_key(gate: Gate, kek_id: str, *, actor: Actor) -> Destruction:
    """Destroy a key whose term is over; the caller records what it does it for.

    Raises:
        RetainedError: What it seals must be kept; the attempt is in the ledger.
        DeniedError: Policy refuses for another reason; so is this.
        ConfigurationError: The policy data in force lacks a term.
        KeyUnavailableError: There never was such a key.
        LedgerUnavailableError: The refusal was not acknowledged.
        StorageError: A step failed; call again.
    """
    _refuse_early(gate, kek_id, actor=actor)
    return gate.keystore.destroy_kek(kek_id)


def destroy_record_key(gate: Gate, kek_id: str, *, actor: Actor) -> Destruction:
    """Destroy the key of a release or of ledger detail after its term, recorded. Safe to repeat.

    1. It is such a key; a recording's is for ``gateway.flow.erase``. 2. Its term is over. 3. The intent is
    durable. 4. The key is destroyed, and its fingerprint completes the intent.

    Raises:
        ActDeniedError: Policy refuses.
        InvalidRequestError: It is another key.
        RetainedError: Its term is not over; the attempt is in the ledger.
        KeyUnavailableError: There never was such a key.
        StorageError: A step failed; call again.
    """
    permit(gate, actor, "retention.destroy", on=kek_id)
    kind, of = subject_of(kek_id)  # 1
    _refuse_early(gate, kek_id, actor=actor)  # 2
    if not gate.keystore.has_kek(kek_id) and not gate.keystore.is_destroyed(kek_id):
        raise KeyUnavailableError(f"no such key (got {kek_id!r})")
    event = intended(
        EventType.VAULT_KEY_DESTROY,
        actor=actor.id,
        object_id=kek_id,
        release=of if kind is Kind.RELEASE else None,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:  # 3
        destroyed = gate.keystore.destroy_kek(kek_id)  # 4
        intent.complete(
            digests={"fingerprint": destroyed.fingerprint}, facts={"kek": kek_id, "kind": kind.value}
        )
    return destroyed


def terms(gate: Gate) -> tuple[Term, ...]:
    """The term of every living key of a release or of ledger detail, the earliest first, those for good last."""
    with gate.database.read() as session:
        releases = list(session.scalars(sa.select(ReleaseRow.kek_id)))
    with gate.ledger.snapshot() as snapshot:
        subjects = snapshot.connection.execute(sa.select(details.c.subject).distinct()).scalars().all()
    found = []
    for kek_id in [*releases, *(f"{PREFIXES[Kind.DETAIL]}{subject}" for subject in subjects)]:
        if not gate.keystore.has_kek(kek_id):
            continue
        kind, of = subject_of(kek_id)
        rule, moment = _latest(gate, _sealed_by(gate, kek_id))
        found.append(Term(kek_id=kek_id, kind=kind, of=of, rule=rule, allowed_from=moment))
    return tuple(sorted(found, key=lambda each: (each.allowed_from is None, each.allowed_from, each.kek_id)))


def subject_of(kek_id: str) -> tuple[Kind, str]:
    """What a key with a term seals, and of what.

    Raises:
        InvalidRequestError: It is another key.
    """
    for kind, prefix in PREFIXES.items():
        if kek_id.startswith(prefix):
            return kind, kek_id.removeprefix(prefix)
    raise InvalidRequestError(
        f"key has no term of its own (got {kek_id!r}, expected one of {list(PREFIXES.values())}…;"
        " a recording is erased)"
    )


def destroy_question(
    gate: Gate,
    *,
    actor: Actor,
    of: str,
    seals: Seals,
    records: Sequence[Record] = (),
    received_at: datetime | None = None,
    attested_until: datetime | None = None,
) -> dict[str, Any]:
    """The facts by which policy judges whether something may become unreadable (rules 21 and 29)."""
    return {
        "point": Point.DESTROY.value,
        "subject": {"id": actor.id},
        "action": {"name": "destroy"},
        "resource": {
            "id": of,
            "seals": seals.value,
            "records": [{"kind": each.kind.value, "ended_at": instant(each.ended_at)} for each in records],
            "received_at": None if received_at is None else instant(received_at),
            "attested_until": None if attested_until is None else instant(attested_until),
        },
        "context": {
            "time": instant(gate.clock()),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
        },
    }


def _refuse_early(gate: Gate, kek_id: str, *, actor: Actor) -> None:
    """Ask policy whether a key may go; a refusal for a term says until when."""
    sealed = _sealed_by(gate, kek_id)
    if sealed.seals is Seals.DETAIL and not sealed.records and not gate.keystore.has_kek(kek_id):
        raise KeyUnavailableError(f"no such key (got {kek_id!r})")
    question = destroy_question(gate, actor=actor, of=kek_id, seals=sealed.seals, records=sealed.records)
    try:
        decide(
            gate,
            EventType.JUDGE_DESTROY_DECIDE,
            question,
            actor=actor,
            object_id=kek_id,
            **sealed.fields,
        )
    except DeniedError as error:
        retained = {violation.rule for violation in error.decision.violations} == {_TERMS_RULE}
        reason = RetainedError.reason if retained else error.reason
        refused(gate, EventType.VAULT_KEY_DESTROY, actor=actor.id, object_id=kek_id, reason=reason)
        if retained:
            raise RetainedError(kek_id, *_latest(gate, sealed)) from error
        raise


def _latest(gate: Gate, sealed: Sealed) -> tuple[str, datetime | None]:
    """The term that counts: the latest, or for good where a key has none."""
    terms = [(PARAMETERS[each.kind], each.ended_at) for each in sealed.records]
    found = [(name, term_of_record(gate, name, ended)) for name, ended in terms]
    none: tuple[str, datetime | None] = (PARAMETERS[RecordKind.SECRET_GEO], None)
    return max(found, key=lambda term: (term[1] is None, term[1]), default=none)


def _sealed_by(gate: Gate, kek_id: str) -> Sealed:
    """What a key seals, and what it proves."""
    with gate.database.read() as session:
        recording = session.scalar(sa.select(RecordingRow.id).where(RecordingRow.kek_id == kek_id))
        asked = sa.select(AskedQuestionRow.ledger_index).where(AskedQuestionRow.kek_id == kek_id).limit(1)
        if recording is None and kek_id.startswith("rec-") and session.scalar(asked) is not None:
            # Of a recording that policy refused; the refusal itself stays in the ledger.
            recording = kek_id.removeprefix("rec-")
        release = session.scalar(sa.select(ReleaseRow).where(ReleaseRow.kek_id == kek_id))
    if recording is not None:
        return Sealed(seals=Seals.RECORDING, fields={"recording": recording})
    if release is not None:
        moments = (release.created_at, release.expires_at, release.released_at, release.revoked_at)
        ended = max(moment for moment in moments if moment is not None)
        secret = _names_secrets(gate, release.id)
        kinds = (RecordKind.SECRET_GEO,) if secret else (RecordKind.PROVISION, RecordKind.ASSESSMENT)
        records = tuple(Record(kind=kind, ended_at=ended) for kind in kinds)
        return Sealed(seals=Seals.RELEASE, records=records, fields={"release": release.id})
    if not kek_id.startswith(PREFIXES[Kind.DETAIL]):
        return Sealed(seals=Seals.GATE)
    return Sealed(
        seals=Seals.DETAIL, records=_detail_records(gate, kek_id.removeprefix(PREFIXES[Kind.DETAIL]))
    )


def _names_secrets(gate: Gate, release: str) -> bool:
    with gate.ledger.snapshot() as snapshot:
        refusals = find_all(snapshot, EntryFilter(release=release, outcome=Outcome.REFUSED))
        return any(_refused_for_secrets(entry.event) for entry in refusals)


def _refused_for_secrets(event: Event) -> bool:
    """Whether any violated rule, and not only the first, or the level of what was to go speaks of state secrets.

    A publication is judged at the level of its source, too, which need not be what it gives away.
    """
    secret = _SECRET_RULES.get(event.type)
    if secret is None:
        return False
    level = event.facts.get("level")
    cut_off = level is None and len(str(event.facts.get("rules", ""))) >= _CUT_AT
    of_secrets = event.type is EventType.JUDGE_RELEASE_DECIDE and level in _SECRET_LEVELS
    return secret in rules_of(event) or of_secrets or cut_off


def _detail_records(gate: Gate, subject: str) -> tuple[Record, ...]:
    """The newest entry with detail of a subject of each kind: an earlier one's term ends earlier."""
    query = sa.select(details.c.entry_index).where(details.c.subject == subject)
    newest: dict[RecordKind, datetime] = {}
    with gate.ledger.snapshot() as snapshot:
        for index in snapshot.connection.execute(query).scalars().all():
            entry = snapshot.entry(index)
            provided = (RecordKind.PROVISION, RecordKind.ASSESSMENT)
            for kind in (RecordKind.ACCESS,) if entry.event.release is None else provided:
                newest[kind] = max(entry.time, newest.get(kind, entry.time))
    return tuple(Record(kind=kind, ended_at=newest[kind]) for kind in RecordKind if kind in newest)
