"""Search of pictures: by words over their tags, by another picture over their descriptors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import faiss
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

from pipeline.mining.descriptors import FloatVector
from pipeline.mining.ontology import Ontology, folded
from pipeline.mining.sentences import SentenceModel, is_english
from pipeline.mining.tags import Tag

TextMode = Literal["ontology", "minilm", "tf-idf", "nothing"]
ImageMode = Literal["flat", "ivf"]

FLAT_UP_TO: Final = 1_000_000
"""Vectors up to which every one is compared; beyond, only those of the nearest cells."""
POINTS_PER_CELL: Final = 64
"""Vectors for each cell that its centre is found with."""
LEAST_NEARNESS: Final = 0.35
"""Cosine of MiniLM below which English words do not mean a tag."""
PART: Final = 50_000
"""Vectors that an index is given at once."""
LEAST_LIKENESS: Final = 0.1
"""TF-IDF cosine below which words have nothing to do with a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A picture that was found, with how well it fits: 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswer:
    """What words found.

    Attributes:
        mode: ``ontology``: the words name tags, and pictures have them. ``minilm``: they are English, name none,
            and mean much the same as names of tags. ``tf-idf``: they name none, and pictures have tags whose names
            are like them. ``nothing``: none of these.
        tags: The tags that the words name, or mean.
        unread: Words that name no tag; they order pictures that fit equally well, nothing more.
        hits: The best first.
    """

    mode: TextMode
    tags: tuple[str, ...]
    unread: str
    hits: tuple[Hit, ...]


class TextSearch:
    """Finds pictures by words in Chinese or English."""

    def __init__(
        self,
        tags: Mapping[str, Iterable[Tag]],
        ontology: Ontology,
        sentences: Callable[[], SentenceModel | None] = lambda: None,
    ) -> None:
        """Index the tags of pictures; only tags of the ontology are found.

        Args:
            tags: Of each picture.
            ontology: The vocabulary.
            sentences: Gives the model that is asked about English outside the ontology, if there is one.
        """
        self._ontology = ontology
        self._sentences = sentences
        self._names = sorted(tags)
        self._tags = {
            name: {
                tag.name: max(t.confidence for t in tags[name] if t.name == tag.name) for tag in tags[name]
            }
            for name in self._names
        }
        self._vectors = TfidfVectorizer(analyzer=_pieces, sublinear_tf=True)
        self._texts = [self._expanded(name) for name in self._names]
        self._matrix = self._vectors.fit_transform(self._texts) if any(self._texts) else None

    def find(self, text: str, count: int) -> TextAnswer:
        """The pictures that fit best.

        Raises:
            ValueError: The text is empty or ``count`` not positive.
        """
        _check_count(count)
        if not folded(text):
            raise ValueError(f"text (got {text!r}, expected words)")
        tags, unread = self._ontology.read(text)
        like = self._likeness(unread)
        if tags:
            scored = [
                (sum(self._tags[name].get(tag, 0.0) for tag in tags) / len(tags), like[i], name)
                for i, name in enumerate(self._names)
            ]
            hits = _best([each for each in scored if each[0] > 0], count)
            return TextAnswer(mode="ontology" if hits else "nothing", tags=tags, unread=unread, hits=hits)
        if is_english(text) and (meant := self._meant(text)):
            scored = [
                (max(near * self._tags[name].get(tag, 0.0) for tag, near in meant.items()), like[i], name)
                for i, name in enumerate(self._names)
            ]
            if hits := _best([each for each in scored if each[0] > 0], count):
                return TextAnswer(mode="minilm", tags=tuple(meant), unread=unread, hits=hits)
        scored = [(like[i], 0.0, name) for i, name in enumerate(self._names)]
        hits = _best([each for each in scored if each[0] >= LEAST_LIKENESS], count)
        return TextAnswer(mode="tf-idf" if hits else "nothing", tags=(), unread=unread, hits=hits)

    def _meant(self, text: str) -> dict[str, float]:
        """The tags whose English names mean much the same as a text, the nearest first."""
        model = self._sentences()
        if model is None:
            return {}
        names = [
            (tag, name) for tag, names in self._ontology.tags.items() for name in names if is_english(name)
        ]
        near: dict[str, float] = {}
        for (tag, _), likeness in zip(
            names, model.likeness(text, [n for _, n in names]).tolist(), strict=True
        ):
            near[tag] = max(near.get(tag, 0.0), likeness)
        ordered = sorted(near.items(), key=lambda each: -each[1])
        return {tag: likeness for tag, likeness in ordered if likeness >= LEAST_NEARNESS}

    def _expanded(self, name: str) -> str:
        """All that people call what a picture is tagged with, in both languages."""
        words = (word for tag in self._tags[name] for word in self._ontology.tags.get(tag, ()))
        return " ".join(folded(word) for word in words)

    def _likeness(self, text: str) -> list[float]:
        if not text or self._matrix is None:
            return [0.0] * len(self._names)
        query = self._vectors.transform([text])
        found: list[float] = (self._matrix @ query.T).toarray().ravel().tolist()
        return found


