"""What a person counts in the pictures of a sample: read strictly, signed, and kept under the release's key.

A **face** runs from brow to chin and from ear to ear, a **plate** is an official one of metal (GB/T 44464-2024,
§3); size does not excuse. *Masked*: it cannot be recognised or read. *Missed*: it can. *Undecided*: the reviewer
cannot tell; it weighs as missed.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import rfc8785
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from gateway.errors import EvidenceError, InvalidRequestError
from gateway.flow.deciding import instant
from gateway.flow.recording import Built
from gateway.people.records import PersonRow
from gateway.review.quality_sample import Sample
from gateway.vault.errors import StatementError
from gateway.vault.jws import public_key_of, verify_statement

RECORD_TYPE = "fleetgate-quality-record+jwt"
KINDS = ("face", "plate")
_STRICT = ConfigDict(extra="forbid", strict=True)
_MOST = 10_000
_Count = Annotated[int, Field(ge=0, le=_MOST)]
_Side = Annotated[int, Field(ge=1, le=100_000)]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class KindCount:
    """How many of a kind one picture shows.

    Attributes:
        masked: That cannot be recognised or read any more.
        missed: That still can.
        undecided: Of which the reviewer cannot tell; they weigh as missed.
        missed_px: Longer sides in pixels of missed or undecided ones, where the reviewer states them.
    """

    masked: _Count
    missed: _Count
    undecided: _Count = 0
    missed_px: Annotated[list[_Side], Field(max_length=_MOST)] = Field(default_factory=list)

    @property
    def misses(self) -> int:
        """Missed and undecided."""
        return self.missed + self.undecided


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class PictureCount:
    """What one picture of a sample shows.

    Attributes:
        picture: Its number in the sample.
        face: Faces.
        plate: Plates.
        false_masks: Masks over neither; for information.
    """

    picture: Annotated[int, Field(ge=1)]
    face: KindCount
    plate: KindCount
    false_masks: _Count = 0

    def of(self, kind: str) -> KindCount:
        """The count of a kind."""
        return self.face if kind == "face" else self.plate

    @property
    def conforms(self) -> bool:
        """Whether nothing that was to be masked still shows, or may."""
        return not any(self.of(kind).misses for kind in KINDS)


_COUNTS = TypeAdapter(Annotated[list[PictureCount], Field(min_length=1)])
COLUMNS = (
    "picture", "faces_masked", "faces_missed", "faces_undecided", "plates_masked", "plates_missed",
    "plates_undecided", "false_masks",
)  # fmt: skip
SIDES = ("faces_missed_px", "plates_missed_px")
"""Optional columns: longer sides in pixels, separated by blanks."""


def counts_from_json(content: bytes) -> list[PictureCount]:
    """Counts from a JSON list of ``{picture, face: {masked, missed, …}, plate: {…}, false_masks}``.

    Raises:
        InvalidRequestError: It is none; the message names place and value.
    """
    try:
        return _sound(_COUNTS.validate_json(content))
    except ValidationError as error:
        raise InvalidRequestError(f"counts: {_first_of(error)}") from error


def counts_from_csv(content: bytes) -> list[PictureCount]:
    """Counts from CSV with the columns ``COLUMNS``, and ``SIDES`` where wanted.

    Raises:
        InvalidRequestError: A column is missing, unknown or no number; the message names line and value.
    """
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        names = list(rows.fieldnames or ())
        unknown = sorted(set(names) - {*COLUMNS, *SIDES}) + [n for n in names if names.count(n) > 1]
        if unknown or set(COLUMNS) - set(names):
            raise InvalidRequestError(
                f"counts have other columns (got {', '.join(names) or 'none'}; expected {', '.join(COLUMNS)})"
            )
        documents = [_row(line, row) for line, row in enumerate(rows, start=2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequestError(f"counts are no CSV in UTF-8: {error}") from error
    return counts_from_json(json.dumps(documents).encode())


def _row(line: int, row: Mapping[str | None, Any]) -> dict[str, Any]:
    def number(value: str | None, column: str) -> int:
        text = (value or "").strip()
        if not (text.isascii() and text.isdigit()):
            raise InvalidRequestError(
                f"counts: line {line}, {column} (got {text!r}, expected a whole number from 0 on)"
            )
        return int(text)

    if None in row:
        raise InvalidRequestError(f"counts: line {line} has more fields than there are columns")

    def kind(name: str) -> dict[str, Any]:
        sides = f"{name}_missed_px"
        counted = {each: number(row[f"{name}_{each}"], f"{name}_{each}") for each in _EACH}
        return {**counted, "missed_px": [number(side, sides) for side in (row.get(sides) or "").split()]}

    return {
        "picture": number(row["picture"], "picture"),
        "face": kind("faces"),
        "plate": kind("plates"),
        "false_masks": number(row["false_masks"], "false_masks"),
    }


_EACH = ("masked", "missed", "undecided")


def _sound(counts: list[PictureCount]) -> list[PictureCount]:
    numbers = Counter(each.picture for each in counts)
    if twice := [number for number, times in numbers.items() if times > 1]:
        raise InvalidRequestError(f"counts: a picture is named twice (got {twice[0]})")
    for each in counts:
        for kind in KINDS:
            of = each.of(kind)
            if len(of.missed_px) > of.misses:
                raise InvalidRequestError(
                    f"counts: picture {each.picture} states more sides than misses "
                    f"(got {len(of.missed_px)} of a {kind}, expected at most {of.misses})"
                )
    return counts


def require_sampled(counts: Iterable[PictureCount], sample: Sample) -> None:
    """Demand that counts are of pictures of the sample.

    Raises:
        InvalidRequestError: One is not.
    """
    for each in counts:
        if each.picture > len(sample.pictures):
            raise InvalidRequestError(
                f"counts: the sample has no such picture "
                f"(got {each.picture}, expected 1 to {len(sample.pictures)})"
            )


def record_payload(
    built: Built, sample: Sample, reviewer: str, counts: Iterable[PictureCount], signed_at: datetime
) -> dict[str, Any]:
    """What a reviewer signs: counts of pictures of this very sample of this very candidate."""
    return {
        "act": "quality.record",
        "counts": [count_document(each) for each in sorted(counts, key=lambda each: each.picture)],
        "digest": built.digest,
        "release": built.terms.release,
        "reviewer": reviewer,
        "sample": sample.digest,
        "signed_at": instant(signed_at),
    }


def count_document(count: PictureCount) -> dict[str, Any]:
    """JSON-ready form of a count."""
    document: dict[str, Any] = TypeAdapter(PictureCount).dump_python(count)
    return document


def verify_record(
    built: Built, sample: Sample, statement: str, person: PersonRow
) -> tuple[list[PictureCount], str]:
    """Verify signed counts.

    1. The signature is by the person's enrolled key. 2. The counts are well-formed, of pictures of the sample, and
    signed at a stated time. 3. The statement names that person, this candidate and this sample, and nothing else.

    Returns:
        The counts, and when they were signed.

    Raises:
        EvidenceError: Any step fails.
    """
    try:  # step 1
        payload = dict(verify_statement(statement, RECORD_TYPE, public_key_of(person.public_jwk)))
    except StatementError as error:
        raise EvidenceError(f"the record's signature is not that of {person.id!r}: {error}") from error
    try:  # step 2
        counts = counts_from_json(json.dumps(payload.get("counts")).encode())
        require_sampled(counts, sample)
        signed_at = datetime.fromisoformat(str(payload.get("signed_at")))
    except (InvalidRequestError, ValueError) as error:
        raise EvidenceError(f"the record is malformed: {error}") from error
    if signed_at.tzinfo is None:
        raise EvidenceError(f"the record is malformed: its time has no zone (got {payload['signed_at']!r})")
    expected = record_payload(built, sample, person.id, counts, signed_at)
    different = sorted(
        name for name in expected.keys() | payload.keys() if expected.get(name) != payload.get(name)
    )
    if different:  # step 3
        raise EvidenceError(f"the record is for other terms (different: {', '.join(different)})")
    return counts, instant(signed_at)


def record_context(release: str, digest: str) -> bytes:
    """What the sealed statement of a record is bound to."""
    return rfc8785.dumps({"digest": digest, "owner": release, "role": "quality-record"})


def _first_of(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in found["loc"]) or "the document"
    return f"{place}: {found['msg']} (got {str(found['input'])[:80]!r})"
