"""Which key provider the settings choose; the libraries of the others need not be installed."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar
from urllib.parse import urlsplit

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.vault.provider import KeyProvider
from gateway.vault.root import PassphraseProvider
from gateway.vault.suites import suite_by_name

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
T = TypeVar("T")


def provider_of(settings: Settings) -> KeyProvider:
    """The key provider that the settings describe; it is asked nothing yet.

    Raises:
        ConfigurationError: A setting or secret that it needs is missing, or its library is not installed.
        KeyUnavailableError: Its file of credentials holds none.
    """
    if settings.key_provider == "vault":
        url = _needed(settings.vault_url, "vault_url")
        if (parts := urlsplit(url)).scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigurationError(f"FLEETGATE_VAULT_URL (got {url!r}, expected https)")
        transit = _module("transit", "vault")
        made: KeyProvider = transit.TransitProvider(
            url,
            _secret(settings.vault_token_file, "vault_token_file"),
            mount=settings.vault_mount,
            key=_needed(settings.vault_key, "vault_key"),
            timeout_s=settings.key_provider_timeout_s,
            ca_file=settings.vault_ca_file,
        )
    elif settings.key_provider == "kms":
        made = _module("kms", "kms").KmsProvider(
            _needed(settings.kms_key, "kms_key"),
            region=_needed(settings.kms_region, "kms_region"),
            timeout_s=settings.key_provider_timeout_s,
            endpoint_url=settings.kms_endpoint_url,
            credentials_file=settings.kms_credentials_file,
        )
    elif settings.key_provider == "pkcs11":
        made = _module("pkcs11", "pkcs11").Pkcs11Provider(
            _needed(settings.pkcs11_module, "pkcs11_module"),
            _secret(settings.pkcs11_pin_file, "pkcs11_pin_file"),
            token=_needed(settings.pkcs11_token, "pkcs11_token"),
            key=_needed(settings.pkcs11_key, "pkcs11_key"),
        )
    else:
        made = PassphraseProvider(settings.keystore_passphrase(), suite=suite_by_name(settings.suite))
    return made


def _module(name: str, extra: str) -> ModuleType:
    try:
        return import_module(f"gateway.vault.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"key provider {extra!r} needs {error.name} (install: fleetgate[{extra}])"
        ) from error


def _needed(value: T | None, setting: str) -> T:
    if value is None or not str(value):
        raise ConfigurationError(f"the key provider needs a setting (set FLEETGATE_{setting.upper()})")
    return value


def _secret(path: Path | None, setting: str) -> str:
    lines = _needed(path, setting).read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise ConfigurationError(f"FLEETGATE_{setting.upper()} names an empty file (got {path})")
    return lines[0]
