"""Make a report: at a checkpoint, signed; its digest is an entry of the ledger (law 2)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import rfc8785

from audit import verify, verify_folder, verify_report, verify_sm2
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.dossier.document import Language
from gateway.dossier.html import render_html
from gateway.dossier.pdf import render_pdf
from gateway.dossier.proofs import receipt_of
from gateway.dossier.rendered import digests_of
from gateway.errors import EvidenceError
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.reports.annual import annual
from gateway.reports.compose import compose_report
from gateway.reports.provisions import counts, provisions
from gateway.reports.refusals import deletions, exports
from gateway.reports.staff import staff
from gateway.reports.tables import csv_of
from gateway.reports.twin import Kind, make_twin, scope_of, year_span
from gateway.vault.jws import sign_statement, thumbprint

REPORT_TYPE: Final = "fleetgate-report+jwt"
_FINDINGS: Final = {
    Kind.PROVISIONS: provisions,
    Kind.COUNTS: counts,
    Kind.DELETIONS: deletions,
    Kind.EXPORTS: exports,
    Kind.ROSTER: staff,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which report.

    Attributes:
        kind: Its kind.
        year: The year of an annual report; narrows any other to that year.
        since: Entries not before this moment (aware).
        until: Entries before this moment (aware).
        answers: Fields of the annual report that the person in charge filled in.
        note: Checkpoint to make it at; None for a fresh one.
    """

    kind: Kind
    year: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    answers: Mapping[str, str] | None = None
    note: str | None = None


def report_of(gate: Gate, wanted: Wanted, *, actor: Actor) -> dict[str, Any]:
    """A report as its JSON twin; making it is an entry that holds its digest.

    Raises:
        ForbiddenError: The person may not read the ledger.
        EvidenceError: What it rests on does not verify.
        SignatureError: The checkpoint is none of this ledger.
        ValueError: An annual report without a year.
    """
    permit(gate, actor, f"report.{wanted.kind.value}")
    event = intended(
        EventType.REPORT_LEDGER_MAKE, actor=actor.id, object_id=wanted.kind.value, digests=actor.digests
    )
    with gate.ledger.intent(event) as intent:
        twin = gather_report(gate, wanted)
        digest = hashlib.sha256(rfc8785.dumps(twin)).hexdigest()
        intent.complete(digests={"report": digest}, facts={"rows": len(twin["rows"])})
    return twin


def gather_report(gate: Gate, wanted: Wanted) -> dict[str, Any]:
    """The twin of a report: the same at the same checkpoint; errors as ``report_of``."""
    since, until = (wanted.since, wanted.until) if wanted.year is None else year_span(wanted.year)
    note = wanted.note or gate.checkpoint()
    if wanted.kind is Kind.ANNUAL:
        if wanted.year is None:
            raise ValueError("an annual report has a year")
        finding = partial(annual, year=wanted.year, answers=wanted.answers or {})
    else:
        finding = partial(_FINDINGS[wanted.kind])
    with gate.ledger.snapshot() as snapshot, gate.database.read() as session:
        scope = scope_of(gate, session, snapshot, note, since=since, until=until)
        return make_twin(wanted.kind, scope, finding)


def report_files(twin: Mapping[str, Any]) -> dict[str, bytes]:
    """Names and content of the files that a report consists of, from its twin alone.

    Raises:
        RenderingError: A text cannot be set.
    """
    content = rfc8785.dumps(dict(twin))
    # As it is read back: 1.0 and 1 are one number in RFC 8785, and must be set alike.
    twin = json.loads(content)
    files = {"report.json": content, "report.csv": csv_of(twin["rows"])}
    for language in Language:
        document = compose_report(twin, language)
        files[f"report.{language.value}.html"] = render_html(document)
        files[f"report.{language.value}.pdf"] = render_pdf(document)
    return files


def sign_report(gate: Gate, twin: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """The release key's signature over the digests of a report's files, as a compact JWS."""
    key = gate.keystore.statement_key("release")
    payload = {
        "version": 1,
        "report": twin["report"],
        "size": twin["checkpoint"]["size"],
        "as_of": twin["checkpoint"]["as_of"],
        "files": digests_of(files),
    }
    return sign_statement(key, REPORT_TYPE, thumbprint(key), payload)


def write_report(gate: Gate, twin: Mapping[str, Any], folder: Path) -> list[str]:
    """Write a report into a folder: ``report.jws`` over all of it, the proof that it was made, and the verifier.

    Returns:
        Names of the files.

    Raises:
        EvidenceError: No entry records that this report was made.
        OSError: A file cannot be written.
    """
    files = report_files(twin)
    receipt = receipt_of(gate, _made_by(gate, twin))
    files["report.jws"] = sign_report(gate, twin, files).encode()
    files["receipt.json"] = rfc8785.dumps(receipt)
    for module in (verify, verify_folder, verify_report, verify_sm2):
        source = Path(str(module.__file__))
        files[source.name] = source.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted(files)


def _made_by(gate: Gate, twin: Mapping[str, Any]) -> int:
    """The newest entry that records the making of a report."""
    digest = hashlib.sha256(rfc8785.dumps(dict(twin))).hexdigest()
    wanted = EntryFilter(
        types=(EventType.REPORT_LEDGER_MAKE,), object=twin["report"], outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        made = [e.index for e in find_all(snapshot, wanted) if e.event.digests.get("report") == digest]
    if not made:
        raise EvidenceError(f"no entry records that this report was made (got {twin['report']} {digest})")
    return max(made)
