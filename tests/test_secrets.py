"""A canary goes through every way in and every way of ending, and afterwards no byte of what is left holds it.

The environment of the process that is told `env:NAME` holds it by nature, and so does that of a kernel which is to ask for it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

import allegra_tls_kit as kit
from allegra_tls_kit import ber, keystore
from allegra_tls_kit.keystore import Edit
from tests.changing import AT
from tests.shown import notebook
from tests.stores import NEW, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

MARK = "c4n4ry-7f3e9b"
CANARY = f'"ü&<{MARK}>\\'
REPOSITORY, PACKAGE = Path(__file__).parents[1], Path(kit.__file__).parent
PATIENCE = 90
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: what processes are given is read from Linux's /proc")


# --- the search --------------------------------------------------------------------------------------------------------------


def forms_of(text: str) -> set[bytes]:
    """What a text is in a file: as it is, in UTF-16, in hexadecimal, in base64 wherever it begins, and as Python shows bytes."""
    forms = set()
    for raw in (text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
        forms |= {raw, raw.hex().encode(), raw.hex().upper().encode(), raw.hex(":").encode(), repr(raw)[2:-1].encode()}
        for shift in range(3):  # of base64, only the letters that no neighbour changes
            forms.add(base64.b64encode(bytes(shift) + raw)[(0, 2, 3)[shift] : (shift + len(raw)) * 8 // 6])
    return forms


FORMS = forms_of(MARK)


def tell(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def telling(folder: Path) -> list[str]:
    """The files under a folder that hold the canary, or are named after it."""
    paths = list(folder.rglob("*"))
    assert paths
    return [str(path) for path in paths if tell(str(path).encode()) or (path.is_file() and tell(path.read_bytes()))]


@pytest.mark.parametrize("neighbours", ["", "x", "xy", "xyz"])
def test_the_search_finds_a_password_in_every_form(neighbours: str, tmp_path: Path) -> None:
    text = f"{neighbours}{CANARY}{neighbours}"
    for number, written in enumerate(
        (
            *(text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-16", "latin-1")),
            *(base64.b64encode(text.encode(encoding)) for encoding in ("utf-8", "utf-16-le", "utf-16-be")),
            *(json.dumps(text).encode(), ascii(text).encode(), repr(text.encode("utf-16-be")).encode()),
            *(text.encode().hex().encode(), text.encode().hex().upper().encode()),
        )
    ):
        (tmp_path / str(number)).write_bytes(b"before" + written + b"behind")
        assert telling(tmp_path) == [str(tmp_path / str(number))]
        (tmp_path / str(number)).write_bytes(b"c4n4ry")
    (tmp_path / MARK).touch()
    assert telling(tmp_path) == [str(tmp_path / MARK)]


# --- a work folder -----------------------------------------------------------------------------------------------------------


def sealed(password: str) -> bytes:
    return keystore.rewrite(None, Path("x"), password, Edit({"theirs": TRUSTED.der}, frozenset(), AT))


class Work:
    """A folder in which all that a process may write lies, a store in it, and outside of it the file with the password."""

    def __init__(self, folder: Path, store_password: str = CANARY) -> None:
        self.folder, self.secret = folder / "work", folder / "secret"
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C.UTF-8"}
        self.environment.pop("JAVA_HOME", None)
        places = ("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        for name in (*places, "ALLEGRA_TLS_RECORDS"):
            self.environment[name] = str(self.folder / name.lower())
            (self.folder / name.lower()).mkdir(parents=True)
        self.secret.write_text(f"{CANARY}\n", "utf-8")
        self.store = self.folder / "keystore" / "mail.example.com.ks"
        self.store.parent.mkdir()
        self.store.write_bytes(sealed(store_password))
        (self.folder / "new.pem").write_text(kit.plan.pem(NEW.der))

    def source(self, way: str) -> str:
        """What names the password; where it is the environment, it is put there."""
        if way == "environment":
            self.environment["STOREPASS"] = CANARY
        return {"environment": "env:STOREPASS", "file": f"file:{self.secret}"}.get(way, way)

    def java(self, real: Path | None) -> Path:
        """What stands in for Java: it writes down its environment and the command lines of all processes; then Java answers."""
        program = self.folder / "java"
        seen = f'{{ cat /proc/[0-9]*/cmdline; cat /proc/$$/environ; }} >>"{self.folder}/seen-by-java" 2>/dev/null'
        program.write_text(f"#!/bin/sh\n{seen}\n" + ("exit 1\n" if real is None else f'exec "{real}" "$@"\n'))
        program.chmod(0o755)
        return program

    def key(self) -> Path:
        """A key to sign with, under the canary."""
        form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(CANARY.encode()))
        (self.folder / "key.pem").write_bytes(Ed25519PrivateKey.generate().private_bytes(*form))
        return self.folder / "key.pem"

    def run(self, *arguments: str | Path, said: str = "") -> int:
        """Run a Python program in the folder, with what somebody types; what it says is written there, too."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            return subprocess.run(
                [sys.executable, *arguments], cwd=self.folder, env=self.environment, input=said.encode(), stdout=out, stderr=err,
                timeout=PATIENCE, check=False,
            ).returncode  # fmt: skip

    def asked(self, *arguments: str | Path) -> int:
        """Run a Python program at a terminal, and answer each time it asks; what the terminal shows is written, too."""
        ours, theirs = os.openpty()
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self.folder, env=self.environment, stdin=theirs, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        os.close(theirs)
        with (self.folder / "terminal").open("wb") as shown, os.fdopen(ours, "r+b", buffering=0) as terminal:
            for seen in _read(terminal.fileno()):
                shown.write(seen)
                if seen.endswith(b": "):  # by now it echoes nothing
                    terminal.write(f"{CANARY}\n".encode())
        return process.wait(PATIENCE)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")


