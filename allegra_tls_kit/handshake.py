"""TLS as evidence: one context that trusts nobody and takes what it gets, and what can be read off a handshake, failed or not.

OpenSSL's verdicts are not asked for: they are not Java's.
"""

from __future__ import annotations

import re
import ssl
import warnings
from functools import cache

from allegra_tls_kit.endpoint import ascii_name, is_ip_address
from allegra_tls_kit.text import visible

_ALERT, _HANDSHAKE, _CERTIFICATE_REQUEST = 21, 22, 13  # RFC 8446, 5.1: ContentType; 4: HandshakeType
_DER = 2  # _ssl.ENCODING_DER
_LEGACY_SERVER_CONNECT = 0x4  # ssl.OP_LEGACY_SERVER_CONNECT has its name since Python 3.12 only


@cache
def context() -> ssl.SSLContext:
    """Return the context of all probes, which can still talk to TLS 1.0, weak keys and servers without RFC 5746.

    One for all: a context costs more than a connection. Sessions are never resumed, so each handshake shows certificates.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is wanted: old servers are what one wants to see
        made.minimum_version = ssl.TLSVersion.TLSv1
    # Without !aNULL a server may choose a suite that has no certificate to show; without SECLEVEL=0 weak keys are refused.
    made.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    made.options |= _LEGACY_SERVER_CONNECT | getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if _watch is not None:
        _watch.__set__(made, _on_message)
    return made


_MEANING = {
    "asn1 lib": "the server sent a certificate that cannot be parsed (asn1 lib)",
    "excessive message size": "a message larger than OpenSSL takes, of a chain 100 KB (excessive message size)",
}
_watch = vars(ssl.SSLContext.__base__).get("_msg_callback")
"""The only way to see a CertificateRequest, None where this Python does not have it.

It belongs to the class below `ssl.SSLContext`, whose own property of this name puts a function in between that looks up three
enums for each message, and takes 35 µs of each handshake.
"""


def server_name(identity: str) -> bytes | None:
    """Return what to ask for (SNI, RFC 6066, 3) by a host as it was typed: A-labels, and nothing for an address."""
    name = ascii_name(identity)
    return None if is_ip_address(name) else name.encode("ascii")


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the certificates as sent; of a handshake that failed too, as far as they had come."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return tuple(tls.get_unverified_chain() or ())
    sent = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001 - private before 3.13
    return tuple(certificate.public_bytes(_DER) for certificate in sent or ())


def words_of(error: ssl.SSLError, tls: ssl.SSLObject | None) -> str:
    """Return what OpenSSL says of a failed handshake, an alert of the server by its name (RFC 8446, 6)."""
    if isinstance(error, ssl.SSLZeroReturnError):
        return "the server ends the handshake with the alert close_notify"
    # Python has reasons for what it was built with; whatever else OpenSSL says stands between marks of Python's in the text.
    reason = error.reason or re.sub(r"^\[\w+\] | \(_ssl\.c:\d+\)$", "", error.strerror or str(error))
    reason = reason.lower().replace("_", " ")
    alert = re.match(r"(?:(?:sslv3|tlsv1|tlsv13|ssl/tls) alert|tlsv1) (.+)", reason)  # "tlsv1 unrecognized name" is one too
    if alert:
        return f"the server ends the handshake with the alert {visible(alert[1].replace(' ', '_'))}"
    number = getattr(tls, "alert", None)
    if reason == "unknown error" and number is not None:
        return f"the server ends the handshake with the alert number {number}, which OpenSSL has no name for"
    return f"the handshake failed: {_MEANING.get(reason, visible(reason))}"


def client_certificate_wanted(tls: ssl.SSLObject) -> bool | None:
    """Tell whether the server has asked for a client certificate; asking is not requiring. None: this Python cannot say."""
    return getattr(tls, "certificate_requested", False) if _watch is not None else None


def _on_message(tls: object, direction: str, _version: int, content: int, kind: int, _data: bytes) -> None:
    if kind == _CERTIFICATE_REQUEST and content == _HANDSHAKE and direction == "read":
        tls.certificate_requested = True  # type: ignore[attr-defined]
    elif content == _ALERT and direction == "read":
        tls.alert = kind & 0xFF  # type: ignore[attr-defined]
