"""Commands of operators: request, show, approve, publish, revoke, grant."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from anonymize.geo.attacks.report import report_lines
from gateway.app import release_public_jwk
from gateway.commands import candidates, lineage
from gateway.commands.models import figures_line
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.dossier.contents import Edition
from gateway.dossier.document import Language
from gateway.dossier.folder import DossierForm, chosen_files, write_dossier
from gateway.dossier.issue import dossier_of
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.dossier import release_summary, review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import (
    GrantTerms,
    issue_grant,
    load_approved,
    release,
    revoke_grant,
)
from gateway.flow.request import ReleaseRequest, request_release
from gateway.review.contact_sheet import review_sheets

release_app = typer.Typer(help="Releases.", no_args_is_help=True)
grant_app = typer.Typer(help="Grants.", no_args_is_help=True)
release_app.registered_commands.extend(candidates.app.registered_commands)
release_app.registered_commands.extend(lineage.revocation.registered_commands)

Days = Annotated[int, typer.Option(min=1, help="Days until it expires.")]
ReleaseId = Annotated[str, typer.Argument(help="Id of the release.")]


def release_lines(summary: dict[str, Any]) -> str:
    """A release for people to read."""
    found = ", ".join(f"{count} {kind}" for kind, count in summary.get("findings", {}).items())
    lines = [
        f"release {summary['release']}: {summary['state']}",
        f"  digest    {summary['digest']}",
        f"  purpose   {summary['purpose']} for {summary['recipient']} until {summary['expires_at']}",
        f"  mode      {summary['mode']} under {summary['profile']['name']}",
        f"  items     {len(summary.get('items', []))}",
        f"  left out  {len(summary.get('left_out', {}))}",
        f"  treated   {found or 'nothing found'}",
        *_picture_lines(summary.get("pictures", {})),
    ]
    lines += [line for detection in summary.get("detection", []) for line in _detection_lines(detection)]
    if waits := summary.get("slope_review", {}).get("waiting"):
        lines.append(f"  slopes    {waits} to review, {summary['slope_review']['standing']}")
    if summary.get("quality"):
        lines += _quality_lines(summary["quality"])
    if summary.get("attack"):
        lines += [f"  attacked  {line}" for line in report_lines(summary["attack"])]
        lines += [
            f"  attack    {run['at']} by {run['actor']}, entry {run['ledger_index']}"
            f"{'' if run['kept'] else ': 报告缺失 / its report is missing'}"
            for run in summary.get("attack_runs", ())
        ]
    elif "attack" in summary:
        lines.append("  attacked  never (fleetgate geo attack)")
    if closing := summary.get("closing"):
        lines.append(f"  closed    {closing['kind']} by {closing['by']} at {closing['at']}")
        lines += [
            f"  reason    {closing[name]}" for name in ("code", "text_zh", "text_en") if closing.get(name)
        ]
    if "decision" in summary:
        decision = summary["decision"]
        lines.append(
            f"  decision  allowed by {decision['engine']}, bundle {decision['bundle_digest'][:16]}, "
            f"{len(decision['passed'])} rules passed"
        )
        lines += [f"  duty      {o['kind']} {o['parameters']}" for o in decision["obligations"]]
    lines += [f"  approved  {a['approver']} at {a['signed_at']}" for a in summary.get("approvals", [])]
    return "\n".join(lines)


def _quality_lines(quality: Mapping[str, Any]) -> Iterator[str]:
    """What a person counted in a sample of the pictures."""
    if "sample" not in quality:
        yield f"  quality   {quality['standing']} (fleetgate quality sample)"
        return
    unverified = " (unverified)" if quality["threshold_unverified"] else ""
    yield (
        f"  quality   {quality['standing']}: {quality['reviewed']} of {quality['sampled']} sampled pictures "
        f"counted, of {quality['pictures']}; threshold {quality['threshold']:.1%}{unverified}"
    )
    for kind, of in quality["kinds"].items():
        yield (
            f"  quality   {kind}: {of['hits']} masked, {of['misses']} missed "
            f"[{of['found']['low']:.3f}, {of['found']['high']:.3f}]; clean in at least {of['lower_bound']:.1%} "
            f"of pictures at {quality['confidence']:.0%} confidence"
        )


def _detection_lines(detection: Mapping[str, Any]) -> Iterator[str]:
    """The detectors behind a release and what was measured of them."""
    for detector in detection["detectors"]:
        yield f"  detector  {detector['name']} ({detector['licence']}), sha256 {detector['sha256'][:16]}"
    if not detection["detectors"]:
        yield f"  detector  set {detection['detector_set'][:16]} is not one of this registry's"
    for figures in detection["measured"]:
        yield f"  measured  {', '.join(figures['detectors'])} on {figures_line(figures)}"
    if not detection["measured"]:
        yield "  measured  nothing (fleetgate models evaluate --store)"


def _picture_lines(pictures: dict[str, Any]) -> list[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in pictures.get("kinds", {}).items())
    light = ", ".join(f"{count} by {light}" for light, count in pictures.get("light", {}).items())
    if not kinds:
        return []
    return [
        f"  pictures  {kinds}{'; ' + light if light else ''}; masked in at most {pictures['passes']} passes"
    ]


@release_app.command("request")
@reporting
def release_request(
    recordings: Annotated[list[str], typer.Argument(help="Ids of cleansed recordings.")],
    purpose: Annotated[str, typer.Option(help="Registered purpose.")],
    recipient: Annotated[str, typer.Option(help="Registered recipient.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    mode: Annotated[ReleaseMode, typer.Option(help="How positions leave.")] = ReleaseMode.LOCAL,
    days: Days = 90,
    destination: Annotated[str, typer.Option(help="in_zone, partner, public or foreign.")] = "in_zone",
    map_number: Annotated[str | None, typer.Option(help="Approved map number, for public output.")] = None,
    dpia_reference: Annotated[str | None, typer.Option(help="Impact assessment, under GDPR.")] = None,
    as_json: Json = False,
) -> None:
    """Build a release candidate out of recordings and put it before policy."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.request")
        made = request_release(
            gate,
            ReleaseRequest(
                recordings=recordings,
                purpose=purpose,
                recipient=recipient,
                mode=mode,
                expires_at=gate.clock() + timedelta(days=days),
                destination_zone=destination,
                map_number=map_number,
                dpia_reference=dpia_reference,
            ),
            actor=actor,
        )
        build_release(gate, made)
        judge_release(gate, made)
        summary = release_summary(gate, made)
    report(summary, as_json=as_json, line=release_lines(summary))


