from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from allegra_tls_kit.errors import LocateError
from allegra_tls_kit.locate import Allegra, locate
from tests.hostile import DEVICES, PATHS
from tests.test_java_home import make_java

NO_SUCH_PID = 5_000_000  # above the highest that Linux gives, so /proc knows nothing of it


@dataclass
class Fake:
    """A process as psutil would show it; what is in `denied` belongs to another user."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = NO_SUCH_PID
    program: str = "/nowhere/bin/java"
    folder: str = "/nowhere"
    named: str = "java"
    denied: tuple[str, ...] = ()
    gone: type[psutil.NoSuchProcess] | None = None

    def _answer(self, what: str) -> None:
        if self.gone:
            raise self.gone(self.pid)
        if what in self.denied:
            raise psutil.AccessDenied(self.pid)

    def name(self) -> str:
        return self.named

    def cmdline(self) -> list[str]:
        self._answer("cmdline")
        return [self.program, *self.arguments]

    def environ(self) -> dict[str, str]:
        self._answer("environ")
        return self.environment

    def exe(self) -> str:
        self._answer("exe")
        return self.program

    def cwd(self) -> str:
        self._answer("cwd")
        return self.folder

    def create_time(self) -> float:
        self._answer("create_time")
        return 1_700_000_000.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "keystore").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    return make_java(tmp_path / "jdk-21")


def look(*processes: Fake, home: Path | str | None = None, **environ: str) -> Allegra:
    return locate(home, processes=processes, environ=environ)


def said(allegra: Allegra, *words: str) -> bool:
    return any(all(word in sentence for word in words) for sentence in allegra.looked_at)


# --- the order ---------------------------------------------------------------------------------------------------------------


def test_every_place_is_believed_in_its_turn(tmp_path: Path) -> None:
    places = [tmp_path / name for name in "abcdefg"]
    for place in places:
        place.mkdir()
    a, b, c, d, e, f, g = map(str, places)
    options = [f"-DALLEGRA_HOME={b}", f"-DTRACKPLUS_HOME={c}"]
    environment = {"ALLEGRA_HOME": d, "TRACKPLUS_HOME": e}
    own = {"ALLEGRA_HOME": f, "TRACKPLUS_HOME": g}
    process = Fake([*options, "-jar", "allegra.jar"], environment)
    learned = [look(process, home=a, **own)]
    learned.append(look(process, **own))
    del process.arguments[0]
    learned.append(look(process, **own))
    del process.arguments[0]
    learned.append(look(process, **own))
    del environment["ALLEGRA_HOME"]
    learned.append(look(process, **own))
    learned.append(look(**own))
    del own["ALLEGRA_HOME"]
    learned.append(look(**own))
    assert [allegra.home for allegra in learned] == places
    assert [allegra.ground for allegra in learned] == [
        "argument",
        f"-DALLEGRA_HOME of process {NO_SUCH_PID}",
        f"-DTRACKPLUS_HOME of process {NO_SUCH_PID}",
        f"environment ALLEGRA_HOME of process {NO_SUCH_PID}",
        f"environment TRACKPLUS_HOME of process {NO_SUCH_PID}",
        "our own environment ALLEGRA_HOME",
        "our own environment TRACKPLUS_HOME",
    ]


def test_the_last_option_wins_in_the_order_of_the_jvm(tmp_path: Path) -> None:
    tool, jdk, line, late = (str(tmp_path / name) for name in ("tool", "jdk", "line", "late"))
    environment = {
        "JAVA_TOOL_OPTIONS": f"-Xmx1g -DALLEGRA_HOME={tool}",
        "JDK_JAVA_OPTIONS": f"-DALLEGRA_HOME={jdk}",
        "_JAVA_OPTIONS": f"-DALLEGRA_HOME={late}",
    }
    process = Fake(["-DALLEGRA_HOME=/first", f"-DALLEGRA_HOME={line}", "-jar", "allegra.jar"], environment)
    grounds = []
    for expected, gone in ((late, "_JAVA_OPTIONS"), (line, None), (jdk, "JDK_JAVA_OPTIONS"), (tool, None)):
        allegra = look(process)
        assert str(allegra.home) == expected
        grounds.append(allegra.ground.removesuffix(f" of process {NO_SUCH_PID}"))
        if gone:
            del environment[gone]
        else:
            process.arguments = ["-jar", "allegra.jar"]
    assert grounds == [
        "-DALLEGRA_HOME in _JAVA_OPTIONS",
        "-DALLEGRA_HOME",
        "-DALLEGRA_HOME in JDK_JAVA_OPTIONS",
        "-DALLEGRA_HOME in JAVA_TOOL_OPTIONS",
    ]


@pytest.mark.parametrize(
    "options", ['"-DALLEGRA_HOME=/a b/c"', "-DALLEGRA_HOME='/a b/c'", '-Xmx1g -DALLEGRA_HOME="/a b"/c -Xms1g']
)
def test_a_quoted_option_in_a_variable_is_one_option(options: str) -> None:
    assert look(Fake(["Main"], {"JAVA_TOOL_OPTIONS": options})).home == Path("/a b/c")


def test_what_stands_behind_the_jar_is_no_property(home: Path) -> None:
    allegra = look(Fake(["-jar", "allegra.jar", "-DALLEGRA_HOME=/wrong"]), ALLEGRA_HOME=str(home))
    assert allegra.home == home
    assert said(allegra, f"process {NO_SUCH_PID}: Allegra, no home named")


def test_an_empty_value_names_nothing(home: Path) -> None:
    process = Fake(["-DALLEGRA_HOME=", "-jar", "allegra.jar"], {"ALLEGRA_HOME": ""})
    assert look(process, ALLEGRA_HOME="", TRACKPLUS_HOME=str(home)).ground == "our own environment TRACKPLUS_HOME"


def test_a_relative_home_is_relative_to_the_process(home: Path) -> None:
    process = Fake(["-DALLEGRA_HOME=home", "-jar", "allegra.jar"], folder=str(home.parent))
    assert look(process).home == home
    process.denied = ("cwd",)
    with pytest.raises(LocateError, match=r"its working directory, which -DALLEGRA_HOME .* may not be read"):
        look(process)


def test_the_home_is_absolute_and_its_links_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.parent / "link").symlink_to(home)
    monkeypatch.chdir(home.parent)
    allegra = look(home="link")
    assert (allegra.home, allegra.keystore_folder) == (home.parent / "link", home.parent / "link" / "keystore")
    assert said(allegra, "keystore folder", "there")


# --- refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["missing", "file", "", " ", "nul\0"])
def test_an_argument_that_is_no_folder_is_refused(wrong: str, home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(LocateError, match=r"argument: .* is not a folder"):
        look(home=str(home / wrong) if wrong.strip() else wrong)


def test_an_environment_of_ours_that_names_no_folder_is_refused() -> None:
    with pytest.raises(LocateError, match="our own environment ALLEGRA_HOME: /nowhere is not a folder"):
        look(ALLEGRA_HOME="/nowhere")


def test_a_home_that_only_the_process_sees_is_kept_and_said() -> None:
    allegra = look(Fake(["-DALLEGRA_HOME=/only/in/there"]))
    assert allegra.home == Path("/only/in/there")
    assert said(allegra, "home /only/in/there: no folder as seen from here", "container")


def test_nothing_found_lists_what_was_looked_at() -> None:
    with pytest.raises(LocateError) as caught:
        look(Fake(["-jar", "jenkins.war"]))
    for words in (
        'locate("/path/to/ALLEGRA_HOME")',
        "set ALLEGRA_HOME",
        "\n- argument: none given",
        f"\n- process {NO_SUCH_PID}: a Java without a sign",
        "\n- our own environment ALLEGRA_HOME: not set",
        "\n- our own environment TRACKPLUS_HOME: not set",
        "\n- not looked at: application.properties",
    ):
        assert words in str(caught.value)


def test_no_other_word_of_a_process_is_kept_or_shown(home: Path, jdk: Path) -> None:
    arguments = [
        "-Djavax.net.ssl.trustStorePassword=s3cret",
        "-Ddb.password=s3cret",
        f"-DALLEGRA_HOME={home}",
        "-jar",
        "allegra.jar",
        "--token=s3cret",
    ]
    environment = {"LDAP_PASSWORD": "s3cret", "JAVA_TOOL_OPTIONS": "-Dpw=s3cret", "JDK_JAVA_OPTIONS": "@s3cret"}
    process = Fake(arguments, environment, program=str(jdk / "bin" / "java"))
    assert "s3cret" not in repr(look(process, DB_PASSWORD="s3cret"))
    with pytest.raises(LocateError) as several:
        look(process, process)
    process.arguments.remove(f"-DALLEGRA_HOME={home}")
    with pytest.raises(LocateError) as nothing:
        look(process, DB_PASSWORD="s3cret")
    assert "s3cret" not in f"{several.value}{nothing.value}"


def test_a_hostile_home_is_shown_on_one_line() -> None:
    allegra = look(Fake(["-DALLEGRA_HOME=/a\n\x1b[2Jb"]))
    assert str(allegra.home) == "/a\n\x1b[2Jb"
    assert not said(allegra, "\n")
    assert not said(allegra, "\x1b")
    assert said(allegra, r"/a\x0a\x1b[2Jb")


# --- Java --------------------------------------------------------------------------------------------------------------------


def test_the_java_of_the_process_comes_first_and_each_java_once(tmp_path: Path, home: Path, jdk: Path) -> None:
    other = make_java(tmp_path / "jdk-17")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(jdk / "bin" / "java")
    process = Fake([f"-DALLEGRA_HOME={home}", "-Djavax.net.ssl.trustStore=/x/mail.ks"], program=str(jdk / "bin" / "java"))
    allegra = look(process, JAVA_HOME=str(other), PATH=str(tmp_path / "bin"))
    assert [(jvm.home, jvm.ground, jvm.pid) for jvm in allegra.jvms] == [
        (jdk, f"program of process {NO_SUCH_PID}", NO_SUCH_PID),
        (other, "our own environment JAVA_HOME", None),
    ]
    first, second = allegra.jvms
    assert (first.version, first.truststore_property) == ("21.0.8", "/x/mail.ks")
    assert first.started == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (second.started, second.truststore_property) == (None, None)
    assert allegra.cacerts == first.cacerts
    assert said(allegra, "java on our own PATH", "the same Java as above")
    assert said(allegra, "started with javax.net.ssl.trustStore /x/mail.ks")
    assert said(allegra, "Java 21.0.8", str(jdk), "JKS")


def test_java_on_the_path_is_found_behind_its_links(tmp_path: Path, home: Path, jdk: Path) -> None:
    (tmp_path / "java").symlink_to(jdk / "bin" / "java")
    assert [jvm.home for jvm in look(home=home, PATH=str(tmp_path)).jvms] == [jdk]


def test_what_is_no_java_home_is_said(tmp_path: Path, home: Path) -> None:
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    allegra = look(Fake(["-jar", "allegra.jar"]), home=home, JAVA_HOME=str(home), PATH=str(tmp_path))
    assert (allegra.jvms, allegra.cacerts) == ((), None)
    assert said(allegra, "its program /nowhere/bin/java lies in no Java home as seen from here")
    assert said(allegra, "our own environment JAVA_HOME", "leads to no Java home")
    assert said(allegra, "java on our own PATH", "leads to no Java home")
    assert said(allegra, "Java: 0 installations in all")


def test_no_java_at_all_is_said(home: Path) -> None:
    allegra = look(home=home)
    assert said(allegra, "our own environment JAVA_HOME: none")
    assert said(allegra, "java on our own PATH: none")


# --- the name of a keystore --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["mail.example.com", "MAIL.Example.com", "trackplus", "10.0.0.5", "2001:db8::1", "müller.example"]
)
def test_a_keystore_is_named_after_the_host_as_typed(host: str, home: Path) -> None:
    assert look(home=home).keystore_for(host) == home / "keystore" / f"{host}.ks"


@pytest.mark.parametrize(
    "host",
    ["", ".", "..", "../x", "/etc/x", "a/b", r"a\b", "a\0", "a b", r"fe80::1%..\..\x", "fe80::1%\n", "C:x", *PATHS],
)
def test_what_could_leave_the_folder_names_no_keystore(host: str, home: Path) -> None:
    with pytest.raises(LocateError):
        look(home=home).keystore_for(host)


@pytest.mark.parametrize("host", DEVICES)
def test_on_windows_no_keystore_is_named_as_a_device(host: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(home=home).keystore_for(host).parent == home / "keystore"
    monkeypatch.setattr(sys.modules["allegra_tls_kit.locate"], "_ON_WINDOWS", True)
    with pytest.raises(LocateError, match="a device for Windows"):
        look(home=home).keystore_for(host)
    assert look(home=home).keystore_for("console.example.com").parent == home / "keystore"
