"""The alert (RFC 8446, 6.2) that newer JVMs put in front of the sentence they log, as in `(certificate_unknown) PKIX path …`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from allegra_tls_kit.finding import FindingCode

if TYPE_CHECKING:
    from collections.abc import Collection

SINCE = 25
"""The first Java that does it from its first release on; late updates of earlier ones (17.0.21 among them) do it too."""

_ALERTS = (
    (re.compile(r"Received fatal alert: (\w+)"), None),  # the server's own
    (re.compile(r"Unexpected error:"), "internal_error"),
    (re.compile(r"Failed to parse server certificates"), "bad_certificate"),
    (re.compile(r"path validation failed: .*signature check failed"), "bad_certificate"),
    (re.compile(r"path validation failed: .*Algorithm constraints check failed"), "unsupported_certificate"),
)


def as_logged(message: str, java_version: int, codes: Collection[FindingCode] = ()) -> str:
    """Return the sentence as this version of Java logs it when the handshake ends with it.

    `codes` are those of the errors found: of a certificate out of its time the sentence does not say which way.
    """
    if java_version < SINCE:
        return message
    if "path validation failed" in message and "validity check failed" in message:
        return f"({'certificate_expired' if FindingCode.EXPIRED in codes else 'bad_certificate'}) {message}"
    for pattern, alert in _ALERTS:
        if match := pattern.search(message):
            return f"({alert or match[1]}) {message}"
    return f"(certificate_unknown) {message}"
