"""Frames of CAN buses in containers (``can_msgs/Frame``), treated as those of CAN logs are.

All topics of a container take the rules of one DBC (``anonymize.can.rules``); read-outs that span frames are
followed on each topic by itself.
"""

from typing import Any, NamedTuple

import numpy as np

from anonymize.can.database import load_database
from anonymize.can.evidence import Tally as FrameTally
from anonymize.can.evidence import findings_of, treatments_of
from anonymize.can.frame import CLASSIC_BYTES, MAX_EXTENDED_ID, MAX_STANDARD_ID, Frame
from anonymize.can.rules import Fate, FrameRules
from anonymize.containers.container_pass import Tally
from anonymize.containers.stream import Message
from anonymize.containers.tree import Fields
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.finding import FindingKind, TreatmentKind
from anonymize.profile import CanProfile

_MOST_IDS = 10_000
_MEMBERS = frozenset({"id", "is_rtr", "is_extended", "is_error", "dlc", "data"})


class Judged(NamedTuple):
    """A frame outside of zones: what becomes of it, the message as it came and, unless it goes, as it stays."""

    fate: Fate
    before: Fields
    after: Fields | None


class CanFrames:
    """The rules over all CAN topics of one container, frame by frame in its order, and what they counted."""

    def __init__(self, dbc: bytes, profile: CanProfile) -> None:
        """Read the DBC.

        Raises:
            ProfileError: It cannot be read.
        """
        self._rules = FrameRules(load_database(dbc), profile)
        self._profile = profile
        self._tally = FrameTally()
        self._seen = self._cleared = 0

    def judge(self, message: Message, fields: Fields) -> Judged:
        """What becomes of a frame outside of zones; every frame is to be judged, in the order of the container.

        A frame in which nothing changes gives ``fields`` itself. Bytes of ``data`` that the frame did not have,
        and identifier and payload of an error frame, become 0.

        Raises:
            MalformedItemError: The message is no frame of classic CAN.
            LimitExceededError: There are more frames than the profile permits.
        """
        self._seen += 1
        if self._seen > self._profile.max_frames:
            raise LimitExceededError(
                f"the container has too many CAN frames (expected at most {self._profile.max_frames})"
            )
        fate, kept = self._rules.treat(_frame(message, fields))
        return Judged(fate, fields, None if kept is None else _with(fields, kept))

    def take(self, judged: Judged) -> Fields | None:
        """Count a frame that no zone took; the message as it stays, None where it goes.

        Raises:
            UnknownFormatError: The DBC does not describe the frame, and the profile quarantines such frames.
        """
        fate, before, after = judged
        if fate is Fate.UNKNOWN:
            if self._profile.unknown_frame == "quarantine":
                raise UnknownFormatError(f"the DBC does not describe a frame (got {int(before['id']):#x})")
            if len(self._tally.unknown) < _MOST_IDS:
                self._tally.unknown.add(int(before["id"]))
        self._tally.fates[fate] += 1
        self._cleared += fate is Fate.KEPT and after is not before
        return after

    def tell(self, tally: Tally) -> dict[str, Any]:
        """Add findings and treatments to the container's; JSON-ready measures, empty without any frame."""
        if not self._seen:
            return {}
        plans, fates = self._rules.plans(), self._tally.fates
        found = findings_of(self._tally, plans)
        for finding in found:
            path = getattr(finding.where, "path", "frames")
            tally.found(finding.kind, path, label=finding.label, detector=finding.detector)
        for treatment in treatments_of(self._tally):
            tally.done(treatment.kind, treatment.of, treatment.count, **treatment.parameters)
        # Policy asks whether elevations were removed (rule 14): those of dropped signals are raw 0.
        if elevations := sum(finding.kind is FindingKind.ELEVATION for finding in found):
            tally.done(TreatmentKind.REDACT, FindingKind.ELEVATION, elevations, raw_value=0)
        if self._cleared:
            tally.done(TreatmentKind.REDACT, FindingKind.UNLISTED_FIELD, self._cleared, raw_value=0)
        return {
            "can": {
                "frames": self._seen,
                "left": fates[Fate.KEPT] + fates[Fate.REDACTED],
                "fates": {fate.value: count for fate, count in sorted(fates.items())},
                "unknown_ids": len(self._tally.unknown),
                "signals": {t: sum(p.treat == t for p in plans) for t in ("keep", "drop", "motion")},
            }
        }


def _frame(message: Message, fields: Fields) -> Frame:
    if not fields.keys() >= _MEMBERS:
        raise MalformedItemError(
            f"a message is no CAN frame (got {sorted(fields)[:8]}, expected {sorted(_MEMBERS)})"
        )
    identifier, length, error = int(fields["id"]), int(fields["dlc"]), bool(fields["is_error"])
    extended, remote = bool(fields["is_extended"]), bool(fields["is_rtr"])
    content = bytes(fields["data"])
    if len(content) != CLASSIC_BYTES or not 0 <= length <= CLASSIC_BYTES:
        raise MalformedItemError(
            f"a CAN frame has a length of its own (got {length} of {len(content)} bytes, "
            f"expected at most {CLASSIC_BYTES})"
        )
    if error:
        return Frame(message.log_time_ns, message.channel.id, 0, False, b"", 0, error=True)  # noqa: FBT003
    most = MAX_EXTENDED_ID if extended else MAX_STANDARD_ID
    if not 0 <= identifier <= most:
        raise MalformedItemError(
            f"a CAN frame has an impossible identifier (got {identifier:#x}, expected at most {most:#x})"
        )
    return Frame(
        time_ns=message.log_time_ns,
        channel=message.channel.id,
        id=identifier,
        extended=extended,
        data=b"" if remote else content[:length],
        length=length,
        remote=remote,
    )


def _with(fields: Fields, frame: Frame) -> Fields:
    values = {
        "id": frame.id,
        "is_extended": frame.extended,
        "is_rtr": frame.remote,
        "dlc": frame.length,
    }
    content = frame.data.ljust(CLASSIC_BYTES, b"\0")
    if content == bytes(fields["data"]) and all(fields[name] == value for name, value in values.items()):
        return fields
    return {**fields, **values, "data": np.frombuffer(content, np.uint8)}
