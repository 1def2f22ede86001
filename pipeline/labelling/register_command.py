"""``fleetgate label register``: a label set with all that it rests on, at the gate."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.connecting import (
    JsonOption,
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.labelling.commands import (
    LabelSetArgument,
    OntologyOption,
    label_set_of,
    ontology_of,
    say,
    told,
)
from pipeline.publishing import known_as, note_registered, require_live, require_standing


def register(  # noqa: PLR0913, PLR0917 - each argument is a command-line option
    labels: LabelSetArgument,
    name: Annotated[str, typer.Option(help="What people call the label set.")],
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    artefact: Annotated[
        list[str] | None,
        typer.Option(
            help="Id at the gate of what it rests on, such as the label set of its closed task; repeat for more."
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Registered model file that labelled before people did; repeat for more."),
    ] = None,
    ontology: OntologyOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Register a label set at the gate, so that revoking its release marks it; models can then name it as parent.

    Its own parents are the artefacts that the set names, such as models of `label prelabel`, and those given here;
    each must stand. The id lies beside the file, in NAME.artefact.json; a file that has one, such as the export of
    a closed task, keeps it unless parents are given.

    Exit status: 0 registered, 1 refused, unreachable, a parent does not stand, or the set is not of that release,
    2 wrong usage.
    """
    client, _ = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with told(as_json=as_json), client:
        from pipeline.labelling.standing_release import (  # noqa: PLC0415 - an extra
            confirm_label_set,
            label_artefact,
            resting_on,
        )

        found, digest = label_set_of(labels, ontology_of(ontology))
        confirm_label_set(found, client)
        found = resting_on(
            found, *(artefact or ()), *(require_standing(path, client) for path in model or ())
        )
        for parent in found.lineage.artefacts:
            require_live(parent, f"a parent of {labels.name}", client)
        registered = known_as(labels).get(digest)
        if registered is None or artefact or model:
            registered = client.register(label_artefact(found, digest, name))
            note_registered(labels, digest, registered)
        require_live(registered, labels.name, client)
        answer = {
            "artefact": registered,
            "name": name,
            "digest": digest,
            "release": found.lineage.release,
            "artefacts": list(found.lineage.artefacts),
        }
        say(answer, f"{name}: registered as {registered}, sha256 {digest}", as_json=as_json)
