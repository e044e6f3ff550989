"""The columns of every frame: name, type and meaning, once for all; the same name means the same wherever it stands.

Names follow Ansible's where it has them, and are never translated. Every type can hold NA, and what is not known is NA.
"""

from __future__ import annotations

TEXT, NUMBER, TIME, YES = "string", "Int64", "datetime64[us, UTC]", "boolean"
"""Types of pandas: text made visible, whole numbers, aware UTC, yes or no."""

COLUMNS: dict[str, tuple[str, str]] = {
    # where
    "zone": (TEXT, "where it was seen from, where results come by zone"),
    "host": (TEXT, "host name or address as it was typed"),
    "port": (NUMBER, "TCP port"),
    "protocol": (TEXT, "smtp, imap, pop3 or ldap"),
    "starttls": (YES, "STARTTLS; no: implicit TLS"),
    "server_name": (TEXT, "name asked for (SNI) and judged by, where it differs from the host"),
    # a probe
    "probe_status": (TEXT, "success or failure"),
    "stage": (TEXT, "where a failure happened: dns, connect, greeting, starttls or handshake"),
    "error": (TEXT, "class of the error, as ConnectFailed; in a table of certificates also why one cannot be read"),
    "message": (TEXT, "the error in a sentence; of a handshake that succeeded, why the leaf cannot be read"),
    "ip": (TEXT, "address that answered"),
    "tls_version": (TEXT, "version that was negotiated, OpenSSL's name, as TLSv1.2"),
    "cipher": (TEXT, "cipher suite that was negotiated, OpenSSL's name"),
    "client_cert_requested": (YES, "the server asked for a client certificate; whether it insists cannot be seen"),
    "chain_length": (NUMBER, "certificates that the server sent"),
    "probed_at": (TIME, "instant of the probe"),
    "duration_ms": (NUMBER, "milliseconds from start to chain"),
    "trusted": (YES, "Java trusts it with the anchors that were given, as of the probe"),
    "verdict": (TEXT, "trusted, or the sentence that Java logs"),
    # a certificate
    "position": (NUMBER, "place in the chain as sent, 0 the leaf"),
    "role": (TEXT, "leaf, intermediate or root"),
    "subject": (TEXT, "distinguished name, RFC 4514"),
    "subject_cn": (TEXT, "common name of the subject"),
    "issuer": (TEXT, "distinguished name of the issuer, RFC 4514"),
    "issuer_cn": (TEXT, "common name of the issuer"),
    "subject_alt_name": (TEXT, "names it is for, as DNS:mail.example.com, IP:192.0.2.1; the first 100, and how many there are"),
    "serial_number": (TEXT, "hexadecimal, as keytool prints it"),
    "not_before": (TIME, "valid from"),
    "not_after": (TIME, "valid until; in a group the first end"),
    "days_left": (NUMBER, "whole days until not_after, from the probe or the instant given; negative: expired"),
    "expired": (YES, "not_after had passed at the probe, or at the instant given"),
    "self_signed": (YES, "its own key verifies it"),
    "is_ca": (YES, "basicConstraints CA:TRUE"),
    "public_key_type": (TEXT, "RSA, EC with its curve, DSA, Ed25519 …"),
    "public_key_size": (NUMBER, "bits; NA for curves without a choice"),
    "public_key_sha256": (TEXT, "SHA-256 of the SubjectPublicKeyInfo, lower-case hex; equal where the key is"),
    "signature_algorithm": (TEXT, "as sha256WithRSAEncryption, or a dotted OID"),
    "key_usage": (TEXT, "keyUsage; empty where absent"),
    "extended_key_usage": (TEXT, "extendedKeyUsage; empty where absent"),
    "fingerprint_sha256": (TEXT, "SHA-256 of the DER bytes, lower-case hex without colons"),
    "fingerprint_sha1": (TEXT, "SHA-1 of the DER bytes, to find it in other tools; no proof"),
    "ocsp_uri": (TEXT, "OCSP address in it; never fetched"),
    "issuer_uri": (TEXT, "address of its issuer's certificate in it; never fetched"),
    "source": (TEXT, "received: from the server"),
    # a keystore and a plan
    "keystore_path": (TEXT, "path of the keystore"),
    "keystore_type": (TEXT, "JKS, JCEKS or PKCS12"),
    "alias": (TEXT, "alias of the entry"),
    "entry_type": (TEXT, "keytool's word: trustedCertEntry, PrivateKeyEntry …"),
    "creation_date": (TIME, "creation date of the entry, where the format keeps one"),
    "trusted_by_java": (YES, "a JVM that opens the file without a password trusts by it"),
    "action": (TEXT, "what the plan does with the entry: add, keep, remove …"),
    "reason": (TEXT, "why"),
    # groups
    "state": (TEXT, "expired, critical (14 days), warning (28 days), ok; not yet valid"),
    "servers": (NUMBER, "endpoints in the group"),
    "hosts": (NUMBER, "different hosts among them"),
    "certificates": (NUMBER, "different certificates in the group"),
    "entries": (NUMBER, "keystore entries that hold it"),
    "last_end": (TIME, "when the last certificate of the group ends"),
    "shared": (TEXT, "certificate, or only the key of different certificates"),
    "endpoints": (TEXT, "URLs of the servers, ten at most"),
    "aliases": (TEXT, "keystore entries as path: alias, ten at most"),
    "finding": (TEXT, "code of the finding, as old_tls"),
    "severity": (TEXT, "error: Java refuses; warning: somebody should act"),
    "advice": (TEXT, "what it means and what to do, in a sentence"),
    "identity": (TEXT, "name or address that the certificate has to carry, in ASCII"),
    "names": (TEXT, "names by which the certificate identifies a server"),
    "checked_by_allegra": (YES, "Java checks the name there: for LDAPS; not for mail, as Allegra has used it so far"),
    "instead": (TEXT, "certificate whose import would outlast the renewal; NA: none that the server sends"),
    "instead_sha256": (TEXT, "its SHA-256, to be compared before it is imported"),
    # two surveys
    "change": (TEXT, "the worst that changed"),
    "changes": (TEXT, "all that changed, worst first"),
    "was": (TEXT, "the leaf before: name, end and SHA-256, or the failure"),
    "now": (TEXT, "the same now"),
    "was_sha256": (TEXT, "SHA-256 of the leaf before"),
    "now_sha256": (TEXT, "SHA-256 of the leaf now"),
    "was_trusted": (YES, "Java trusted it then, with the anchors that were given"),
    "now_trusted": (YES, "Java trusts it now, with the same anchors"),
    # this table itself
    "column": (TEXT, "name of the column"),
    "type": (TEXT, "type in pandas"),
    "meaning": (TEXT, "what stands in it"),
}


