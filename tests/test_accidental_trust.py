"""Trust is never granted by accident: the whole fingerprint of this certificate is proof, and nothing else is imported."""

from __future__ import annotations

import ast
import base64
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.choice import check_fingerprint, reference_fingerprint
from allegra_tls_kit.errors import FingerprintError
from tests.chains import alternatives, issue
from tests.conftest import absent
from tests.misbehaving import Server, context_of, tls
from tests.test_notebooks import confirmation, ran

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket
    from ssl import SSLContext

ROOT = issue("Example Root", ca=True)
LEAF = issue("mail.example.com", ROOT, extensions=[alternatives("127.0.0.1")])
HEX = sha256_of(LEAF.der)
SHOWN = kit.keytool_notation(HEX)
SHA1 = kit.keytool_notation(kit.certificate_facts(LEAF.der).sha1)
BASE64 = base64.b64encode(bytes.fromhex(HEX)).decode()
PIN = kit.certificate_facts(LEAF.der).public_key_sha256
NO_PROOF = "is no proof; ask for the whole SHA-256 fingerprint of the certificate, 64 hexadecimal digits"


# --- what is read ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(HEX, HEX.upper(), SHOWN, SHOWN.lower(), SHOWN.replace(":", " "), SHOWN.replace(":", "-").lower(), f"  {HEX}\n"),
        *(f"SHA256: {SHOWN}", f"SHA-256 fingerprint: {SHOWN}", f"sha256:{HEX}", f"SHA-256\n{SHOWN}", f"<{SHOWN}>.", f"`{HEX}`"),
        f"mykey, Nov 24, 2026, trustedCertEntry, \nCertificate fingerprint (SHA-256): {SHOWN}",  # keytool -list
        f"Zertifikat-Fingerprint (SHA-256): {SHOWN}",
        f"sha256 Fingerprint={SHOWN}",  # openssl x509 -fingerprint
        f"SHA2-256(ca.der)= {HEX}",  # openssl dgst
        f"{HEX}  ca.der",  # sha256sum
        f"SHA256 hash of ca.cer:\r\n{HEX}\r\nCertUtil: -hashfile command completed successfully.",  # certutil of Windows
        f"Cert Hash(sha1): {SHA1}\nCert Hash(sha256): {HEX}",
        f"    Fingerprint (SHA-256):\n        {SHOWN[:48]}\n        {SHOWN[48:]}\n    Fingerprint (SHA1):\n        {SHA1}",  # NSS
        f"Fingerprint:\n\t\tsha1:{SHA1}\n\t\tsha256:{HEX}",  # GnuTLS
        f"SHA-256 Fingerprints\nCertificate\n{HEX}",  # Chromium
        f"{SHOWN[:48]}\r\n{SHOWN[48:]}".replace(":", " "),  # older browsers
        *(f"sha256//{BASE64}", f"sha256/{BASE64}", f"SHA256:{BASE64.rstrip('=')}", f'pin-sha256="{BASE64}"', BASE64),  # curl, SSH
        f"\u200e{SHOWN}",  # as Windows' dialog gives it
        f"\ufeff{SHOWN[:40]}\u200b{SHOWN[40:]}\u2060",
        SHOWN.replace(":", "\u00a0"),
        SHOWN.replace(":", ":\u00ad"),
    ],
)
def test_a_whole_sha_256_is_read_in_every_common_notation(text: str) -> None:
    assert reference_fingerprint(text) == check_fingerprint(LEAF.der, text) == HEX


@pytest.mark.parametrize("language", ["en", "de", "fr", "ja", "zh"])
def test_what_keytool_prints_is_read_in_every_language_of_its_own(language: str, java: Path, tmp_path: Path) -> None:
    (tmp_path / "leaf.der").write_bytes(LEAF.der)
    command = [str(java.resolve().with_name("keytool")), f"-J-Duser.language={language}", "-J-Dfile.encoding=UTF-8", "-printcert"]
    said = subprocess.run([*command, "-file", str(tmp_path / "leaf.der")], capture_output=True, check=True).stdout
    assert SHA1 in said.decode("utf-8", "replace")
    assert reference_fingerprint(said.decode("utf-8", "replace")) == HEX


