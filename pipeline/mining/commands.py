"""``fleetgate mine``: commands over released data. Libraries of the extra ``mining`` are loaded when one runs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.client import GatewayClient
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
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.sealed_cache import SealedCache

if TYPE_CHECKING:
    from pipeline.mining.load import Loaded
    from pipeline.mining.signal_file import CanSignals
    from pipeline.mining.trigger_file import TriggerFile
    from pipeline.mining.triggers import Event, Mined

app = typer.Typer(help="Find scenes in released data.", no_args_is_help=True)

CacheOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of sealed copies: what was fetched once is not fetched again while you may read it."
    ),
]
TriggersOption = Annotated[
    Path | None, typer.Option(help="File of triggers (YAML); by default the six that come with Fleetgate.")
]


@app.callback()
def mine() -> None:
    """Find scenes in released data under a grant."""


@app.command()
def triggers(
    triggers: TriggersOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Check a file of triggers and list what it says; no gate is asked.

    Exit status: 0 the file is valid, 1 it is not, with the member that is wrong, 2 wrong usage.
    """
    with _told(as_json=as_json), _libraries():
        read = _triggers(triggers)
        if as_json:
            typer.echo(json.dumps(_triggers_as_json(read), ensure_ascii=False))
            return
        typer.echo(f"version {read.version}, {len(read.triggers)} triggers, sha256 {read.digest}")
        for t in sorted(read.triggers.values(), key=lambda t: -t.priority):
            typer.echo(f"{t.priority:4} {t.name} v{t.version}  {t.title['zh']} / {t.title['en']}")
            typer.echo(f"     {t.where.text}")


@app.command()
def events(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    release: ReleaseArgument,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    triggers: TriggersOption = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a trigger to evaluate; repeat for more.")
    ] = None,
    signals: Annotated[
        Path | None, typer.Option(help="File (YAML) that says which CAN signals are what; needs --dbc.")
    ] = None,
    dbc: Annotated[Path | None, typer.Option(help="DBC of the CAN frames; needs --signals.")] = None,
    cache: CacheOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find events in the motion of a release: tracks, GPS/IMU records, recordings and CAN logs.

    Nothing of the release is written to disk but sealed copies, where --cache names a folder for them. With it a
    broken run goes on where it stopped.

    Exit status: 0 done, also where nothing was found; 1 refused, unreachable, tampered with, or a file is not
    valid; 2 wrong usage.
    """
    if (signals is None) is not (dbc is None):
        raise typer.BadParameter("--signals and --dbc come together")
    client, private = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with _told(as_json=as_json), _libraries(), client:
        read = _triggers(triggers)
        mapped = _signals(signals, dbc)
        loaded, mined, manifest = _mined(
            client, private, release, cache, read, mapped, tuple(only or ()), quiet=as_json
        )
        answer = _events_as_json(manifest, loaded, mined, read, mapped)
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else _shown(answer))


@contextmanager
def _told(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error


@contextmanager
def _libraries() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"{error.name} is not installed: pip install 'fleetgate[mining]'") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def _triggers(path: Path | None) -> "TriggerFile":
    from pipeline.mining.trigger_file import read_trigger_file, shipped_triggers  # noqa: PLC0415 - an extra

    return shipped_triggers() if path is None else read_trigger_file(_content(path))


def _signals(path: Path | None, dbc: Path | None) -> "CanSignals | None":
    from pipeline.mining.signal_file import read_signal_file  # noqa: PLC0415 - an extra

    return None if path is None or dbc is None else read_signal_file(_content(path), _content(dbc))


def _mined(
    client: GatewayClient,
    private: OKPKey,
    release: str,
    cache: Path | None,
    triggers: "TriggerFile",
    signals: "CanSignals | None",
    only: tuple[str, ...],
    *,
    quiet: bool,
) -> "tuple[Loaded, Mined, ReleaseManifest]":
    from pipeline.mining.load import load_signals  # noqa: PLC0415 - an extra
    from pipeline.mining.triggers import find_events  # noqa: PLC0415 - an extra

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with ExitStack() as stack:
        source = stack.enter_context(SealedCache(client, cache, key=private)) if cache else client
        manifest = source.manifest(release)
        bar = stack.enter_context(
            Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        )
        task = bar.add_task(release, total=len(manifest.items))

        def show(item: ReleaseItem, number: int, _of: int) -> None:
            bar.update(task, completed=number - 1, description=item.name)

        loaded = load_signals(source, release, signals=signals, progress=show)
        return loaded, find_events(loaded.table, triggers, only=only), manifest


def _triggers_as_json(read: "TriggerFile") -> dict[str, Any]:
    return {
        "version": read.version,
        "sha256": read.digest,
        "max_step_s": read.max_step_s,
        "features": {
            f.name: {"of": f.of.text, "take": f.take, "over_s": f.over_s} for f in read.features.values()
        },
        "triggers": {
            t.name: {
                "version": t.version,
                "priority": t.priority,
                "title": dict(t.title),
                "where": t.where.text,
                "min_duration_s": t.min_duration_s,
                "merge_gap_s": t.merge_gap_s,
            }
            for t in read.triggers.values()
        },
    }


def _events_as_json(
    manifest: ReleaseManifest,
    loaded: "Loaded",
    mined: "Mined",
    triggers: "TriggerFile",
    signals: "CanSignals | None",
) -> dict[str, Any]:
    return {
        "release": manifest.release,
        "events": [_event(event) for event in mined.events],
        "coverage": {name: {"rows": c.rows, "absent": list(c.absent)} for name, c in mined.coverage.items()},
        "rows": mined.rows,
        "untimed": mined.untimed,
        "passed_over": dict(loaded.passed_over),
        "rests_on": {
            "release": manifest.release,
            "release_digest": manifest.digest,
            "items": {
                each.item.name: {"sha256": each.item.sha256, "rows": each.rows, "sources": dict(each.sources)}
                for each in loaded.items
            },
            "triggers": triggers.digest,
            **(dict(signals.digests) if signals else {}),
            "fleetgate": version("fleetgate"),
        },
    }


def _event(event: "Event") -> dict[str, Any]:
    return {
        "trigger": event.trigger,
        "version": event.version,
        "priority": event.priority,
        "item": event.clip.item,
        "clip": event.clip.number,
        "begin_s": round(event.begin_s, 6),
        "end_s": round(event.end_s, 6),
        "worst_s": round(event.worst_s, 6),
        "worst": event.worst,
        "severity": round(event.severity, 4),
        "rows": event.rows,
    }


def _shown(answer: Mapping[str, Any]) -> str:
    lines = [
        f"{e['trigger']:14} {e['severity']:.2f}  {e['begin_s']:9.2f} to {e['end_s']:9.2f} s  "
        f"clip {e['clip']} of {e['item']}"
        for e in answer["events"]
    ]
    for name, coverage in answer["coverage"].items():
        absent = f"; absent: {', '.join(coverage['absent'])}" if coverage["absent"] else ""
        found = sum(e["trigger"] == name for e in answer["events"])
        lines.append(f"{name}: {found} events in {coverage['rows']} of {answer['rows']} rows{absent}")
    lines += [f"passed over {name}: {reason}" for name, reason in answer["passed_over"].items()]
    return "\n".join(lines)
