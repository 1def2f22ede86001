"""docs/settings.md against ``Settings``: every field with its variable, default and meaning, and nothing else."""

import re
from pathlib import Path

from gateway.settings import Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
HOME = "~/.fleetgate"


def meanings() -> dict[str, str]:
    """The attributes that the class's docstring explains."""
    _, _, attributes = (Settings.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", attributes, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("``", "`") for name, text in found}


def default(name: str) -> str:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    if value is None:
        return "unset"
    return HOME if name == "home" else str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_is_documented_as_it_is():
    text = DOCUMENT.read_text("utf-8")
    explained = meanings()
    assert explained.keys() == Settings.model_fields.keys()
    for name in Settings.model_fields:
        row = f"| `FLEETGATE_{name.upper()}` | `{default(name)}` | {explained[name]} |"
        assert row in text


def test_no_other_setting_is_documented():
    rows = re.findall(r"^\| `FLEETGATE_(\w+)`", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


def test_no_document_names_a_setting_that_does_not_exist():
    known = {f"FLEETGATE_{name.upper()}" for name in Settings.model_fields}
    known |= {  # read by tests only
        "FLEETGATE_ASAM_QC",
        "FLEETGATE_DATUMARO_PYTHON",
        "FLEETGATE_FLOWER_PYTHON",
        "FLEETGATE_INJECTED_FAULTS",
        "FLEETGATE_OPA",
        "FLEETGATE_SHARED",
    }
    root = DOCUMENT.parents[1]
    for file in [root / "README.md", *(root / "docs").rglob("*.md")]:
        named = set(re.findall(r"FLEETGATE_[A-Z_0-9]+", file.read_text("utf-8")))
        assert named <= known, file.name
