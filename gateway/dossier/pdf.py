"""A document as PDF/A-2a and PDF/UA-1: tagged, fonts embedded, set in memory, the same bytes each time."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pylopdf_fonts_zh_cn
import typst

from gateway.dossier.document import Document
from gateway.dossier.errors import RenderingError


@cache
def _template() -> bytes:
    return files("gateway.dossier").joinpath("templates/document.typ").read_bytes()


def render_pdf(document: Document) -> bytes:
    """Render a document.

    Nothing is read but the template and the fonts that are installed with the gate, and nothing is written: the
    document's own files lie in memory (law 3). The only moment in the file is ``document.dated``.

    Raises:
        RenderingError: Typst refuses the document, or a text has no glyph in the embedded fonts.
    """
    content = document.as_dict()
    moment = document.dated
    content["dated"] = [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second]
    drawings: dict[str, bytes] = {}
    for section in content["sections"]:
        for block in section["blocks"]:
            if block["kind"] == "figure":
                name = f"drawing-{len(drawings)}.svg"
                drawings[name] = str(block["svg"]).encode()
                block["svg"] = name
    # The stubs of typst 0.15.2 lack the form with sources in memory, which its documentation describes.
    sources: Any = {
        "main.typ": _template(),
        "document.json": json.dumps(content, ensure_ascii=False).encode(),
        **drawings,
    }
    try:
        return bytes(
            typst.compile(
                sources,
                format="pdf",
                font_paths=[str(files(pylopdf_fonts_zh_cn))],
                ignore_system_fonts=True,
                # Archivable with its structure (ISO 19005-2), readable by assistive technology (ISO 14289-1).
                pdf_standards=["a-2a", "ua-1"],
                timestamp=int(moment.timestamp()),
            )
        )
    except typst.TypstError as error:
        raise RenderingError(f"PDF of {document.title!r} cannot be set: {error}") from error
