"""Rule 29: what proves who had what may not be destroyed before its term. The one place that destroys keys.

The ledger has no way to delete an entry. What can be destroyed is what keys seal, so each key has a term:

- a recording's key: none. Erasing personal data and expiring originals must always be possible (law 9); what was
  provided, to whom and on whose decision is sealed under the release's key, or not at all.
- a release's key: until as many years after the release ended as policy data says; for good where the release was
  refused for state secrets.
- a key of ledger detail: from the subject's newest detail on as long as the access log, or as the records of
  provision where the entry concerns a release.
- every other key: for good. The gate's own keys seal zone files and evidence of no single release.
"""

from calendar import isleap
from datetime import datetime, timedelta

import sqlalchemy as sa

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_all
from audit.tables import details
from gateway.errors import RetainedError
from gateway.flow.acts import refused, rules_of
from gateway.flow.gate import Gate
from gateway.flow.law import access_log_days, record_years, secret_records_end
from gateway.flow.records import RecordingRow, ReleaseRow
from gateway.people.registry import Actor
from gateway.vault.keys import Destruction
from policies.decision import Level

_SECRET_RULES = {
    EventType.JUDGE_RELEASE_DECIDE: "no_state_secret",
    EventType.JUDGE_PUBLISH_DECIDE: "known_level",
}
_SECRET_LEVELS = frozenset({Level.S4_STATE_SECRET.value, Level.SX_UNKNOWN.value})
# Entries from before all rules were listed were cut here; what was cut off may have been a rule of secrets.
_CUT_AT = 200


def destroy_key(gate: Gate, kek_id: str, *, actor: Actor) -> Destruction:
    """Destroy a key whose term is over; the caller records what it does it for.

    Raises:
        RetainedError: What it seals must be kept; the attempt is in the ledger.
        ConfigurationError: The policy data in force lacks a term.
        KeyUnavailableError: There never was such a key.
        LedgerUnavailableError: The refusal was not acknowledged.
        StorageError: A step failed; call again.
    """
    try:
        _require_over(gate, kek_id)
    except RetainedError as error:
        refused(gate, EventType.VAULT_KEY_DESTROY, actor=actor.id, object_id=kek_id, reason=error.reason)
        raise
    return gate.keystore.destroy_kek(kek_id)


def _require_over(gate: Gate, kek_id: str) -> None:
    with gate.database.read() as session:
        if session.scalar(sa.select(RecordingRow.id).where(RecordingRow.kek_id == kek_id)) is not None:
            return
        release = session.scalar(sa.select(ReleaseRow).where(ReleaseRow.kek_id == kek_id))
    if release is not None:
        if _names_secrets(gate, release.id) and not secret_records_end(gate):
            raise RetainedError(kek_id, "secret_geo_record_years", None)
        moments = (release.created_at, release.expires_at, release.released_at, release.revoked_at)
        ended = max(moment for moment in moments if moment is not None)
        _require_past(gate, kek_id, "provision_record_years", _years_after(ended, record_years(gate)))
        return
    if not kek_id.startswith("sub-"):
        raise RetainedError(kek_id, "secret_geo_record_years", None)
    for rule, moment in _detail_terms(gate, kek_id.removeprefix("sub-")):
        _require_past(gate, kek_id, rule, moment)


def _require_past(gate: Gate, kek_id: str, rule: str, moment: datetime) -> None:
    if gate.clock() < moment:
        raise RetainedError(kek_id, rule, moment)


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


def _detail_terms(gate: Gate, subject: str) -> list[tuple[str, datetime]]:
    """Rule and end of term of each entry with detail of a subject, the latest first."""
    query = sa.select(details.c.entry_index).where(details.c.subject == subject)
    terms = []
    with gate.ledger.snapshot() as snapshot:
        for index in snapshot.connection.execute(query).scalars().all():
            entry = snapshot.entry(index)
            if entry.event.release is None:
                terms.append(("access_log_days", entry.time + timedelta(days=access_log_days(gate))))
            else:
                terms.append(("provision_record_years", _years_after(entry.time, record_years(gate))))
    return sorted(terms, key=lambda term: term[1], reverse=True)


def _years_after(moment: datetime, years: int) -> datetime:
    year = moment.year + years
    if (moment.month, moment.day) == (2, 29) and not isleap(year):
        return moment.replace(year=year, month=3, day=1)
    return moment.replace(year=year)
