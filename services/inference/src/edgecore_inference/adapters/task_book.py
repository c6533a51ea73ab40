"""Which orders this node has placed at its provider: written before and after each, so that a crash in between
cannot lead to a second one.
"""

import json
from dataclasses import dataclass
from pathlib import Path

PLACING = ""
"""The task of an order that may or may not have arrived."""


@dataclass(frozen=True)
class Placed:
    """An order for a job; `task` is PLACING until the provider has named it."""

    task: str
    seconds: int


class TaskBook:
    """One small file a job in `directory`, which must survive the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def of(self, job_id: str) -> Placed | None:
        """The order for this job, if one was placed and is not settled."""
        try:
            return Placed(**json.loads(self._file(job_id).read_text()))
        except FileNotFoundError:
            return None

    def note(self, job_id: str, placed: Placed) -> None:
        """Whole or not at all."""
        file = self._file(job_id)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps({"task": placed.task, "seconds": placed.seconds}))
        draft.replace(file)

    def forget(self, job_id: str) -> None:
        """The order is settled: its verdict is known."""
        self._file(job_id).unlink(missing_ok=True)

    def _file(self, job_id: str) -> Path:
        return self._directory / f"{job_id}.json"
