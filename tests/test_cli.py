from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.events import event_line
from allegra_tls_kit.keystore import Edit, rewrite
from tests.chains import NOW
from tests.misbehaving import Server, decent, silent, tls
from tests.shown import OTHER_ROOT, notebook, require_sums
from tests.test_journal import PLAN, VERIFIED

Said = pytest.CaptureFixture[str]

MAIN = """
import signal, sys
from allegra_tls_kit.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests in the background has it ignored
sys.exit(main())
"""


def store_of(path: Path, certificate: bytes) -> str:
    path.write_bytes(rewrite(None, path, "changeit", Edit({"root": certificate}, frozenset(), NOW)))
    return str(path)


@pytest.fixture
def fitting(laboratory: kit.Laboratory, tmp_path: Path) -> str:
    """A truststore with the laboratory's root."""
    return store_of(tmp_path / "fitting.ks", kit.read_certificates(laboratory.ca_file)[0])


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    return store_of(tmp_path / "foreign.ks", OTHER_ROOT.der)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "JAVA_HOME", "ALLEGRA_HOME", "TRACKPLUS_HOME"):
        monkeypatch.setenv(name, "")


# --- probe -------------------------------------------------------------------------------------------------------------------


def test_a_server_that_java_trusts_is_status_0(laboratory: kit.Laboratory, fitting: str, capsys: Said) -> None:
    assert main(["probe", laboratory.endpoints["smtp"].url, "--truststore", fitting]) == 0
    said = capsys.readouterr().out
    assert f"Judged against {fitting}: 1 anchor that Java sees without a password." in said
    assert "✔ Java trusts mail.demo.test" in said


def test_a_server_that_java_refuses_is_status_1_with_the_way_out(laboratory: kit.Laboratory, foreign: str, capsys: Said) -> None:
    assert main(["probe", laboratory.endpoints["smtp"].url, "--truststore", foreign]) == 1
    said = capsys.readouterr().out
    for needed in ("✖ Java refuses mail.demo.test", "Next: import the root certificate Demo Root CA", "✔ recommended  root"):
        assert needed in said
    assert laboratory.reference_fingerprints["smtp"] in said


def test_a_server_that_is_not_reached_is_status_1(laboratory: kit.Laboratory, fitting: str, capsys: Said) -> None:
    urls = [laboratory.endpoints[name].url for name in ("smtp", "smtp-refused")]
    assert main(["probe", *urls, "--truststore", fitting]) == 1
    assert "✖ ConnectFailed (connect)" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="no terminals of this kind there")
def test_a_terminal_sees_how_far_it_is_and_whoever_stops_it_has_what_was_done(fitting: str) -> None:
    screen, terminal = os.openpty()
    with Server(tls(decent())) as server, Server(silent) as mute:
        urls = [*(server.endpoint("imaps", f"host{n}.example").url for n in range(4)), mute.endpoint("imaps", "mute.example").url]
        command = [sys.executable, "-c", MAIN, "probe", *urls, "--truststore", fitting, "--timeout", "600"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True) as run:
            seen = b""
            while b"4 of 5 servers" not in seen:
                seen += os.read(screen, 4096)
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=30)
    os.close(terminal)
    assert run.returncode == 130
    assert said.count("not trusted") >= 4
    assert "the run was stopped before this server was done" in said
    assert b"stopped: 4 of 5 servers, 0 failed, 1 remaining" in os.read(screen, 4096)
    os.close(screen)


