"""What PKCS12 does with a password: seals (RFC 7292, B; RFC 9879, PBMAC1), and parts opened and closed (RFC 7292, C; PBES2).

`cryptography` opens such parts too, but hands out neither the attributes of what is in them nor a limit for their iterations.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from allegra_tls_kit import ber

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ITERATIONS = 5_000_000
"""The JDK's own limit; what asks for more is not a store but an attack."""
LONGEST_KEY = 64
"""Bytes; each further block costs all iterations anew."""
_KEY_PURPOSE, _IV_PURPOSE, _MAC_PURPOSE = 1, 2, 3

_HASHES: dict[bytes, Callable[..., Any]] = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040204"): hashlib.sha224,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}
_PBMAC1, _PBES2, _PBKDF2 = (bytes.fromhex(f"2a864886f70d0105{last}") for last in ("0e", "0d", "0c"))
_HMAC = bytes.fromhex("2a864886f70d02")  # followed by one octet
_HMACS = {_HMAC + bytes([7 + number]): name for number, name in enumerate(("sha1", "sha224", "sha256", "sha384", "sha512"))}
_CIPHERS: dict[bytes, tuple[str, int]] = {  # with the octets of the key
    bytes.fromhex("60864801650304012a"): ("AES", 32),
    bytes.fromhex("608648016503040116"): ("AES", 24),
    bytes.fromhex("608648016503040102"): ("AES", 16),
    bytes.fromhex("2a864886f70d0307"): ("DES3", 24),
}
_LEGACY: dict[bytes, tuple[str, int]] = {
    bytes.fromhex("2a864886f70d010c0103"): ("DES3", 24),
    bytes.fromhex("2a864886f70d010c0105"): ("ARC2", 16),
    bytes.fromhex("2a864886f70d010c0106"): ("ARC2", 5),
}


def iterations(count: ber.Element) -> int:
    """Return an iteration count; raises ValueError for one that nobody could wait for."""
    number = int.from_bytes(count.content, "big")
    if not 1 <= number <= MOST_ITERATIONS:
        raise ValueError(f"more iterations than the {MOST_ITERATIONS:,} that Java allows, or none")
    return number


