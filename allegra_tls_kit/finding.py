"""What can be said of a chain: codes, severities, findings.

Rule: a code is a stable word for programs and tables, in the vocabulary of tlsx and sslyze where that has one; the detail is a
sentence for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means for the connection."""

    INFO = "info"
    """Java does not mind; good to know."""
    WARNING = "warning"
    """Java accepts it today, or where it is configured as usual; somebody should act."""
    ERROR = "error"
    """A reason for which Java refuses."""


class FindingCode(StrEnum):
    """What a finding is about."""

    NO_CERTIFICATE = "no_certificate"
    NO_ANCHORS = "no_anchors"
    MALFORMED = "malformed"
    CHAIN_TOO_LONG = "chain_too_long"
    SELF_SIGNED = "self_signed"
    UNTRUSTED = "untrusted"
    INCOMPLETE_CHAIN = "incomplete_chain"
    ISSUER_KEY_DIFFERS = "issuer_key_differs"
    ANCHOR_NOT_A_CA = "anchor_not_a_ca"
    NOT_A_CA = "not_a_ca"
    PATH_LENGTH = "path_length"
    NAME_CONSTRAINTS = "name_constraints"
    POLICY = "policy"
    CRITICAL_EXTENSION = "critical_extension"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRES_SOON = "expires_soon"
    WEAK = "weak"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    KEY_USAGE = "key_usage"
    EXTENDED_KEY_USAGE = "extended_key_usage"
    MISMATCHED = "mismatched"
    OLD_TLS = "old_tls"
    NO_COMMON_CIPHER = "no_common_cipher"
    PINNED = "pinned"
    OUT_OF_ORDER = "out_of_order"
    EXTRA_CERTIFICATE = "extra_certificate"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so with a chain.

    `sha256` is the fingerprint of the certificate it is about, lower-case hex, None where it is about the chain or the store.
    `detail` is one sentence, made visible, with the remedy where there is one.
    """

    code: FindingCode
    severity: Severity
    sha256: str | None
    detail: str
