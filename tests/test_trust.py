from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.trust import Diagnosis, FindingCode, Severity, diagnose
from tests.chains import FUTURE, LONG_AGO, NOW, PAST, Issued, alternatives, distinguished, issue, resigned, rsa_key
from tests.scenarios_paths import HOST, LEAF, OTHER, ROOT, SUB, leaf
from tests.test_agreement import GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def judged(
    chain: Sequence[Issued],
    anchors: Sequence[Issued],
    at: datetime = NOW,
    endpoint_identification: str | None = None,
    java_version: int = 17,
) -> Diagnosis:
    ders, known = [each.der for each in chain], [each.der for each in anchors]
    asked = endpoint_identification
    return diagnose(ders, HOST, known, at=at, endpoint_identification=asked, java_version=java_version)


def said(diagnosis: Diagnosis) -> set[tuple[FindingCode, Severity]]:
    return {(finding.code, finding.severity) for finding in diagnosis.findings}


def test_a_good_chain_has_no_finding_and_its_verified_chain_ends_at_the_anchor() -> None:
    diagnosis = judged([LEAF, SUB], [ROOT])
    assert (diagnosis.trusted, diagnosis.message, diagnosis.findings) == (True, None, ())
    assert diagnosis.verified_chain == (LEAF.der, SUB.der, ROOT.der)
    assert (diagnosis.chain, diagnosis.server_name, diagnosis.at) == ((LEAF.der, SUB.der), HOST, NOW)


def test_every_diagnosis_of_the_corpus_has_errors_exactly_where_java_refuses_and_says_each_thing_once() -> None:
    for group in GROUPS:
        for scenario in group():
            chain, anchors = [each.der for each in scenario.chain], [each.der for each in scenario.anchors]
            checked = scenario.identification
            diagnosis = diagnose(chain, scenario.server_name, anchors, at=NOW, endpoint_identification=checked)
            severities = [finding.severity for finding in diagnosis.findings]
            order = [[Severity.ERROR, Severity.WARNING, Severity.INFO].index(severity) for severity in severities]
            assert order == sorted(order), scenario.name
            assert (Severity.ERROR in severities) is not diagnosis.trusted, scenario.name
            assert (diagnosis.message is None) is diagnosis.trusted, scenario.name
            assert len(set(diagnosis.findings)) == len(diagnosis.findings), scenario.name
            assert all(finding.detail.isprintable() and "\n" not in finding.detail for finding in diagnosis.findings)


ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("chain", "anchors", "expected"),
    [
        ([LEAF], [ROOT], {(FindingCode.INCOMPLETE_CHAIN, ERROR)}),
        ([LEAF, SUB], [OTHER], {(FindingCode.UNTRUSTED, ERROR)}),
        ([LEAF, SUB, ROOT], [OTHER], {(FindingCode.UNTRUSTED, ERROR)}),
        ([LEAF, SUB], [issue("Root", ca=True)], {(FindingCode.ISSUER_KEY_DIFFERS, ERROR)}),
        ([leaf(None)], [OTHER], {(FindingCode.SELF_SIGNED, ERROR)}),
        ([LEAF], [LEAF], {(FindingCode.PINNED, INFO)}),
        ([], [ROOT], {(FindingCode.NO_CERTIFICATE, ERROR)}),
        ([LEAF, SUB, ROOT], [], {(FindingCode.NO_ANCHORS, ERROR), (FindingCode.UNTRUSTED, ERROR)}),
        ([LEAF, ROOT, SUB], [ROOT], {(FindingCode.OUT_OF_ORDER, INFO)}),
        ([LEAF, OTHER, SUB], [ROOT], {(FindingCode.EXTRA_CERTIFICATE, INFO)}),
        ([LEAF, SUB, ROOT], [SUB], set()),
    ],
    ids=str,
)
def test_what_is_missing_has_its_own_code(
    chain: list[Issued], anchors: list[Issued], expected: set[tuple[FindingCode, Severity]]
) -> None:
    assert said(judged(chain, anchors)) == expected


def test_a_missing_intermediate_is_named() -> None:
    (finding,) = judged([LEAF], [ROOT]).findings
    assert finding.sha256 is not None
    assert "issued by Sub" in finding.detail


def test_expiry_counts_below_an_anchor_and_not_at_it() -> None:
    old_leaf, old_root = leaf(ROOT, start=LONG_AGO, end=PAST), issue("Root", ca=True, start=LONG_AGO, end=PAST)
    assert said(judged([old_leaf], [ROOT])) == {(FindingCode.EXPIRED, ERROR)}
    assert said(judged([leaf(old_root)], [old_root])) == {(FindingCode.EXPIRED, INFO)}
    assert said(judged([old_leaf], [old_leaf])) == {(FindingCode.EXPIRED, INFO), (FindingCode.PINNED, INFO)}


