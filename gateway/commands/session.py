"""What every command shares: an open gate, who is acting, and one way to report success and failure."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import pydantic
import typer
from sqlalchemy.exc import SQLAlchemyError

from anonymize.errors import AnonymizeError
from audit.errors import LedgerError
from audit.verify import BadExportError
from gateway.app import open_gate
from gateway.errors import DeniedError, GatewayError
from gateway.flow.gate import Gate
from gateway.people.registry import Actor, prove
from gateway.settings import Settings
from gateway.vault.errors import VaultError
from gateway.vault.jws import PrivateKey
from gateway.vault.key_files import load_person_key
from policies.errors import PolicyError

EXIT_REFUSED = 1
EXIT_USAGE = 2

P = ParamSpec("P")
R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
As = Annotated[str, typer.Option("--as", help="Your id, under which your key is enrolled.")]
Key = Annotated[Path, typer.Option("--key", help="PEM file of your Ed25519 private key.")]
KeyPassphrase = Annotated[
    Path, typer.Option("--key-passphrase-file", help="File whose first line opens your private key.")
]


def settings() -> Settings:
    """Settings from the environment.

    Raises:
        typer.BadParameter: A variable is malformed.
    """
    try:
        return Settings()
    except pydantic.ValidationError as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def opened(*, repairing_policy: bool = False) -> Iterator[Gate]:
    """The gate that the environment describes; ``repairing_policy`` as in ``open_gate``."""
    with open_gate(settings(), repairing_policy=repairing_policy) as gate:
        yield gate


def first_line(path: Path) -> str:
    """The first line of a passphrase file.

    Raises:
        typer.BadParameter: The file cannot be read or its first line is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 (got byte {error.start})") from error
    if not lines or not lines[0]:
        raise typer.BadParameter(f"{path} (got an empty first line, expected a passphrase)")
    return lines[0]


def acting(
    gate: Gate, person: str, key_file: Path, passphrase_file: Path, act: str
) -> tuple[Actor, PrivateKey]:
    """Prove who is acting, by possession of the enrolled key; whether they may is asked where the act is.

    Raises:
        StatementError: The key file does not open.
        UnauthenticatedError: The key is not that person's; the attempt is in the ledger.
    """
    key = load_person_key(key_file, first_line(passphrase_file))
    return prove(gate, person, key, act), key


def text_of(path: Path) -> str:
    """The text of a small file that the user names, such as a public key.

    Raises:
        typer.BadParameter: It cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 (got byte {error.start})") from error


def reporting(command: Callable[P, R]) -> Callable[P, R]:
    """Turn every refusal of the packages into one line (or one JSON document) and exit status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = bool(kwargs.get("as_json", False))
        try:
            return command(*args, **kwargs)
        except (GatewayError, AnonymizeError, BadExportError, LedgerError, VaultError, PolicyError) as error:
            fail(error, as_json=as_json)
            raise typer.Exit(EXIT_REFUSED) from error
        except (OSError, SQLAlchemyError) as error:
            fail(error, as_json=as_json)
            raise typer.Exit(EXIT_REFUSED) from error

    return run


def fail(error: Exception, *, as_json: bool) -> None:
    """Say what was refused and why: rule, clause and text in Chinese and English where policy decided."""
    reason = str(getattr(error, "reason", type(error).__name__))
    violations = error.explained() if isinstance(error, DeniedError) else []
    if as_json:
        document = {"error": reason, "detail": str(error), "violations": violations}
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    typer.echo(f"refused ({reason}): {error}", file=sys.stderr)
    for violation in violations:
        typer.echo("  {rule} [{clause}] {text_zh} / {text_en}".format(**violation), file=sys.stderr)
        for fact in violation["facts"]:
            typer.echo(f"    {json.dumps(fact, ensure_ascii=False)}", file=sys.stderr)


def report(result: Mapping[str, Any], *, as_json: bool, line: str = "") -> None:
    """Print a result as JSON, or as one line for people (by default its fields)."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, default=str))
        return
    typer.echo(line or "\n".join(f"{name}: {value}" for name, value in result.items()))
