"""``fleetgate mine``: commands over released data. Libraries of the extra ``mining`` are loaded when one runs."""

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.artefacts import ArtefactKind, UseKind
from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseArgument,
    ReleaseKeyOption,
    UrlOption,
)
from pipeline.errors import RefusedError
from pipeline.manifest import ReleaseManifest
from pipeline.mining.clip_options import ClipDigestOption, ClipNameOption, ClipWeightsOption, given_clip
from pipeline.mining.index_commands import app as index_app
from pipeline.mining.run import Connecting, Run, connected, content_of, told
from pipeline.scale.engines import Batch, EngineKind

if TYPE_CHECKING:
    from pipeline.mining.ontology import Ontology
    from pipeline.mining.pictures import KeptLooks, Picture
    from pipeline.mining.signal_file import CanSignals
    from pipeline.mining.trigger_file import TriggerFile
    from pipeline.scale.functions import GatheredEvents

app = typer.Typer(help="Find scenes in released data.", no_args_is_help=True)
app.add_typer(index_app, name="index")

CacheOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of sealed copies: what was fetched once is not fetched again while you may read it."
    ),
]
TriggersOption = Annotated[
    Path | None, typer.Option(help="File of triggers (YAML); by default the six that come with Fleetgate.")
]
EventsOption = Annotated[
    bool, typer.Option("--events", help="Look for events in tracks and recordings, and tag pictures by them.")
]
TagsOption = Annotated[Path | None, typer.Option(help="File (YAML) of tags that people gave.")]
OntologyOption = Annotated[
    Path | None, typer.Option(help="Vocabulary of tags (YAML); by default the one that comes with Fleetgate.")
]
EngineOption = Annotated[
    EngineKind | None,
    typer.Option(help="Work on many items at once: by a pool of processes, or by Ray; needs --outputs."),
]
OutputsOption = Annotated[
    Path | None,
    typer.Option(help="With --engine: folder of sealed results of single items; a broken run goes on there."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="With --engine: how many; by default one less than processors.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(help="With --engine ray: HOST:PORT of a cluster; by default one is started here."),
]
RegisterOption = Annotated[
    str | None,
    typer.Option(
        "--name", help="Under which the result is registered at the gate, so that revocations mark it."
    ),
]
ThumbnailsOption = Annotated[
    bool, typer.Option("--thumbnails", help="With --json: small pictures marked with your id and the time.")
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
    with told(as_json=as_json):
        from pipeline.mining.answers import triggers_answer  # noqa: PLC0415 - an extra

        read = _triggers(triggers)
        if as_json:
            typer.echo(json.dumps(triggers_answer(read), ensure_ascii=False))
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
    engine: EngineOption = None,
    outputs: OutputsOption = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    register: RegisterOption = None,
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
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    batch = _batch(connecting, cache, engine, outputs, workers, ray_address)
    with told(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        from pipeline.mining.answers import events_answer, shown_events  # noqa: PLC0415 - an extra
        from pipeline.mining.load import load_signals  # noqa: PLC0415 - an extra
        from pipeline.mining.triggers import find_events  # noqa: PLC0415 - an extra

        read, mapped = _triggers(triggers), _signals(signals, dbc)
        used = {"triggers": read.digest, "only": sorted(only or ())} | dict(mapped.digests if mapped else {})
        _report(run, batch, UseKind.TRIGGERS, release, used)
        manifest = run.client.manifest(release)
        if batch is None:
            loaded = load_signals(run.source, release, signals=mapped, progress=run.progress)
            mined = find_events(loaded.table, read, only=only or ())
            answer = events_answer(manifest, loaded.items, loaded.passed_over, mined, used)
        else:
            gathered = _events_by(run, batch, manifest, triggers, tuple(only or ()), signals, dbc)
            answer = events_answer(manifest, gathered.items, gathered.passed_over, gathered.mined, used)
        _print(run, answer, shown_events, ArtefactKind.INDEX, register, as_json=as_json)


@app.command()
def pictures(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    release: ReleaseArgument,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    events: EventsOption = False,  # noqa: FBT002 - a command-line flag
    triggers: TriggersOption = None,
    tags: TagsOption = None,
    ontology: OntologyOption = None,
    select: Annotated[
        int | None, typer.Option(min=1, help="Select so many pictures that cover much, without duplicates.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Group of tags, such as weather, whose values share the selection; repeat for more."
        ),
    ] = None,
    cache: CacheOption = None,
    engine: EngineOption = None,
    outputs: OutputsOption = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    register: RegisterOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Tag the pictures of a release, find near-duplicates among them, and select.

    Tags come from the picture and its mask, from people, and with --events from what happened at its time.

    Exit status: 0 done, also where there are no pictures; 1 refused, unreachable, tampered with, or a file is not
    valid; 2 wrong usage.
    """
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    batch = _batch(connecting, cache, engine, outputs, workers, ray_address)
    with told(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        from pipeline.mining.answers import pictures_answer, shown_pictures  # noqa: PLC0415 - an extra
        from pipeline.mining.duplicates import near_duplicates  # noqa: PLC0415 - an extra
        from pipeline.mining.selection import by_quota  # noqa: PLC0415 - an extra
        from pipeline.mining.tags import stratum  # noqa: PLC0415 - an extra

        words = _ontology(ontology)
        unknown = sorted(set(by or ()) - {tag.partition(":")[0] for tag in words.tags})
        if unknown:
            raise typer.BadParameter(f"--by {unknown} (expected groups of the ontology)")
        _report(run, batch, UseKind.TAGS, release, {"events": events, "select": select, "by": list(by or ())})
        found, used = _pictures(run, release, words, tags, triggers, events=events, batch=batch)
        groups = near_duplicates({name: picture.look for name, picture in found.items()})
        again = {name for group in groups for name in group.others}
        kept = {name: picture for name, picture in found.items() if name not in again}
        selection = None
        if select is not None:
            strata = {name: stratum(picture.tags, by or ()) for name, picture in kept.items()}
            selection = by_quota({n: p.look.descriptor for n, p in kept.items()}, strata, select)
            used |= {"select": select, "by": list(by or ())}
        answer = pictures_answer(run.client.manifest(release), found, groups, selection, used)
        kind = ArtefactKind.INDEX if select is None else ArtefactKind.DATA_SET
        _print(run, answer, shown_pictures, kind, register, as_json=as_json)


@app.command()
def search(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    release: ReleaseArgument,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    text: Annotated[str | None, typer.Option(help="Words in Chinese or English.")] = None,
    like: Annotated[str | None, typer.Option(help="Name of a picture of the release.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture of your own.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many results at most.")] = 10,
    clip_weights: ClipWeightsOption = None,
    clip_sha256: ClipDigestOption = None,
    clip_model: ClipNameOption = None,
    thumbnails: ThumbnailsOption = False,  # noqa: FBT002 - a command-line flag
    events: EventsOption = False,  # noqa: FBT002 - a command-line flag
    triggers: TriggersOption = None,
    tags: TagsOption = None,
    ontology: OntologyOption = None,
    cache: CacheOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find pictures of a release by words or by another picture; the answer says which way it took.

    With --clip-weights the network of these weights is asked, and nothing else.

    Exit status: 0 done, also where nothing was found; 1 refused, unreachable, tampered with, or a file is not
    valid; 2 wrong usage.
    """
    if [text, like, image].count(None) != 2:  # noqa: PLR2004 - one of three
        raise typer.BadParameter("one of --text, --like and --image is needed")
    if thumbnails and not as_json:
        raise typer.BadParameter("--thumbnails needs --json")
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with told(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        from pipeline.mining.answers import shown_results  # noqa: PLC0415 - an extra
        from pipeline.mining.asking import (  # noqa: PLC0415 - an extra
            ask_clip,
            ask_like,
            ask_words,
            asked,
            with_thumbnails,
        )
        from pipeline.mining.clip_vectors import asked_vector, clip_vectors  # noqa: PLC0415 - an extra

        words = _ontology(ontology)
        own = content_of(image) if image else None
        model = given_clip(clip_weights, clip_sha256, clip_model)
        question = asked(text, like, own, count, model.identity if model else None)
        run.report(UseKind.IMAGE if text is None else UseKind.TEXT, release, question)
        find = partial(_pictures, run, release, words, tags, triggers, events=events)
        if model is not None:
            wanted = asked_vector(model, text, own)
            vectors = clip_vectors(run.source, release, model, kept=run.kept(release), progress=run.progress)
            answer = ask_clip(vectors, model.identity, wanted, like, count, lambda only: find(only=only)[0])
        elif text is None:
            answer = ask_like(find()[0], like, own, count)
        else:
            answer = ask_words(find()[0], words, text, count)
        if thumbnails:
            with_thumbnails(answer, run.source, release, run.principal)
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else shown_results(answer))


def _print(
    run: Run,
    answer: dict[str, Any],
    shown: Callable[[dict[str, Any]], str],
    kind: ArtefactKind,
    name: str | None,
    *,
    as_json: bool,
) -> None:
    from pipeline.mining.answers import artefact_of  # noqa: PLC0415 - an extra

    artefact = artefact_of(kind, name or f"{kind.value} of {answer['release']}", answer)
    answer = answer | {"artefact": run.client.register(artefact), "sha256": artefact.sha256}
    text = json.dumps(answer, ensure_ascii=False) if as_json else shown(answer)
    typer.echo(text if as_json else f"{text}\n已登记 / registered as {answer['artefact']}")


def _triggers(path: Path | None) -> "TriggerFile":
    from pipeline.mining.trigger_file import read_trigger_file, shipped_triggers  # noqa: PLC0415 - an extra

    return shipped_triggers() if path is None else read_trigger_file(content_of(path))


def _signals(path: Path | None, dbc: Path | None) -> "CanSignals | None":
    from pipeline.mining.signal_file import read_signal_file  # noqa: PLC0415 - an extra

    return None if path is None or dbc is None else read_signal_file(content_of(path), content_of(dbc))


def _report(run: Run, batch: Batch | None, kind: UseKind, release: str, query: Mapping[str, Any]) -> None:
    """Report a use; where the gate says that the release is over, results of its items go too."""
    try:
        run.report(kind, release, query)
    except RefusedError as error:
        if batch is not None:
            batch.refused(release, error)
        raise


def _batch(
    connecting: Connecting,
    cache: Path | None,
    engine: EngineKind | None,
    outputs: Path | None,
    workers: int | None,
    address: str | None,
) -> Batch | None:
    if (engine is None) is not (outputs is None):
        raise typer.BadParameter("--engine and --outputs come together")
    if engine is None or outputs is None:
        if workers is not None or address is not None:
            raise typer.BadParameter("--workers and --ray-address need --engine")
        return None
    if address is not None and engine is not EngineKind.RAY:
        raise typer.BadParameter("--ray-address needs --engine ray")
    return Batch(
        connecting=connecting,
        cache=cache,
        outputs_folder=outputs,
        engine=engine,
        workers=workers,
        address=address,
    )


def _events_by(
    run: Run,
    batch: Batch,
    manifest: ReleaseManifest,
    triggers: Path | None,
    only: tuple[str, ...],
    signals: Path | None,
    dbc: Path | None,
) -> "GatheredEvents":
    from pipeline.mining.trigger_file import shipped_content  # noqa: PLC0415 - an extra
    from pipeline.scale.functions import MotionEvents, gather_events  # noqa: PLC0415 - an extra

    function = MotionEvents(
        triggers=shipped_content() if triggers is None else content_of(triggers),
        only=only,
        signals=None if signals is None or dbc is None else (content_of(signals), content_of(dbc)),
    )
    return gather_events(batch.outputs(manifest.release, function, run.counted), manifest, function)


def _ontology(path: Path | None) -> "Ontology":
    from pipeline.mining.ontology import read_ontology, shipped_ontology  # noqa: PLC0415 - an extra

    return shipped_ontology() if path is None else read_ontology(content_of(path))


def _pictures(
    run: Run,
    release: str,
    ontology: "Ontology",
    tags: Path | None,
    triggers: Path | None,
    *,
    events: bool,
    batch: Batch | None = None,
    only: Collection[str] | None = None,
) -> "tuple[dict[str, Picture], dict[str, Any]]":
    """The pictures of a release with their tags, and what these were made with."""
    from pipeline.mining.asking import tagged_pictures  # noqa: PLC0415 - an extra

    read = _triggers(triggers) if events else None
    said = None if tags is None else content_of(tags)
    looked: KeptLooks | None = run.kept(release)
    if batch is not None:
        from pipeline.scale.functions import Looks  # noqa: PLC0415 - an extra

        looked = batch.outputs(release, Looks(), run.counted)
    return tagged_pictures(
        run.source,
        release,
        ontology,
        triggers=read,
        said=said,
        only=only,
        looked=looked,
        progress=run.progress,
    )
