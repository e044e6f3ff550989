from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

import allegra_tls_kit as kit
from tests.shown import notebook

if TYPE_CHECKING:
    import pytest

RUN = [kit.Progress(0, 0, 1000, 0.1), kit.Progress(200, 3, 1000, 0.2), kit.Progress(400, 5, 1000, 2.0)]
DONE = kit.Progress(1000, 30, 1000, 4.0, over=True)
STOPPED = kit.Progress(400, 5, 1000, 2.04, over=True)
LAST = "done: 1,000 of 1,000 servers, 30 failed, 0 remaining; 250 a second, 4.0 s"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *calls: kit.Progress) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    line = kit.ProgressLine()
    for progress in calls:
        line(progress)
    return stream.getvalue()


def test_a_file_has_the_last_line_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, io.StringIO(), *RUN, DONE) == f"{LAST}\n"
    said = written(monkeypatch, io.StringIO(), *RUN, STOPPED)
    assert said == "stopped: 400 of 1,000 servers, 5 failed, 600 remaining; 196 a second, 2.0 s\n"


def test_a_terminal_has_one_line_that_is_rewritten_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    said = written(monkeypatch, Terminal(), *RUN, DONE, kit.Progress(0, 0, 1, 0.1), kit.Progress(1, 0, 1, 0.2, over=True))
    first, second, last, again, end = said.split("\r")[1:]
    assert first.startswith("0 of 1,000 servers")
    assert second == "400 of 1,000 servers, 5 failed, 600 remaining; 200 a second, 2.0 s"
    assert (last, again) == (f"{LAST}\n", "0 of 1 server, 0 failed, 1 remaining; 0 a second, 0.1 s")
    assert end.startswith("done: 1 of 1 server")


def test_a_shorter_line_leaves_nothing_of_a_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = written(monkeypatch, Terminal(), kit.Progress(999, 900, 1000, 9.9), kit.Progress(1, 0, 1, 1.0, over=True))
    longer, shorter = said.split("\r")[1:]
    assert len(shorter.rstrip("\n")) == len(longer) > len(shorter.rstrip())


def test_a_saved_notebook_has_the_last_line_of_each_run_as_static_text() -> None:
    source = f"""from allegra_tls_kit import Progress, ProgressLine
line = ProgressLine()
for progress in {[*RUN, DONE, *RUN, STOPPED]}:
    line(progress)"""
    book: Any = nbformat.reads(notebook("", source), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=60).execute()
    done, stopped = book.cells[1].outputs
    assert [output["output_type"] for output in (done, stopped)] == ["display_data"] * 2
    assert LAST in done["data"]["text/plain"]
    assert "stopped: 400 of 1,000" in stopped["data"]["text/plain"]
    assert set(done["data"]) == {"text/plain", "text/html"}
    assert LAST in done["data"]["text/html"]
    assert "<script" not in done["data"]["text/html"]
