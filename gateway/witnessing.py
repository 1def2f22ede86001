"""Who witnesses this gate's ledger, and over which connection they are asked."""

import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx

from audit.cosigning import Cosigning, WitnessAddress
from audit.errors import SignatureError
from audit.ledger import Ledger
from gateway.errors import ConfigurationError
from gateway.loopback import is_loopback
from gateway.settings import Settings


def cosigning_of(settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> Cosigning | None:
    """The witnesses that the settings name; None where they name none.

    Raises:
        ConfigurationError: An address, a key or the quorum is impossible.
    """
    if not settings.witnesses:
        if settings.witness_quorum is not None:
            raise ConfigurationError(
                f"a quorum of no witnesses (got FLEETGATE_WITNESS_QUORUM={settings.witness_quorum}, "
                "expected FLEETGATE_WITNESSES beside it)"
            )
        return None
    for witness in settings.witnesses:
        _check_address(witness.url)
    context = _trusting(settings)
    timeout = httpx.Timeout(settings.witness_timeout_s)
    try:
        return Cosigning(
            ledger,
            [WitnessAddress(url=each.url, vkey=each.vkey) for each in settings.witnesses],
            quorum=len(settings.witnesses) if settings.witness_quorum is None else settings.witness_quorum,
            grace=timedelta(seconds=settings.witness_grace_s),
            http=lambda: httpx.Client(verify=context, timeout=timeout, trust_env=False),
            clock=clock,
        )
    except (SignatureError, ValueError) as error:
        raise ConfigurationError(f"witnesses: {error}") from error


def witnessed(settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> Cosigning | None:
    """Have the ledger's witnesses cosign it as it stands; a sequencer asks them itself, before it signs.

    Raises:
        ConfigurationError: An address, a key or the quorum is impossible.
        LedgerCorruptError: A witness has seen another tree, or a larger one.
        WitnessError: No quorum cosigned within the grace.
    """
    cosigning = cosigning_of(settings, ledger, clock)
    if cosigning is None:
        return None
    if ledger.sequenced:
        ledger.checkpoint()
        return None
    cosigning.collect()
    return cosigning


def _trusting(settings: Settings) -> ssl.SSLContext:
    if settings.witness_ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=settings.witness_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"witness_ca_file {settings.witness_ca_file}: {error}") from error


def _check_address(url: str) -> None:
    """Refuse plain HTTP to anywhere but this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return
    raise ConfigurationError(f"witness at an impossible address (got {url!r}, expected https://…)")
