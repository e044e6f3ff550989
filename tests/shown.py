"""Strangers' words, results that carry them, and strict readers of what the kit shows and leaves."""

from __future__ import annotations

import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, ClassVar

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from nbconvert.filters import markdown2html

from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import ConnectFailed, ProbeError
from allegra_tls_kit.preamble import Stage
from allegra_tls_kit.survey import Probe, ProbeFailure
from allegra_tls_kit.text import visible
from tests.chains import NOW, alternatives, distinguished, issue

if TYPE_CHECKING:
    from pathlib import Path

URL = "smtp://mail.example.com:587"
CANARY = "hunter2-canary"
"""A password that must show nowhere."""
HOSTILE = "<script>alert(1)</script><b onload=x>`|\u202e\x1b[31m"
ROOT = issue("Example Root", ca=True)
OTHER_ROOT = issue("Other Root", ca=True)
LEAF = issue("mail.example.com", ROOT, extensions=[alternatives("mail.example.com")])
HOSTILE_LEAF = issue(
    distinguished(CN=HOSTILE, O=HOSTILE),
    extensions=[
        alternatives("<script>alert(3)</script>"),
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("javascript:alert(4)"))]
        ),
    ],
)
UNREADABLE = b"\x30\x03<b>"


def probe_of(*chain: bytes, url: str = URL) -> Probe:
    """A handshake that showed these."""
    said = ("S: 220 " + visible(HOSTILE), "C: STARTTLS")
    return Probe(Endpoint.parse(url), NOW, chain, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "192.0.2.1", said, True, 0.0174)  # noqa: FBT003


def failure_of(*chain: bytes, error: ProbeError | None = None, url: str = URL) -> ProbeFailure:
    """A probe that ended before the handshake was complete."""
    error = error or ConnectFailed(f"no connection: {visible(HOSTILE)}")
    return ProbeFailure(Endpoint.parse(url), NOW, Stage.CONNECT, error, chain, None, (), 0.5)


def text_of(html: str) -> str:
    """The text of a piece of HTML which is well-formed, has inline styles only, and can neither act nor fetch."""
    reader = _Strict(html)
    assert "<" not in (bare := re.sub(r'<(/[a-z]+[1-3]?|[a-z]+[1-3]?( open| [a-z-]+="[^<>"&]*")*)>', "", html))
    assert ">" not in bare
    return "".join(reader.said)


PAGE = re.compile(
    r"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>(?P<style>[^<>]*)</style>
<title>(?P<title>[^<>]*)</title>
</head>
<body>
<main style="[^<>"]*">(?P<main>.*)</main>
</body>
</html>
""",
    re.DOTALL,
)


def text_of_page(html: str) -> tuple[str, str]:
    """Title and text of a whole page that is as strict, shows all of it, and forbids itself to fetch."""
    page = PAGE.fullmatch(html)
    assert page
    assert not re.search(r"url|http|expression|max-height|[@\\]", page["style"].replace("@media print", ""))
    assert "<details>" not in page["main"]
    assert "max-height" not in "".join(re.findall("<[^<>]*>", page["main"]))
    return unescape(page["title"]), text_of(page["main"])


class _Strict(HTMLParser):
    _TAGS = frozenset({"div", "p", "pre", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "details", "summary"})
    _TAGS |= {"a", "h1", "h2", "h3"}
    _ATTRIBUTES: ClassVar = {
        "style": r"[a-z0-9:;#%. -]*",
        "scope": "col",
        "role": "region",
        "aria-label": "table",
        "tabindex": "0",
        "open": "None",
        "href": r"(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9._/-]*\.[a-z]+",
    }

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self._TAGS
        assert all(re.fullmatch(self._ATTRIBUTES[name], str(value)) for name, value in attrs)
        assert tag == "a" or "href" not in dict(attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def tags_of(markdown: str) -> list[tuple[str, ...]]:
    """The tags that Markdown becomes, with what they carry; without code spans, which only show."""
    return _Tags(markdown2html(markdown)).tags


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = [(name, "#" if name == "href" and str(value).startswith("#") else value) for name, value in attrs]
        carried = sorted(f"{name}={value}" for name, value in own if name not in {"id", "class"})
        if tag != "code" or carried:
            self.tags.append((tag, *carried))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))


def flat(text: str) -> str:
    """The text with every run of white space as one blank, so that line ends do not count."""
    return " ".join(text.split())


def notebook(*cells: str) -> str:
    """The JSON of a notebook with these code cells, the first one its parameters."""
    empty: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    made = [empty | {"id": f"cell{number}", "source": source} for number, source in enumerate(cells)]
    made[0]["metadata"] = {"tags": ["parameters"]}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made})


def require_sums(folder: Path) -> None:
    """Check that SHA256SUMS names every other file of a record folder with its digest."""
    others = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in others)
    assert (folder / "SHA256SUMS").read_text("utf-8") == sums


def holding(folder: Path, canary: str) -> list[str]:
    """The files under a folder that hold this text."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and canary.encode() in path.read_bytes())
