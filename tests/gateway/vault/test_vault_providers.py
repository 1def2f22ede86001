"""Key providers against SoftHSM, OpenBao's transit engine and moto's KMS: they fail closed (law 5)."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import hvac
import pkcs11
import pytest
from moto.server import ThreadedMotoServer
from pkcs11 import Attribute, KeyType

from gateway.errors import ConfigurationError
from gateway.key_provider import provider_of
from gateway.settings import Settings
from gateway.vault.errors import KeyUnavailableError, PassphraseError
from gateway.vault.keys import Keystore
from gateway.vault.kms import KmsProvider
from gateway.vault.pkcs11 import Pkcs11Provider
from gateway.vault.provider import KeyProvider, Protected
from gateway.vault.root import INSECURE_TEST_ARGON2, PassphraseProvider
from gateway.vault.transit import TransitProvider

ROOT, CONTEXT = bytes(range(32)), b'{"keystore":"one"}'
PIN, TOKEN, REGION = "pin-of-the-token", "test-token", "cn-north-1"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
# moto states the use of a key only where it was asked for; KMS always does.
SYMMETRIC = {"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT"}
KINDS = ("passphrase", "vault", "kms", "pkcs11")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def transit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, hvac.Client]]:
    """OpenBao in memory, with a transit engine."""
    url = f"http://127.0.0.1:{free_port()}"
    binary = Path(sys.executable).with_name("bao")
    place = tmp_path_factory.mktemp("bao")
    with (place / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [
                binary,
                "server",
                "-dev",
                "-dev-no-store-token",
                f"-dev-root-token-id={TOKEN}",
                f"-dev-listen-address={url.removeprefix('http://')}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"HOME": str(place), "PATH": os.environ["PATH"]},
        )
        client = hvac.Client(url=url, token=TOKEN)
        try:
            for _ in range(300):
                try:
                    if client.sys.is_initialized() and not client.sys.is_sealed():
                        break
                except (OSError, hvac.exceptions.VaultError):
                    assert server.poll() is None, (place / "log").read_text()
                time.sleep(0.1)
            client.sys.enable_secrets_engine("transit")
            yield url, client
        finally:
            client.adapter.close()
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="module")
def kms_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def kms(kms_url: str) -> Any:
    return boto3.client(
        "kms",
        endpoint_url=kms_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A fresh token of SoftHSM; the module reads its configuration once per process."""
    if not SOFTHSM.is_file():
        pytest.skip(f"SoftHSM is not installed (no {SOFTHSM}; Debian: softhsm2)")
    place = tmp_path_factory.mktemp("softhsm")
    (place / "tokens").mkdir()
    (place / "conf").write_text(f"directories.tokendir = {place}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(place / "conf")
    command = ["softhsm2-util", "--init-token", "--free", "--label", "fg", "--so-pin", "1234", "--pin", PIN]
    subprocess.run(  # noqa: S603
        command,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return pkcs11.lib(str(SOFTHSM)).get_token(token_label="fg")


def aes_key(token: Any, label: str, **template: bool) -> None:
    attributes = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True}
    attributes |= {Attribute[name]: value for name, value in template.items()}
    with token.open(rw=True, user_pin=PIN) as session:
        session.generate_key(KeyType.AES, 256, label=label, store=True, template=attributes)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A provider, and how its key is taken away."""

    settings: Settings
    lose: Callable[[], object]

    @property
    def provider(self) -> KeyProvider:
        if self.settings.key_provider == "passphrase":
            return PassphraseProvider("one", cost=INSECURE_TEST_ARGON2, allow_insecure_test_cost=True)
        return provider_of(self.settings)


@pytest.fixture
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    kind, name = request.param, f"fleetgate-{time.monotonic_ns()}"
    secret = tmp_path / "secret"
    if kind == "vault":
        url, client = request.getfixturevalue("transit")
        client.secrets.transit.create_key(name)
        secret.write_text(TOKEN + "\n")

        def lose() -> None:
            client.secrets.transit.update_key_configuration(name, deletion_allowed=True)
            client.secrets.transit.delete_key(name)

        given: dict[str, Any] = {"vault_url": url, "vault_key": name, "vault_token_file": secret}
        return Kept(settings=Settings(key_provider="vault", **given), lose=lose)
    if kind == "kms":
        client = request.getfixturevalue("kms")
        key = client.create_key(**SYMMETRIC)["KeyMetadata"]["KeyId"]
        secret.write_text("[default]\naws_access_key_id = test\naws_secret_access_key = test\n")
        given = {
            "kms_key": key,
            "kms_region": REGION,
            "kms_endpoint_url": request.getfixturevalue("kms_url"),
            "kms_credentials_file": secret,
        }
        return Kept(
            settings=Settings(key_provider="kms", **given), lose=lambda: client.disable_key(KeyId=key)
        )
    if kind == "pkcs11":
        token = request.getfixturevalue("token")
        aes_key(token, name)
        secret.write_text(PIN + "\n")

        def destroy() -> None:
            with token.open(rw=True, user_pin=PIN) as session:
                session.get_key(label=name).destroy()

        given = {
            "pkcs11_module": SOFTHSM,
            "pkcs11_token": "fg",
            "pkcs11_key": name,
            "pkcs11_pin_file": secret,
        }
        return Kept(settings=Settings(key_provider="pkcs11", **given), lose=destroy)
    return Kept(settings=Settings(passphrase="one"), lose=lambda: None)


each = pytest.mark.parametrize("kept", KINDS, indirect=True)
outside = pytest.mark.parametrize("kept", KINDS[1:], indirect=True)
REFUSAL = (KeyUnavailableError, PassphraseError)


@each
def test_a_root_key_comes_back_under_its_context_only(kept: Kept) -> None:
    kept.provider.verify()
    protected = kept.provider.protect(ROOT, CONTEXT)
    assert protected.record["kind"] == kept.provider.kind == kept.settings.key_provider
    assert ROOT not in protected.wrapped
    assert kept.provider.recover(protected, CONTEXT) == ROOT
    with pytest.raises(REFUSAL):
        kept.provider.recover(protected, b'{"keystore":"two"}')


@each
def test_what_was_changed_does_not_come_back(kept: Kept) -> None:
    protected = kept.provider.protect(ROOT, CONTEXT)
    wrapped = bytearray(protected.wrapped)
    # The last character of Vault's base64 is padding; the tag is before it.
    wrapped[-8] ^= 1
    for changed in (bytes(wrapped), protected.wrapped[:-8], b""):
        with pytest.raises(REFUSAL):
            kept.provider.recover(replace(protected, wrapped=changed), CONTEXT)


@outside
def test_a_key_that_was_taken_away_stops(kept: Kept, tmp_path: Path) -> None:
    """moto decrypts with a disabled key: that the provider asks for the key's state is what stops it."""
    Keystore.create(tmp_path / "keystore", kept.provider).new_kek("rec-1")
    protected = kept.provider.protect(ROOT, CONTEXT)
    kept.lose()
    for refused in (
        kept.provider.verify,
        lambda: kept.provider.protect(ROOT, CONTEXT),
        lambda: kept.provider.recover(protected, CONTEXT),
        lambda: Keystore.open(tmp_path / "keystore", kept.provider),
    ):
        with pytest.raises(KeyUnavailableError):
            refused()


@outside
def test_a_keystore_moves_between_a_passphrase_and_a_provider(kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    passphrase = PassphraseProvider("one", cost=INSECURE_TEST_ARGON2, allow_insecure_test_cost=True)
    keystore = Keystore.create(path, passphrase)
    keystore.new_kek("rec-1")
    wrapped = keystore.wrap_dek("rec-1", ROOT, b"c")
    assert keystore.rotate(kept.provider) == 1
    del keystore
    with pytest.raises(KeyUnavailableError, match=r"expected '(vault|kms|pkcs11)' as its root file says"):
        Keystore.open(path, passphrase)
    keystore = Keystore.open(path, kept.provider)
    assert keystore.unwrap_dek("rec-1", wrapped, b"c") == ROOT
    assert keystore.rotate(passphrase) == 1
    del keystore
    assert Keystore.open(path, passphrase).unwrap_dek("rec-1", wrapped, b"c") == ROOT


@outside
def test_a_record_that_names_another_key_is_refused(kept: Kept) -> None:
    protected = kept.provider.protect(ROOT, CONTEXT)
    other = Protected(record={**protected.record, "key": "another"}, wrapped=protected.wrapped)
    with pytest.raises(KeyUnavailableError, match="as the keystore says"):
        kept.provider.recover(other, CONTEXT)


@outside
def test_nothing_that_opens_the_key_is_shown_or_recorded(kept: Kept) -> None:
    provider = kept.provider
    shown = repr(provider) + repr(dict(provider.protect(ROOT, CONTEXT).record))
    assert PIN not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("kept", ["vault", "kms"], indirect=True)
def test_a_server_that_does_not_answer_stops(kept: Kept) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = kept.settings.model_copy(update={"vault_url": nowhere, "kms_endpoint_url": nowhere})
    with pytest.raises(KeyUnavailableError, match="does not describe"):
        provider_of(settings).verify()


def test_vault_refuses_a_wrong_token(transit: tuple[str, hvac.Client]) -> None:
    url, client = transit
    client.secrets.transit.create_key("guarded")
    provider = TransitProvider(url, "wrong-token", mount="transit", key="guarded", timeout_s=5)
    with pytest.raises(KeyUnavailableError, match="Forbidden") as caught:
        provider.verify()
    assert "wrong-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"exportable": True}, "exportable"),
        ({"allow_plaintext_backup": True}, "allow_plaintext_backup"),
        ({"key_type": "rsa-4096"}, "type"),
    ],
)
def test_vault_keys_that_could_leave_or_bind_nothing_are_refused(
    transit: tuple[str, hvac.Client], given: dict[str, Any], named: str
) -> None:
    url, client = transit
    client.secrets.transit.create_key(f"unfit-{named}", **given)
    provider = TransitProvider(url, TOKEN, mount="transit", key=f"unfit-{named}", timeout_s=5)
    with pytest.raises(KeyUnavailableError, match=named):
        provider.protect(ROOT, CONTEXT)