def _read(terminal: int) -> Iterator[bytes]:
    """What comes from a terminal until nobody has it any more."""
    while True:
        try:
            seen = os.read(terminal, 4096)
        except OSError:
            return
        if not seen:
            return
        yield seen


# --- every way in, every way of ending ---------------------------------------------------------------------------------------


def ended_well(work: Work) -> bool:
    (record,) = (work.folder / "allegra_tls_records").iterdir()
    told = work.text("seen-by-java")
    assert "tests.indiscreet" in told  # among the processes
    assert "Anchors" in told
    assert kit.verify_record(record).signer
    return kit.read_keystore(work.store, lambda: CANARY).anchors == (TRUSTED.der, NEW.der)


def failed(work: Work) -> bool:
    assert "abandoned" in next((work.folder / "allegra_tls_records").rglob("journal.jsonl")).read_text("utf-8")
    return "WrongPassword: " in work.text("err")


def broke(work: Work) -> bool:
    assert "password = <a password>" in work.text("err")  # so local variables were shown
    return "RuntimeError: something that nobody has thought of" in work.text("err")


def was_killed(work: Work) -> bool:
    return len(list(work.store.parent.glob(".*.tmp"))) == 1


ENDINGS = {"success": (0, ended_well), "failure": (1, failed), "traceback": (1, broke), "killed": (-signal.SIGKILL, was_killed)}


