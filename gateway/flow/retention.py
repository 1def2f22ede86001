"""Rule 29: what proves who had what may not be destroyed before its term. The one place that destroys keys.

The ledger has no way to delete an entry. What can be destroyed is what keys seal, so each key has a term:

- a recording's key, also of one that policy refused: none. Erasing personal data and expiring originals must
  always be possible (law 9); what was provided, to whom and on whose decision is sealed under the release's
  key, or not at all.
- a release's key: until as many years after the release ended as policy data says; for good where the release was
  refused for state secrets.
- a key of ledger detail: from the subject's newest detail on as long as the access log, or as the records of
  provision where the entry concerns a release.
- every other key: for good. The gate's own keys seal zone files and evidence of no single release.
"""

from calendar import isleap
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.tables import details
from gateway.errors import InvalidRequestError, RetainedError
from gateway.flow.acts import intended, refused, rules_of
from gateway.flow.gate import Gate
from gateway.flow.law import access_log_days, record_years, secret_records_end
from gateway.flow.records import AskedQuestionRow, RecordingRow, ReleaseRow
from gateway.people.registry import Actor
from gateway.vault.errors import KeyUnavailableError
from gateway.vault.keys import Destruction
from policies.decision import Level

_SECRET_RULES = {
    EventType.JUDGE_RELEASE_DECIDE: "no_state_secret",
    EventType.JUDGE_PUBLISH_DECIDE: "known_level",
}
_SECRET_LEVELS = frozenset({Level.S4_STATE_SECRET.value, Level.SX_UNKNOWN.value})
# Entries from before all rules were listed were cut here; what was cut off may have been a rule of secrets.
_CUT_AT = 200


class Kind(StrEnum):
    """What a key with a term seals."""

    RELEASE = "release"
    DETAIL = "detail"


PREFIXES: Final = {Kind.RELEASE: "rel-", Kind.DETAIL: "sub-"}
KEEPERS: Final = ("compliance_officer",)


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
        InvalidRequestError: It is another key, or the person is no compliance officer.
        RetainedError: Its term is not over; the attempt is in the ledger.
        KeyUnavailableError: There never was such a key.
        StorageError: A step failed; call again.
    """
    if not set(KEEPERS) & set(actor.roles):
        raise InvalidRequestError(f"only a compliance officer destroys keys (got roles {actor.roles})")
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
        rule, moment = _latest(_terms_of(gate, kek_id))
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


def _refuse_early(gate: Gate, kek_id: str, *, actor: Actor) -> None:
    found = _terms_of(gate, kek_id)
    try:
        for rule, moment in found:
            if moment is None or gate.clock() < moment:
                raise RetainedError(kek_id, rule, moment)
    except RetainedError as error:
        refused(gate, EventType.VAULT_KEY_DESTROY, actor=actor.id, object_id=kek_id, reason=error.reason)
        raise


def _latest(found: list[tuple[str, datetime | None]]) -> tuple[str, datetime | None]:
    """The term that counts; ``found`` is not empty."""
    return max(found, key=lambda term: (term[1] is None, term[1]))


def _terms_of(gate: Gate, kek_id: str) -> list[tuple[str, datetime | None]]:
    """Rule and end of every term of a key, None for never, the latest first; none for a recording's key."""
    with gate.database.read() as session:
        if session.scalar(sa.select(RecordingRow.id).where(RecordingRow.kek_id == kek_id)) is not None:
            return []
        asked = sa.select(AskedQuestionRow.ledger_index).where(AskedQuestionRow.kek_id == kek_id).limit(1)
        if kek_id.startswith("rec-") and session.scalar(asked) is not None:
            return []  # of a recording that policy refused; the refusal itself stays in the ledger
        release = session.scalar(sa.select(ReleaseRow).where(ReleaseRow.kek_id == kek_id))
    if release is not None:
        if _names_secrets(gate, release.id) and not secret_records_end(gate):
            return [("secret_geo_record_years", None)]
        moments = (release.created_at, release.expires_at, release.released_at, release.revoked_at)
        ended = max(moment for moment in moments if moment is not None)
        return [("provision_record_years", _years_after(ended, record_years(gate)))]
    if not kek_id.startswith(PREFIXES[Kind.DETAIL]):
        return [("secret_geo_record_years", None)]
    return _detail_terms(gate, kek_id.removeprefix(PREFIXES[Kind.DETAIL]))


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


def _detail_terms(gate: Gate, subject: str) -> list[tuple[str, datetime | None]]:
    """Rule and end of term of each entry with detail of a subject, the latest first."""
    query = sa.select(details.c.entry_index).where(details.c.subject == subject)
    found: list[tuple[str, datetime]] = []
    with gate.ledger.snapshot() as snapshot:
        for index in snapshot.connection.execute(query).scalars().all():
            entry = snapshot.entry(index)
            if entry.event.release is None:
                found.append(("access_log_days", entry.time + timedelta(days=access_log_days(gate))))
            else:
                found.append(("provision_record_years", _years_after(entry.time, record_years(gate))))
    return [*sorted(found, key=lambda term: term[1], reverse=True)]


def _years_after(moment: datetime, years: int) -> datetime:
    year = moment.year + years
    if (moment.month, moment.day) == (2, 29) and not isleap(year):
        return moment.replace(year=year, month=3, day=1)
    return moment.replace(year=year)
