"""Which bucket holds the objects, how it is reached, and with which credentials."""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from obstore.store import S3Store

if TYPE_CHECKING:
    # The library's types do not exist at run time.
    from obstore.store import ClientConfig, RetryConfig, S3Config

_RETRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where a bucket is and how it is reached.

    Attributes:
        bucket: Its name; it exists.
        prefix: What every key begins with, without slashes at its ends; may be empty.
        endpoint: URL of the service; AWS's own for the region where it is None. ``http`` only where it is said.
        region: Region that requests are signed for.
        ca_pem: CA certificates that are trusted beside the system's, PEM; None for none.
        timeout_s: Longest wait for one request, and for all its repetitions, in seconds.
        virtual_hosted: Whether the bucket is named in the host instead of in the path.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str = "us-east-1"
    ca_pem: bytes | None = None
    timeout_s: float = 60.0
    virtual_hosted: bool = False


def credentials_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Access key, secret and token from AWS's standard variables, else from the shared credentials file.

    1. ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, with ``AWS_SESSION_TOKEN`` where there is one.
    2. The profile ``AWS_PROFILE`` (``default`` unless set) of ``AWS_SHARED_CREDENTIALS_FILE``, where that is set.
    3. Nothing: the library asks for the role of the workload (web identity, container, instance).

    Raises:
        ValueError: A pair is incomplete, or the file lacks the profile. No value is shown.
    """
    names = ("access_key_id", "secret_access_key", "session_token")
    found = {name: environment.get(f"AWS_{name.upper()}", "") for name in names}
    file = environment.get("AWS_SHARED_CREDENTIALS_FILE")
    if not found["access_key_id"] and not found["secret_access_key"]:
        if not file:
            return {}
        profile = environment.get("AWS_PROFILE", "default")
        known = configparser.RawConfigParser()
        known.read(file, encoding="utf-8")
        if not known.has_section(profile):
            raise ValueError(f"credentials file (got {file!r} without [{profile}], expected that profile)")
        found = {name: known.get(profile, f"aws_{name}", fallback="") for name in names}
    if not found["access_key_id"] or not found["secret_access_key"]:
        raise ValueError("credentials of the object store (expected an access key id and its secret)")
    return {name: value for name, value in found.items() if value}


def place_of(url: str, **reached: Any) -> S3Place:
    """The place that ``s3://bucket/prefix`` names.

    Args:
        url: The URL.
        **reached: The other attributes of :class:`S3Place`.

    Raises:
        ValueError: It is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"place of objects (got {url!r}, expected s3://bucket/prefix)")
    return S3Place(bucket=parts.netloc, prefix=parts.path.strip("/"), **reached)


def open_store(place: S3Place, credentials: Mapping[str, str]) -> S3Store:
    """A store that signs every request and creates by ``If-None-Match``; nothing is sent yet.

    Args:
        place: The bucket.
        credentials: As from :func:`credentials_of`.
    """
    wait = timedelta(seconds=place.timeout_s)
    client: dict[str, Any] = {"timeout": wait, "allow_http": urlsplit(place.endpoint or "").scheme == "http"}
    if place.ca_pem is not None:
        client["root_certificate"] = place.ca_pem
    # What would weaken these is not taken from the environment.
    config: dict[str, Any] = {
        **credentials,
        "region": place.region,
        "conditional_put": "etag",
        "skip_signature": False,
        "virtual_hosted_style_request": place.virtual_hosted,
    }
    if place.endpoint is not None:
        config["endpoint"] = place.endpoint
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        config=cast("S3Config", config),
        client_options=cast("ClientConfig", client),
        retry_config=cast("RetryConfig", {"max_retries": _RETRIES, "retry_timeout": wait}),
    )
