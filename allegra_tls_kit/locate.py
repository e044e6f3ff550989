"""Looking around on this host: where Allegra's home is, which Java runs it, which truststore that Java takes by default.

Rule 1: read-only. No program is started, nothing is written; of a keystore the first four bytes are read.
Rule 2: command lines and environments of processes hold passwords. Of them only the names in `_KEPT` are kept or shown.
Rule 3: whatever was looked at leaves a sentence, found or not, so that nobody has to guess what was left out.

Paths of a process are those that the process sees; in a container they are the container's.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import psutil

from allegra_tls_kit.endpoint import ascii_name
from allegra_tls_kit.errors import EndpointError, LocateError
from allegra_tls_kit.java_home import Jvm, TrustFile, default_truststore, is_folder, java_home_at, java_home_of, java_version
from allegra_tls_kit.text import count, is_device, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_Value = TypeVar("_Value")

HOME_NAMES = ("ALLEGRA_HOME", "TRACKPLUS_HOME")
"""Allegra's home and its older name, in the order in which they are believed."""

_ON_WINDOWS = os.name == "nt"
_TRUSTSTORE = "javax.net.ssl.trustStore"
_KEPT = frozenset({*HOME_NAMES, _TRUSTSTORE})
_JAVA_PROGRAMS = frozenset({"java", "javaw"})
_TOMCAT = "org.apache.catalina.startup.Bootstrap"
_ALLEGRA_ARCHIVE = re.compile(r"(?:^|[/\\:;])(?:allegra|trackplus)[\w.-]*\.[jw]ar$", re.IGNORECASE)
_OPTION = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_NOT_LOOKED_AT = (
    "not looked at: application.properties, Torque.properties and Allegra's database, which may name another home; "
    "a Java inside another program (jsvc, a Windows service)"
)


