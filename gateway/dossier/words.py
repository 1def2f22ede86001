"""What documents say in Chinese and in English, by key: ``words.yaml``."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from gateway.dossier.document import Language


@cache
def _read() -> Mapping[str, Any]:
    read: Mapping[str, Any] = yaml.safe_load(
        files("gateway.dossier").joinpath("words.yaml").read_text("utf-8")
    )
    return read


class Words:
    """The words of one language.

    Args:
        language: Which.
    """

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key, with its values; ``KeyError`` where there are none."""
        return str(_read()["words"][key][self.language.value]).format(**values)

    def code(self, code: object) -> str:
        """A code as it stands; in Chinese with its meaning, where it has one."""
        text = "–" if code is None else str(code)
        meaning = _read()["codes"].get(text) if self.language is Language.ZH else None
        return f"{meaning} {text}" if meaning else text

    def one_of(self, bilingual: str) -> str:
        """This language's half of a line ``中文 / English``."""
        zh, _, en = bilingual.partition(" / ")
        return zh if self.language is Language.ZH else en or zh
