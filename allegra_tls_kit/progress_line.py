"""How far a look at many servers is: one line that lives while it runs, and stays as what became of it.

In a notebook it is replaced in place, as static HTML and text, so that the saved file has the last of it; there is no widget.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from uuid import uuid4

from allegra_tls_kit.static import Note, Static, Tone
from allegra_tls_kit.text import count

if TYPE_CHECKING:
    from allegra_tls_kit.survey import Progress

SHOWN_EVERY = 0.25
"""Seconds between two changes of the line."""


class ProgressLine:
    """What to give to `probe_all` as `progress`, for one run or for several one after the other.

    In a notebook the line stands below the cell, in a terminal it is rewritten on standard error; elsewhere, as in a log file,
    there is only the last one, on standard error.
    """

    def __init__(self) -> None:
        """Show nothing before the first call."""
        self._display_id = ""
        self._written = 0
        self._shown_at: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Show how far it is, not more often than `SHOWN_EVERY`, and the end in any case."""
        if self._shown_at is not None and not progress.over and 0 <= progress.seconds - self._shown_at < SHOWN_EVERY:
            return
        if _in_notebook():
            self._display(progress)
        elif sys.stderr.isatty():
            self._write(progress)
        elif progress.over:
            print(line_of(progress), file=sys.stderr, flush=True)  # noqa: T201 - the line is the output
        self._shown_at = None if progress.over else progress.seconds

    def _display(self, progress: Progress) -> None:
        from IPython.display import display  # noqa: PLC0415 - loaded already where there is a notebook

        update = self._shown_at is not None
        self._display_id = self._display_id if update else uuid4().hex
        bundle = Static((Note(_tone(progress), line_of(progress)),))._repr_mimebundle_()
        display(bundle, raw=True, display_id=self._display_id, update=update)  # type: ignore[no-untyped-call]

    def _write(self, progress: Progress) -> None:
        text = line_of(progress)
        sys.stderr.write("\r" + text.ljust(self._written) + ("\n" if progress.over else ""))
        sys.stderr.flush()
        self._written = 0 if progress.over else len(text)


def line_of(progress: Progress) -> str:
    """Return the line: what is done, failed and remaining, how fast, for how long; a run that was stopped says so."""
    begun = "" if not progress.over else "done: " if not progress.remaining else "stopped: "
    return (
        f"{begun}{progress.done:,} of {count(progress.total, 'server')}, {progress.failed:,} failed, "
        f"{progress.remaining:,} remaining; {progress.per_second:,.0f} a second, {progress.seconds:.1f} s"
    )


def _tone(progress: Progress) -> Tone:
    if not progress.over:
        return Tone.INFO
    return Tone.WARN if progress.failed or progress.remaining else Tone.OK


def _in_notebook() -> bool:
    """Tell whether output goes to a front end of Jupyter; where IPython was never loaded it does not."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None
