"""A document as one HTML file: no script, no reference to anything outside it, the same bytes each time."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.dossier.document import Document


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gateway.dossier"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_html(document: Document) -> bytes:
    """Render a document; every text is escaped, and drawings are those of ``gateway.dossier.area_map`` only."""
    template = _environment().get_template("document.html.j2")
    return template.render(document=document.as_dict()).encode()
