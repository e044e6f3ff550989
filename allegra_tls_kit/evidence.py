"""Record folders: where they lie, what is in one, sealed by checksums and if wanted a signature, and checked again years later.

A folder holds `journal.jsonl`, the executed notebook without widget state, `record.md`, `record.html`, `SHA256SUMS`, and where it
was signed `signer.pem` and `SHA256SUMS.sig`. All but the journal and the notebook are made from the journal alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import RecordError, SigningError
from allegra_tls_kit.events import read_events
from allegra_tls_kit.files import read_bounded
from allegra_tls_kit.journal import LONGEST_JOURNAL, Journal
from allegra_tls_kit.outcome import FOREIGN, Outcome, Recorded, recorded
from allegra_tls_kit.record import TITLE, change_record
from allegra_tls_kit.saved import without_widgets
from allegra_tls_kit.secret import PasswordSource, obtain
from allegra_tls_kit.signature import is_signed_by, key_fingerprint, private_key, public_key, public_pem
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from allegra_tls_kit.static import Static

RECORDS_VARIABLE = "ALLEGRA_TLS_RECORDS"
JOURNAL, MARKDOWN, PAGE = "journal.jsonl", "record.md", "record.html"
SUMS, SIGNATURE, SIGNER = "SHA256SUMS", "SHA256SUMS.sig", "signer.pem"
LONGEST_KEY, LONGEST_SUMS, LONGEST_NOTEBOOK = 64 * 1024, 1024 * 1024, 64 * 1024 * 1024
LONGEST_TITLE = 80
_UNFIT = re.compile(r"[^\w.-]+")
SESSION_VARIABLE = "JPY_SESSION_NAME"
"""Where JupyterLab tells a kernel which notebook it belongs to."""
_UNSAVED = "the notebook was saved before its last step: save it (Ctrl+S) and run this cell again, so that the copy is whole"
_ABSENT = "no notebook was found to copy; save it beside these files yourself, if it should be part of the record"


@dataclass(frozen=True, slots=True)
class RecordFolder:
    """What was written; `notebook` is None where none was at hand to copy, `notes` say what a person should still do."""

    path: Path
    journal: Path
    record: Path
    page: Path
    notebook: Path | None
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """Whether a record is what was written. `faults` name each file and line that is not; `notes` say what was not proved.

    `signer` is the SHA-256 of the public key that signed it, None where it is not signed or the signature does not fit.
    """

    path: Path
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    signer: str | None

    @property
    def intact(self) -> bool:
        """Whether nothing was altered, as far as checksums and chain can tell."""
        return not self.faults


def records_folder() -> Path:
    """Return the folder of all records: `$ALLEGRA_TLS_RECORDS`, or `allegra-tls-records` under the user's home."""
    return Path(os.environ.get(RECORDS_VARIABLE) or Path.home() / "allegra-tls-records").expanduser()


def open_journal(folder: str | os.PathLike[str] = "", title: str = "work") -> Journal:
    """Open the journal of a record folder; an empty name makes a new dated folder under `records_folder`."""
    place = Path(folder).expanduser() if str(folder) else new_record_folder(title)
    return Journal(place / JOURNAL)


def new_record_folder(title: str, base: str | os.PathLike[str] | None = None) -> Path:
    """Make and return a folder named after the instant (UTC) and the title, directly under `base` or `records_folder`.

    Of the title stay letters, digits, `_`, `.` and `-`, eighty at most. Raises RecordError.
    """
    base = records_folder() if base is None else Path(base)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{_UNFIT.sub('-', title)[:LONGEST_TITLE]}"
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = base / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RecordError(f"{folder}: no folder can be made here: {error.strerror}; set ${RECORDS_VARIABLE}") from None
        return folder
    raise RecordError(f"{base}: a hundred records of {title} in one second; look what starts them")


