"""Treatment profiles: versioned sets of treatments and thresholds, read from YAML and known by their digest."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Literal

import rfc8785
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from anonymize.errors import ProfileError

_STRICT = ConfigDict(extra="forbid")
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0)]
_Count = Annotated[int, Field(gt=0)]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class MaskTreatment:
    """How one kind of object is masked.

    Attributes:
        mode: ``mean`` fills with the mean colour of the enlarged region, ``solid`` with mid grey, ``pixelate``
            leaves ``cells`` cells along the longer side, ``replace`` asks the installed replacement
            (``anonymize.media.replacement``), ``blur`` is a Gaussian and needs ``accept_inversion_risk``:
            it can be inverted (DESIGN.md §4, docs/images.md).
        region: ``object`` masks the enlarged box, ``figure`` the middle of a round sign, which stays a sign.
        shape: ``box``, or ``ellipse`` inscribed in a box that is enlarged so far that it covers the object's.
        enlarge: Share of the box's width and height added on each side before masking.
        threshold: Least confidence at which a detection is masked.
        smallest_px: Least height in pixels of the upright image at which objects must be looked for; scales
            and tiles of the detectors follow from it.
        cells: Cells along the longer side, for ``pixelate``.
        blur_share: Standard deviation of the Gaussian as a share of the region's shorter side, for ``blur``;
            plates were read through 0.5 (docs/images.md).
        accept_inversion_risk: The operator's explicit consent to ``blur``.
    """

    mode: Literal["mean", "solid", "pixelate", "blur", "replace"]
    enlarge: _Share
    threshold: _Share
    smallest_px: _Count = 12
    region: Literal["object", "figure"] = "object"
    shape: Literal["box", "ellipse"] = "box"
    cells: _Count = 3
    blur_share: Annotated[float, Field(ge=0.25, le=1.0)] = 1.0
    accept_inversion_risk: bool = False

    def __post_init__(self) -> None:
        if self.mode == "blur" and not self.accept_inversion_risk:
            raise ValueError("blur can be inverted (expected accept_inversion_risk: true beside mode: blur)")


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class TextMaskTreatment:
    """How legible text in images is masked; off unless the profile names it.

    Attributes:
        mask: How its boxes are masked.
        kinds: Which text is masked: ``phone``, ``address``, ``street_name``, or ``any`` for all of it.
    """

    mask: MaskTreatment
    kinds: Annotated[tuple[Literal["phone", "address", "street_name", "any"], ...], Field(min_length=1)]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class SectorProfile:
    """How far the zone test trusts what a vehicle says of its cameras, and its course (docs/zones.md, Cameras).

    Attributes:
        least_fov_deg: A camera that sees less to the sides, in degrees, is tested as if it saw so much.
        least_heading_error_deg: The direction of a camera, or of a LiDAR that a course tells, is never taken to be
            better known, to either side.
        least_speed_mps: A vehicle that is slower, in metres per second, may reverse: its course tells no heading.
    """

    least_fov_deg: Annotated[float, Field(gt=0.0, le=360.0)]
    least_heading_error_deg: Annotated[float, Field(ge=0.0, le=180.0)]
    least_speed_mps: _Positive


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class ImageProfile:
    """Limits and treatments of still images, and of the frames of videos.

    Attributes:
        min_side_px: Least width and height that is accepted.
        max_side_px: Largest width or height that is decoded (a decompression bomb is refused before decoding).
        max_pixels: Largest number of pixels that is decoded.
        jpeg_quality: Quality of the re-encoded JPEG (1-95).
        face: Treatment of faces.
        plate: Treatment of licence plates.
        residual_threshold: Least confidence at which the residual scan objects; a kind whose own threshold is
            greater counts from that one on.
        residual_coverage: Share of a residual detection's area that existing masks must cover for it to be
            regarded as the mask itself.
        max_passes: How often masking may be repeated on what the residual scan finds before the item stops.
        pose_error_m: Radius in metres around a frame's position that must be clear of restricted zones.
        view_distance_m: Distance in metres that a camera is taken to see, added to ``pose_error_m``.
        sectors: When only what a described camera looks at counts in the zone test, and when and how well the
            course of a vehicle tells where points of its LiDAR lie; null tests the whole disc about every camera,
            and the circle of every point where poses tell no heading.
        limit_sign: Treatment of height, weight, width and axle-load signs; null leaves them.
        text: Treatment of text in images; null leaves it. Needs the extra ``ocr``.
    """

    min_side_px: _Count
    max_side_px: _Count
    max_pixels: _Count
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]
    face: MaskTreatment
    plate: MaskTreatment
    residual_threshold: _Share
    residual_coverage: _Share
    max_passes: _Count
    pose_error_m: _Positive
    view_distance_m: _Positive
    sectors: SectorProfile | None = None
    limit_sign: MaskTreatment | None = None
    text: TextMaskTreatment | None = None


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class VideoProfile:
    """Limits and treatments of videos; frames are masked as ``ImageProfile`` says.

    Attributes:
        max_frames: Largest number of frames that is read.
        max_gap_s: A track that is lost for at most this many seconds is masked throughout the gap.
        margin_s: Seconds by which a mask precedes the first and follows the last sighting.
        segment_s: Seconds of a segment, the unit of resumption.
        codec: Codec of the output.
        crf: Constant rate factor of the output; smaller is better.
        max_bitrate_kbps: Greatest bit rate of the output over one second, in kbit/s; null for none.
        audio: ``drop``, or ``keep`` to copy the first audio stream.
    """

    max_frames: _Count
    max_gap_s: _Positive
    margin_s: Annotated[float, Field(ge=0.0)]
    segment_s: _Positive
    codec: Literal["h264", "hevc"]
    crf: Annotated[int, Field(ge=0, le=40)]
    max_bitrate_kbps: _Count | None
    audio: Literal["drop", "keep"]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class TrackProfile:
    """Limits of tracks and the parameters of both release modes (DESIGN.md §4, Coordinates).

    Attributes:
        max_points: Largest number of fixes that is read.
        local_clip_m: Greatest path length of a LOCAL clip in metres.
        local_gap_s: A pause longer than this many seconds starts a new clip.
        local_min_fixes: Clips with fewer fixes are dropped.
        offset_octaves: Lattice spacing in metres and displacement amplitude in metres of each octave.
        offset_constant_m: Range in metres of the constant displacement's length.
        offset_max_distance_error: Greatest relative distance error over 100 m that a release may show.
        offset_max_heading_error_deg: Greatest error of a direction over 100 m that a release may show.
        offset_max_strain: Greatest relative stretch of the displacement field anywhere on a release's positions.
        offset_min_shift_m: Least displacement in metres that each fix must show after the offset.
        trim_m: Range in metres of the keyed trim at both ends of every segment.
        keep_elevation: Whether elevations survive (rule 14; the public tier forbids).
    """

    max_points: _Count
    local_clip_m: _Positive
    local_gap_s: _Positive
    local_min_fixes: _Count
    offset_octaves: tuple[tuple[_Positive, _Positive], ...]
    offset_constant_m: tuple[_Positive, _Positive]
    offset_max_distance_error: _Share
    offset_max_heading_error_deg: _Positive
    offset_max_strain: _Share
    offset_min_shift_m: _Positive
    trim_m: tuple[_Positive, _Positive]
    keep_elevation: bool


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class PointProfile:
    """Limits of LiDAR sweeps.

    Attributes:
        max_points: Largest number of points that is read.
        max_range_m: Points farther than this from the sensor are dropped; also the reach of a sweep whose
            heading is unknown in the zone test.
        keep_every: Of the sweeps of one sensor every so many is released (点云抽帧); 1 releases all.
        keep_attributes: Per-point fields that survive beside x, y and z, as lower-case names; all others are
            dropped. ``*`` at the end of a name stands for any rest.
    """

    max_points: _Count
    max_range_m: _Positive
    keep_every: _Count
    keep_attributes: tuple[str, ...]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class AttributeRule:
    """What happens to one kind of attribute, or of feature, of a vector map (COMPLIANCE.md B1 to B4, B7).

    Attributes:
        keys: Names of attributes in lower case; ``*`` stands for any run of characters.
        values: Values of those attributes that are meant, ``*`` as above; any value where empty.
        action: ``null`` removes the attribute, ``drop`` the whole feature, ``review`` keeps both and puts the
            map before a person, ``keep`` exempts from later rules.
        tag: Tag of COMPLIANCE.md §2 that a hit gives the item; empty for none.
        source: The rule and clause.
        confidence: As in COMPLIANCE.md; ``m`` is shown as unverified.
    """

    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    action: Literal["null", "drop", "review", "keep"]
    source: str
    confidence: Literal["L", "L2", "M", "m"]
    values: tuple[str, ...] = ()
    tag: str = ""


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class MapProfile:
    """Limits and treatments of vector maps.

    Attributes:
        max_bytes: Largest map that is read.
        max_features: Largest number of features (OSM: nodes, ways and relations).
        keep_elevation: Whether third coordinates and elevation attributes survive.
        keep_untagged: Whether features that no rule names survive.
        attributes: Rules in order; the first that meets an attribute decides.
    """

    max_bytes: _Count
    max_features: _Count
    keep_elevation: bool
    keep_untagged: bool
    attributes: tuple[AttributeRule, ...]


ChannelTreatment = Literal[
    "keep", "drop", "quarantine", "image", "points", "position", "pose", "transform", "motion", "text", "can"
]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class ChannelRule:
    """What happens to the channels of a container whose schema and topic match.

    Attributes:
        schema: Name of the schema; ``*`` stands for any run of characters.
        topic: Topic, likewise.
        treat: ``keep`` passes messages on byte by byte; ``drop`` leaves them out; ``quarantine`` stops the
            container; ``image`` and ``points`` take the treatment of files; ``position`` (global fixes),
            ``pose`` and ``transform`` (frames) and ``motion`` (speed, acceleration, rates of turn) are cut
            against zones and transformed with the release; ``text`` is redacted; ``can`` takes the rules of
            CAN frames.
    """

    schema: str
    treat: ChannelTreatment
    topic: str = "*"


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class ContainerProfile:
    """Limits and treatments of containers of message streams (MCAP, ROS bags).

    Attributes:
        max_messages: Largest number of messages.
        max_message_bytes: Largest message.
        max_channels: Largest number of channels.
        chunk_bytes: Size of the chunks that are written, before compression.
        unknown_channel: What happens to channels that no rule names.
        map_frames: Frames in which poses are absolute (names as in tf); poses in others are relative.
        channels: Rules in order; the first that matches decides.
    """

    max_messages: _Count
    max_message_bytes: _Count
    max_channels: _Count
    chunk_bytes: _Count
    unknown_channel: Literal["drop", "quarantine"]
    map_frames: tuple[str, ...]
    channels: tuple[ChannelRule, ...]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class SignalRule:
    """What happens to the signals of CAN frames whose message and name match.

    Attributes:
        signal: Name of the signal in the DBC in lower case; ``*`` stands for any run of characters.
        treat: ``keep``, ``drop``, or ``motion`` for what rebuilds a path (speeds, rates of turn, steering).
        message: Name of the message, likewise.
    """

    signal: str
    treat: Literal["keep", "drop", "motion"]
    message: str = "*"


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class CanProfile:
    """Limits and treatments of CAN logs, decoded by the DBC that the operator installed.

    Attributes:
        max_frames: Largest number of frames.
        unknown_frame: What happens to frames that no DBC describes.
        unknown_signal: What happens to signals that no rule names.
        signals: Rules in order; the first that matches decides.
    """

    max_frames: _Count
    unknown_frame: Literal["drop", "quarantine"]
    unknown_signal: Literal["keep", "drop"]
    signals: tuple[SignalRule, ...]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class TextProfile:
    """Limits and treatments of text and JSON.

    Attributes:
        max_bytes: Largest text or JSON document that is read.
        max_depth: Deepest nesting of JSON that is read.
        threshold: Least analyzer score at which a span is redacted.
        json_allow: Keys of JSON objects that survive (their values are still redacted); all others are dropped.
    """

    max_bytes: _Count
    max_depth: _Count
    threshold: _Share
    json_allow: tuple[str, ...]


@validated(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Profile:
    """A complete set of treatments; ``name`` is what releases pin, together with its digest."""

    name: str
    version: int
    jurisdiction: Literal["CN", "EU"]
    images: ImageProfile
    videos: VideoProfile
    tracks: TrackProfile
    points: PointProfile
    maps: MapProfile
    containers: ContainerProfile
    can: CanProfile
    text: TextProfile
    max_expansion: Annotated[int, Field(gt=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedProfile:
    """A profile together with the SHA-256 of its RFC 8785 form; two profiles of one digest treat alike."""

    profile: Profile
    digest: str


def load_profile(content: bytes) -> PinnedProfile:
    """Read a profile from YAML.

    Raises:
        ProfileError: The YAML is malformed, a field is missing, unknown or outside its range.
    """
    try:
        document = yaml.safe_load(content)
        profile = TypeAdapter(Profile).validate_python(document)
    except (yaml.YAMLError, ValidationError) as error:
        raise ProfileError(f"profile is not valid: {error}") from error
    return PinnedProfile(profile=profile, digest=hashlib.sha256(rfc8785.dumps(document)).hexdigest())


def shipped_profile(name: str) -> PinnedProfile:
    """Load a profile that ships with Fleetgate, by name (``cn-2026``, ``gdpr``).

    Raises:
        ProfileError: There is no such profile.
    """
    source = resources.files("anonymize") / "profiles" / f"{name}.yaml"
    if not source.is_file():
        raise ProfileError(f"no such profile (got {name!r})")
    return load_profile(source.read_bytes())
