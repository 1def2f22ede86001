"""Bundles tried, compared, signed, explained and simulated by commands; exit statuses and JSON."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands.policy_texts import explanation_lines
from policies.bundle import shipped_bundle


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("draft") / "policies"
    shutil.copytree(str(resources.files("policies")), folder)
    file = folder / "data/surveying.yaml"
    file.write_text(file.read_text("utf-8").replace('"2020-07-01": 25', '"2020-07-01": 20'), "utf-8")
    return folder


def test_a_draft_that_fails_its_vectors_ends_with_status_1_and_a_table(draft: Path):
    result = run("policy", "test", "--bundle", draft)
    assert result.exit_code == 1
    assert "release: just below the area of a secret" in result.stdout
    document = json.loads(run("policy", "test", "--bundle", draft, "--json").stdout)
    assert document["passed"] is False
    assert {fault["kind"] for fault in document["faults"]} == {"vector", "rule_test"}


def test_what_differs_is_told_with_old_and_new_value(draft: Path):
    result = run("policy", "diff", "shipped", draft)
    assert result.exit_code == 0
    assert "parameter surveying.secret_area_km2: changed [L2]" in result.stdout
    assert "2020-07-01: 25 -> 20" in result.stdout
    assert "vector release: just below the area of a secret: denied" in result.stdout
    assert run("policy", "diff", "shipped", "/nowhere").exit_code == 1


def test_a_gate_lists_explains_and_refuses(quick, draft: Path):
    (listed,) = quick.run("policy", "list", "--json").document["bundles"]
    assert (listed["bundle"], listed["in_force"], listed["people"]) == (shipped_bundle().digest, True, "")
    times = ["--not-before", "2026-01-01", "--not-after", "2090-01-01"]
    answer = quick.act("officer", "policy", "sign", "--bundle", draft, *times)
    assert (answer.code, answer.document["error"]) == (1, "policy_bundle_invalid")
    answer = quick.act("officer", "policy", "explain", "rel-of-nobody")
    assert (answer.code, answer.document["error"]) == (1, "not_found")
    answer = quick.act("auditor", "policy", "simulate", "--bundle", "shipped")
    assert (answer.code, answer.document["error"]) == (1, "not_found")


def test_an_explanation_reads_in_chinese_and_english():
    violation = {
        "rule": "no_export",
        "number": "23",
        "clause": "网络数据安全管理条例 37-38",
        "confidence": "m",
        "text_zh": "出境，拒绝",
        "text_en": "an export",
        "facts": [{"destination_zone": "foreign"}],
        "unverified": True,
        "limits": [],
        "would_pass_with": [],
    }
    head = {
        "index": 7,
        "time": "t",
        "point": "release",
        "about": "rel-1",
        "allowed": False,
        "refused": "denied",
    }
    tail = {
        "bundle": "b",
        "bundle_version": None,
        "question": "erased",
        "denied_by": [violation],
        "unmet": [],
    }
    text = "\n".join(explanation_lines(head | tail))
    for word in (
        "拒绝 denied",
        "its key was destroyed",
        "出境，拒绝 / an export",
        "未核实 unverified",
        "foreign",
    ):
        assert word in text
