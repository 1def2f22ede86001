"""``fleetgate train federated-server`` and ``federated-site``: a detector of sites that keep their data."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.artefacts import UseKind
from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.publishing import require_live
from pipeline.training.commands import ManifestArgument, libraries, read_manifest_text, say, told
from pipeline.training.detector_commands import (
    BatchOption,
    DeviceOption,
    HoldOutOption,
    LeaseOption,
    SeedOption,
    SettingOption,
    ShardsOption,
    ShareOption,
    SideOption,
    WorkersOption,
    access_of,
    app,
    settings_of,
)
from pipeline.training.lease import DEFAULT_LEASE_S
from pipeline.training.training_manifest import confirm_training_manifest, read_training_manifest

if TYPE_CHECKING:
    from pipeline.federated.coordinator import Certificates
    from pipeline.federated.weights_file import RoundWeights

__all__ = ["app", "federated_server", "federated_site"]

FlowerOption = Annotated[
    Path, typer.Option(help="Python interpreter of the environment in which Flower is installed.")
]
WaitOption = Annotated[float, typer.Option(min=1, help="Longest time in seconds that a round may take.")]


@app.command(name="federated-server")
def federated_server(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    out: Annotated[
        Path,
        typer.Option(help="Folder for the weights of each round; a training that broke off there goes on."),
    ],
    address: Annotated[
        str, typer.Option(help="HOST:PORT to listen on; another than loopback needs certificates.")
    ],
    flower_python: FlowerOption,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in all, with those that are there.")],
    sites: Annotated[int, typer.Option(min=1, help="How many sites must answer in each round.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Network to begin with: a YAML file, or a name such as yolo11n.yaml; needs --class."
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Class, in the order of the sites' training manifests; repeat for more."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of a round (.npz) to begin with, instead of --model.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights that a network begins with.")] = 0,
    root: Annotated[Path | None, typer.Option(help="Root certificate (PEM) of the server's.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="The server's certificate (PEM).")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    wait_s: WaitOption = 3600.0,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Hold the weights of a federated training, and add the sites' updates to them, round by round.

    It has no grant and sees no data. The weights of each round are in their file before the next one begins; the
    same command goes on after the last of them. Where a site fails, the rounds before stand.

    Exit status: 0 all rounds are there, 1 a site or Flower failed, or the folder is of another training, 2 wrong
    usage.
    """
    with told(as_json=as_json), libraries():
        from pipeline.federated import weights_file  # noqa: PLC0415 - an extra
        from pipeline.federated.coordinator import coordinate  # noqa: PLC0415 - an extra

        certificates = _certificates(root, certificate, certificate_key)
        start = _start(model, classes, weights, seed)
        with weights_file.alone_in(out), _progress(quiet=as_json) as show:
            last = weights_file.last_weights(out, start)
            before = last.number
            show(f"{before} of {rounds} rounds, waiting for {sites} sites")
            history: list[dict[str, Any]] = []
            try:
                with closing(
                    coordinate(
                        last.arrays,
                        flower_python=flower_python,
                        address=address,
                        rounds=rounds - before,
                        sites=sites,
                        certificates=certificates,
                        wait_s=wait_s,
                        begun=before,
                        model=start.model,
                    )
                    if before < rounds
                    else _nothing()
                ) as done:
                    for each in done:
                        last = weights_file.RoundWeights(
                            number=each.number,
                            names=start.names,
                            arrays=each.weights,
                            model=start.model,
                            begun=start.begun,
                            samples=each.samples,
                            sites=each.sites,
                        )
                        path = weights_file.write_weights(out, last)
                        history.append(_of_round(last, path))
                        show(f"{last.number} of {rounds} rounds, {last.samples} samples")
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
        answer = {
            "folder": str(out),
            "rounds": last.number,
            "rounds_from_before": before,
            "weights": str(out / f"round-{last.number:04}.npz"),
            "digest": last.digest,
            "model": last.model,
            "history": history,
        }
        text = f"{answer['weights']}: {last.number} rounds, {before} from before, sha256 {last.digest}"
        say(answer, text, as_json=as_json)