def write_record(
    journal: Journal | str | os.PathLike[str],
    *,
    notebook: str | os.PathLike[str] | None = None,
    sign_with: str | os.PathLike[str] = "",
    passphrase: PasswordSource = None,
) -> RecordFolder:
    """Write what a record folder holds besides its journal; again after each step, if you like.

    `journal` is an open one or a record folder, also of a run that failed or was abandoned. `notebook` is copied without widget
    state; with an open journal and None it is the one that JupyterLab runs this in, as it was last saved; "" is none. `sign_with`
    is a file with an Ed25519 private key; written without one, a folder that was signed is no longer. Raises RecordError,
    SigningError, SecretError.
    """
    if isinstance(journal, Journal):
        folder, here = journal.path.parent, os.environ.get(SESSION_VARIABLE)
    else:
        folder, here = Path(journal).expanduser(), None
    key = None
    if str(sign_with):
        key = private_key(_key_file(sign_with), str(sign_with), obtain(passphrase, "Passphrase of the key"))
    data = _journal_of(folder)
    documents = _documents(data)
    try:
        for name, content in documents.items():
            _put(folder / name, content)
        source = here if notebook is None else str(notebook)
        copy, notes = _copied(Path(source), folder) if source else (None, ())
        for name in (SIGNER, SIGNATURE):
            (folder / name).unlink(missing_ok=True)
        if key is not None:
            _put(folder / SIGNER, public_pem(key.public_key()))
        sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in _sealed(folder)).encode()
        _put(folder / SUMS, sums)
        if key is not None:
            _put(folder / SIGNATURE, key.sign(sums))
    except OSError as error:
        raise RecordError(f"{folder}: the record cannot be written: {error.strerror}; the journal is as it was") from None
    state = recorded(data).outcome
    return RecordFolder(folder, folder / JOURNAL, folder / MARKDOWN, folder / PAGE, copy, state, notes)


def verify_record(folder: str | os.PathLike[str], trusted_key: str | os.PathLike[str] = "") -> RecordCheck:
    """Check a record folder: every checksum, every line of the journal, what was made from it, and the signature.

    `trusted_key` is a file with the signer's public key, had from the signer; without one a signature is held against the key
    that lies beside it, and its fingerprint is there to be compared. Reads only. Raises RecordError where there is no record,
    SigningError for a key that is none.
    """
    folder = Path(folder).expanduser()
    key = public_key(_key_file(trusted_key), str(trusted_key)) if str(trusted_key) else None
    data = _journal_of(folder)
    try:
        faults = [*_altered(folder), *recorded(data).faults]
        signer, *notes = _signed(folder, key, faults)
        if not faults:
            (faults if _made_by_this_version(data) else notes).extend(_not_made_from(data, folder))
    except OSError as error:
        raise RecordError(f"{error.filename or folder}: the record cannot be read: {error.strerror}") from None
    return RecordCheck(folder, tuple(faults), tuple(filter(None, notes)), signer)


def read_record(folder: str | os.PathLike[str]) -> Recorded:
    """Return what a record folder tells in short, with the changes that can be undone; raises RecordError."""
    return recorded(_journal_of(Path(folder).expanduser()))


def read_change_record(folder: str | os.PathLike[str]) -> Static:
    """Return the change record of a folder, made anew from its journal; raises RecordError."""
    return change_record(_journal_of(Path(folder).expanduser()))


def list_records(base: str | os.PathLike[str] = "", *, newest: int = 20) -> tuple[tuple[Path, Recorded], ...]:
    """Return the newest record folders under `base` or `records_folder` with what they tell, newest first; () for none.

    One whose journal cannot be read, as another user's, keeps nobody from seeing the others: its `faults` say why.
    """
    place = Path(base).expanduser() if str(base) else records_folder()
    folders = sorted((journal.parent for journal in place.glob(f"*/{JOURNAL}")), key=lambda path: path.name, reverse=True)
    return tuple((folder, _told(folder)) for folder in folders[:newest])


def _told(folder: Path) -> Recorded:
    try:
        return read_record(folder)
    except RecordError as error:
        return replace(recorded(b""), outcome=Outcome.UNKNOWN, faults=(str(error),))


def _journal_of(folder: Path) -> bytes:
    if not folder.is_dir():
        raise RecordError(f"{folder}: there is no such record folder; see `list_records()` for those that there are")
    try:
        return read_bounded(folder / JOURNAL, LONGEST_JOURNAL)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RecordError(f"{folder / JOURNAL}: the journal cannot be read: {error.strerror}") from None


