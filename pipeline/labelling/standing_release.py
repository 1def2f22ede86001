"""A label set held against its release at the gate, and registered there."""

from dataclasses import replace

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.labelling.errors import LabelError
from pipeline.labelling.label_set import LabelSet


def confirm_label_set(labels: LabelSet, client: GatewayClient) -> None:
    """Ask the gate for the release of a label set, and hold the set against what the operator signed.

    1. The gate lets the release be read now, and its manifest verifies.
    2. The set names the digest of just this release.
    3. Every frame is an item of the release, with its digest.

    Raises:
        LabelError: Step 2 or 3 fails.
        RefusedError: The gate refuses: no live grant, or the release was revoked.
        PipelineError: It cannot be asked, or what arrives is not what was signed.
    """
    manifest = client.confirm(labels.lineage.release)  # 1
    if manifest.digest != labels.lineage.release_digest:  # 2
        raise LabelError(
            f"release {labels.lineage.release!r} (got digest {labels.lineage.release_digest}, expected "
            f"{manifest.digest})"
        )
    for frame in labels.frames.values():  # 3
        item = manifest.by_name.get(frame.item)
        if item is None or item.sha256 != frame.sha256:
            raise LabelError(
                f"frame {frame.item!r} (got digest {frame.sha256}, expected "
                f"{'an item of the release' if item is None else item.sha256})"
            )


def resting_on(labels: LabelSet, *artefacts: str | None) -> LabelSet:
    """The same labels, resting on these registered artefacts as well; ``None`` is none."""
    more = tuple(each for each in artefacts if each is not None)
    lineage = replace(labels.lineage, artefacts=(*labels.lineage.artefacts, *more))
    return replace(labels, lineage=lineage)


def label_artefact(labels: LabelSet, digest: str, name: str) -> DerivedArtefact:
    """A label set as an artefact to register; ``digest`` is that of its OpenLABEL document."""
    ontology = labels.ontology
    return DerivedArtefact(
        kind=ArtefactKind.LABEL_SET,
        name=name,
        sha256=digest,
        code=labels.lineage.code,
        parameters={
            "ontology": {"name": ontology.name, "version": ontology.version, "digest": ontology.digest}
        },
        releases=(labels.lineage.release,),
        items=tuple(sorted({frame.sha256 for frame in labels.frames.values()})),
        artefacts=labels.lineage.artefacts,
    )
