"""Deletions with their certificates, and attempts at export: from the ledger alone."""

import hashlib
from typing import Any

from audit.checkpoint import verify_checkpoint
from audit.errors import SignatureError
from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from gateway.destruction import DESTRUCTION_TYPE, certificate_path
from gateway.errors import EvidenceError
from gateway.reports.twin import Found, Scope
from gateway.vault.errors import StatementError
from gateway.vault.jws import read_unverified_algorithm, verify_statement
from policies.question import Point

_DELETIONS = (
    EventType.ERASE_RECORDING_ERASE,
    EventType.ERASE_RAW_EXPIRE,
    EventType.VAULT_KEY_DESTROY,
)
EXPORT_RULE = "23"
"""Number of the default rule against exports (COMPLIANCE.md §3)."""


def deletions(scope: Scope) -> Found:
    """Every completed deletion, with the fingerprint of the key and the digest of its certificate.

    ``certificate`` is None where none was issued: expiry of originals has none.

    Raises:
        EvidenceError: A certificate that is kept does not verify.
    """
    found = scope.entries(types=_DELETIONS, outcome=Outcome.COMPLETED)
    rows = [
        {
            "entry": entry.index,
            "time": format_time(entry.time),
            "type": entry.event.type.value,
            "actor": entry.event.actor,
            "object": entry.event.object,
            "fingerprint": entry.event.digests.get("fingerprint"),
            "originals": entry.event.facts.get("originals"),
            "certificate": _certificate(scope, entry),
        }
        for entry in found
    ]
    return Found(rows=rows, entries=found, more={})


def _certificate(scope: Scope, entry: Entry) -> str | None:
    if entry.event.type is EventType.ERASE_RAW_EXPIRE:
        return None
    path = certificate_path(scope.gate, entry.event.object)
    if not path.exists():
        return None
    certificate = path.read_text("ascii")
    try:
        key = scope.gate.keystore.verifying_key("release", read_unverified_algorithm(certificate))
        said = verify_statement(certificate, DESTRUCTION_TYPE, key)
        issued = verify_checkpoint(said["ledger"]["checkpoint"], scope.gate.ledger.signer.vkey).size
    except (StatementError, SignatureError) as error:
        raise EvidenceError(f"certificate of {entry.event.object} does not verify: {error}") from error
    # One that was issued later is no part of what a report at this checkpoint tells.
    return hashlib.sha256(certificate.encode()).hexdigest() if issued <= scope.basis.size else None


def exports(scope: Scope) -> Found:
    """Every attempt that a rule against exports refused: at intake, release, publication or reading."""
    catalogue = scope.gate.bundle.bundle.catalogue
    against = {
        name
        for point in Point
        for name, told in catalogue[point].items()
        if EXPORT_RULE in str(told["number"]).replace(" ", "").split(",")
    }
    found = [e for e in scope.entries(outcome=Outcome.REFUSED) if against & _rules(e)]
    rows = [
        {
            "entry": entry.index,
            "time": format_time(entry.time),
            "type": entry.event.type.value,
            "actor": entry.event.actor,
            "object": entry.event.object,
            "release": entry.event.release,
            "recipient": entry.event.recipient,
            "rules": sorted(_rules(entry) & against),
            "all_rules": sorted(_rules(entry)),
        }
        for entry in found
    ]
    return Found(rows=rows, entries=found, more={"against": sorted(against)})


def _rules(entry: Entry) -> set[str]:
    named: Any = entry.event.facts.get("rules", "")
    return {name for name in (*str(named).split(","), entry.event.rule) if name}