class RunningProcess(Protocol):
    """What is read of a process: a part of `psutil.Process`, its exceptions AccessDenied and NoSuchProcess included."""

    @property
    def pid(self) -> int: ...  # noqa: D102 - named as in psutil, here and below
    def name(self) -> str: ...  # noqa: D102
    def cmdline(self) -> list[str]: ...  # noqa: D102
    def environ(self) -> dict[str, str]: ...  # noqa: D102
    def exe(self) -> str: ...  # noqa: D102
    def cwd(self) -> str: ...  # noqa: D102
    def create_time(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Learned:
    """A value with its ground: where it was learned, for example `-DALLEGRA_HOME of process 4711`."""

    value: str
    ground: str


@dataclass(frozen=True, slots=True)
class Allegra:
    """One Allegra on this host, as far as it can be seen from here.

    `home` is absolute, as it was named, links not resolved; it may be missing where a process in a container named it.
    `jvms` begins with those of the running Allegra. `looked_at` says in whole sentences, in order, what was looked at.
    """

    home: Path
    ground: str
    keystore_folder: Path
    jvms: tuple[Jvm, ...]
    looked_at: tuple[str, ...]

    @property
    def cacerts(self) -> TrustFile | None:
        """The default truststore of the first JVM; None where no Java was found."""
        return self.jvms[0].cacerts if self.jvms else None

    def keystore_for(self, host: str) -> Path:
        """Return `<home>/keystore/<host>.ks`, the host exactly as it stands in Allegra's settings; the file need not exist.

        Raises LocateError for what is no host, and so for whatever would leave the folder.
        """
        try:
            ascii_name(host)
        except EndpointError as error:
            raise LocateError(f"no keystore is named after this: {error}") from None
        if _ON_WINDOWS and is_device(host):
            raise LocateError(f"{host}.ks is a device for Windows; have Allegra use another name, or the address, of this server")
        if re.search(r"[/\\\x00-\x1f]", host):  # an IPv6 zone may hold almost any character
            raise LocateError(f"{visible(host)!r} would name a file outside {visible(str(self.keystore_folder))}")
        return self.keystore_folder / f"{host}.ks"


@dataclass(frozen=True, slots=True)
class _Process:
    """What is kept of a Java process; `certain` means that its command line names Allegra, not only its environment."""

    pid: int
    certain: bool
    home: Learned | None
    truststore: str | None
    java_home: Path | None
    started: datetime | None

    def __str__(self) -> str:
        return f"process {self.pid} " + ("names no home" if self.home is None else f"has the home {visible(self.home.value)}")


def locate(
    home: Path | str | None = None,
    *,
    processes: Iterable[RunningProcess] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Allegra:
    """Find Allegra's home and its Java: the argument, then the running process, then our own environment.

    A process is believed in the order -DALLEGRA_HOME, -DTRACKPLUS_HOME, ALLEGRA_HOME, TRACKPLUS_HOME in its environment.
    `processes` and `environ` default to those of this host and of this Python; whatever a process keeps from this user is said in
    `looked_at`. Raises LocateError where nothing names a home, several processes do, or the argument or our own environment
    names what is not a folder. The folder is not checked to be Allegra's.
    """
    looked_at: list[str] = []
    environ = os.environ if environ is None else environ
    argument = None if home is None else Learned(str(home), "argument")
    looked_at.append("argument: none given" if argument is None else f"argument: {visible(argument.value)}")
    found = _running(psutil.process_iter() if processes is None else processes, looked_at)
    running = [process for process in found if process.certain] or found
    if argument is None and len(running) > 1:
        named = "; ".join(str(process) for process in running)
        raise LocateError(f'several Java processes look like Allegra: {named}; say which: locate("/path/to/ALLEGRA_HOME")')
    learned = (
        argument or next((process.home for process in running if process.home), None) or _from_environment(environ, looked_at)
    )
    looked_at.append(_NOT_LOOKED_AT)
    if learned is None:
        seen = "".join(f"\n- {sentence}" for sentence in looked_at)
        raise LocateError(f'Allegra\'s home was not found; name it, locate("/path/to/ALLEGRA_HOME"), or set ALLEGRA_HOME:{seen}')
    folder = _folder(learned, running, looked_at)
    taken = _of_this_home(folder, running)
    looked_at += [f"{process}: left aside" for process in found if process not in taken]
    jvms = _jvms(taken, environ, looked_at)
    return Allegra(folder, learned.ground, folder / "keystore", jvms, tuple(looked_at))


def find_jvms() -> tuple[Jvm, ...]:
    """Return the Java installations that JAVA_HOME and PATH lead to, where no Allegra is asked for; empty where there is none."""
    return _jvms((), os.environ, [])


def _from_environment(environ: Mapping[str, str], looked_at: list[str]) -> Learned | None:
    for name in HOME_NAMES:
        looked_at.append(f"our own environment {name}: {visible(environ[name]) if environ.get(name) else 'not set'}")
        if environ.get(name):
            return Learned(environ[name], f"our own environment {name}")
    return None


def _folder(learned: Learned, running: Sequence[_Process], looked_at: list[str]) -> Path:
    folder = Path(learned.value).absolute()
    shown = visible(str(folder))
    if any(process.home == learned for process in running):
        if not is_folder(folder):
            looked_at.append(
                f"home {shown}: no folder as seen from here; the process may have its own file system (a container), "
                "or this user may not look there"
            )
            return folder
    elif not learned.value.strip() or not is_folder(folder):
        what = shown if learned.value.strip() else "an empty text"
        raise LocateError(f"{learned.ground}: {what} is not a folder that this user can see; name the one that holds `keystore`")
    state = "there" if is_folder(folder / "keystore") else "not there yet, or not visible to this user"
    looked_at.append(f"keystore folder {visible(str(folder / 'keystore'))}: {state}")
    return folder


def _of_this_home(home: Path, running: Sequence[_Process]) -> list[_Process]:
    real = os.path.realpath(home)
    same = [process for process in running if process.home and os.path.realpath(process.home.value) == real]
    return same or [process for process in running if process.home is None]


# --- processes ---------------------------------------------------------------------------------------------------------------


def _running(processes: Iterable[RunningProcess], looked_at: list[str]) -> list[_Process]:
    """Return the processes that could be Allegra, by their command line or by their environment alone."""
    found: list[_Process] = []
    seen = 0
    for process in processes:
        notes: list[str] = []
        try:
            if _allowed(process.name, "", "", []).lower().removesuffix(".exe") not in _JAVA_PROGRAMS:
                continue
            java = _java_process(process, notes)
        except psutil.NoSuchProcess:  # it ended while it was looked at
            continue
        seen += 1
        looked_at += notes
        if java is not None:
            found.append(java)
    if not seen:
        looked_at.append("processes: none named java, as far as this user sees them")
    return found


def _java_process(process: RunningProcess, looked_at: list[str]) -> _Process | None:
    pid = process.pid
    no_words: list[str] = []
    nothing: dict[str, str] = {}
    arguments = _allowed(process.cmdline, no_words, f"process {pid}: its command line", looked_at)
    environment = _allowed(process.environ, nothing, f"process {pid}: its environment", looked_at)
    options = arguments[1 : arguments.index("-jar")] if "-jar" in arguments else arguments[1:]  # behind it: the program's own
    if any(option.startswith("@") for option in [*options, *_words(environment.get("JDK_JAVA_OPTIONS", ""))]):
        looked_at.append(f"process {pid}: takes options from an argument file (@…), which was not read")
    properties = _properties(options, environment, pid)
    named = [properties[name] for name in HOME_NAMES if name in properties]
    around = [Learned(environment[name], f"environment {name} of process {pid}") for name in HOME_NAMES if environment.get(name)]
    homes = named + around
    archive = any(_ALLEGRA_ARCHIVE.search(argument) for argument in arguments)
    if not homes and not archive:
        looked_at.append(f"process {pid}: a Java without a sign of Allegra in what may be read")
        return None
    home = _anchored(homes[0], process, looked_at) if homes else None
    java_home = _program(process, looked_at)
    started = _allowed(process.create_time, None, f"process {pid}: its start", looked_at)
    shown = "Allegra, no home named" if home is None else f"home {visible(home.value)} by {home.ground}"
    looked_at.append(f"process {pid}: {shown}")
    return _Process(
        pid,
        certain=archive or bool(named) or _TOMCAT in arguments,
        home=home,
        truststore=properties[_TRUSTSTORE].value if _TRUSTSTORE in properties else None,
        java_home=java_home,
        started=None if started is None else datetime.fromtimestamp(started, UTC),
    )


def _allowed(read: Callable[[], _Value], otherwise: _Value, what: str, looked_at: list[str]) -> _Value:
    try:
        return read()
    except psutil.AccessDenied:
        looked_at.append(f"{what} may not be read by this user; be Allegra's user or an administrator for that")
        return otherwise


def _properties(options: Sequence[str], environment: Mapping[str, str], pid: int) -> dict[str, Learned]:
    """Return the -D properties in `_KEPT`; an empty value is no value.

    The last one wins, in the order in which the JVM takes variables and command line (tried on 17 and 25). JDK_JAVA_OPTIONS is
    counted always, though Java 8 does not know it.
    """
    found: dict[str, Learned] = {}
    for variable in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", None, "_JAVA_OPTIONS"):
        where = f" in {variable}" if variable else ""
        for option in _words(environment.get(variable, "")) if variable else options:
            name, _, value = option.removeprefix("-D").partition("=")
            if option.startswith("-D") and name in _KEPT:
                found[name] = Learned(value, f"-D{name}{where} of process {pid}")
    return {name: learned for name, learned in found.items() if learned.value}


def _words(options: str) -> list[str]:
    return [re.sub("[\"']", "", option) for option in _OPTION.findall(options)]


def _anchored(home: Learned, process: RunningProcess, looked_at: list[str]) -> Learned | None:
    if Path(home.value).is_absolute():
        return home
    folder = _allowed(
        process.cwd, "", f"process {process.pid}: its working directory, which {home.ground} is relative to,", looked_at
    )
    return Learned(str(Path(folder, home.value)), home.ground) if folder else None


# --- Java --------------------------------------------------------------------------------------------------------------------


def _program(process: RunningProcess, looked_at: list[str]) -> Path | None:
    """Return the java.home that a process runs; psutil takes the command line's first word where the program may not be read."""
    pid = process.pid
    program = _allowed(process.exe, "", f"process {pid}: its program", looked_at)
    java_home = java_home_of(Path(program)) if program else None
    if program and java_home is None:
        looked_at.append(f"process {pid}: its program {visible(program)} lies in no Java home as seen from here (a container?)")
    if java_home is not None and _is_other_file(Path(program), pid):
        looked_at.append(
            f"process {pid}: runs another file than {visible(program)} is now: Java was updated since it started, or it runs "
            "in a container; then the truststore named for it may not be the one it reads"
        )
    return java_home


def _is_other_file(program: Path, pid: int) -> bool:
    try:
        return not program.samefile(f"/proc/{pid}/exe")
    except OSError:  # no such /proc, or it may not be read: nothing is known
        return False


def _jvms(running: Sequence[_Process], environ: Mapping[str, str], looked_at: list[str]) -> tuple[Jvm, ...]:
    jvms = [
        _jvm(process.java_home, f"program of process {process.pid}", looked_at, process)
        for process in running
        if process.java_home is not None
    ]
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    named = environ.get("JAVA_HOME", "")
    for place, value, home in (
        ("our own environment JAVA_HOME", named, java_home_at(Path(named)) if named else None),
        ("java on our own PATH", on_path, java_home_of(Path(on_path)) if on_path else None),
    ):
        if not value:
            looked_at.append(f"{place}: none")
        elif home is None:
            looked_at.append(f"{place}: {visible(value)} leads to no Java home (no lib/security)")
        elif any(jvm.home == home for jvm in jvms):
            looked_at.append(f"{place}: {visible(value)}, the same Java as above")
        else:
            jvms.append(_jvm(home, place, looked_at))
    looked_at.append(f"Java: {count(len(jvms), 'installation')} in all")
    return tuple(jvms)


def _jvm(home: Path, ground: str, looked_at: list[str], process: _Process | None = None) -> Jvm:
    version, cacerts = java_version(home), default_truststore(home)
    looked_at.append(f"{ground}: Java {version or 'of unknown version'} in {visible(str(home))}; default truststore {cacerts}")
    if process is None:
        return Jvm(home, ground, version, cacerts)
    if process.truststore is not None:
        looked_at.append(
            f"process {process.pid}: started with {_TRUSTSTORE} {visible(process.truststore)} instead of the default"
        )
    return Jvm(home, ground, version, cacerts, process.pid, process.started, process.truststore)