def test_what_openssl_prints_is_read(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        absent("no openssl on the PATH")
    (tmp_path / "leaf.pem").write_bytes(x509.load_der_x509_certificate(LEAF.der).public_bytes(Encoding.PEM))
    command = ["openssl", "x509", "-in", str(tmp_path / "leaf.pem"), "-noout", "-fingerprint"]
    assert reference_fingerprint(subprocess.run([*command, "-sha256"], capture_output=True, text=True, check=True).stdout) == HEX
    by_sha1 = subprocess.run([*command, "-sha1"], capture_output=True, text=True, check=True).stdout
    with pytest.raises(FingerprintError, match=f"^a SHA-1 fingerprint {NO_PROOF}"):
        reference_fingerprint(by_sha1)


# --- what proves nothing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        *(
            (SHA1, "a SHA-1 fingerprint"),
            (f"SHA1: {SHA1}", "a SHA-1 fingerprint"),
            (f"Thumbprint \u200e{SHA1}", "a SHA-1 fingerprint"),
        ),
        *((HEX[:32], "an MD5 fingerprint"), (f"MD5 Fingerprint={SHOWN[:47]}", "an MD5 fingerprint")),
        *((HEX[:16], "a text with 16 hexadecimal digits in a row"), (SHOWN[:23], "a text with 16 hexadecimal digits in a row")),
        *((HEX[:63], "a text with 63 hexadecimal digits in a row"), (HEX[:43], "a text with 43 hexadecimal digits in a row")),
        *(
            (f"{HEX}ab", "a text with 66 hexadecimal digits in a row"),
            (f"{SHOWN}:AB", "a text with 66 hexadecimal digits in a row"),
        ),
        (f"{SHOWN[:20]}…{SHOWN[-20:]}", "a text with 14 hexadecimal digits in a row"),
        (f"{SHOWN[:20]}:…:{SHOWN[-20:]}", "a text with 14 hexadecimal digits in a row"),
        (f"SHA-512: {HEX}{HEX}", "a text with 128 hexadecimal digits in a row"),
        (f"{HEX[:30]}x{HEX[31:]}", "a text that is no row of hexadecimal digits"),
        (f"O{HEX[1:]}", "a text that is no row of hexadecimal digits"),
        (SHOWN[:-1] + "\uff11", "a text with '\uff11' (FULLWIDTH DIGIT ONE), which only looks like a digit,"),
        ("\uff11" * 64, "a text with '\uff11' (FULLWIDTH DIGIT ONE), which only looks like a digit,"),
        (SHOWN[:-1] + "\u0410", "a text with '\u0410' (CYRILLIC CAPITAL LETTER A), which only looks like a digit,"),
        (f"Certificate\n{HEX}\nPublic Key\n{PIN}", "a text with 2 of them"),
        *(("", "nothing"), (" \u200b\n", "nothing"), ("SHA256:", "a text that is no row of hexadecimal digits")),
        ("sha256//0+q35gw9vR49VoJED8X8D870TNw24pTvvWQGIt8D", "a text that is no row of hexadecimal digits"),  # not whole
        ("mail.example.com says so", "a text that is no row of hexadecimal digits"),
        ("ask a friend", "a text that is no row of hexadecimal digits"),
    ],
)
def test_everything_else_is_no_proof(text: str, instead: str) -> None:
    with pytest.raises(FingerprintError) as raised:
        reference_fingerprint(text)
    assert str(raised.value) == f"{instead} {NO_PROOF}"


@given(st.text(), st.integers(0, 31), st.text("0123456789ABCDEF", min_size=2, max_size=2))
def test_no_text_and_no_other_digit_makes_a_certificate_s_own_fingerprint(text: str, place: int, byte: str) -> None:
    octets = SHOWN.split(":")
    other = ":".join([*octets[:place], byte, *octets[place + 1 :]])
    for reference in (text, ":".join(octets[:place] + octets[place + 1 :]), *([other] if other != SHOWN else [])):
        with pytest.raises(FingerprintError):
            check_fingerprint(LEAF.der, reference)


def test_another_certificate_s_fingerprint_is_refused_with_both_and_named_if_it_is_here() -> None:
    theirs = kit.keytool_notation(sha256_of(ROOT.der))
    with pytest.raises(FingerprintError, match=f"SHA-256 is {SHOWN}, the reference says {theirs}; do not import it"):
        check_fingerprint(LEAF.der, theirs)
    chosen = kit.ImportChoice("imaps://mail.example.com", HEX, theirs, "Ada, by telephone", "/srv/mail.ks")
    with pytest.raises(FingerprintError, match="which is that of another certificate here, 'Example Root'; do not import it"):
        chosen.checked_certificate(iter([LEAF.der, b"no certificate", ROOT.der]))


