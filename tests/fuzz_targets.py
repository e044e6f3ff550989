"""What strangers' bytes are put to, and what to begin with: seeds made here, the same in every run, and words of each format."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from Cryptodome.Cipher import AES, DES3
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from allegra_tls_kit import ber, keystore, pkcs12_encryption
from allegra_tls_kit.certificate import certificate_facts, certificates_in
from allegra_tls_kit.choice import ImportChoice
from allegra_tls_kit.endpoint import Endpoint, Protocol, parse_endpoints
from allegra_tls_kit.errors import (
    CertificateError,
    ConnectFailed,
    EndpointError,
    KeystoreError,
    PlanRefused,
    ProbeError,
    SurveyError,
)
from allegra_tls_kit.events import Opened, Statement, event_line, read_events
from allegra_tls_kit.explain import CAUSES, explain
from allegra_tls_kit.keystore import Edit
from allegra_tls_kit.outcome import FOREIGN, recorded
from allegra_tls_kit.plan import Applied, ApplyState, ApplyStep, pem, plan_import
from allegra_tls_kit.preamble import LONGEST_TRANSCRIPT, Preamble, Stage
from allegra_tls_kit.record import change_record
from allegra_tls_kit.saved import WIDGET_VIEW, without_widgets
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.survey_lines import survey_bytes, survey_in
from allegra_tls_kit.tidy import public_key_part, tidied
from tests.chains import alternatives, issue, usage
from tests.keystore_bytes import inside, sealed_with_pbmac1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allegra_tls_kit.certificate import CertificateFacts
    from tests.chains import Issued

PASSWORD, HERE = "sesame-42", Path("some.ks")
AT, END = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), datetime(2036, 3, 4, tzinfo=UTC)
MOST_ITERATIONS = 5_000
"""While fuzzing; what a store may ask for by right takes seconds, and finds nothing more."""


@dataclass(frozen=True)
class Target:
    """`act` gives a value, whose text tells outcomes apart, or one of `allowed`, whatever the bytes.

    `is_der` means that changes may keep the lengths right; `turns` is how often it comes in a round, so that the slow ones do not
    take all the time.
    """

    name: str
    act: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    is_der: bool = False
    turns: int = 8


# --- certificates ----------------------------------------------------------------------------------------------------------


def _issued(name: str, number: int, issuer: Issued | None = None, **more: Any) -> Issued:  # noqa: ANN401 - those of `issue`
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return issue(name, issuer, key=key, start=AT, end=END, serial=number, **more)


ROOT = _issued("Root CA", 1, ca=True, extensions=[usage("key_cert_sign", "crl_sign")])
LEAF = _issued("mail.example.com", 2, ROOT, extensions=[alternatives("mail.example.com", "192.0.2.1")])
_EC = _issued("ec", 3, ROOT, public_key=ec.derive_private_key(7, ec.SECP256R1()).public_key())
_RSA = _issued("rsa", 4, ROOT, public_key=rsa.RSAPublicNumbers(65537, (1 << 1023) + 1).public_key())
_CHAIN = pkcs7.serialize_certificates([LEAF.certificate, ROOT.certificate], Encoding.DER)
_TAGS = tuple(bytes([tag, length]) for tag in (1, 2, 3, 4, 5, 6, 0x0C, 0x13, 0x17, 0x30, 0x31, 0xA0, 0x80) for length in (0, 1))
_LENGTHS = (b"\x80", b"\x81\xff", b"\x82\xff\xff", b"\x84\xff\xff\xff\xff", b"\x84\x7f\xff\xff\xff", b"\x84\0\0\0\0", b"\x85")
_OIDS = tuple(bytes.fromhex(each) for each in ("0603551d13", "0603551d11", "0603550403", "06092a864886f70d010702", "060355040a"))
DER_WORDS = (*_TAGS, *_LENGTHS, *_OIDS)


def _certificate(data: bytes) -> object:
    tidied(data)
    public_key_part(data)
    return _noted(certificate_facts(data))


def _noted(facts: CertificateFacts) -> str:
    return f"{facts.public_key_type} {facts.is_ca} {' '.join(note.partition(' could')[0] for note in facts.notes)}"


def _file_of_certificates(data: bytes) -> object:
    found = certificates_in(data, "file")
    assert found
    return _noted(certificate_facts(found[-1]))


def _ber(data: bytes) -> object:
    found = ber.elements(data)
    assert b"".join(element.raw for element in found) == data
    return [ber.element(element.raw, element.tag).content == element.content for element in found]


# --- keystores -------------------------------------------------------------------------------------------------------------


def _number(value: int) -> bytes:
    return ber.encode(ber.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _algorithm(oid: str, *parameters: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, bytes.fromhex(oid)), *parameters)


def _part(kind: str, content: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, bytes.fromhex(kind)), ber.encode(ber.CONTEXT_0, content))


def _pkcs12(*parts: bytes, seal: bytes = b"") -> bytes:
    content = _part("2a864886f70d010701", ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, *parts)))
    return ber.encode(ber.SEQUENCE, _number(3), content, seal)


def _encrypted(name: str, bags: bytes) -> bytes:
    salt, iv, rounds = b"saltsalt", bytes(16), 10
    number, octets = _number(rounds), ber.encode(ber.OCTET_STRING, salt)
    block = 16 if name == "aes" else 8
    padded = bags + bytes([block - len(bags) % block]) * (block - len(bags) % block)
    if name == "aes":
        key = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt, rounds, 16)
        derivation = _algorithm("2a864886f70d01050c", ber.encode(ber.SEQUENCE, octets, number))
        scheme = _algorithm("608648016503040102", ber.encode(ber.OCTET_STRING, iv))
        algorithm = _algorithm("2a864886f70d01050d", ber.encode(ber.SEQUENCE, derivation, scheme))
        closed = AES.new(key, AES.MODE_CBC, iv).encrypt(padded)
    else:
        derived = pkcs12_encryption._derived  # noqa: SLF001 - the only other maker of such parts has a salt by chance
        key, iv = (derived(hashlib.sha1, purpose, PASSWORD, salt, rounds, size) for purpose, size in ((1, 24), (2, 8)))
        algorithm = _algorithm("2a864886f70d010c0103", ber.encode(ber.SEQUENCE, octets, number))
        closed = DES3.new(key, DES3.MODE_CBC, iv).encrypt(padded)
    information = _algorithm("2a864886f70d010701", algorithm, ber.encode(0x80, closed))
    return _part("2a864886f70d010706", ber.encode(ber.SEQUENCE, _number(0), information))


def _sealed(data: bytes) -> bytes:
    version, content = ber.elements(ber.element(data, ber.SEQUENCE).content)
    safe = ber.element(ber.elements(content.content)[1].content, ber.OCTET_STRING).content
    algorithm = _algorithm("608648016503040201")
    key, name = pkcs12_encryption.sealing_key(ber.element(algorithm, ber.SEQUENCE), b"salt", 10, PASSWORD)
    digest = ber.encode(ber.OCTET_STRING, hmac.digest(key, safe, name))
    seal = ber.encode(
        ber.SEQUENCE, ber.encode(ber.SEQUENCE, algorithm, digest), ber.encode(ber.OCTET_STRING, b"salt"), _number(10)
    )
    return ber.encode(ber.SEQUENCE, version.raw, content.raw, seal)


_KEY = struct.pack(">IH2sQI", 1, 2, b"k1", 1, 5) + b"\x30\3\2\1\0" + struct.pack(">I", 2)
_KEY += b"".join(struct.pack(">7sI", b"\0\5X.509", len(each.der)) + each.der for each in (LEAF, ROOT))
_SECRET = (  # as the JDK's key protector writes one, by the specification of Java's object serialization, 6.4
    struct.pack(">IH2sQ", 3, 2, b"s1", 1) + b"\xac\xed\0\5sr\0\x33com.sun.crypto.provider.SealedObjectForKeyProtector" + bytes(8)
    + b"\2\0\0xr\0\x19javax.crypto.SealedObject" + bytes(8) + b"\2\0\4[\0\x0dencodedParamst\0\2[B[\0\x10encryptedContentq\0~\0\3"
    b"L\0\tparamsAlgt\0\x12Ljava/lang/String;L\0\7sealAlgq\0~\0\4xpur\0\2[B" + bytes(8) + b"\2\0\0xp\0\0\0\1auq\0~\0\6\0\0\0\1b"
    b"t\0\3PBEt\0\x10PBEWithMD5AndDES"
)  # fmt: skip


def _java(magic: bytes, *entries: bytes) -> bytes:
    body = b"".join((magic, struct.pack(">II", 2, len(entries)), *entries))
    return body + hashlib.sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def _stores() -> tuple[bytes, ...]:
    edit = Edit({"root ca": ROOT.der, "ü\N{GRINNING FACE}": LEAF.der}, frozenset(), AT)
    jks, plain = keystore.rewrite(None, HERE, PASSWORD, edit), keystore.rewrite(_pkcs12(), HERE, PASSWORD, edit)
    keyed = _pkcs12(_part("2a864886f70d010701", ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, *_keys()))))
    keys, jceks = _java(b"\xfe\xed\xfe\xed", _KEY), _java(b"\xce\xce\xce\xce", _SECRET, _KEY)
    octets = [element.content for element in inside(plain) if element.tag == ber.OCTET_STRING]
    (one, other) = (bag.raw for bag in ber.elements(ber.element(octets[1], ber.SEQUENCE).content))
    encrypted = _pkcs12(_encrypted("aes", ber.encode(0x30, one, other)), _encrypted("3des", ber.encode(0x30, other, one)))
    return jks, keys, jceks, plain, keyed, encrypted, _sealed(encrypted), _sealed(plain), sealed_with_pbmac1(plain, rounds=10)


def _keys() -> Iterator[bytes]:
    """Yield a key with its chain, a secret key, and a key that is not encrypted, as bags."""

    def bag(number: int, value: bytes, *attributes: tuple[str, bytes]) -> bytes:
        named = (_algorithm(f"2a864886f70d0109{oid}", ber.encode(ber.SET, given)) for oid, given in attributes)
        kind = ber.encode(ber.OID, bytes.fromhex("2a864886f70d010c0a01") + bytes([number]))
        return ber.encode(ber.SEQUENCE, kind, ber.encode(ber.CONTEXT_0, value), ber.encode(ber.SET, *named))

    name, key_id = ("14", ber.encode(ber.BMP_STRING, b"\0k")), ("15", b"\4\1\7")
    for number in (1, 2, 5):
        yield bag(number, b"\x30\0", name, key_id)
    for issued, attributes in ((LEAF, (key_id,)), (ROOT, ())):
        held = ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, issued.der))
        yield bag(3, _algorithm("2a864886f70d01091601", held), *attributes)


def _keystore(data: bytes) -> object:
    for password in (None, PASSWORD):
        keystore.read(data, HERE, password)
    made = keystore.rewrite(data, HERE, PASSWORD, Edit({"a new one": ROOT.der}, frozenset(), AT))
    before, after = (keystore.read(each, HERE, PASSWORD) for each in (data, made))
    assert len(after.entries) == len(before.entries) + 1
    with contextlib.suppress(KeystoreError):
        less = keystore.rewrite(data, HERE, PASSWORD, Edit({}, frozenset(entry.alias for entry in before.entries[:1]), AT))
        assert not before.entries or len(keystore.read(less, HERE, PASSWORD).entries) < len(before.entries)
    return keystore.rewrite(made, HERE, PASSWORD, Edit({}, frozenset({"a new one"}), AT))


# --- what is said before TLS, lists, logs ----------------------------------------------------------------------------------


def _preamble(data: bytes) -> object:
    """The first octet says which protocol, the second how the rest is cut."""
    protocol = list(Protocol)[data[0] % 4 if data else 0]
    size = 1 + (data[1] if len(data) > 1 else 0)
    talk = Preamble(protocol)
    try:
        for at in range(-size, len(data), size):
            talk.receive(data[2:][max(at, 0) : max(at + size, 0)])
    finally:
        assert len(talk.transcript) <= LONGEST_TRANSCRIPT + 1
        assert all(line.isprintable() for line in (*talk.transcript, talk.pending))
    return f"{talk.stage} {talk.done}"


_SAID = {
    Protocol.SMTP: b"220 mx ESMTP\r\n250-mx hello\r\n250-SIZE 1\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x03",
    Protocol.IMAP: b"* OK ready\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK begin\r\n",
    Protocol.POP3: b"+OK ready\r\n+OK begin\r\n",
    Protocol.LDAP: ber.encode(
        0x30, _number(1), ber.encode(0x78, b"\x0a\1\0\4\0\4\0", ber.encode(0x8A, b"1.3.6.1.4.1.1466.20037"))
    ),
}


_REFUSED = (
    b"\0\x07220 mx\r\n250 mx\r\n454 not now\r\n",
    b"\1\7* PREAUTH hi {3}\r\nabc\r\n",
    b"\1\7* OK {3}\r\nabc\r\na1 NO {1}\r\nx\r\n",
    b"\2\7-ERR [SYS/TEMP] later\r\n",
    b"\2\7+OK hi\r\n-ERR no\r\n",
    b"\3\7" + _SAID[Protocol.LDAP].replace(b"20037", b"20036").replace(b"\x0a\1\0", b"\x0a\1\x34"),
    b"\3\7" + _SAID[Protocol.LDAP].replace(b"\x0a\1\0", b"\x0a\1\x0a"),
)


def _endpoints(data: bytes) -> object:
    found = parse_endpoints(data.decode("utf-8", "replace"), "list")
    for endpoint in found:
        assert Endpoint.parse(endpoint.url) == endpoint
        assert endpoint.url.isprintable() or any(joiner in endpoint.url for joiner in "\u200c\u200d")
    return f"{found[-1].protocol} {found[-1].host.isascii()} {found[-1].server_name is None}"


def _log(data: bytes) -> object:
    found = explain(data.decode("utf-8", "replace"))
    assert found
    for each in found:
        assert all(text.isprintable() for text in (each.matched, each.endpoint or "", each.keystore or "", each.subject or ""))
    return f"{found[0].code} {found[0].keystore is None} {found[0].endpoint is None}"


# --- what this kit wrote itself --------------------------------------------------------------------------------------------

_ENDPOINT = Endpoint.parse("ldaps://[2001:db8::1]?server_name=mail.example.com")
_PROBE = Probe(_ENDPOINT, AT, (LEAF.der, ROOT.der), "TLSv1.3", "AES", "2001:db8::1", ("S: 220 hi",), None, 0.5)
_FAILURE = ProbeFailure(_ENDPOINT, AT, Stage.CONNECT, ConnectFailed("refused"), (), None, (), 0.1)
_PLAN = plan_import(keystore.read(None, HERE), [ROOT.der], purpose="trust it")
_KEPT: tuple[Any, ...] = (
    Opened("grace", "host-1", "Linux", {"allegra-tls-kit": "0.1.0"}),
    _PROBE,
    _FAILURE,
    _PLAN,
    ApplyStep(_PLAN.id, ApplyState.PREPARED, HERE, None, None, "prepared"),
    Applied(_PLAN, AT, changed=True, sha256="00" * 32, backup=None),
)
_SHORT = replace(_PROBE, chain=(b"0\0",))
_SAID_OF_IT = (
    _SHORT,
    judge(_PROBE, []),
    ImportChoice(_ENDPOINT.url, "ab", "AB", "Ada", str(HERE), "env:STOREPASS", "Grace", "CHG-1"),
    Statement("justification", "mail stopped"),
    _KEPT[3],
    replace(_KEPT[4], state=ApplyState.ABANDONED),
)


def _journal_lines(values: tuple[Any, ...]) -> bytes:
    lines: list[bytes] = []
    for value in values:
        lines.append(event_line(value, at=AT, previous=hashlib.sha256(lines[-1]).hexdigest() if lines else None))
    return b"\n".join(lines) + b"\n"


JOURNAL = _journal_lines(_KEPT)


def _journal(data: bytes) -> object:
    told, (events, faults) = recorded(data), read_events(data)
    assert set(faults) <= set(told.faults)
    assert change_record(data).markdown()
    return f"{told.outcome} {len(told.changes) > 0} {told.endpoint is None} {'|'.join(event.kind for event in events)[:60]}"


def _survey(data: bytes) -> object:
    """Any bytes, and the same under a digest that fits; what is read is written and read again."""
    for each in (data, _with_digest(data.partition(b"\n")[2])):
        results = survey_in(each, "survey")
        again = survey_in(survey_bytes(results), "again")
        assert list(map(repr, again)) == list(map(repr, results))  # errors are equal only to themselves
    return results


def _with_digest(body: bytes) -> bytes:
    head = {"format": "allegra-tls-kit survey", "version": 1, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def _notebook(data: bytes) -> object:
    cleaned = without_widgets(json.loads(data))
    assert not any(
        WIDGET_VIEW in (output.get("data") or {}) for cell in cleaned.get("cells", ()) for output in cell.get("outputs", ())
    )
    return f"{type(cleaned.get('cells')).__name__} {type(cleaned.get('metadata')).__name__} {bool(json.dumps(cleaned))}"


_OUTPUT = {"output_type": "display_data", "data": {WIDGET_VIEW: {"model_id": "a"}, "text/plain": "x"}, "metadata": {}}
_NOTEBOOK = {"cells": [{"cell_type": "code", "outputs": [_OUTPUT]}, {"cell_type": "markdown"}], "metadata": {"widgets": {}}}
_JSON_WORDS = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"-1",
    b"1e999",
    b"9" * 20,
    b'"\\ud800"',
    b'"\\u0000"',
    b"NaN",
    b"[" * 2000,
    b",",
)
_TEXT_WORDS = (
    "\u202e",
    "\0",
    "\x1b[31m",
    "ü",
    "\ud7ff",
    "\ufeff",
    "xn--",
    "\u200d",
    "\uff11",
    "\N{GRINNING FACE}",
    "\r\n",
    "\n",
    '"',
    "'",
)
_WORDS = tuple(word.encode() for word in _TEXT_WORDS)
_SCHEMES = (b"imap://", b"ldaps://", b"[::1]", b":0", b":65536", b"?server_name=", b"%00", b"..", b"@", b"#", b";", b",")
_URLS = b"imap://mail.example.com\nldaps://[2001:db8::1]:636?server_name=a.example # why\nsmtps://b\xc3\xbccher.example\n"
_TABLE = b'host;protocol;port;security;server_name\nmail.example.com;imap;993;ssl;\n"10.0.0.1";ldap;;;a.example\n'
_LOG = (
    b"2026-03-04 10:11:12 ERROR javax.mail.MessagingException: Could not connect to SMTP host: mail.example.com, port: 465;\n"
    b"  nested exception is:\n\tjavax.net.ssl.SSLHandshakeException: PKIX path building failed: unable to find valid "
    b"certification path to requested target\nOwner: CN=mail.example.com, O=Example\n/home/allegra/keystore/mail.example.com.ks\n"
)
_PHRASES = tuple(phrase.encode() for trouble in CAUSES for phrase in trouble.phrases)
_STORES = _stores()

_PRIVATE = ROOT.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

TARGETS: tuple[Target, ...] = (
    Target("keystore", _keystore, (KeystoreError, PlanRefused), _STORES, DER_WORDS, is_der=True),
    Target(
        "java",
        _keystore,
        (KeystoreError, PlanRefused),
        _STORES[:3],
        (b"\0\5X.509", b"\xc0\x80", b"\xed\xa0\x80", *_WORDS, b"\xff" * 4),
    ),
    Target(
        "certificate",
        _certificate,
        (CertificateError, ValueError),
        (ROOT.der, LEAF.der, _EC.der, _RSA.der),
        DER_WORDS,
        is_der=True,
    ),
    Target(
        "pkcs7",
        _file_of_certificates,
        (CertificateError,),
        (_CHAIN, LEAF.der + ROOT.der, _STORES[3], _PRIVATE),
        DER_WORDS,
        is_der=True,
    ),
    Target(
        "armour",
        _file_of_certificates,
        (CertificateError,),
        (
            pem(LEAF.der).encode(),
            pem(ROOT.der).encode("utf-16"),
            b"\n".join((base64.b64encode(_CHAIN), b"")),
            b"text\r\n" + pem(LEAF.der).encode(),
        ),
        (
            b"-----BEGIN CERTIFICATE-----",
            b"-----END CERTIFICATE-----",
            b"-----BEGIN PKCS7-----",
            b"-----BEGIN TRUSTED CERTIFICATE-----",
            b"=",
            *_WORDS,
        ),
    ),
    Target("ber", _ber, (ValueError,), (LEAF.der, _CHAIN, _SAID[Protocol.LDAP]), DER_WORDS, is_der=True),
    Target(
        "preamble",
        _preamble,
        (ProbeError,),
        (*(bytes([number, size]) + _SAID[protocol] for number, protocol in enumerate(Protocol) for size in (0, 255)), *_REFUSED),
        (
            b"\r\n",
            b"\n",
            b"250-",
            b"250 ",
            b"STARTTLS",
            b"* BYE",
            b"a1 NO",
            b"-ERR",
            b"\x16\x03\x01",
            b"A" * 300,
            *_LENGTHS,
            *_WORDS,
        ),
    ),
    Target("endpoints", _endpoints, (EndpointError,), (_URLS, _TABLE), (*_SCHEMES, *_WORDS)),
    Target("log", _log, (), (_LOG, b"> " + _LOG.replace(b"\n", b"\n> ")), (*_PHRASES, *_SCHEMES, *_WORDS), turns=1),
    Target(
        "journal",
        _journal,
        (),
        (JOURNAL, _journal_lines(_SAID_OF_IT)),
        (*_JSON_WORDS, *_WORDS, b"\n", b'"Plan"', b'"Applied"', b'"prepared"', b'"value":'),
        turns=1,
    ),
    Target(
        "survey",
        _survey,
        (SurveyError,),
        (survey_bytes([_SHORT, _FAILURE]), survey_bytes([_PROBE]), _journal_lines((_FAILURE, _SHORT))),
        (*_JSON_WORDS, *_WORDS, b'"chain":', b'"kind":'),
    ),
    Target(
        "notebook", _notebook, FOREIGN, (json.dumps(_NOTEBOOK).encode(),), (*_JSON_WORDS, b'"outputs":', b'"data":', b'"cells":')
    ),
)