def test_vault_key_versions_that_were_withdrawn_open_no_more(transit: tuple[str, hvac.Client]) -> None:
    url, client = transit
    client.secrets.transit.create_key("versions")
    provider = TransitProvider(url, TOKEN, mount="transit", key="versions", timeout_s=5)
    protected = provider.protect(ROOT, CONTEXT)
    client.secrets.transit.rotate_key("versions")
    assert provider.recover(protected, CONTEXT) == ROOT
    client.secrets.transit.update_key_configuration("versions", min_decryption_version=2)
    with pytest.raises(KeyUnavailableError, match="does not decrypt"):
        provider.recover(protected, CONTEXT)


def test_kms_key_that_awaits_its_deletion_is_refused(kms: Any, kms_url: str, tmp_path: Path) -> None:
    key = kms.create_key(**SYMMETRIC)["KeyMetadata"]["KeyId"]
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    provider = KmsProvider(key, region=REGION, timeout_s=5, endpoint_url=kms_url, credentials_file=file)
    protected = provider.protect(ROOT, CONTEXT)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with pytest.raises(KeyUnavailableError, match="'PendingDeletion', expected 'Enabled'"):
        provider.recover(protected, CONTEXT)


def test_kms_key_for_signatures_is_refused(kms: Any, kms_url: str, tmp_path: Path) -> None:
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    provider = KmsProvider(key, region=REGION, timeout_s=5, endpoint_url=kms_url, credentials_file=file)
    with pytest.raises(KeyUnavailableError, match="KeyUsage"):
        provider.verify()


