"""What `edgecore up` shows: a line per child while they start, then one line per event."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from edgecore_cli.keeper import Change, Phase

REFRESH_PER_SECOND = 8


class Display:
    """Spinners on a terminal, plain lines elsewhere. Use as a context manager around the whole run."""

    def __init__(self, console: Console, names: list[str]) -> None:
        self._console = console
        self._cells: dict[str, Spinner | Text] = {name: Text("waiting", style="dim") for name in names}
        self._live = Live(self._table(), console=console, refresh_per_second=REFRESH_PER_SECOND)
        self._starting = True

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def change(self, change: Change) -> None:
        if self._starting and self._console.is_terminal:
            self._cells[change.name] = _cell(change)
            self._live.update(self._table())
        elif self._starting or change.phase is not Phase.STOPPED:
            self._event(change)

    def ready(self, lines: list[tuple[str, str]]) -> None:
        """All children answer: the table stays as it is, and what follows are events."""
        self._starting = False
        self._live.stop()
        for label, value in lines:
            self._console.print(f"{label:<9} {value}", highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        self._live.stop()
        self._console.print(line, highlight=False, soft_wrap=True)

    def _event(self, change: Change) -> None:
        text = _sentence(change)
        if text is not None:
            self._console.print(f"{datetime.now():%H:%M:%S} {text}", highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, cell in self._cells.items():
            table.add_row(name, cell)
        return table


def _cell(change: Change) -> Spinner | Text:
    if change.phase in (Phase.PREPARING, Phase.STARTING):
        return Spinner("dots", change.phase.value)
    if change.phase is Phase.READY:
        return Text(f"✓ ready in {change.seconds:.2f} s", style="green")
    return Text(_sentence(change) or "stopped", style="yellow")


def _sentence(change: Change) -> str | None:
    match change.phase:
        case Phase.READY:
            again = f" again (restart {change.restarts})" if change.restarts else ""
            return f"{change.name} ready{again} in {change.seconds:.2f} s"
        case Phase.DIED:
            when = "at once" if change.seconds < 0.01 else f"in {change.seconds:.1f} s"
            return f"{change.name} {change.reason}; restarting {when} (log: {change.log})"
        case _:
            return None
