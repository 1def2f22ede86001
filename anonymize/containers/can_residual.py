"""Second look at frames of CAN in a treated container: with the scan of CAN logs, and a reader of its own."""

from dataclasses import replace

from anonymize.can.released import Seen
from anonymize.can.residual import ExpectedTimes, FrameScan
from anonymize.containers.rules import treatment_of
from anonymize.containers.stream import Container, Message
from anonymize.containers.wire import values_of
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.formats.track import Track
from anonymize.profile import Profile
from anonymize.residual import ResidualReport

_SCANNER = "container-can@1"
_BYTES = 8
_NS = 1e-9


def scan_can_frames(
    container: Container, *, dbc: bytes | None, profile: Profile, track: Track | None
) -> ResidualReport:
    """Hold every frame of every CAN topic against the DBC that it was treated with (``scan_can``, 2 to 6).

    Bytes behind a frame's length, the payload of a remote frame, and identifier and payload of an error frame
    must be 0. Times are looked at with those of all other messages (``scan_messages``).

    Args:
        container: The treated container.
        dbc: The DBC that the frames were treated with; None if there was none: then no frame may be left.
        profile: The profile that they were treated with.
        track: The true track, near which no payload may lie.

    Raises:
        MalformedItemError: A message cannot be read again.
        ProfileError: The DBC cannot be read.
    """
    topics = {
        channel.id: channel.topic
        for channel in container.summary.channels
        if container.summary.counts.get(channel.id, 0) and treatment_of(channel, profile.containers) == "can"
    }
    found: dict[str, list[Finding]] = {topic: [] for topic in topics.values()}
    scans: dict[int, FrameScan] = {}
    if dbc is None:
        for findings in found.values():
            findings.append(_finding(FindingKind.EMBEDDED_STREAM, "frames without a DBC"))
    else:
        scans = {
            number: FrameScan(dbc, profile.can, ExpectedTimes(mode="CLEANSED"), track) for number in topics
        }
    for message in container.messages() if scans else ():
        scan = scans.get(message.channel.id)
        if scan is not None:
            seen = _seen(message)
            if seen is None:
                scan.found(FindingKind.UNLISTED_FIELD, f"frame {scan.frames}", "not as frames are written")
            else:
                scan.take(seen)
    for number, scan in scans.items():
        scan.finish()
        found[topics[number]] += scan.findings
    return ResidualReport(
        scanners=(_SCANNER,),
        residual=tuple(
            replace(finding, where=FieldPath(path=f"{topic} {getattr(finding.where, 'path', '')}".rstrip()))
            for topic, findings in sorted(found.items())
            for finding in findings
        ),
        facts={"can_frames": sum(scan.frames for scan in scans.values())},
    )


def _seen(message: Message) -> Seen | None:
    """The frame of a message; None if anything stands where the frame has nothing."""
    schema = message.channel.schema
    values = values_of(
        message.data,
        message_encoding=message.channel.message_encoding,
        schema=schema.data if schema else b"",
        name=schema.name if schema else "",
    )
    # Headers of ROS 1 count: one number more.
    if len(values.numbers) not in {5, 6} or [len(blob) for blob in values.blobs] != [_BYTES]:
        return None
    identifier, remote, extended, error, length = (int(number) for number in values.numbers[-5:])
    content = values.blobs[0]
    if not 0 <= length <= _BYTES or any(content[0 if remote or error else length :]):
        return None
    if error and (identifier or extended or remote or length):
        return None
    return Seen(
        time_s=message.log_time_ns * _NS,
        id=identifier,
        extended=bool(extended),
        data=None if remote or error else content[:length],
        error=bool(error),
    )


def _finding(kind: FindingKind, label: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=""), confidence=1.0, detector=_SCANNER, label=label)
