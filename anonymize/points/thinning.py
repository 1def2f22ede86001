"""Frame thinning (点云抽帧): of the sweeps of one sensor, every so many is released."""

from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.profile import PointProfile


def first_kept(*, key: bytes, sensor: bytes, profile: PointProfile) -> int:
    """Index of the first sweep of a sensor that is kept, 0 to ``keep_every`` - 1, drawn from the release's key.

    Args:
        key: The release's key, 32 bytes.
        sensor: Names recording and sensor within the release.
        profile: ``keep_every``.

    Raises:
        ProfileError: The key has another length.
    """
    draw = float(uniform(subkey(require_key(key), "sweeps", sensor), "first", 1)[0])
    return int(draw * profile.keep_every)


def keep_sweep(index: int, *, key: bytes, sensor: bytes, profile: PointProfile) -> bool:
    """Whether a sweep is released.

    Args:
        index: Its place in the order in which the sensor took its sweeps, from 0.
        key: The release's key, 32 bytes.
        sensor: Names recording and sensor within the release.
        profile: ``keep_every``; 1 keeps all.

    Raises:
        ProfileError: The key has another length.
    """
    return index % profile.keep_every == first_kept(key=key, sensor=sensor, profile=profile)
