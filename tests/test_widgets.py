from __future__ import annotations

import builtins
import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

import allegra_tls_kit as kit
from allegra_tls_kit import change, form, plan
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import SecretError
from allegra_tls_kit.files import LONGEST_CERTIFICATES
from allegra_tls_kit.static import Code, Details
from tests.chains import issue
from tests.changing import made
from tests.shown import CANARY, HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, failure_of, flat, notebook, probe_of, text_of

MAIL = probe_of(LEAF.der, ROOT.der)
TRUSTED = probe_of(LEAF.der, url="imaps://imap.example.com:993")
LDAP = probe_of(issue("ldap.example.com").der, url="ldaps://ldap.example.com:636")
RESULTS = (failure_of(url="pop3s://pop.example.com:995"), MAIL, LDAP)
PROOF: dict[str, Any] = {"reference": kit.keytool_notation(sha256_of(ROOT.der)), "reference_from": "Jane Doe, by telephone"}
REST: dict[str, Any] = {"operator": "me", "ticket": "CHG-1", "password_from": "env:STOREPASS", "keystore": "/srv/other.ks"}


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
    assert [label.split(":")[0] for label in labels] == ["root, recommended", "leaf"]
    assert "Java refuses mail.example.com" in said(guide)
    assert "If you import this one: Java trusts what Example Root issues" in said(guide)
    field(guide, "Certificate to import").index = 1
    assert "If you import this one: Java trusts this one certificate only" in said(guide)


def test_a_certificate_that_the_reference_names_is_chosen_before_the_recommended_one(allegra: kit.Allegra) -> None:
    told = kit.keytool_notation(sha256_of(LEAF.der))
    guide = kit.ImportGuide(RESULTS, allegra, reference=told, reference_from="Jane Doe")
    assert guide.certificate() == LEAF.der
    field(guide, "Reference SHA-256").value = PROOF["reference"]
    assert guide.value.certificate == sha256_of(LEAF.der)
    assert "which is that of another certificate here, 'Example Root'" in said(guide)


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


