"""How well detectors find and cover what a labelled set shows; resumable, and the same on every machine."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import rfc8785
from pydantic import TypeAdapter, ValidationError

from anonymize.errors import MalformedItemError, ModelError
from anonymize.finding import FindingKind
from anonymize.media.detection import Detector, detector_set_digest
from anonymize.media.labelled import LabelledSet
from anonymize.media.masks import masked_kinds, treatment_of
from anonymize.media.observation import (
    MATCHING,
    Observation,
    Picture,
    SeenObject,
    identify_picture,
    observation_of,
    observe,
)
from anonymize.media.quality import DetectorUsed, KindQuality, Miss, Quality, Recall, proportion
from anonymize.profile import ImageProfile

COVERING = 0.75
SIDES: tuple[tuple[str, int, float], ...] = (
    ("<16", 0, 16),
    ("16-32", 16, 32),
    ("32-64", 32, 64),
    (">=64", 64, float("inf")),
)
"""Bins of the longer side in pixels: name, from, below."""

_LIGHTS = ("day", "dusk", "night")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        quality: The figures; they name no picture.
        misses: Labelled objects that were not found or not covered, for a person to look at. File names may
            be personal (sets of plates are named by their plates): misses stay where the set is.
    """

    quality: Quality
    misses: tuple[Miss, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"quality": quality_document(self.quality), "misses": [asdict(miss) for miss in self.misses]}


def quality_document(quality: Quality) -> dict[str, Any]:
    """JSON-ready form of the figures, as cards and the registry carry them."""
    document: dict[str, Any] = TypeAdapter(Quality).dump_python(quality, mode="json")
    return document


def evaluate(
    detectors: Sequence[Detector],
    images: LabelledSet,
    *,
    profile: ImageProfile,
    kinds: Sequence[FindingKind] | None = None,
    state: Path | None = None,
    progress: Progress | None = None,
    measured_on: date | None = None,
) -> Evaluation:
    """Run detectors over a labelled set and measure what they find and what the profile's masks cover.

    Detectors take the masking look once, at the profile's thresholds; what a residual look would add is not in
    the figures. A detection counts for labels of its own kind only, and so do masks.

    Args:
        detectors: All that would look together; those that find none of ``kinds`` are not run.
        images: The set.
        profile: Thresholds and masks.
        kinds: Kinds to measure; by default those that are labelled, masked by the profile and detected.
        state: JSONL file that a later call with the same detectors, profile and kinds resumes from.
        progress: Called with the number of pictures done and of all.
        measured_on: Date to state; by default today, UTC.

    Raises:
        MalformedItemError: A picture or label is malformed, or ``state`` is of another evaluation.
        ModelError: No detector finds one of the kinds, or one fails.
        ProfileError: The profile masks one of the kinds not.
    """
    chosen = _chosen_kinds(detectors, images, profile, kinds)
    looking = [d for d in detectors if d.kinds & set(chosen)]
    treatments = {k.value: asdict(treatment_of(k, profile)) for k in chosen}
    treatment = hashlib.sha256(rfc8785.dumps(treatments)).hexdigest()
    run = _run_key(looking, treatment)
    pictures = [identify_picture(image) for image in images.images]
    observed = []
    for picture, observation in _observed(pictures, _resumed(state, run)):
        seen = observation or observe(picture, looking, profile=profile, kinds=chosen)
        if observation is None and state is not None:
            _append(state, seen.as_dict())
        observed.append(seen)
        if progress is not None:
            progress(len(observed), len(pictures))
    quality = Quality(
        dataset=images.name,
        dataset_digest=_dataset_digest(observed),
        format=images.format,
        images=len(observed),
        absent=len(images.absent),
        labels_complete=images.complete,
        detectors=tuple(
            DetectorUsed(name=d.name, sha256=d.digest, runtime=d.runtime)
            for d in sorted(looking, key=lambda d: d.name)
        ),
        detector_set_digest=detector_set_digest(detectors),
        treatment_digest=treatment,
        measured_on=(measured_on or datetime.now(UTC).date()).isoformat(),
        kinds=tuple(_kind_quality(kind, observed) for kind in chosen),
    )
    return Evaluation(quality=quality, misses=tuple(_misses(observed)))


