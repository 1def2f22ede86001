"""``fleetgate demo``: one recording through every stage of a real gate, with real parts, on this machine."""

import io
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from joserfc.jwk import OKPKey
from pydantic import SecretStr

from audit.export import export_ledger
from audit.verify import verify_export
from gateway.app import initialise, open_gate, release_public_jwk
from gateway.commands.deliver import carrier_manifest, collect, ingest_files, recording_lines
from gateway.commands.demo_drive import REGION, make_drive
from gateway.commands.releases import release_lines
from gateway.commands.session import Json, report, reporting
from gateway.errors import GatewayError
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release, load_built
from gateway.flow.dossier import recording_summary, release_summary, review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import DataClass, Level, RecordingState, ReleaseMode
from gateway.flow.release import GrantTerms, issue_grant, load_approved, release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.assessments import Assessment, AssessmentKind, register_assessment
from gateway.people.certificates import NewCertificate, register_certificate
from gateway.people.delegations import assign_source
from gateway.people.recipients import Contract, Inspection, record_inspection, register_contract
from gateway.people.registry import (
    Actor,
    NewPerson,
    check_in_carrier,
    enrol_person,
    enrol_vehicle,
    prove,
    register_purpose,
    register_recipient,
)
from gateway.people.zones import install_zones
from gateway.review.contact_sheet import review_sheets
from gateway.review.quality import draw_sample, record_counts, show_pictures, sign_counts
from gateway.review.quality_counts import KindCount, PictureCount
from gateway.review.quality_standing import Quality, quality_standing
from gateway.server import create_app
from gateway.settings import Settings
from gateway.vault.jws import generate_person_key, public_text
from gateway.vault.key_files import save_private_key
from gateway.vehicles.agent import Collection, VehicleAgent

app = typer.Typer()

PURPOSE = "perception-training"
RECIPIENT = "demo-perception-team"
VEHICLE = "demo-vehicle-01"
CARRIER = "demo-carrier-01"
UNIT = "demo-unit"
_TIMEOUT_S = 600.0
_EMPTY_ZONES = b'{"type":"FeatureCollection","name":"demo-none","version":1,"features":[]}'


class DemoError(GatewayError):
    """The demonstration did not go as it must; what it says is a defect, not a refusal."""

    reason = "demo_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of the demonstration, with their private key."""

    actor: Actor
    key: OKPKey
    key_file: Path


class Narrator:
    """Tells each step, its evidence and where to look; collects them for ``--json``."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self.steps: list[dict[str, Any]] = []

    def step(self, title: str, evidence: str, **facts: Any) -> None:
        """Tell one step."""
        elapsed = time.monotonic() - self._started
        number = len(self.steps) + 1
        self.steps.append({"step": number, "title": title, "elapsed_s": round(elapsed, 1), **facts})
        if not self._quiet:
            typer.echo(f"\n[{number:>2}] {title}  ({elapsed:.1f} s)")
            for line in evidence.splitlines():
                typer.echo(f"     {line}")


def _folder(wanted: Path) -> Path:
    """A folder of its own for each run: an earlier demonstration is kept to look at."""
    for number in range(1, 1000):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            continue
        return folder
    raise DemoError(f"no free folder name (got {wanted})")


def _write_secret(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content + "\n")


def _enrol(gate: Gate, folder: Path, passphrase: str, person: str, *roles: str, **more: Any) -> Person:
    key = generate_person_key()
    file = folder / "keys" / f"{person}.pem"
    save_private_key(key, file, passphrase)
    enrol_person(
        gate,
        NewPerson(
            id=person,
            roles=roles,
            nationality="CN",
            entity_country="CN",
            public_jwk=public_text(key),
            **more,
        ),
        by="bootstrap" if roles == ("administrator",) else "demo-admin",
    )
    return Person(actor=prove(gate, person, key, "demo"), key=key, key_file=file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody in the demonstration."""

    officer: Person
    submitter: Person
    first: Person
    second: Person
    engineer: Person
    stranger: Person


