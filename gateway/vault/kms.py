"""AWS KMS as key provider; the only module that calls it."""

import configparser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from gateway.vault.errors import KeyUnavailableError
from gateway.vault.provider import Protected, ProviderKind

_CONTEXT: Final = "fleetgate"
_WANTED: Final = {"KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT"}


class KmsProvider:
    """A symmetric key of AWS KMS.

    Args:
        key: Its id, ARN or alias.
        region: Region that it lies in.
        timeout_s: Longest wait for one answer.
        endpoint_url: Where KMS answers; that of the region unless given.
        credentials_file: Section ``default`` with ``aws_access_key_id``, ``aws_secret_access_key`` and perhaps
            ``aws_session_token``. Without a file the machine's role counts.

    Raises:
        KeyUnavailableError: The file holds no credentials, or the region is none.
    """

    kind: ProviderKind = "kms"

    def __init__(
        self,
        key: str,
        *,
        region: str,
        timeout_s: float,
        endpoint_url: str | None = None,
        credentials_file: Path | None = None,
    ) -> None:
        self._key = key
        credentials = {} if credentials_file is None else _credentials(credentials_file)
        config = Config(
            connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 2}, proxies={}
        )
        with self._refusal("open a client"):
            self._client = boto3.session.Session(region_name=region, **credentials).client(
                "kms", endpoint_url=endpoint_url, config=config
            )

    def __repr__(self) -> str:
        return f"<KmsProvider {self._key}>"

    def verify(self) -> None:
        """Check that the key is enabled; one that is disabled or awaits its deletion is not used.

        Raises:
            KeyUnavailableError: It is not, or KMS does not answer.
        """
        self._described()

    def protect(self, root: bytes, context: bytes) -> Protected:
        """Encrypt a root key with the context as encryption context."""
        arn = self._described()
        with self._refusal("encrypt"):
            answer = self._client.encrypt(KeyId=arn, Plaintext=root, EncryptionContext=_bound(context))
        return Protected(record={"key": arn, "kind": self.kind}, wrapped=bytes(answer["CiphertextBlob"]))

    def recover(self, protected: Protected, context: bytes) -> bytes:
        """Decrypt a root key, by the key that the record names only."""
        arn = self._described()
        if protected.record.get("key") != arn:
            raise KeyUnavailableError(
                f"key of KMS (got {arn!r}, expected {protected.record.get('key')!r} as the keystore says)"
            )
        with self._refusal("decrypt"):
            answer = self._client.decrypt(
                KeyId=arn, CiphertextBlob=protected.wrapped, EncryptionContext=_bound(context)
            )
        return bytes(answer["Plaintext"])

    def _described(self) -> str:
        with self._refusal("describe"):
            found: Mapping[str, Any] = self._client.describe_key(KeyId=self._key)["KeyMetadata"]
        for name, expected in _WANTED.items():
            if found.get(name) != expected:
                raise KeyUnavailableError(
                    f"key {self._key!r} of KMS: {name} (got {found.get(name)!r}, expected {expected!r})"
                )
        return str(found["Arn"])

    @contextmanager
    def _refusal(self, action: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, ValueError) as error:
            raise KeyUnavailableError(
                f"KMS does not {action} with key {self._key!r}: {type(error).__name__}: {error}"
            ) from error


def _bound(context: bytes) -> dict[str, str]:
    return {_CONTEXT: context.decode("utf-8")}


def _credentials(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        section = parser["default"]
        found = {name: section[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
        if "aws_session_token" in section:
            found["aws_session_token"] = section["aws_session_token"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # What failed to parse may be the secret: the message names the file only.
        raise KeyUnavailableError(
            f"'{path.name}' holds no credentials (expected [default] with aws_access_key_id and"
            " aws_secret_access_key)"
        ) from None
    return found
