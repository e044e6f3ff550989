"""Ed25519 signatures over the list of checksums: who vouches for a record.

The signature is the plain 64 bytes of RFC 8032, so that OpenSSL checks it too, without this kit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Callable


def private_key(data: bytes, source: str, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Return the key of a file, PEM as OpenSSL writes it or OpenSSH's own; raises SigningError, which repeats nothing of it."""
    ssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key
    try:
        key = load(data, None if passphrase is None else passphrase.encode())
    except TypeError:
        wanted = "is under a passphrase; say where that comes from" if passphrase is None else "needs no passphrase; give none"
        raise SigningError(f"{source}: the key {wanted}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"{source}: no private key that can be read; wrong passphrase, or another kind of file") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{source}: not an Ed25519 key; make one with `openssl genpkey -algorithm ed25519 -out FILE`")
    return key


def public_key(data: bytes, source: str) -> Ed25519PublicKey:
    """Return the key of a file, PEM or a line of OpenSSH (`ssh-ed25519 …`); raises SigningError."""
    load: Callable[[bytes], object] = serialization.load_pem_public_key
    if data.lstrip().startswith(b"ssh-"):
        load = serialization.load_ssh_public_key
    try:
        key = load(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"{source}: no Ed25519 public key; PEM or a line `ssh-ed25519 …` is wanted")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM (SubjectPublicKeyInfo), as OpenSSL wants it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo as lower-case hex, to be compared over another channel."""
    return sha256_of(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def is_signed_by(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Tell whether this is the key's signature over these bytes."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