def _set_up(gate: Gate, folder: Path, passphrase: str, zones: bytes) -> Cast:
    (folder / "keys").mkdir(mode=0o700)
    admin = _enrol(gate, folder, passphrase, "demo-admin", "administrator")
    register_recipient(gate, RECIPIENT, country="CN", contract="DEMO-CONTRACT-1", actor=admin.actor)
    cast = Cast(
        officer=_enrol(gate, folder, passphrase, "officer-chen", "compliance_officer"),
        submitter=_enrol(gate, folder, passphrase, "operator-sun", "operator"),
        first=_enrol(gate, folder, passphrase, "operator-li", "operator"),
        second=_enrol(gate, folder, passphrase, "operator-zhao", "operator"),
        engineer=_enrol(gate, folder, passphrase, "engineer-wu", "engineer", recipient=RECIPIENT),
        stranger=_enrol(gate, folder, passphrase, "engineer-ma", "engineer", recipient=RECIPIENT),
    )
    register_purpose(gate, PURPOSE, assessment="DEMO-PIA-1", actor=admin.actor)
    register_purpose(gate, "marketing", assessment="DEMO-PIA-2", actor=admin.actor)
    register_certificate(
        gate,
        NewCertificate(
            number="DEMO-甲测资字-0000",
            kinds=["navigation_map"],
            grade="A",
            holder=UNIT,
            regions=[REGION[:2]],
            valid_from=datetime(2000, 1, 1, tzinfo=UTC),
            valid_to=datetime(2099, 12, 31, tzinfo=UTC),
            unverified=True,
        ),
        b"a made-up certificate, for demonstration",
        actor=cast.officer.actor,
        key=cast.officer.key,
    )
    _oversee(gate, cast.officer)
    install_zones(gate, zones, actor=cast.officer.actor, key=cast.officer.key)
    return cast


def _oversee(gate: Gate, officer: Person) -> None:
    """Contract, inspection and assessments, all made up, under which the demonstration's releases may go out."""
    start, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
    signer: dict[str, Any] = {"actor": officer.actor, "key": officer.key}
    contract = Contract(
        recipient=RECIPIENT,
        number="DEMO-CONTRACT-1",
        valid_from=start,
        valid_to=end,
        purposes=[PURPOSE, "marketing"],
    )
    register_contract(gate, contract, b"a made-up contract, for demonstration", **signer)
    inspection = Inspection(
        recipient=RECIPIENT, inspected_at=gate.clock(), inspector=officer.actor.id, finding=""
    )
    record_inspection(gate, inspection, b"a made-up report, for demonstration", **signer)
    for purpose in (PURPOSE, "marketing"):
        for kind in AssessmentKind:
            assessment = Assessment(
                purpose=purpose,
                kind=kind,
                reference=f"DEMO-{kind.value}-{purpose}",
                made_at=start,
                valid_until=end,
                classes=[each.value for each in DataClass],
                levels=[each.name for each in Level if each < Level.S4_STATE_SECRET],
            )
            register_assessment(gate, assessment, b"a made-up assessment, for demonstration", **signer)


@contextmanager
def _serving(gate: Gate) -> Iterator[str]:
    """The real server on a loopback port for as long as the context lasts."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(gate), log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise DemoError("the server did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _deliver_drive(gate: Gate, folder: Path, url: str, officer: Person) -> str:
    """The generated drive, delivered by an enrolled vehicle over HTTP under a signed manifest."""
    drive = make_drive()
    sources = {}
    for name, content in drive.files.items():
        path = folder / "vehicle" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sources[name] = path
    key = generate_person_key()
    enrol_vehicle(gate, VEHICLE, public_text(key), actor=officer.actor)
    assign_source(gate, VEHICLE, UNIT, actor=officer.actor, key=officer.key)
    collection = Collection(
        recording=str(uuid.uuid4()),
        started_at=drive.started_at,
        ended_at=drive.ended_at,
        region=REGION,
        crs="EPSG:4326",
    )
    with VehicleAgent(url, VEHICLE, key) as agent:
        manifest = agent.build_manifest(sources, collection, drive.captured_at)
        agent.deliver(manifest, sources)
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        summary = recording_summary(gate, manifest.recording)
        if summary["state"] == RecordingState.CLEANSED:
            return manifest.recording
        if time.monotonic() > deadline:
            raise DemoError(f"recording is not cleansed (got state {summary['state']!r})")
        time.sleep(0.2)


def _ingest_folder(gate: Gate, source: Path, officer: Person) -> str:
    """The user's own folder, on a carrier that the compliance officer checks in."""
    check_in_carrier(gate, CARRIER, actor=officer.actor, key=officer.key)
    assign_source(gate, CARRIER, UNIT, actor=officer.actor, key=officer.key)
    files = collect([source])
    manifest = carrier_manifest(gate, CARRIER, files, region=REGION, crs="EPSG:4326")
    reason = "demonstration: the user vouches for items that carry no position"
    ingest_files(gate, manifest, files, actor=officer.actor, attestation=reason)
    return manifest.recording


