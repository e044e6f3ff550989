from __future__ import annotations

from dataclasses import replace

import pytest

from allegra_tls_kit import ImportChoice
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.errors import FingerprintError
from tests.stores import LEAF, NEW, ROOT


def choice(**changed: str) -> ImportChoice:
    chosen = ImportChoice(
        endpoint="imaps://mail.example.com:993",
        certificate=sha256_of(NEW.der),
        reference=keytool_notation(sha256_of(NEW.der)),
        reference_from="Ada of the mail team, by telephone",
        keystore="/srv/allegra/keystore/mail.example.com.ks",
        operator="Grace \N{SNOWMAN} 'G' \"H\" \\ \n",
    )
    return replace(chosen, **changed)


def test_a_choice_gives_the_certificate_whose_fingerprint_matches() -> None:
    assert choice().checked_certificate([ROOT.der, NEW.der]) == NEW.der
    assert choice(certificate=sha256_of(NEW.der).upper()).checked_certificate(iter([NEW.der])) == NEW.der


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"reference": sha256_of(ROOT.der)}, "do not import it"),
        ({"reference": "ab" * 20}, "a SHA-1 fingerprint is no proof"),
        ({"reference": sha256_of(NEW.der)[:63]}, "63 characters"),
        ({"reference": ""}, "nothing is no proof"),
        ({"reference_from": " \n"}, "say from whom"),
        ({"certificate": sha256_of(LEAF.der)}, "look again and choose again"),
        ({"certificate": ""}, "no certificate was chosen"),
    ],
)
def test_a_choice_without_proof_gives_nothing(changed: dict[str, str], said: str) -> None:
    with pytest.raises(FingerprintError, match=said):
        choice(**changed).checked_certificate([ROOT.der, NEW.der])


def test_a_choice_is_pasted_as_a_literal_and_names_the_source_of_a_password_only() -> None:
    assert eval(repr(choice(password_from="env:STOREPASS")), {"ImportChoice": ImportChoice}) == choice(
        password_from="env:STOREPASS"
    )
    assert "changeit" in repr(choice())
