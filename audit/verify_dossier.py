"""Verifier of a dossier: this file, four more ``verify*.py`` of its folder, and ``cryptography``.

Usage: ``python -m audit.verify_dossier FOLDER --release-key KEY --vkey VKEY``, with ``--witness VKEY`` for each
witness that is trusted and ``--quorum N`` for how many of them are needed (all). Keys are text or files.
Exit status: 0 the dossier verifies, 1 it does not, 2 the call was wrong.

1. ``dossier.jws`` is signed by the release key.
2. Every file that it names and that lies here has the digest that was signed; ``dossier.json`` lies here.
3. The twin is of the release, edition and checkpoint that were signed.
4. The twin's checkpoint is checked as ``verify.py`` does, with its witnesses.
5. Each of its entries is proved to be in the tree; one of them is the publication of this very digest. Where the
   twin tells the lineage of its items, each stage's evidence is attested by a proved entry of that item or
   release, and continues the stage before it.
6. The release manifest in the twin is signed by the release key, states that digest and the same items.
7. Each approval is signed over that digest, by a person who is not the submitter: by the key that the twin states,
   Ed25519 or SM2, or by a security key (WebAuthn) that this key registered. Another form is refused.
8. ``receipt.json`` proves that the ledger records the digest of ``dossier.jws``.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from audit import verify
    from audit.verify_assertion import is_assertion, read_assertion, verify_assertion
    from audit.verify_folder import (
        PublicKey,
        public_of,
        read,
        receipt_entry,
        signed_files,
        statement_of,
        text_of,
    )
except ImportError:  # copied elsewhere, beside verify.py
    import verify  # type: ignore[import-not-found, no-redef]
    from verify_assertion import (  # type: ignore[import-not-found, no-redef]
        is_assertion,
        read_assertion,
        verify_assertion,
    )
    from verify_folder import (  # type: ignore[import-not-found, no-redef]
        PublicKey,
        public_of,
        read,
        receipt_entry,
        signed_files,
        statement_of,
        text_of,
    )

STATEMENT = "fleetgate-dossier+jwt"
MANIFEST = "fleetgate-release+jwt"
APPROVAL = "fleetgate-approval+jwt"
ACT = "fleetgate-act+jwt"
_PROVES_STAGES = 2
_CHAINED = {
    "received": ("intake:item:receive", "item"),
    "classified": ("classify:item:classify", "item"),
    "cleansed": ("cleanse:item:cleanse", "item"),
    "built": ("release:release:build", "release"),
    "judged": ("judge:release:judge", "release"),
}
_TOLD = ("name", "media_type", "class", "level", "size", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDossier:
    """A dossier whose every step verified.

    Attributes:
        release: Id of the release.
        digest: Its digest.
        edition: For whom the dossier is.
        as_of: The moment that it speaks of.
        files: Files that lie here and have the digests that were signed.
        absent: Files that were signed and do not lie here.
        entries: Entries that are proved.
        stages: Stages of items whose evidence is attested by proved entries.
        approvals: Approvals that are verified.
    """

    release: str
    digest: str
    edition: str
    as_of: str
    files: tuple[str, ...]
    absent: tuple[str, ...]
    entries: int
    stages: int
    approvals: int


def verify_dossier(
    folder: Path,
    release_key: str,
    vkey: str,
    *,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
) -> VerifiedDossier:
    """Verify the dossier in a folder; the steps are those of this module.

    Args:
        folder: Where its files lie.
        release_key: The operator's release key as JWK (``fleetgate release key``), got by another way.
        vkey: The ledger's verifier key (``fleetgate audit key``), got by another way.
        witnesses: Verifier keys of the witnesses that are trusted.
        quorum: How many of them must have cosigned; None for all.

    Raises:
        BadKeyError: if a key is malformed or the quorum is impossible.
        BadExportError: at the first step that fails.
    """
    public = public_of(release_key)
    signed = read(folder, "dossier.jws")
    try:
        said = statement_of(signed.decode("ascii", "replace"), STATEMENT, public)  # 1.
        present, absent = signed_files(folder, said["files"], twin="dossier.json")  # 2.
        twin = json.loads(read(folder, "dossier.json"))
        release, checkpoint = twin["release"], twin["checkpoint"]
        _same("dossier.json", said, twin)  # 3.
        size, root, _ = verify.open_checkpoint(
            checkpoint["note"], vkey, witnesses=witnesses, quorum=quorum
        )  # 4.
        if size != checkpoint["size"]:
            raise verify.BadExportError(f"checkpoint has another size (got {size})")
        entries = [
            verify.check_proved(each["index"], each["leaf"], each["proof"], size, root)
            for each in twin["ledger"]
        ]  # 5.
        _published(entries, release)
        stages = _stages(twin, entries, size, root)
        manifest = statement_of(twin["manifest"], MANIFEST, public)  # 6.
        _manifest(manifest, twin)
        checked = _approvals(twin, manifest)  # 7.
        _receipt(folder, said, signed, vkey, witnesses, quorum)  # 8.
    except verify.BadKeyError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise verify.BadExportError(f"the dossier lacks what proves it: {exc!r}") from exc
    return VerifiedDossier(
        release=release["id"],
        digest=release["digest"],
        edition=said["edition"],
        as_of=said["as_of"],
        files=present,
        absent=absent,
        entries=len(entries),
        stages=stages,
        approvals=checked,
    )


def _same(name: str, said: Mapping[str, Any], twin: Mapping[str, Any]) -> None:
    stated = (said["release"], said["digest"], said["edition"], said["size"], said["as_of"])
    found = (
        twin["release"]["id"],
        twin["release"]["digest"],
        twin["edition"],
        twin["checkpoint"]["size"],
        twin["checkpoint"]["as_of"],
    )
    if found != stated:
        raise verify.BadExportError(f"{name} is of another dossier (got {found}, expected {stated})")


def _published(entries: Sequence[Mapping[str, Any]], release: Mapping[str, Any]) -> None:
    begun = {
        entry["index"]
        for entry in entries
        if entry["type"] == "release:release:publish"
        and entry.get("release") == release["id"]
        and entry.get("digests", {}).get("release") == release["digest"]
    }
    done = [e for e in entries if e["type"] == "release:release:publish" and e["outcome"] == "completed"]
    if not any(entry.get("intent") in begun for entry in done):
        raise verify.BadExportError(f"no entry proves that {release['id']} went out at its digest")


def _stages(twin: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], size: int, root: bytes) -> int:
    """How many stages are proved; a recipient's edition and the first version of a twin tell none."""
    if twin["version"] < _PROVES_STAGES or "lineage" not in twin:
        return 0
    proved = {entry["index"]: entry for entry in entries}
    for each in twin["lineage_ledger"]:
        proved[each["index"]] = verify.check_proved(each["index"], each["leaf"], each["proof"], size, root)
    if [item["name"] for item in twin["lineage"]] != [item["name"] for item in twin["items"]]:
        raise verify.BadExportError("the lineage is of other items")
    checked = 0
    for item in twin["lineage"]:
        if [stage["stage"] for stage in item["stages"]] != list(_CHAINED):
            raise verify.BadExportError(f"{item['name']} passed other stages (got {item['stages']})")
        before = None
        for stage in item["stages"]:
            _stage(item, stage, proved.get(stage["entry"]), twin["release"]["id"], before)
            before = stage["evidence"]
            checked += 1
    return checked


