from __future__ import annotations

import builtins
import dataclasses
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import change, plan
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import SecretError
from tests.chains import issue
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, ROOT, failure_of, probe_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL = probe_of(LEAF.der, ROOT.der)
TRUSTED = probe_of(LEAF.der, url="imaps://imap.example.com:993")
LDAP = probe_of(issue("ldap.example.com").der, url="ldaps://ldap.example.com:636")
RESULTS = (failure_of(url="pop3s://pop.example.com:995"), MAIL, LDAP)
PROOF: dict[str, Any] = {"reference": kit.keytool_notation(sha256_of(ROOT.der)), "reference_from": "Jane Doe, by telephone"}
REST: dict[str, Any] = {"operator": "me", "ticket": "CHG-1", "password_from": "env:STOREPASS", "keystore": "/srv/other.ks"}
CANARY = "hunter2-canary"


@pytest.fixture
def allegra(tmp_path: Path) -> kit.Allegra:
    return kit.locate(tmp_path, processes=(), environ={})


@pytest.fixture
def guide(allegra: kit.Allegra) -> kit.ImportGuide:
    return kit.ImportGuide(RESULTS, allegra)


def field(guide: kit.ImportGuide, label: str) -> Any:  # noqa: ANN401 - ipywidgets has no types
    (found,) = [widget for widget in guide.box.children if getattr(widget, "description", "") == label]
    return found


def said(guide: kit.ImportGuide) -> str:
    """What stands in the form's HTML, which is inert."""
    return "\n".join(text_of(widget.value) for widget in guide.box.children if isinstance(widget, ipywidgets.HTML))


