"""Messages that an outline decides about: they go on as they are, or lie in a zone. All others need their tree."""

from dataclasses import dataclass
from math import isfinite

from anonymize.containers.clear_disc import ClearFixes, ClearPlaces
from anonymize.containers.clear_times import ClearTimes, Verdict
from anonymize.containers.codec import Codec
from anonymize.containers.frames import Frames, is_static
from anonymize.containers.messages.text import Redaction
from anonymize.containers.outline import Outline
from anonymize.containers.stream import Message
from anonymize.geo.zones import ZoneSet
from anonymize.profile import ChannelTreatment

_HOUR_NS = 3_600_000_000_000
_BY_TREE: frozenset[ChannelTreatment] = frozenset({"image", "points", "can"})


@dataclass(slots=True, kw_only=True, eq=False)
class PosesClear:
    """Whether poses lie where no zone is.

    Attributes:
        frames: Where frames lie on the ground.
        places: The zones; None where there are none, or nothing lies on the ground.
    """

    frames: Frames
    places: ClearPlaces | None

    @classmethod
    def of(cls, zones: ZoneSet | None, frames: Frames) -> "PosesClear":
        """Take the zones of the operator."""
        tested = zones is not None and not zones.empty and frames.aligned
        return cls(frames=frames, places=ClearPlaces(zones) if zones is not None and tested else None)

    def clear(self, frame: str, x_m: float, y_m: float, z_m: float) -> bool:
        """Whether a place in a frame is in no zone; true where the frame does not lie on the ground."""
        alignment = self.frames.aligned.get(frame)
        if self.places is None or alignment is None:
            return True
        if not (isfinite(x_m) and isfinite(y_m) and isfinite(z_m)):
            return True
        return self.places.clear(frame, alignment, x_m, y_m)


@dataclass(slots=True, kw_only=True, eq=False)
class Glances:
    """Decides about messages by their outlines as their trees would be decided about."""

    clear: ClearTimes
    poses: PosesClear
    map_frames: frozenset[str]
    redaction: Redaction
    fixes: ClearFixes | None

    def verdict(
        self, message: Message, treatment: ChannelTreatment, codec: Codec
    ) -> tuple[Verdict, tuple[str, ...]] | None:
        """What becomes of a message: clear ones go on byte by byte; others lie in zones of these kinds.

        None where something in it may have to change, or its outline is not known.
        """
        outline = None if treatment in _BY_TREE else codec.outline(message.data)
        if outline is None:
            return None
        verdict: Verdict = Verdict.CLEAR
        kinds: tuple[str, ...] = ()
        if treatment == "transform" and is_static(message.channel.topic):
            stays = self._mounts(outline, codec)
        else:
            verdict, kinds = self.clear.verdict(times_of(message, outline.moments), view=False)
            stays = verdict is not Verdict.CLEAR or self._places(outline, treatment, codec)
        if verdict is Verdict.CLEAR and stays:
            stays = all(map(self.redaction.keeps, outline.texts))
        return (verdict, kinds) if stays else None

    def _places(self, outline: Outline, treatment: ChannelTreatment, codec: Codec) -> bool:
        """Whether what a message places lies in no zone."""
        if treatment == "position" and self.fixes is not None:
            return outline.fix is not None and self.fixes.clear(*outline.fix)
        if treatment == "pose" and self.poses.places is not None:
            if outline.placed is None or codec.tells_edges:
                return False
            return all(self.poses.clear(pose.frame, *pose.values[:3]) for pose in outline.placed)
        return True

    def _mounts(self, outline: Outline, codec: Codec) -> bool:
        """Whether all edges of a message of static ones are of sensors, none of the map."""
        if not outline.placed or not codec.tells_edges:
            return False
        return not any({edge.frame, edge.child} & self.map_frames for edge in outline.placed)


def times_of(message: Message, moments: list[int]) -> list[int]:
    """The times of a message: of the log, and those of its own that are of the same clock."""
    log = message.log_time_ns
    return [log, *(t for t in (message.publish_time_ns, *moments) if abs(t - log) <= _HOUR_NS)]
