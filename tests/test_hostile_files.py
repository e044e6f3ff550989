"""Files that somebody has prepared: each gives a value or a named error, in bounded time and memory."""

from __future__ import annotations

import base64
import re
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

import allegra_tls_kit as kit
from allegra_tls_kit import ber
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.evidence import JOURNAL, SUMS
from allegra_tls_kit.files import read_bounded, read_certificates, read_endpoints, read_keystore
from tests.children import at_once
from tests.fuzz_targets import LEAF, PASSWORD, ROOT, TARGETS
from tests.keystore_bytes import replaced
from tests.test_keystore_field import in_parts
from tests.test_survey_file import forged, result_line

if TYPE_CHECKING:
    from collections.abc import Callable

MB = 1 << 20
SECONDS = 60
LIMITS = Path("/proc/self/limits")
Case = tuple[bytes, int, str]
"""How a file begins, how long it is with the zeros behind that, and what is said of it."""


def bounded(act: Callable[[], object], megabytes: int) -> str:
    """Run this with so much more memory than it begins with, and for a minute; return its error, or what came back as text."""

    def limited() -> object:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * MB,) * 2)
        signal.alarm(SECONDS)
        return act()

    (said,) = at_once(limited)
    assert said, "it does not come to an end"
    return said


def written(path: Path, case: Case) -> Path:
    data, size, _ = case
    with path.open("wb") as file:
        file.write(data)
        file.truncate(max(size, len(data)))  # zeros that take no room on the disk
    return path


# --- keystores -------------------------------------------------------------------------------------------------------------

_TWO_PARTS = next(seed for seed in TARGETS[0].seeds if seed.count(bytes.fromhex("2a864886f70d010706")) == 2)
_ONE_JKS, _ONE_JCEKS = (magic + b"\0\0\0\2\0\0\0\1\0\0\0" for magic in (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"))


def _in_a_bag(certificate: bytes) -> bytes:
    wrapped = ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, certificate))
    value = ber.encode(ber.SEQUENCE, ber.encode(ber.OID, bytes.fromhex("2a864886f70d01091601")), wrapped)
    kind = ber.encode(ber.OID, bytes.fromhex("2a864886f70d010c0a0103"))
    return ber.encode(ber.SEQUENCE, kind, ber.encode(ber.CONTEXT_0, value))


def _store_in_store(depth: int) -> bytes:
    data = in_parts(_in_a_bag(LEAF.der))
    for _ in range(depth):
        data = in_parts(data)
    return data


def _asking_for(rounds: int) -> bytes:
    return replaced(_TWO_PARTS, b"\2\1\x0a", ber.encode(ber.INTEGER, rounds.to_bytes(5, "big")))


KEYSTORES: dict[str, Case] = {
    "100 GB": (_ONE_JKS, 100_000 * MB, "UnreadableKeystore: .*more than 64 MB"),
    "zeros for entries": (b"\xfe\xed\xfe\xed\0\0\0\2\0\1\x86\xa0", 64 * MB, "UnreadableKeystore: .*an entry of kind 0"),
    "a key of 4 GB": (_ONE_JKS + b"\1\0\1a" + bytes(8) + b"\xff" * 4, MB, "UnreadableKeystore: .*beyond the end"),
    "secret keys of 10,000 classes": (
        _ONE_JCEKS + b"\3\0\1a" + bytes(8) + b"\xac\xed\0\5s" + (b"r\0\0" + bytes(8) + b"\2\0\0x") * 10_000,
        MB,
        "UnreadableKeystore: .*holds what is not read",
    ),
    "a certificate of 20 MB": (in_parts(_in_a_bag(ber.encode(ber.SEQUENCE, bytes(20 * MB)))), 0, "1 of NOT_TRUSTED"),
    "90,000 certificates": (in_parts(_in_a_bag(ber.encode(ber.SEQUENCE, b"")) * 90_000), 0, "90000 of NOT_TRUSTED"),
    "a store in a store in a store": (_store_in_store(300), 0, "0 of NOTHING"),
    "sequences, a million deep": (b"\x30\x84\x03\xff\xff\xfa" * MB, 64 * MB, "UnreadableKeystore: .*damaged or unusual"),
    "zeros in a sequence": (b"\x30\x84\x03\xff\xff\xfa", 64 * MB, "UnreadableKeystore: .*more than 100,000 elements"),
    "2,000,000,000 iterations": (_asking_for(2_000_000_000), 0, "WrongPassword: .*more iterations than the 5,000,000"),
    "3,000,000 iterations, twice": (_asking_for(3_000_000), 0, "UnreadableKeystore: .*ask for 6,000,000 iterations, more than"),
}


