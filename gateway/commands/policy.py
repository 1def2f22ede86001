"""Commands of policy: list and export bundles, sign and install an operator's own, explain, simulate."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.events import EventType
from gateway.commands import policy_trial
from gateway.commands.policy_texts import explanation_lines, simulation_document, simulation_lines
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.errors import NotFoundError
from gateway.flow.acts import intended
from gateway.flow.deciding import instant
from gateway.people.permission import permit
from gateway.people.policies import Period, install_bundle, propose_bundle
from gateway.people.policy_in_force import shipped_files, statements_of
from gateway.review.explained import explain
from gateway.review.simulated import Simulation, past_decisions, simulate
from policies.bundle import write_bundle
from policies.drafts import draft_in, packed_files, require_same_questions
from policies.embedded import EmbeddedEngine
from policies.errors import BundleError
from policies.opa_server import guard
from policies.question import Point
from policies.trial import try_rule_tests

app = typer.Typer(help="The policy bundle in force, and bundles that are drafted.", no_args_is_help=True)
app.command("test")(policy_trial.policy_test)
app.command("diff")(policy_trial.policy_diff)

Draft = Annotated[
    str, typer.Option("--bundle", help="Folder of a draft, laid out like `policies/`; or `shipped`.")
]


@app.command("export")
@reporting
def policy_export(
    directory: Annotated[
        Path, typer.Argument(help="Folder for the bundle, for `opa run --server --bundle`.")
    ],
    *,
    bundle: Annotated[
        str | None,
        typer.Option(help="Folder of a draft, or `shipped`, instead of the bundle in force."),
    ] = None,
    guarded: Annotated[
        bool,
        typer.Option("--guarded", help="With the module by which the server admits the gate's token only."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the policy bundle in force, or a draft, for an OPA server."""
    if bundle is not None:
        chosen = policy_trial.draft_named(bundle).bundle
    else:
        with opened() as gate:
            chosen = gate.bundle.bundle
    write_bundle(chosen, directory, guard=guard() if guarded else None)
    report({"directory": str(directory), "digest": chosen.digest}, as_json=as_json)


@app.command("list")
@reporting
def policy_list(*, as_json: Json = False) -> None:
    """List statements that put bundles into force: digest, version, period, who signed; marked is what holds."""
    with opened(repairing_policy=True) as gate, gate.database.read() as session:
        holds = gate.bundle.not_after > gate.bundle.not_before
        now = gate.bundle.bundle.digest if holds else None
        rows = [
            {
                "bundle": each.bundle_digest,
                "version": each.version,
                "not_before": instant(each.not_before),
                "not_after": instant(each.not_after),
                "installed_at": instant(each.installed_at),
                "people": " and ".join(each.people),
                "in_force": each.bundle_digest == now
                and (each.not_before, each.not_after) == (gate.bundle.not_before, gate.bundle.not_after),
            }
            for each in statements_of(session)
        ]
    lines = [
        f"{'*' if row['in_force'] else ' '} {row['bundle']} version {row['version']} "
        f"{row['not_before']} to {row['not_after']} by {row['people'] or 'the gate (shipped)'}"
        for row in rows
    ]
    report({"bundles": rows}, as_json=as_json, line="\n".join(lines) if holds else _none_in_force(lines))


def _none_in_force(lines: list[str]) -> str:
    return "\n".join([*lines, "no bundle is in force: the gate does not start"])


