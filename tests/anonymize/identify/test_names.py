"""Names that leave their folder, hide what they are or do not survive another file system are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.formats.names import UnsafeNameError, check_name

SAFE = [
    "a.jpg",
    "image_2/000000.png",
    "前视/雨天.txt",
    "a b.csv",
    "..a/b..",
    "a.tar.gz",
    "é.txt",
    "x" * 255,
    "C/a:b.txt",
]

UNSAFE = {
    "empty": ("", "non-empty"),
    "absolute": ("/etc/passwd", "relative"),
    "parent": ("../a.txt", "'..'"),
    "parent_inside": ("a/../../b.txt", "'..'"),
    "parent_at_end": ("a/..", "'..'"),
    "current": ("./a.txt", "'.'"),
    "double_slash": ("a//b.txt", "no empty part"),
    "trailing_slash": ("a/", "no empty part"),
    "backslash": ("..\\a.txt", "backslash"),
    "drive": ("C:a.txt", "drive letter"),
    "nul": ("a\x00.txt", "control"),
    "newline": ("a\n.txt", "control"),
    "delete": ("a\x7f", "control"),
    "c1": ("a\x85", "control"),
    "override": ("a\u202egpj.exe", "bidirectional"),
    "isolate": ("a\u2066b", "bidirectional"),
    "decomposed": ("e\u0301.txt", "normal form C"),
    "surrogate": ("a\ud800.txt", "surrogates"),
    "long_part": ("雨" * 86, "255 bytes per part"),
    "long_name": ("/".join(["a" * 200] * 6), "1024 bytes"),
}


@pytest.mark.parametrize("name", SAFE)
def test_safe_names_are_returned_unchanged(name):
    assert check_name(name) == name


@pytest.mark.parametrize("case", UNSAFE.values(), ids=UNSAFE.keys())
def test_unsafe_names_are_refused_with_the_reason(case):
    name, expected = case
    with pytest.raises(UnsafeNameError, match="expected") as refused:
        check_name(name)
    assert expected in str(refused.value)
    assert str(refused.value).isascii() or "…" in str(refused.value)
    assert refused.value.reason == "unsafe_name"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.sampled_from("ab./\\:\x00\u202eé雨 "), max_size=20))
def test_whatever_passes_stays_inside(name):
    try:
        checked = check_name(name)
    except UnsafeNameError:
        return
    assert not checked.startswith("/")
    assert not {"..", ".", ""} & set(checked.split("/"))
    assert "\\" not in checked