def test_the_fingerprint_of_a_public_key_is_told_from_that_of_its_certificate() -> None:
    key = base64.b64encode(bytes.fromhex(PIN)).decode()
    for pin in (PIN, f"sha256//{key}"):
        with pytest.raises(
            FingerprintError, match=r"that of the public key of 'mail\.example\.com', a pin, and not of the certificate"
        ):
            check_fingerprint(LEAF.der, pin)


# --- nobody decides in a person's place --------------------------------------------------------------------------------------


def test_no_template_comes_with_a_decision_made() -> None:
    for path in kit.templates().values():
        decided = re.findall(r'^ *"((?:CONFIRM|REFERENCE)\w* = .*?)  #', path.read_text("utf-8"), re.MULTILINE)
        assert all(line.endswith(r" = \"\"") for line in decided)
        assert bool(decided) == (path.name[0] in "23")


def test_only_the_laboratory_s_own_rehearsal_confirms_by_itself() -> None:
    confirming = set()
    for path in Path(kit.__file__).parent.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        if any(
            keyword.arg == "confirm" and ast.unparse(keyword.value).endswith(".id") for call in calls for keyword in call.keywords
        ):
            confirming.add(path.stem)
    assert confirming == {"rehearsal"}


# --- a server that shows another certificate later ---------------------------------------------------------------------------

OLD, NEW = (issue("mail.example.com", extensions=[alternatives("127.0.0.1")]) for _ in range(2))


@contextmanager
def changing_server() -> Iterator[tuple[kit.Endpoint, list[SSLContext]]]:
    """A server, and the certificates that it has had: it shows the last of them."""
    shown = [context_of(OLD)]

    def talk(connection: socket) -> None:
        tls(shown[-1])(connection)

    with Server(talk) as server:
        yield server.endpoint("imaps"), shown


def test_a_choice_is_good_for_the_certificate_that_was_looked_at_alone(tmp_path: Path) -> None:
    with changing_server() as (endpoint, shown):
        guide = kit.ImportGuide(
            [kit.probe(endpoint)], kit.locate(tmp_path, processes=()), reference=sha256_of(OLD.der), reference_from="Ada"
        )
        assert guide.certificate() == OLD.der
        shown.append(context_of(NEW))
        later = kit.probe(endpoint).chain
    with pytest.raises(FingerprintError, match=f"does not show the chosen certificate {sha256_of(OLD.der)[:16]}… any more"):
        guide.value.checked_certificate(later)
    with pytest.raises(FingerprintError, match=f"the reference says {kit.keytool_notation(sha256_of(OLD.der))}"):
        replace(guide.value, certificate=sha256_of(NEW.der)).checked_certificate(later)


def test_a_certificate_that_changes_between_review_and_change_window_is_not_imported(tmp_path: Path) -> None:
    with changing_server() as (endpoint, shown):
        store = tmp_path / "keystore" / "127.0.0.1.ks"
        given = {"ENDPOINT": endpoint.url, "HOME": str(tmp_path), "KEYSTORE": str(store), "REFERENCE_FROM": "Ada, by telephone"}
        given |= {"REFERENCE": sha256_of(OLD.der)}
        record, said = ran("20_import_certificate", tmp_path / "review", **given)
        given["CONFIRM"] = confirmation(said)

        shown.append(context_of(NEW))
        record, said = ran("20_import_certificate", tmp_path / "window", **given)
        assert (
            f"FingerprintError: the certificate's SHA-256 is {kit.keytool_notation(sha256_of(NEW.der))}, the reference says"
            in said
        )
        assert (record.outcome, store.exists()) == (kit.Outcome.LOOKED, False)

        given["REFERENCE"] = sha256_of(NEW.der)  # compared anew, and yet not what was confirmed
        record, said = ran("20_import_certificate", tmp_path / "again", **given)
        assert confirmation(said) != given["CONFIRM"]
        assert (record.outcome, store.exists()) == (kit.Outcome.PLANNED, False)


def test_a_certificate_that_changes_while_it_is_imported_is_not_called_trusted(tmp_path: Path, journal: kit.Journal) -> None:
    store = tmp_path / "keystore" / "127.0.0.1.ks"
    with changing_server() as (endpoint, shown):
        plan = kit.plan_import(kit.read_keystore(store), kit.probe(endpoint).chain, purpose="trust the mail server")
        shown.append(context_of(NEW))
        applied = kit.apply(plan, journal, confirm=plan.id, witness=None)
        verified = kit.verify(applied, endpoint, journal)
    assert not verified.trusted
    assert kit.read_record(journal.path.parent).outcome is kit.Outcome.NOT_TRUSTED
    assert kit.read_keystore(store).anchors == (OLD.der,)
