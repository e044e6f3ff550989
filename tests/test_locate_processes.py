from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from allegra_tls_kit.errors import LocateError
from allegra_tls_kit.java_home import java_home_of, owner
from allegra_tls_kit.locate import locate
from tests.conftest import absent
from tests.test_java_home import make_java
from tests.test_locate import NO_SUCH_PID, Fake, look, said

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    return make_java(tmp_path / "jdk-21")


# --- which process is Allegra ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "archive",
    [
        "allegra.jar",
        "/opt/allegra/bin/allegra.jar",
        r"C:\Allegra\bin\Allegra.jar",
        "lib/a.jar:trackplus.war",
        "allegra-9.0.1.jar",
    ],
)
def test_an_archive_called_allegra_makes_a_process_allegra(archive: str, home: Path) -> None:
    assert said(look(Fake(["-jar", archive]), home=home), "Allegra, no home named")


@pytest.mark.parametrize("argument", ["/opt/allegra/jenkins.jar", "notallegra.jar", "/var/log/allegra.log", "allegra.jar.old"])
def test_other_words_do_not_make_a_process_allegra(argument: str, home: Path) -> None:
    assert said(look(Fake(["-jar", argument]), home=home), "a Java without a sign of Allegra")


def test_only_java_is_asked(home: Path) -> None:
    wrapper = Fake(["java", "-DALLEGRA_HOME=/wrong", "-jar", "allegra.jar"], named="sudo")
    allegra = look(wrapper, ALLEGRA_HOME=str(home))
    assert allegra.home == home
    assert said(allegra, "processes: none named java")
    assert look(Fake(["-jar", "allegra.jar"], {"ALLEGRA_HOME": str(home)}, named="JavaW.exe")).home == home


def test_an_environment_alone_counts_only_where_no_command_line_does(home: Path) -> None:
    exported = Fake(["-jar", "jenkins.war"], {"ALLEGRA_HOME": "/exported"}, pid=NO_SUCH_PID + 1)
    assert str(look(exported).home) == "/exported"
    tomcat = Fake(["org.apache.catalina.startup.Bootstrap", "start"], {"TRACKPLUS_HOME": str(home)})
    allegra = look(exported, tomcat)
    assert allegra.home == home
    assert said(allegra, f"process {NO_SUCH_PID + 1} has the home /exported: left aside")


def test_a_tomcat_without_a_home_is_not_allegra(home: Path) -> None:
    assert said(look(Fake(["org.apache.catalina.startup.Bootstrap"]), home=home), "a Java without a sign of Allegra")


def test_several_allegras_ask_for_the_argument(home: Path, jdk: Path) -> None:
    one = Fake([f"-DALLEGRA_HOME={home}"], pid=NO_SUCH_PID + 1, program=str(jdk / "bin" / "java"))
    two = Fake(["-DTRACKPLUS_HOME=/other"], pid=NO_SUCH_PID + 2)
    three = Fake(["-jar", "allegra.jar"], pid=NO_SUCH_PID + 3)
    with pytest.raises(LocateError) as caught:
        look(one, two, three, ALLEGRA_HOME=str(home))
    for words in (
        f"process {one.pid} has the home {home}",
        f"process {two.pid} has the home /other",
        f"process {three.pid} names no home",
        'locate("/path/to/ALLEGRA_HOME")',
    ):
        assert words in str(caught.value)
    allegra = look(two, three, one, home=home)
    assert [jvm.pid for jvm in allegra.jvms] == [one.pid]
    assert said(allegra, f"process {two.pid} has the home /other: left aside")
    assert said(allegra, f"process {three.pid} names no home: left aside")


def test_a_process_that_names_no_home_still_gives_its_java(home: Path, jdk: Path) -> None:
    allegra = look(Fake(["-jar", "allegra.jar"], program=str(jdk / "bin" / "java")), home=home)
    assert [(jvm.home, jvm.pid) for jvm in allegra.jvms] == [(jdk, NO_SUCH_PID)]


