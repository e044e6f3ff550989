"""JupyterLab as the command `lab` starts it, and a person in front of it: a real browser, clicks and keystrokes counted."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, Error, Locator, expect, sync_playwright

from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

PICTURES = "ALLEGRA_TLS_KIT_PICTURES"
LARGEST_PICTURE = 160_000
WIDTH, HEIGHT = 1400, 1000
SHOWN = "window.jupyterapp.shell.currentWidget"
LOCAL = ("data:", "blob:", "about:")
PATIENCE_MS = 30_000
NO_REQUESTS = ("mathjax_url", "require_js_url", "mermaid_js_url", "jquery_url", "widget_renderer_url")
"""What an exported notebook would ask for otherwise."""


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs: its address, its work folder, where records go, and the Allegra that is found from there."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    work: Path
    records: Path
    allegra: Path

    def address(self, path: Path) -> str:
        """Where the user interface opens a file of the work folder, each in a workspace of its own."""
        name = path.relative_to(self.work).as_posix()
        return f"{self.url}/lab/workspaces/{re.sub('[^a-z0-9]', '-', name.lower())}/tree/{name}?token={self.token}&reset"


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Start the command `lab` with a home of its own under this folder; whatever it starts ends with it."""
    places = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(folder / name.lower()) for name in (*places, "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    (folder / "home").mkdir(parents=True)
    (folder / "allegra").mkdir()
    environment = {**os.environ, **own, "ALLEGRA_HOME": str(folder / "allegra"), "JUPYTER_TOKEN": "token"}
    command = [sys.executable, "-m", "allegra_tls_kit", "lab", "--folder", "work", "--records", "records", "--no-browser"]
    command += ["--ServerApp.port=0", "--expose-app-in-browser", *(["--allow-root"] if os.geteuid() == 0 else [])]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = _address(process, log)
        yield Lab(process, url, "token", folder / "work", folder / "records", folder / "allegra")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the log tells, which the server does before it listens there."""
    deadline = time.monotonic() + 60
    while True:
        if found := re.search(r"http://127\.0\.0\.1:([1-9]\d*)(?=/lab/tree/00_start_here\.ipynb\?token=)", log.read_text()):
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(found[1]))).close()
                return found[0]
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium. For as long as it runs, this thread has a running event loop: nothing else may want one."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        absent("no Chromium on the PATH, to see the notebooks in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Window:
    """A browser window with nothing remembered, which must ask nobody but this machine and must not fail."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self._asks(request.url, url))
        self.page.on("websocket", lambda socket: self._asks(socket.url.replace("ws:", "http:", 1), url))
        self.page.on("pageerror", lambda error: self.wrong.append(f"{error.message}: {error.stack}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))

    def _asks(self, address: str, allowed: str) -> None:
        if not address.startswith((allowed, *LOCAL)):
            self.asked.append(address)

    def __enter__(self) -> Self:
        return self

    def acted(self) -> bool:
        """Whether a script in what is shown has set `acted`, a moment after it was to be read."""
        self.page.wait_for_timeout(500)
        whether: bool = self.page.evaluate("'acted' in window")
        return whether

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; complain about what went wrong in it, unless the test has complained already."""
        self._context.close()
        if kind is None:
            assert self.asked == [], self.asked
            assert self.wrong == [], self.wrong


class Notebook(Window):
    """One notebook in JupyterLab; `clicks` and `keystrokes` count what a person needed so far, pasting being two keystrokes."""

    def __init__(self, browser: Browser, lab: Lab, path: Path, pictures: Path) -> None:
        super().__init__(browser, lab.url)
        self.path, self.clicks, self.keystrokes = path, 0, 0
        self._pictures = Path(os.environ.get(PICTURES) or pictures)
        self.shown = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")
        self._last_look = pictures / f"{path.stem}-at-the-end.png"
        self.page.goto(lab.address(path))
        self._opened()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Leave a screenshot, end the kernel, and close the window."""
        with suppress(Error):  # it may be closed already, or hang: what the test itself says counts
            self.page.screenshot(path=self._last_look)
            self.page.evaluate(f"async () => {{ await {SHOWN}.sessionContext.shutdown() }}")
        super().__exit__(kind, *rest)

    def follow(self, link: str) -> None:
        """Click a link to another notebook, and go on in that one."""
        self.click(self.page.get_by_role("link", name=link, exact=True))
        self.path = self.path.with_name(f"{link}.ipynb")
        self._opened()

    # --- what a person does ------------------------------------------------------------------------------------------------

    def click(self, locator: Locator) -> None:
        locator.click()
        self.clicks += 1

    def menu(self, *names: str) -> None:
        """Choose from the menu bar, one click for each name."""
        bar, *entries = names
        self.click(self.page.locator(".lm-MenuBar-item").filter(has_text=re.compile(f"^{bar}$")))
        for entry in entries:
            self.click(self.page.locator(".lm-Menu-item").filter(has_text=re.compile(f"^{re.escape(entry)}")))

    def select_word(self, word: str, cell: str) -> None:
        """Double-click a word in the cell that holds this text."""
        place = self.cell(cell)
        place.scroll_into_view_if_needed()
        box = place.evaluate(_WORD_BOX, word)
        self.page.mouse.dblclick(box["x"], box["y"])
        self.clicks += 2

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)
        self.keystrokes += len(keys.split("+"))

    def write(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.keystrokes += len(text)

    def paste(self, text: str) -> None:
        self.page.keyboard.insert_text(text)
        self.keystrokes += 2

    def run_all(self) -> None:
        self._run("Run All Cells")

    def begin_all(self) -> None:
        """Run all cells, and do not wait: one of them asks."""
        self.menu("Run", "Run All Cells")

    def answer(self, question: str, text: str) -> None:
        """Write into the field in which a cell asks, and press Enter; a cell above may still show the one that was answered."""
        box = self.shown.locator(".jp-Stdin").filter(has_text=question)
        self.click(box.locator("input[type=password]").last)
        self.write(text)
        self.press("Enter")

    def run_from(self, cell: str) -> None:
        """Run the cell that holds this text, and all below."""
        self.click(self.cell(cell).locator(".jp-InputPrompt"))
        self._run("Run Selected Cell and All Below")

    def run_from_here(self) -> None:
        """The same from the cell in which the cursor stands."""
        self._run("Run Selected Cell and All Below")

    def run_cell(self, cell: str) -> None:
        before = self.started()
        self.begin(cell)
        self.wait_idle(before + 1)

    def begin(self, cell: str) -> None:
        """Let a cell be executed when its turn comes, and do not wait."""
        self.click(self.cell(cell).locator(".jp-InputPrompt"))
        self.press("Control+Enter")

    def restart_kernel(self) -> None:
        before = self.page.evaluate("() => window.statuses.length")
        self.menu("Kernel", "Restart Kernel…")
        self.click(self.page.get_by_role("button", name="Confirm Kernel Restart"))
        self._until(f"() => window.statuses.slice({before}).includes('restarting')")
        self.wait_idle()

    def save(self) -> dict[str, Any]:
        """Save with the keyboard and return what stands in the file then."""
        self.press("Control+s")
        self._until(f"() => !{SHOWN}.context.model.dirty")
        content: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
        return content

    # --- what only a test does ---------------------------------------------------------------------------------------------

    def cell(self, text: str) -> Locator:
        """The one code cell in which this stands."""
        source = self.page.locator(".jp-InputArea-editor", has_text=re.compile(re.escape(text)))
        return self.shown.locator(".jp-CodeCell").filter(has=source)

    def output(self, cell: str) -> Locator:
        """All that a cell has put out."""
        return self.cell(cell).locator(".jp-Cell-outputArea")

    def says(self, words: str | re.Pattern[str], cell: str = "") -> str:
        """Wait until this is to be read, in what a cell has put out or anywhere, and return all that is."""
        place = self.output(cell) if cell else self.shown
        expect(place).to_contain_text(words, timeout=PATIENCE_MS)
        return place.text_content() or ""

    def source(self, cell: str) -> str:
        source: str = self.page.evaluate(f"text => {_THE_CELL}.getSource()", cell)
        return source

    def set_cell(self, cell: str, old: str, new: str) -> None:
        """Replace a part of a cell's source, without a hand."""
        source = self.source(cell)
        assert old in source
        self.page.evaluate(f"([text, source]) => {{ {_THE_CELL}.setSource(source) }}", [cell, source.replace(old, new)])

    def trusted(self) -> bool:
        """Whether JupyterLab takes all outputs for the user's own."""
        whether: bool = self.page.evaluate(
            f"() => {SHOWN}.content.widgets.every(({{model}}) => model.type !== 'code' || model.trusted)"
        )
        return whether

    def started(self) -> int:
        """How many cells the kernel has begun to execute since the notebook was opened."""
        number: int = self.page.evaluate("() => window.executed")
        return number

    def wait_started(self, number: int) -> None:
        self._until(f"() => window.executed >= {number}")

    def wait_idle(self, started: int = 0) -> None:
        """Wait until so many cells were begun, none waits, and the kernel rests.

        Predicates are synchronous (a promise is true at once), and the status alone is no answer: it is idle for a moment while
        all cells still wait.
        """
        self._until(
            f"() => window.executed >= {started} && {SHOWN}.sessionContext.session?.kernel?.status === 'idle'"
            f" && !{SHOWN}.content.widgets.some(cell => cell.promptNode?.textContent.includes('*'))"
        )

    def picture(self, name: str, locator: Locator) -> None:
        """Take a picture in light and in dark for the documentation, of the whole of it."""
        box = locator.bounding_box()
        assert box is not None
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT + round(box["height"])})
        for theme in ("Dark", "Light"):
            self.page.evaluate(_THEME, f"JupyterLab {theme}")
            lit = f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'"
            self._until(f"() => {lit} && !document.getElementById('jupyterlab-splash')")
            locator.evaluate("shown => shown.scrollIntoView({block: 'center'})")
            taken = locator.screenshot(path=self._pictures / f"{name}-{theme.lower()}.png", animations="disabled")
            assert len(taken) <= LARGEST_PICTURE
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def _run(self, entry: str) -> None:
        before = self.started()
        self.menu("Run", entry)
        self.wait_idle(before + 1)

    def _opened(self) -> None:
        self._until(
            f"() => {{ const shown = window.jupyterapp && {SHOWN}; return shown?.context?.path.endsWith('{self.path.name}')"
            " && shown.context.isReady && shown.sessionContext.isReady"
            " && shown.sessionContext.session?.kernel?.status === 'idle' }"
        )
        self.page.evaluate(_LISTEN)

    def _until(self, predicate: str) -> None:
        self.page.wait_for_function(predicate, timeout=2 * PATIENCE_MS)


_THE_CELL = (
    f"{SHOWN}.content.widgets.map(cell => cell.model.sharedModel)"
    ".find(cell => cell.cell_type === 'code' && cell.getSource().includes(text))"
)
_LISTEN = f"""() => {{
  window.executed = 0; window.statuses = [];
  const context = {SHOWN}.sessionContext;
  context.iopubMessage.connect((_, message) => {{ if (message.header.msg_type === 'execute_input') window.executed += 1 }});
  context.statusChanged.connect((_, status) => {{ window.statuses.push(status) }});
}}"""
_THEME = "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}) }"
_WORD_BOX = """(cell, word) => {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const at = node.data.search(new RegExp(`\\\\b${word}\\\\b`));
    if (at < 0 || !node.parentElement.closest('.cm-line, .jp-OutputArea-output')) continue;
    const range = document.createRange();
    range.setStart(node, at); range.setEnd(node, at + word.length);
    node.parentElement.scrollIntoView({block: 'center'});
    const box = range.getBoundingClientRect();
    return {x: box.x + box.width / 2, y: box.y + box.height / 2};
  }
  throw new Error(`${word} is not shown here`);
}"""