def _derived(  # noqa: PLR0913, PLR0917 - so many has the RFC
    hashed: Callable[..., Any], purpose: int, password: str, salt: bytes, rounds: int, size: int
) -> bytes:
    """Return key material as RFC 7292, B.2 has it, the password as UTF-16 with a zero at its end.

    Encoded, it stands in memory views, whose `repr` shows nothing, should a traceback show variables.
    """
    block = hashed().block_size

    def filled(part: memoryview) -> bytes:
        size = -(-len(part) // block) * block
        return (bytes(part) * (size // len(part) + 1))[:size] if part else b""

    inner = memoryview(filled(memoryview(salt)) + filled(memoryview(password.encode("utf-16-be") + b"\0\0")))
    made = b""
    while len(made) < size:
        digest = hashed(bytes([purpose]) * block + inner).digest()
        for _ in range(rounds - 1):
            digest = hashed(digest).digest()
        made += digest
        added = int.from_bytes((digest * block)[:block], "big") + 1
        blocks = (int.from_bytes(inner[at : at + block], "big") + added for at in range(0, len(inner), block))
        inner = memoryview(b"".join((value % (1 << 8 * block)).to_bytes(block, "big") for value in blocks))
    return made[:size]


def sealing_key(algorithm: ber.Element, salt: bytes, rounds: int, password: str) -> tuple[bytes, str]:
    """Return the key and the name of the hash that a file is sealed with by HMAC.

    PBMAC1 brings its own salt and iterations. Raises ValueError, and LookupError for an algorithm that is not known here.
    """
    kind, *parameters = ber.elements(algorithm.content)
    if kind.content == _PBMAC1:
        derivation, scheme = ber.elements(parameters[0].content)
        return _pbkdf2(derivation, password), _hmac(scheme)
    hashed = _HASHES[kind.content]
    return _derived(hashed, _MAC_PURPOSE, password, salt, rounds, hashed().digest_size), hashed().name


def rounds_to_open(encrypted_data: bytes) -> int:
    """Return how many iterations one EncryptedData asks for; raises ValueError for one that is encrypted in an unknown way."""
    _, information, *_ = ber.elements(ber.element(encrypted_data, ber.SEQUENCE).content)
    kind, parameters = ber.elements(ber.elements(information.content)[1].content)
    if kind.content == _PBES2:
        parameters = ber.elements(ber.elements(parameters.content)[0].content)[1]
    return iterations(ber.elements(parameters.content)[1])


def decrypt(encrypted_data: bytes, password: str) -> bytes:
    """Return the content of one EncryptedData (RFC 5652, 8), which is a sequence.

    Raises ValueError where it does not open, LookupError where it is encrypted in a way that is not known here.
    """
    _, information, *_ = ber.elements(ber.element(encrypted_data, ber.SEQUENCE).content)
    _, algorithm, encrypted = ber.elements(information.content)
    return _opening(algorithm, encrypted, password)[1]


def encrypt_like(encrypted_data: bytes, password: str, content: bytes) -> bytes:
    """Return the EncryptedData with other content, all else as it stands, the key and the initialisation vector included.

    It is for taking something out: of two states under one vector is seen where they begin to differ, and of certificates,
    which are public, no more; keys and secrets in such a part are encrypted once more. Raises as `decrypt`.
    """
    version, information, *rest = ber.elements(ber.element(encrypted_data, ber.SEQUENCE).content)
    kind, algorithm, encrypted = ber.elements(information.content)
    cipher, _ = _opening(algorithm, encrypted, password)
    anew = ber.encode(ber.SEQUENCE, kind.raw, algorithm.raw, ber.encode(encrypted.tag, cipher.closed(content)))
    return ber.encode(ber.SEQUENCE, version.raw, anew, *(element.raw for element in rest))


class _Cipher(NamedTuple):
    name: str
    key: bytes
    iv: bytes

    def opened(self, encrypted: bytes) -> bytes:
        cipher = self._made()
        padded = bytes(cipher.decrypt(encrypted))
        if not padded or not 1 <= padded[-1] <= cipher.block_size or padded[-padded[-1] :] != padded[-1:] * padded[-1]:
            raise ValueError("the padding is wrong")
        content = padded[: -padded[-1]]
        ber.whole(content, ber.SEQUENCE)
        return content

    def closed(self, content: bytes) -> bytes:
        cipher = self._made()
        missing = cipher.block_size - len(content) % cipher.block_size
        return bytes(cipher.encrypt(content + bytes([missing]) * missing))

    def _made(self) -> Any:  # noqa: ANN401 - the ciphers have no type in common
        # pyjks brings them, slow to load; RC2 with 40 bits, keytool's choice before Java 17, is only here.
        from Cryptodome.Cipher import AES, ARC2, DES3  # noqa: PLC0415

        module: Any = {"AES": AES, "DES3": DES3, "ARC2": ARC2}[self.name]
        options = {"effective_keylen": 8 * len(self.key)} if self.name == "ARC2" else {}
        return module.new(self.key, module.MODE_CBC, self.iv, **options)


def _opening(algorithm: ber.Element, encrypted: ber.Element, password: str) -> tuple[_Cipher, bytes]:
    """Return the cipher that opens the content, and what it holds."""
    kind, parameters = ber.elements(algorithm.content)
    cipher = (_pbes2 if kind.content == _PBES2 else _legacy)(kind.content, parameters, password)
    try:
        return cipher, cipher.opened(encrypted.content)
    except ValueError:
        if kind.content == _PBES2 or password.isascii():
            raise
    # As Java does for these ciphers, and not for the seal; of the class of the password, which does not show itself.
    cut = type(password)("".join(chr(octet & 0x7F) for octet in password.encode()))
    cipher = _legacy(kind.content, parameters, cut)
    return cipher, cipher.opened(encrypted.content)


def _pbes2(_: bytes, parameters: ber.Element, password: str) -> _Cipher:
    derivation, scheme = ber.elements(parameters.content)
    cipher, iv = ber.elements(scheme.content)
    name, size = _CIPHERS[cipher.content]
    return _Cipher(name, _pbkdf2(derivation, password, size), iv.content)


def _legacy(kind: bytes, parameters: ber.Element, password: str) -> _Cipher:
    name, size = _LEGACY[kind]
    salt, count = ber.elements(parameters.content)
    rounds = iterations(count)
    key = _derived(hashlib.sha1, _KEY_PURPOSE, password, salt.content, rounds, size)
    return _Cipher(name, key, _derived(hashlib.sha1, _IV_PURPOSE, password, salt.content, rounds, 8))


def _pbkdf2(derivation: ber.Element, password: str, size: int | None = None) -> bytes:
    """Return key material (RFC 8018, A.2), the password as UTF-8; as long as `size`, or else as the parameters say."""
    kind, settings = ber.elements(derivation.content)
    if kind.content != _PBKDF2:
        raise LookupError(kind.content)
    salt, count, *rest = ber.elements(settings.content)
    said = [int.from_bytes(element.content, "big") for element in rest if element.tag == ber.INTEGER]
    functions = [_hmac(element) for element in rest if element.tag == ber.SEQUENCE]
    length = size if size is not None or not said else said[0]
    if length is None or not 1 <= length <= LONGEST_KEY:
        raise ValueError(f"a key of no length, or of more than {LONGEST_KEY} bytes")
    return hashlib.pbkdf2_hmac(functions[0] if functions else "sha1", password.encode(), salt.content, iterations(count), length)


def _hmac(algorithm: ber.Element) -> str:
    return _HMACS[ber.elements(algorithm.content)[0].content]
