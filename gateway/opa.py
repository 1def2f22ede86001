"""The OPA server that the settings name, as an engine."""

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from policies.bundle import Bundle
from policies.opa_server import OpaServerEngine


def opa_engine(settings: Settings, url: str, bundle: Bundle) -> OpaServerEngine:
    """Open an OPA server by the settings' CA file, time-out and token; there are no retries.

    Raises:
        ConfigurationError: The file of the token cannot be read, or its first line is empty.
        EngineError: The server is not admitted.
    """
    return OpaServerEngine(url, bundle, settings.opa_timeout_s, settings.opa_ca_file, token=_token(settings))


def _token(settings: Settings) -> str | None:
    path = settings.opa_token_file
    if path is None:
        return None
    try:
        first = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"FLEETGATE_OPA_TOKEN_FILE cannot be read (got {path}): {error}") from error
    if not first:
        raise ConfigurationError(f"FLEETGATE_OPA_TOKEN_FILE has an empty first line (got {path})")
    return first
