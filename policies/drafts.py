"""A bundle as an operator drafts it: a folder like ``policies/``, with its golden vectors and tests of rules."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import rfc8785
import yaml

from policies.bundle import Bundle, bundle_in, bundle_of, shipped_bundle, walk
from policies.errors import BundleError, PolicyError
from policies.question import Point
from policies.vectors import Vector, base_questions, documents_in, vectors_of

_DOMAIN = b"fleetgate policy vectors v1\n"
_RULE_PATH = 4
"""``rules/<point>/<rule>/<file>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A bundle together with what it has to be tested by.

    Attributes:
        bundle: Rules, data, catalogue, question schemas.
        documents: Its vector files by point.
        tests: Its unit tests of rules, Rego source by path.
    """

    bundle: Bundle
    documents: Mapping[Point, Mapping[str, Any]] = field(hash=False)
    tests: Mapping[str, str] = field(hash=False)

    def vectors(self) -> tuple[Vector, ...]:
        """The golden vectors, bound to the bundle.

        Raises:
            PolicyError: A vector file is malformed or a case is not a valid question.
        """
        return _vectors_of(self)

    def examples(self) -> dict[str, dict[str, Any]]:
        """The base questions by point and name, as tests of rules read them."""
        examples: dict[str, dict[str, Any]] = {point.value: {} for point in Point}
        for (point, name), question in base_questions(self.bundle, self.documents).items():
            examples[point.value][name] = question
        return examples

    def vectors_digest(self) -> str:
        """SHA-256 over the RFC 8785 form of the vector files: what is signed beside the bundle's digest."""
        document = {point.value: dict(self.documents[point]) for point in Point}
        return hashlib.sha256(_DOMAIN + rfc8785.dumps(document)).hexdigest()


@lru_cache(maxsize=4)
def _vectors_of(draft: Draft) -> tuple[Vector, ...]:
    return vectors_of(draft.documents, draft.bundle)


def draft_in(root: Traversable | Path) -> Draft:
    """Load a draft from a folder.

    Raises:
        BundleError: The bundle is incomplete or malformed.
        PolicyError: A vector file is.
    """
    if not root.is_dir():
        raise BundleError(f"no such folder (got {str(root)!r}, expected one laid out like policies/)")
    bundle = bundle_in(root)
    return Draft(bundle=bundle, documents=documents_in(root), tests=_tests_in(root))


@lru_cache(maxsize=1)
def shipped_draft() -> Draft:
    """The bundle that ships with Fleetgate, with its vectors and tests.

    Raises:
        PolicyError: A file of it is missing or malformed.
    """
    return draft_in(resources.files("policies"))


def draft_of(files: Mapping[str, bytes], *, past: bool = False) -> Draft:
    """Build a draft from its files by POSIX path (``packed_files``); it brings no tests of rules.

    Args:
        files: Its files.
        past: Whether it only explains what it decided once (``bundle_of``); it judges nothing any more.

    Raises:
        PolicyError: A file is missing or malformed.
    """
    own = {path: content for path, content in files.items() if not path.startswith("vectors/")}
    bundle = bundle_of(own, past=past)
    try:
        documents = {
            Point(point): yaml.load(files[f"vectors/{point}.yaml"], Loader=yaml.CSafeLoader)
            for point in bundle.catalogue
        }
    except (KeyError, yaml.YAMLError) as error:
        raise PolicyError(f"vectors of a bundle cannot be read: {error}") from error
    return Draft(bundle=bundle, documents=documents, tests={})


def packed_files(root: Traversable | Path) -> dict[str, bytes]:
    """The files that make a draft: those of the bundle, and its vectors.

    Raises:
        BundleError: A file cannot be read.
    """
    bundle = bundle_in(root)
    try:
        vectors = {p: c for p, c in walk(root / "vectors", "vectors") if p.endswith(".yaml")}
    except OSError as error:
        raise BundleError(f"vectors of a bundle cannot be read: {error}") from error
    return {**bundle.files, **vectors}


def require_same_questions(draft: Draft) -> None:
    """Refuse a bundle for facts that the gate of this version does not state.

    Raises:
        BundleError: Its question schemas are not those of this version.
    """
    own = {p: c for p, c in draft.bundle.files.items() if p.startswith("questions/")}
    shipped = {p: c for p, c in shipped_bundle().files.items() if p.startswith("questions/")}
    other = sorted(p for p in own.keys() | shipped.keys() if own.get(p) != shipped.get(p))
    if other:
        raise BundleError(
            f"bundle is for other questions than this version asks (different: {', '.join(other)})"
        )


def _tests_in(root: Traversable | Path) -> dict[str, str]:
    try:
        return {
            path: content.decode()
            for path, content in walk(root / "rules", "rules")
            if path.endswith("_test.rego") and path.count("/") == _RULE_PATH - 1
        }
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"tests of rules cannot be read: {error}") from error