class ImageSearch:
    """Finds pictures by another's descriptor: inner products of vectors of length 1."""

    def __init__(self, descriptors: Mapping[str, FloatVector], *, flat_up_to: int = FLAT_UP_TO) -> None:
        """Index descriptors; beyond ``flat_up_to`` of them in cells, of which the nearest are searched."""
        self._names: Sequence[str] = sorted(descriptors)
        self.mode: ImageMode = "flat" if len(self._names) <= flat_up_to else "ivf"
        self._index = _index(descriptors, self._names, self.mode) if self._names else None

    @classmethod
    def of_index(cls, names: Sequence[str], index: faiss.Index) -> "ImageSearch":
        """Search an index that was built before, over these names in the order of its vectors.

        Raises:
            ValueError: It does not hold one vector for each name.
        """
        if index.ntotal != len(names) or not isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat):
            raise ValueError(
                f"index (got {type(index).__name__} of {index.ntotal}, expected one of {len(names)})"
            )
        found = cls({})
        found._names, found._index = names, index if names else None
        found.mode = "ivf" if isinstance(index, faiss.IndexIVFFlat) else "flat"
        return found

    @property
    def names(self) -> Sequence[str]:
        """The pictures, in the order of the vectors."""
        return self._names

    @property
    def index(self) -> faiss.Index | None:
        """The index of faiss; None where there are no pictures."""
        return self._index

    def find(self, descriptor: FloatVector, count: int) -> tuple[Hit, ...]:
        """The nearest, the best first.

        Raises:
            ValueError: ``count`` is not positive.
        """
        _check_count(count)
        if self._index is None:
            return ()
        likeness, found = self._index.search(descriptor[None, :], min(count, len(self._names)))
        return tuple(
            Hit(name=self._names[at], score=float(min(max(score, 0.0), 1.0)))
            for score, at in zip(likeness[0].tolist(), found[0].tolist(), strict=True)
            if at >= 0
        )


def _pieces(text: str) -> list[str]:
    """Pieces of words: Chinese by characters and pairs of them, others by three and four letters, ends marked."""
    pieces = []
    for word in text.split():
        chinese = any("\u4e00" <= letter <= "\u9fff" for letter in word)
        marked, sizes = (word, (1, 2)) if chinese else (f"<{word}>", (3, 4))
        pieces += [marked[i : i + size] for size in sizes for i in range(len(marked) - size + 1)]
    return pieces


def _index(descriptors: Mapping[str, FloatVector], names: Sequence[str], mode: ImageMode) -> faiss.Index:
    """An index over vectors in the order of their names; they are handed over in parts, without a copy of all."""
    width = len(descriptors[names[0]])
    index: faiss.Index
    if mode == "flat":
        index = faiss.IndexFlatIP(width)
    else:
        cells = max(1, int(4 * np.sqrt(len(names))))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1
        # More points make centres no better, and training takes minutes.
        some = min(len(names), POINTS_PER_CELL * cells)
        taken = np.random.default_rng(0).choice(len(names), some, replace=False)
        index.train(np.stack([descriptors[names[at]] for at in sorted(taken.tolist())]))
        index.nprobe = max(1, cells // 64)
    for start in range(0, len(names), PART):
        index.add(np.stack([descriptors[name] for name in names[start : start + PART]]))
    return index


def _best(scored: list[tuple[float, float, str]], count: int) -> tuple[Hit, ...]:
    ordered = sorted(scored, key=lambda each: (-each[0], -each[1], each[2]))
    return tuple(Hit(name=name, score=round(score, 4)) for score, _, name in ordered[:count])


def _check_count(count: int) -> None:
    if count <= 0:
        raise ValueError(f"count (got {count}, expected at least 1)")