def typed(*names: str) -> dict[str, str]:
    """Return columns with their types, in this order."""
    return {name: COLUMNS[name][0] for name in names}


_ENDPOINT = ("host", "port", "protocol", "starttls", "server_name")
_CERTIFICATE = (
    *("role", "subject", "subject_cn", "issuer", "issuer_cn", "subject_alt_name", "serial_number", "not_before", "not_after"),
    *("days_left", "expired", "self_signed", "is_ca", "public_key_type", "public_key_size", "public_key_sha256"),
    *("signature_algorithm", "key_usage", "extended_key_usage", "fingerprint_sha256", "fingerprint_sha1"),
    *("ocsp_uri", "issuer_uri"),
)
SURVEY_COLUMNS = typed(
    *_ENDPOINT,
    *("probe_status", "stage", "error", "message", "ip", "tls_version", "cipher", "client_cert_requested", "chain_length"),
    *("subject_cn", "issuer_cn", "not_after", "days_left", "fingerprint_sha256", "trusted", "verdict"),
    *("probed_at", "duration_ms"),
)
CERTIFICATE_COLUMNS = typed(*_ENDPOINT, "position", *_CERTIFICATE, "source", "error")
ENTRY_COLUMNS = typed(
    *("keystore_path", "keystore_type", "alias", "entry_type", "creation_date", "trusted_by_java"), *_CERTIFICATE, "error"
)
PLAN_COLUMNS = typed(
    *("action", "alias", "subject_cn", "issuer_cn", "role", "not_before", "not_after", "fingerprint_sha256", "reason")
)
EXPIRY_COLUMNS = typed(
    *("state", "days_left", "not_after", "subject_cn", "issuer_cn", "role", "servers", "entries"),
    *("endpoints", "aliases", "fingerprint_sha256"),
)
ISSUER_COLUMNS = typed("issuer_cn", "certificates", "servers", "not_after", "last_end", "endpoints", "issuer")
SHARED_COLUMNS = typed(
    *("shared", "servers", "hosts", "certificates", "subject_cn", "not_after", "endpoints"),
    *("public_key_sha256", "fingerprint_sha256"),
)
TLS_COLUMNS = typed(*_ENDPOINT, "severity", "finding", "tls_version", "cipher", "advice")
NAME_COLUMNS = typed(*_ENDPOINT, "identity", "names", "checked_by_allegra", "verdict", "fingerprint_sha256")
PINNED_COLUMNS = typed(
    *_ENDPOINT, "keystore_path", "alias", "subject_cn", "not_after", "days_left", "instead", "instead_sha256", "advice"
)
DRIFT_COLUMNS = typed(
    *("change", *_ENDPOINT, "changes", "was", "now", "was_trusted", "now_trusted", "was_sha256", "now_sha256", "advice")
)
DESCRIPTION_COLUMNS = typed("column", "type", "meaning")
