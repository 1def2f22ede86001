"""A draft of a zone file from an OpenStreetMap extract, for the licensed operator to review.

A draft is a valid zone file, so that it opens in the same tools; its name begins with DRAFT, and a gate does not
install a file of such a name. What to look at in particular stands in the draft itself, feature by feature.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import shapely

from anonymize.errors import ZoneFileError
from anonymize.geo.osm_sites import MAX_BYTES, Problem, Site, read_sites
from anonymize.geo.zone_file import DRAFT_NAME, KINDS, read_zones
from anonymize.geo.zone_margin import with_margin
from anonymize.geo.zone_tags import TagTable, shipped_tag_table

ATTRIBUTION = "© OpenStreetMap contributors, Open Database License 1.0"
NOTICE_ZH = (
    "这只是草案：由 OpenStreetMap 标签生成，不完整，也未经核实；"
    "须由持有测绘资质的运营方逐一审核、补充、改名并签署后方可使用。"
)
NOTICE_EN = (
    "This is only a draft: it was made from OpenStreetMap tags, it is incomplete and nothing in it is verified. "
    "The licensed operator must review every zone, add what is missing, rename the file and sign it before use."
)
_GRID_DEG = 1e-7
_PRECISION = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftNote:
    """What a reviewer has to look at: an object, what is wrong with it, and whether it was left out."""

    id: str
    kind: str
    problems: tuple[str, ...]
    left_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneDraft:
    """A drafted zone file.

    Attributes:
        content: The file, GeoJSON in UTF-8.
        zones: How many zones of each kind, most severe first.
        notes: Objects that were repaired, widened, incomplete or left out.
    """

    content: bytes
    zones: Mapping[str, int]
    notes: tuple[DraftNote, ...]


def draft_zones(
    file: BinaryIO, *, table: TagTable | None = None, version: int = 1, max_bytes: int = MAX_BYTES
) -> ZoneDraft:
    """Draft a zone file from the tags of an OpenStreetMap extract.

    Args:
        file: OSM PBF or XML, plain or compressed by gzip or bzip2; WGS-84 by definition.
        table: Which tags suggest which kind; by default the one that ships with Fleetgate.
        version: Version of the file that the review will become.
        max_bytes: Larger extracts are refused; the extract is held in memory.

    Returns:
        The draft, which was read again as a zone file. Each zone has the ``id`` of the object (``osm-way-123``),
        its ``kind``, a suggested ``margin_m``, the tags that told and what to review.

    Raises:
        UnknownFormatError: The file is no extract in one of these formats.
        LimitExceededError: It is larger than ``max_bytes``.
        MalformedItemError: It is truncated or damaged.
        ZoneFileError: The table or the version is malformed.
    """
    asked = table or shipped_tag_table()
    content = file.read(max_bytes + 1)
    features: list[dict[str, Any]] = []
    notes: list[DraftNote] = []
    sites = read_sites(io.BytesIO(content), asked, max_bytes=max_bytes)
    for site in sorted(sites, key=lambda s: (KINDS.index(s.rule.kind), s.id)):
        feature = _feature(site)
        problems = site.problems if feature or site.shape is None else (*site.problems, Problem.REFUSED)
        if feature:
            features.append(feature)
        if problems:
            notes.append(
                DraftNote(
                    id=site.id, kind=site.rule.kind.value, problems=tuple(problems), left_out=not feature
                )
            )
    document = {
        "type": "FeatureCollection",
        "name": f"{DRAFT_NAME} (OpenStreetMap)",
        "version": version,
        "notice": {"zh": NOTICE_ZH, "en": NOTICE_EN},
        "attribution": ATTRIBUTION,
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "tag_table_version": asked.version,
        "left_out": [{"id": n.id, "kind": n.kind, "problems": list(n.problems)} for n in notes if n.left_out],
        "features": features,
    }
    drafted = json.dumps(document, ensure_ascii=False, indent=1).encode()
    _, _, zones = read_zones(drafted)
    counts = Counter(zone.kind for zone in zones)
    return ZoneDraft(
        content=drafted,
        zones={kind.value: counts[kind] for kind in KINDS if counts[kind]},
        notes=tuple(notes),
    )


def _feature(site: Site) -> dict[str, Any] | None:
    """The site as a feature that a zone file may hold; None where none can be made of it."""
    if site.shape is None:
        return None
    properties: dict[str, Any] = {
        "id": site.id,
        "kind": site.rule.kind.value,
        "margin_m": site.rule.margin_m,
        "tags": site.rule.told_by(site.tags),
        "reference": site.rule.reference,
    }
    if site.problems:
        properties["review"] = [problem.value for problem in site.problems]
    shape = shapely.orient_polygons(shapely.set_precision(site.shape, _GRID_DEG))
    geometry = json.loads(shapely.to_geojson(shape), parse_float=lambda text: round(float(text), _PRECISION))
    feature = {"type": "Feature", "properties": properties, "geometry": geometry}
    alone = {"type": "FeatureCollection", "name": DRAFT_NAME, "version": 1, "features": [feature]}
    try:
        _, _, (zone,) = read_zones(json.dumps(alone).encode())
        with_margin(zone, 0.0)
    except ZoneFileError:
        return None
    return feature
