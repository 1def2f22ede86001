"""A scenario fitted on a release, registered by the engineer's command, and what a revocation says of it."""

import json

from typer.testing import CliRunner

from gateway.cli import app
from pipeline.client import GatewayClient
from simulators import PURPOSE, released


def test_a_fitted_scenario_is_registered_and_a_revocation_tells_of_it(
    sqlite_gate, sqlite_house, serve_gate, tmp_path
):
    release = released(sqlite_gate, sqlite_house, {"notes.txt": "城市道路。\n".encode()})
    engineer = sqlite_house.people["engineer"].key
    public = sqlite_gate.keystore.signing_key("release").as_dict(private=False)
    key, release_key, scenario = tmp_path / "key.pem", tmp_path / "release.jwk", tmp_path / "fitted.yaml"
    key.write_bytes(engineer.as_pem(private=True))
    key.chmod(0o600)
    release_key.write_text(json.dumps(public))
    template = CliRunner().invoke(app, ["simulate", "example"]).stdout

    with serve_gate(sqlite_gate, sqlite_house) as served:

        def register(digest: str | None) -> tuple[int, dict]:
            source = f"sources: [{{release: '{release}', digest: '{digest}'}}]\n" if digest else ""
            scenario.write_text(template + source, encoding="utf-8")
            done = CliRunner().invoke(
                app,
                [
                    "simulate", "register", str(scenario), "--url", served.url, "--key", str(key),
                    "--principal", "engineer", "--purpose", PURPOSE, "--release-key", str(release_key), "--json",
                ],
            )  # fmt: skip
            return done.exit_code, json.loads(done.stdout)

        with GatewayClient(
            served.url, key=engineer, principal="engineer", purpose=PURPOSE, release_key=public
        ) as client:
            digest = client.manifest(release).digest
            assert register(None)[1]["reason"] == "scenario_invalid"
            status, refused = register("sha256:of-another-release")
            assert (status, refused["reason"]) == (1, "scenario_invalid")
            assert f"expected {digest}" in refused["detail"]
            status, made = register(digest)
            assert (status, made["releases"]) == (0, [release])
            assert client.standing(made["artefact"]).revoked is False
            revoked = served.call("first", "POST", f"/operators/v1/releases/{release}/revocation")
            assert [each["artefact"] for each in revoked.json()["artefacts"]] == [made["artefact"]]
            assert client.standing(made["artefact"]).revoked_releases == (release,)
            status, refused = register(digest)
            assert status == 1
            assert refused["reason"] not in {"scenario_invalid", "unexpected_answer"}
    assert sqlite_gate.ledger.verify().open_intents == 0
