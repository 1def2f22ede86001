"""Every file of a dossier, from its twin alone: the same twin gives the same bytes, wherever and whenever."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from gateway.dossier.compose import compose
from gateway.dossier.document import Language
from gateway.dossier.html import render_html
from gateway.dossier.pdf import render_pdf
from gateway.dossier.prov import openlineage_of, prov_of

TWIN: Final = "dossier.json"
MEDIA_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "json": "application/json",
    "jws": "application/jose",
}


def files_of(twin: Mapping[str, Any]) -> dict[str, bytes]:
    """Names and content of the files that a dossier consists of.

    Raises:
        RenderingError: A text cannot be set.
    """
    content = rfc8785.dumps(dict(twin))
    # As it is read back: 1.0 and 1 are one number in RFC 8785, and must be set alike.
    twin = json.loads(content)
    files = {
        TWIN: content,
        "prov.json": rfc8785.dumps(prov_of(twin)),
        "openlineage.json": rfc8785.dumps(openlineage_of(twin)),
    }
    for language in Language:
        document = compose(twin, language)
        files[f"dossier.{language.value}.html"] = render_html(document)
        files[f"dossier.{language.value}.pdf"] = render_pdf(document)
    return files


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