@LINUX
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("way", ["prompt", "environment", "file", "function"])
def test_a_password_is_in_no_byte_whatever_its_way_in_and_however_it_ends(
    way: str, ending: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = Work(tmp_path, store_password="another" if ending == "failure" else CANARY)
    real = request.getfixturevalue("java") if ending == "success" else None
    arguments = ("-m", "tests.indiscreet", work.source(way), ending, work.store, work.java(real), work.key())
    status = work.asked(*arguments) if way == "prompt" else work.run(*arguments, said=f"{CANARY}\n" * 3)
    wanted, as_it_should = ENDINGS[ending]
    assert status == wanted, work.text("err")
    assert as_it_should(work)
    assert (work.folder / "debug.log").exists()
    assert way != "prompt" or "Password of mail.example.com.ks: " in work.text("terminal")
    assert telling(work.folder) == []


# --- in between ------------------------------------------------------------------------------------------------------------


def encrypted(password: str) -> bytes:
    """A PKCS12 file as old keytools encrypt, with few iterations."""
    protection = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    holding = [pkcs12.PKCS12Certificate(TRUSTED.certificate, b"theirs")]
    return pkcs12.serialize_java_truststore(holding, protection.kdf_rounds(2).build(password.encode()))


def cut() -> bytes:
    """The same without a seal, where of a password that is not ASCII the lower seven bits were taken, as Java does."""
    whole = encrypted("".join(chr(octet & 0x7F) for octet in CANARY.encode()))
    version, content, _ = ber.elements(ber.element(whole, ber.SEQUENCE).content)
    return ber.encode(ber.SEQUENCE, version.raw, content.raw)


@pytest.mark.parametrize("content", [sealed(CANARY), encrypted(CANARY), cut()], ids=["JKS", "PKCS12", "PKCS12, cut"])
def test_at_no_step_of_a_change_a_variable_of_the_kit_shows_the_password(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY, "utf-8")
    source, store, journal = f"file:{tmp_path / 'secret'}", tmp_path / "some.ks", kit.open_journal(tmp_path / "record")
    store.write_bytes(content)
    showing, hiding = set[str](), set[str]()

    def look(frame: FrameType, _: str, __: object) -> None:  # at each call and return, as any traceback could
        if Path(frame.f_code.co_filename).parent == PACKAGE:
            told = repr((frame.f_locals, getattr(frame.f_locals.get("self"), "__dict__", None)))
            where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
            showing.update([where] if tell(told.encode()) else ())
            hiding.update([where] if "<a password>" in told else ())

    sys.setprofile(look)
    try:
        plan = kit.plan_import(kit.read_keystore(store, source), [NEW.der], purpose="trust the mail server")
        applied = kit.apply(plan, journal, confirm=plan.id, password=source, witness=None)
        back = kit.plan_rollback(applied, kit.read_keystore(store, source))
        kit.apply(back, journal, confirm=back.id, password=source, witness=None)
    finally:
        sys.setprofile(None)
    assert showing == set()
    assert len(hiding) > 20


# --- notebooks ---------------------------------------------------------------------------------------------------------------

TELLING = """%xmode Verbose
import logging, os, pathlib, signal
import allegra_tls_kit as kit
from allegra_tls_kit import candidate
from tests.indiscreet import broken, killed
from tests.shown import LEAF, ROOT, probe_of
logging.basicConfig(level=logging.DEBUG)
get_ipython().kernel.log.setLevel(logging.DEBUG)
journal = kit.open_journal(RECORD)
plan = kit.plan_import(kit.read_keystore(STORE, PASSWORD_FROM), kit.read_certificates("new.pem"), purpose="trust it")
repr((plan, journal, vars(journal)))"""
MISTAKEN = """form = kit.ImportGuide([probe_of(LEAF.der, ROOT.der)], kit.locate(".", processes=()), password_from="env:STOREPASS")
(field,) = [field for field in form.box.children if field.description == "Password from"]
field.value = pathlib.Path(SECRET).read_text("utf-8").strip()
field.value = "file:here"
form"""
BREAKING = """whole, candidate.differences = candidate.differences, broken
kit.apply(plan, journal, confirm=plan.id, password=PASSWORD_FROM)"""
BREAKING_AGAIN = "kit.apply(plan, journal, confirm=plan.id, password=lambda: pathlib.Path(SECRET).read_text('utf-8').strip())"
ENDING = """candidate.differences = whole
print(kit.show(kit.apply(plan, journal, confirm=plan.id, password=PASSWORD_FROM, witness=None)))
kit.write_record(journal)"""
DYING = "kit.apply(plan, journal, confirm=plan.id, password=PASSWORD_FROM, witness=killed)"


def written(work: Work, way: str, *cells: str) -> Path:
    values = {"STORE": str(work.store), "SECRET": str(work.secret), "PASSWORD_FROM": work.source(way), "RECORD": "record"}
    parameters = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    (work.folder / "telling.ipynb").write_text(notebook(parameters, *cells), "utf-8")
    return work.folder / "telling.ipynb"


def test_a_notebook_that_tells_all_and_is_saved_with_its_widgets_does_not_tell_the_password(tmp_path: Path) -> None:
    work = Work(tmp_path)
    path = written(work, "environment", TELLING, MISTAKEN, BREAKING, BREAKING_AGAIN, ENDING)
    status = work.run("-c", "from nbclient.cli import main; main()", "--inplace", "--allow-errors", path)
    assert status == 0, work.text("err")
    saved = json.loads(path.read_text("utf-8"))
    states = str(saved["metadata"]["widgets"])
    assert "'file:here'" in states
    assert "That was no source" not in states
    _, told, _, broken, again, ended = (str(cell["outputs"]) for cell in saved["cells"])
    assert "sha256" in told
    for trace in (broken, again):
        assert "something that nobody has thought of" in trace
        assert "self._password = <a password>" in re.sub(r"\\x1b\[[0-9;]*m", "", trace)
    assert "Applied, read back and compared" in ended
    assert kit.read_keystore(work.store, lambda: CANARY).anchors == (TRUSTED.der, NEW.der)
    assert telling(work.folder) == []


def test_a_run_whose_kernel_is_killed_in_the_middle_leaves_no_password(tmp_path: Path) -> None:
    work = Work(tmp_path)
    status = work.run("-m", "allegra_tls_kit", "run", written(work, "file", TELLING, DYING))
    assert (status, "the kernel died in the middle of a cell" in work.text("err")) == (1, True), work.text("err")
    (record,) = (work.folder / "allegra_tls_records").iterdir()
    assert {path.name for path in record.iterdir()} >= {"telling.ipynb", "record.html", "SHA256SUMS"}
    assert was_killed(work)
    assert telling(work.folder) == []


def test_a_whole_import_unattended_leaves_no_password(laboratory: kit.Laboratory, tmp_path: Path) -> None:
    work, endpoint = Work(tmp_path), laboratory.endpoints["smtp"]
    root = kit.read_certificates(laboratory.ca_file)
    plan = kit.plan_import(kit.read_keystore(work.store, lambda: CANARY), root, purpose=f"trust {endpoint}")
    given = {
        "ENDPOINT": endpoint.url,
        "HOME": str(laboratory.home),
        "KEYSTORE": str(work.store),
        "REFERENCE": laboratory.reference_fingerprints["smtp"],
        "REFERENCE_FROM": "the provider, by telephone",
        "PASSWORD_FROM": work.source("environment"),
        "CONFIRM": plan.id,
    }
    parameters = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    status = work.run("-m", "allegra_tls_kit", "run", "20_import_certificate", *parameters)
    assert (status, "applied and verified" in work.text("out")) == (0, True), work.text("err")
    assert telling(work.folder) == []
