"""A witness of ledgers: a process of its own, best run by somebody else than the gate's operator."""

import base64
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from audit import note
from audit.checkpoint import ALGORITHM_ED25519
from audit.cosignature import Cosigner
from audit.witness import Witness, WitnessMemory
from audit.witness_server import create_witness_app
from gateway.commands.service import require_tls
from gateway.commands.session import Json, KeyPassphrase, first_line, report, reporting
from gateway.errors import ConfigurationError, ConflictError, NotInitialisedError
from gateway.vault.durable import write_once
from gateway.vault.jws import generate_person_key
from gateway.vault.key_files import load_private_key, save_private_key

app = typer.Typer(
    help="Witness ledgers: cosign their checkpoints, refuse forks and rollbacks.", no_args_is_help=True
)

Directory = Annotated[Path, typer.Argument(help="Directory of the witness: its key, its logs, its memory.")]

_KEY, _STATE, _LOGS = "witness.pem", "witness.db", "logs"


@app.command()
@reporting
def init(
    directory: Directory,
    key_passphrase_file: KeyPassphrase,
    *,
    name: Annotated[str, typer.Option(help="Name of the witness, such as witness.example/w1.")],
    as_json: Json = False,
) -> None:
    """Make a witness with a key of its own, and print the verifier key that ledgers configure."""
    try:
        note.check_name(name, "witness")
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / _KEY).exists():
        raise ConflictError(f"there is a witness already (got {directory})")
    (directory / _LOGS).mkdir(mode=0o700, exist_ok=True)
    write_once(directory / "name", f"{name}\n".encode())
    save_private_key(generate_person_key(), directory / _KEY, first_line(key_passphrase_file))
    vkey = _cosigner(directory, key_passphrase_file).vkey
    report({"name": name, "vkey": vkey}, as_json=as_json, line=vkey)


@app.command()
@reporting
def trust(
    directory: Directory,
    vkey: Annotated[str, typer.Argument(help="Verifier key of a ledger: `fleetgate audit key` prints it.")],
    *,
    as_json: Json = False,
) -> None:
    """Cosign for a ledger from the next start on."""
    key = note.parse_vkey(vkey, ALGORITHM_ED25519)
    _require(directory)
    file = directory / _LOGS / f"{key.key_id.hex()}.vkey"
    if file.exists():
        raise ConflictError(f"this key is trusted already (got {key.label})")
    write_once(file, f"{key}\n".encode())
    report({"origin": key.name, "vkey": vkey}, as_json=as_json, line=f"cosigns for {key.name}")


@app.command()
@reporting
def show(directory: Directory, *, as_json: Json = False) -> None:
    """Print what was cosigned last for each ledger, and every fork that was seen."""
    _require(directory)
    memory = WitnessMemory(directory / _STATE)
    try:
        latest = [asdict(each) | {"cosigned_at": _iso(each.cosigned_at)} for each in memory.latest()]
        conflicts = [asdict(each) | {"seen_at": _iso(each.seen_at)} for each in memory.conflicts()]
    finally:
        memory.close()
    logs = {origin: list(vkeys) for origin, vkeys in _logs(directory).items()}
    lines = [f"{w['origin']}: {w['size']} entries, root {w['root']}, {w['cosigned_at']}" for w in latest]
    lines += [f"{c['origin']}: {c['reason']}, {c['seen_at']}\n{c['note']}" for c in conflicts]
    report(
        {"name": _name(directory), "logs": logs, "latest": latest, "conflicts": conflicts},
        as_json=as_json,
        line="\n".join(lines) or "nothing cosigned yet",
    )


@app.command()
@reporting
def serve(
    directory: Directory,
    key_passphrase_file: KeyPassphrase,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8444,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key of the certificate.")] = None,
) -> None:
    """Answer `POST /add-checkpoint` (C2SP tlog-witness). Anything but a loopback address needs TLS."""
    require_tls(host, tls_certificate, tls_key)
    cosigner = _cosigner(directory, key_passphrase_file)
    logs = _logs(directory)
    if not logs:
        raise ConfigurationError("the witness trusts no ledger (run: fleetgate witness trust)")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    witness = Witness(directory / _STATE, cosigner, logs)
    try:
        uvicorn.run(
            create_witness_app(witness),
            host=host,
            port=port,
            ssl_certfile=tls_certificate,
            ssl_keyfile=tls_key,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
    finally:
        witness.close()


def _require(directory: Path) -> None:
    if not (directory / _KEY).is_file():
        raise NotInitialisedError(f"no witness in {directory} (run: fleetgate witness init)")


def _name(directory: Path) -> str:
    return (directory / "name").read_text(encoding="utf-8").strip()


def _cosigner(directory: Path, passphrase_file: Path) -> Cosigner:
    _require(directory)
    key = load_private_key(directory / _KEY, first_line(passphrase_file))
    secret = str(key.as_dict(private=True)["d"])
    return Cosigner(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)), _name(directory))


def _logs(directory: Path) -> dict[str, list[str]]:
    logs: dict[str, list[str]] = {}
    for file in sorted((directory / _LOGS).glob("*.vkey")):
        vkey = file.read_text(encoding="utf-8").strip()
        logs.setdefault(note.parse_vkey(vkey, ALGORITHM_ED25519).name, []).append(vkey)
    return logs


def _iso(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()
