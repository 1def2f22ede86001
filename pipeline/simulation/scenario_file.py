"""Scenario files: YAML read strictly, every complaint with the place it is about, and written back."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.simulation.errors import ScenarioError
from pipeline.simulation.laws import FAMILIES, JointLaw
from pipeline.simulation.reading_yaml import load, mapping, number, text
from pipeline.simulation.scenario import FailRule, Fails, Input, Kpi, LogicalScenario

FORMAT: Final = "fleetgate-scenario/1"
MAX_BYTES: Final = 1024 * 1024
_REQUIRED: Final = {"format", "name", "back_end", "inputs", "fail"}
_ALLOWED: Final = _REQUIRED | {"dependence", "constants", "sources", "artefacts"}


def example_text() -> str:
    """The motorway cut-in that the package brings, as its file stands."""
    return (files("pipeline.simulation") / "scenarios" / "cut_in.yaml").read_text(encoding="utf-8")


def read_scenario(path: Path) -> LogicalScenario:
    """Read a scenario file.

    Raises:
        ScenarioError: It cannot be read, or says something that cannot be run.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ScenarioError(f"{path.name} has {size} bytes (expected at most {MAX_BYTES})")
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name} cannot be read as text: {error}") from error
    return parse_scenario(source)


def parse_scenario(source: str) -> LogicalScenario:
    """Read a scenario from YAML and make sure that its laws exist.

    Raises:
        ScenarioError: It says something that cannot be run.
    """
    root = mapping(load(source), "scenario", _ALLOWED, _REQUIRED)
    if root["format"] != FORMAT:
        raise ScenarioError(f"format (got {root['format']!r}, expected {FORMAT!r})")
    inputs = tuple(
        _input(str(name), each) for name, each in mapping(root["inputs"], "inputs", None, set()).items()
    )
    if not inputs:
        raise ScenarioError("inputs (got none, expected at least one)")
    scenario = LogicalScenario(
        name=text(root["name"], "name"),
        inputs=inputs,
        spearman=_spearman(root.get("dependence"), [each.name for each in inputs]),
        constants={
            str(name): number(value, f"constants.{name}")
            for name, value in mapping(root.get("constants", {}), "constants", None, set()).items()
        },
        fail=_fail(root["fail"]),
        back_end=dict(mapping(root["back_end"], "back_end", None, {"kind"})),
        sources=_sources(root.get("sources", [])),
        artefacts=_artefacts(root.get("artefacts", [])),
    )
    JointLaw(scenario.inputs, scenario.spearman)
    return scenario


def write_scenario(scenario: LogicalScenario) -> str:
    """The scenario as YAML; reading it gives the same scenario."""
    names = [each.name for each in scenario.inputs]
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": scenario.name,
        "back_end": dict(scenario.back_end),
        "inputs": {
            each.name: {
                "unit": each.unit,
                "bounds": [each.lower, each.upper],
                "law": {each.family: dict(each.law)},
            }
            for each in scenario.inputs
        },
    }
    if scenario.spearman is not None:
        document["dependence"] = {
            "normal_copula_spearman": [
                [names[i], names[j], scenario.spearman[i][j]]
                for i in range(len(names))
                for j in range(i + 1, len(names))
                if scenario.spearman[i][j] != 0.0
            ]
        }
    if scenario.constants:
        document["constants"] = dict(scenario.constants)
    document["fail"] = {"kpi": scenario.fail.kpi.value, scenario.fail.fails.value: scenario.fail.threshold}
    if scenario.sources:
        document["sources"] = [dict(each) for each in scenario.sources]
    if scenario.artefacts:
        document["artefacts"] = list(scenario.artefacts)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _input(name: str, stated: Any) -> Input:
    where = f"inputs.{name}"
    entry = mapping(stated, where, {"unit", "bounds", "law"}, {"unit", "bounds", "law"})
    bounds = entry["bounds"]
    if not isinstance(bounds, list) or len(bounds) != 2:  # noqa: PLR2004 - said in the message
        raise ScenarioError(f"{where}.bounds (got {bounds!r}, expected [least, greatest])")
    lower, upper = (number(each, f"{where}.bounds") for each in bounds)
    if not lower < upper:
        raise ScenarioError(f"{where}.bounds (got {bounds!r}, expected the least first)")
    law = mapping(entry["law"], f"{where}.law", set(FAMILIES), set())
    if len(law) != 1:
        raise ScenarioError(f"{where}.law (got {len(law)} laws, expected one of {', '.join(FAMILIES)})")
    ((family, stated_law),) = law.items()
    wanted = set(FAMILIES[family].parameters)
    parameters = mapping(stated_law, f"{where}.law.{family}", wanted, wanted)
    return Input(
        name=name,
        unit=text(entry["unit"], f"{where}.unit"),
        lower=lower,
        upper=upper,
        family=family,
        law={key: number(value, f"{where}.law.{family}.{key}") for key, value in parameters.items()},
    )


