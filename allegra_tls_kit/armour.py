"""A provider's file before anything in it is parsed: what is put around certificates is taken off, what it is instead is named.

Rule: nothing of the content is repeated, for it may be a private key. What is no certificate is told by its structure alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from allegra_tls_kit import ber

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE|PKCS7|PKCS #7 SIGNED DATA|CMS)-----([^-]*)-----END \1-----")
_BEGIN = re.compile(rb"-----BEGIN (?:(?:X509 |TRUSTED )?CERTIFICATE|PKCS7|PKCS #7 SIGNED DATA|CMS)-----")
_ESCAPED_LINE_END = re.compile(rb"\\[rn]")
_KEY = "there is a private key in it; ask for a file with certificates only, and keep this one safe"
_REQUEST = "this is a certificate request; ask for the certificate that was made from it"
_PKCS12 = (
    "this is a PKCS12 file, in which mostly a private key is, too; ask for the certificates alone, or take them out: "
    "openssl pkcs12 -nokeys -in FILE -out certificates.pem"
)
_SIGNS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (rb"PRIVATE KEY( BLOCK)?-----|PuTTY-User-Key-File", _KEY),
        (rb"\A\xfe\xed\xfe\xed|\A\xce\xce\xce\xce", "this is a Java keystore; its entries are read with `read_keystore`"),
        (rb"\APK\x03\x04", "this is a ZIP archive; unpack it, and give one of the files in it"),
        (rb"\A\s*<(!doctype|html)", "this is a web page, perhaps the answer to a download that failed; download it again"),
        (rb"-----BEGIN (NEW )?CERTIFICATE REQUEST-----", _REQUEST),
        (rb"-----BEGIN X509 CRL-----", "this is a list of revoked certificates; ask for the certificate itself"),
        (rb"-----BEGIN (RSA |EC )?PUBLIC KEY-----", "this is a public key alone; ask for the certificate that it is in"),
    )
)
_PKCS12_VERSION = b"\x03"
_ENCRYPTIONS = bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01")  # PKCS#5, and the old ones of PKCS#12
_REQUEST_TAGS = [ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE, ber.CONTEXT_0]


def plain(data: bytes) -> bytes:
    """Return the bytes without what an editor or a shell put around them: byte order marks, UTF-16, base64 around PEM."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    elif b"-\0-\0-\0" in data:  # dashes with zeros between them: UTF-16 without its mark
        data = data.replace(b"\0", b"")
    data = data.removeprefix(b"\xef\xbb\xbf")
    decoded = _without_base64(data)
    return decoded if decoded is not None and decoded.lstrip().startswith(b"-----BEGIN") else data


def blobs(data: bytes) -> Iterator[bytes]:
    """Yield what could be certificates or PKCS7 in plain bytes, in their order: from PEM, bare base64, or DER side by side.

    Behind the last DER anything may follow that does not begin like another one. Raises ValueError where something is cut short.
    """
    blocks = _BLOCK.findall(data)
    begun = len(_BEGIN.findall(data))
    if begun != len(blocks):
        raise ValueError(f"cut short or damaged: {begun} begin, and {len(blocks)} of them end")
    if blocks:
        yield from (_dearmoured(label, body) for label, body in blocks)
    else:
        yield from _side_by_side(_without_base64(data) or data)


def other_than_certificates(data: bytes) -> str | None:
    """Say what plain bytes are that are no certificates, and what to do; None where nothing is known.

    A private key beside certificates is said, too.
    """
    if not data.strip():
        return "the file is empty; ask for it again"
    has_certificates = _BEGIN.search(data) is not None
    signs = _SIGNS[:1] if has_certificates else _SIGNS
    found = next((what for sign, what in signs if sign.search(data)), None)
    return found if found is not None or has_certificates else _kind_of(_without_base64(data) or data)


def _without_base64(data: bytes) -> bytes | None:
    """Return what a text of nothing but base64 stands for; None for anything else."""
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return None


def _dearmoured(label: bytes, body: bytes) -> bytes:
    der = base64.b64decode(_ESCAPED_LINE_END.sub(b"\n", body))
    if label.startswith(b"TRUSTED"):
        der, *_openssl_trust_settings = (each.raw for each in ber.elements(der))
    return der


def _side_by_side(data: bytes) -> Iterator[bytes]:
    position, more = 0, True
    while more:
        end = _end(data, position)
        yield data[position:end]
        position, more = end, data.startswith(b"\x30", end)


def _end(data: bytes, position: int = 0) -> int:
    """Return where the element at a position ends; the end of all where it does not say so, as BER of indefinite length."""
    header = data[position : position + 2 + ber.MOST_LENGTH_OCTETS]
    if len(header) < 2 or header[1] == ber.LONG_FORM:  # noqa: PLR2004 - a tag and a length
        return len(data)
    octets = header[1] & ~ber.LONG_FORM if header[1] & ber.LONG_FORM else 0
    length = int.from_bytes(header[2 : 2 + octets], "big") if octets else header[1]
    return min(position + 2 + octets + length, len(data))


def _kind_of(der: bytes) -> str | None:
    """Tell PKCS12, keys and requests by the tags in them (RFC 7292; 5208, 5915, 5958, 8017; 2986)."""
    try:
        inside = ber.elements(ber.elements(der[: _end(der)])[0].content)
        first = inside[0].content
        within = ber.elements(first) if inside[0].tag == ber.SEQUENCE else []
    except (ValueError, IndexError):
        return None
    match [part.tag for part in inside[:4]]:
        case [ber.INTEGER, ber.SEQUENCE, *rest] if first == _PKCS12_VERSION and rest[:1] != [ber.OCTET_STRING]:
            return _PKCS12
        case (
            [ber.INTEGER, ber.SEQUENCE, ber.OCTET_STRING, *_]
            | [ber.INTEGER, ber.OCTET_STRING, *_]
            | [ber.INTEGER, ber.INTEGER, ber.INTEGER, ber.INTEGER]
        ):
            return _KEY
        case [ber.SEQUENCE, ber.OCTET_STRING] if within and within[0].content.startswith(_ENCRYPTIONS):
            return _KEY
        case [ber.SEQUENCE, ber.SEQUENCE, _] if [part.tag for part in within] == _REQUEST_TAGS:
            return _REQUEST
    return None
