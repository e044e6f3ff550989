"""What lies on disk, read with bounds: lists of endpoints, keystores, certificates from a provider. Nothing is written here."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit import keystore
from allegra_tls_kit.certificate import certificates_in
from allegra_tls_kit.endpoint import Endpoint, parse_endpoints
from allegra_tls_kit.errors import CertificateError, EndpointError, LocateError, UnreadableKeystore
from allegra_tls_kit.locate import Allegra, find_jvms, locate
from allegra_tls_kit.secret import PasswordSource, obtain
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from io import FileIO

LONGEST_LIST = 16 * 1024 * 1024
LONGEST_KEYSTORE = 64 * 1024 * 1024
"""10,000 entries are 10 MB."""
LONGEST_CERTIFICATES = 4 * 1024 * 1024


def read_endpoints(path: str | os.PathLike[str]) -> tuple[Endpoint, ...]:
    """Read a list of endpoints, text or CSV as `parse_endpoints` has them, in UTF-8.

    Raises EndpointError that names file, line and reason.
    """
    try:
        text = read_bounded(Path(path), LONGEST_LIST).decode("utf-8-sig")
    except OSError as error:
        raise EndpointError(f"{path}: the list cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EndpointError(f"{path}: not UTF-8 text; save the list as UTF-8, or as CSV UTF-8 from a spreadsheet") from None
    return parse_endpoints(text, str(path))


def read_keystore(path: str | os.PathLike[str], password: PasswordSource = None) -> keystore.Snapshot:
    """Read a keystore file; one that is not there gives a snapshot with `exists` False.

    Without a password it is read as Allegra's JVM does: integrity unchecked, encrypted parts of PKCS12 unseen. Raises
    WrongPassword, SecretError, and UnreadableKeystore for what is no keystore, a damaged one, or a file that may not be read.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))  # before it is read, so that nobody turns a link in between unnoticed
    return replace(keystore.read(read_keystore_bytes(path), path, obtain(password, f"Password of {path.name}")), place=place)


def read_to_restore(
    path: str | os.PathLike[str], backup: keystore.Snapshot, password: PasswordSource = None
) -> keystore.Snapshot:
    """Read a keystore over which a backup is to be restored, whatever became of it.

    What is damaged, or no keystore any more, is known by its digest: it counts as having no entries, with the reason as its note.
    Raises as `read_keystore` for a file that may not be read, and for a wrong password.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    data = read_keystore_bytes(path)
    try:
        return replace(keystore.read(data, path, obtain(password, f"Password of {path.name}")), place=place)
    except UnreadableKeystore as error:
        digest = hashlib.sha256(data or b"").hexdigest()
        return replace(backup, path=path, sha256=digest, entries=(), locked=False, notes=(str(error),), place=place)


def read_truststore(path: str | os.PathLike[str] = "") -> keystore.Snapshot | None:
    """Read the truststore to judge by: this file, or else what the Java of this host trusts by itself; None where there is none.

    The Java of the running Allegra comes first, then JAVA_HOME, then PATH. Read without a password, as Allegra does. Raises
    LocateError where the file that was named is not there.
    """
    if str(path):
        named = read_keystore(path)
        if not named.exists:
            raise LocateError(f"{path}: there is no such keystore to judge by; name another one")
        return named
    try:
        jvms = locate().jvms
    except LocateError:
        jvms = find_jvms()
    return read_keystore(jvms[0].cacerts.path) if jvms else None


def default_anchors(allegra: Allegra) -> tuple[bytes, ...]:
    """Return the certificates (DER) that Allegra's Java trusts by itself, from its cacerts; empty where no Java was found."""
    return () if allegra.cacerts is None else read_keystore(allegra.cacerts.path).anchors


def read_keystore_bytes(path: Path) -> bytes | None:
    """Return the bytes of a keystore file, None where there is no such file; raises UnreadableKeystore."""
    try:
        return read_bounded(path, LONGEST_KEYSTORE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableKeystore(f"{path}: the keystore cannot be read: {error.strerror}") from None


def read_certificates(path: str | os.PathLike[str]) -> tuple[bytes, ...]:
    """Return the DER of every certificate in a provider's file: PEM with any number, DER or PKCS7; raises CertificateError."""
    try:
        data = read_bounded(Path(path), LONGEST_CERTIFICATES)
    except OSError as error:
        raise CertificateError(f"{path}: the file cannot be read: {error.strerror}") from None
    return certificates_in(data, str(path))


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file, links followed; a pipe or a device, which could keep us for ever, is refused.

    Raises OSError with its reason as `strerror`, also for more than `limit` bytes, which are not read.
    """
    with BufferedReader(open_file(path)) as file:
        size = min(os.fstat(file.fileno()).st_size, limit)  # asked for the limit at once, it would set as much memory aside
        data = file.read(size + 1)
        if len(data) > size:  # it has grown, or its file system tells no size
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"more than {limit // (1024 * 1024)} MB, longer than any that is read here", str(path))
    return data


def open_file(path: Path) -> FileIO:
    """Open a regular file to be read, links followed; raises OSError at once for a pipe, where nobody may be at the other end."""
    try:
        file = open(path, "rb", buffering=0, opener=_at_once)  # noqa: SIM115 - whoever calls closes it
    except ValueError as error:  # a zero in the name, or half a character
        raise OSError(errno.EINVAL, visible(str(error)), visible(str(path))) from None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
