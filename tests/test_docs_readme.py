"""README.md against the project: its two lines, its links, its claims about requirements."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_two_lines_install_run_and_test():
    blocks = re.findall(r"^```sh\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)
    assert blocks == ["pip install . && fleetgate demo", "pip install -e '.[dev]' && pytest"]
    assert PROJECT["scripts"] == {"fleetgate": "gateway.cli:main"}
    assert "pytest" in " ".join(PROJECT["optional-dependencies"]["dev"])
    assert f"{PROJECT['requires-python']}" == ">=3.11"
    assert "Python 3.11 or newer" in README


def test_continuous_integration_runs_the_readme_s_test_command():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "pytest" in script
    assert "README" in script or "pip install -e '.[dev]'" in script


def test_licence_is_the_one_stated():
    assert PROJECT["license"] == "AGPL-3.0-or-later"
    assert "AGPL-3.0-or-later" in README
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize(
    ("libraries", "allowed"),
    [
        (
            "cv2|ultralytics",
            (
                "anonymize/media/ultralytics_engine.py",
                "anonymize/media/training/",
                "pipeline/torchvision_operators.py",
                "pipeline/training/detector",
                "pipeline/training/ultralytics_offline.py",
            ),
        ),
        (
            "torch",
            (
                "anonymize/media/ultralytics_engine.py",
                "anonymize/media/training/",
                "pipeline/mining/clip_networks.py",
                "pipeline/torchvision_operators.py",
                "pipeline/training/",
            ),
        ),
    ],
)
def test_system_libraries_are_needed_only_where_the_readme_says(libraries: str, allowed: tuple[str, ...]):
    """``libgl1`` is OpenCV's: only the engine for user-supplied weights and what trains detectors import it."""
    importing = {
        file.relative_to(ROOT).as_posix()
        for package in ("gateway", "policies", "anonymize", "audit", "pipeline")
        for file in (ROOT / package).rglob("*.py")
        if re.search(rf"^\s*(?:import|from) (?:{libraries})\b", file.read_text("utf-8"), re.MULTILINE)
    }
    assert importing
    assert all(name.startswith(allowed) for name in importing), importing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "#", "mailto:")):
            continue
        file, _, _anchor = target.partition("#")
        assert (document.parent / file).exists(), target
