"""What scenarios rest on, asked of the gate before they are used; what comes of them is registered there first.

A scenario that names no release, tables that never came from a gate, and what is made of them are the user's own:
no gate is asked and nothing is registered.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rfc8785

from pipeline.artefacts import ArtefactKind, DerivedArtefact, UseKind
from pipeline.client import GatewayClient
from pipeline.errors import UnregisteredError
from pipeline.publishing import known_as, publish, publish_files, require_standing
from pipeline.simulation.derive import Observed
from pipeline.simulation.scenario_file import read_scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a result rests on, and the gate that is to know it.

    Attributes:
        client: Connection to the gate.
        releases: Releases that are named: by the scenario, or by sealed tables.
        artefacts: Registered artefacts that are used: scenario, tables, files.
    """

    client: GatewayClient
    releases: tuple[str, ...]
    artefacts: tuple[str, ...]

    def publish(self, path: Path, content: bytes, kind: ArtefactKind, parameters: Mapping[str, Any]) -> str:
        """Register a file that was made and put it in place; returns its id at the gate.

        Raises:
            UnregisteredError: The gate does not register it; it is kept sealed.
            PublishingError: It cannot be written.
        """
        return publish(path, content, self._derived(kind, path.name, parameters), self.client)

    def publish_files(
        self, folder: Path, files: Mapping[str, bytes], kind: ArtefactKind, parameters: Mapping[str, Any]
    ) -> str:
        """Register files of a folder as one artefact, and put them in place; returns its id at the gate.

        Raises:
            RefusedError, UnreachableError: The gate does not register them; none is there.
            PublishingError: One cannot be written.
        """
        return publish_files(folder, files, self._derived(kind, folder.name, parameters), self.client)

    def register(self, name: str, answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Register an answer, before it is shown, by the digest of its RFC 8785 form; the answer with its id.

        Numbers that JSON does not have are null in it.

        Raises:
            RefusedError, UnreachableError: The gate does not register it: it may not be shown.
        """
        said = _finite(json.loads(json.dumps(dict(answer))))
        digest = sha256(rfc8785.dumps(said)).hexdigest()
        artefact = self._derived(ArtefactKind.DATA_SET, name, parameters, digest)
        return {**said, "artefact": self.client.register(artefact), "sha256": digest}

    def _derived(
        self, kind: ArtefactKind, name: str, parameters: Mapping[str, Any], digest: str = ""
    ) -> DerivedArtefact:
        return DerivedArtefact(
            kind=kind,
            name=name,
            sha256=digest,
            code=f"fleetgate {version('fleetgate')}",
            parameters=dict(parameters),
            releases=self.releases,
            artefacts=self.artefacts,
        )


@contextmanager
def standing(
    scenario: Path,
    connect: Callable[[], GatewayClient],
    use: str,
    *,
    tables: Sequence[Observed | None] = (),
    made_of_it: Sequence[Path] = (),
    own: Sequence[Path | None] = (),
) -> Iterator[Grounds | None]:
    """What a command rests on, for as long as it runs; ``None`` where all of it is the user's own.

    1. A scenario that names releases is the registered one, and stands at the gate.
    2. So is every file that was made of it, and every other one that was registered.
    3. Sealed tables are registered; the gate was asked for them as they were read.
    4. The use of the scenario's releases is reported: the gate asks for live grants on them.

    Args:
        scenario: The scenario's file.
        connect: Opens a connection to the gate, which is closed in the end; not called where nothing rests on
            a release.
        use: What is done, for the report.
        tables: Sealed tables and own ones, as they were read.
        made_of_it: Files that are used and were made of the scenario, such as its concrete ones.
        own: Tables that are said to be the user's own.

    Raises:
        ScenarioError: The scenario is none.
        UnregisteredError: Step 1, 2 or 3 fails: the gate does not know a file.
        RevokedArtefactError: Step 1 or 2: a release below it was revoked.
        RefusedError: Step 4: there is no live grant on a release.
        PipelineError: The gate cannot be asked.
    """
    read = read_scenario(scenario)
    sealed = [each.about for each in tables if each is not None and each.about is not None]
    rests = bool(read.sources or read.artefacts)
    known = [path for path in (*made_of_it, *own) if path is not None and known_as(path)]
    if not (rests or sealed or known):
        yield None
        return
    with connect() as client:
        artefacts = [require_standing(scenario, client)] if rests or known_as(scenario) else []  # 1
        used = dict.fromkeys((*made_of_it, *known) if rests else known)
        artefacts += [require_standing(path, client) for path in used]  # 2
        for about in sealed:  # 3
            if about.artefact is None:
                raise UnregisteredError(f"the table of {about.kind} is not registered at the gate")
            artefacts.append(about.artefact)
        releases = {each["release"] for each in read.sources}
        if releases:  # 4
            stated = {"scenario": sha256(scenario.read_bytes()).hexdigest(), "use": use}
            client.report_use(UseKind.SIMULATE, sorted(releases), stated)
        releases |= {part.release for about in sealed for part in about.parts}
        yield Grounds(
            client=client, releases=tuple(sorted(releases)), artefacts=tuple(dict.fromkeys(artefacts))
        )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
