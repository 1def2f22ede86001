"""Commands that end a candidate or take an approval back; `gateway.commands.releases` mounts them."""

from typing import Annotated

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.approve import withdraw_approval
from gateway.flow.closing import Rejection, RejectionCode, reject, withdraw

app = typer.Typer(no_args_is_help=True)

ReleaseId = Annotated[str, typer.Argument(help="Id of the release.")]


@app.command("reject")
@reporting
def release_reject(
    release_id: ReleaseId,
    code: Annotated[RejectionCode, typer.Option(help="Why, in the ledger's words.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    text_zh: Annotated[str, typer.Option("--zh", help="Why, in Chinese.")] = "",
    text_en: Annotated[str, typer.Option("--en", help="Why, in English.")] = "",
    as_json: Json = False,
) -> None:
    """Close a candidate for good, with the reason; the words are sealed beside the ledger."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.reject")
        reject(gate, release_id, Rejection(code=code, text_zh=text_zh, text_en=text_en), actor=actor)
    report(
        {"release": release_id, "rejected": True, "code": code.value},
        as_json=as_json,
        line=f"{release_id}: 已驳回 / rejected ({code.value})",
    )


@app.command("withdraw")
@reporting
def release_withdraw(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Take back a release that you requested, before it goes out."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.withdraw")
        withdraw(gate, release_id, actor=actor)
    report(
        {"release": release_id, "withdrawn": True},
        as_json=as_json,
        line=f"{release_id}: 已撤回 / withdrawn",
    )


@app.command("unapprove")
@reporting
def release_unapprove(
    release_id: ReleaseId, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Take your own approval back, before the release goes out."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "release.unapprove")
        withdraw_approval(gate, release_id, actor=actor)
    report(
        {"release": release_id, "approver": person, "approved": False},
        as_json=as_json,
        line=f"{release_id}: 批准已撤销 / approval of {person} withdrawn",
    )
