"""What the negotiated version and cipher suite mean for Java (its `jdk.tls.disabledAlgorithms` as shipped).

The probe offers all it can, newest and strongest first, so what a server chose is taken for the best it has. One that insists on
a weak suite although it has a stronger one is misjudged here; Java, which does not offer the weak one, would get the stronger.
"""

from __future__ import annotations

import re

from allegra_tls_kit.finding import Finding, FindingCode, Severity

NO_STATIC_RSA = 25
"""The first Java without TLS_RSA suites; late updates of earlier ones (17.0.21 among them) refuse them too."""
PROTOCOL_VERSION = "Received fatal alert: protocol_version"
HANDSHAKE_FAILURE = "Received fatal alert: handshake_failure"

_OLD = {"SSLv3", "TLSv1", "TLSv1.1"}
_NOT_IN_JAVA = re.compile(r"CAMELLIA|ARIA|CCM|SEED|IDEA|RC4|RC2|DES|NULL")
_FORWARD_SECRET = re.compile(r"TLS_|ECDHE-|DHE-")  # TLS 1.3, and ephemeral keys in TLS 1.2


def negotiated(tls_version: str, cipher: str, java_version: int = 17) -> tuple[Finding, str | None] | None:
    """Return what is to be said of a handshake, with the sentence that Java would log if it refuses; None where all is well.

    `tls_version` and `cipher` are OpenSSL's names, as a Probe has them.
    """
    if tls_version in _OLD:
        detail = f"the server speaks {tls_version} and nothing newer, which Java refuses; it needs TLS 1.2 or 1.3"
        return Finding(FindingCode.OLD_TLS, Severity.ERROR, None, detail), PROTOCOL_VERSION
    if _NOT_IN_JAVA.search(cipher):
        detail = f"the server chose {cipher}, which Java does not offer; it needs AES-GCM or ChaCha20 suites with ECDHE"
        return Finding(FindingCode.NO_COMMON_CIPHER, Severity.ERROR, None, detail), HANDSHAKE_FAILURE
    if _FORWARD_SECRET.match(cipher):
        return None
    detail = f"the server chose {cipher}, an RSA key exchange, which Java 25 and late updates of 17 refuse; it needs ECDHE suites"
    if java_version < NO_STATIC_RSA:
        return Finding(FindingCode.NO_COMMON_CIPHER, Severity.WARNING, None, detail), None
    return Finding(FindingCode.NO_COMMON_CIPHER, Severity.ERROR, None, detail), HANDSHAKE_FAILURE