def test_where_allegra_is_found_each_of_a_few_is_judged_by_what_it_reads_for_it(
    laboratory: kit.Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    own, cacerts = tmp_path / "home" / "keystore" / "localhost.ks", tmp_path / "jdk" / "lib" / "security" / "cacerts"
    for path, der in ((own, kit.read_certificates(laboratory.ca_file)[0]), (cacerts, OTHER_ROOT.der)):
        path.parent.mkdir(parents=True)
        store_of(path, der)
    monkeypatch.setattr("psutil.process_iter", lambda: iter(()))
    monkeypatch.setenv("ALLEGRA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.setenv("PATH", "")
    smtp, ldaps = (laboratory.endpoints[name].url for name in ("smtp", "ldaps"))
    assert main(["probe", smtp, ldaps]) == 1
    first, second = capsys.readouterr().out.split("Judged against ")[1:]
    assert first.startswith(f"{own}: 1 anchor")
    assert "✔ Java trusts mail.demo.test" in first
    assert second.startswith(f"{cacerts}: 1 anchor")
    assert "✖ Java refuses mail.demo.test" in second
    main(["probe", *[smtp] * 4])
    assert capsys.readouterr().out.startswith(f"Judged against {cacerts}: ")
    (own.parent / "trackplus.ks").write_bytes(own.read_bytes())
    assert main(["probe", smtp, ldaps]) == 0
    capsys.readouterr()
    monkeypatch.setattr("allegra_tls_kit.files.LONGEST_KEYSTORE", 10)
    assert main(["probe", smtp]) == 0
    assert capsys.readouterr().out.startswith(f"Not judged: {own} cannot be read from here")


@pytest.mark.usefixtures("no_java")
def test_without_a_truststore_and_a_java_nothing_is_judged(
    laboratory: kit.Laboratory, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.process_iter", lambda: iter(()))
    assert main(["probe", laboratory.endpoints["smtp"].url]) == 0
    assert "Not judged: no Java was found here" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "CSV"])
def test_a_list_of_more_than_three_is_a_table_worst_first(
    form: str, laboratory: kit.Laboratory, fitting: str, tmp_path: Path, capsys: Said
) -> None:
    chosen = [laboratory.endpoints[name] for name in ("smtp", "imap", "pop3s-expired", "ldaps", "smtp-refused")]
    if form == "text":
        lines = ["# all of them", *(endpoint.url for endpoint in chosen)]
    else:
        columns = [(e.host, str(e.port), e.protocol, e.security, str(e.server_name)) for e in chosen]
        lines = [",".join(row) for row in (("host", "port", "protocol", "security", "server_name"), *columns)]
    (tmp_path / "list").write_text("\n".join(lines))
    assert main(["probe", str(tmp_path / "list"), "--truststore", fitting]) == 1
    said = capsys.readouterr().out
    assert "5 servers: 1 failed · 1 expired · 3 trusted" in said
    assert said.index("✖ failed") < said.index("✖ expired") < said.index("✔ trusted")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["probe", "http://x.example"], "EndpointError: unknown scheme"),
        (["probe", "no-such-list.txt"], "EndpointError: .* is not of the form scheme://host:port"),
        (["probe", "smtp://localhost:1", "--truststore", "/no/such.ks"], "LocateError: /no/such.ks: there is no such keystore"),
        (["run", "21_import"], "RunbookError: there is no notebook '21_import'"),
        (["run", "20_import_certificate", "-p", "ENDPOINT"], "RunbookError: write parameters as -p NAME=VALUE"),
        (
            ["run", "20_import_certificate", "-p", "PASSWORD_FROM=hunter2-canary"],
            "RunbookError: PASSWORD_FROM is a secret's name",
        ),
        (["run", "20_import_certificate", "-p", "RECORD=/tmp/x"], "RunbookError: there is no parameter 'RECORD'"),
    ],
)
def test_a_wrong_call_is_status_2_and_one_sentence(arguments: list[str], why: str, capsys: Said) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert re.match(why, said.err)
    assert "hunter2-canary" not in said.out + said.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["frobnicate"], ["probe"], ["probe", "smtp://x", "--timeout", "0"], ["probe", "smtp://x", "--timeout", "nan"]],
)
def test_a_call_that_is_no_call_is_status_2_too(arguments: list[str], capsys: Said) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m allegra_tls_kit" in capsys.readouterr().err


# --- as a program ------------------------------------------------------------------------------------------------------------


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "allegra_tls_kit", *arguments]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        check=False,
    )


def test_the_help_names_every_command() -> None:
    done = program("--help")
    assert done.returncode == 0
    assert re.findall(r"^    (\w+) ", done.stdout, re.MULTILINE) == ["probe", "demo", "lab", "run", "check"]


