"""The password-based encryption of PKCS12 (RFC 7292, appendices B and C; RFC 8018, PBES2): derive and decrypt, never encrypt.

`cryptography` opens such parts too, but hands out neither the attributes of what is in them nor a limit for their iterations.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from Cryptodome.Cipher import AES, ARC2, DES3  # pyjks brings it; RC2 with 40 bits, keytool's choice before Java 17, is only here

from allegra_tls_kit import ber

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ITERATIONS = 5_000_000
"""The JDK's own limit; what asks for more is not a store but an attack."""
KEY_PURPOSE, IV_PURPOSE, MAC_PURPOSE = 1, 2, 3

HASHES: dict[bytes, Callable[..., Any]] = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}
_PBES2, _PBKDF2 = bytes.fromhex("2a864886f70d01050d"), bytes.fromhex("2a864886f70d01050c")
_HMAC = bytes.fromhex("2a864886f70d02")  # followed by one octet
_HMACS = {_HMAC + b"\x07": "sha1", _HMAC + b"\x09": "sha256", _HMAC + b"\x0a": "sha384", _HMAC + b"\x0b": "sha512"}
_CIPHERS: dict[bytes, tuple[Any, int]] = {  # with the octets of the key
    bytes.fromhex("60864801650304012a"): (AES, 32),
    bytes.fromhex("608648016503040116"): (AES, 24),
    bytes.fromhex("608648016503040102"): (AES, 16),
    bytes.fromhex("2a864886f70d0307"): (DES3, 24),
}
_LEGACY: dict[bytes, tuple[Any, int, dict[str, int]]] = {
    bytes.fromhex("2a864886f70d010c0103"): (DES3, 24, {}),
    bytes.fromhex("2a864886f70d010c0105"): (ARC2, 16, {"effective_keylen": 128}),
    bytes.fromhex("2a864886f70d010c0106"): (ARC2, 5, {"effective_keylen": 40}),
}


def iterations(count: ber.Element) -> int:
    """Return an iteration count; raises ValueError for one that nobody could wait for."""
    number = int.from_bytes(count.content, "big")
    if not 1 <= number <= MOST_ITERATIONS:
        raise ValueError(f"more iterations than the {MOST_ITERATIONS:,} that Java allows, or none")
    return number


def derive(  # noqa: PLR0913, PLR0917 - so many has the RFC
    hashed: Callable[..., Any], purpose: int, password: str, salt: bytes, rounds: int, size: int
) -> bytes:
    """Return key material as RFC 7292, B.2 has it, the password as UTF-16 with a zero at its end."""
    block = hashed().block_size

    def filled(part: bytes) -> bytes:
        size = -(-len(part) // block) * block
        return (part * (size // len(part) + 1))[:size] if part else b""

    inner = filled(salt) + filled(password.encode("utf-16-be") + b"\0\0")
    made = b""
    while len(made) < size:
        digest = hashed(bytes([purpose]) * block + inner).digest()
        for _ in range(rounds - 1):
            digest = hashed(digest).digest()
        made += digest
        added = int.from_bytes((digest * block)[:block], "big") + 1
        blocks = (int.from_bytes(inner[at : at + block], "big") + added for at in range(0, len(inner), block))
        inner = b"".join((value % (1 << 8 * block)).to_bytes(block, "big") for value in blocks)
    return made[:size]


def decrypt(part: ber.Element, password: str) -> bytes:
    """Return the content of one EncryptedData part (RFC 5652, 8).

    Raises ValueError where it does not open, LookupError where it is encrypted in a way that is not known here.
    """
    _, wrapped = ber.elements(part.content)
    _, information, *_ = ber.elements(ber.element(wrapped.content, ber.SEQUENCE).content)
    _, algorithm, encrypted = ber.elements(information.content)
    kind, parameters = ber.elements(algorithm.content)
    decipher = _pbes2(parameters, password) if kind.content == _PBES2 else _legacy(_LEGACY[kind.content], parameters, password)
    padded = bytes(decipher.decrypt(encrypted.content))
    if not padded or not 1 <= padded[-1] <= decipher.block_size or padded[-padded[-1] :] != padded[-1:] * padded[-1]:
        raise ValueError("the padding is wrong")
    return padded[: -padded[-1]]


def _pbes2(parameters: ber.Element, password: str) -> Any:  # noqa: ANN401 - Cryptodome's ciphers have no common type
    derivation, scheme = ber.elements(parameters.content)
    kind, settings = ber.elements(derivation.content)
    if kind.content != _PBKDF2:
        raise LookupError(kind.content)
    salt, count, *rest = ber.elements(settings.content)
    functions = [ber.elements(element.content)[0].content for element in rest if element.tag == ber.SEQUENCE]
    name = _HMACS[functions[0]] if functions else "sha1"
    cipher, iv = ber.elements(scheme.content)
    module, size = _CIPHERS[cipher.content]
    key = hashlib.pbkdf2_hmac(name, password.encode(), salt.content, iterations(count), size)
    return module.new(key, module.MODE_CBC, iv.content)


def _legacy(how: tuple[Any, int, dict[str, int]], parameters: ber.Element, password: str) -> Any:  # noqa: ANN401 - as above
    module, size, options = how
    salt, count = ber.elements(parameters.content)
    rounds = iterations(count)
    key = derive(hashlib.sha1, KEY_PURPOSE, password, salt.content, rounds, size)
    iv = derive(hashlib.sha1, IV_PURPOSE, password, salt.content, rounds, 8)
    return module.new(key, module.MODE_CBC, iv, **options)
