"""Rules, catalogue, metadata and data agree and keep to the fail-closed subset (DESIGN.md §4 Policy)."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import regorus  # type: ignore[import-untyped]
import yaml

import policies
from policies.bundle import Bundle, write_bundle
from policies.question import Point
from policies.vectors import base_questions
from rego_sources import numbers, parsed

ROOT = Path(policies.__file__).parent
RULES = sorted(ROOT.glob("rules/*/*/rule.rego"))
REGO = sorted(path for path in ROOT.glob("rules/**/*.rego") if not path.name.endswith("_test.rego"))
CONFIDENCES = {"L", "L2", "M", "m", "own"}


def _name(path: Path) -> tuple[str, str]:
    return path.parent.parent.name, path.parent.name


def _code(path: Path) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', re.sub(r"(?m)^\s*#.*$", "", path.read_text("utf-8")))


def test_rules_on_disk_are_the_catalogue(bundle: Bundle) -> None:
    on_disk = {_name(path) for path in RULES}
    catalogued = {(point.value, rule) for point in Point for rule in bundle.catalogue[point]}
    assert on_disk == catalogued


WITHOUT_REGO: dict[str, str] = {}
"""Rules that no Rego rule states, with the reason; whoever states one takes it off."""


def test_each_of_the_thirty_two_rules_is_stated_in_rego(bundle: Bundle) -> None:
    """COMPLIANCE.md §3: every default rule is judged by a rule that names its number, or it is listed why not."""
    stated: dict[str, list[str]] = {}
    for point, entries in bundle.catalogue.items():
        for rule, entry in entries.items():
            for number in entry["number"].split(", "):
                stated.setdefault(number, []).append(f"{point}/{rule}")
    numbers = {str(number) for number in range(1, 33)}
    assert numbers - stated.keys() == WITHOUT_REGO.keys()
    assert stated.keys() - numbers == {f"law {number}" for number in (1, 2, 5, 6, 7, 8, 9)}


@pytest.mark.parametrize("path", RULES, ids=lambda path: "/".join(_name(path)))
def test_metadata_is_the_catalogue_entry(path: Path, bundle: Bundle) -> None:
    point, rule = _name(path)
    source = path.read_text("utf-8")
    assert source.startswith(f"package fleetgate.{point}\n")
    block = re.search(r"^# METADATA\n((?:# .*\n)+)passed contains", source, re.MULTILINE)
    assert block, "METADATA stands above the first passed rule"
    metadata = yaml.safe_load(re.sub(r"(?m)^# ", "", block[1]))
    entry = bundle.catalogue[Point(point)][rule]
    assert metadata == {
        "title": entry["text_en"],
        "description": entry["text_zh"],
        "custom": {key: entry[key] for key in ("number", "clause", "confidence")},
    }
    assert entry["confidence"] in CONFIDENCES


@pytest.mark.parametrize("path", RULES, ids=lambda path: "/".join(_name(path)))
def test_a_rule_passes_only_itself_and_shares_no_name(path: Path) -> None:
    """Law 5: two rules that defined one name would pass for one another."""
    _, rule = _name(path)
    source = path.read_text("utf-8")
    assert set(re.findall(r'passed contains "(\w+)"', source)) == {rule}
    assert set(re.findall(r'facts contains \{\s*"rule": "(\w+)"', source)) == {rule}
    heads = set(re.findall(r"(?m)^(\w+)", _code(path))) - {
        "package",
        "import",
        "passed",
        "facts",
        "obligations",
    }
    assert all(head.startswith(f"{rule}_") for head in heads), heads
    assert path.with_name("rule_test.rego").is_file()


@pytest.mark.parametrize("path", REGO, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules_keep_to_the_fail_closed_subset(path: Path) -> None:
    """Law 5: a negated or defaulted undefined reference passes; the subset has neither."""
    code = _code(path)
    assert not re.search(r"\b(not|else|with|http|opa|rand|trace|print)\b", code)
    defaults = re.findall(r"(?m)^default (\w+) := (.*)$", code)
    assert set(defaults) <= {("allow", "false"), ("level", '""')}
    assert "time.now_ns" not in code


def test_cn_rules_say_that_they_do_not_apply_under_eu_law() -> None:
    cn_only = {
        _name(path)
        for path in RULES
        if 'input.context.profile.jurisdiction == "CN"' in path.read_text("utf-8")
    }
    explicit = {_name(path) for path in RULES if "# Not applicable under" in path.read_text("utf-8")}
    assert cn_only == explicit
    assert ("release", "surveying_certificate") in explicit


def test_legal_data_is_dated_and_sourced(bundle: Bundle) -> None:
    for file, parameters in bundle.data()["law"].items():
        assert parameters, file
        for name, parameter in parameters.items():
            assert parameter.keys() == {"unit", "source", "confidence", "values"}, (file, name)
            assert parameter["confidence"] in CONFIDENCES
            assert parameter["values"]
            for date in parameter["values"]:
                assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date), (file, name, date)


def test_every_parameter_is_used_and_every_used_parameter_exists(bundle: Bundle) -> None:
    law = bundle.data()["law"]
    existing = {f"{file}.{name}" for file, parameters in law.items() for name in parameters}
    used = {
        match
        for source in bundle.modules().values()
        for match in re.findall(r"data\.law\.(\w+\.\w+)", source)
    }
    # The gateway itself reads these: reviews, samples, challenges and reports.
    elsewhere = (
        "quality.good_",
        "reporting.",
        "subjects.large_handler_",
        "approval.challenge_",
        "acts.break_glass_review_days",
    )
    assert used <= existing
    assert {name for name in existing - used if not name.startswith(elsewhere)} == set()


@pytest.mark.parametrize("path", REGO, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_number_of_the_law_stands_in_a_rule(path: Path, opa: Path) -> None:
    """STYLE habit 9: regulatory numbers are dated data; a rule counts none, one and places in a text."""
    found = list(numbers(parsed(opa, path.read_bytes())))
    assert [entry for entry in found if entry[1] not in {"0", "1"} and entry[2] != "substring"] == []


def _examples(bundle: Bundle) -> dict[str, Any]:
    examples: dict[str, dict[str, Any]] = {}
    for (point, name), question in base_questions(bundle).items():
        examples.setdefault(point.value, {})[name] = question
    return examples


TESTS = sorted(ROOT.glob("rules/*/*/rule_test.rego"))


def test_unit_tests_of_rules_pass_in_the_embedded_engine(bundle: Bundle) -> None:
    """Each case is asked as its own question: ``with`` is not something that regorus gets right."""
    engine = regorus.Engine()
    for name, source in sorted(bundle.modules().items()):
        engine.add_policy(name, source)
    for path in TESTS:
        engine.add_policy(str(path), path.read_text("utf-8"))
    engine.add_data_json(json.dumps(bundle.data() | {"examples": _examples(bundle)}))
    for point, rule in map(_name, TESTS):
        engine.set_input({})
        cases = engine.eval_rule(f"data.fleetgate_test.{point}.{rule}.cases")
        assert {case["passes"] for case in cases.values()} == {True, False}, (point, rule)
        for name, case in cases.items():
            engine.set_input(case["question"])
            passed = rule in engine.eval_rule(f"data.fleetgate.{point}.passed")
            assert passed is case["passes"], (point, rule, name)


def test_unit_tests_of_rules_pass_in_opa(opa: Path, bundle: Bundle, tmp_path: Path) -> None:
    directory = tmp_path / "bundle"
    write_bundle(bundle, directory)
    for path in TESTS:
        shutil.copy(path, directory / path.relative_to(ROOT))
    (directory / "data.json").write_text(json.dumps(bundle.data() | {"examples": _examples(bundle)}), "utf-8")
    checks = [[opa, "check", "--strict", directory], [opa, "test", "--format", "json", directory]]
    for command in checks:
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert len(json.loads(result.stdout)) == len(TESTS)


def test_rules_are_formatted(opa: Path) -> None:
    command = [opa, "fmt", "--list", ROOT / "rules"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert result.stdout == ""


def test_every_rule_and_parameter_is_documented(bundle: Bundle) -> None:
    page = (ROOT.parent / "docs" / "policy.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| (\w+) \| `(\w+)` \| ([^|]+) \| (\w+) \| (.+) \|$", page)
    assert rows == [
        (point.value, rule, entry["number"], entry["confidence"], entry["text_en"])
        for point in Point
        for rule, entry in bundle.catalogue[point].items()
    ]
