"""Every command that a person proves themselves for asks policy first, and refuses whose act it is not."""

import pytest
import typer
from click import Command

from audit.events import EventType, Outcome
from gateway.cli import app

RELEASE = "f" * 32
FILE = "{file}"
FOLDER = "{folder}"

# What each command is given besides a person: nothing of it exists, so that only policy can be who refuses.
ARGUMENTS = {
    "audit ask": ["raw"],
    "audit bundle": [FILE],
    "audit export": [FILE],
    "audit query": [],
    "audit tiles": [FOLDER],
    "audit words": ["u"],
    "break-glass approve": ["b"],
    "break-glass end": ["b"],
    "break-glass list": [],
    "break-glass read": ["b", "i"],
    "break-glass request": ["i", "--reason", "r"],
    "break-glass review": ["b", "--outcome", "justified", "--note", "n"],
    "certificate add": [
        "n", "--kind", "k", "--region", "11", "--valid-from", "2020-01-01", "--valid-to", "2030-01-01",
        "--grade", "A", "--holder", "h", "--document", "{jwk}",
    ],
    "certificate change": ["n", "suspend", "--reason", "r"],
    "certificate list": [],
    "dbc install": ["{jwk}", "--name", "n", "--version", "1"],
    "delegation add": [
        "d", "--from", "u", "--certificate", "n", "--kind", "k", "--region", "11",
        "--valid-from", "2020-01-01", "--valid-to", "2030-01-01", "--document", "{jwk}",
    ],
    "delegation end": ["d", "--reason", "r"],
    "delegation list": [],
    "erase": ["r"],
    "geo attack": [RELEASE, "--osm", "{jwk}"],
    "grant issue": [RELEASE, "--principal", "engineer"],
    "grant revoke": ["g"],
    "held": [],
    "ingest": ["{jwk}", "--carrier", "c", "--region", "110108"],
    "ingest-sealed": [FOLDER, "--carrier", "c"],
    "key backup": [FOLDER],
    "key rotate": [],
    "key rotate-intake": [],
    "maps review": [RELEASE],
    "models retire": ["m"],
    "paper document": ["p", "--out", FILE],
    "person add": ["p", "--public-key", "{jwk}", "--role", "operator"],
    "person change": ["p", "--nationality", "CN", "--reason", "r"],
    "person list": [],
    "person reinstate": ["p", "--reason", "r"],
    "person suspend": ["p", "--reason", "r"],
    "policy explain": ["1"],
    "policy install": ["a" * 64],
    "policy sign": ["--bundle", "shipped", "--not-before", "2027-01-01", "--not-after", "2028-01-01"],
    "policy simulate": ["--bundle", "shipped"],
    "purpose add": ["p", "--assessment", "a"],
    "purpose assess": [
        "p", "--kind", "pia", "--reference", "r", "--made-on", "2026-01-01", "--valid-until", "2030-01-01",
        "--class", "EXT_IMAGE", "--level", "S2_PI", "--document", "{jwk}",
    ],
    "purpose show": ["p"],
    "quality frames": [RELEASE, "--out", FOLDER],
    "quality record": [RELEASE],
    "quality sample": [RELEASE],
    "quality status": [RELEASE],
    "recipient add": ["r", "--country", "CN", "--contract", "c"],
    "recipient close": ["r", "a" * 64, "--reason", "s"],
    "recipient contract": [
        "r", "--number", "n", "--purpose", "p", "--valid-from", "2020-01-01", "--valid-to", "2030-01-01",
        "--document", "{jwk}",
    ],
    "recipient show": ["r"],
    "recipient supervise": ["r", "--inspector", "i", "--document", "{jwk}"],
    "release approve": [RELEASE],
    "release contact-sheet": [RELEASE, "--out", FILE],
    "release dossier": [RELEASE, "--out", FOLDER],
    "lineage": [RELEASE],
    "release publish": [RELEASE],
    "release reject": [RELEASE, "--code", "other", "--en", "no"],
    "release request": ["r", "--purpose", "p", "--recipient", "r"],
    "release resume": [RELEASE],
    "release revoke": [RELEASE],
    "release show": [RELEASE],
    "release unapprove": [RELEASE],
    "release withdraw": [RELEASE],
    "report annual": ["--year", "2026"],
    "report counts": [],
    "report deletions": [],
    "report exports": [],
    "report provisions": [],
    "report roster": [],
    "retention destroy": ["rel-x"],
    "retention due": [],
    "status": ["r"],
    "vehicle assign": ["v", "--unit", "u"],
    "vehicle add": ["v", "--public-key", "{jwk}"],
    "zones install": ["{jwk}"],
}  # fmt: skip

# Each with the test that has the shares, model or data set that the command reads before it can ask.
ELSEWHERE = {
    "key recover": "test_cli_keys.py::test_only_an_administrator_holds_a_ceremony",
    "models add": "test_cli_models.py::test_only_a_compliance_officer_adds",
    "models evaluate": "test_model_registry.py::test_only_compliance_officers_add_retire_and_store",
}


def _leaves(command: Command, path: tuple[str, ...] = ()):
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(path), command
    for name, child in children.items():
        yield from _leaves(child, (*path, name))


PROVED = {
    path
    for path, command in _leaves(typer.main.get_command(app))
    if any("--as" in parameter.opts for parameter in command.params)
}


def test_every_command_of_a_person_is_walked():
    assert ARGUMENTS.keys() | ELSEWHERE.keys() == PROVED


@pytest.mark.parametrize("path", ARGUMENTS)
def test_the_command_asks_policy_and_refuses_an_engineer(quick, tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "engineer.jwk").write_text("{}")
    words = {
        FILE: tmp_path / "file", FOLDER: tmp_path / "folder", "{jwk}": tmp_path / "engineer.jwk",
    }  # fmt: skip
    before = len(quick.entries())
    answer = quick.act("engineer", *path.split(), *[words.get(a, a) for a in ARGUMENTS[path]])
    assert (answer.code, answer.document["error"]) == (1, "forbidden"), answer
    assert "role_permitted" in [v["rule"] for v in answer.document["violations"]]
    entries = [entry.event for entry in quick.entries()[before:]]
    assert [(e.type, e.outcome, e.actor) for e in entries] == [
        (EventType.JUDGE_ACT_DECIDE, Outcome.REFUSED, "engineer")
    ]
    assert not (tmp_path / "file").exists()
    assert list((tmp_path / "folder").iterdir()) == []
