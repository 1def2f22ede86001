"""One analyzer for the whole folder: building it takes seconds."""

import os
from pathlib import Path

import pytest

from anonymize.profile import TextProfile, shipped_profile
from anonymize.text.analyzer import TextAnalyzer


@pytest.fixture(scope="session")
def text_profile() -> TextProfile:
    return shipped_profile("cn-2026").profile.text


@pytest.fixture(scope="session")
def analyzer(text_profile: TextProfile) -> TextAnalyzer:
    return TextAnalyzer(text_profile)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[4] / "shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"no real samples at {root} (set FLEETGATE_SHARED)")
    return root
