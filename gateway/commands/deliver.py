"""Commands that bring recordings in and carry them on: ingest, status, work, erase."""

import hashlib
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar

from audit.verify_destruction import verify_destruction
from gateway.app import release_public_jwk
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.destruction import certify_destruction
from gateway.errors import InvalidRequestError
from gateway.flow.dossier import recording_summary, review_recording
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.scope import review_held
from gateway.people.delegations import assign_source, unit_of
from gateway.people.registry import Actor, check_in_carrier
from gateway.scheduler import JOBS, run_job
from gateway.vehicles.cameras import Camera, read_cameras
from gateway.vehicles.manifest import Manifest, ManifestItem, parse_manifest
from gateway.workers import Advance, Progress, advance, stalled

app = typer.Typer(no_args_is_help=True)
_CHUNK = 1024 * 1024


def collect(paths: Sequence[Path]) -> dict[str, Path]:
    """Item names and files below the paths, in a stable order; names are relative to each path given.

    Raises:
        InvalidRequestError: A path does not exist, there is no file, two files would have one name, or an
            entry is neither file nor folder: a link on a carrier may point anywhere on this machine.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InvalidRequestError(f"no such file or folder (got {str(path)!r})")
        entries = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in entries:
            if file.is_dir() and not file.is_symlink():
                continue
            if file.is_symlink() or not file.is_file():
                raise InvalidRequestError(f"neither file nor folder (got {str(file)!r}, links are refused)")
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            if name in found:
                raise InvalidRequestError(f"two files of one name (got {name!r})")
            found[name] = file
    if not found:
        raise InvalidRequestError(f"nothing to ingest (got {[str(p) for p in paths]})")
    return found


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _announced(name: str, path: Path) -> ManifestItem:
    digest, size = hashlib.sha256(), 0
    for chunk in _read(path):
        digest.update(chunk)
        size += len(chunk)
    return ManifestItem(name=name, size=size, sha256=digest.hexdigest(), captured_at=None)


def carrier_manifest(
    gate: Gate,
    carrier: str,
    files: dict[str, Path],
    *,
    region: str,
    crs: str,
    cameras: Sequence[Camera] = (),
) -> Manifest:
    """A manifest for what a carrier holds; the same files and cameras give the same recording again.

    Raises:
        ManifestError: A name, region, CRS or camera is not acceptable.
    """
    items = [_announced(name, path) for name, path in files.items()]
    described = [[camera.payload() for camera in cameras]] if cameras else []
    named = json.dumps([carrier, region, crs, [(i.name, i.sha256) for i in items], *described])
    keyed = hashlib.blake2b(named.encode(), key=gate.keystore.secret("digest"), digest_size=16).digest()
    times = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in files.values()]
    manifest = Manifest(
        vehicle=carrier,
        recording=str(uuid.UUID(bytes=keyed, version=4)),
        started_at=min(times),
        ended_at=max(times),
        region=region,
        crs=crs,
        cabin=False,
        audio=False,
        items=tuple(items),
        cameras=tuple(cameras),
    )
    return parse_manifest(manifest.payload())


def ingest_files(
    gate: Gate,
    manifest: Manifest,
    files: dict[str, Path],
    *,
    actor: Actor,
    attestation: str | None,
    progress: Progress | None = None,
) -> Advance | None:
    """Announce, receive and carry on what a carrier holds; resumes where an earlier call stopped."""
    delivery = Delivery(
        manifest=manifest, source="carrier", manifest_signed=False, zone_attestation=attestation
    )
    return receive_files(gate, delivery, files, actor=actor, progress=progress)


def receive_files(
    gate: Gate,
    delivery: Delivery,
    files: dict[str, Path],
    *,
    actor: Actor,
    progress: Progress | None = None,
) -> Advance | None:
    """Announce a delivery, receive its items from files and carry it on; resumes where an earlier call stopped."""
    recording = announce(gate, delivery, actor=actor)
    items = delivery.manifest.items
    for position, item in enumerate(items):
        receive_item(gate, recording, position, _read(files[item.name]), actor=actor)
        if progress:
            progress("receive", position + 1, len(items))
    return advance(gate, recording, progress=progress)


@app.command()
@reporting
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Folders or files of one drive.")],
    carrier: Annotated[str, typer.Option(help="Id of the disk that they came on; it is checked in.")],
    region: Annotated[str, typer.Option(help="Six-digit GB/T 2260 code of where the drive took place.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit that collected what the disk holds; once stated, it need not be again."),
    ] = None,
    crs: Annotated[str, typer.Option(help="Coordinate reference system of its positions.")] = "EPSG:4326",
    attest_outside_zones: Annotated[
        str | None,
        typer.Option(help="Attest, with the reason, that items without a position lie outside every zone."),
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Calibration file (JSON) of the cameras that took the pictures and videos.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ingest files from a carrier that a compliance officer checks in; safe to repeat after an interruption."""
    files = collect(paths)
    described = () if cameras is None else read_cameras(cameras.read_bytes())
    with opened() as gate, showing(quiet=as_json) as progress:
        actor, private = acting(gate, person, key, key_passphrase_file, "ingest")
        check_in_carrier(gate, carrier, actor=actor, key=private)
        if unit is not None and unit_of(gate, carrier, gate.clock()) != unit:
            assign_source(gate, carrier, unit, actor=actor, key=private)
        manifest = carrier_manifest(gate, carrier, files, region=region, crs=crs, cameras=described)
        ingest_files(gate, manifest, files, actor=actor, attestation=attest_outside_zones, progress=progress)
        summary = recording_summary(gate, manifest.recording)
    report(summary, as_json=as_json, line=recording_lines(summary))


