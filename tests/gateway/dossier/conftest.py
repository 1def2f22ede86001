"""One planted release in each mode, with its dossier, that the tests of this folder share."""

import html
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader

from conformance.canaries import MOMENT, PlantedDrive, planted_drive, small_png
from gateway.app import release_public_jwk
from gateway.dossier.contents import Edition
from gateway.dossier.folder import write_dossier
from gateway.dossier.issue import Issued, dossier_of
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from simulators import START, House, released

MODES = (ReleaseMode.LOCAL, ReleaseMode.OFFSET)
EDITIONS = tuple(Edition)
_DRIVES = {
    ReleaseMode.LOCAL: ("zidane", 0, START + timedelta(seconds=5)),
    ReleaseMode.OFFSET: ("bus", 1, MOMENT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossiers:
    """A gate with a release of each mode; ``issued`` is by mode and edition."""

    house: House
    gate: Gate
    drives: Mapping[ReleaseMode, PlantedDrive]
    releases: Mapping[ReleaseMode, str]
    issued: Mapping[tuple[ReleaseMode, Edition], Issued]
    folder: Path
    release_key: str
    vkey: str
    texts: dict[tuple[ReleaseMode, Edition, str], str] = field(default_factory=dict)

    def text(self, mode: ReleaseMode, edition: Edition, name: str) -> str:
        """A file as text to search: of a PDF what a reader can take out of it, its metadata included."""
        key = (mode, edition, name)
        if key not in self.texts:
            content = self.issued[mode, edition].files[name]
            if name.endswith(".pdf"):
                reader = PdfReader(io.BytesIO(content))
                pages = [page.extract_text() for page in reader.pages]
                self.texts[key] = "\n".join([*pages, str(reader.metadata)])
            else:
                self.texts[key] = html.unescape(content.decode())
        return self.texts[key]

    def written(self, mode: ReleaseMode = ReleaseMode.OFFSET, edition: Edition = Edition.FULL) -> Path:
        return self.folder / f"{mode.value}-{edition.value}"


def _planted(
    drive: PlantedDrive, seed: int, captured: datetime
) -> tuple[dict[str, bytes], dict[str, datetime]]:
    """The drive with one small picture instead of its photograph and video, whose masks other tests search."""
    files = {n: c for n, c in drive.files.items() if not n.endswith((".jpg", ".mp4", ".png"))}
    picture = next(iter(drive.files)).replace(".jpg", ".png")
    return files | {picture: small_png(seed)}, {n: captured for n in drive.captured if n in files} | {
        picture: captured
    }


@pytest.fixture(scope="session")
def dossiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dossiers]:
    place = tmp_path_factory.mktemp("dossiers")
    house = House(home=place / "home")
    with house.opened() as gate:
        house.furnish(gate)
        drives, releases, issued = {}, {}, {}
        for mode in MODES:
            name, seed, captured = _DRIVES[mode]
            drives[mode] = planted_drive(name, seed, captured=captured)
            files, when = _planted(drives[mode], seed, captured)
            releases[mode] = released(
                gate, house, files, mode=mode, captured=when, attestation="a closed test track"
            )
            for edition in EDITIONS:
                issued[mode, edition] = dossier_of(
                    gate, releases[mode], actor=house.people["auditor"].actor, edition=edition
                )
                write_dossier(issued[mode, edition], place / f"{mode.value}-{edition.value}")
        yield Dossiers(
            house=house,
            gate=gate,
            drives=drives,
            releases=releases,
            issued=issued,
            folder=place,
            release_key=release_public_jwk(gate),
            vkey=gate.ledger.signer.vkey,
        )
