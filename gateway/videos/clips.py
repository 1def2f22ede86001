"""The part of a treated video that lies within one clip, or one kept span, of a release."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rfc8785

from anonymize.errors import OutsideReleaseError
from anonymize.geo.clips import ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.media.video.fragment_cut import Fragment
from anonymize.media.video.plan import MaskPlan


def fragments_within(
    fragments: Sequence[Fragment], plan: ClipPlan | OffsetPlan, captured: float
) -> tuple[Fragment, ...]:
    """The fragments that lie wholly in that clip, or kept span, which holds most frames of whole fragments.

    Args:
        fragments: Of the treated video.
        plan: The clips or kept spans of the recording.
        captured: POSIX seconds at which the original's first frame was taken.

    Raises:
        OutsideReleaseError: No fragment lies wholly in one.
    """
    number_of = plan.clip_of if isinstance(plan, ClipPlan) else plan.span_of
    numbers = []
    for fragment in fragments:
        of_frames = np.unique(number_of(captured + np.array(fragment.times_s)))
        numbers.append(int(of_frames[0]) if len(of_frames) == 1 else -1)
    frames = Counter[int]()
    for fragment, number in zip(fragments, numbers, strict=True):
        if number >= 0:
            frames[number] += len(fragment.ticks)
    if not frames:
        raise OutsideReleaseError("no fragment of the video lies within one clip or kept span (got 0)")
    chosen = min(frames, key=lambda number: (-frames[number], number))
    return tuple(f for f, number in zip(fragments, numbers, strict=True) if number == chosen)


def masks_within(fragments: Sequence[Fragment], kept: Sequence[Fragment]) -> Callable[[bytes], bytes]:
    """What makes the mask file of some fragments of that of all; frames are numbered as they leave."""
    frames: list[int] = []
    begin, stay = 0, {fragment.moof.start for fragment in kept}
    for fragment in fragments:
        end = begin + len(fragment.ticks)
        frames += range(begin, end) if fragment.moof.start in stay else ()
        begin = end

    def only_those(content: bytes) -> bytes:
        document: dict[str, Any] = json.loads(content)
        return rfc8785.dumps(MaskPlan.from_dict(document).only(frames).as_dict())

    return only_those
