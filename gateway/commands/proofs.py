"""Commands for whoever has a certificate, a dossier or a report, and keys, and no gate."""

from pathlib import Path
from typing import Annotated

import typer

from audit import verify_dossier as dossiers
from audit import verify_report as reports
from audit.verify_destruction import run
from gateway.commands.session import Json

ReleaseKey = Annotated[
    str, typer.Option(help="The gate's release key that you pinned: a JWK, its base64url, or a file.")
]
VerifierKey = Annotated[str, typer.Option(help="The ledger's verifier key that you pinned, or a file.")]
Witnesses = Annotated[
    list[str] | None, typer.Option(help="Verifier key of a witness that you trust; repeat.")
]
Quorum = Annotated[int | None, typer.Option(help="How many of them must have cosigned; all by default.")]


def verify_certificate(
    certificate: Annotated[Path, typer.Argument(help="Certificate of destruction, as the gate wrote it.")],
    *,
    release_key: ReleaseKey,
    vkey: VerifierKey,
    ledger: Annotated[
        Path | None, typer.Option(help="Export, archive of tiles or bundle that must hold its entry.")
    ] = None,
    witness: Witnesses = None,
    quorum: Quorum = None,
    as_json: Json = False,
) -> None:
    """Verify a certificate of destruction offline: signature, key, and that the ledger holds its entry.

    Needs no gate: `python -m audit.verify_destruction` is the same.
    """
    status = run(
        certificate,
        release_key,
        vkey,
        ledger=ledger,
        witnesses=witness or (),
        quorum=quorum,
        as_json=as_json,
    )
    raise typer.Exit(status)


def verify_dossier(
    folder: Annotated[Path, typer.Argument(help="Folder of a dossier, as the gate wrote it.")],
    *,
    release_key: ReleaseKey,
    vkey: VerifierKey,
    witness: Witnesses = None,
    quorum: Quorum = None,
    as_json: Json = False,
) -> None:
    """Verify a dossier offline: signature, digests, proofs, manifest, approvals, and that the ledger records it.

    Needs no gate: `python -m audit.verify_dossier` is the same.
    """
    status = dossiers.run(folder, release_key, vkey, witnesses=witness or (), quorum=quorum, as_json=as_json)
    raise typer.Exit(status)


def verify_report(
    folder: Annotated[Path, typer.Argument(help="Folder of a report, as the gate wrote it.")],
    *,
    release_key: ReleaseKey,
    vkey: VerifierKey,
    witness: Witnesses = None,
    quorum: Quorum = None,
    as_json: Json = False,
) -> None:
    """Verify a report offline: signature, digests, proofs, rows against entries, and that the ledger records it.

    Needs no gate: `python -m audit.verify_report` is the same.
    """
    status = reports.run(folder, release_key, vkey, witnesses=witness or (), quorum=quorum, as_json=as_json)
    raise typer.Exit(status)
