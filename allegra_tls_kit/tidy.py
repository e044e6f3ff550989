"""A certificate that is written more loosely than DER allows, in the ways that Java reads all the same.

Rule: a tidied copy is for reading alone. Fingerprint, signature and store are about the bytes as they were received.
"""

from __future__ import annotations

import re

from cryptography import x509

from allegra_tls_kit.ber import CONTEXT_0, INTEGER, OID, SEQUENCE, SET, Element, element, elements, encode

_BOOLEAN, _NULL, _UTF8, _PRINTABLE, _TELETEX, _IA5, _EXTENSIONS = 0x01, 0x05, 0x0C, 0x13, 0x14, 0x16, 0xA3
_PRINTABLE_TEXT = re.compile(rb"[A-Za-z0-9 '()+,./:=?-]*")
_REDUNDANT_OCTETS = re.compile(rb"^(\x00+(?=[\x00-\x7f])|\xff+(?=[\x80-\xff]))")
_ECDSA = bytes.fromhex("2a8648ce3d04")
_PUBLIC_KEY = 5
"""Its place among the fields; one further behind a version, which certificates of version 1 leave out."""
_DEPTH_OF_A_STRING = 3
"""Below the Name: the set, the pair of type and value, the value."""


def parsed(der: bytes) -> x509.Certificate:
    """Parse a certificate, from a tidied copy where it is no strict DER.

    Raises what `cryptography` raises. A name that is beyond tidying does so when it is looked at.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        _names = certificate.subject, certificate.issuer  # which are parsed when they are looked at, not before
    except (ValueError, TypeError, KeyError):  # the last for a string of no known kind, before cryptography 50
        certificate = x509.load_der_x509_certificate(tidied(der))
    return certificate


def tidied(der: bytes) -> bytes:
    """Return a copy in the strict DER that `cryptography` insists on.

    Put right are redundant octets of the serial number; characters that have no place in a PrintableString (`*`, `&`, `_`, `@`);
    Latin-1 where it should be UTF-8 or ASCII; `critical` that is written although FALSE, or TRUE as another number than 255; NULL
    as parameters of ECDSA. Raises ValueError where these bytes are no certificate at all; all else that is wrong stays so.
    """
    body, *algorithm_and_signature = elements(element(der, SEQUENCE).content)
    fields = encode(SEQUENCE, *map(_field, elements(element(body.raw, SEQUENCE).content)))
    return encode(SEQUENCE, fields, *map(_value, algorithm_and_signature))


def signed_part(der: bytes) -> bytes:
    """Return the bytes of a certificate that its signature covers; raises ValueError where it is none."""
    body, *_ = elements(element(der, SEQUENCE).content)
    return body.raw


def public_key_part(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate (RFC 5280, 4.1) as it stands; raises ValueError where it is none."""
    first, *fields = elements(element(signed_part(der), SEQUENCE).content)
    key, *_ = (fields if first.tag == CONTEXT_0 else [first, *fields])[_PUBLIC_KEY:]
    return key.raw


def _field(field: Element) -> bytes:
    if field.tag == INTEGER:  # the serial number is the only one
        return encode(INTEGER, _REDUNDANT_OCTETS.sub(b"", field.content))
    if field.tag == _EXTENSIONS:
        return encode(_EXTENSIONS, encode(SEQUENCE, *map(_extension, elements(element(field.content, SEQUENCE).content))))
    return _value(field)


def _extension(extension: Element) -> bytes:
    match elements(extension.content):
        case [name, critical, value] if critical.tag == _BOOLEAN:
            flag = encode(_BOOLEAN, b"\xff") if any(critical.content) else b""
            return encode(SEQUENCE, name.raw, flag, value.raw)
    return extension.raw


def _value(value: Element, depth: int = _DEPTH_OF_A_STRING) -> bytes:
    if value.tag not in {SEQUENCE, SET} or depth == 0:
        return _text(value)
    inside = elements(value.content)
    if [part.tag for part in inside] == [OID, _NULL] and inside[0].content.startswith(_ECDSA):
        inside.pop()
    return encode(value.tag, *(_value(part, depth - 1) for part in inside))


def _text(value: Element) -> bytes:
    """Return a string as one that is legal; a type that Java compares as text stays one, and so do the others."""
    if value.tag == _PRINTABLE and not _PRINTABLE_TEXT.fullmatch(value.content):
        return encode(_UTF8, _utf8(value.content))
    if value.tag == _IA5 and not value.content.isascii():
        return encode(_TELETEX, _utf8(value.content))
    return encode(value.tag, _utf8(value.content)) if value.tag in {_UTF8, _TELETEX} else value.raw


def _utf8(content: bytes) -> bytes:
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1").encode()
    return content
