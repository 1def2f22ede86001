"""Commands about maps: what of a release waits for a compliance officer, and the decision."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.permitted import permit_on_release
from gateway.review.slope_evidence import Verdict
from gateway.review.slopes import decide_slopes, list_waiting, sign_review

app = typer.Typer(help="Vector maps.", no_args_is_help=True)


def review_lines(summary: dict[str, Any]) -> Iterator[str]:
    """The state of a review for people to read."""
    yield f"release {summary['release']}: {summary['waiting']} attributes wait, {summary['standing']}"
    for item in summary["items"]:
        counts = ", ".join(f"{count} {key}" for key, count in item["by_key"].items())
        yield f"  map       {item['item']}: {counts}"
        for each in item["listed"]:
            why = f"{each['source']} (confidence {each['confidence']})"
            yield f"  waits     {each['feature']} {each['key']}, {why}"
        if (more := item["waiting"] - len(item["listed"])) > 0:
            yield f"  waits     and {more} more"
    for made in summary["decisions"]:
        outcome = "" if made["counts"] else f", does not count: {made['fault']}"
        yield f"  decided   {made['verdict']} by {made['reviewer']} at {made['signed_at']}{outcome}"


@app.command("review")
@reporting
def maps_review(
    release_id: Annotated[str, typer.Argument(help="Id of a release that was built.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    approve: Annotated[bool, typer.Option("--approve", help="Sign that what waits may leave.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Sign that it may not, for good.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; required with a decision.")] = None,
    as_json: Json = False,
) -> None:
    """List the slopes and curvatures of a release's maps that wait for a person, or decide about them.

    Only a compliance officer who did not submit the release decides. After an approval the release is judged by
    fleetgate release resume.
    """
    if approve and reject:
        raise typer.BadParameter("a decision is --approve or --reject (got both)")
    if (approve or reject) != (reason is not None):
        raise typer.BadParameter("--reason comes with --approve or --reject, and they with it")
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "maps.review")
        if reason is not None:
            permit_on_release(gate, actor, "maps.decide", release_id)  # before one's key signs anything
            verdict = Verdict.APPROVE if approve else Verdict.REJECT
            statement = sign_review(gate, release_id, verdict, reason, reviewer=actor.id, key=private)
            decide_slopes(gate, release_id, statement, actor=actor)
        summary = list_waiting(gate, release_id, actor=actor)
    report(summary, as_json=as_json, line="\n".join(review_lines(summary)))
