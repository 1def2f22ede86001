"""How far a labelling task is, and who looked at how much of it."""

from collections import Counter
from typing import Any

from pipeline.labelling.store import TaskFolder
from pipeline.labelling.task import LabelTask, label_set_of


def task_standing(folder: TaskFolder, task: LabelTask) -> dict[str, Any]:
    """Counts of a task, after holding it against its journal.

    Raises:
        LabelStoreError: It was altered, or a save that was acknowledged is not there.
    """
    folder.check()
    labels, journal = label_set_of(folder, task), folder.journal()
    of_act = Counter(line["act"] for line in journal)
    return {
        "labels": len(labels.labels),
        "labelled_frames": len({label.item for label in labels.labels.values()}),
        "reviews": dict(Counter(label.review.value for label in labels.labels.values())),
        "sources": dict(Counter(label.source for label in labels.labels.values())),
        "saves": of_act["save"],
        "conflicts": list(folder.conflicts()),
        "views": dict(Counter(line["by"] for line in journal if line["act"] == "view")),
        "journal": {"lines": len(journal), "sha256": folder.journal_head()},
    }