def test_where_java_trusts_already_nothing_is_recommended_and_what_is_trusted_can_be_chosen_again(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([MAIL], allegra, anchors=[ROOT.der])
    labels = [label for label, _ in field(guide, "Certificate to import").options]
    assert [label.split(":")[0] for label in labels] == ["root", "leaf"]
    assert "Next: nothing to import: Java trusts this server" in said(guide)
    field(guide, "Reference SHA-256").value, field(guide, "Reference from").value = PROOF.values()
    assert guide.certificate() == ROOT.der


def test_where_no_import_helps_there_is_nothing_to_choose(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([probe_of(LEAF.der, url="ldaps://other.example.com")], allegra)
    assert "There is nothing to import for this server." in said(guide)
    with pytest.raises(kit.KitError, match="no certificate was chosen"):
        guide.value.checked_certificate([LEAF.der])


def test_what_the_runtime_trusts_is_offered_where_the_server_does_not_send_it(tmp_path: Path) -> None:
    cacerts = tmp_path / "jdk" / "lib" / "security" / "cacerts"
    cacerts.parent.mkdir(parents=True)
    cacerts.write_bytes(made({"root": ROOT.der, "other": OTHER_ROOT.der}))
    allegra = kit.locate(tmp_path, processes=(), environ={"JAVA_HOME": str(tmp_path / "jdk")})
    guide = kit.ImportGuide([TRUSTED], allegra, anchors=[OTHER_ROOT.der], **PROOF)
    labels = [label for label, _ in field(guide, "Certificate to import").options]
    assert [label.split(":")[0] for label in labels] == ["root, recommended", "leaf"]
    assert guide.certificate() == ROOT.der
    assert "add -p CERTIFICATE_FILE" not in str(guide.twin())
    cacerts.write_bytes(b"")
    guide = kit.ImportGuide([MAIL], allegra, anchors=[OTHER_ROOT.der])
    assert guide.value.certificate == sha256_of(ROOT.der)


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
    forbidden += [(builtins, "open"), (os, "open"), (os, "stat"), (Path, "open"), (kit.Journal, "keep")]
    for where, name in forbidden:
        monkeypatch.setattr(where, name, never)
    field(guide, "Server").value = LDAP.endpoint.url
    field(guide, "Server").value = MAIL.endpoint.url
    field(guide, "Certificate to import").index = 1
    for label in ("Reference SHA-256", "Reference from", "Keystore", "Password from", "Operator", "Ticket"):
        field(guide, label).value = "env:X"
    upload(guide, ROOT.der)
    assert guide.value.password_from == "env:X"


def test_the_words_of_strangers_are_text_in_the_form(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([probe_of(HOSTILE_LEAF.der)], allegra)
    ((label, _),) = field(guide, "Certificate to import").options
    for label_ in ("Reference SHA-256", "Reference from", "Keystore", "Operator", "Ticket"):
        field(guide, label_).value = HOSTILE
    for text in (label, said(guide), text_of(guide.twin().html()), str(guide.twin())):
        assert "<script>alert(1)</script>" in text
        assert "\u202e" not in text


def test_a_password_is_never_in_the_form_only_its_source(allegra: kit.Allegra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOREPASS", CANARY)
    guide = kit.ImportGuide(RESULTS, allegra, **PROOF, **REST)
    states = json.dumps([widget.get_state() for widget in guide.box.children], default=repr)
    assert "env:STOREPASS" in states
    assert CANARY not in states + repr(guide.value)


def test_a_password_typed_in_the_place_of_its_source_is_cleared_and_not_repeated(guide: kit.ImportGuide) -> None:
    password = field(guide, "Password from")
    password.value = CANARY
    assert password.value == ""
    assert "✖ That was no source of a password, and was cleared" in said(guide)
    for act in (lambda: guide.value, guide.certificate):
        with pytest.raises(SecretError, match="the form names no source of the password; choose prompt, env:NAME"):
            act()
    states = json.dumps([widget.get_state() for widget in guide.box.children], default=repr)
    assert CANARY not in states + str(guide.twin())
    assert "✖ No source of the password is named" in str(guide.twin())
    password.value = "env:STOREPASS"
    assert guide.value.password_from == "env:STOREPASS"
    assert "cleared" not in said(guide)


def test_a_password_given_beforehand_in_the_place_of_its_source_is_refused_and_not_repeated(allegra: kit.Allegra) -> None:
    with pytest.raises(SecretError) as raised:
        kit.ImportGuide(RESULTS, allegra, password_from=CANARY)
    assert CANARY not in str(raised.value)


# --- the file of the provider ------------------------------------------------------------------------------------------------


def upload(guide: kit.ImportGuide, content: bytes, name: str = "ca.cer") -> None:
    """Give the form a file, as JupyterLab does."""
    (button,) = [widget for widget in guide.box.children if isinstance(widget, ipywidgets.FileUpload)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    button.value = [{"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": at}]
    assert button.value == ()


def offered(guide: kit.ImportGuide) -> list[bytes]:
    return [candidate.der for _, candidate in field(guide, "Certificate to import").options]


def test_the_certificates_of_an_uploaded_file_join_the_candidates(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide([TRUSTED], allegra, **PROOF)
    assert offered(guide) == [LEAF.der]
    with pytest.raises(kit.KitError, match="the reference says"):
        guide.certificate()
    upload(guide, (plan.pem(ROOT.der) + plan.pem(OTHER_ROOT.der)).encode())
    assert "✔ ca.cer: 2 certificates, of which 1 would make Java trust imaps://imap.example.com:993." in said(guide)
    assert offered(guide) == [ROOT.der, LEAF.der]
    assert guide.certificate() == ROOT.der
    assert "add -p CERTIFICATE_FILE=… and the provider's file" in str(guide.twin())
    upload(guide, OTHER_ROOT.der, "other.cer")
    assert "● other.cer: 1 certificate, of which none would make Java trust" in said(guide)
    assert offered(guide) == [ROOT.der, LEAF.der]


@pytest.mark.parametrize("form", ["DER", "PEM", "PKCS7"])
def test_an_uploaded_file_has_any_common_form(form: str, allegra: kit.Allegra) -> None:
    root = x509.load_der_x509_certificate(ROOT.der)
    content = {"DER": ROOT.der, "PEM": plan.pem(ROOT.der).encode()}
    content["PKCS7"] = pkcs7.serialize_certificates([root], Encoding.DER)
    guide = kit.ImportGuide([TRUSTED], allegra)
    upload(guide, content[form])
    assert offered(guide) == [ROOT.der, LEAF.der]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----".encode(), "there is a private key in it"),
        (plan.pem(ROOT.der).encode() + b"-----BEGIN EC PRIVATE KEY-----", "there is a private key in it"),
        (CANARY.encode() * 100, "neither PEM, DER nor PKCS7 certificates"),
        (b"", "the file is empty; ask for it again"),
        (b"\x30\x82" + CANARY.encode(), "neither PEM, DER nor PKCS7 certificates"),
        (ROOT.der + bytes(LONGEST_CERTIFICATES), "more than 4 MB; give a file with the CA's certificate alone"),
    ],
)
def test_what_is_no_file_of_certificates_is_refused_and_nothing_of_it_stays(
    content: bytes, words: str, guide: kit.ImportGuide
) -> None:
    before = offered(guide)
    upload(guide, content, f"{HOSTILE}.pem")
    assert "✖ Not taken: <script>alert(1)</script>" in said(guide)
    assert words in said(guide)
    assert offered(guide) == before
    states = json.dumps([widget.get_state() for widget in guide.box.children], default=repr)
    assert CANARY not in states + str(guide.twin())


# --- what the saved file has of it -------------------------------------------------------------------------------------------


def test_the_twin_says_what_was_chosen_and_gives_it_as_a_literal_and_as_a_command(allegra: kit.Allegra) -> None:
    guide = kit.ImportGuide(RESULTS, allegra, **PROOF, **REST)
    (details,) = [part for part in guide.twin().parts if isinstance(part, Details)]
    literal, command = [part.text for part in details.parts if isinstance(part, Code)]
    assert eval(literal, {"kit": kit}) == guide.value
    assert command == guide.value.run_command()
    for text in (str(guide.twin()), text_of(guide.twin().html())):
        for words in ("✔ Match", "Jane Doe, by telephone", "CHG-1", "/srv/other.ks", "env:STOREPASS", "root, recommended"):
            assert words in flat(text)
    field(guide, "Password from").value = "prompt"
    assert "Nobody can be asked in an unattended run" in str(guide.twin())
    field(guide, "Reference SHA-256").value = ""
    assert "● Not compared yet" in str(guide.twin())


@dataclass
class Shown:
    """What a form displays, in order, and again at each change."""

    bundles: list[tuple[dict[str, Any], dict[str, Any]]]

    def __call__(self, bundle: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 - as in IPython
        self.bundles.append((bundle, options))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown([])
    monkeypatch.setattr(form, "get_ipython", lambda: shown)
    monkeypatch.setattr(form, "display", shown)
    return shown


def test_a_form_displays_itself_and_a_twin_that_follows_each_change(guide: kit.ImportGuide, shown: Shown) -> None:
    field(guide, "Ticket").value = "CHG-0"
    assert shown.bundles == []
    guide._ipython_display_()
    (live, live_options), (twin, options) = shown.bundles
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == guide.box.model_id
    assert live["text/plain"] == "ImportGuide: what was chosen stands below"
    assert live_options == {"raw": True}
    assert twin == guide.twin()._repr_mimebundle_()
    field(guide, "Ticket").value = "CHG-1"
    field(guide, "Server").value = LDAP.endpoint.url
    assert shown.bundles[2:] == [
        (shown.bundles[2][0], {**options, "update": True}),
        (guide.twin()._repr_mimebundle_(), {**options, "update": True}),
    ]
    assert "CHG-1" in shown.bundles[2][0]["text/plain"]


def test_a_form_that_is_shown_twice_has_two_twins_that_both_follow(guide: kit.ImportGuide, shown: Shown) -> None:
    guide._ipython_display_()
    guide._ipython_display_()
    assert len({options.get("display_id") for _, options in shown.bundles} - {None}) == 1


def test_outside_a_notebook_nothing_is_displayed(guide: kit.ImportGuide, capsys: pytest.CaptureFixture[str]) -> None:
    guide._ipython_display_()
    field(guide, "Ticket").value = "CHG-1"
    assert capsys.readouterr() == ("", "")


def test_an_error_in_a_callback_is_shown_kept_and_not_swallowed(
    guide: kit.ImportGuide, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide._ipython_display_()
    with monkeypatch.context() as patch:
        patch.setattr(guide, "_comparison", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            field(guide, "Ticket").value = "CHG-1"
    assert "✖ ZeroDivisionError: division by zero" in said(guide)
    assert "✖ ZeroDivisionError: division by zero" in shown.bundles[-1][0]["text/plain"]
    field(guide, "Ticket").value = "CHG-2"
    assert "ZeroDivisionError" not in said(guide)
    assert "CHG-2" in shown.bundles[-1][0]["text/plain"]


def test_every_field_has_a_label_and_no_width_that_a_narrow_window_lacks(guide: kit.ImportGuide) -> None:
    for widget in guide.box.children:
        assert isinstance(widget, ipywidgets.HTML) or widget.description
        assert widget.layout.max_width == "100%"
        assert widget.layout.width in ("auto", "max-content")


def test_in_an_unattended_run_the_saved_cell_has_the_last_state_of_the_form(tmp_path: Path) -> None:
    cells = (
        f"RECORD = ''\nHOME = {str(tmp_path)!r}",
        "import allegra_tls_kit as kit\nfrom tests.test_widgets import RESULTS, PROOF",
        "form = kit.ImportGuide(RESULTS, kit.locate(HOME), **PROOF)\nform",
        "form.box.children[-2].value = 'CHG-4711'\nprint(len(form.certificate()))",
    )
    (tmp_path / "form.ipynb").write_text(notebook(*cells))
    left = kit.run_notebook(tmp_path / "form.ipynb", tmp_path, {})
    assert left.notebook
    saved = json.loads(left.notebook.read_text("utf-8"))
    assert "widgets" not in saved["metadata"]
    outputs = [cell["outputs"] for cell in saved["cells"] if "kit.ImportGuide" in "".join(cell["source"])]
    twin = outputs[0][-1]["data"]
    assert set(twin) == {"text/html", "text/plain"}
    assert "CHG-4711" in "".join(twin["text/plain"])
    assert "CHG-4711" in text_of("".join(twin["text/html"]))


def test_a_provider_s_file_with_the_root_is_proposed_where_the_server_does_not_send_it(
    laboratory: kit.Laboratory, allegra: kit.Allegra
) -> None:
    result = kit.probe(laboratory.endpoints["imap"])
    at_hand = kit.read_certificates(laboratory.ca_file)
    told = laboratory.reference_fingerprints["imap"]
    guide = kit.ImportGuide([result], allegra, at_hand=at_hand, reference=told, reference_from="the provider")
    assert guide.certificate() == at_hand[0]
    assert at_hand[0] not in result.chain