def _spearman(stated: Any, names: list[str]) -> tuple[tuple[float, ...], ...] | None:
    if stated is None:
        return None
    key = "normal_copula_spearman"
    pairs = mapping(stated, "dependence", {key}, {key})[key]
    if not isinstance(pairs, list):
        raise ScenarioError(
            f"dependence.{key} (got {pairs!r}, expected a list of [input, input, correlation])"
        )
    matrix = [[float(i == j) for j in range(len(names))] for i in range(len(names))]
    seen: set[frozenset[str]] = set()
    for each in pairs:
        if not isinstance(each, list) or len(each) != 3:  # noqa: PLR2004 - said in the message
            raise ScenarioError(f"dependence.{key} (got {each!r}, expected [input, input, correlation])")
        first, second, value = each
        for name in (first, second):
            if name not in names:
                raise ScenarioError(
                    f"dependence.{key}: {name!r} is no input (expected one of {', '.join(names)})"
                )
        pair = frozenset((first, second))
        if len(pair) == 1 or pair in seen:
            raise ScenarioError(f"dependence.{key}: {each!r} (expected two different inputs, each pair once)")
        seen.add(pair)
        correlation = number(value, f"dependence.{key}.{first}.{second}")
        if not -1.0 < correlation < 1.0:
            raise ScenarioError(f"dependence.{key}: {each!r} (expected a correlation between -1 and 1)")
        i, j = names.index(first), names.index(second)
        matrix[i][j] = matrix[j][i] = correlation
    return tuple(tuple(row) for row in matrix)


def _fail(stated: Any) -> FailRule:
    entry = mapping(stated, "fail", {"kpi", *Fails}, {"kpi"})
    kpi = entry["kpi"]
    if kpi not in set(Kpi):
        raise ScenarioError(f"fail.kpi (got {kpi!r}, expected one of {', '.join(Kpi)})")
    sides = [side for side in Fails if side in entry]
    if len(sides) != 1:
        raise ScenarioError("fail (expected exactly one of at_most and at_least)")
    return FailRule(kpi=Kpi(kpi), fails=sides[0], threshold=number(entry[sides[0]], f"fail.{sides[0]}"))


def _sources(stated: Any) -> tuple[Mapping[str, str], ...]:
    if not isinstance(stated, list):
        raise ScenarioError(f"sources (got {stated!r}, expected a list of releases)")
    wanted = {"release", "digest"}
    entries = (mapping(each, f"sources[{i}]", wanted, wanted) for i, each in enumerate(stated))
    return tuple({k: text(v, f"sources.{k}") for k, v in each.items()} for each in entries)


def _artefacts(stated: Any) -> tuple[str, ...]:
    if not isinstance(stated, list):
        raise ScenarioError(f"artefacts (got {stated!r}, expected a list of ids)")
    return tuple(text(each, f"artefacts[{i}]") for i, each in enumerate(stated))