def test_a_process_that_ends_meanwhile_leaves_no_trace(home: Path) -> None:
    ended = [Fake(["-DALLEGRA_HOME=/x"], gone=gone) for gone in (psutil.NoSuchProcess, psutil.ZombieProcess)]
    allegra = look(*ended, home=home)
    assert allegra.jvms == ()
    assert not said(allegra, str(NO_SUCH_PID))


def test_what_another_user_keeps_is_said(home: Path) -> None:
    process = Fake(["-jar", "allegra.jar"], {"ALLEGRA_HOME": "/hidden"}, denied=("environ", "exe", "create_time"))
    allegra = look(process, ALLEGRA_HOME=str(home))
    assert allegra.home == home
    for what in ("environment", "program", "start"):
        assert said(allegra, f"process {NO_SUCH_PID}: its {what} may not be read by this user")
    process.denied = ("cmdline", "environ")
    assert said(look(process, home=home), "a Java without a sign of Allegra in what may be read")


def test_an_argument_file_is_mentioned_and_not_read(home: Path) -> None:
    allegra = look(Fake([f"@{home}/options", "-jar", "allegra.jar"]), home=home)
    assert said(allegra, "argument file", "not read")
    assert said(look(Fake(["-jar", "allegra.jar"], {"JDK_JAVA_OPTIONS": "-Xmx1g @x"}), home=home), "argument file", "not read")
    assert not said(look(Fake(["-jar", "allegra.jar", "@who"]), home=home), "argument file")


# --- real processes ----------------------------------------------------------------------------------------------------------

PROGRAM = """
public class Allegra {
    public static void main(String[] arguments) throws Exception {
        String[] names = {"java.home", "java.version", "ALLEGRA_HOME", "TRACKPLUS_HOME", "javax.net.ssl.trustStore"};
        for (String name : names) System.out.println(name + "=" + System.getProperty(name));
        System.out.println();
        System.in.read();
    }
}
"""


def installed() -> list[str]:
    programs = {str(program.resolve()) for program in Path("/usr/lib/jvm").glob("*/bin/java")}
    return ["fixture", *sorted(programs)]


@pytest.fixture(params=installed(), ids=lambda program: Path(program).parent.parent.name or program)
def any_java(request: pytest.FixtureRequest, java: Path) -> Path:
    return java if request.param == "fixture" else Path(request.param)


@pytest.fixture(scope="module")
def allegra_jar(java: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "Allegra.java").write_text(PROGRAM)
    compiler = f"{java} -m jdk.compiler/com.sun.tools.javac.Main --release 11 Allegra.java"
    done = subprocess.run(compiler.split(), cwd=folder, check=False, capture_output=True, timeout=60)
    if b"Module jdk.compiler not found" in done.stdout + done.stderr:
        absent("a Java with a compiler: a JDK, not a JRE")
    done.check_returncode()
    with zipfile.ZipFile(folder / "allegra.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: Allegra\n")
        jar.write(folder / "Allegra.class", "Allegra.class")
    return folder / "allegra.jar"


