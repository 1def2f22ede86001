"""What every stage works with: one frozen bundle of the parts that the composition root chose."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from anonymize.media.detection import Detector, embedded_detectors
from anonymize.media.street_text import StreetTextDetector
from anonymize.profile import PinnedProfile, Profile, TextProfile
from audit.cosigning import Cosigning
from audit.ledger import Ledger
from gateway.database import Database
from gateway.flow.verified import VerifiedOnce
from gateway.models.loading import open_registered, reach_of
from gateway.settings import Settings
from gateway.vault.keys import Keystore
from gateway.vault.store import Vault
from policies.bundle import VerifiedBundle
from policies.engine import Engine

if TYPE_CHECKING:
    # Importing Presidio takes seconds; whoever only fetches or serves never needs it.
    from anonymize.text.analyzer import TextAnalyzer
    from gateway.flow.offer import Offer
    from gateway.models.registry import RegisteredModel
    from gateway.vehicles.manifest import Manifest


@lru_cache(maxsize=4)
def _analyzer_of(profile: TextProfile) -> "TextAnalyzer":
    """One analyzer per profile and process: building it takes seconds, and it is thread-safe."""
    from anonymize.text.analyzer import TextAnalyzer  # noqa: PLC0415 (see above)

    return TextAnalyzer(profile)


class Instruments:
    """Detectors and analyzers, built on first use because their models take seconds to load."""

    def __init__(
        self, settings: Settings, profile: Profile, registered: "Callable[[], tuple[RegisteredModel, ...]]"
    ) -> None:
        """Choose what looks at images and text.

        Args:
            settings: Home and inference engine.
            profile: Says how small the objects are that must be found, and what text is looked for.
            registered: The registered models in use, verified at each call.
        """
        self._settings = settings
        self._profile = profile
        self._registered = registered
        self._opened: tuple[tuple[str, ...], tuple[Detector, ...]] | None = None

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """Every detector that an image must pass; never empty (law 5).

        The embedded detectors, that of text where the profile masks text, and every registered model in use.
        The registry is asked each time, so that a model that is added or retired counts from the next image
        on.

        Raises:
            ModelError: A model is missing, altered or lacks its metadata.
            EvidenceError: A registration does not verify.
        """
        models = self._registered()
        key = tuple(model.statement for model in models)
        if self._opened is None or self._opened[0] != key:
            self._opened = key, self._open(models)
        return self._opened[1]

    def _open(self, models: "tuple[RegisteredModel, ...]") -> tuple[Detector, ...]:
        images, engine, home = self._profile.images, self._settings.inference, self._settings.home
        own = embedded_detectors(reach=reach_of(images), engine=engine)
        if images.text is not None:
            own = (*own, StreetTextDetector())
        added = (open_registered(home, m.card, m.use, profile=images, engine=engine) for m in models)
        return (*own, *added)

    def anew(self) -> "Instruments":
        """The same instruments, to be loaded anew."""
        return Instruments(self._settings, self._profile, self._registered)

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
        cosigning: The ledger's witnesses; None where the settings name none.
        announced: Manifests of recordings that this process verified; for ``gateway.flow.intake`` alone.
        offers: What verified manifests of releases offer; for ``gateway.flow.offer`` alone.
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
    cosigning: Cosigning | None = None
    announced: "VerifiedOnce[tuple[str, str, Manifest]]" = field(
        default_factory=VerifiedOnce, init=False, repr=False, compare=False
    )
    offers: "VerifiedOnce[Offer]" = field(default_factory=VerifiedOnce, init=False, repr=False, compare=False)

    def checkpoint(self) -> str:
        """Sign the ledger's present size and root, and have them cosigned where there are witnesses.

        Raises:
            LedgerCorruptError: The tree does not extend what was signed or witnessed before.
            WitnessError: No quorum of witnesses cosigned within the grace.
        """
        return self.ledger.checkpoint() if self.cosigning is None else self.cosigning.collect().note