class showing:  # noqa: N801 (reads as a context manager)
    """A progress bar on standard error.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = ProgressBar(*columns, console=Console(file=sys.stderr), disable=quiet, transient=True)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        self._bar.start()

        def show(stage: str, done: int, total: int) -> None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bar.add_task(stage, total=total)
            self._bar.update(self._tasks[stage], completed=done)

        return show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def recording_lines(summary: dict[str, Any]) -> str:
    """A recording for people to read."""
    lines = [f"recording {summary['recording']}: {summary['state']}"]
    lines += hold_lines(summary.get("hold"))
    for item in summary.get("items", []):
        why = f"  {item['reason']}: {item['detail']}" if "reason" in item else ""
        lines.append(f"  {item['state']:<12} {item['name']}{why}")
    return "\n".join(lines)


def hold_lines(hold: dict[str, Any] | None) -> list[str]:
    """Why a recording is held as a whole, in Chinese and English; nothing where it is not."""
    if hold is None:
        return []
    lines = [f"  held in quarantine since {hold['since']} (entry {hold['entry']})  自该时起留在隔离区"]
    for each in hold["violations"]:
        lines += [
            f"  {each['rule']}  {each['clause']}",
            f"    {each['text_zh']}",
            f"    {each['text_en']}",
            *(f"    {json.dumps(fact, ensure_ascii=False, sort_keys=True)}" for fact in each["facts"]),
        ]
    return lines


@app.command()
@reporting
def status(
    recording: Annotated[str, typer.Argument(help="Id of the recording.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Show where a recording and each of its items stand, and why it or any of them is held."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "status")
        summary = review_recording(gate, recording, actor=actor)
    report(summary, as_json=as_json, line=recording_lines(summary))


@app.command()
@reporting
def held(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most recordings to print.")] = 50,
    after: Annotated[int | None, typer.Option(help="Cursor of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List recordings that are held because no certificate covers them, and why; longest held first."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "held")
        page = review_held(gate, actor=actor, limit=limit, after=after)
    lines = [
        line
        for each in page.recordings
        for line in (
            f"{each['recording']}  {each['source']} {each['source_id']}  {each['region']}  {each['received_at']}",
            *hold_lines(each["hold"]),
        )
    ]
    if page.cursor is not None:
        lines.append(f"还有更多 / more: --after {page.cursor}")
    report(
        {"recordings": page.recordings, "cursor": page.cursor},
        as_json=as_json,
        line="\n".join(lines) or "没有录制因资质被留置 / no recording is held",
    )


@app.command()
@reporting
def work(*, as_json: Json = False) -> None:
    """Carry on every recording that has work left and that no live worker holds.

    Recordings that are held because no certificate covered them are asked about again.
    """
    with opened() as gate, showing(quiet=as_json) as progress:
        done = [advance(gate, recording, progress=progress) for recording in stalled(gate)]
    results = [each for each in done if each is not None]
    outside = [each.recording for each in results if each.outside is not None]
    report(
        {
            "recordings": [r.recording for r in results],
            "held": sum(r.held for r in results),
            "outside": outside,
        },
        as_json=as_json,
        line="\n".join(
            [
                f"{len(results) - len(outside)} recordings carried on",
                *(f"{each}: no certificate covers it, held in quarantine" for each in outside),
            ]
        ),
    )


@app.command()
@reporting
def job(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(JOBS)}.")], *, as_json: Json = False
) -> None:
    """Run one scheduled job now."""
    if name not in JOBS:
        raise typer.BadParameter(f"no such job (got {name!r}, expected one of {sorted(JOBS)})")
    with opened() as gate:
        report(dict(run_job(gate, name)), as_json=as_json)


@app.command()
@reporting
def erase(
    recording: Annotated[str, typer.Argument(help="Id of the recording.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    out: Annotated[
        Path | None, typer.Option(help="File to write the certificate of destruction to; it must not exist.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Destroy a recording's key: every copy becomes unreadable, releases that draw on it are revoked.

    Safe to repeat: the certificate of destruction is issued once, and given again.
    """
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} exists (expected a free name)")
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "erase")
        erase_recording(gate, recording, actor=actor)
        certificate = certify_destruction(gate, recording)
        said = verify_destruction(
            certificate, release_public_jwk(gate, certificate), gate.ledger.signer.vkey
        ).says
    if out is not None:
        with out.open("x", encoding="ascii") as file:
            file.write(certificate)
    report(
        {"recording": recording, "erased": True, "certificate": certificate, "says": said},
        as_json=as_json,
        line=f"{recording}: erased\n{said['text']['zh']}\n{said['text']['en']}\n{certificate}",
    )
