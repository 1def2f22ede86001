"""DBC files by command: installed by an officer alone, listed and verified."""

import pytest

DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_bytes(DBC)
    return path


def test_the_highest_version_is_listed_as_in_force(quick, file):
    assert quick.run("dbc", "list", "--json").document == {"files": []}
    first = quick.did("officer", "dbc", "install", file, "--name", "car", "--version", "1")
    file.write_bytes(DBC.replace(b"655", b"300"))
    second = quick.did("officer", "dbc", "install", file, "--name", "car", "--version", "2")
    listed = quick.run("dbc", "list", "--json").document["files"]
    assert [(f["version"], f["digest"], f["in_force"]) for f in listed] == [
        (2, second["digest"], True),
        (1, first["digest"], False),
    ]
    shown = quick.run("dbc", "list").out
    assert f"car version 2: in force, sha256 {second['digest']}" in shown
    assert "car version 1: replaced" in shown
    answer = quick.act("officer", "dbc", "install", file, "--name", "car", "--version", "1")
    assert (answer.code, answer.document["error"]) == (1, "conflict")


def test_others_are_refused_and_what_is_no_dbc_is_named(quick, file):
    answer = quick.act("first", "dbc", "install", file, "--name", "car", "--version", "9")
    assert (answer.code, answer.document["error"]) == (1, "forbidden")
    file.write_bytes(b"no DBC")
    answer = quick.act("officer", "dbc", "install", file, "--name", "car", "--version", "9")
    assert answer.code == 1
    assert "the DBC" in answer.document["detail"]
    assert quick.act("officer", "dbc", "install", file, "--name", "car", "--version", "0").code == 2