@app.command(name="federated-site")
def federated_site(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    manifest: ManifestArgument,
    shards: ShardsOption,
    out: Annotated[
        Path, typer.Option(help="Folder of the site: its record of updates, and the figures of each round.")
    ],
    name: Annotated[str, typer.Option(help="What the site is called in its artefacts.")],
    server: Annotated[str, typer.Option(help="HOST:PORT of the server.")],
    flower_python: FlowerOption,
    model: Annotated[
        str,
        typer.Option(help="The network that the server began with: a YAML file, or a name of ultralytics."),
    ],
    clip: Annotated[float, typer.Option(help="L2 norm to which updates are scaled down.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the pictures in a round.")] = 1,
    batch: BatchOption = 16,
    side: SideOption = 640,
    seed: SeedOption = 0,
    workers: WorkersOption = 2,
    device: DeviceOption = "cpu",
    validation_share: ShareOption = 0.2,
    hold_out: HoldOutOption = None,
    setting: SettingOption = None,
    lease_s: LeaseOption = DEFAULT_LEASE_S,
    root: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) under which the server proves itself.")
    ] = None,
    wait_s: WaitOption = 3600.0,
    reach_s: Annotated[
        float, typer.Option(min=1, help="How long in seconds the server is tried to be reached.")
    ] = 120.0,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Take part in a federated training: train each round on sealed shards, and give the clipped change.

    In each round the gate is asked first, and knows the update before it leaves. Where it refuses, nothing leaves
    and the whole training stops; rounds before stand. Without --root the connection is plain, for one machine.

    Exit status: 0 the server ended its training, 1 refused, unreachable, tampered with, a model other than the
    server's, or Flower failed, 2 wrong usage.
    """
    if not clip > 0:
        raise typer.BadParameter(f"--clip (got {clip}, expected a positive norm)")
    with told(as_json=as_json), libraries():
        from pipeline.federated.record import SiteRecord  # noqa: PLC0415 - an extra
        from pipeline.federated.site import Site, take_part  # noqa: PLC0415 - an extra
        from pipeline.federated.weights_file import alone_in  # noqa: PLC0415 - an extra
        from pipeline.training.detector_run import DetectorOptions  # noqa: PLC0415 - slow to load
        from pipeline.training.federated_detector import DetectorRounds  # noqa: PLC0415 - slow to load
        from pipeline.training.sealed_pictures import SealedPictures  # noqa: PLC0415 - slow to load
        from pipeline.training.shards import ShardFolder  # noqa: PLC0415 - slow to load

        client, private = connect(
            url,
            key=key,
            principal=principal,
            purpose=purpose,
            release_key=release_key,
            passphrase_file=passphrase_file,
        )
        options = DetectorOptions(
            model=model,
            epochs=epochs,
            batch=batch,
            side=side,
            seed=seed,
            workers=workers,
            device=device,
            validation_share=validation_share,
            held_out=tuple(hold_out or ()),
            settings=settings_of(setting, device),
            lease_s=lease_s,
        )
        figures: dict[int, dict[str, float]] = {}
        with client, alone_in(out), _progress(quiet=as_json) as show:
            read = read_training_manifest(read_manifest_text(manifest), private, now=datetime.now(tz=UTC))
            confirm_training_manifest(read, client)
            client.report_use(
                UseKind.TRAIN, sorted(read.releases), {"manifest": read.digest, "federated": name}
            )
            trained_on = ShardFolder(shards, read, private).artefact
            require_live(trained_on, str(shards), client)

            def measured(number: int, epoch: int, metrics: Any) -> None:
                figures[number] = {name: float(value) for name, value in metrics.items()}
                show(f"round {number}: {epoch} of {epochs} epochs")

            access = access_of(url, private, principal, purpose, release_key)
            with closing(SealedPictures(shards, read, access, lease_s=lease_s)) as pictures:
                detector_rounds = DetectorRounds(pictures, options, out, measured)
                record = out / "updates.jsonl"
                before = len(SiteRecord(record).entries())
                site = Site(
                    name=name,
                    client=client,
                    manifest=read,
                    train=detector_rounds.train,
                    clip=clip,
                    record=record,
                    code=f"fleetgate {version('fleetgate')}, ultralytics {version('ultralytics')}",
                    artefacts=(trained_on,),
                    model=detector_rounds.model,
                )
                show("waiting for the server")
                left = take_part(
                    site,
                    flower_python=flower_python,
                    server=server,
                    root=root,
                    wait_s=wait_s,
                    reach_s=reach_s,
                )
        updates = [
            {**entry, "metrics": figures.get(int(entry["round"]), {})}
            for entry in SiteRecord(record).entries()[before:]
        ]
        answer = {"site": name, "record": str(record), "left": left, "updates": updates}
        say(answer, "\n".join([f"{record}: {left} updates left", *map(_shown, updates)]), as_json=as_json)


def _start(model: str | None, classes: list[str] | None, weights: Path | None, seed: int) -> "RoundWeights":
    """The weights that a training begins with, as options say.

    Raises:
        typer.BadParameter: They contradict one another.
        PipelineError: The network or the file cannot be used.
    """
    from pipeline.federated.weights_file import beginning, read_weights  # noqa: PLC0415 - an extra

    if (model is None) is (weights is None) or (model is None) is not (not classes):
        raise typer.BadParameter("give --model with --class, or --weights alone")
    if weights is not None:
        read = read_weights(weights)
        return beginning(read.names, read.arrays, read.model)
    from pipeline.training.federated_detector import first_weights  # noqa: PLC0415 - slow to load

    return beginning(*first_weights(str(model), tuple(classes or ()), seed))


def _certificates(root: Path | None, certificate: Path | None, key: Path | None) -> "Certificates | None":
    from pipeline.federated.coordinator import Certificates  # noqa: PLC0415 - an extra

    if root is None and certificate is None and key is None:
        return None
    if root is None or certificate is None or key is None:
        raise typer.BadParameter("--root, --certificate and --certificate-key come together")
    return Certificates(root=root, certificate=certificate, key=key)


def _nothing() -> Generator[Any, None, None]:
    """No round is left to do."""
    yield from ()


def _of_round(weights: "RoundWeights", path: Path) -> dict[str, Any]:
    return {
        "round": weights.number,
        "samples": weights.samples,
        "sites": weights.sites,
        "digest": weights.digest,
        "file": path.name,
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }


def _shown(update: dict[str, Any]) -> str:
    clipped = ", 已截断 / clipped" if update["clipped"] else ""
    return f"  {update['round']}: {update['samples']} samples, norm {update['norm']:.3g}{clipped}"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda text: bar.update(task, description=text)
