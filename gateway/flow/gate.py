"""What every stage works with: one frozen bundle of the parts that the composition root chose."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from anonymize.finding import FindingKind
from anonymize.media.detection import Detector, embedded_detectors
from anonymize.profile import PinnedProfile, Profile, TextProfile
from audit.ledger import Ledger
from gateway.database import Database
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.vault.keys import Keystore
from gateway.vault.store import Vault
from policies.bundle import VerifiedBundle
from policies.engine import Engine

if TYPE_CHECKING:
    # Importing Presidio takes seconds; whoever only fetches or serves never needs it.
    from anonymize.text.analyzer import TextAnalyzer


@lru_cache(maxsize=4)
def _analyzer_of(profile: TextProfile) -> "TextAnalyzer":
    """One analyzer per profile and process: building it takes seconds, and it is thread-safe."""
    from anonymize.text.analyzer import TextAnalyzer  # noqa: PLC0415 (see above)

    return TextAnalyzer(profile)


class Instruments:
    """Detectors and analyzers, built on first use because their models take seconds to load."""

    def __init__(self, settings: Settings, profile: Profile) -> None:
        self._settings = settings
        self._profile = profile

    @cached_property
    def detectors(self) -> tuple[Detector, ...]:
        """Every detector that an image must pass; never empty (law 5).

        Raises:
            ModelError: A model is missing, altered or lacks its metadata.
            ConfigurationError: User weights name a class kind that does not exist.
        """
        embedded = embedded_detectors()
        weights = self._settings.detector_weights
        if weights is None:
            return embedded
        # Imported here: torch and OpenCV are loaded only where an operator asks for their own weights.
        from anonymize.media.ultralytics_engine import UltralyticsDetector  # noqa: PLC0415

        try:
            kinds = {
                name: FindingKind(kind) for name, kind in self._settings.detector_weights_classes.items()
            }
        except ValueError as error:
            raise ConfigurationError(f"FLEETGATE_DETECTOR_WEIGHTS_CLASSES: {error}") from error
        digest = self._settings.detector_weights_sha256 or ""
        return (*embedded, UltralyticsDetector(weights, sha256=digest, kinds=kinds))

    @cached_property
    def analyzer(self) -> "TextAnalyzer":
        """The text analyzer of the profile."""
        return _analyzer_of(self._profile.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The parts of one running gate.

    Attributes:
        settings: Deployment facts.
        database: The state.
        ledger: The transparency log; without it nothing is served (law 2).
        keystore: Keys of recordings, releases and of the gate itself.
        vault: Sealed files.
        engine: Judges questions.
        bundle: The policy bundle in force, verified against the operator's signature.
        profile: The treatment profile in force.
        instruments: Detectors and analyzers.
        clock: Aware UTC time.
        gate_kek: Key-encryption key of values that belong to no recording or release.
    """

    settings: Settings
    database: Database
    ledger: Ledger
    keystore: Keystore
    vault: Vault
    engine: Engine
    bundle: VerifiedBundle
    profile: PinnedProfile
    instruments: Instruments
    clock: Callable[[], datetime]
    gate_kek: str
