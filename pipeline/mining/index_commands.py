"""``fleetgate mine index``: a sealed index over the pictures of several releases, and search in it."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.artefacts import UseKind
from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
)
from pipeline.mining.run import Connecting, connected, content_of, told
from pipeline.sealed_cache import SealedCache

app = typer.Typer(help="A sealed index over pictures of several releases.", no_args_is_help=True)


@app.callback()
def index() -> None:
    """Build a sealed index over pictures of releases, and search it."""


@app.command()
def build(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    releases: Annotated[list[str], typer.Argument(help="Ids of the releases.")],
    out: Annotated[Path, typer.Option(help="File for the sealed index; one that is there is replaced.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    name: Annotated[
        str | None,
        typer.Option(help="Under which it is registered at the gate, so that revocations mark it."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of sealed copies and looks, so that a broken run goes on where it stopped."
        ),
    ] = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Look at every picture of releases, and write a sealed index that the gate knows.

    Up to a million pictures each is compared in a search; beyond, those of the nearest cells (IVF).

    Exit status: 0 written, 1 refused, unreachable, tampered with or not registered, 2 wrong usage.
    """
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with told(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        from pipeline.mining.picture_index import joined, write_index  # noqa: PLC0415 - an extra
        from pipeline.mining.pictures import look_over  # noqa: PLC0415 - an extra

        below = sorted(set(releases))
        run.client.report_use(UseKind.INDEX, below, {"index": name or out.name})
        descriptors: dict[str, Any] = {}
        for release in below:
            looked = run.source.derived(release) if isinstance(run.source, SealedCache) else None
            found = look_over(run.source, release, looked=looked, progress=run.progress)
            descriptors |= {joined(release, item): picture.look.descriptor for item, picture in found.items()}
        manifests = [run.client.manifest(release) for release in below]
        artefact, search = write_index(out, name or out.name, manifests, descriptors, run.client)
        answer = {
            "index": str(out),
            "artefact": artefact,
            "releases": below,
            "pictures": len(descriptors),
            "mode": search.mode,
        }
        typer.echo(
            json.dumps(answer, ensure_ascii=False)
            if as_json
            else f"{out}: {len(descriptors)} 张图片 / pictures, {search.mode}, 已登记 / registered as {artefact}"
        )


@app.command()
def search(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    index: Annotated[Path, typer.Argument(help="The file that `mine index build` wrote.")],
    image: Annotated[Path, typer.Option(help="A picture of your own.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    count: Annotated[int, typer.Option(min=1, help="How many results at most.")] = 10,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find pictures of a sealed index by another picture; the answer says which way it took.

    The gate is asked first, for the index and every release below it; where one was revoked the index is removed.

    Exit status: 0 done, also where nothing was found; 1 refused, revoked, unreachable or not registered; 2 wrong
    usage.
    """
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with told(as_json=as_json), connected(connecting, None, quiet=as_json) as run:
        from pipeline.mining.descriptors import look_at  # noqa: PLC0415 - an extra
        from pipeline.mining.picture_index import open_index, split  # noqa: PLC0415 - an extra

        own = content_of(image)
        opened = open_index(index, run.client)
        query = {"index": opened.artefact, "image": sha256(own).hexdigest(), "count": count}
        run.client.report_use(UseKind.IMAGE, opened.releases, query)
        hits = opened.search.find(look_at(own, None, item="--image").descriptor, count)
        results = [
            {"release": split(hit.name)[0], "item": split(hit.name)[1], "score": round(hit.score, 4)}
            for hit in hits
        ]
        answer = {"mode": opened.search.mode, "artefact": opened.artefact, "results": results}
        lines = [f"{each['score']:.3f}  {each['release']}  {each['item']}" for each in results]
        lines.append(f"{len(results)} 项 / results, 方式 / by {opened.search.mode}")
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(lines))
