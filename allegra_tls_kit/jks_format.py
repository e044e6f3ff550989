"""JKS and JCEKS through pyjks, in memory only: its own `save` empties the file before it knows that it can write it."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jks

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.entry import Entry, EntryKind, StoreType, store_type_of
from allegra_tls_kit.errors import NeedsKeytool, PasswordNeeded, UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from allegra_tls_kit.entry import Edit

logging.getLogger("javaobj").addHandler(logging.NullHandler())  # it would dump a damaged JCEKS file to stderr


def read(data: bytes, source: str, password: str | None) -> tuple[tuple[Entry, ...], bool, tuple[str, ...]]:
    """Return the entries, whether something stayed locked (never here), and notes."""
    store = _load(data, source, password)
    is_jks = store.store_type == "jks"
    entries = tuple(_entry(alias, item, source, is_jks=is_jks) for alias, item in store.entries.items())
    notes = [] if is_jks else ["Java does not read JCEKS as a truststore unless it is told the type; Allegra does not tell it"]
    if is_jks and any(alias != alias.lower() for alias in store.entries):
        notes.append("an alias in it has upper-case letters; Java looks for it in lower case and does not find it")
    return entries, False, tuple(notes)


def rewrite(data: bytes | None, source: str, password: str | None, edit: Edit) -> bytes:
    """Return the store with entries added and removed; entries that stay keep their bytes, dates and order."""
    if password is None:
        raise PasswordNeeded(f"{source}: a JKS file is sealed with a password; give it, keytool's usual one is changeit")
    if data is None:
        store = jks.KeyStore("jks", {})
    elif store_type_of(data, source) is StoreType.JCEKS:
        raise NeedsKeytool(f"{source}: JCEKS cannot be written here; use keytool -importcert -storetype JCEKS on a copy")
    else:
        store = _load(data, source, password)
    lowered = {alias.lower() for alias in store.entries}
    if len(lowered) < len(store.entries):
        raise WouldLose(f"{source}: two aliases differ in case only, and Java finds one of them; make the store anew")
    for alias in [alias for alias in store.entries if alias.lower() in edit.remove]:
        del store.entries[alias]
    stamp = int(edit.at.timestamp() * 1000)
    for alias, certificate in edit.add.items():
        item = jks.TrustedCertEntry(alias=alias.lower(), timestamp=stamp, store_type="jks", type="X.509", cert=certificate)
        store.entries[alias.lower()] = item
    return bytes(store.saves(password))


def _load(data: bytes, source: str, password: str | None) -> Any:  # noqa: ANN401 - pyjks has no types
    try:
        return jks.KeyStore.loads(data, password, try_decrypt_keys=False)
    except jks.KeystoreSignatureException:
        raise WrongPassword(
            f"{source}: the password is wrong, or the file was altered; check where the password comes from"
        ) from None
    except Exception as error:  # noqa: BLE001 - javaobj, which takes the secret keys of JCEKS apart, raises anything at all
        raise UnreadableKeystore(f"{source}: a damaged keystore: {visible(str(error), 120)}; restore a backup") from None


def _entry(alias: str, item: Any, source: str, *, is_jks: bool) -> Entry:  # noqa: ANN401 - pyjks has no types
    created = _date(item.timestamp)
    anchor = is_jks and alias == alias.lower()
    if isinstance(item, jks.TrustedCertEntry):
        _whole(item.cert, source, alias)
        return Entry(alias.lower(), EntryKind.TRUSTED, item.cert, sha256_of(item.cert), anchor, created)
    if isinstance(item, jks.PrivateKeyEntry):
        chain = [certificate for _, certificate in item.cert_chain]
        for certificate in chain:
            _whole(certificate, source, alias)
        content = _digest(item._encrypted, *chain)  # noqa: SLF001 - the encrypted key, compared and never opened
        return Entry(alias.lower(), EntryKind.PRIVATE_KEY, chain[0] if chain else None, content, anchor and bool(chain), created)
    sealed = item._encrypted  # noqa: SLF001 - as above
    content = _digest(bytes(sealed.encryptedContent or b""), bytes(sealed.encodedParams or b""))
    return Entry(alias.lower(), EntryKind.SECRET_KEY, None, content, False, created)  # noqa: FBT003


def _whole(certificate: bytes, source: str, alias: str) -> None:
    """Notice a certificate that is cut short, which pyjks hands out without a word where no password is given."""
    try:
        ber.element(certificate, ber.SEQUENCE)
    except ValueError:
        raise UnreadableKeystore(
            f"{source}: the certificate of entry {visible(alias)!r} is cut short; the file is truncated, restore a backup"
        ) from None


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _date(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
