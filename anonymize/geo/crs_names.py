"""Names of coordinate reference systems, as people and files write them."""

import re

WGS84 = "EPSG:4326"
CGCS2000 = "EPSG:4490"
GCJ02 = "GCJ-02"
BD09 = "BD-09"

_ALIASES = {
    "CRS84": WGS84,
    "OGC:CRS84": WGS84,
    "GCJ02": GCJ02,
    "GCJ-02": GCJ02,
    "BD09": BD09,
    "BD-09": BD09,
    "BD09LL": BD09,
}
_CODE = re.compile(r"(?:urn:ogc:def:crs:)?([A-Za-z]+):{1,2}(?:[\d.]+:)?(\w+(?:\+\d+)?)", re.ASCII)
_DEFINITION = re.compile(r"\s*(?:[A-Z_]+\[|\{|\+proj=)", re.ASCII)
_SHOWN = 40


def canonical_name(crs: str) -> str:
    """One name for the aliases and spellings of a system; a definition (WKT, PROJJSON, PROJ) as it is."""
    name = crs.strip()
    if name.upper() in _ALIASES:
        return _ALIASES[name.upper()]
    code = _CODE.fullmatch(name)
    if code is None:
        return name
    name = f"{code[1].upper()}:{code[2]}"
    return _ALIASES.get(name, name)


def is_understood(name: str) -> bool:
    """Whether a canonical name is a code or a definition; free names of systems are not looked up."""
    return bool(_CODE.fullmatch(name) or _DEFINITION.match(name))


def shown_name(name: str) -> str:
    """A system as messages may show it: a definition may hold the true place of a local origin."""
    return "a system given by its definition" if _DEFINITION.match(name) else repr(name[:_SHOWN])
