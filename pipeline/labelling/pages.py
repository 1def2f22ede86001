"""The pages of the label server, in Chinese and English."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.labelling.ontology import GeometryKind, LabelOntology
from pipeline.labelling.sessions import LabelSession
from pipeline.labelling.task import LabelTask
from pipeline.labelling.words import WORDS

LANGUAGES: Final = ("zh", "en")
_DRAWN: Final = (GeometryKind.BBOX, GeometryKind.POLYGON)


class Pages:
    """Renders pages; what people typed is escaped."""

    def __init__(self) -> None:
        """Load the templates that are installed with this package."""
        self._templates = Environment(
            loader=PackageLoader("pipeline.labelling"), autoescape=True, undefined=StrictUndefined
        )

    def entrance(self, language: str, refused: str | None = None) -> str:
        """Where people enter with their invitation."""
        return self._page("enter.html", language, refused=refused)

    def ended(self, language: str, reason: str) -> str:
        """That nothing is shown any more, and why."""
        return self._page("ended.html", language, reason=reason)

    def editor(self, language: str, task: LabelTask, session: LabelSession) -> str:
        """The editor of a task."""
        given = {
            "role": session.role,
            "person": session.person,
            "frames": len(task.frames),
            "sequences": [frame.sequence for frame in task.frames],
            "endsAt": min(session.ends_at, task.expires_at).isoformat(),
            "language": language,
            "classes": _classes(task.ontology, language),
            "words": {name: texts[language] for name, texts in WORDS.items()},
        }
        return self._page("editor.html", language, task=task, session=session, given=given)

    def _page(self, name: str, language: str, **values: Any) -> str:
        words = {word: texts[language] for word, texts in WORDS.items()}
        other = next(each for each in LANGUAGES if each != language)
        return self._templates.get_template(name).render(
            words=words, language={"zh": "zh-Hans", "en": "en"}[language], other=other, **values
        )


def _classes(ontology: LabelOntology, language: str) -> list[dict[str, Any]]:
    """The classes that can be drawn, as the page wants them."""
    return [
        {
            "name": each.name,
            "title": getattr(each, language),
            "geometry": [kind.value for kind in each.geometry if kind in _DRAWN],
            "attributes": [
                {
                    "name": a.name,
                    "title": getattr(a, language),
                    "type": a.type.value,
                    "values": [{"name": name, "title": texts[language]} for name, texts in a.values.items()],
                    "minimum": a.minimum,
                    "maximum": a.maximum,
                }
                for a in each.attributes.values()
            ],
        }
        for each in ontology.classes.values()
        if any(kind in _DRAWN for kind in each.geometry)
    ]