@pytest.mark.parametrize("environment", [{}, {"PATH": "", "JAVA_HOME": "", "PYTHONIOENCODING": "cp1252"}], ids=["as is", "bare"])
def test_the_demonstration_refuses_before_and_trusts_after_with_or_without_java(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = program("demo", ALLEGRA_TLS_RECORDS=str(tmp_path), TMPDIR=str(tmp_path), **environment)
    assert (done.returncode, done.stderr) == (0, "")
    last = re.fullmatch(r"Before: refused. After: trusted. Record: (.+)", done.stdout.splitlines()[-1])
    assert last is not None
    assert "State: applied and verified" in Path(last[1]).read_text("utf-8")
    require_sums(Path(last[1]).parent)
    assert "no JVM was asked" in done.stdout or not environment
    assert list(tmp_path.iterdir()) == [Path(last[1]).parent]


def test_a_run_that_stops_is_status_1(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "it.ipynb").write_text(notebook('RECORD = ""', 'raise TimeoutError("the reason")'))
    assert main(["run", str(tmp_path / "it.ipynb"), "--records", str(tmp_path / "records")]) == 1
    assert "RunbookFailed: it stopped: TimeoutError: the reason" in capsys.readouterr().err


@pytest.mark.parametrize("waits_for", ["NotConfirmed", "NotCompared"])
def test_a_run_that_waits_for_a_person_is_status_3(waits_for: str, tmp_path: Path, capsys: Said) -> None:
    raised = f'from allegra_tls_kit.errors import {waits_for}\nraise {waits_for}("compare")'
    (tmp_path / "it.ipynb").write_text(notebook('RECORD = ""', raised))
    assert main(["run", str(tmp_path / "it.ipynb"), "--records", str(tmp_path / "records")]) == 3
    assert f"RunbookStopped: it stopped: {waits_for}: compare" in capsys.readouterr().err


@pytest.mark.parametrize(("trusted", "status"), [(True, 0), (False, 1)])
def test_a_run_after_which_the_server_is_not_trusted_is_status_1(
    trusted: bool,  # noqa: FBT001 - a parameter of the test
    status: int,
    tmp_path: Path,
    capsys: Said,
) -> None:
    lines = event_line(PLAN, at=NOW, previous=None), event_line(replace(VERIFIED, trusted=trusted), at=NOW, previous=None)
    (tmp_path / "journal").write_bytes(b"\n".join(lines))
    code = f'import shutil; shutil.copy({str(tmp_path / "journal")!r}, RECORD + "/journal.jsonl")'
    (tmp_path / "it.ipynb").write_text(notebook('RECORD = ""', code))
    assert main(["run", str(tmp_path / "it.ipynb"), "--records", str(tmp_path / "records")]) == status
    assert ("applied and verified" if trusted else "the server is not trusted") in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="no signals there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_leaves_its_record_and_no_kernel(number: signal.Signals, tmp_path: Path) -> None:
    code = "import pathlib, time\npathlib.Path(RECORD, 'begun').touch()\ntime.sleep(60)"
    (tmp_path / "it.ipynb").write_text(notebook('RECORD = ""', code))
    command = [sys.executable, "-m", "allegra_tls_kit", "run", str(tmp_path / "it.ipynb"), "--records", str(tmp_path / "r")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as run:
        while not (begun := list(tmp_path.glob("r/*/begun"))):
            assert run.poll() is None
            time.sleep(0.05)
        kernels = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        said, _ = run.communicate(timeout=30)
    assert (run.returncode, "the kernel died" in said) == (1, True)
    assert psutil.wait_procs(kernels, timeout=10)[1] == []
    assert {path.name for path in begun[0].parent.iterdir()} == {"begun", "it.ipynb", "record.md", "record.html", "SHA256SUMS"}


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    folders = [str(kit.write_record(kit.open_journal(tmp_path / "a")).path)] * 2000
    command = [sys.executable, "-m", "allegra_tls_kit", "check", *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert "intact" in run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait(60) == 1


def test_records_are_checked_and_an_altered_one_is_status_1(tmp_path: Path, capsys: Said) -> None:
    folders = [kit.write_record(kit.open_journal(tmp_path / name)).path for name in ("a", "b")]
    assert main(["check", *map(str, folders)]) == 0
    (folders[1] / "record.md").write_text("x")
    assert main(["check", *map(str, folders)]) == 1
    assert "record.md was altered" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "none")]) == 2
    assert main(["check", str(folders[0]), "--key", str(tmp_path / "none")]) == 2
