"""What strangers wrote, opened in a real browser: in records, pages, cells and notebooks as they are exported."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html

import allegra_tls_kit as kit
from allegra_tls_kit.static import Static
from tests.chains import NOW
from tests.changing import go
from tests.hostile import SAID, UNSEEN
from tests.lab import NO_REQUESTS, Window, chromium
from tests.shown import OTHER_ROOT, notebook
from tests.test_hostile_certificates import looked, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


WORST = (
    *("script", "handlers", "an attribute", "the end of the page", "an end of code", "entities", "a comment", "another page"),
    *("a style", "a link and a picture", "a fence", "a run of fences", "an end of code and a link", "a heading", "a template"),
    *("formulas of mathematics", "half a formula and a tag", "much at once", "a title and a link", "a line of our own"),
)
EVERYTHING_HAPPENS = """() => document.querySelectorAll('*').forEach(each => {
  for (const kind of ['mouseover', 'focus', 'toggle', 'load', 'error', 'click']) each.dispatchEvent(new Event(kind))
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def bare(html: str) -> str:
    """A page that forbids nothing and fetches nothing by itself."""
    return f'<!doctype html>\n<meta charset="utf-8">\n<link rel="icon" href="data:,">\n<title>x</title>\n{html}'


@cache
def whole() -> Static:
    """All pictures of servers, keystores and changes with certificates that say the worst, as one document."""
    return Static(tuple(part for name in WORST for shown in pictures(name) for part in shown.parts))


def page(_: Path) -> str:
    return whole().page(SAID["the end of the page"])


def cell(_: Path) -> str:
    frames = [kit.certificates_frame([looked(name)]) for name in WORST]
    return bare(whole().html() + "".join(frame._repr_html_() for frame in frames))  # type: ignore[operator]


def markdown(_: Path) -> str:
    return bare(markdown2html(whole().markdown()))


def exported_notebook(folder: Path) -> str:
    """A notebook with all of it in its outputs, as HTML of nbconvert, which makes colours of escapes."""
    content = json.loads(notebook('RECORD = ""'))
    bundle = {"output_type": "display_data", "metadata": {}, "data": whole()._repr_mimebundle_()}
    errors = [{"output_type": "stream", "name": "stderr", "text": str(whole())}]
    content["cells"][0]["outputs"] = [bundle, *errors]
    (folder / "x.ipynb").write_text(json.dumps(content), "utf-8")
    exporter = HTMLExporter(**dict.fromkeys(NO_REQUESTS, ""))  # type: ignore[no-untyped-call]
    return str(exporter.from_filename(str(folder / "x.ipynb"))[0])


def records(folder: Path) -> Iterator[kit.RecordFolder]:
    for number, text in enumerate(SAID[name] for name in WORST):
        result, store = looked(WORST[number]), folder / f"{number}.ks"
        journal = kit.open_journal(folder / str(number))
        journal.keep_all((result, kit.judge(result, [OTHER_ROOT.der]), kit.Statement("risk", text)))
        plan = kit.plan_import(kit.read_keystore(store, "changeit"), result.chain[-1:], purpose=text, aliases=[text])
        go(plan, journal, "changeit")
        journal.keep(kit.Verified(plan.id, result.endpoint, NOW, True, None, None, (text,)))  # noqa: FBT003
        yield kit.write_record(journal, notebook="")


def record(folder: Path) -> str:
    """The pages of records as they lie there, one below the other; that of the last one alone forbids what it wants."""
    return bare("".join(each.page.read_text("utf-8").partition("<body>")[2] for each in records(folder)))


def record_for_a_ticket(folder: Path) -> str:
    return bare("".join(markdown2html(each.record.read_text("utf-8")) for each in records(folder)))


@pytest.mark.parametrize("made", [page, cell, markdown, exported_notebook, record, record_for_a_ticket])
def test_in_a_browser_nothing_of_it_runs_and_nobody_is_asked(
    made: Callable[[Path], str], browser: Browser, tmp_path: Path
) -> None:
    place = tmp_path / "shown.html"
    place.write_text(made(tmp_path), "utf-8")
    with Window(browser, place.as_uri()) as window:
        window.page.goto(place.as_uri())
        window.page.evaluate(EVERYTHING_HAPPENS)
        assert not window.acted()
        where = ".jp-OutputArea-output" if made is exported_notebook else "body"
        shown = "\n".join(window.page.locator(where).all_inner_texts())
        assert "<script>acted=1</script>" in shown
        assert UNSEEN.search(re.sub(r"[\t\xa0]", " ", shown)) is None  # of the browser's own
        assert window.page.locator(f"{where} :is(script, iframe, img, svg, base, link, meta, object, xss, [onload])").count() == 0
        assert not re.search("owned", window.page.title())


@pytest.mark.parametrize("name", ["script", "handlers", "an attribute", "the end of the page", "a style", "a fence"])
def test_what_acts_would_have_been_seen(name: str, browser: Browser, tmp_path: Path) -> None:
    place = tmp_path / "shown.html"
    place.write_text(bare(f'<table><tr><td><p title="{SAID[name]}">{SAID[name]}'), "utf-8")
    with Window(browser, place.as_uri()) as window:
        window.page.goto(place.as_uri())
        window.page.evaluate(EVERYTHING_HAPPENS)
        assert window.acted() or window.asked
        window.asked.clear()
        window.wrong.clear()