def test_the_same_chain_can_be_judged_for_another_day() -> None:
    assert judged([LEAF, SUB], [ROOT], at=FUTURE).trusted
    assert (FindingCode.EXPIRED, ERROR) in said(judged([LEAF, SUB], [ROOT], at=FUTURE + timedelta(seconds=1)))
    assert (FindingCode.NOT_YET_VALID, ERROR) in said(judged([LEAF, SUB], [ROOT], at=PAST - timedelta(seconds=1)))


@pytest.mark.parametrize(("days", "word"), [(29, None), (28, "soon"), (15, "soon"), (14, "now"), (0, "now")])
def test_a_leaf_that_expires_soon_is_a_warning(days: int, word: str | None) -> None:
    diagnosis = judged([leaf(ROOT, end=NOW + timedelta(days=days))], [ROOT])
    found = [finding for finding in diagnosis.findings if finding.code is FindingCode.EXPIRES_SOON]
    assert diagnosis.trusted
    assert [finding.detail.rpartition(" ")[2] for finding in found] == ([] if word is None else [word])


def test_a_wrong_name_is_a_warning_unless_names_are_checked() -> None:
    served = issue("x", ROOT, extensions=[alternatives("other.example.com")])
    unchecked, checked = judged([served], [ROOT]), judged([served], [ROOT], endpoint_identification="LDAPS")
    assert (unchecked.trusted, said(unchecked)) == (True, {(FindingCode.MISMATCHED, WARNING)})
    assert (checked.trusted, said(checked)) == (False, {(FindingCode.MISMATCHED, ERROR)})
    assert checked.message == f"No subject alternative DNS name matching {HOST} found."
    assert "other.example.com" in checked.findings[0].detail


def test_sha1_and_small_keys_are_warnings_and_md5_is_an_error() -> None:
    root = issue("Root", ca=True, key=rsa_key())
    assert said(judged([leaf(root, digest="sha1")], [root])) == {(FindingCode.WEAK, WARNING)}
    assert said(judged([leaf(root, key=rsa_key(1024))], [root])) == {(FindingCode.WEAK, WARNING)}
    assert said(judged([leaf(root, digest="md5")], [root])) == {(FindingCode.WEAK, ERROR)}


def test_every_broken_rule_is_found_not_the_first_only() -> None:
    middle = issue("Middle", ROOT, ca=False, start=LONG_AGO, end=PAST)
    for_clients = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    served = issue("other", middle, start=LONG_AGO, end=PAST, extensions=[for_clients])
    diagnosis = judged([served, middle], [ROOT], endpoint_identification="HTTPS")
    assert [finding.code for finding in diagnosis.findings if finding.severity is ERROR] == [
        FindingCode.NOT_A_CA,
        FindingCode.EXPIRED,
        FindingCode.EXPIRED,
        FindingCode.EXTENDED_KEY_USAGE,
        FindingCode.MISMATCHED,
    ]


def test_what_the_handshake_refuses_is_refused_here_too() -> None:
    chain = [LEAF, SUB, *([ROOT] * 9)]
    long, curve = judged(chain, [ROOT]), judged([leaf(ROOT, key=ec.generate_private_key(ec.BrainpoolP256R1()))], [ROOT])
    assert long.message == "The certificate chain length (11) exceeds the maximum allowed length (10)"
    assert said(curve) == {(FindingCode.UNSUPPORTED_ALGORITHM, ERROR)}
    assert judged(chain[:10], [ROOT]).trusted


def test_a_leaf_with_an_edwards_key_needs_java_15() -> None:
    served = leaf(ROOT, key=ed25519.Ed25519PrivateKey.generate())
    assert [judged([served], [ROOT], java_version=version).trusted for version in (11, 14, 15, 25)] == [False, False, True, True]
    assert said(judged([served], [ROOT], java_version=11)) == {(FindingCode.UNSUPPORTED_ALGORITHM, ERROR)}


