import importlib.util
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anonymize.media.detection import embedded_detectors
from anonymize.profile import ImageProfile, shipped_profile


@pytest.fixture(scope="session")
def shipped() -> ImageProfile:
    return shipped_profile("cn-2026").profile.images


@pytest.fixture(scope="session")
def profile(shipped) -> ImageProfile:
    """The shipped profile without limit signs, which most of the tests' own detectors do not look for."""
    return replace(shipped, limit_sign=None)


@pytest.fixture(scope="session")
def detectors():
    return embedded_detectors()


@pytest.fixture(scope="session")
def street(as_bytes) -> bytes:
    """A part of the street photograph that the ultralytics wheel ships, with two clear faces, 600 × 320."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None
    assert spec.submodule_search_locations
    with Image.open(Path(spec.submodule_search_locations[0]) / "assets" / "bus.jpg") as photograph:
        return as_bytes(np.asarray(photograph.convert("RGB"))[320:640, :600], quality=95)


@pytest.fixture(scope="session")
def planted():
    """The module beside this file; test folders are no packages, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def samples() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[4] / "shared"))
    if not (root / "data" / "media").is_dir():
        pytest.skip("the shared sample data are not here (set FLEETGATE_SHARED)")
    return root / "data"


@pytest.fixture(scope="session")
def scenery() -> np.ndarray:
    """Smooth colours and no object, 96 × 128."""
    y, x = np.mgrid[0:96, 0:128]
    return np.stack([x * 2, y * 2, (x + y) % 256], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def as_bytes():
    def encode(image: np.ndarray, kind: str = "jpeg", **options: object) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).save(out, format=kind.upper(), **options)
        return out.getvalue()

    return encode
