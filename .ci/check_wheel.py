"""Check that a wheel holds exactly the files of the five packages, the licence and its own records.

    python .ci/check_wheel.py WHEEL

Exit status 1 with the names of what is missing or does not belong.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "policies", "anonymize", "audit", "pipeline")
RECORDS = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
INDISPENSABLE = (
    "anonymize/media/models/centerface.yaml",
    "anonymize/media/models/street.onnx",
    "anonymize/media/models/street.yaml",
    "anonymize/profiles/cn-2026.yaml",
    "anonymize/py.typed",
    "gateway/migrations/script.py.mako",
    "policies/catalogue.yaml",
    "policies/questions/release.schema.json",
    "policies/rules/release/decision.rego",
    "policies/vectors/release.yaml",
)


def in_tree() -> set[str]:
    """Every file of the packages, without caches."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main(wheel: Path) -> int:
    """Compare and report; 0 where nothing is wrong."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    expected = in_tree() | {info + record for record in RECORDS}
    wrong = [f"missing: {name}" for name in sorted(expected - held)]
    wrong += [f"does not belong: {name}" for name in sorted(held - expected)]
    wrong += [f"indispensable, missing: {name}" for name in INDISPENSABLE if name not in held & expected]
    print("\n".join(wrong) or f"{wheel.name}: {len(held)} files, as in the tree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