def test_a_leaf_with_a_key_of_a_kind_that_nobody_knows_is_refused() -> None:
    served = resigned(leaf(ROOT).der, ROOT.key, swap=(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0209")))
    diagnosis = judged([Issued(served, ROOT.key)], [ROOT])
    assert said(diagnosis) == {(FindingCode.UNSUPPORTED_ALGORITHM, ERROR)}
    assert "a key of an unknown kind" in diagnosis.findings[0].detail


@pytest.mark.parametrize(("java_version", "words"), [(15, "signature check failed"), (16, "algorithm: SHA3-256withRSA")])
def test_a_signature_with_sha3_is_refused_as_java_does(java_version: int, words: str) -> None:
    root = issue("RSA root", ca=True, key=rsa_key(2048))
    diagnosis = judged([leaf(root, digest="sha3-256")], [root], java_version=java_version)
    assert (diagnosis.message or "").endswith(words)
    assert said(diagnosis) == {(FindingCode.UNSUPPORTED_ALGORITHM, ERROR)}


@pytest.mark.parametrize("java_version", [8, 11, 17, 25])
def test_a_curve_that_nobody_else_uses_is_refused_wherever_it_stands(java_version: int) -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    curved = issue("Curve", ROOT, ca=True, key=key)
    for chain, anchors in (([leaf(curved), curved], [ROOT]), ([leaf(curved)], [curved]), ([leaf(ROOT, key=key)], [ROOT])):
        codes = {finding.code for finding in judged(chain, anchors, java_version=java_version).findings}
        assert codes == {FindingCode.UNSUPPORTED_ALGORITHM}


def test_a_wildcard_that_covers_an_excluded_name_is_excluded() -> None:
    limits = x509.NameConstraints(None, [x509.DNSName("mail.example.com")])
    middle = issue("Middle CA", ROOT, ca=True, critical=[limits])
    assert not judged([issue("any server", middle, extensions=[alternatives("*.example.com")]), middle], [ROOT]).trusted
    assert judged([issue("any server", middle, extensions=[alternatives("*.example.org")]), middle], [ROOT]).trusted


@pytest.mark.parametrize(
    ("subject", "trusted"),
    [
        (distinguished(E="a@mail.example.com"), True),
        (distinguished(E="a@my_host.example.com"), False),
        (distinguished(E="postmaster"), False),
        (distinguished(CN="mail.example.org"), False),
        (distinguished(CN="10"), True),  # a number is an address for Java, and no constraint is about addresses
        (distinguished(CN="300.1"), False),
    ],
    ids=str,
)
def test_what_stands_in_the_subject_alone_is_held_against_constraints_as_java_reads_it(
    subject: x509.Name,
    trusted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    limits = x509.NameConstraints([x509.DNSName("example.com"), x509.RFC822Name("mail.example.com")], None)
    middle = issue("Middle CA", ROOT, ca=True, critical=[limits])
    assert judged([issue(subject, middle), middle], [ROOT]).trusted is trusted


def test_hostile_text_in_a_name_is_spelled_out() -> None:
    hostile = issue(distinguished(CN="evil\u202e\n<script>" + "x" * 40), issue("Root\x1b[2J", ca=True))
    diagnosis = judged([hostile], [OTHER])
    assert "\\u{202e}\\x0a<script>" in diagnosis.findings[0].detail
    assert "\\x1b[2J" in diagnosis.findings[0].detail


@given(st.lists(st.binary(max_size=40), max_size=3), st.lists(st.binary(max_size=40), max_size=3))
def test_bytes_that_are_no_certificates_are_findings(chain: list[bytes], anchors: list[bytes]) -> None:
    diagnosis = diagnose([*chain, LEAF.der], HOST, [*anchors, ROOT.der], at=NOW)
    codes = [finding.code for finding in diagnosis.findings]
    assert not diagnosis.trusted
    assert codes.count(FindingCode.MALFORMED) == len(chain) + len({*anchors})


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255))
def test_a_flipped_byte_never_raises_and_never_passes_the_signature(position: int, value: int) -> None:
    der = bytearray(LEAF.der)
    der[position] = value
    assert diagnose([bytes(der), SUB.der], HOST, [ROOT.der], at=NOW).trusted is (bytes(der) == LEAF.der)


def test_hostile_chains_come_back_within_a_second() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(100)]
    roots = [issue("Root", ca=True, key=key) for key in keys]
    crossed = [issue("Root", roots[number - 1], ca=True, key=key) for number, key in enumerate(keys)]
    to_b = [issue("A", ca=True, issuer_name=distinguished(CN="B")) for _ in range(5)]
    to_a = [issue("B", ca=True, issuer_name=distinguished(CN="A")) for _ in range(4)]
    served = [x509.SubjectAlternativeName([x509.DNSName(f"{number}.example.com") for number in range(3000)])]
    limits = [x509.NameConstraints([x509.DNSName("example.com")] * 3000, [x509.DNSName("example.org")] * 3000)]
    limited = issue("Limited", ROOT, ca=True, critical=limits)
    strange = [x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{number}"), b"") for number in range(3000)]
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), b"")
    long_name = x509.Name([*distinguished(CN="x" * 60)] * 400)
    circle = []
    for number, word in enumerate("abcdefgh"):
        subject, above = ("A", "B") if number % 2 else ("B", "A")
        names, few = [alternatives(f"{word}.example.com")], [x509.NameConstraints([x509.DNSName("example.com")] * 30, None)]
        circle.append(issue(subject, ca=True, key=keys[0], issuer_name=distinguished(CN=above), extensions=names, critical=few))
    namesakes = [issue(name, ca=True) for name in "AB" * 10]
    questions = [
        ([leaf(limited, extensions=served), limited], [ROOT]),
        ([issue(long_name, OTHER, extensions=[broken, *strange])], [ROOT]),
        ([leaf(circle[0], extensions=served), OTHER, *circle], namesakes),
        ([leaf(roots[0])] + crossed * 100, roots),
        ([leaf(roots[0]), *crossed[:9]], roots[50:]),
        ([leaf(to_b[0]), *to_b, *to_a], [issue("A", ca=True) for _ in range(200)]),
        ([LEAF] * 10_000, [ROOT]),
    ]
    for chain, anchors in questions:
        started = time.perf_counter()
        assert not judged(chain, anchors).trusted
        assert time.perf_counter() - started < 1
