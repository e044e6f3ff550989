"""Certificates of strangers on every way out: shown, shortened with their length, inert; in bounded time and size."""

from __future__ import annotations

import csv
import re
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.columns import TEXT
from allegra_tls_kit.errors import CertificateError, KitError
from allegra_tls_kit.events import event_line
from allegra_tls_kit.keystore import Edit, rewrite
from allegra_tls_kit.static import Static
from allegra_tls_kit.system_store import system_commands
from tests.chains import NOW, issue
from tests.changing import go
from tests.hostile import CERTIFICATES, CHAINS, ENCODINGS, HUGE, SAID, TEXTS, UNSEEN, chain
from tests.misbehaving import Server, context_of, tls
from tests.shown import LEAF, OTHER_ROOT, ROOT, failure_of, probe_of, tags_of, text_of, text_of_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

ALL = (*TEXTS, *CERTIFICATES)
LARGEST_DOCUMENT = 128 * 1024
LARGEST_CELL = 32 * 1024
SECONDS = 15.0
"""Of a processor, for what takes two at most; what grew with the square of its size took minutes."""
LONGEST_ON_THE_WIRE = 100 * 1024
"""What OpenSSL takes for a chain."""
MARKDOWN_TAGS = {
    "h1", "h2", "h3", "a", "p", "strong", "pre", "div", "span", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def looked(name: str) -> kit.Probe:
    return probe_of(*(each.der for each in chain(name)), url=f"imaps://host{ALL.index(name)}.example.com")


def stored(*certificates: bytes, alias: str = "theirs", kind: kit.EntryKind = kit.EntryKind.TRUSTED) -> kit.Snapshot:
    entries = tuple(
        kit.Entry(f"{alias}{number}".lower(), kind, der, sha256_of(der), anchor=True) for number, der in enumerate(certificates)
    )
    return kit.Snapshot(Path("/srv/mail.ks"), True, kit.StoreType.JKS, "0" * 64, entries, False, False, ())  # noqa: FBT003


def plans(name: str) -> Iterator[kit.Plan]:
    """To import the highest certificate, to meet a conflict with it, and to take it out again; none for what is none."""
    top, alias = looked(name).chain[-1], TEXTS.get(name, "alias")
    yield kit.plan_import(stored(OTHER_ROOT.der), [top], purpose=alias)
    yield kit.plan_import(stored(OTHER_ROOT.der), [top], purpose=alias, aliases=[alias])
    yield kit.plan_import(stored(OTHER_ROOT.der), [top], purpose=alias, aliases=["theirs0"])
    yield kit.plan_removal(stored(top, alias=alias), [f"{alias}0"], purpose=alias)


def pictures(name: str) -> Iterator[Static]:
    """Whatever is shown of a server with this chain, of a keystore that holds it, of changes with it."""
    result, alias = looked(name), TEXTS.get(name, "alias")
    failed = failure_of(*result.chain)
    judged = kit.judge(result, [OTHER_ROOT.der])
    yield kit.show_server(result, judged)
    yield kit.show_server(failed, kit.judge(failed, [result.chain[-1]]))
    yield kit.show_survey([result, failed], [ROOT.der])
    store = stored(*result.chain, alias=alias)
    yield kit.show(store)
    yield kit.show_matrix([result, failed], [store])
    yield kit.show_review(kit.review(store, [result], at=NOW))
    yield kit.show(kit.compare_stores(store, stored(OTHER_ROOT.der)))
    yield kit.show_drift(kit.compare_surveys([probe_of(LEAF.der, url=result.endpoint.url)], [result], [ROOT.der]))
    yield kit.show_expiry([result, failed], [store])
    yield from (kit.show_frame(frame, name) for frame in frames(name).values())
    yield kit.change_record(b"\n".join(event_line(value, at=NOW, previous=None) for value in (result, judged)))
    try:
        for plan in plans(name):
            yield kit.show_plan(plan)
            yield kit.change_record(event_line(plan, at=NOW, previous=None))
    except CertificateError as error:
        yield kit.show(error)


def frames(name: str) -> dict[str, pd.DataFrame]:
    result = looked(name)
    results: list[kit.Probe | kit.ProbeFailure] = [result, failure_of(*result.chain)]
    store = stored(*result.chain, alias=TEXTS.get(name, "alias"))
    made = {
        "survey": kit.survey_frame(results, [ROOT.der]),
        "certificates": kit.certificates_frame(results),
        "entries": kit.entries_frame(store, NOW),
        "matrix": kit.trust_matrix(results, [store]),
        "expiry": kit.expiry_frame(results, [store]),
        "issuers": kit.issuers_frame(results),
        "shared": kit.shared_frame(results),
        "names": kit.names_frame(results),
        "pinned": kit.pinned_frame(results, [store]),
        "drift": kit.drift_frame(kit.compare_surveys([probe_of(LEAF.der, url=result.endpoint.url)], [result])),
    }
    return {what: frame for what, frame in made.items() if len(frame)}


def require_seen(*texts: str, most: int = LARGEST_DOCUMENT) -> None:
    for text in texts:
        assert UNSEEN.search(text) is None
        assert len(text) <= most


# --- what is shown -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHAINS)
def test_whatever_a_certificate_says_is_shown_bounded_and_inert(name: str) -> None:
    looked(name)
    begun = time.process_time()
    shown = [*pictures(name)]
    assert time.process_time() - begun < SECONDS
    for each in shown:
        title, _ = text_of_page(each.page(name))
        assert title == name
        require_seen(text_of(each.html()), each.html(), each.page(name), each.markdown(), str(each))
    rendered = tags_of(Static(tuple(part for each in shown for part in each.parts)).markdown())
    assert {tag for tag, *_ in rendered} <= MARKDOWN_TAGS
    assert {carried for _, *attributes in rendered for carried in attributes} <= {"href=#"}


@pytest.mark.parametrize("name", CHAINS)
def test_whatever_a_certificate_says_is_one_bounded_line_in_each_value(name: str) -> None:
    result = looked(name)
    for cell in (cell for frame in frames(name).values() for cell in frame.to_numpy().ravel() if isinstance(cell, str)):
        require_seen(cell, most=LARGEST_CELL)
        assert "\n" not in cell
    diagnosis = kit.judge(result, [ROOT.der])
    said = [str(diagnosis.message), kit.next_step(diagnosis), *(finding.detail for finding in diagnosis.findings)]
    said += [repr(result), repr(diagnosis), *(candidate.consequence for candidate in kit.anchor_candidates(diagnosis))]
    for der in result.chain:
        try:
            facts = kit.certificate_facts(der)
            said += [repr(facts), facts.name, *facts.subject_alt_name, *facts.notes, kit.suggest_alias(der)]
            assert re.fullmatch(r"allegra-[a-z0-9.-]+", kit.suggest_alias(der))
        except CertificateError as error:
            said.append(str(error))
    for ask in refusals(name):
        with pytest.raises(KitError) as refused:
            ask()
        said.append(str(refused.value))
    require_seen(*said)
    assert not [each for each in said if "\n" in each]


def refusals(name: str) -> Iterator[Callable[[], object]]:
    """What raises an error in whose message a stranger's words could stand."""
    der, text = looked(name).chain[-1], TEXTS.get(name, name)
    yield lambda: kit.check_fingerprint(der, "ab" * 32)
    yield lambda: kit.check_fingerprint(der, text)
    yield lambda: kit.certificate_facts(der[:-1])
    yield lambda: kit.Endpoint.parse(f"imap://{text}:no")
    yield lambda: kit.plan_import(stored(), [der, ROOT.der], purpose="", aliases=[text])
    keys = stored(der, alias=text, kind=kit.EntryKind.PRIVATE_KEY)
    yield lambda: kit.plan_removal(keys, [f"{text}0"], purpose="")


SHORTENED = {
    "a name of a megabyte": r"x… \(1,048,57\d characters\)",
    "a megabyte of escapes": r"\\x1b… \(1,048,57\d characters\)",
    "a megabyte of accents": r"… \(524,29\d characters\)",
    "a name of 50,000 parts": r"CN=mail,OU=unit 49999,[^…]*… \(688,897 characters\)",
    "50,000 alternative names": r"DNS:host4.example.com, … \(50,000 names\)",
    "50,000 directory names": r"DirectoryName:CN=host4, … \(50,000 names\)",
    "an alternative name of a megabyte": r"DNS:x+… \(1,048,576 characters\)",
}


@pytest.mark.parametrize("name", SHORTENED)
def test_what_is_shortened_says_how_long_it_is(name: str) -> None:
    shown = text_of(kit.show(looked(name)).html())
    assert re.search(SHORTENED[name], shown)
    (length,) = set(re.findall(r"… \(.+?\)", shown))
    assert length in kit.certificates_frame([looked(name)]).to_csv()


def test_of_many_purposes_and_a_long_serial_number_the_first_are_shown() -> None:
    purposes = kit.certificate_facts(looked("50,000 purposes").chain[0]).extended_key_usage
    assert (len(purposes), purposes[99:]) == (101, ("1.2.3.99", "… (50,000 purposes)"))
    serial = kit.certificate_facts(looked("a serial number of a megabyte").chain[0]).serial_number
    assert serial == "7f" * 150 + "… (2,097,152 characters)"


@pytest.mark.parametrize("name", HUGE)
def test_the_command_with_a_long_certificate_is_shown_in_short_and_whole_as_a_value(name: str) -> None:
    (plan, *_) = plans(name)
    (command,) = plan.keytool_commands()
    shown = str(kit.show_plan(plan))
    assert (f"… ({command.count(chr(10)) + 1:,} lines)" in shown) is (command.count("\n") >= 400)
    assert kit.certificate_facts(looked(name).chain[0]).sha256 in shown.replace(":", "").lower()


# --- time --------------------------------------------------------------------------------------------------------------------


def test_fifty_thousand_names_are_compared_once_however_many_anchors_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("allegra_tls_kit.trust.refusal", lambda name, *_, **__: asked.append(name))
    result = probe_of(HUGE["50,000 alternative names"]().der)
    at_hand = [issue(f"CA {number}", ca=True).der for number in range(20)]
    assert [each.der for each in kit.anchor_candidates(kit.judge(result, [OTHER_ROOT.der]), at_hand)] == [*result.chain]
    assert asked == [result.endpoint.identity]


# --- what is written ---------------------------------------------------------------------------------------------------------


def test_no_cell_of_what_is_exported_is_a_formula_and_no_row_is_lost(tmp_path: Path) -> None:
    results = [looked(name) for name in ALL]
    frame = kit.certificates_frame(results)
    begins = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe63", "\t", "\r", "\n")
    path = kit.export_csv(frame, tmp_path / "all.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file, strict=True)]
    assert len(rows) == len(frame) + 1
    assert {len(row) for row in rows} == {len(frame.columns)}
    columns = [number for number, kind in enumerate(frame.dtypes) if kind == TEXT]
    assert not [row[number] for row in rows for number in columns if row[number].strip().startswith(begins)]
    require_seen(*(cell for row in rows for cell in row), most=LARGEST_CELL)
    (sheet,) = openpyxl.load_workbook(kit.export_excel(frame, tmp_path / "all.xlsx"))
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "b", "d"}
    assert not [cell for cell in cells if cell.data_type == "s" and str(cell.value).strip().startswith(begins)]
    lines = kit.export_json_lines(frame, tmp_path / "all.jsonl").read_text().splitlines()
    assert len(lines) == len(frame)
    assert all(line.isascii() and line.isprintable() for line in lines)
    pems = kit.export_pem(results, tmp_path / "pem")
    for name, result, pem in zip(ALL, results, pems, strict=True):
        assert name not in TEXTS or kit.read_certificates(pem) == result.chain
        assert not re.search("script|CN=", pem.read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"all.csv", "all.xlsx", "all.jsonl", "pem"}


END_OF_CALL = "end of a call"
SHELL = "".join(f"{tool}() {{ printf '%s\\0' {tool} \"$@\" '{END_OF_CALL}'; }}\n" for tool in ("keytool", "install", "rm"))


def test_no_command_of_a_plan_runs_anything_but_what_it_says(tmp_path: Path) -> None:
    """Let a real shell run them, in which the tools tell their arguments, and nothing else can be found."""
    script, aliases = [SHELL], []
    for name, text in TEXTS.items():
        first, named, _, removal = plans(name)
        for plan in (first, named, removal) if "\0" not in text else (first,):  # no argument of a program can hold one
            script += [*plan.keytool_commands(), *system_commands(plan, Path("/etc/ssl/certs/java/cacerts"))[:-1]]
            aliases.append(plan.actions[0].alias)
    told = "\n".join(script).encode()
    done = subprocess.run(["/bin/sh"], input=told, env={"PATH": ""}, cwd=tmp_path, capture_output=True, check=True)
    assert (done.stderr, [*tmp_path.iterdir()]) == (b"", [])
    calls = [call.removeprefix("\0").split("\0") for call in done.stdout.decode().split(f"\0{END_OF_CALL}")[:-1]]
    of_keytool = [call[call.index("-alias") :] for call in calls if call[0] == "keytool"]
    rest = ["-storetype", "JKS", "-keystore", "/srv/mail.ks", "-storepass:env", "STOREPASS"]
    assert {tuple(call) for call in of_keytool} == {("-alias", alias, *rest) for alias in aliases}
    files = {call[-1] for call in calls if call[0] != "keytool"}
    assert all(re.fullmatch(r"/usr/local/share/ca-certificates/allegra-[a-z0-9.-]+\.crt", file) for file in files)


def test_a_terminal_shows_any_chain_that_a_server_sends_and_obeys_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store.ks"
    store.write_bytes(rewrite(None, store, "changeit", Edit({"other": OTHER_ROOT.der}, frozenset(), NOW)))
    for name in CHAINS:
        try:
            context = context_of(*chain(name))
        except ssl.SSLError:  # a server with OpenSSL does not take it either
            assert name in {**ENCODINGS, **HUGE}
            continue
        with Server(tls(context)) as server:
            assert main(["probe", server.endpoint("imaps").url, "--truststore", str(store)]) == 1
        said = capsys.readouterr()
        assert said.err == ""
        require_seen(said.out)
        too_long = sum(len(each.der) for each in chain(name)) > LONGEST_ON_THE_WIRE
        assert ("✖ HandshakeFailed" in said.out) is ("excessive message size" in said.out) is too_long
        assert too_long or kit.keytool_notation(sha256_of(chain(name)[0].der)) in said.out


def test_the_record_of_a_change_with_any_certificate_is_inert_and_whole(tmp_path: Path) -> None:
    for number, (name, text) in enumerate(SAID.items()):
        result, store, folder = looked(name), tmp_path / f"{number}.ks", tmp_path / f"{number}"
        journal = kit.open_journal(folder)
        journal.keep_all((result, kit.judge(result, [OTHER_ROOT.der]), kit.Statement("justification", text)))
        plan = kit.plan_import(kit.read_keystore(store, "changeit"), result.chain[::-1], purpose=text, aliases=[text, f"{text}2"])
        applied = go(plan, journal, "changeit")
        assert kit.read_keystore(store, "changeit").anchors == result.chain[::-1]
        journal.keep(kit.Verified(plan.id, result.endpoint, NOW, True, None, None, (text, text)))  # noqa: FBT003
        written = kit.write_record(journal, notebook="")
        assert kit.verify_record(folder).intact
        assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "journal.jsonl", "record.html", "record.md"]
        page, markdown = written.page.read_text("utf-8"), written.record.read_text("utf-8")
        require_seen(*text_of_page(page), page, markdown, str(kit.show(written)), str(kit.show(applied)))
        assert {tag for tag, *_ in tags_of(markdown)} <= MARKDOWN_TAGS
        assert {carried for _, *attributes in tags_of(markdown) for carried in attributes} <= {"href=#"}
        for line in journal.path.read_text("utf-8").split("\n"):
            assert line.isprintable()
        require_seen(str(kit.show(kit.read_record(folder))), str(kit.show_records(kit.list_records(tmp_path))))
        (back, *_) = (kit.plan_rollback(each, kit.read_keystore(store, "changeit")) for each in kit.read_record(folder).changes)
        require_seen(str(kit.show_plan(back)))
