import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.errors import BackEndError, ScenarioError
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.scenario_file import (
    MAX_BYTES,
    example_text,
    parse_scenario,
    read_scenario,
    write_scenario,
)

TEXT = example_text()


def test_the_example_has_eight_inputs_and_runs():
    scenario = parse_scenario(TEXT)
    assert len(scenario.inputs) == 8
    g = LimitState(scenario, CutIn())(np.zeros((1, 8)))
    assert g[0] > 0.0, "the middle of every law is no failure"


def test_a_scenario_survives_writing_and_reading():
    scenario = parse_scenario(TEXT + "sources: [{release: rel-1, digest: 'sha256:00'}]\n")
    assert parse_scenario(write_scenario(scenario)) == scenario


SPOILT = {
    "another format": ("fleetgate-scenario/1", "fleetgate-scenario/9", "expected 'fleetgate-scenario/1'"),
    "unknown key": ("name: motorway", "colour: red\nname: motorway", "unknown colour"),
    "key given twice": ("  grip:", "  gap: {}\n  grip:", "'gap' is given twice"),
    "no inputs": (TEXT[TEXT.index("inputs:") : TEXT.index("dependence:")], "inputs: {}\n", "inputs"),
    "bounds the wrong way": ("[3, 10]", "[10, 3]", "expected the least first"),
    "bounds of one number": ("[3, 10]", "[3]", "expected [least, greatest]"),
    "not a number": ("deviation: 0.7", "deviation: .nan", "expected a finite number"),
    "a number in quotes": ("deviation: 0.7", "deviation: '0.7'", "expected a finite number"),
    "unknown law": ("weibull", "pareto", "unknown pareto"),
    "parameter of another law": ("{mean: 7.5, deviation: 0.7}", "{mean: 7.5, scale: 1}", "lacks deviation"),
    "negative deviation": ("deviation: 0.7", "deviation: -0.7", "is no law"),
    "law outside its bounds": ("[3, 10]", "[9.9, 10]", "lies within its bounds"),
    "unknown input in a pair": (
        "[gap, lane_change_duration",
        "[gape, lane_change_duration",
        "'gape' is no input",
    ),
    "correlation of 1": ("0.2]", "1]", "between -1 and 1"),
    "a pair twice": ("[gap, lane_change_duration", "[gap, ego_speed", "each pair once"),
    "impossible correlations": (
        "    - [gap, lane_change_duration, 0.2]",
        "    - [gap, relative_speed, 0.99]\n    - [gap, grip, -0.99]\n    - [relative_speed, grip, 0.99]",
        "no matrix of rank correlations",
    ),
    "unknown KPI": ("kpi: min_gap", "kpi: comfort", "fail.kpi"),
    "no side": (", at_most: 0", "", "exactly one of at_most and at_least"),
    "both sides": ("at_most: 0", "at_most: 0, at_least: 3", "exactly one of at_most and at_least"),
    "no YAML": ("inputs:", "inputs: [", "no YAML"),
    "a list": (TEXT, "- 1", "expected a mapping"),
    "empty": (TEXT, "", "expected a mapping"),
    "Python object": ("name: motorway cut-in", "name: !!python/object/apply:os.getcwd []", "no YAML"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_scenario_is_refused_with_its_place(case: str):
    old, new, said = SPOILT[case]
    assert old in TEXT
    with pytest.raises(ScenarioError, match=re.escape(said)):
        parse_scenario(TEXT.replace(old, new, 1))


UNFIT = {
    "no such input": ("  grip:", "  friction:", "'friction' is no parameter"),
    "wrong unit": ("grip: {unit: m/s²", "grip: {unit: '1'", "expected 'm/s²'"),
    "bounds beyond the simulator's": ("[3, 10]", "[3, 40]", "expected within 0.2 to 12.0"),
    "no such constant": ("speed_drop: 10", "speed_fall: 10", "'speed_fall' is no parameter"),
    "constant out of range": ("speed_drop: 10", "speed_drop: -1", "constant speed_drop"),
    "input and constant": ("speed_drop: 10", "grip: 8", "both an input and a constant"),
    "nothing said of the gap": (
        re.search(r"  gap: .*\n", TEXT)[0], "", "'gap' (m) has no default"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_a_scenario_that_does_not_fit_its_simulator_is_refused(case: str):
    old, new, said = UNFIT[case]
    text = TEXT.replace(old, new, 1)
    if "gap" in said:
        text = re.sub(r"    - \[.*gap.*\n", "", text)
    if "friction" in said:
        text = text.replace("grip,", "friction,")
    with pytest.raises(ScenarioError, match=re.escape(said)):
        LimitState(parse_scenario(text), CutIn())


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    for content in (b"\xff\xfe\x00", b" " * (MAX_BYTES + 1)):
        (tmp_path / "scenario.yaml").write_bytes(content)
        with pytest.raises(ScenarioError, match=r"scenario\.yaml"):
            read_scenario(tmp_path / "scenario.yaml")
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml"):
        read_scenario(tmp_path / "nowhere.yaml")


def test_an_error_of_the_simulator_is_passed_on():
    document = yaml.safe_load(TEXT)
    limit_state = LimitState(parse_scenario(yaml.safe_dump(document)), CutIn())
    with pytest.raises(BackEndError, match="expected"):
        limit_state.run(np.full((1, 8), 1e6))
