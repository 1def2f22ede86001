"""Stand-ins for a recognised secrecy processor. They protect nothing, and refuse to run outside pytest."""

import hashlib
import os
from datetime import UTC, datetime

import numpy as np

from anonymize.geo.secrecy_processor import GROUP, ProcessorAttestation, installed_processor

ALLOWED = "FLEETGATE_UNSAFE_TEST_PROCESSOR"
"""Environment variable that a test sets to ``1`` before it makes one."""

ATTESTATION = ProcessorAttestation(
    secrecy_tech_id="TEST-ONLY-0000",
    version="0.0",
    certificate_number="NOT A CERTIFICATE",
    certificate_sha256=hashlib.sha256(b"not a certificate").hexdigest(),
    issued_by="nobody",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_to=datetime(2100, 1, 1, tzinfo=UTC),
)


class UnsafeTestProcessor:
    """Two slow waves and a constant: smooth, invertible by anybody, no imitation of any real transform."""

    attestation = ATTESTATION

    def __init__(self):
        _require_test()

    def process(self, lat, lon, height_m):
        _require_test()
        north = 0.004 + 0.002 * np.sin(lat * 0.9 + lon * 0.3)
        east = -0.005 + 0.002 * np.cos(lon * 0.7 - lat * 0.2)
        return lat + north, lon + east, None if height_m is None else height_m + 3.0


class UnsafeCountingProcessor(UnsafeTestProcessor):
    """Moves every position a centimetre farther with each call."""

    calls = 0

    def process(self, lat, lon, height_m):
        self.calls += 1
        out_lat, out_lon, height = super().process(lat, lon, height_m)
        return out_lat + 1e-7 * self.calls, out_lon, height


def _require_test():
    if os.environ.get(ALLOWED) != "1" or "PYTEST_CURRENT_TEST" not in os.environ:
        raise RuntimeError(f"a test double ran outside tests (expected {ALLOWED}=1 within pytest)")


def install(folder, monkeypatch, made="UnsafeTestProcessor"):
    """Install a stand-in of this module as a package with the one entry point, and allow it to run."""
    info = folder / "double-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: double\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\none = unsafe_secrecy_processor:{made}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(ALLOWED, "1")
    installed_processor.cache_clear()