@pytest.mark.skipif(not LIMITS.exists(), reason="every file here tells its size")
def test_a_file_that_does_not_tell_its_size_is_read_to_its_end_or_refused() -> None:
    assert LIMITS.stat().st_size == 0
    assert read_bounded(LIMITS, 100_000) == LIMITS.read_bytes()
    with pytest.raises(OSError, match="more than 0 MB"):
        read_bounded(LIMITS, 100)


@pytest.mark.parametrize("name", KEYSTORES)
def test_a_hostile_keystore_is_a_snapshot_or_a_named_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "some.ks", KEYSTORES[name])

    def read() -> str:
        read_keystore(path)
        entries = read_keystore(path, lambda: PASSWORD).entries
        return f"{len(entries)} of {entries[0].kind.name if entries else 'NOTHING'}"

    assert re.search(KEYSTORES[name][2], bounded(read, 350))


# --- what a provider sends -------------------------------------------------------------------------------------------------

_SIGNED = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
_BUNDLE = pkcs7.serialize_certificates([LEAF.certificate], Encoding.DER)
_NEITHER = "CertificateError: .*neither PEM, DER nor PKCS7"
_NESTED = b"".join(b"\x30\x83" + (4_000_000 - at).to_bytes(3, "big") for at in range(5, 4_000_000, 5))
_NAME, _ONE_CN = (
    LEAF.certificate.subject.public_bytes(),
    ber.encode(ber.SET, ber.encode(ber.SEQUENCE, b"\6\3\x55\4\3", ber.encode(0x0C, b"a"))),
)

CERTIFICATES: dict[str, Case] = {
    "100 GB": (LEAF.der, 100_000 * MB, "CertificateError: .*more than 4 MB"),
    "sequences without end": (b"\x30\x80" * 2 * MB, 0, _NEITHER),
    "PKCS7 without end": (b"\x30\x80" + _SIGNED + b"\xa0\x80" + b"\x30\x80" * (2 * MB - 20), 0, _NEITHER),
    "octets without end in PKCS7": (b"\x30\x80" + _SIGNED + b"\xa0\x80" + b"\x24\x80" * (2 * MB - 20), 0, _NEITHER),
    "sequences in sequences": (_NESTED, 0, _NEITHER),
    "one certificate 10,000 times in PKCS7": (replaced(_BUNDLE, LEAF.der, LEAF.der * 10_000), 0, "1 of mail.example.com"),
    "one certificate 10,000 times": (LEAF.der * 10_000, 0, "1 of mail.example.com"),
    "a hundred thousand CNs": (replaced(LEAF.der, _NAME, ber.encode(0x30, _ONE_CN * 100_000)), 0, "1 of a"),
    "a serial number of 3 MB": (replaced(ROOT.der, b"\2\1\1", ber.encode(ber.INTEGER, b"\1" * 3 * MB)), 0, "1 of Root CA"),
    "base64 of base64": (base64.b64encode(base64.b64encode(b"\x30\x80" * MB)), 0, "CertificateError"),
    "a key file with zeros behind": (b"-----BEGIN PRIVATE KEY-----", 4 * MB, "CertificateError: .*there is a private key in it"),
}  # fmt: skip


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_hostile_file_of_certificates_is_certificates_or_a_named_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "root.p7b", CERTIFICATES[name])

    def read() -> str:
        found = read_certificates(path)
        return f"{len(found)} of {kit.certificate_facts(found[0]).subject_cn}"

    assert re.search(CERTIFICATES[name][2], bounded(read, 250))


# --- lists of servers ------------------------------------------------------------------------------------------------------

ENDPOINTS: dict[str, Case] = {
    "100 MB": (b"imap://mail.example.com\n" * 100, 100 * MB, "EndpointError: .*more than 16 MB"),
    "100 MB in UTF-16": ("imap://mail.example.com\n".encode("utf-16"), 100 * MB, "EndpointError: .*more than 16 MB"),
    "UTF-16": (("imap://mail.example.com\n" * 100_000).encode("utf-16"), 0, "EndpointError: .*not UTF-8"),
    "a program": (b"\x7fELF\2\1\1\0" * MB, 0, "EndpointError: .*line 1: longer than 1 MB"),
    "zeros": (b"", 16 * MB, "EndpointError: .*line 1: longer than 1 MB"),
    "two million servers": (b"imap://a\n" * 1_800_000, 0, "EndpointError: .*more than 100,000 endpoints; divide the list"),
    "eight million wrong lines": (b"x\n" * 8_000_000, 0, "EndpointError: .*more than 100,000 endpoints"),
    "99,000 wrong lines": (b"x\n" * 99_000, 0, "EndpointError: .*\n… and 98,990 more wrong lines"),
    "lines with nothing in them": (b"\n" * 16_000_000, 0, "EndpointError: .*no endpoint in it"),
    "a table of commas": (b"host,protocol\n" + b"," * 16_000_000, 0, "EndpointError: .*line 2: longer than 1 MB"),
    "a quotation mark without end": (b'host,protocol\n"' + b"a,imap\n" * 90_000, 0, "EndpointError: .*not CSV"),
    "99,000 servers": (b"imap://mail.example.com\n" * 99_000, 0, "99000 of mail"),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_hostile_list_of_servers_is_endpoints_or_a_named_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "servers.txt", ENDPOINTS[name])

    def read() -> str:
        found = read_endpoints(path)
        return f"{len(found)} of {found[0].host}"

    said = bounded(read, 250)
    assert re.search(ENDPOINTS[name][2], said, re.DOTALL)
    assert len(said) < 10_000