def test_the_guide_proposes_the_server_that_is_not_trusted_and_the_recommended_certificate(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([TRUSTED, LDAP, MAIL], allegra, anchors=[ROOT.der])
    assert guide.value.endpoint == LDAP.endpoint.url
    guide = kit.ImportGuide(RESULTS, allegra)
    labels = [label for label, _ in field(guide, "Certificate to import").options]
    assert guide.value.certificate == sha256_of(ROOT.der)
    assert [label.split(":")[0] for label in labels] == ["root", "leaf"]
    assert [label.endswith("(recommended)") for label in labels] == [True, False]
    assert "Java refuses mail.example.com" in said(guide)
    assert "Java trusts what Example Root issues" in said(guide)


def test_only_servers_that_showed_a_certificate_can_be_chosen(guide: kit.ImportGuide, allegra: kit.Allegra) -> None:
    assert field(guide, "Server").options == (MAIL.endpoint.url, LDAP.endpoint.url)
    with pytest.raises(ValueError, match="no server showed a certificate"):
        kit.ImportGuide([failure_of(), probe_of()], allegra)


def test_another_server_brings_its_own_certificates_and_stores(guide: kit.ImportGuide, allegra: kit.Allegra) -> None:
    assert guide.value.keystore == str(allegra.keystore_folder / "mail.example.com.ks")
    field(guide, "Server").value = LDAP.endpoint.url
    assert guide.value.certificate == sha256_of(LDAP.chain[0])
    assert [Path(store).name for store in field(guide, "Keystore").options] == ["trackplus.ks", "ldap.example.com.ks"]
    assert guide.value.keystore == str(allegra.keystore_folder / "trackplus.ks")


def test_a_keystore_that_was_named_stays_whatever_server_is_chosen(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide(RESULTS, allegra, keystore="/srv/one.ks")
    field(guide, "Server").value = LDAP.endpoint.url
    assert guide.value.keystore == "/srv/one.ks"


def test_where_java_trusts_already_there_is_nothing_to_choose(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([TRUSTED], allegra, anchors=[ROOT.der])
    assert "There is nothing to import for this server." in said(guide)
    with pytest.raises(kit.KitError, match="no certificate was chosen"):
        guide.value.checked_certificate(TRUSTED.chain)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("", "● Not compared yet"),
        (PROOF["reference"], "✔ Match"),
        (f"  sha256 Fingerprint={PROOF['reference'].lower()} ", "✔ Match"),
        (kit.keytool_notation(sha256_of(LEAF.der)), "✖ No match"),
        ("aa:" * 19 + "aa", "✖ No match: a SHA-1 fingerprint is no proof"),
        (HOSTILE, "✖ No match"),
    ],
)
def test_the_reference_is_compared_while_it_is_typed(guide: kit.ImportGuide, reference: str, answer: str) -> None:
    field(guide, "Reference SHA-256").value = reference
    assert answer in said(guide)


def test_another_certificate_is_compared_anew(guide: kit.ImportGuide) -> None:
    field(guide, "Reference SHA-256").value = PROOF["reference"]
    field(guide, "Certificate to import").index = 1
    assert "✖ No match" in said(guide)
    assert guide.value.certificate == sha256_of(LEAF.der)


def test_the_value_is_frozen_and_its_repr_is_a_literal(guide: kit.ImportGuide) -> None:
    value = guide.value
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.ticket = "x"  # type: ignore[misc]
    assert eval(repr(value), {"ImportChoice": kit.ImportChoice}) == value


def test_prefilled_arguments_give_what_a_hand_would(guide: kit.ImportGuide, allegra: kit.Allegra) -> None:
    for label, text in (
        ("Reference SHA-256", f" {PROOF['reference']}\n"), ("Reference from", PROOF["reference_from"]), ("Operator", "me"),
        ("Ticket", " CHG-1 "), ("Password from", "env:STOREPASS"), ("Keystore", "/srv/other.ks"),
    ):  # fmt: skip
        field(guide, label).value = text
    assert kit.ImportGuide(RESULTS, allegra, **PROOF, **REST).value == guide.value
    assert guide.value.checked_certificate(MAIL.chain) == ROOT.der


def test_no_click_connects_plans_writes_or_reads(guide: kit.ImportGuide, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    forbidden: list[tuple[Any, str]] = [(socket, "socket"), (plan, "plan_import"), (change, "apply"), (change, "verify")]
    forbidden += [(builtins, "open"), (os, "open"), (Path, "open"), (kit.Journal, "keep")]
    for where, name in forbidden:
        monkeypatch.setattr(where, name, never)
    field(guide, "Server").value = LDAP.endpoint.url
    field(guide, "Server").value = MAIL.endpoint.url
    field(guide, "Certificate to import").index = 1
    for label in ("Reference SHA-256", "Reference from", "Keystore", "Password from", "Operator", "Ticket"):
        field(guide, label).value = "env:X"
    assert guide.value.password_from == "env:X"


def test_the_words_of_strangers_are_text_in_the_form(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([probe_of(HOSTILE_LEAF.der)], allegra)
    ((label, _),) = field(guide, "Certificate to import").options
    for text in (label, said(guide)):
        assert "<script>alert(1)</script>" in text
        assert "\u202e" not in text


def test_a_password_is_never_in_the_form_only_its_source(allegra: kit.Allegra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOREPASS", CANARY)
    guide = kit.ImportGuide(RESULTS, allegra, **PROOF, **REST)
    states = json.dumps([widget.get_state() for widget in guide.box.children], default=repr)
    assert "env:STOREPASS" in states
    assert CANARY not in states + repr(guide.value)


def by_hand(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide(RESULTS, allegra)
    field(guide, "Password from").value = CANARY
    assert guide.value


def beforehand(allegra: kit.Allegra) -> None:
    kit.ImportGuide(RESULTS, allegra, password_from=CANARY)


@pytest.mark.parametrize("given", [by_hand, beforehand])
def test_a_password_in_the_place_of_its_source_is_refused_and_not_repeated(
    given: Callable[[kit.Allegra], None], allegra: kit.Allegra
) -> None:
    with pytest.raises(SecretError) as raised:
        given(allegra)
    assert CANARY not in str(raised.value)


def test_jupyter_gets_the_live_form_and_what_stays_when_it_is_gone(guide: kit.ImportGuide) -> None:
    bundle = guide._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == guide.box.model_id
    assert "next cell" in bundle["text/plain"]
    assert "next cell" in text_of(bundle["text/html"])


def test_a_provider_s_file_with_the_root_is_proposed_where_the_server_does_not_send_it(
    laboratory: kit.Laboratory, allegra: kit.Allegra
) -> None:
    result = kit.probe(laboratory.endpoints["imap"])
    at_hand = kit.read_certificates(laboratory.ca_file)
    told = laboratory.reference_fingerprints["imap"]
    guide = kit.ImportGuide([result], allegra, at_hand=at_hand, reference=told, reference_from="the provider")
    assert guide.value.checked_certificate((*result.chain, *at_hand)) == at_hand[0]
    assert at_hand[0] not in result.chain
