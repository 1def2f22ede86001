"""Reading and writing label sets in other formats, all or nothing."""

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from pipeline.errors import DestinationError
from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.exchange.coco import read_coco, write_coco
from pipeline.labelling.exchange.foreign import Exported, ForeignLabel, with_foreign
from pipeline.labelling.exchange.nuscenes import read_nuscenes, write_nuscenes
from pipeline.labelling.exchange.voc import read_voc, write_voc
from pipeline.labelling.exchange.yolo import read_yolo, write_yolo
from pipeline.labelling.label_set import LabelSet

DEFAULT_FRAME: Final = "local"
MAX_FILE_BYTES: Final = 1024 * 1024 * 1024


class ExchangeFormat(StrEnum):
    """Formats other than OpenLABEL."""

    COCO = "coco"
    YOLO = "yolo"
    VOC = "voc"
    NUSCENES = "nuscenes"


_ENDINGS: Final = {
    ExchangeFormat.COCO: (".json",),
    ExchangeFormat.YOLO: (".txt", ".yaml"),
    ExchangeFormat.VOC: (".xml",),
    ExchangeFormat.NUSCENES: (".json",),
}


def import_labels(
    kind: ExchangeFormat,
    files: Mapping[str, bytes],
    base: LabelSet,
    *,
    source: str,
    class_map: ClassMap,
    frame: str = DEFAULT_FRAME,
) -> LabelSet:
    """A label set with the labels of files as well, all of them or none.

    Args:
        kind: The format.
        files: Content by path, as ``read_files`` gives it.
        base: The set whose frames are labelled.
        source: Of the labels: ``person:ID`` or ``model@sha256:DIGEST``.
        class_map: What classes and attributes are called there.
        frame: Name of the frame of reference of cuboids.

    Raises:
        ExchangeError: A file is malformed, names pictures that the set does not have or of another size, classes
            or attributes that the ontology does not have, or there is no label; the message names place and value.
    """
    found: Iterable[ForeignLabel]
    match kind:
        case ExchangeFormat.COCO:
            found = read_coco(files, base)
        case ExchangeFormat.YOLO:
            found = read_yolo(files, base)
        case ExchangeFormat.VOC:
            found = read_voc(files, base)
        case ExchangeFormat.NUSCENES:
            found = read_nuscenes(files, base, class_map, frame)
    return with_foreign(base, found, source, class_map)


def export_labels(
    kind: ExchangeFormat, labels: LabelSet, *, class_map: ClassMap, frame: str = DEFAULT_FRAME
) -> Exported:
    """Files of another format; they name released items and hold no picture.

    Args:
        kind: The format.
        labels: The set.
        class_map: What classes are called there.
        frame: The frame of reference of cuboids.

    Raises:
        ExchangeError: The set has what the format cannot say and must not be left out.
    """
    match kind:
        case ExchangeFormat.COCO:
            return write_coco(labels, class_map)
        case ExchangeFormat.YOLO:
            return write_yolo(labels, class_map)
        case ExchangeFormat.VOC:
            return write_voc(labels, class_map)
        case ExchangeFormat.NUSCENES:
            return write_nuscenes(labels, class_map, frame)


def read_files(kind: ExchangeFormat, path: Path) -> dict[str, bytes]:
    """The files of a format in a folder, or the one file that the path names; nothing else is read.

    Raises:
        ExchangeError: There is none, or one cannot be read or is larger than 1 GiB.
    """
    try:
        if path.is_file():
            found = [path]
        else:
            found = sorted(
                each for each in path.rglob("*") if each.suffix in _ENDINGS[kind] and each.is_file()
            )
        large = next((each for each in found if each.stat().st_size > MAX_FILE_BYTES), None)
        if not found or large is not None:
            why = (
                f"no file that ends with {' or '.join(_ENDINGS[kind])}"
                if large is None
                else f"{large.name} above 1 GiB"
            )
            raise ExchangeError(f"{path} (got {why}, expected label files)")
        return {
            str(each.relative_to(path)) if each != path else each.name: each.read_bytes() for each in found
        }
    except OSError as error:
        raise ExchangeError(f"{error.filename or path}: {error.strerror}") from error


def write_files(exported: Exported, folder: Path) -> None:
    """Write all files into a new folder, which takes its name once it is whole.

    Raises:
        DestinationError: The folder is there already, or cannot be written.
    """
    if folder.exists():
        raise DestinationError(f"{folder} (got a folder that is there, expected a new one)")
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.partial")
    try:
        try:
            for name, content in exported.files.items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(content)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise DestinationError(f"{error.filename or folder}: {error.strerror}") from error


def write_whole(content: bytes, path: Path) -> None:
    """Write a new file that takes its name once it is whole and on the disk.

    Raises:
        DestinationError: A file of the name is there already, or it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError as error:
        raise DestinationError(f"{path} (got a file that is there, expected a new one)") from error
    except OSError as error:
        raise DestinationError(f"{error.filename or path}: {error.strerror}") from error
