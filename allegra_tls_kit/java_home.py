"""What a Java home contains: its version, and the truststore its JVM takes when nobody names another.

Rule: a few bytes of a few files are read; no program is started, nothing is written. What may not be looked at reads as absent.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import UnreadableKeystore
from allegra_tls_kit.keystore import StoreType, store_type_of
from allegra_tls_kit.system_store import system_store
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from datetime import datetime

RELEASE_BYTES = 65_536
"""How much of a `release` file is read; real ones have about 2 KB."""


@dataclass(frozen=True, slots=True)
class TrustFile:
    """One truststore file as it lies on the disk.

    `path` is how the JVM names it, `real_path` the same with every link resolved: the file that would be written.
    `exists` means a regular file, `readable` that this process may read it, which says nothing about Allegra's user.
    `store_type` is told by the first four bytes; None for what is no keystore, also PEM, and for what cannot be read.
    `owned_by` says which tool of the operating system writes the file and where lasting additions go; None where no such tool is
    known, and even then an update of Java replaces what lies in its own folder.
    `shadows` is the `cacerts` that an existing `jssecacerts` keeps from being read.
    """

    path: Path
    real_path: Path
    exists: bool
    readable: bool
    store_type: StoreType | None
    owned_by: str | None
    shadows: Path | None = None

    def __str__(self) -> str:
        """Return path, target and state as words."""
        state = (self.store_type or "no keystore by its first bytes") if self.readable else "it may not be read by this user"
        target = "" if self.real_path == self.path else f" → {visible(str(self.real_path))}"
        shadowed = "" if self.shadows is None else f", read instead of {self.shadows.name}"
        return f"{visible(str(self.path))}{target}, {state if self.exists else 'which does not exist'}{shadowed}"


@dataclass(frozen=True, slots=True)
class Jvm:
    """A Java on this host.

    `home` is what this Java calls `java.home`, links resolved; `ground` where it was learned; `version` None where no `release`
    file names it. `cacerts` is the file it reads where no truststore is set. `pid`, `started` (aware UTC) and
    `truststore_property` are those of a running Allegra, None for a Java that was only found. The property is what the process
    was started with: what the program sets later, or an argument file says, does not show here.
    """

    home: Path
    ground: str
    version: str | None
    cacerts: TrustFile
    pid: int | None = None
    started: datetime | None = None
    truststore_property: str | None = None


def trust_file(path: Path, *, shadows: Path | None = None) -> TrustFile:
    """Look at one file that is, or could be, a truststore; its entries are not read and no password is needed."""
    exists, magic = is_file(path), b""
    readable = exists
    try:
        if exists:
            with path.open("rb") as file:
                magic = file.read(4)
    except OSError:
        readable = False
    real_path = Path(os.path.realpath(path))  # Path.resolve raises RuntimeError on a loop of links before Python 3.13
    return TrustFile(path, real_path, exists, readable, _type_by(magic), owner(real_path), shadows)


def _type_by(magic: bytes) -> StoreType | None:
    try:
        return store_type_of(magic, "")
    except UnreadableKeystore:
        return None


def owner(real_path: Path) -> str | None:
    """Tell what in the operating system writes a truststore at this place, links resolved; None where nothing is known to."""
    system = system_store(real_path)
    return None if system is None else system.words


def default_truststore(java_home: Path) -> TrustFile:
    """Return the file that the JVM of this home reads where no `javax.net.ssl.trustStore` is set.

    `lib/security/jssecacerts` where it is a file, or else `lib/security/cacerts`, even if that does not exist (JSSE Reference
    Guide, "Creating an X509TrustManager"). The JVM passes over a `jssecacerts` that its user may not read; that user's rights are
    not looked at here.
    """
    security = java_home / "lib" / "security"
    own, cacerts = security / "jssecacerts", security / "cacerts"
    return trust_file(own, shadows=cacerts) if is_file(own) else trust_file(cacerts)


def java_home_at(folder: Path) -> Path | None:
    """Return what the JVM in this folder calls `java.home`, links resolved; None where there is no Java.

    A JDK of Java 8 has its JVM, and so its `cacerts`, in `jre`.
    """
    home = Path(os.path.realpath(folder))
    return next((place for place in (home / "jre", home) if is_folder(place / "lib" / "security")), None)


def java_home_of(program: Path) -> Path | None:
    """Return the `java.home` of a `java` program, links resolved: two levels up; None where that is no Java home."""
    return java_home_at(Path(os.path.realpath(program)).parent.parent)


def java_version(java_home: Path) -> str | None:
    """Return JAVA_VERSION of the `release` file, for example `17.0.15`; None where there is none, as in some JREs of Java 8."""
    for folder in (java_home, java_home.parent) if java_home.name == "jre" else (java_home,):
        try:
            with (folder / "release").open("rb") as file:
                text = file.read(RELEASE_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        if match := re.search(r'^JAVA_VERSION="?([^"\r\n]+)', text, re.MULTILINE):
            return visible(match[1])
    return None


def is_file(path: Path) -> bool:
    """Tell whether this is a regular file, links followed; False also where it may not be looked at."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Tell whether this is a folder, links followed; False also where it may not be looked at."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode  # Path.is_file and is_dir raise PermissionError before Python 3.14
    except (OSError, ValueError):
        return 0