def _fetch(
    folder: Path, url: str, release_id: str, reader: Person, *, purpose: str, out: str
) -> tuple[int, dict[str, Any]]:
    """``fleetgate fetch`` as the engineer runs it, in a process of its own."""
    command = [
        *(sys.executable, "-m", "gateway.cli", "fetch", release_id, "--url", url),
        *("--key", str(reader.key_file), "--passphrase-file", str(folder / "passphrase")),
        *("--principal", reader.actor.id, "--purpose", purpose),
        *("--release-key", str(folder / "release-key.jwk"), "--out", str(folder / out), "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603 (our own command)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError as error:
        raise DemoError(f"fetch said neither result nor refusal: {done.stderr.strip()[-500:]}") from error


def _must_refuse(title: str, outcome: tuple[int, dict[str, Any]], say: Narrator) -> None:
    code, answer = outcome
    if code != 1 or "reason" not in answer:
        raise DemoError(f"{title} was not refused (got exit status {code})")
    rules = ", ".join(v["rule"] for v in answer.get("violations", []))
    text = [answer["detail"], *(f"{v['text_zh']} / {v['text_en']}" for v in answer.get("violations", []))]
    say.step(f"Refused: {title}", "\n".join(text), refused=answer["reason"], rules=rules)


@contextmanager
def _tampered(folder: Path) -> Iterator[None]:
    """Flip one byte in every sealed file, and put it back afterwards."""
    changed: list[tuple[Path, bytes]] = []
    for path in sorted((folder / "home" / "objects").rglob("*")):
        if path.is_file() and path.suffix != ".manifest":
            content = path.read_bytes()
            position = min(len(content) - 1, 256)
            path.chmod(0o600)
            path.write_bytes(content[:position] + bytes([content[position] ^ 1]))
            changed.append((path, content))
    try:
        yield
    finally:
        for path, content in changed:
            path.write_bytes(content)


def _count_pictures(gate: Gate, place: Path, release_id: str, reviewer: Person, say: Narrator) -> None:
    """The sample that a person has to count in; here nobody looks, and the demonstration says so."""
    with gate.database.read() as session:
        if quality_standing(gate, session, load_built(gate, session, release_id)) is Quality.NO_PICTURES:
            return
    drawn = draw_sample(gate, release_id, actor=reviewer.actor)
    folder = place / "quality"
    folder.mkdir(mode=0o700)
    for number, sheet in show_pictures(gate, release_id, actor=reviewer.actor):
        (folder / f"picture-{number:05}.png").write_bytes(sheet)
    nothing = KindCount(masked=0, missed=0)
    counts = [PictureCount(picture=number, face=nothing, plate=nothing) for number in drawn["waiting"]]
    if counts:
        statement = sign_counts(gate, release_id, counts, reviewer=reviewer.actor.id, key=reviewer.key)
        record_counts(gate, release_id, statement, actor=reviewer.actor)
    say.step(
        "A sample of pictures drawn and counted (nobody looked: this is a demonstration)",
        f"{drawn.get('sampled', 0)} of {drawn.get('pictures', 0)} pictures, as they would leave: {folder}\n"
        f"the demonstration itself recorded, as {reviewer.actor.id}, that nothing shows in any of them\n"
        "in your gate a person counts, or no picture leaves (fleetgate quality record)",
        sampled=drawn.get("sampled", 0),
        simulated_reviewer=True,
    )


def _approve_and_publish(gate: Gate, release_id: str, cast: Cast) -> str:
    for person in (cast.first, cast.second):
        with gate.database.read() as session:
            judged = load_judged(gate, session, release_id)
        review_release(gate, release_id, actor=person.actor)
        list(review_sheets(gate, release_id, actor=person.actor))
        statement = sign_approval(judged, person.actor.id, person.key, gate.clock())
        approve(gate, release_id, statement, actor=person.actor)
    approved = load_approved(gate, release_id, actor=cast.first.actor)
    release(gate, approved, actor=cast.first.actor)
    grant = GrantTerms(
        release=release_id,
        principal=cast.engineer.actor.id,
        not_after=gate.clock() + timedelta(days=7),
    )
    return issue_grant(gate, grant, actor=cast.first.actor)


def _verify_ledger(gate: Gate, folder: Path, say: Narrator) -> None:
    verified = gate.ledger.verify()
    stream = io.BytesIO()
    export_ledger(gate.ledger, stream)
    file = folder / "ledger-export.jsonl"
    file.write_bytes(stream.getvalue())
    vkey = gate.ledger.signer.vkey
    stream.seek(0)
    checked = verify_export(stream, vkey)
    say.step(
        "The ledger verifies, inside the gate and by the stand-alone verifier",
        f"{verified.size} entries, root {verified.root.hex()}\n"
        f"export of {checked.count} entries proved under {vkey}\n"
        f"check it yourself: python -m audit.verify {file} --vkey '{vkey}'",
        entries=verified.size,
        root=verified.root.hex(),
    )


@app.command()
@reporting
def demo(
    *,
    source: Annotated[
        Path | None, typer.Option("--input", exists=True, file_okay=False, help="Your own folder instead.")
    ] = None,
    mode: Annotated[ReleaseMode, typer.Option(help="How positions leave.")] = ReleaseMode.LOCAL,
    folder: Annotated[Path, typer.Option("--dir", help="Where the demonstration keeps everything.")] = Path(
        "fleetgate-demo"
    ),
    as_json: Json = False,
) -> None:
    """Carry a recording through every stage of the gate, then try three things that must be refused."""
    say = Narrator(quiet=as_json)
    place = _folder(folder.absolute())
    passphrase = secrets.token_urlsafe(24)
    _write_secret(place / "passphrase", passphrase)
    logging.basicConfig(filename=place / "gate.log", level=logging.INFO, force=True)
    settings = Settings(home=place / "home", passphrase=SecretStr(passphrase))
    initialise(settings)
    with open_gate(settings) as gate:
        release_id = _carry(gate, place, passphrase, source, mode, say)
        _verify_ledger(gate, place, say)
    report(
        {"folder": str(place), "release": release_id, "steps": say.steps},
        as_json=as_json,
        line=_closing(place),
    )


def _carry(
    gate: Gate, place: Path, passphrase: str, source: Path | None, mode: ReleaseMode, say: Narrator
) -> str:
    say.step(
        "A gate of its own",
        f"home {gate.settings.home}\npolicy bundle {gate.bundle.bundle.digest} judged by {gate.engine.name}\n"
        f"treatment profile {gate.profile.profile.name} ({gate.profile.digest})",
        bundle=gate.bundle.bundle.digest,
    )
    cast = _set_up(gate, place, passphrase, make_drive().zones if source is None else _EMPTY_ZONES)
    (place / "release-key.jwk").write_text(release_public_jwk(gate) + "\n", encoding="utf-8")
    say.step(
        "People, a surveying certificate, a recipient, a purpose and a signed zone file",
        f"private keys in {place / 'keys'}, opened by {place / 'passphrase'}\n"
        "the certificate is a placeholder and marked unverified",
    )
    with _serving(gate) as url:
        if source is None:
            recording = _deliver_drive(gate, place, url, cast.officer)
        else:
            recording = _ingest_folder(gate, source, cast.officer)
        summary = recording_summary(gate, recording)
        say.step(
            "Received, quarantined, classified, cleansed",
            recording_lines(summary)
            + f"\nsealed originals and treated files: {gate.settings.home / 'objects'}",
            recording=recording,
            items={i["name"]: i["state"] for i in summary["items"]},
        )
        request = ReleaseRequest(
            recordings=[recording],
            purpose=PURPOSE,
            recipient=RECIPIENT,
            mode=mode,
            expires_at=gate.clock() + timedelta(days=30),
        )
        release_id = request_release(gate, request, actor=cast.submitter.actor)
        build_release(gate, release_id)
        _count_pictures(gate, place, release_id, cast.officer, say)
        judge_release(gate, release_id)
        shown = release_summary(gate, release_id)
        say.step("Unlinked and judged", release_lines(shown), release=release_id, digest=shown["digest"])
        grant = _approve_and_publish(gate, release_id, cast)
        say.step(
            "Approved by two operators, released, granted",
            f"{cast.first.actor.id} and {cast.second.actor.id} signed digest {shown['digest']}\n"
            f"grant {grant} for {cast.engineer.actor.id}",
            grant=grant,
        )
        code, fetched = _fetch(place, url, release_id, cast.engineer, purpose=PURPOSE, out="released")
        if code != 0:
            raise DemoError(f"the engineer could not fetch the release: {fetched}")
        say.step(
            "Fetched by the engineer and verified against the signed manifest",
            f"{len(fetched['fetched'])} files, {fetched['bytes']} bytes in {fetched['folder']}",
            files=len(fetched["fetched"]),
            folder=fetched["folder"],
        )
        _must_refuse(
            "no grant", _fetch(place, url, release_id, cast.stranger, purpose=PURPOSE, out="none"), say
        )
        _must_refuse(
            "wrong purpose",
            _fetch(place, url, release_id, cast.engineer, purpose="marketing", out="none"),
            say,
        )
        with _tampered(place):
            outcome = _fetch(place, url, release_id, cast.engineer, purpose=PURPOSE, out="tampered")
        _must_refuse("tampered release", outcome, say)
    return release_id


def _closing(place: Path) -> str:
    return (
        f"\nLook around in {place}:\n"
        "  released/            what the engineer received\n"
        "  home/objects/        sealed files: nothing readable\n"
        "  ledger-export.jsonl  every act, provable offline\n"
        "  gate.log             what the gate logged meanwhile\n"
        f"  Use the same gate:   export FLEETGATE_HOME={place / 'home'} "
        f"FLEETGATE_PASSPHRASE_FILE={place / 'passphrase'}"
    )
