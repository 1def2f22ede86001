"""``fleetgate label task``, ``invite`` and ``serve``: controlled labelling for the owner of a grant."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseArgument,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.labelling.commands import say, told
from pipeline.publishing import note_registered

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

    from pipeline.client import GatewayClient
    from pipeline.labelling.store import TaskFolder
    from pipeline.labelling.task import LabelTask

task_app = typer.Typer(help="Labelling tasks: frames of a release, people, and an end.", no_args_is_help=True)

StoreOption = Annotated[Path, typer.Option(help="Folder of your labelling tasks; what lies in it is sealed.")]
TaskArgument = Annotated[str, typer.Argument(help="Id of the task.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder of sealed copies, so that no picture is fetched twice.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of tasks: connection to the gate, private key, id there."""

    client: "GatewayClient"
    key: "OKPKey"
    principal: str


@task_app.callback()
def task() -> None:
    """Make, list and close labelling tasks."""


@task_app.command()
def create(
    release: ReleaseArgument,
    store: StoreOption,
    name: Annotated[str, typer.Option(help="What people call the task.")],
    annotator: Annotated[list[str], typer.Option(help="Id of a person who labels; repeat for more.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    reviewer: Annotated[
        list[str] | None, typer.Option(help="Id of a person who reviews and does not label; repeat for more.")
    ] = None,
    ontology: Annotated[
        Path | None, typer.Option(help="What may be said (YAML); by default the ontology for driving.")
    ] = None,
    match: Annotated[str, typer.Option(help="Pattern of names of pictures, such as 'image/*.jpg'.")] = "*",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many frames.")] = None,
    days: Annotated[
        float, typer.Option(help="Days until the task ends; at most the release's end of use.")
    ] = 14,
    cache: CacheOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Make a task of the pictures of a release. Each is read once, under your grant.

    Exit status: 0 made, 1 refused, unreachable, tampered with, or a file is not valid, 2 wrong usage.
    """
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        from pipeline.labelling.task import create_task  # noqa: PLC0415 - an extra

        content = _content(ontology) if ontology else _shipped()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with (
            reading(owner, cache) as source,
            Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as bar,
        ):
            shown = bar.add_task("", total=None)
            made = create_task(
                store,
                source,
                key=owner.key,
                owner=principal,
                name=name,
                release=release,
                ontology=content,
                annotators=annotator,
                reviewers=reviewer or (),
                expires_at=_end(days),
                pattern=match,
                limit=limit,
                progress=lambda item, number, of: bar.update(
                    shown, completed=number - 1, total=of, description=item.name
                ),
            )
        say(_described(made), _line(made), as_json=as_json)


@task_app.command(name="list")
def list_tasks(
    store: StoreOption,
    key: KeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """List the tasks of a folder: names, people, ends. No gate is asked, and no label is read.

    Exit status: 0 listed, 1 a task was altered or is sealed under another key, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.store import TaskFolder, tasks_in  # noqa: PLC0415 - an extra
        from pipeline.labelling.task import open_task  # noqa: PLC0415 - an extra

        private = _private(key, passphrase_file)
        tasks = [open_task(TaskFolder(store, each, private)) for each in tasks_in(store)]
        answer = {"tasks": [_described(each) for each in tasks]}
        say(answer, "\n".join(map(_line, tasks)) or f"{store}: no tasks", as_json=as_json)


@task_app.command()
def show(
    task: TaskArgument,
    store: StoreOption,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Tell how far a task is, after holding all of it against its journal: labels, reviews, views by person.

    Exit status: 0 told, 1 refused, unreachable, or the task was altered, 2 wrong usage.
    """
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        from pipeline.labelling.standing import task_standing  # noqa: PLC0415 - an extra

        folder, opened = opened_task(store, task, owner)
        standing = task_standing(folder, opened)
        text = "\n".join([_line(opened), *(f"{name}: {value}" for name, value in standing.items())])
        say({**_described(opened), **standing}, text, as_json=as_json)


@task_app.command()
def export(
    task: TaskArgument,
    store: StoreOption,
    out: Annotated[
        Path, typer.Option(help="File for the labels in the clear (OpenLABEL); one that is there is kept.")
    ],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Write the labels of a task as ASAM OpenLABEL 1.0. Only its owner can; the page has no way to.

    Beside those of a closed task lies the id of its label set at the gate, in NAME.artefact.json.

    Exit status: 0 written, 1 refused, unreachable, or the task was altered, 2 wrong usage.
    """
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        from pipeline.labelling.openlabel import openlabel_digest, write_openlabel  # noqa: PLC0415 - an extra
        from pipeline.labelling.task import label_set_of  # noqa: PLC0415 - an extra

        folder, opened = opened_task(store, task, owner)
        folder.check()
        labels = label_set_of(folder, opened)
        content = write_openlabel(labels)
        folder.record(principal, "export", {"sha256": openlabel_digest(content)})
        try:
            with out.open("xb") as file:
                file.write(content)
        except OSError as error:
            raise typer.BadParameter(f"{out}: {error.strerror}") from error
        if opened.artefact is not None:  # what a closed task holds is what was registered
            note_registered(out, openlabel_digest(content), opened.artefact)
        answer = {
            "task": task,
            "file": str(out),
            "sha256": openlabel_digest(content),
            "labels": len(labels.labels),
            "artefact": opened.artefact,
        }
        say(answer, f"{out}: {len(labels.labels)} labels, sha256 {answer['sha256']}", as_json=as_json)


@task_app.command()
def close(
    task: TaskArgument,
    store: StoreOption,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """End a task and register its label set at the gate; nothing of it is shown or changed any more.

    Safe to repeat. The labels stay, sealed; `label task export` writes them.

    Exit status: 0 closed, 1 refused, unreachable, or the task was altered, 2 wrong usage.
    """
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        from pipeline.labelling.openlabel import openlabel_digest, write_openlabel  # noqa: PLC0415 - an extra
        from pipeline.labelling.task import close_task  # noqa: PLC0415 - an extra

        folder, _ = opened_task(store, task, owner)
        closed, content = close_task(folder, owner.client, write_openlabel)
        answer = {**_described(closed), "sha256": openlabel_digest(content)}
        say(answer, f"{_line(closed)}\n已登记 / registered as {closed.artefact}", as_json=as_json)


def invite(
    task: TaskArgument,
    person: Annotated[str, typer.Argument(help="Id of an annotator or reviewer of the task.")],
    store: StoreOption,
    key: KeyOption,
    hours: Annotated[
        float, typer.Option(help="Hours until the invitation ends; at most the task's end.")
    ] = 72,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Print an invitation for a person, once; their last one, and sessions begun with it, end.

    Exit status: 0 printed, 1 the person is none of the task's, or the task is over, 2 wrong usage.
    """
    with told(as_json=as_json):
        from pipeline.labelling.invitations import invite as make_invitation  # noqa: PLC0415 - an extra
        from pipeline.labelling.store import TaskFolder  # noqa: PLC0415 - an extra
        from pipeline.labelling.task import open_task  # noqa: PLC0415 - an extra

        folder = TaskFolder(store, task, _private(key, passphrase_file))
        opened, now = open_task(folder), datetime.now(tz=UTC)
        ends_at = min(_end(hours / 24), opened.expires_at)
        token = make_invitation(folder, opened, person, ends_at=ends_at, now=now)
        answer = {"task": task, "person": person, "token": token, "ends_at": ends_at.isoformat()}
        say(answer, token, as_json=as_json)


def serve(
    store: StoreOption,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than loopback needs a certificate.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8090,
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    public_host: Annotated[
        str | None, typer.Option(help="Name by which people reach it, where it is not --host.")
    ] = None,
    views_per_minute: Annotated[
        int, typer.Option(min=1, help="Pictures that a person may see in a minute.")
    ] = 60,
    cache: CacheOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Serve the labelling page of your open tasks, under your grant, until it is stopped.

    Before anything is shown the gate is asked. Nothing of the release is written to disk but sealed copies, where
    --cache names a folder for them. A save is acknowledged once it is on the disk, sealed.

    Exit status: 0 stopped, 1 refused, or a task was altered, 2 wrong usage.
    """
    with told(as_json=as_json), owning(url, key, principal, purpose, release_key, passphrase_file) as owner:
        import uvicorn  # noqa: PLC0415 - slow to load

        from pipeline.labelling.server import create_label_app, is_loopback  # noqa: PLC0415 - an extra
        from pipeline.labelling.service import LabelService  # noqa: PLC0415 - an extra

        if (tls_certificate is None) is not (tls_key is None):
            raise typer.BadParameter("--tls-certificate and --tls-key come together")
        if tls_certificate is None and not is_loopback(host):
            raise typer.BadParameter(
                f"--host (got {host!r} without --tls-certificate, expected a loopback address)"
            )
        with reading(owner, cache) as source, _listening(host, port) as listener:
            service = LabelService(
                store,
                owner.client,
                source,
                key=owner.key,
                owner=principal,
                purpose=purpose,
                views_per_minute=views_per_minute,
            )
            scheme = "http" if tls_certificate is None else "https"
            named = f"[{host}]" if ":" in host else host
            origin = f"{scheme}://{public_host or named}:{listener.getsockname()[1]}"
            answer = {"url": f"{origin}/enter", "tasks": [each.id for each in service.tasks]}
            say(answer, f"{origin}/enter: {', '.join(answer['tasks'])}", as_json=as_json)
            config = uvicorn.Config(
                create_label_app(service, origin=origin),
                access_log=False,
                server_header=False,
                log_level="warning",
                ssl_certfile=tls_certificate,
                ssl_keyfile=tls_key,
            )
            uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise typer.BadParameter(f"{host}:{port}: {error.strerror or error}") from error
        yield listener


@contextmanager
def owning(
    url: str, key: Path, principal: str, purpose: str, release_key: Path, passphrase_file: Path | None
) -> "Iterator[Owner]":
    """The owner whom options name, while a command runs.

    Raises:
        typer.BadParameter: An option is unusable; nothing was sent.
    """
    client, private = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with client:
        yield Owner(client=client, key=private, principal=principal)


@contextmanager
def reading(owner: Owner, cache: Path | None) -> Iterator[Any]:
    """Where items are read: at the gate, or by way of a folder of sealed copies."""
    from pipeline.sealed_cache import SealedCache  # noqa: PLC0415 - used by some commands

    if cache is None:
        yield owner.client
        return
    with SealedCache(owner.client, cache, key=owner.key) as source:
        yield source


def opened_task(store: Path, task: str, owner: Owner) -> "tuple[TaskFolder, LabelTask]":
    """A task of the owner's, once the gate said that its release may be read now."""
    from pipeline.labelling.errors import TaskError  # noqa: PLC0415 - an extra
    from pipeline.labelling.lease import ReleaseLease  # noqa: PLC0415 - an extra
    from pipeline.labelling.store import TaskFolder  # noqa: PLC0415 - an extra
    from pipeline.labelling.task import open_task  # noqa: PLC0415 - an extra

    folder = TaskFolder(store, task, owner.key)
    opened = open_task(folder)
    if opened.owner != owner.principal:
        raise TaskError(
            f"task {task} (got principal {owner.principal!r}, expected its owner {opened.owner!r})"
        )
    ReleaseLease(owner.client, opened.release, opened.frames[0].item).ask()
    return folder, opened


def _private(key: Path, passphrase_file: Path | None) -> "OKPKey":
    from pipeline.connecting import private_key  # noqa: PLC0415 - beside its use

    return private_key(key, passphrase_file)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def _shipped() -> bytes:
    return files("pipeline.labelling").joinpath("driving.yaml").read_bytes()


def _end(days: float) -> datetime:
    try:
        return datetime.now(tz=UTC) + timedelta(days=days)
    except (OverflowError, ValueError) as error:
        raise typer.BadParameter(f"{days} days or hours: {error}") from error


def _described(task: "LabelTask") -> dict[str, Any]:
    return {
        "task": task.id,
        "name": task.name,
        "release": task.release,
        "purpose": task.purpose,
        "frames": len(task.frames),
        "ontology": {
            "name": task.ontology.name,
            "version": task.ontology.version,
            "sha256": task.ontology.digest,
        },
        "annotators": list(task.annotators),
        "reviewers": list(task.reviewers),
        "expires_at": task.expires_at.isoformat(),
        "artefact": task.artefact,
    }


def _line(task: "LabelTask") -> str:
    people = ", ".join((*task.annotators, *(f"{each} (审核 / review)" for each in task.reviewers)))
    closed = "已关闭 / closed" if task.artefact else f"至 / until {task.expires_at.isoformat()}"
    return f"{task.id}  {task.name}: {len(task.frames)} 帧 / frames of {task.release}; {people}; {closed}"
