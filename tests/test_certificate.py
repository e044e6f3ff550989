from __future__ import annotations

import base64
import contextlib
import ipaddress
import time
import warnings
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.certificate import (
    certificate_facts,
    certificates_in,
    is_signed_by,
    load,
    role,
)
from allegra_tls_kit.errors import CertificateError
from tests.chains import Issued, alternatives, distinguished, issue, rsa_key, usage

if TYPE_CHECKING:
    import random

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes


@cache
def root() -> Issued:
    return issue(
        distinguished(O="Example", CN="Example Root"), ca=True, key=rsa_key(), critical=[usage("key_cert_sign", "crl_sign")]
    )


@cache
def leaf() -> Issued:
    return issue("mail.example.com", root(), extensions=[alternatives("mail.example.com")])


def named(value: str) -> x509.Name:
    """A name with a CN that no CA would write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of more than 64 characters
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, _validate=False)])


def signed(key: CertificateIssuerPrivateKeyTypes, rsa_padding: padding.PSS | None = None) -> x509.Certificate:
    """A self-signed certificate for any kind of key."""
    digest = None if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()
    name, start, end = named("mail"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    return x509.CertificateBuilder(name, name, key.public_key(), 7, start, end).sign(key, digest, rsa_padding=rsa_padding)


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


# --- facts -----------------------------------------------------------------------------------------------------------------


def test_facts_say_what_the_certificate_says() -> None:
    ocsp, issuers = AuthorityInformationAccessOID.OCSP, AuthorityInformationAccessOID.CA_ISSUERS
    places = [(ocsp, "http://ocsp.example.com/"), (ocsp, "http://second.example.com/"), (issuers, "http://ca.example.com/ca.crt")]
    access = x509.AuthorityInformationAccess(
        [x509.AccessDescription(oid, x509.UniformResourceIdentifier(uri)) for oid, uri in places]
    )
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")])
    start, end = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC)
    issued = issue(
        distinguished(C="DE", O="Example, Inc.", CN="mail.example.com"),
        root(),
        ca=False,
        serial=0xABC123,
        start=start,
        end=end,
        extensions=[alternatives("mail.example.com", "10.0.0.5"), access, purposes],
        critical=[usage("digital_signature", "content_commitment")],
    )
    facts = certificate_facts(issued.der)
    assert facts.subject == "CN=mail.example.com,O=Example\\, Inc.,C=DE"
    assert facts.subject_cn == facts.name == "mail.example.com"
    assert (facts.issuer, facts.issuer_cn) == ("CN=Example Root,O=Example", "Example Root")
    assert facts.subject_alt_name == ("DNS:mail.example.com", "IP:10.0.0.5")
    assert (facts.serial_number, facts.not_before, facts.not_after) == ("abc123", start, end)
    assert (facts.self_signed, facts.is_ca, facts.key_usage) == (False, False, ("digitalSignature", "nonRepudiation"))
    assert facts.extended_key_usage == ("serverAuth", "1.2.3.4")
    assert (facts.ocsp_uri, facts.issuer_uri) == ("http://ocsp.example.com/", "http://ca.example.com/ca.crt")
    assert facts.sha256 == issued.certificate.fingerprint(hashes.SHA256()).hex()
    assert facts.sha1 == issued.certificate.fingerprint(hashes.SHA1()).hex()
    assert facts.notes == ()


def test_facts_of_a_root_and_the_roles_in_a_chain() -> None:
    facts = certificate_facts(root().der)
    assert (facts.self_signed, facts.is_ca, facts.key_usage) == (True, True, ("keyCertSign", "cRLSign"))
    assert (facts.subject_alt_name, facts.extended_key_usage, facts.ocsp_uri, facts.issuer_uri) == ((), (), None, None)
    below = certificate_facts(leaf().der)
    assert [role(below, 0), role(below, 1), role(facts, 1), role(facts, 0)] == ["leaf", "intermediate", "root", "leaf"]
    same_names = issue(root().certificate.subject, root())
    assert not certificate_facts(same_names.der).self_signed


@pytest.mark.parametrize(
    ("key", "kind", "bits", "signature"),
    [
        (rsa_key(1024), "RSA", 1024, "sha256WithRSAEncryption"),
        (ec.generate_private_key(ec.SECP384R1()), "EC secp384r1", 384, "ecdsa-with-SHA256"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", None, "ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448", None, "ed448"),
        (dsa.generate_private_key(1024), "DSA", 1024, "dsa-with-sha256"),
    ],
)
def test_keys_and_signatures_of_every_kind(
    key: CertificateIssuerPrivateKeyTypes, kind: str, bits: int | None, signature: str
) -> None:
    der = signed(key).public_bytes(Encoding.DER)
    facts = certificate_facts(der)
    assert (facts.public_key_type, facts.public_key_size, facts.signature_algorithm) == (kind, bits, signature)
    assert facts.self_signed
    assert not is_signed_by(der, root().key.public_key())
    assert not is_signed_by(leaf().der, key.public_key())


@pytest.mark.parametrize(("digest", "name"), [("sha1", "sha1WithRSAEncryption"), ("md5", "md5WithRSAEncryption")])
def test_old_digests_are_verified_and_not_refused(digest: str, name: str) -> None:
    old = issue("old.example.com", root(), digest=digest)
    assert certificate_facts(old.der).signature_algorithm == name
    assert is_signed_by(old.der, root().key.public_key())
    assert not is_signed_by(old.der, rsa_key(2048, 1).public_key())
    forged = old.der[:-1] + bytes([old.der[-1] ^ 1])
    assert not is_signed_by(forged, root().key.public_key())


def test_a_signature_with_rsa_pss_is_verified() -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    der = signed(rsa_key(), pss).public_bytes(Encoding.DER)
    assert is_signed_by(der, root().key.public_key())
    assert not is_signed_by(der, rsa_key(2048, 1).public_key())


def test_every_kind_of_alternative_name_is_shown_with_its_kind() -> None:
    kinds: list[tuple[x509.GeneralName, str]] = [
        (x509.DNSName("*.example.com"), "DNS:*.example.com"),
        (x509.IPAddress(ipaddress.ip_address("2001:db8::1")), "IP:2001:db8::1"),
        (x509.RFC822Name("anna@example.com"), "email:anna@example.com"),
        (x509.UniformResourceIdentifier("https://example.com/"), "UniformResourceIdentifier:https://example.com/"),
        (x509.DirectoryName(distinguished(CN="dir")), "DirectoryName:CN=dir"),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")), "RegisteredID:1.2.3.4"),
        (x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01u"), "OtherName:b'\\x0c\\x01u'"),
    ]
    names = x509.SubjectAlternativeName([name for name, _ in kinds])
    assert certificate_facts(issue("kinds", extensions=[names]).der).subject_alt_name == tuple(shown for _, shown in kinds)


# --- strangers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("mail\r\nTrusted: yes", "mail\\x0d\\x0aTrusted: yes"),
        ("moc.\u202eelpmaxe", "moc.\\u{202e}elpmaxe"),
        ("mail.example.com\0.evil.example", "mail.example.com\\x00.evil.example"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("x" * 1_000_000, "x" * 300 + "… (1,000,000 characters)"),
    ],
)
def test_a_hostile_name_is_visible_and_bounded_wherever_it_stands(hostile: str, shown: str) -> None:
    alternative = x509.SubjectAlternativeName([x509.DirectoryName(named(hostile))])
    facts = certificate_facts(issue(named(hostile), extensions=[alternative]).der)
    assert facts.subject_cn == facts.issuer_cn == facts.name == shown
    for text in (facts.subject, facts.issuer, *facts.subject_alt_name):
        assert text.isprintable()
        assert len(text) < 500
    assert len(repr(facts)) < 5000


def test_fifty_thousand_alternative_names_are_read_in_no_time_and_a_hundred_shown() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(f"host{n}.example.com") for n in range(50_000)])
    der = issue("many", extensions=[names], key_ids=False).der
    before = time.process_time()
    facts = certificate_facts(der)
    assert time.process_time() - before < 2
    assert (len(facts.subject_alt_name), facts.subject_alt_name[99:]) == (101, ("DNS:host99.example.com", "… (50,000 names)"))


def test_a_malformed_extension_becomes_a_note_and_the_rest_is_read() -> None:
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x04\x02\xff")
    facts = certificate_facts(issue("broken", ca=True, extensions=[broken]).der)
    assert facts.subject_cn == "broken"
    assert facts.subject_alt_name == ()
    assert "subjectAltName could not be read" in " ".join(facts.notes)
    assert len(facts.notes) == len(set(facts.notes))


def test_a_key_on_an_unknown_curve_becomes_a_note() -> None:
    p256 = bytes.fromhex("06082a8648ce3d030107")
    facts = certificate_facts(issue("curve", root()).der.replace(p256, bytes.fromhex("06082a8648ce3d030163")))
    assert (facts.subject_cn, facts.public_key_type, facts.public_key_size) == ("curve", "unknown", None)
    assert facts.notes[0].startswith("public key could not be read: ")


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"not a certificate", b"\x30\x84\xff\xff\xff\xff", pem(b"x")])
def test_what_is_no_certificate_is_a_certificate_error(data: bytes) -> None:
    for read in (certificate_facts, load):
        with pytest.raises(CertificateError, match=f"{len(data)} bytes that are no X.509 certificate"):
            read(data)


@given(st.randoms(use_true_random=False))
def test_a_damaged_certificate_gives_facts_or_a_certificate_error(chance: random.Random) -> None:
    damaged = bytearray(leaf().der)
    for _ in range(chance.randint(1, 3)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    for read in (certificate_facts, lambda der: certificates_in(der, "file")):
        with contextlib.suppress(CertificateError):
            assert read(bytes(damaged))
