"""The description of a data set in the vocabulary of MLCommons Croissant 1.1, by their library ``mlcroissant``.

It validates what it writes. Releases appear as file objects behind the gate, their items as file sets: programs
that read Croissant understand what the data set is, and get no byte of it without a grant.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import mlcroissant  # type: ignore[import-untyped]

_LICENCE: Final = "use under a grant of the gate, for the stated purpose, until the stated end"


def describe(
    *, name: str, description: str, releases: Mapping[str, str], media_types: Sequence[str], at: datetime
) -> dict[str, Any]:
    """The JSON-LD of a data set over releases.

    Args:
        name: What people call it.
        description: What it is for.
        releases: SHA-256 digest of each release by its id.
        media_types: IANA media types of the items.
        at: When it was frozen.
    """
    context = mlcroissant.Context()
    context.conforms_to = type(context.conforms_to)("http://mlcommons.org/croissant/1.1")
    distribution: list[Any] = []
    records: list[Any] = []
    for release, digest in releases.items():
        distribution += _release(context, release, digest, media_types)
        records.append(_records(context, release))
    described = mlcroissant.Metadata(
        ctx=context,
        name=name,
        description=description,
        url="urn:fleetgate:training",
        license=[_LICENCE],
        version="1.0.0",
        cite_as=f"{name}, frozen {at.isoformat()}",
        date_published=at,
        distribution=distribution,
        record_sets=records,
    )
    return dict(described.to_json())


def _release(context: Any, release: str, digest: str, media_types: Sequence[str]) -> tuple[Any, Any]:
    whole = mlcroissant.FileObject(
        ctx=context,
        id=release,
        name=release,
        content_url=f"downstream/v1/releases/{release}",
        encoding_formats=["application/vnd.fleetgate.release"],
        sha256=digest,
    )
    items = mlcroissant.FileSet(
        ctx=context,
        id=f"{release}/items",
        name=f"items of {release}",
        contained_in=[release],
        encoding_formats=list(media_types),
        includes=["*"],
    )
    return whole, items


def _records(context: Any, release: str) -> Any:
    field = mlcroissant.Field(
        ctx=context,
        id=f"{release}/samples/content",
        name="content",
        data_types=[mlcroissant.DataType.TEXT],
        source=mlcroissant.Source(
            ctx=context,
            file_set=f"{release}/items",
            extract=mlcroissant.Extract(ctx=context, file_property="content"),
        ),
    )
    return mlcroissant.RecordSet(
        ctx=context, id=f"{release}/samples", name=f"samples of {release}", fields=[field]
    )
