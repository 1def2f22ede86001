"""Commands of what is made of releases: what rests on one, and what its revocation reaches."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.lineage import release_lineage
from gateway.flow.permitted import permit_on_release
from gateway.flow.release import revoke_release

app = typer.Typer(no_args_is_help=True)
revocation = typer.Typer(no_args_is_help=True)

ReleaseId = Annotated[str, typer.Argument(help="Id of the release.")]
_KINDS: Final = {
    "index": "索引",
    "label_set": "标注集",
    "model": "模型",
    "scenario": "场景",
    "data_set": "数据集",
}


@app.command("lineage")
@reporting
def lineage(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """List everything that engineers registered as made of a release, and of what was made of it."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "lineage")
        permit_on_release(gate, actor, "release.lineage", release_id)
        found = release_lineage(gate, release_id, actor=actor)
    state = "已撤销 / revoked" if found["revoked"] else "有效 / live"
    lines = [f"{release_id}: {state}; {len(found['artefacts'])} 项衍生 / artefacts rest on it"]
    report(found, as_json=as_json, line="\n".join([*lines, *_artefact_lines(found["artefacts"])]))


@revocation.command("revoke")
@reporting
def release_revoke(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Stop serving a release for good, and say who received what of it and what rests on it.

    What was fetched or trained on is not undone by that. Repeating it gives the list anew.
    """
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.revoke")
        done = revoke_release(gate, release_id, actor=actor).document()
    lines = [
        f"{release_id}: 已撤销 / revoked; {done['grants_ended']} 项授权终止 / grants ended",
        *_received_lines(done["received"]),
        f"{len(done['artefacts'])} 项衍生标记为已撤销 / artefacts marked revoked",
        *_artefact_lines(done["artefacts"]),
        *done["not_undone"].values(),
    ]
    report(done, as_json=as_json, line="\n".join(lines))


def _received_lines(received: list[Mapping[str, Any]]) -> Iterator[str]:
    if not received:
        yield "无人收到任何内容 / nobody received anything"
    for row in received:
        yield (
            f"  {row['principal']} ({row['recipient'] or '–'}): {len(row['items'])} 个文件 / items, "
            f"{row['bytes']} 字节 / bytes"
        )
        for item in row["items"]:
            broken = f", {item['broken_off']} 次中断 / broken off" if item["broken_off"] else ""
            yield f"    {item['name']}  {item['reads']}×{broken}  {item['first']} – {item['last']}"


def _artefact_lines(artefacts: list[Mapping[str, Any]]) -> Iterator[str]:
    for each in artefacts:
        state = "已撤销 / revoked" if each["revoked"] else "有效 / live"
        yield (
            f"  {each['artefact'][:16]}  {_KINDS[each['kind']]} / {each['kind']}  {each['name']}  "
            f"{each['attributed_to']}  {state}"
        )
