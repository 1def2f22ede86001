"""What the documents say of rules, files and tests is so."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
STATES = {"enforced", "partly", "not yet"}


def table() -> dict[int, dict[str, str]]:
    """The rows of the compliance table by number."""
    rows = {}
    for line in (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].isdigit():
            names = ("rule", "state", "how", "decided", "shown")
            rows[int(cells[0])] = dict(zip(names, cells[1:], strict=True))
    return rows


def catalogue() -> tuple[dict[int, set[str]], set[str]]:
    """Rules of the catalogue by the number they implement, and those that implement none of the 32."""
    numbered: dict[int, set[str]] = {number: set() for number in range(1, 33)}
    others = set()
    document = yaml.safe_load((ROOT / "policies" / "catalogue.yaml").read_text(encoding="utf-8"))
    for point, rules in document["rules"].items():
        for name, entry in rules.items():
            numbers = re.findall(r"\d+", re.sub(r"laws? \d+", "", str(entry["number"])))
            for number in numbers:
                numbered[int(number)].add(f"{point}/{name}")
            if not numbers:
                others.add(f"{point}/{name}")
    return numbered, others


def test_each_of_the_32_rules_is_told_and_decided_by_the_rules_of_the_catalogue():
    told, (numbered, _) = table(), catalogue()
    assert sorted(told) == list(range(1, 33))
    assert {n: set(re.findall(r"`([^`]+)`", row["decided"])) for n, row in told.items()} == numbered


def test_a_rule_is_called_enforced_only_with_a_test_and_not_yet_only_without_a_decision():
    for number, row in table().items():
        assert row["state"] in STATES, number
        assert (row["state"] == "not yet") == (row["shown"] == "–"), number
        if row["state"] == "not yet":
            assert row["decided"] == "–", number
            assert "issue" in row["how"], number


def test_rules_beyond_the_32_are_told_too():
    text = (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8")
    listed = text.partition("Rules that follow from the design's own laws")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([^`]+)`", listed)) == catalogue()[1]


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_every_file_and_link_that_a_document_names_exists(document: Path):
    text = document.read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:gateway|policies|anonymize|audit|pipeline|tests|benchmarks|docs|\.ci)/[\w./-]+\.\w+)`", text
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    missing += [link for link in links if link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT / "docs")))
def test_every_test_that_a_document_names_exists(document: Path):
    text = document.read_text(encoding="utf-8")
    missing = []
    for file, name in re.findall(r"`(tests/[\w./-]+\.py)::(test_\w+)`", text):
        source = ROOT / file
        if not source.exists() or f"def {name}(" not in source.read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")
    assert missing == []


@pytest.mark.parametrize("name", ["threat-model.md", "compliance.md"])
def test_documents_for_officers_open_with_a_chinese_summary(name: str):
    opening = (ROOT / "docs" / name).read_text(encoding="utf-8").partition("\n")[2][:600]
    assert len(re.findall(r"[\u4e00-\u9fff]", opening)) > 100


def test_every_decision_record_names_what_enforces_it():
    records = [path for path in DOCS if path.parent.name == "adr"]
    assert len(records) >= 10
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert "## Enforced by" in text, path.name
        assert re.search(r"`(tests/|pyproject\.toml|\.ci/)", text.partition("## Enforced by")[2]), path.name
        assert len(text.splitlines()) <= 60, f"{path.name} is longer than a page"


def test_every_benchmark_is_run_by_the_runner_and_told_in_its_readme():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"run"}
    runner = (ROOT / "benchmarks" / "run.py").read_text(encoding="utf-8")
    assert set(re.findall(r'script="(\w+)"', runner)) == scripts
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\.py`", readme)) >= scripts
