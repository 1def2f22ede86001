"""A dossier as a folder: the files that were asked for, and what proves them to whoever has no gate."""

from enum import StrEnum
from pathlib import Path

from audit import verify, verify_assertion, verify_dossier, verify_folder, verify_sm2
from gateway.dossier.document import Language
from gateway.dossier.issue import RECEIPT, STATEMENT, Issued, receipt_bytes
from gateway.dossier.rendered import MEDIA_TYPES, TWIN


class DossierForm(StrEnum):
    """Which files of a dossier are wanted."""

    ALL = "all"
    HTML = "html"
    PDF = "pdf"
    JSON = "json"


class DossierFile(StrEnum):
    """One file of a dossier, as HTTP asks for it."""

    HTML = "html"
    PDF = "pdf"
    JSON = "json"
    PROV = "prov"
    OPENLINEAGE = "openlineage"
    STATEMENT = "statement"
    RECEIPT = "receipt"

    def file(self, language: Language) -> tuple[str, str]:
        """Its name and media type."""
        return {
            DossierFile.HTML: (f"dossier.{language.value}.html", MEDIA_TYPES["html"]),
            DossierFile.PDF: (f"dossier.{language.value}.pdf", MEDIA_TYPES["pdf"]),
            DossierFile.JSON: (TWIN, MEDIA_TYPES["json"]),
            DossierFile.PROV: ("prov.json", MEDIA_TYPES["json"]),
            DossierFile.OPENLINEAGE: ("openlineage.json", MEDIA_TYPES["json"]),
            DossierFile.STATEMENT: (STATEMENT, MEDIA_TYPES["jws"]),
            DossierFile.RECEIPT: (RECEIPT, MEDIA_TYPES["json"]),
        }[self]


PROOFS = frozenset({STATEMENT, RECEIPT})
"""What proves a dossier and is no signed file of it."""


def file_of(issued: Issued, name: str) -> bytes:
    """The content of one file of a dossier, or of one of its proofs."""
    if name == STATEMENT:
        return issued.statement.encode()
    return receipt_bytes(issued) if name == RECEIPT else issued.files[name]


def chosen_files(form: DossierForm, language: Language | None) -> frozenset[str] | None:
    """Names of the files of a form and language, the twin always among them; None for all there are."""
    if form is DossierForm.ALL and language is None:
        return None
    languages = [language] if language else list(Language)
    chosen = {TWIN}
    if form in (DossierForm.ALL, DossierForm.JSON):
        chosen |= {"prov.json", "openlineage.json"}
    for kind in (DossierForm.HTML, DossierForm.PDF):
        if form in (DossierForm.ALL, kind):
            chosen |= {f"dossier.{each.value}.{kind.value}" for each in languages}
    return frozenset(chosen)


def write_dossier(issued: Issued, folder: Path) -> list[str]:
    """Write a dossier into a folder.

    Returns:
        Names of the files, those that prove it and the verifier among them.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = dict(issued.files)
    files[STATEMENT] = issued.statement.encode()
    files[RECEIPT] = receipt_bytes(issued)
    for module in (verify, verify_assertion, verify_dossier, verify_folder, verify_sm2):
        source = Path(str(module.__file__))
        files[source.name] = source.read_bytes()
    for name, content in sorted(files.items()):
        (folder / name).write_bytes(content)
    return sorted(files)