@app.command("sign")
@reporting
def policy_sign(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    bundle: Draft,
    not_before: Annotated[datetime, typer.Option(help="First instant of validity, UTC.")],
    not_after: Annotated[datetime, typer.Option(help="End of validity, UTC, excluded.")],
    *,
    accept_changes: Annotated[
        bool, typer.Option(help="Sign also that shipped golden vectors are answered differently.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Propose a bundle under your signature; another person puts it into force with `policy install`.

    It must require every rule of the shipped bundle, ask the questions of this version, and pass its own golden
    vectors and tests of rules. Shipped golden vectors that it answers differently are part of what you sign.
    """
    files = _files_of(bundle)
    period = Period(not_before=not_before.replace(tzinfo=UTC), not_after=not_after.replace(tzinfo=UTC))
    with opened(repairing_policy=True) as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "policy.sign")
        examined = propose_bundle(gate, files, period, accepted=accept_changes, actor=actor, key=private)
    digest, changes = examined.draft.bundle.digest, examined.named()
    report(
        {"bundle": digest, "version": examined.draft.bundle.version, "changes": changes, **period.stated()},
        as_json=as_json,
        line="\n".join(
            [f"{digest}: proposed; another person runs: fleetgate policy install {digest}", *changes]
        ),
    )


def _files_of(bundle: str) -> dict[str, bytes]:
    """Files of a draft whose tests of rules pass.

    Raises:
        BundleError: It cannot be read, or a test of a rule fails.
    """
    if bundle == "shipped":
        return shipped_files()
    draft = draft_in(Path(bundle))
    require_same_questions(draft)
    with EmbeddedEngine(draft.bundle) as engine:
        faults = try_rule_tests(draft, engine.name).faults
    if faults:
        raise BundleError(
            f"tests of rules fail (got {len(faults)}, first {faults[0].name}: {faults[0].detail})"
        )
    return packed_files(Path(bundle))


@app.command("install")
@reporting
def policy_install(
    digest: Annotated[str, typer.Argument(help="Digest of a proposed bundle.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Put a proposed bundle into force; you are not who proposed it, and one of you two is a compliance officer.

    A running gate judges by the bundle that it started with: restart it. With an OPA server, export the bundle
    to it first (`policy export --bundle`).
    """
    with opened(repairing_policy=True) as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "policy.install")
        installed = install_bundle(gate, digest, actor=actor, key=private)
    begin, end = instant(installed.not_before), instant(installed.not_after)
    report(
        {"bundle": digest, "not_before": begin, "not_after": end},
        as_json=as_json,
        line=f"{digest}: in force from {begin} to {end}; a gate that runs takes it up when it is restarted",
    )


@app.command("explain")
@reporting
def policy_explain(
    subject: Annotated[str, typer.Argument(help="Index of a ledger entry, or id of a release or recording.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    most: Annotated[int, typer.Option(min=1, max=1000, help="Most decisions, the newest first.")] = 5,
    hints: Annotated[bool, typer.Option(help="Look for what would have to change.")] = True,
    as_json: Json = False,
) -> None:
    """Explain a decision from ledger and question: rules, clauses, facts, limits, what would have to change."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "policy.explain")
        explained = explain(gate, subject, actor=actor, most=most, hints=hints)
    lines = [line for decision in explained for line in explanation_lines(decision)]
    report({"decisions": explained}, as_json=as_json, line="\n".join(lines))


@app.command("simulate")
@reporting
def policy_simulate(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    bundle: Draft,
    *,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest decisions.")] = 100,
    point: Annotated[Point, typer.Option(help="Which decisions.")] = Point.RELEASE,
    day: Annotated[
        datetime | None, typer.Option("--as-of", help="Day on which dated numbers stand; today unless set.")
    ] = None,
    before: Annotated[
        int | None, typer.Option(help="Only entries below this index, to go on after an interruption.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put past questions to a draft: what it would have decided, which releases it would now refuse, and why.

    Interrupt it at any time: what was found is reported with the entry to go on from (`--before`).
    """
    draft = policy_trial.draft_named(bundle)
    require_same_questions(draft)
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "policy.simulate")
        permit(gate, actor, "policy.simulate", on=draft.bundle.digest)
        stands = (day or gate.clock()).date().isoformat()
        event = intended(
            EventType.POLICY_BUNDLE_SIMULATE,
            actor=actor.id,
            object_id=draft.bundle.digest,
            digests={**actor.digests, "bundle": draft.bundle.digest},
        )
        with gate.ledger.intent(event) as intent:
            indices = past_decisions(gate, point, most=last, before=before)
            if not indices:
                intent.refuse(facts={"reason": NotFoundError.reason})
                raise NotFoundError(f"no decision was taken yet (got point {point.value!r})")
            run = Simulation(day=stands)
            try:
                for result in simulate(gate, draft.bundle, indices, day=stands):
                    run.results.append(result)
                    run.next_before = result.index
                    _progress(len(run.results), len(indices))
                run.complete = True
            except KeyboardInterrupt:
                print(file=sys.stderr)  # noqa: T201 (ends the line of progress)
            intent.complete(facts={"asked": len(run.results), "complete": run.complete})
    document = simulation_document(run, draft.bundle.digest)
    report(document, as_json=as_json, line="\n".join(simulation_lines(run)))
    if not run.complete:
        raise typer.Exit(130)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done}/{total}", end=end, file=sys.stderr, flush=True)  # noqa: T201 (one line, rewritten)
