import os
import subprocess
import sys
import textwrap
from pathlib import Path

_CHILD = """
    import importlib.util, io, resource, sys
    from dataclasses import replace
    spec = importlib.util.spec_from_file_location("kit", sys.argv[1])
    kit = importlib.util.module_from_spec(spec); spec.loader.exec_module(kit)
    from anonymize.media.video.cleansing import cleanse_video
    from anonymize.profile import shipped_profile
    content = kit.film(int(sys.argv[2]), size=(320, 240))
    profile = shipped_profile("cn-2026").profile
    profile = replace(profile, images=replace(profile.images, limit_sign=None))
    cleanse_video(io.BytesIO(content), detectors=[kit.MarkDetector()], profile=profile, checkpoint=kit.Saved())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    """A frame here is 0.34 MB decoded and in RGB: 160 more frames, if kept, would take more than 50 MB."""

    def peak(frames: int) -> int:
        kit = Path(__file__).with_name("conftest.py")
        command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(kit), str(frames)]
        done = subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        return int(done.stdout)

    assert peak(200) - peak(40) < 25
