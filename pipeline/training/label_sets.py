"""Label sets as labels to train on, held against their release, known to the gate. Needs the extra ``label``."""

from collections.abc import Collection

from pipeline.client import GatewayClient
from pipeline.labelling.geometry import BoundingBox
from pipeline.labelling.label_set import LabelSet, ReviewState
from pipeline.labelling.ontology import LabelOntology
from pipeline.labelling.openlabel import openlabel_digest, read_openlabel
from pipeline.labelling.standing_release import confirm_label_set, label_artefact
from pipeline.training.errors import LabelFileError, ReleaseEndedError
from pipeline.training.labels import Box, LabelFile, PictureLabels


def read_label_set(
    content: bytes, ontology: LabelOntology, classes: Collection[str] | None = None
) -> tuple[LabelSet, LabelFile]:
    """A label set (OpenLABEL), and its boxes as labels to train on.

    Raises:
        OpenLabelError: It is no document of a label set.
        LabelOntologyError: It is of another ontology.
        LabelError: A label is none.
        LabelFileError: It has no box, or one of a class that is not known.
    """
    found = read_openlabel(content, ontology)
    return found, boxes_of(found, openlabel_digest(content), classes)


def parent_of_training(
    labels: LabelSet, digest: str, client: GatewayClient, *, name: str, artefact: str | None = None
) -> str:
    """The id of the label set at the gate, under which trainings name it as parent.

    1. Its release may be read now and is the one that the set names; every frame is an item of it.
    2. Where an id is given, the artefact stands; else the set is registered now.

    Args:
        labels: The set.
        digest: SHA-256 of its OpenLABEL document.
        client: Connection to the gate.
        name: What people call it, where it is registered now.
        artefact: Its id, where it was registered before.

    Raises:
        LabelError: Step 1: the set is not of that release.
        ReleaseEndedError: Step 2: the artefact rests on a revoked release.
        PipelineError: The gate refuses or cannot be asked.
    """
    confirm_label_set(labels, client)  # 1
    if artefact is None:  # 2
        return client.register(label_artefact(labels, digest, name))
    standing = client.standing(artefact)
    if standing.revoked:
        raise ReleaseEndedError(
            f"label set {artefact} rests on revoked releases {sorted(standing.revoked_releases)}"
        )
    return artefact


def boxes_of(labels: LabelSet, digest: str, classes: Collection[str] | None = None) -> LabelFile:
    """The boxes of a label set as labels to train on; pictures go by release and item, as ``release/item``.

    Labels that a reviewer rejected are no labels; interpolated ones are. A frame without boxes is an example of
    none. Polygons and cuboids are not taken: shards keep boxes.

    Args:
        labels: The set.
        digest: SHA-256 of its OpenLABEL document.
        classes: Classes that are known; by default those of its ontology.

    Raises:
        LabelFileError: It has a box of a class that is not known, or no box at all.
    """
    known = set(labels.ontology.classes if classes is None else classes)
    boxes: dict[str, list[Box]] = {item: [] for item in labels.frames}
    for each in labels.labels.values():
        if not isinstance(each.geometry, BoundingBox) or each.review is ReviewState.REJECTED:
            continue
        name, shape = labels.class_of(each), each.geometry
        if name not in known:
            raise LabelFileError(f"classes (got {name!r}, expected of {sorted(known)})")
        boxes[each.item].append(Box(label=name, x=shape.x, y=shape.y, width=shape.width, height=shape.height))
    if not any(boxes.values()):
        raise LabelFileError(f"boxes of the label set (got none in {len(boxes)} frames, expected at least 1)")
    return LabelFile(
        sha256=digest,
        classes=tuple(sorted(known)),
        pictures={
            f"{labels.lineage.release}/{item}": PictureLabels(
                width=labels.frames[item].width, height=labels.frames[item].height, boxes=tuple(found)
            )
            for item, found in boxes.items()
        },
    )