def _stage(
    item: Mapping[str, Any],
    stage: Mapping[str, Any],
    entry: Mapping[str, Any] | None,
    release: str,
    before: str | None,
) -> None:
    name = f"stage {stage['stage']!r} of {item['name']!r}"
    if entry is None:
        raise verify.BadExportError(f"no entry is proved for {name} (expected entry {stage['entry']})")
    kind, of = _CHAINED[stage["stage"]]
    owner = {"item": item["recording"]["item"], "release": release}[of]
    found = (entry["type"], entry["outcome"], entry["object"], entry["digests"].get("evidence"))
    expected = (kind, "completed", owner, stage["evidence"])
    if found != expected:
        raise verify.BadExportError(
            f"the entry of {name} attests something else (got {found})", entry["index"]
        )
    # What was built rests on many items, and names none of them as the one before it.
    if stage["stage"] not in {"received", "built"} and entry["digests"].get("previous") != before:
        raise verify.BadExportError(f"{name} does not continue the stage before it", entry["index"])


def _manifest(manifest: Mapping[str, Any], twin: Mapping[str, Any]) -> None:
    release = twin["release"]
    if (manifest["release"], manifest["digest"]) != (release["id"], release["digest"]):
        raise verify.BadExportError("the manifest is of another release or digest")
    found, expected = (
        [[item[key] for key in _TOLD] for item in items] for items in (twin["items"], manifest["items"])
    )
    if found != expected:
        raise verify.BadExportError("the dossier lists other items than the manifest")


