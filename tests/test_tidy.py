from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.certificate import certificate_facts, certificates_in, is_signed_by, load, sha256_of
from allegra_tls_kit.plan import pem
from allegra_tls_kit.tidy import public_key_part, signed_part, tidied
from tests.chains import distinguished, issue, resigned, rsa_key
from tests.scenarios_parts import loose
from tests.scenarios_paths import LEAF, ROOT, SUB

LOOSE = {scenario.name: scenario.chain[-1].der for scenario in loose() if "not in the store" in scenario.name}


@pytest.mark.parametrize("name", LOOSE)
def test_what_is_no_strict_der_is_read_and_its_signature_is_that_of_the_bytes_received(name: str) -> None:
    der = LOOSE[name]
    facts = certificate_facts(der)
    assert (facts.sha256, facts.notes, facts.is_ca, facts.self_signed) == (sha256_of(der), (), True, True)
    assert is_signed_by(der, load(der).public_key())
    assert not is_signed_by(der, SUB.key.public_key())
    assert not is_signed_by(der[:-1] + bytes([der[-1] ^ 1]), load(der).public_key())


@pytest.mark.parametrize("der", LOOSE.values(), ids=list(LOOSE))
def test_a_file_with_it_gives_the_bytes_that_stand_there(der: bytes) -> None:
    assert certificates_in(der, "a file") == (der,)
    assert certificates_in((pem(der) + pem(LEAF.der)).encode(), "a file") == (der, LEAF.der)


def test_the_name_is_shown_as_it_was_meant() -> None:
    shown = {name.partition(",")[0]: certificate_facts(der).subject_cn for name, der in LOOSE.items()}
    assert shown["characters in a PrintableString"] == "a *_& d"
    assert shown["Latin-1 in a TeletexString"] == "a büc d"


@pytest.mark.parametrize(("octets", "value"), [("0001", 1), ("ffff", -1), ("00000080", 128), ("ffffff7f", -129), ("0000", 0)])
def test_redundant_octets_of_a_serial_number_are_left_out(octets: str, value: int) -> None:
    serial = bytes.fromhex(octets)
    der = resigned(LEAF.der, SUB.key, serial=bytes([2, len(serial)]) + serial)
    assert certificate_facts(der).serial_number == f"{value:x}"
    assert is_signed_by(der, SUB.key.public_key())


def test_what_is_strict_stays_as_it_is() -> None:
    edge = issue(distinguished(CN="Zürich", O="a*b", C="CH", E="a@b.c"), ROOT, ca=True, critical=[x509.OCSPNoCheck()], serial=128)
    for der in (ROOT.der, SUB.der, LEAF.der, edge.der):
        assert tidied(der) == der
        assert signed_part(der) == x509.load_der_x509_certificate(der).tbs_certificate_bytes


def test_a_body_that_is_no_sequence_is_not_made_one() -> None:
    der = bytearray(LEAF.der)
    der[4] = 0x31
    with pytest.raises(ValueError, match="one element with tag 0x30"):
        tidied(bytes(der))


def test_the_public_key_is_the_part_that_it_is_whatever_the_version() -> None:
    oldest = resigned(issue("x", key=rsa_key()).der, rsa_key(), version=1)
    for der in (LEAF.der, oldest):
        key = x509.load_der_x509_certificate(der).public_key()
        assert public_key_part(der) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_deep_nest_of_sequences_is_no_danger() -> None:
    nest = b""
    for _ in range(5000):
        nest = b"\x30\x82" + len(nest).to_bytes(2, "big") + nest
    assert tidied(nest).startswith(b"\x30\x82")


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255))
def test_a_damaged_certificate_gives_a_value_error_or_a_copy(position: int, value: int) -> None:
    der = bytearray(LEAF.der)
    der[position] = value
    try:
        copy = tidied(bytes(der))
    except ValueError:
        return
    assert tidied(copy) == copy