def _copied(source: Path, folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Copy the notebook into the folder without its widgets; return the copy, and what a person should know of it."""
    if not source.is_file():
        return None, (_ABSENT,)
    if source.name in (JOURNAL, MARKDOWN, PAGE, SUMS, SIGNATURE, SIGNER):
        return None, (f"{visible(source.name)} is the name of another file of the record; give the notebook another one",)
    copy, journal = folder / source.name, folder / JOURNAL
    try:
        saved = without_widgets(json.loads(read_bounded(source, LONGEST_NOTEBOOK)))
        content = json.dumps(saved, ensure_ascii=False, indent=1).encode(errors="backslashreplace") + b"\n"
    except OSError as error:
        return None, (f"{visible(source.name)} was not copied: {error.strerror}",)
    except FOREIGN:
        return None, (f"{visible(source.name)} is no notebook that can be read; save it again",)
    if copy.resolve() == source.resolve():
        return copy, ()
    _put(copy, content)
    stale = journal.exists() and source.stat().st_mtime < journal.stat().st_mtime
    return copy, (_UNSAVED,) if stale else ()


def _put(path: Path, content: bytes) -> None:
    """Write a file anew; a link of its name is replaced, and what it led to left alone."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(content)


def _sealed(folder: Path) -> Iterable[Path]:
    """Return the files that the checksums are about."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (SUMS, SIGNATURE))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _altered(folder: Path) -> Iterator[str]:
    """Name every file that is not as the checksums say."""
    if not (folder / SUMS).is_file():
        yield f"{SUMS} is missing: nothing tells what the files were"
        return
    listed: dict[str, str] = {}
    for number, line in enumerate(read_bounded(folder / SUMS, LONGEST_SUMS).decode(errors="replace").splitlines(), 1):
        if (match := re.fullmatch(r"([0-9a-f]{64})  ([^/\\]+)", line)) is None:
            yield f"{SUMS}, line {number}: no checksum of a file in this folder"
        else:
            listed[match[2]] = match[1]
    for name, sha256 in listed.items():
        if not (folder / name).is_file():
            yield f"{visible(name)} is missing"
        elif _sha256(folder / name) != sha256:
            yield f"{visible(name)} was altered"
    for path in _sealed(folder):
        if path.name not in listed:
            yield f"{visible(path.name)} was added: no checksum was made of it"


def _not_made_from(data: bytes, folder: Path) -> list[str]:
    """Name what does not say what the journal says, though its checksum fits: somebody has made both anew."""
    return [
        f"{name} is not what this version of the kit makes from the journal: written by another version, or altered"
        for name, content in _documents(data).items()
        if (folder / name).is_file() and _sha256(folder / name) != hashlib.sha256(content).hexdigest()
    ]


def _documents(data: bytes) -> dict[str, bytes]:
    """Return the change record as the files that hold it, by name; half a character, as in a foreign path, is spelled out."""
    document = change_record(data)
    texts = {MARKDOWN: document.markdown(), PAGE: document.page(TITLE)}
    return {name: text.encode(errors="backslashreplace") for name, text in texts.items()}


def _made_by_this_version(data: bytes) -> bool:
    opened = [event.value.get("versions") for event in read_events(data)[0] if event.kind == "Opened"]
    versions = opened[-1] if opened else None
    return isinstance(versions, dict) and versions.get("allegra-tls-kit") == version("allegra-tls-kit")


def _signed(folder: Path, trusted: Ed25519PublicKey | None, faults: list[str]) -> tuple[str | None, str]:
    """Return the fingerprint of the signer and what a person should know; a signature that does not fit is a fault."""
    signature, beside = folder / SIGNATURE, folder / SIGNER
    if not signature.is_file():
        if trusted is not None:
            faults.append(f"{SIGNATURE} is missing: the record is not signed, or no longer")
        return None, "not signed: whoever can write the folder could have made all of it anew"
    try:
        key = trusted or public_key(read_bounded(beside, LONGEST_KEY), SIGNER)
    except (SigningError, OSError):
        faults.append(f"{SIGNER} is missing or no key: name the signer's public key")
        return None, ""
    sums = read_bounded(folder / SUMS, LONGEST_SUMS) if (folder / SUMS).is_file() else b""
    if not sums or not is_signed_by(key, read_bounded(signature, LONGEST_KEY), sums):
        faults.append(f"{SIGNATURE} is not the signature of this key over {SUMS}")
        return None, ""
    if trusted is not None:
        return key_fingerprint(key), ""
    return key_fingerprint(key), f"signed with the key that lies beside it, {key_fingerprint(key)}: compare it with the signer's"


def _key_file(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(LONGEST_KEY)
    except OSError as error:
        raise SigningError(f"{path}: the key cannot be read: {error.strerror}") from None