def _approvals(twin: Mapping[str, Any], manifest: Mapping[str, Any]) -> int:
    release, checked = twin["release"], 0
    if sorted(a["statement"] for a in twin["approvals"]) != sorted(manifest["approvals"]):
        raise verify.BadExportError("the dossier lists other approvals than the manifest")
    for approval in twin["approvals"]:
        try:
            public = public_of(approval["key"])
        except verify.BadKeyError as exc:
            raise verify.BadExportError(f"key of {approval['approver']}: {exc}") from exc
        said = _approved(approval, public)
        stated = (said["release"], said["digest"], said["approver"])
        if stated != (release["id"], release["digest"], approval["approver"]):
            raise verify.BadExportError(f"approval of {approval['approver']} is for something else")
        if approval["approver"] == release["submitter"]:
            raise verify.BadExportError(f"the submitter approved ({approval['approver']})")
        checked += 1
    if not checked:
        raise verify.BadExportError("the dossier holds no approval")
    return checked


def _approved(approval: Mapping[str, Any], public: PublicKey) -> dict[str, Any]:
    """What an approver signed, by the key that they are enrolled by or by a security key that it registered."""
    if not is_assertion(approval["statement"]):
        return statement_of(approval["statement"], APPROVAL, public)
    document = read_assertion(approval["statement"])
    registered = statement_of(document["registration"], ACT, public)
    if registered["person"] != approval["approver"]:
        raise verify.BadExportError(f"security key is registered for {registered['person']!r}")
    return verify_assertion(document, registered)


def _receipt(
    folder: Path,
    said: Mapping[str, Any],
    signed: bytes,
    vkey: str,
    witnesses: Sequence[str],
    quorum: int | None,
) -> None:
    entry = receipt_entry(folder, vkey, witnesses, quorum)
    stated = (entry["type"], entry["outcome"], entry["object"], entry["digests"].get(said["edition"]))
    digest = hashlib.sha256(signed.strip()).hexdigest()
    if stated != ("dossier:release:issue", "completed", said["release"], digest):
        raise verify.BadExportError(f"the receipt's entry does not record this dossier (got {stated})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    return run(
        options.folder,
        options.release_key,
        options.vkey,
        witnesses=options.witness,
        quorum=options.quorum,
        as_json=options.json,
    )


def run(
    folder: Path,
    release_key: str,
    vkey: str,
    *,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
    as_json: bool = False,
) -> int:
    """Verify a folder and print the result; return the exit status.

    Args:
        folder: Where the files of the dossier lie.
        release_key: The key, or a file that holds it.
        vkey: The ledger's verifier key, or a file that holds it.
        witnesses: See :func:`verify_dossier`.
        quorum: See :func:`verify_dossier`.
        as_json: Print one JSON document.
    """
    try:
        found = verify_dossier(
            folder, text_of(release_key), text_of(vkey), witnesses=witnesses, quorum=quorum
        )
    except verify.BadExportError as exc:
        record: dict[str, Any] = {"ok": False, "index": exc.index, "reason": exc.reason}
        text = f"BAD 档案未通过验证 / the dossier does not verify: {exc.reason}"
        sys.stdout.write((json.dumps(record, ensure_ascii=False) if as_json else text) + "\n")
        return 1
    except (verify.BadKeyError, OSError, UnicodeDecodeError) as exc:
        sys.stderr.write(f"verify_dossier: {exc}\n")
        return 2
    record = {"ok": True, **{name: getattr(found, name) for name in VerifiedDossier.__slots__}}
    sys.stdout.write((json.dumps(record, sort_keys=True) if as_json else _told(found)) + "\n")
    return 0


def _told(found: VerifiedDossier) -> str:
    lines = [
        f"OK 档案通过验证 / the dossier verifies: release {found.release} ({found.edition}), as of {found.as_of}",
        f"digest {found.digest}",
        f"{len(found.files)} files, {found.entries} entries of the ledger, {found.approvals} approvals",
        f"{found.stages} stages of items are attested by proved entries",
    ]
    if found.absent:
        lines.append(f"NOTE signed and not here: {', '.join(found.absent)}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verify_dossier", description="Verify a release dossier, offline.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where its files lie")
    parser.add_argument(
        "--release-key", required=True, metavar="KEY", help="the gate's release key, or a file"
    )
    parser.add_argument("--vkey", required=True, help="verifier key of the ledger, or a file")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="verifier key of a witness; repeat"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="witnesses that must have cosigned (all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
