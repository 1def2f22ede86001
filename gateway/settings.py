"""Deployment facts, read from ``FLEETGATE_*`` environment variables. Regulatory numbers live in policy data."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from audit.verify_assertion import require_origin
from gateway.errors import ConfigurationError
from gateway.vault.provider import ProviderKind


class WitnessSetting(BaseModel):
    """A witness of the ledger: where it listens, and its verifier key (C2SP tlog-cosignature)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    vkey: str


class Settings(BaseSettings):
    """Every setting of the gate.

    Attributes:
        home: Directory of keystore, sealed files and (by default) databases.
        database_url: SQLAlchemy URL of the gate's state; SQLite in ``home`` unless set.
        ledger_url: SQLAlchemy URL of the ledger; the database's own server unless set.
        objects_url: Where sealed files lie: `s3://bucket/prefix` or `file:///path`; `objects` in `home`
            unless set.
        objects_endpoint: URL of the S3 service; AWS's own unless set.
        objects_region: Region that requests to it are signed for.
        objects_virtual_hosted: Whether the bucket is named in the host of the URL instead of its path.
        objects_ca_file: CA certificates for `objects_endpoint`, beside the system's.
        objects_timeout_s: Longest wait for one request to it with its repetitions, in seconds.
        passphrase: Opens the keystore; prefer ``passphrase_file``.
        passphrase_file: File whose first line opens the keystore.
        key_provider: What protects the keystore's root key: `passphrase`, `vault`, `kms` or `pkcs11`.
        key_provider_timeout_s: Longest wait for one answer of Vault or KMS, in seconds.
        vault_url: Address of Vault or OpenBao; `https`, but on loopback.
        vault_token_file: File whose first line is the token for `vault_url`.
        vault_mount: Where the transit engine is mounted.
        vault_key: Name of the transit key.
        vault_ca_file: CA certificates for `vault_url`.
        kms_key: Id, ARN or alias of the key of AWS KMS.
        kms_region: Region that the key lies in.
        kms_endpoint_url: Where KMS answers; that of the region unless set.
        kms_credentials_file: AWS credentials file, section `default`; the machine's role unless set.
        pkcs11_module: Library of the maker of the hardware security module.
        pkcs11_token: Label of the token.
        pkcs11_key: Label of the AES-256 key on it.
        pkcs11_pin_file: File whose first line is the PIN of the token's user.
        suite: What is sealed and wrapped from now on: `aes256gcm-sha256-ed25519` or `sm4gcm-sm3-sm2`.
        origin: The ledger's name in checkpoints (C2SP tlog-checkpoint origin line).
        profile: Treatment profile that recordings are cleansed under.
        opa_url: OPA server that judges instead of the embedded engine.
        opa_ca_file: CA certificates for ``opa_url``.
        opa_token_file: File whose first line is the token for `opa_url`, which must then serve the guard.
        opa_timeout_s: Longest wait for one decision, in seconds.
        serve_questions_kept_every: One question in so many of allowed reads is kept for simulation; 0 for none.
        inference: Engine that runs detection models: ``openvino`` or ``onnxruntime``.
        processor_certificate_sha256: SHA-256 of the secrecy processor's certificate, for APPROVED mode.
        accredited_for_secrets: Whether this installation is accredited for state secrets (rule 26).
        network_zone: ``in_zone`` when the gate stands in a domestic compliance zone.
        country: ISO 3166-1 alpha-2 code of the country that the gate stands in.
        lease_s: Seconds after which another worker may take over a recording whose worker went silent.
        webauthn_rp_id: Host that security keys are registered for (WebAuthn RP id); none are taken unless set.
        webauthn_origins: JSON list of the origins on which people use them: `https`, on that host or below it.
        witnesses: JSON list of objects with `url` and `vkey`: who cosigns the ledger's checkpoints.
        witness_quorum: How many of them must cosign; all of them unless set.
        witness_grace_s: Seconds for which the gate goes on without a quorum.
        witness_timeout_s: Longest wait for one witness, in seconds.
        witness_ca_file: CA certificates for `witnesses`.
        checkpoint_interval_s: Seconds between signed checkpoints.
        sweep_interval_s: Seconds between runs of the retention and retry jobs.
        archive_dir: Directory that the ledger is archived in as tiles (C2SP tlog-tiles); no archive unless set.
        archive_interval_s: Seconds between runs of the archive job.
        disk_reserve_bytes: Bytes held beside a SQLite ledger for its own entries on a full disk; 0 for none.
        disk_low_bytes: Free bytes below which nothing is taken in or built; more than `disk_reserve_bytes`.
        signature_max_age_s: Oldest acceptable HTTP message signature, in seconds.
        requests_per_minute: Verified requests of one caller that the gate answers within a minute.
        refusals_per_minute: Refused requests of one address that are told of one by one; then it answers 429.
        require_sealed_delivery: Whether recordings are refused that the vehicle did not seal to this gate.
        max_item_bytes: Largest item that is accepted, in bytes.
    """

    model_config = SettingsConfigDict(env_prefix="FLEETGATE_", frozen=True, extra="forbid")

    home: Path = Path.home() / ".fleetgate"
    database_url: str | None = None
    ledger_url: str | None = None
    objects_url: str | None = None
    objects_endpoint: str | None = None
    objects_region: str = "us-east-1"
    objects_virtual_hosted: bool = False
    objects_ca_file: Path | None = None
    objects_timeout_s: float = Field(default=60.0, gt=0)
    passphrase: SecretStr | None = None
    passphrase_file: Path | None = None
    key_provider: ProviderKind = "passphrase"
    key_provider_timeout_s: float = Field(default=5.0, gt=0)
    vault_url: str | None = None
    vault_token_file: Path | None = None
    vault_mount: str = Field(default="transit", pattern=r"^[A-Za-z0-9_./-]+$")
    vault_key: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+$")
    vault_ca_file: Path | None = None
    kms_key: str | None = None
    kms_region: str | None = None
    kms_endpoint_url: str | None = None
    kms_credentials_file: Path | None = None
    pkcs11_module: Path | None = None
    pkcs11_token: str | None = None
    pkcs11_key: str | None = None
    pkcs11_pin_file: Path | None = None
    suite: Literal["aes256gcm-sha256-ed25519", "sm4gcm-sm3-sm2"] = "aes256gcm-sha256-ed25519"
    origin: str = "fleetgate.local/ledger"
    profile: str = "cn-2026"
    opa_url: str | None = None
    opa_ca_file: Path | None = None
    opa_token_file: Path | None = None
    opa_timeout_s: float = Field(default=2.0, gt=0)
    serve_questions_kept_every: int = Field(default=64, ge=0)
    inference: Literal["openvino", "onnxruntime"] = "openvino"
    processor_certificate_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    accredited_for_secrets: bool = False
    network_zone: str = "in_zone"
    country: str = Field(default="CN", pattern=r"^[A-Z]{2}$")
    lease_s: int = Field(default=600, gt=0)
    webauthn_rp_id: str | None = Field(default=None, pattern=r"^[a-z0-9.-]+$")
    webauthn_origins: tuple[str, ...] = ()
    witnesses: tuple[WitnessSetting, ...] = ()
    witness_quorum: int | None = Field(default=None, gt=0)
    witness_grace_s: int = Field(default=86_400, gt=0)
    witness_timeout_s: float = Field(default=5.0, gt=0)
    witness_ca_file: Path | None = None
    checkpoint_interval_s: int = Field(default=60, gt=0)
    sweep_interval_s: int = Field(default=60, gt=0)
    archive_dir: Path | None = None
    archive_interval_s: int = Field(default=3600, gt=0)
    disk_reserve_bytes: int = Field(default=16 * 1024**2, ge=0)
    disk_low_bytes: int = Field(default=512 * 1024**2, ge=0)
    signature_max_age_s: int = Field(default=60, gt=0)
    requests_per_minute: int = Field(default=6000, gt=0)
    refusals_per_minute: int = Field(default=120, gt=0)
    require_sealed_delivery: bool = False
    max_item_bytes: int = Field(default=2 * 1024**3, gt=0)

    @model_validator(mode="after")
    def _reserve_below_threshold(self) -> Self:
        """What the reserve gives back must not look like a disk with space."""
        if self.disk_low_bytes <= self.disk_reserve_bytes:
            raise ValueError(
                f"disk_low_bytes (got {self.disk_low_bytes}, expected more than disk_reserve_bytes, "
                f"{self.disk_reserve_bytes})"
            )
        return self

    @model_validator(mode="after")
    def _origins_of_the_rp_id(self) -> Self:
        """Browsers allow an RP id on its own origins only; any other could never verify."""
        if bool(self.webauthn_origins) != bool(self.webauthn_rp_id):
            raise ValueError("webauthn_rp_id and webauthn_origins are set together, or neither")
        for origin in self.webauthn_origins:
            require_origin(origin, str(self.webauthn_rp_id))
        return self

    @property
    def state_url(self) -> str:
        """URL of the gate's state."""
        return self.database_url or f"sqlite:///{self.home / 'gateway.db'}"

    @property
    def audit_url(self) -> str:
        """URL of the ledger."""
        if self.ledger_url:
            return self.ledger_url
        return self.database_url or f"sqlite:///{self.home / 'ledger.db'}"

    def keystore_passphrase(self) -> str:
        """The keystore's passphrase.

        Raises:
            ConfigurationError: Neither ``passphrase`` nor a readable, non-empty ``passphrase_file`` is set.
        """
        if self.passphrase is not None:
            return self.passphrase.get_secret_value()
        if self.passphrase_file is None:
            raise ConfigurationError(
                "no keystore passphrase (set FLEETGATE_PASSPHRASE_FILE or FLEETGATE_PASSPHRASE)"
            )
        lines = self.passphrase_file.read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0]:
            raise ConfigurationError(f"passphrase file is empty (got {self.passphrase_file})")
        return lines[0]