def _chosen_kinds(
    detectors: Sequence[Detector],
    images: LabelledSet,
    profile: ImageProfile,
    kinds: Sequence[FindingKind] | None,
) -> tuple[FindingKind, ...]:
    detected = frozenset(kind for d in detectors for kind in d.kinds)
    if kinds is None:
        labelled = {b.kind for i in images.images for b in i.boxes if b.kind is not None and not b.ignore}
        kinds = sorted(labelled & detected & masked_kinds(profile))
    if not kinds or not set(kinds) <= detected:
        raise ModelError(
            f"no detector for what is to be measured (got {sorted(detected)}, expected {sorted(kinds) or 'some'})"
        )
    return tuple(sorted(set(kinds)))


def _run_key(detectors: Sequence[Detector], treatment: str) -> str:
    runtimes = sorted(f"{d.name} {d.runtime}" for d in detectors)
    parts = ["fleetgate-evaluation-1", detector_set_digest(detectors), treatment, *runtimes]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _observed(
    pictures: Sequence[Picture], known: Mapping[str, Observation]
) -> Iterator[tuple[Picture, Observation | None]]:
    """Each picture with what an earlier run saw, if neither the file nor its labels have changed since."""
    for picture in pictures:
        earlier = known.get(picture.image.name)
        same = earlier is not None and (earlier.content, earlier.labels) == (picture.content, picture.labels)
        yield picture, earlier if same else None


def _resumed(state: Path | None, run: str) -> dict[str, Observation]:
    """Observations of an earlier run; a last line that was cut off is dropped and written anew."""
    if state is None:
        return {}
    if not state.is_file() or not (text := state.read_text(encoding="utf-8")):
        _append(state, {"run": run})
        return {}
    lines = text.split("\n")
    if lines.pop():
        state.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if not lines:
            _append(state, {"run": run})
            return {}
    try:
        found = json.loads(lines[0]).get("run")
        if found != run:
            raise MalformedItemError(
                f"{state.name} is the state of another evaluation (got {found!r}, expected {run!r})"
            )
        observations = [observation_of(json.loads(line)) for line in lines[1:]]
    except (ValueError, AttributeError, ValidationError) as error:
        raise MalformedItemError(f"{state.name} is no state of an evaluation: {error}") from error
    return {o.file: o for o in observations}


def _append(state: Path, document: Mapping[str, Any]) -> None:
    with state.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(document, ensure_ascii=False) + "\n")


def _dataset_digest(observed: Sequence[Observation]) -> str:
    lines = sorted(f"{o.file} {o.content} {o.labels}" for o in observed)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _kind_quality(kind: FindingKind, observed: Sequence[Observation]) -> KindQuality:
    seen = [(o.light, each) for o in observed for each in o.objects if each.kind is kind]
    by_side = {name: [s for _, s in seen if low <= s.side < high] for name, low, high in SIDES}
    by_light = {light: [s for shown, s in seen if shown == light] for light in _LIGHTS}
    return KindQuality(
        kind=kind,
        all=_recall([s for _, s in seen]),
        by_side={name: _recall(objects) for name, objects in by_side.items()},
        by_light={light: _recall(objects) for light, objects in by_light.items()},  # type: ignore[misc]
        detections_per_image=round(sum(o.detections[kind] for o in observed) / len(observed), 3),
        false_positives_per_image=round(sum(o.unmatched[kind] for o in observed) / len(observed), 3),
    )


def _recall(objects: Sequence[SeenObject]) -> Recall:
    area = sum(o.area for o in objects)
    return Recall(
        found=proportion(sum(o.overlap >= MATCHING for o in objects), len(objects)),
        covered=proportion(sum(o.covered >= COVERING for o in objects), len(objects)),
        pixels=round(sum(o.covered * o.area for o in objects) / area, 4) if area else None,
    )


def _misses(observed: Sequence[Observation]) -> Iterator[Miss]:
    for observation in observed:
        for each in observation.objects:
            if each.overlap < MATCHING or each.covered < COVERING:
                yield Miss(
                    file=observation.file,
                    kind=each.kind,
                    box=each.box,
                    side=each.side,
                    light=observation.light,
                    overlap=round(each.overlap, 4),
                    covered=round(each.covered, 4),
                )
