"""A provider's file: whatever it is wrapped in, its certificates are found, and what it is instead is said."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import certificates_in
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.files import read_certificates
from tests.chains import issue, rsa_key
from tests.changing import made

if TYPE_CHECKING:
    import random
    from pathlib import Path

ROOT = issue("Example Root", ca=True, key=rsa_key())
LEAF = issue("mail.example.com", ROOT)
DERS = (LEAF.der, ROOT.der)
KEYS = (rsa_key(), ec.generate_private_key(ec.SECP256R1()), dsa.generate_private_key(1024))
REQUEST = x509.CertificateSigningRequestBuilder().subject_name(LEAF.certificate.subject).sign(LEAF.key, hashes.SHA256())


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


def indefinite(der: bytes) -> bytes:
    """PKCS7 as Java and Windows write it: the outermost length left open (BER)."""
    return b"\x30\x80" + ber.element(der, ber.SEQUENCE).content + b"\0\0"


PEM = b"".join(map(pem, DERS))
TEXT = b"Bag Attributes\n  friendlyName: m\xfcller\n" + pem(DERS[0]) + b"\n# and its issuer\n" + pem(DERS[1]) + b"trailing"
SETTINGS = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, ber.encode(ber.OID, b"\x2a\x03")))
WINDOWS = base64.encodebytes(LEAF.der).replace(b"\n", b"\r\n")
WRAPPED = {
    "text around": (TEXT, DERS),
    "the root first": (pem(DERS[1]) + pem(DERS[0]), DERS[::-1]),
    "twice": (PEM + pem(DERS[0]), DERS),
    "CRLF": (TEXT.replace(b"\n", b"\r\n"), DERS),
    "CR alone": (PEM.replace(b"\n", b"\r"), DERS),
    "byte order mark": (b"\xef\xbb\xbf" + PEM, DERS),
    "UTF-16 of PowerShell": (PEM.decode().encode("utf-16"), DERS),
    "UTF-16, big endian": (b"\xfe\xff" + PEM.decode().encode("utf-16-be"), DERS),
    "UTF-16 without its mark": (PEM.decode().encode("utf-16-le"), DERS),
    "UTF-16 around base64": (WINDOWS.decode().encode("utf-16"), DERS[:1]),
    "quoted in a mail": (b"".join(b"> " + line for line in PEM.splitlines(keepends=True)), DERS),
    "indented in YAML": (b"".join(b"    " + line for line in PEM.splitlines(keepends=True)), DERS),
    "one line": (b"".join(pem(der).replace(b"\n", b"") for der in DERS), DERS),
    "escaped in JSON": (b'{"ca": "' + PEM.replace(b"\n", b"\\r\\n") + b'"}', DERS),
    "X509 CERTIFICATE": (b"".join(pem(der, "X509 CERTIFICATE") for der in DERS), DERS),
    "TRUSTED CERTIFICATE": (b"".join(pem(der + SETTINGS, "TRUSTED CERTIFICATE") for der in DERS), DERS),
    "requests and lists between": (pem(b"x", "CERTIFICATE REQUEST") + PEM + pem(b"y", "X509 CRL"), DERS),
    "DER": (DERS[0], DERS[:1]),
    "DER with a line end": (DERS[0] + b"\r\n", DERS[:1]),
    "DER with zeros to the end of the block": (DERS[0] + bytes(512), DERS[:1]),
    "DER side by side": (DERS[0] + DERS[1] + DERS[0], DERS),
    "base64 of Windows": (WINDOWS, DERS[:1]),
    "base64 of PEM, as in a secret of Kubernetes": (base64.b64encode(PEM), DERS),
}


@pytest.mark.parametrize(("data", "expected"), WRAPPED.values(), ids=WRAPPED)
def test_certificates_are_found_whatever_they_are_wrapped_in(data: bytes, expected: tuple[bytes, ...]) -> None:
    assert certificates_in(data, "file") == expected


@pytest.mark.parametrize("label", ["PKCS7", "PKCS #7 SIGNED DATA", "CMS", "CERTIFICATE"])
def test_certificates_are_found_in_pkcs7(label: str, tmp_path: Path) -> None:
    der = pkcs7.serialize_certificates([LEAF.certificate, ROOT.certificate], Encoding.DER)
    (tmp_path / "chain.p7b").write_bytes(der)
    assert set(read_certificates(tmp_path / "chain.p7b")) == set(DERS)
    for data in (pem(der, label), base64.encodebytes(der), indefinite(der), pem(indefinite(der), label), der + b"\n"):
        assert set(certificates_in(data, "file")) == set(DERS)
    assert set(certificates_in(pem(der, label) + PEM, "file")) == set(DERS)


@given(
    st.permutations(DERS),
    st.lists(st.sampled_from([b"", b"\n", b"# a comment\r\n", b"subject=CN = x\n", b"\t"]), min_size=3, max_size=3),
)
def test_what_stands_around_and_the_order_do_not_matter(ders: list[bytes], around: list[bytes]) -> None:
    data = around[0] + pem(ders[0]) + around[1] + pem(ders[1]) + around[2]
    assert certificates_in(data, "file") == tuple(ders)


# --- what is none ------------------------------------------------------------------------------------------------------------


def private_keys() -> dict[str, bytes]:
    found = {}
    for key in KEYS:
        kind = type(key).__name__
        for name, form in (("PKCS8", PrivateFormat.PKCS8), ("traditional", PrivateFormat.TraditionalOpenSSL)):
            found[f"{kind} {name}"] = key.private_bytes(Encoding.DER, form, NoEncryption())
        found[f"{kind} encrypted"] = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    return found


@pytest.mark.parametrize("der", private_keys().values(), ids=private_keys())
def test_a_private_key_is_refused_in_whatever_form_and_not_repeated(der: bytes) -> None:
    armoured = pem(der, "PRIVATE KEY")
    for data in (
        *(der, base64.encodebytes(der), armoured, armoured.decode().encode("utf-16"), base64.b64encode(armoured)),
        *(PEM + pem(der, "RSA PRIVATE KEY"), pem(der, "ENCRYPTED PRIVATE KEY") + PEM, pem(der, "OPENSSH PRIVATE KEY")),
        *(b"PuTTY-User-Key-File-3: ssh-rsa\n" + base64.encodebytes(der), pem(der, "PGP PRIVATE KEY BLOCK")),
    ):
        with pytest.raises(CertificateError) as refused:
            certificates_in(data, "server.pem")
        assert str(refused.value) == (
            "server.pem: there is a private key in it; ask for a file with certificates only, and keep this one safe"
        )


def public_key(encoding: Encoding) -> bytes:
    return ROOT.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


OTHERS = {
    "nothing": (b"", "the file is empty"),
    "white space": (b" \r\n", "the file is empty"),
    "JKS": (made({"a": LEAF.der}), "a Java keystore; its entries are read with `read_keystore`"),
    "PKCS12": (
        pkcs12.serialize_key_and_certificates(b"m", rsa_key(), None, [ROOT.certificate], BestAvailableEncryption(b"secret")),
        "a PKCS12 file, in which mostly a private key is, too; ask for the certificates alone",
    ),
    "ZIP": (b"PK\x03\x04rest", "a ZIP archive; unpack it"),
    "a web page": (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
    "a request": (REQUEST.public_bytes(Encoding.PEM), "a certificate request; ask for the certificate"),
    "a request in DER": (REQUEST.public_bytes(Encoding.DER), "a certificate request; ask for the certificate"),
    "a list": (pem(b"x", "X509 CRL"), "a list of revoked certificates"),
    "a public key": (public_key(Encoding.PEM), "a public key alone"),
}


@pytest.mark.parametrize(("data", "what"), OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_kind_is_called_by_its_name(data: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "mail.cer").write_bytes(data)
    with pytest.raises(CertificateError) as refused:
        read_certificates(tmp_path / "mail.cer")
    assert f"mail.cer: {'' if what.startswith('the') else 'this is '}{what}" in str(refused.value)


VERSION_9 = LEAF.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x08", 1)
BROKEN = {
    "an unknown version": (VERSION_9, ""),
    "an unknown version in PEM": (pem(VERSION_9), ""),
    "the second of two": (pem(LEAF.der) + pem(VERSION_9), ", after 1 that are; nothing of it is used"),
    "no certificate in PEM": (pem(b"\x30\x03\x02\x01\x01"), ""),
    "nothing in PEM": (pem(b""), ""),
    "nothing trusted": (pem(b"", "TRUSTED CERTIFICATE"), ""),
    "an empty PKCS7": (pem(b"\x30\x00", "PKCS7"), ""),
    "a public key in DER": (public_key(Encoding.DER), ""),
    "garbage": ("\ufeffGarbage \u202e".encode(), ""),
    "base64 of nothing": (b"QUJD", ""),
    "no end": (PEM[:-20], " (cut short or damaged: 2 begin, and 1 of them end)"),
    "no end of the first": (
        PEM.replace(b"-----END CERTIFICATE-----", b"", 1),
        " (cut short or damaged: 2 begin, and 1 of them end)",
    ),
    "DER cut short": (LEAF.der[:-1], ""),
    "the second cut short": (LEAF.der + ROOT.der[:-1], ", after 1 that are; nothing of it is used"),
    "a length and nothing more": (b"\x30\x84\xff\xff\xff\xff", ""),
    "one octet": (b"\x30", ""),
}


@pytest.mark.parametrize(("data", "more"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(data: bytes, more: str) -> None:
    with pytest.raises(CertificateError) as refused:
        certificates_in(data, "mail.cer")
    said = str(refused.value)
    assert said.startswith(f"mail.cer: neither PEM, DER nor PKCS7 certificates{more}")
    assert said.isprintable()
    assert len(said) < 300


@given(st.binary(max_size=200) | st.randoms(use_true_random=False).map(lambda chance: damaged(PEM, chance)))
def test_any_bytes_give_certificates_or_a_certificate_error(data: bytes) -> None:
    with contextlib.suppress(CertificateError):
        assert certificates_in(data, "file")


def damaged(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


def test_a_file_that_is_not_there_or_much_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"absent\.cer: the file cannot be read: No such file"):
        read_certificates(tmp_path / "absent.cer")
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(4 * 1024 * 1024 + 1)
    with pytest.raises(CertificateError, match="cannot be read: more than 4 MB"):
        read_certificates(tmp_path / "disk.img")


@pytest.mark.parametrize("piece", [b"-----BEGIN CERTIFICATE-----", b"\x30\x00", b"\x30\x01", b"-", b"A", b"A \n", b" "])
def test_a_large_file_of_nothing_is_refused_in_no_time(piece: bytes) -> None:
    data = piece * (4 * 1024 * 1024 // len(piece))
    for end in (b"", b"!"):
        with pytest.raises(CertificateError):
            certificates_in(data + end, "file")