@pytest.mark.parametrize("content", ["", "secret-value", "[default]\naws_access_key_id = a\n"])
def test_kms_credentials_that_are_none_are_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(content)
    with pytest.raises(KeyUnavailableError, match="holds no credentials") as caught:
        KmsProvider("key", region=REGION, timeout_s=5, credentials_file=file)
    assert "secret-value" not in str(caught.value)


def test_pkcs11_refuses_pin_token_module_and_key(token: Any, tmp_path: Path) -> None:
    aes_key(token, "strict")
    tried = {
        "PinIncorrect": Pkcs11Provider(SOFTHSM, "0000", token="fg", key="strict"),
        "NoSuchToken": Pkcs11Provider(SOFTHSM, PIN, token="none", key="strict"),
        "NoSuchKey": Pkcs11Provider(SOFTHSM, PIN, token="fg", key="none"),
        "PKCS11Error": Pkcs11Provider(tmp_path / "none.so", PIN, token="fg", key="strict"),
    }
    for error, provider in tried.items():
        with pytest.raises(KeyUnavailableError, match=error):
            provider.verify()


@pytest.mark.parametrize("attribute", ["EXTRACTABLE", "SENSITIVE"])
def test_pkcs11_keys_that_could_leave_are_refused(token: Any, attribute: str) -> None:
    aes_key(token, f"unfit-{attribute}", **{attribute: attribute == "EXTRACTABLE"})
    with pytest.raises(KeyUnavailableError, match=attribute):
        Pkcs11Provider(SOFTHSM, PIN, token="fg", key=f"unfit-{attribute}").protect(ROOT, CONTEXT)


MISSING: dict[str, dict[str, Any]] = {
    "VAULT_URL": {"key_provider": "vault"},
    "expected https": {"key_provider": "vault", "vault_url": "http://vault.example"},
    "VAULT_TOKEN_FILE": {"key_provider": "vault", "vault_url": "https://vault.example"},
    "KMS_KEY": {"key_provider": "kms"},
    "KMS_REGION": {"key_provider": "kms", "kms_key": "k"},
    "PKCS11_MODULE": {"key_provider": "pkcs11"},
    "PKCS11_PIN_FILE": {"key_provider": "pkcs11", "pkcs11_module": SOFTHSM},
}


@pytest.mark.parametrize("named", MISSING)
def test_what_a_provider_needs_is_asked_for(named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        provider_of(Settings(**MISSING[named]))


def test_a_secret_in_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    given: dict[str, Any] = {"vault_url": "https://vault.example", "vault_token_file": tmp_path / "empty"}
    with pytest.raises(ConfigurationError, match="empty file"):
        provider_of(Settings(key_provider="vault", **given))


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1")
    monkeypatch.setitem(sys.modules, "gateway.vault.pkcs11", None)
    given: dict[str, Any] = {"pkcs11_module": SOFTHSM, "pkcs11_pin_file": tmp_path / "pin"}
    with pytest.raises(ConfigurationError, match=r"fleetgate\[pkcs11\]"):
        provider_of(Settings(key_provider="pkcs11", pkcs11_token="a", pkcs11_key="b", **given))


def test_openbao_is_installed_with_the_tests() -> None:
    assert shutil.which(str(Path(sys.executable).with_name("bao")))
