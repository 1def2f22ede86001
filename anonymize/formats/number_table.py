"""Tables of numbers in text, which may be a path whatever their columns are called.

A text handler sees words; eastings and northings, a pose, or a speed and a turn rate pass it as plain numbers.
"""

import csv
import re

from anonymize.layouts.kitti import NUMBER

_DELIMITERS = ",;\t|"
_APART = re.compile(r'[\s,;|"]+')
_PERHAPS = re.compile(r'[\s\d.,;:|+/"eETZinfatyINFATY-]*')
_MOMENT = re.compile(r"\d{1,4}[-/.:]\d\d?[-/.:]\d[\dT:./Z+-]*")
_LEAST_SHARE = 0.5
_LEAST_NUMBERS = 2
_OWNER = (
    r"(?:(?:utm|gauss|gk|cgcs2000|ecef|map|world|odom|local|global|pos|position|pose|location|translation|gps|gnss|"
    r"ego|vehicle|car)[ _.:-]*)*(?:p(?:[_.][a-z0-9]+)*[_.]|t[_.]?)?"
)
_UNIT = r"[ _]*(?:[(\[]?(?:m|met(?:er|re)s?|ft)[)\]]?)?"
_EASTING = re.compile(rf"#? *{_OWNER}(?:x|e|east|easting){_UNIT}|东坐标|横坐标")
_NORTHING = re.compile(rf"#? *{_OWNER}(?:y|n|north|northing){_UNIT}|北坐标|纵坐标")


def has_grid_columns(text: str) -> bool:
    """Whether delimited text begins with a header that names an easting and a northing, or x and y."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        if delimiter in header:
            names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
            if any(map(_EASTING.fullmatch, names)) and any(map(_NORTHING.fullmatch, names)):
                return True
    return False


def is_number_table(text: str) -> bool:
    """Whether at least half of the lines that are not blank hold two numbers or more, moments and nothing else."""
    lines = [line for line in text.splitlines() if line.strip()]
    tables = sum(1 for line in lines if _is_row(line))
    return tables > 0 and tables >= _LEAST_SHARE * len(lines)


def _is_row(line: str) -> bool:
    if not _PERHAPS.fullmatch(line):
        return False
    cells = [cell for cell in _APART.split(line) if cell]
    numbers = sum(1 for cell in cells if NUMBER.fullmatch(cell))
    return numbers >= _LEAST_NUMBERS and all(NUMBER.fullmatch(c) or _MOMENT.fullmatch(c) for c in cells)