@contextmanager
def running(java: Path, *arguments: str | Path, **environment: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Start a JVM; yield the process and the properties as this JVM sees them."""
    command = [java, "-XX:TieredStopAtLevel=1", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, text=True) as process:
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "\n")
            yield psutil.Process(process.pid), dict(line.rstrip("\n").split("=", 1) for line in lines if line)
        finally:
            process.kill()


def test_a_real_allegra_is_found_with_home_java_and_start(any_java: Path, allegra_jar: Path, home: Path) -> None:
    before = datetime.now(UTC)
    options = (f"-DALLEGRA_HOME={home}", "-Djavax.net.ssl.trustStore=/x.ks")
    with running(any_java, *options, "-jar", allegra_jar) as (process, jvm_says):
        allegra = locate(processes=[process], environ={})
        whole_host = locate(home)
    assert (str(allegra.home), allegra.ground) == (jvm_says["ALLEGRA_HOME"], f"-DALLEGRA_HOME of process {process.pid}")
    (jvm,) = allegra.jvms
    assert (str(jvm.home), jvm.version) == (jvm_says["java.home"], jvm_says["java.version"])
    assert (jvm.pid, jvm.truststore_property) == (process.pid, jvm_says["javax.net.ssl.trustStore"])
    assert jvm.started is not None
    assert before - timedelta(seconds=5) < jvm.started < datetime.now(UTC) + timedelta(seconds=5)
    cacerts = Path(jvm_says["java.home"]) / "lib" / "security" / "cacerts"
    assert (jvm.cacerts.path, jvm.cacerts.real_path, jvm.cacerts.exists) == (cacerts, cacerts.resolve(), True)
    assert (jvm.cacerts.store_type, jvm.cacerts.owned_by) in {(kind, owner(cacerts.resolve())) for kind in ("JKS", "PKCS12")}
    assert not said(allegra, "runs another file")
    assert whole_host.jvms[0] == jvm


def test_a_real_environment_is_read_where_nothing_else_names_a_home(any_java: Path, allegra_jar: Path, home: Path) -> None:
    with running(any_java, "-jar", allegra_jar, TRACKPLUS_HOME=str(home), DB_PASSWORD="s3cret") as (process, jvm_says):
        allegra = locate(processes=[process], environ={})
    assert jvm_says["TRACKPLUS_HOME"] == "null"
    assert (allegra.home, allegra.ground) == (home, f"environment TRACKPLUS_HOME of process {process.pid}")
    assert "s3cret" not in repr(allegra)


@pytest.mark.parametrize(
    "variables", [{"_JAVA_OPTIONS"}, {"JDK_JAVA_OPTIONS"}, {"JAVA_TOOL_OPTIONS"}, {"JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS"}]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_real_jvm_ranks_its_options_as_we_do(java: Path, allegra_jar: Path, variables: set[str], *, named: bool) -> None:
    options = ["-DALLEGRA_HOME=/first", "-DALLEGRA_HOME=/line"] if named else []
    environment = {name: f"-Xmx64m -DALLEGRA_HOME='/{name} x'" for name in variables}
    with running(java, *options, "-jar", allegra_jar, "-DALLEGRA_HOME=/program", **environment) as (process, jvm_says):
        allegra = locate(processes=[process], environ={})
    assert str(allegra.home) == jvm_says["ALLEGRA_HOME"]


def test_a_java_that_was_updated_while_running_is_noticed(java: Path, allegra_jar: Path, home: Path, tmp_path: Path) -> None:
    real = java_home_of(java)
    assert real
    copy = tmp_path / "jdk" / "bin" / "java"
    copy.parent.mkdir(parents=True)
    (tmp_path / "jdk" / "lib").symlink_to(real / "lib")
    shutil.copy(real / "bin" / "java", copy)
    with running(copy, f"-DALLEGRA_HOME={home}", "-jar", allegra_jar) as (process, _):
        before = locate(processes=[process], environ={})
        copy.unlink()
        shutil.copy(real / "bin" / "java", copy)
        after = locate(processes=[process], environ={})
    assert not said(before, "runs another file")
    assert said(after, f"runs another file than {copy} is now")


def test_a_process_of_another_user_shows_its_command_line_only(java: Path, allegra_jar: Path, home: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        absent("looking with the eyes of another user needs root")
    with running(java, f"-DALLEGRA_HOME={home}", "-jar", allegra_jar, TRACKPLUS_HOME="/hidden") as (process, _):
        os.seteuid(65534)
        try:
            allegra = locate(processes=[process], environ={})
        finally:
            os.seteuid(0)
    assert (allegra.home, allegra.ground) == (home, f"-DALLEGRA_HOME of process {process.pid}")
    assert [jvm.home for jvm in allegra.jvms] == [java_home_of(java)]
    assert said(allegra, f"process {process.pid}: its environment may not be read by this user")


def test_locate_starts_no_program_and_opens_nothing_for_writing(home: Path) -> None:
    watched = f"""
        import os, sys
        from allegra_tls_kit.locate import locate

        programs = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.")
        changes = ("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.chmod", "os.truncate", "os.utime")

        def watch(event, arguments):
            writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writing or event.startswith(programs + changes):
                os.write(2, f"{{event}} {{arguments}}".encode())
                os._exit(9)

        sys.addaudithook(watch)
        print(len(locate({str(home)!r}).looked_at))
    """
    command = [sys.executable, "-B", "-c", textwrap.dedent(watched)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 5
