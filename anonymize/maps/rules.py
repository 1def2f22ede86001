"""Which attribute rule of the profile meets an attribute of a map.

Keys and values are compared in lower case after Unicode compatibility folding, so that full-width letters
are the letters they look like.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from anonymize.finding import FindingKind
from anonymize.profile import AttributeRule, MapProfile

ELEVATION_TAG = "ELEV"
_CACHED = 1 << 16
_LONGEST_KEY = 256
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_EDITOR = re.compile(
    r"@?(?:user|uid|changeset|timestamp|version|visible)|@?created_by|creator|editor|edit(?:or_?name|_?date|ed_?by)"
    r"|created_?(?:at|date|user)?|updated_?(?:at|by|date)?|modified_?(?:at|by|date)?"
    r"|creationdate|editdate|last_edited_(?:user|date)|last_?(?:modified|updated|edited)|meta|osm_(?:user|uid|version|changeset|timestamp)",
)
_IDENTITY = re.compile(
    r"@?id|fid|gid|oid|uuid|guid|objectid|ogc_fid|gml_id|global_?id|full_id|osm_?id|osm_way_id|@?osm:id"
)
_REFERENCE = re.compile(
    r".*_ids?|successors?|predecessors?|next|prev(?:ious)?|parent|children|left|right|from|to|source|target"
)
_POSITION = re.compile(
    r"(?:.*[^a-z])?(?:lat|lats|latitude|lon|lng|longitude|coords?|coordinates?|centroids?|geom|geometry|shape_wkt|wkt|wkb"
    r"|geohash|plus_?code|mgrs|utm|bbox|bounds|extent|envelope|latlon|lonlat|latlng|easting|northing)(?:[^a-z].*)?"
    r"|(?:.*[^a-z])?(?:min|max|center|centre|start|end|mid)_?(?:x|y|z)|x|y|z|ecef_?[xyz]|(?:.*[^a-z])?long(?:_?(?:deg|dd|e7|wgs84|min|max|start|end|[0-9]+))?|.*(?:经度|纬度|坐标).*",
)
_PLACE = re.compile(
    r"(?<![\d.])\d{1,3}\.\d{3,}[^\d]{1,12}\d{1,3}\.\d{3,}(?!\.\d)"
    r"|\d{1,3}\s*[°º度\s:]\s*\d{1,2}(?:\.\d+)?\s*['′’分]|\d{2,3}\d{2}\.\d{2,8}\s*,\s*[NSEW]\b|\bPOINT\s*Z?\s*\(",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that meets an attribute; ``index`` is its place in the profile."""

    index: int
    rule: AttributeRule


class AttributeRules:
    """The rules of one profile, in order; immutable to its users."""

    def __init__(self, profile: MapProfile) -> None:
        self._rules = tuple(
            (index, rule, _pattern(rule.keys), _pattern(rule.values) if rule.values else None)
            for index, rule in enumerate(profile.attributes)
            # A profile that keeps elevations keeps them in attributes too.
            if not (profile.keep_elevation and rule.tag == ELEVATION_TAG)
        )
        self._by_key = functools.lru_cache(maxsize=_CACHED)(self._with_key)

    def meeting(self, key: str, values: Iterable[str]) -> Hit | None:
        """The first rule that meets the attribute ``key`` with any of ``values``; None for none."""
        folded: list[str] | None = None
        for index, rule, pattern in self._by_key(key):
            if pattern is None:
                return Hit(index=index, rule=rule)
            if folded is None:
                folded = [fold(v) for v in values]
            if any(pattern.fullmatch(v) for v in folded):
                return Hit(index=index, rule=rule)
        return None

    def _with_key(self, key: str) -> tuple[tuple[int, AttributeRule, re.Pattern[str] | None], ...]:
        name = fold(key)
        return tuple((i, rule, values) for i, rule, keys, values in self._rules if keys.fullmatch(name))


def fold(text: str) -> str:
    """Lower case after NFKC, without space at either end."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def finding_kind(tag: str) -> FindingKind:
    """How findings name a hit of a rule with ``tag``."""
    return FindingKind.ELEVATION if tag == ELEVATION_TAG else FindingKind.MAP_ATTRIBUTE


@functools.lru_cache(maxsize=_CACHED)
def is_editor_key(key: str) -> bool:
    """Whether an attribute tells who edited a map, when and with what; never released."""
    return _EDITOR.fullmatch(snake(key)) is not None


@functools.lru_cache(maxsize=_CACHED)
def is_identity_key(key: str) -> bool:
    """Whether an attribute is by its name the identity of its feature."""
    return _IDENTITY.fullmatch(snake(key)) is not None


@functools.lru_cache(maxsize=_CACHED)
def is_reference_key(key: str) -> bool:
    """Whether an attribute may by its name refer to the identity of another feature."""
    return _REFERENCE.fullmatch(snake(key)) is not None


@functools.lru_cache(maxsize=_CACHED)
def is_position_key(key: str) -> bool:
    """Whether an attribute repeats a position, which no offset would reach; never released."""
    # Names that nobody would write are not looked at, but taken for the worst.
    return len(key) > _LONGEST_KEY or _POSITION.fullmatch(snake(key)) is not None


def snake(key: str) -> str:
    """``startLon`` as ``start_lon``."""
    return fold(_HUMP.sub("_", key))


def holds_position(text: str) -> bool:
    """Whether a text holds what may be a position: two decimals of three places, or degrees and minutes."""
    return _PLACE.search(text) is not None


def _pattern(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, map(fold, g.split("*")))) for g in globs), re.DOTALL)