# --- surveys, journals, records --------------------------------------------------------------------------------------------

_HEAD = b'{"at":"2026-03-04T05:06:07+00:00","kind":"Opened","previous":null,"value":{"a":'
_TOO_MUCH = "more than 250,000 lines or 10,000,000 values, which no journal has: nothing of it was read"
JOURNALS: dict[str, Case] = {
    "lines with nothing in them": (_HEAD + b"1}}" + b"\n" * 30_000_000, 0, _TOO_MUCH),
    "brackets side by side": (_HEAD + b"[" + b"[]," * 10_000_000 + b"0]}}\n", 0, _TOO_MUCH),
    "brackets in brackets": (_HEAD + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}}\n", 0, "line 1 cannot be read"),
    "objects in objects": (_HEAD + b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000 + b"}}\n", 0, "line 1 cannot be read"),
    "a number of a million digits": (_HEAD + b"1" * MB + b"}}\n", 0, "line 1 cannot be read"),
    "half a line of 30 MB": (_HEAD + b'"' + b"a" * 30 * MB, 0, "line 1 cannot be read"),
    "zeros": (b"", 64 * MB, "line 1 cannot be read"),
}


@pytest.mark.parametrize("name", JOURNALS)
def test_a_hostile_journal_is_named_in_its_record_and_is_no_survey(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / JOURNAL, JOURNALS[name])
    said = bounded(lambda: f"{kit.read_record(tmp_path).faults} {kit.read_change_record(tmp_path).markdown()}", 450)
    assert said.count(JOURNALS[name][2]) == 2
    assert re.match(
        "SurveyError: .*(nothing of a journal that was altered|neither a saved survey)",
        bounded(lambda: kit.load_survey(path), 450),
    )
    assert main(["check", str(tmp_path)]) == 1


SURVEYS: dict[str, Case] = {
    "100 GB": (b"{}", 100_000 * MB, "SurveyError: .*more than 256 MB"),
    "lines with nothing in them": (forged(b"\n" * 100 * MB), 0, "SurveyError: .*line 2"),
    "a transcript of a million lines": (forged(*[result_line(transcript=["ab"] * 150_000)] * 20), 0, "20 of 201"),
}


@pytest.mark.parametrize("name", SURVEYS)
def test_a_hostile_survey_is_results_or_a_named_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "survey.jsonl", SURVEYS[name])

    def read() -> str:
        found = kit.load_survey(path)
        return f"{len(found)} of {len(found[0].transcript)}"

    assert re.search(SURVEYS[name][2], bounded(read, 350))


@pytest.mark.parametrize("name", [JOURNAL, SUMS, "signer.pem", "SHA256SUMS.sig"])
def test_a_file_of_a_record_that_is_too_long_is_named(name: str, tmp_path: Path) -> None:
    folder = kit.write_record(kit.open_journal(tmp_path / "record")).path
    (folder / "SHA256SUMS.sig").write_bytes(b"x")
    written(folder / name, (b"", 1000 * MB, ""))
    said = bounded(lambda: kit.verify_record(folder).faults, 300)
    assert "more than" in said or "signer.pem is missing or no key" in said


NOTEBOOKS: dict[str, Case] = {
    "100 GB": (b"{", 100_000 * MB, "more than 64 MB"),
    "brackets in brackets": (b'{"cells":' + b"[" * MB, 0, "is no notebook that can be read"),
    "another shape": (b'{"cells":{"a":1},"metadata":[]}', 0, "is no notebook that can be read"),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_hostile_notebook_is_not_copied_and_the_record_is_written(name: str, tmp_path: Path) -> None:
    path, journal = written(tmp_path / "run.ipynb", NOTEBOOKS[name]), kit.open_journal(tmp_path / "record")
    assert re.search(NOTEBOOKS[name][2], bounded(lambda: kit.write_record(journal, notebook=path).notes or None, 300))
    assert kit.verify_record(journal.path.parent).intact
