"""Scenarios for the comparison with a JVM: which path, and what each certificate on it may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.chains import FUTURE, LONG_AGO, NOW, PAST, Issued, alternatives, distinguished, issue, usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST = "mail.example.com"
UNKNOWN = 1000
"""For `Scenario.since`: 11.0.13 decides otherwise, and from which update on 11 decides so is not known."""
SERVER, CLIENT, ANY = (x509.ObjectIdentifier(oid) for oid in ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "2.5.29.37.0"))
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


@dataclass(frozen=True)
class Scenario:
    """`since` has the update from which on a version of Java decides so, where it changed within that version."""

    name: str
    chain: Sequence[Issued]
    anchors: Sequence[Issued]
    server_name: str = HOST
    identification: str | None = None
    same_sentence: bool = True
    since: Mapping[int, int] = field(default_factory=dict)


def leaf(issuer: Issued | None, **changes: object) -> Issued:
    changes.setdefault("extensions", [alternatives(HOST)])
    return issue(HOST, issuer, **changes)  # type: ignore[arg-type]


ROOT = issue("Root", ca=True)
SUB = issue("Sub", ROOT, ca=True)
LEAF = leaf(SUB)
OTHER = issue("Other", ca=True)


def basics() -> Iterator[Scenario]:
    sent = {
        "leaf": [LEAF],
        "leaf sub": [LEAF, SUB],
        "leaf sub root": [LEAF, SUB, ROOT],
        "leaf root sub": [LEAF, ROOT, SUB],
        "leaf root": [LEAF, ROOT],
        "leaf other sub": [LEAF, OTHER, SUB],
        "leaf sub other": [LEAF, SUB, OTHER],
        "sub leaf": [SUB, LEAF],
        "leaf leaf sub": [LEAF, LEAF, SUB],
        "leaf sub sub": [LEAF, SUB, SUB],
        "leaf sub root root": [LEAF, SUB, ROOT, ROOT],
        "nothing": [],
    }
    stores = {"root": [ROOT], "sub": [SUB], "leaf": [LEAF], "other": [OTHER], "all": [ROOT, SUB, LEAF], "nothing": []}
    for way, chain in sent.items():
        for what, anchors in stores.items():
            yield Scenario(f"sent {way}, store {what}", chain, anchors)


def validity() -> Iterator[Scenario]:
    for word, start, end in (("expired", LONG_AGO, PAST), ("not yet valid", FUTURE, FUTURE + timedelta(days=1))):
        bad_leaf, bad_sub = leaf(SUB, start=start, end=end), issue("Sub", ROOT, ca=True, start=start, end=end)
        bad_root = issue("Root", ca=True, start=start, end=end)
        yield Scenario(f"{word} leaf", [bad_leaf, SUB], [ROOT])
        yield Scenario(f"{word} leaf, builder", [bad_leaf, OTHER, SUB], [ROOT])
        yield Scenario(f"{word} leaf in the store", [bad_leaf, SUB], [bad_leaf])
        yield Scenario(f"{word} intermediate", [leaf(bad_sub), bad_sub], [ROOT])
        yield Scenario(f"{word} intermediate, builder", [leaf(bad_sub), OTHER, bad_sub], [ROOT])
        yield Scenario(f"{word} intermediate in the store", [leaf(bad_sub), bad_sub], [bad_sub])
        yield Scenario(f"{word} intermediate in the store, builder", [leaf(bad_sub), OTHER], [bad_sub, OTHER])
        yield Scenario(f"{word} root in the store", [leaf(bad_root)], [bad_root])
        below = issue("Below", bad_root, ca=True)
        yield Scenario(f"{word} root, intermediate sent", [leaf(below), below], [bad_root])
        yield Scenario(f"{word} root, intermediate sent, builder", [leaf(below), OTHER, below], [bad_root])
        yield Scenario(f"{word} intermediate and its valid twin", [leaf(SUB), bad_sub, SUB], [ROOT])
    edge = leaf(ROOT, start=NOW - timedelta(seconds=1))
    yield Scenario("valid since a second", [edge], [ROOT])


def anchors_that_issue() -> Iterator[Scenario]:
    key = ec.generate_private_key(ec.SECP256R1())
    for name, ca, constraints in (
        ("CA", True, []),
        ("CA:FALSE", False, []),
        ("no basicConstraints", None, []),
        ("CA, keyCertSign", True, [usage("key_cert_sign")]),
        ("CA, keyUsage without keyCertSign", True, [usage("digital_signature", "crl_sign")]),
        ("no basicConstraints, keyCertSign", None, [usage("key_cert_sign")]),
        ("CA for clients only", True, [x509.ExtendedKeyUsage([CLIENT])]),
    ):
        anchor = issue("Anchor", ca=ca, key=key, extensions=constraints)
        yield Scenario(f"anchor {name}", [leaf(anchor)], [anchor])
        yield Scenario(f"anchor {name}, builder", [leaf(anchor), OTHER], [anchor])
        below = issue("Below", anchor, ca=True)
        yield Scenario(f"anchor {name}, intermediate between", [leaf(below), below], [anchor])
    for name, end in (("", FUTURE), (" that ends before the leaf", FUTURE - timedelta(days=1)), (" that has ended", PAST)):
        old = issue("Version 1", version=1, start=LONG_AGO, end=end)
        yield Scenario(f"v1 anchor{name}", [leaf(old)], [old])
        yield Scenario(f"v1 anchor{name}, builder", [leaf(old), OTHER], [old])
    middle = issue("Version 1 below", ROOT, version=1)
    yield Scenario("v1 intermediate", [leaf(middle), middle], [ROOT])
    yield Scenario("v1 leaf", [issue(HOST, ROOT, version=1)], [ROOT])
    yield Scenario("v1 leaf, name in the CN", [issue(HOST, ROOT, version=1)], [ROOT], identification="HTTPS")
    limited = issue(
        "Limited",
        ca=True,
        path_length=0,
        critical=[STRANGE],
        extensions=[x509.NameConstraints([x509.DNSName("example.org")], None)],
    )
    below = issue("Below", limited, ca=True)
    yield Scenario("anchor's path length, constraints and extensions do not count", [leaf(below), below], [limited])


def intermediates() -> Iterator[Scenario]:
    for name, ca, extensions, critical in (
        ("CA:FALSE", False, [], []),
        ("no basicConstraints", None, [], []),
        ("keyUsage without keyCertSign", True, [usage("digital_signature")], []),
        ("keyCertSign", True, [usage("key_cert_sign", "crl_sign")], []),
        ("EKU for clients", True, [x509.ExtendedKeyUsage([CLIENT])], []),
        ("unknown critical extension", True, [], [STRANGE]),
        ("unknown extension", True, [STRANGE], []),
        ("keyUsage without a bit", True, [usage()], []),
    ):
        middle = issue("Middle", ROOT, ca=ca, extensions=extensions, critical=critical)
        yield Scenario(f"intermediate with {name}", [leaf(middle), middle], [ROOT])
        yield Scenario(f"intermediate with {name}, builder", [leaf(middle), OTHER, middle], [ROOT])
        yield Scenario(f"intermediate with {name} in the store", [leaf(middle), middle], [middle])
    for limit in (0, 1, None):
        upper = issue("Upper", ROOT, ca=True, path_length=limit)
        lower = issue("Lower", upper, ca=True)
        lowest = issue("Lowest", lower, ca=True)
        yield Scenario(f"path length {limit}, one below", [leaf(lower), lower, upper], [ROOT])
        yield Scenario(f"path length {limit}, two below", [leaf(lowest), lowest, lower, upper], [ROOT])
        yield Scenario(f"path length {limit}, one below, builder", [leaf(lower), upper, lower], [ROOT])
        yield Scenario(f"path length {limit}, two below, builder", [leaf(lowest), upper, lower, lowest], [ROOT])
        rolled = issue("Upper", upper, ca=True)
        yield Scenario(f"path length {limit}, self-issued below", [leaf(rolled), rolled, upper], [ROOT])
    long = [ROOT]
    for number in range(8):
        long.append(issue(f"Level {number}", long[-1], ca=True))
    for depth in (5, 6, 7, 8):
        chain = [leaf(long[depth]), *long[depth:0:-1]]
        yield Scenario(f"{depth} intermediates", chain, [ROOT])
        yield Scenario(f"{depth} intermediates, builder", [chain[0], *chain[:0:-1]], [ROOT])


def leaves() -> Iterator[Scenario]:
    netscape = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
    for name, extensions, critical in (
        ("EKU server", [x509.ExtendedKeyUsage([SERVER])], []),
        ("EKU client", [x509.ExtendedKeyUsage([CLIENT])], []),
        ("EKU any", [x509.ExtendedKeyUsage([ANY])], []),
        ("EKU client critical", [], [x509.ExtendedKeyUsage([CLIENT])]),
        ("EKU gated crypto", [x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3")])], []),
        ("KU digitalSignature", [usage("digital_signature")], []),
        ("KU keyEncipherment", [usage("key_encipherment")], []),
        ("KU keyCertSign", [usage("key_cert_sign")], []),
        ("KU nonRepudiation", [usage("content_commitment")], []),
        ("KU nothing", [usage()], []),
        ("KU both", [usage("digital_signature", "key_encipherment")], []),
        ("unknown critical extension", [], [STRANGE]),
        ("Netscape server", [x509.UnrecognizedExtension(netscape, b"\x03\x02\x06\x40")], []),
        ("Netscape client", [x509.UnrecognizedExtension(netscape, b"\x03\x02\x07\x80")], []),
        ("Netscape server critical", [], [x509.UnrecognizedExtension(netscape, b"\x03\x02\x06\x40")]),
        ("EKU client and KU keyCertSign", [x509.ExtendedKeyUsage([CLIENT]), usage("key_cert_sign")], []),
    ):
        served = issue(HOST, ROOT, extensions=[alternatives(HOST), *extensions], critical=critical)
        yield Scenario(f"leaf with {name}", [served], [ROOT])
        yield Scenario(f"leaf with {name}, builder", [served, OTHER], [ROOT])
        yield Scenario(f"leaf with {name} in the store", [served], [served])
    yield Scenario("leaf that is a CA", [issue(HOST, ROOT, ca=True)], [ROOT])
    yield Scenario("leaf that is a CA, builder", [issue(HOST, ROOT, ca=True), OTHER], [ROOT])


def renewals() -> Iterator[Scenario]:
    key = ec.generate_private_key(ec.SECP256R1())
    for name, ca, extensions in (
        ("CA", True, []),
        ("CA, all usages", True, [usage("digital_signature", "key_cert_sign")]),
        ("CA, keyCertSign only", True, [usage("key_cert_sign")]),
        ("CA, digitalSignature only", True, [usage("digital_signature")]),
        ("CA:FALSE", False, []),
        ("no extension", None, []),
    ):
        old, new = (issue(HOST, ca=ca, key=key, extensions=extensions, start=start) for start in (LONG_AGO, PAST))
        yield Scenario(f"self-signed {name}, not in the store", [new], [ROOT])
        yield Scenario(f"self-signed {name}, in the store", [new], [new])
        yield Scenario(f"self-signed {name}, renewed with its key", [new], [old])
        yield Scenario(f"self-signed {name}, renewed with its key, extra sent", [new, OTHER], [old])
        yield Scenario(f"self-signed {name}, renewed with its key, sent twice", [new, new], [old])
        yield Scenario(f"self-signed {name}, renewed with another key", [new], [issue(HOST, ca=ca, extensions=extensions)])
    first, second = issue("Root", ca=True), issue("Root", ca=True, key=ROOT.key, start=LONG_AGO)
    yield Scenario("root of the same name and another key", [LEAF, SUB], [first])
    yield Scenario("root of the same name and another key, sent", [LEAF, SUB, ROOT], [first])
    yield Scenario("roots of one name, one with the key", [LEAF, SUB], [first, ROOT])
    yield Scenario("root renewed with its key", [LEAF, SUB, ROOT], [second])
    yield Scenario("root renewed with its key, builder", [LEAF, ROOT, SUB], [second])
    forged = issue("Sub", ca=True, issuer_name=distinguished(CN="Root"))
    yield Scenario("intermediate that names the root and is not signed by it", [leaf(forged), forged], [ROOT])
    yield Scenario("the same without key identifiers", *_forged_without_identifiers())


def _forged_without_identifiers() -> tuple[list[Issued], list[Issued]]:
    root = issue("Root", ca=True, key_ids=False)
    forged = issue("Sub", ca=True, issuer_name=distinguished(CN="Root"), key_ids=False)
    return [leaf(forged), forged], [root]


def identifiers() -> Iterator[Scenario]:
    root = issue("Root", ca=True, key_ids=False, extensions=[x509.SubjectKeyIdentifier(b"one")])
    for name, wanted in (
        ("that fits", x509.AuthorityKeyIdentifier(b"one", None, None)),
        ("that does not fit", x509.AuthorityKeyIdentifier(b"two", None, None)),
        ("with the serial", _by_serial(root.certificate.serial_number)),
        ("with another serial", _by_serial(12345)),
    ):
        served = leaf(root, key_ids=False, extensions=[alternatives(HOST), wanted])
        yield Scenario(f"key identifier {name}", [served], [root])
        yield Scenario(f"key identifier {name}, builder", [served, OTHER], [root])
        below = issue("Below", root, ca=True, key_ids=False, extensions=[wanted])
        yield Scenario(f"key identifier {name} of an intermediate", [leaf(below), below], [root])
    bare = issue("Root", ca=True, key_ids=False)
    wanted = x509.AuthorityKeyIdentifier(b"two", None, None)
    yield Scenario("key identifier where the root has none", [leaf(bare, key_ids=False, extensions=[wanted])], [bare])


def _by_serial(serial: int) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(distinguished(CN="Root"))], serial)


def crossings() -> Iterator[Scenario]:
    new = issue("New Root", ca=True)
    cross = issue("New Root", ROOT, ca=True, key=new.key)
    sub = issue("Crossed", new, ca=True)
    served = leaf(sub)
    for name, anchors in (("old", [ROOT]), ("new", [new]), ("both", [ROOT, new]), ("cross", [cross]), ("neither", [OTHER])):
        yield Scenario(f"cross-signed, {name} root", [served, sub, cross], anchors)
        yield Scenario(f"cross-signed, {name} root, any order", [served, cross, sub, new], anchors)
        yield Scenario(f"cross-signed and new, {name} root", [served, sub, new, cross], anchors)
    rolled = issue("Root", ROOT, ca=True)
    yield Scenario("key rollover", [leaf(rolled), rolled], [ROOT])
    yield Scenario("key rollover, builder", [leaf(rolled), OTHER, rolled], [ROOT])
    again = issue("Root", rolled, ca=True)
    yield Scenario("two rollovers", [leaf(again), again, rolled], [ROOT])
    yield Scenario("two rollovers, builder", [leaf(again), OTHER, again, rolled], [ROOT], since={11: UNKNOWN})
    left, right = issue("Left", ca=True), issue("Right", ca=True)
    left_by_right, right_by_left = issue("Left", right, ca=True, key=left.key), issue("Right", left, ca=True, key=right.key)
    yield Scenario("a loop", [leaf(left), left_by_right, right_by_left], [ROOT])
    yield Scenario("a loop with a way out", [leaf(left), left_by_right, right_by_left], [left])
    yield Scenario("a loop with a way out above", [leaf(left), right_by_left, left_by_right], [right])
    twin = issue("Sub", OTHER, ca=True, key=SUB.key)
    yield Scenario("a dead end first", [LEAF, twin, SUB], [ROOT])
    yield Scenario("a dead end behind", [LEAF, SUB, twin], [ROOT])