@release_app.command("resume")
@reporting
def release_resume(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Go on with a release whose building or judging was interrupted, or judge it anew under another policy.

    A new decision voids the approvals of the one before.
    """
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.resume")
        permit_on_release(gate, actor, "release.resume", release_id)
        if release_summary(gate, release_id)["state"] == "requested":
            build_release(gate, release_id)
        if _waits_for_a_decision(gate, release_id):
            judge_release(gate, release_id)
        summary = release_summary(gate, release_id)
    report(summary, as_json=as_json, line=release_lines(summary))


def _waits_for_a_decision(gate: Gate, release_id: str) -> bool:
    summary = release_summary(gate, release_id)
    if summary["state"] in ("judged", "approved"):
        return bool(summary["decision"]["bundle_digest"] != gate.bundle.bundle.digest)
    return bool(summary["state"] == "built")


@release_app.command("show")
@reporting
def release_show(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show what an approval would rest on: terms, digest, items, findings, decision, approvals.

    Nobody signs what they did not open: this look is the entry in the ledger that an approval needs.
    """
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.show")
        summary = review_release(gate, release_id, actor=actor)
    report(summary, as_json=as_json, line=release_lines(summary))


@release_app.command("contact-sheet")
@reporting
def release_contact_sheet(
    subject: Annotated[str, typer.Argument(help="Id of a release or a recording.")],
    out: Annotated[Path, typer.Option(help="PNG file to write; further pages get numbers.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Write masked places, cut from treated pictures, to look over before approving."""
    written = []
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.contact-sheet")
        for number, sheet in enumerate(review_sheets(gate, subject, actor=actor), start=1):
            file = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
            file.write_bytes(sheet)
            written.append(str(file))
    report(
        {"subject": subject, "files": written},
        as_json=as_json,
        line="\n".join(written) or f"{subject}: nothing was masked in a picture",
    )


@release_app.command("dossier")
@reporting
def release_dossier(
    release_id: ReleaseId,
    out: Annotated[Path, typer.Option(help="Folder to write to; made if it is not there.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    language: Annotated[
        Language | None, typer.Option("--lang", help="Only documents in this language.")
    ] = None,
    form: Annotated[DossierForm, typer.Option("--format", help="Which files to write.")] = DossierForm.ALL,
    edition: Annotated[
        Edition, typer.Option(help="`recipient` leaves out what joins releases.")
    ] = Edition.FULL,
    renew: Annotated[
        bool, typer.Option("--renew", help="Issue a new one that tells what happened since.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the dossier of a release: documents, their machine-readable twin, proofs and a verifier."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.dossier")
        issued = dossier_of(
            gate,
            release_id,
            actor=actor,
            edition=edition,
            names=chosen_files(form, language),
            renew=renew,
        )
        vkey = gate.ledger.signer.vkey
    written = write_dossier(issued, out)
    report(
        {"release": release_id, "edition": edition.value, "files": written, "vkey": vkey},
        as_json=as_json,
        line=f"{len(written)} files in {out}; verify with: python -m audit.verify_dossier {out} "
        f"--release-key FILE --vkey '{vkey}'",
    )


@release_app.command("approve")
@reporting
def release_approve(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Sign the release digest with your own key, after a look at the release and its contact sheet."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "release.approve")
        permit_on_release(gate, actor, "release.approve", release_id)  # before one's key signs anything
        with gate.database.read() as session:
            judged = load_judged(gate, session, release_id)
        statement = sign_approval(judged, actor.id, private, gate.clock())
        approve(gate, release_id, statement, actor=actor)
        summary = release_summary(gate, release_id)
    report(summary, as_json=as_json, line=release_lines(summary))


@release_app.command("publish")
@reporting
def release_publish(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Let an approved release out under a signed manifest."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.publish")
        approved = load_approved(gate, release_id, actor=actor)
        released = release(gate, approved, actor=actor)
    report(
        {
            "release": release_id,
            "digest": released.manifest["digest"],
            "items": len(released.manifest["items"]),
        },
        as_json=as_json,
        line=f"{release_id}: released, digest {released.manifest['digest']}",
    )


@release_app.command("key")
@reporting
def release_key(
    out: Annotated[Path | None, typer.Option(help="File to write the JWK to.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Print the public key that recipients pin to verify releases."""
    with opened() as gate:
        jwk = release_public_jwk(gate)
    if out is not None:
        out.write_text(jwk + "\n", encoding="utf-8")
    report({"release_key": jwk}, as_json=as_json, line=jwk)


@grant_app.command("issue")
@reporting
def grant_issue(
    release_id: ReleaseId,
    principal: Annotated[str, typer.Option(help="Who may read.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    days: Days = 30,
    until: Annotated[datetime | None, typer.Option(help="End, UTC; instead of --days.")] = None,
    as_json: Json = False,
) -> None:
    """Give a principal of the recipient a time-boxed right to read a release for its purpose."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "grant.issue")
        end = until.replace(tzinfo=UTC) if until else gate.clock() + timedelta(days=days)
        terms = GrantTerms(release=release_id, principal=principal, not_after=end)
        grant = issue_grant(gate, terms, actor=actor)
    report({"grant": grant, "not_after": end.isoformat()}, as_json=as_json, line=f"grant {grant} until {end}")


@grant_app.command("revoke")
@reporting
def grant_revoke(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """End a grant now."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "grant.revoke")
        revoke_grant(gate, grant, actor=actor)
    report({"grant": grant, "revoked": True}, as_json=as_json, line=f"{grant}: revoked")
