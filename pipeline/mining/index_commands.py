"""``fleetgate mine index``: a sealed index over the pictures of several releases, and search in it."""

import json
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
from pipeline.mining.clip_options import ClipDigestOption, ClipNameOption, ClipWeightsOption, given_clip
from pipeline.mining.run import Connecting, connected, content_of, told

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
    clip_weights: ClipWeightsOption = None,
    clip_sha256: ClipDigestOption = None,
    clip_model: ClipNameOption = None,
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

    Up to a million pictures each is compared in a search; beyond, those of the nearest cells (IVF). With
    --clip-weights it holds vectors of that network, which also finds by words.

    Exit status: 0 written, 1 refused, unreachable, tampered with or not registered, 2 wrong usage.
    """
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with told(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        from pipeline.mining.answers import way_of  # noqa: PLC0415 - an extra
        from pipeline.mining.clip_vectors import clip_vectors  # noqa: PLC0415 - an extra
        from pipeline.mining.picture_index import joined, write_index  # noqa: PLC0415 - an extra
        from pipeline.mining.pictures import look_over  # noqa: PLC0415 - an extra

        below = sorted(set(releases))
        model = given_clip(clip_weights, clip_sha256, clip_model)
        clip = model.identity if model else None
        query = {"index": name or out.name} | ({"clip": clip.document()} if clip else {})
        run.client.report_use(UseKind.INDEX, below, query)
        vectors: dict[str, Any] = {}
        for release in below:
            kept = run.kept(release)
            if model is not None:
                seen = clip_vectors(run.source, release, model, kept=kept, progress=run.progress)
            else:
                found = look_over(run.source, release, looked=kept, progress=run.progress)
                seen = {item: picture.look.descriptor for item, picture in found.items()}
            vectors |= {joined(release, item): vector for item, vector in seen.items()}
        manifests = [run.client.manifest(release) for release in below]
        artefact, search = write_index(out, name or out.name, manifests, vectors, run.client, clip=clip)
        answer = {
            "index": str(out),
            "artefact": artefact,
            "releases": below,
            "pictures": len(vectors),
            "mode": search.mode,
        } | ({"model": clip.document()} if clip else {})
        typer.echo(
            json.dumps(answer, ensure_ascii=False)
            if as_json
            else f"{out}: {len(vectors)} 张图片 / pictures, {way_of(answer)}, 已登记 / registered as {artefact}"
        )


@app.command()
def search(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    index: Annotated[Path, typer.Argument(help="The file that `mine index build` wrote.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    text: Annotated[
        str | None, typer.Option(help="Words, for an index of a CLIP network; needs --clip-weights.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="A picture of your own.")] = None,
    clip_weights: ClipWeightsOption = None,
    clip_sha256: ClipDigestOption = None,
    clip_model: ClipNameOption = None,
    count: Annotated[int, typer.Option(min=1, help="How many results at most.")] = 10,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find pictures of a sealed index by another picture or by words; the answer says which way it took.

    The gate is asked first, for the index and every release below it; where one was revoked the index is removed.

    Exit status: 0 done, also where nothing was found; 1 refused, revoked, unreachable or not registered; 2 wrong
    usage.
    """
    if (text is None) is (image is None):
        raise typer.BadParameter("one of --text and --image is needed")
    if text is not None and clip_weights is None:
        raise typer.BadParameter("--text needs --clip-weights, --clip-sha256 and --clip-model")
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with told(as_json=as_json), connected(connecting, None, quiet=as_json) as run:
        from pipeline.mining.answers import way_of  # noqa: PLC0415 - an extra
        from pipeline.mining.asking import asked  # noqa: PLC0415 - an extra
        from pipeline.mining.clip_vectors import asked_vector  # noqa: PLC0415 - an extra
        from pipeline.mining.descriptors import look_at  # noqa: PLC0415 - an extra
        from pipeline.mining.picture_index import open_index, split  # noqa: PLC0415 - an extra

        own = content_of(image) if image else None
        model = given_clip(clip_weights, clip_sha256, clip_model)
        clip = model.identity if model else None
        opened = open_index(index, run.client, clip=clip)
        query = {"index": opened.artefact, **asked(text, None, own, count, clip)}
        run.client.report_use(UseKind.IMAGE if text is None else UseKind.TEXT, opened.releases, query)
        wanted = asked_vector(model, text, own) if model else None
        if wanted is None:
            wanted = look_at(own or b"", None, item="--image").descriptor
        hits = opened.search.find(wanted, count)
        results = [
            {"release": split(hit.name)[0], "item": split(hit.name)[1], "score": round(hit.score, 4)}
            for hit in hits
        ]
        answer: dict[str, Any] = {"mode": opened.search.mode, "artefact": opened.artefact, "results": results}
        if clip is not None:
            answer |= {"mode": "clip", "model": clip.document(), "vectors": opened.search.mode}
        lines = [f"{each['score']:.3f}  {each['release']}  {each['item']}" for each in results]
        lines.append(f"{len(results)} 项 / results, 方式 / by {way_of(answer)}")
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(lines))
