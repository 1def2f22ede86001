"""The ``fleetgate`` command. The only module of the gateway that knows ``pipeline``: it mounts its commands."""

import typer

from gateway.commands import (
    auditing,
    break_glass,
    dbc,
    deliver,
    demo,
    geo,
    keys,
    licences,
    lineage,
    maps,
    model_quality,
    models,
    oversight,
    policy,
    proofs,
    quality,
    releases,
    reports,
    retention,
    sealed,
    service,
    setup,
    staff,
    witness,
)
from pipeline.commands import artefact_app, fetch, label_app, mine_app, simulate_app, train_app

app = typer.Typer(
    name="fleetgate",
    help="Compliance-first data governance gateway for autonomous-driving fleets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for commands in (setup.app, deliver.app, sealed.app, service.app, demo.app, lineage.app):
    for command in commands.registered_commands:
        app.registered_commands.append(command)
for command in keys.app.registered_commands:
    setup.key_app.registered_commands.append(command)
app.add_typer(setup.key_app, name="key")
app.add_typer(staff.app, name="person")
app.add_typer(setup.vehicle_app, name="vehicle")
app.add_typer(licences.certificate_app, name="certificate")
app.add_typer(licences.delegation_app, name="delegation")
app.add_typer(licences.paper_app, name="paper")
app.add_typer(oversight.recipient_app, name="recipient")
app.add_typer(oversight.purpose_app, name="purpose")
app.add_typer(setup.zones_app, name="zones")
app.add_typer(policy.app, name="policy")
app.add_typer(maps.app, name="maps")
app.add_typer(quality.app, name="quality")
app.add_typer(geo.app, name="geo")
app.add_typer(dbc.app, name="dbc")
app.add_typer(releases.release_app, name="release")
app.add_typer(releases.grant_app, name="grant")
models.app.command("evaluate")(model_quality.evaluate_models)
app.add_typer(models.app, name="models")
auditing.app.command("verify-destruction")(proofs.verify_certificate)
auditing.app.command("verify-dossier")(proofs.verify_dossier)
auditing.app.command("verify-report")(proofs.verify_report)
app.add_typer(auditing.app, name="audit")
app.add_typer(reports.app, name="report")
app.add_typer(retention.app, name="retention")
app.add_typer(break_glass.app, name="break-glass")
app.add_typer(witness.app, name="witness")
app.command("fetch")(fetch)
app.add_typer(label_app, name="label")
app.add_typer(artefact_app, name="artefact")
app.add_typer(mine_app, name="mine")
app.add_typer(simulate_app, name="simulate")
app.add_typer(train_app, name="train")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
