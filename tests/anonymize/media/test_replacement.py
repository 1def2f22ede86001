"""Replacements are found as installed packages are: by the metadata of a distribution on the path."""

import sys
import textwrap

import numpy as np
import pytest

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.replacement import installed_replacement, replaced

MODULE = """
import numpy as np

class Base:
    name = "test"
    digest = "0" * 64

class Noise(Base):
    def replace(self, region, kind):
        return np.random.default_rng(7).integers(0, 256, region.shape, np.uint8)

class Same(Base):
    def replace(self, region, kind):
        return region

class Brighter(Base):
    def replace(self, region, kind):
        return (region // 2 + 90).astype(np.uint8)

class Inverse(Base):
    def replace(self, region, kind):
        return 255 - region

class Smaller(Base):
    def replace(self, region, kind):
        return np.zeros_like(region[1:])

class Floats(Base):
    def replace(self, region, kind):
        return np.zeros(region.shape)

class Failing(Base):
    def replace(self, region, kind):
        raise RuntimeError("out of memory")

class Nameless:
    def replace(self, region, kind):
        return region
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    def put(*classes: str) -> None:
        (tmp_path / "swaps.py").write_text(textwrap.dedent(MODULE))
        info = tmp_path / "swaps-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swaps\nVersion: 1.0\n")
        lines = "".join(f"{name.lower()} = swaps:{name}\n" for name in classes)
        (info / "entry_points.txt").write_text(f"[fleetgate.replacement]\n{lines}")
        monkeypatch.syspath_prepend(str(tmp_path))

    installed_replacement.cache_clear()
    yield put
    installed_replacement.cache_clear()
    sys.modules.pop("swaps", None)


@pytest.fixture(scope="module")
def region():
    return np.random.default_rng(0).integers(0, 256, (24, 60, 3), np.uint8)


def test_a_replacement_that_hides_is_taken(install, region):
    install("Noise")
    before = region.copy()
    drawn = replaced(region, FindingKind.PLATE)
    assert drawn.shape == region.shape
    assert not np.array_equal(drawn, region)
    assert np.array_equal(region, before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Same", "left pixels"),
        ("Brighter", "follows"),
        ("Inverse", "follows"),
        ("Smaller", "another shape"),
        ("Floats", "another shape"),
        ("Failing", "out of memory"),
        ("Nameless", "no name"),
        ("Absent", "cannot be loaded"),
    ],
)
def test_a_replacement_that_does_not_hide_is_refused(install, region, name, message):
    install(name)
    with pytest.raises(ModelError, match=message):
        replaced(region, FindingKind.FACE)


def test_none_and_several_are_refused(install, region):
    with pytest.raises(ModelError, match="needs one entry point"):
        replaced(region, FindingKind.FACE)
    install("Noise", "Same")
    with pytest.raises(ModelError, match=r"\['noise', 'same'\]"):
        replaced(region, FindingKind.FACE)
