"""Scenarios for the comparison with a JVM: algorithms, certificate policies, malformed parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519

from tests.chains import Issued, alternatives, issue, resigned, rsa_key, tiny_rsa
from tests.scenarios_paths import HOST, OTHER, ROOT, Scenario, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator


def policies() -> Iterator[Scenario]:
    one, any_policy = x509.ObjectIdentifier("1.2.3.1"), x509.ObjectIdentifier("2.5.29.32.0")
    plain = x509.CertificatePolicies([x509.PolicyInformation(one, None)])
    qualified = x509.CertificatePolicies([x509.PolicyInformation(one, ["https://example.com/cps"])])
    anything = x509.CertificatePolicies([x509.PolicyInformation(any_policy, ["https://example.com/cps"])])
    for name, policy in (("plain", plain), ("qualified", qualified), ("any, qualified", anything)):
        yield Scenario(f"policy {name}", [leaf(ROOT, extensions=[policy])], [ROOT])
        yield Scenario(f"policy {name}, critical", [leaf(ROOT, critical=[policy])], [ROOT])
        yield Scenario(f"policy {name}, critical, builder", [leaf(ROOT, critical=[policy]), OTHER], [ROOT])
    for skip in (0, 1, 2):
        demand = x509.PolicyConstraints(skip, None)
        for name, above, below in (
            ("none", [], []),
            ("on both", [plain], [plain]),
            ("above only", [plain], []),
            ("below only", [], [plain]),
            ("any above", [anything], [plain]),
            ("any above that is inhibited", [anything], [anything]),
        ):
            inhibit = [x509.InhibitAnyPolicy(0)] if "inhibited" in name else []
            middle = issue("Middle", ROOT, ca=True, extensions=above, critical=[demand, *inhibit])
            yield Scenario(f"explicit policy {skip}, {name}", [leaf(middle, extensions=below), middle], [ROOT])
    other = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.2"), None)])
    mapping = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), bytes.fromhex("300c300a06032a030106032a0302"))
    middle = issue("Middle", ROOT, ca=True, extensions=[plain, mapping], critical=[x509.PolicyConstraints(0, None)])
    yield Scenario("explicit policy that is mapped to another", [leaf(middle, extensions=[other]), middle], [ROOT])


def algorithms() -> Iterator[Scenario]:
    big, small = rsa_key(2048), rsa_key(1024)
    root = issue("RSA root", ca=True, key=big)
    for digest in ("sha1", "md5", "sha3-256"):
        sub = issue("RSA sub", root, ca=True, key=rsa_key(2048, 1), digest=digest)
        weak_root = issue("RSA root", ca=True, key=big, digest=digest)
        served = leaf(root, digest=digest)
        yield Scenario(f"{digest} leaf", [served], [root])
        yield Scenario(f"{digest} leaf, builder", [served, OTHER], [root])
        yield Scenario(f"{digest} leaf in the store", [served], [served])
        yield Scenario(f"{digest} intermediate", [leaf(sub), sub], [root])
        yield Scenario(f"{digest} root in the store", [leaf(root)], [weak_root])
        yield Scenario(f"{digest} root sent and in the store", [leaf(root), weak_root], [weak_root])
    yield Scenario("RSA-1024 leaf", [leaf(root, key=small)], [root])
    weak = issue("Weak", root, ca=True, key=small)
    yield Scenario("RSA-1024 intermediate", [leaf(weak), weak], [root])
    yield Scenario("RSA-1024 root", [leaf(weak)], [weak])
    for bits in (512, 1000):
        tiny = tiny_rsa(bits)
        served = leaf(root, public_key=tiny.public_key)
        yield Scenario(f"RSA-{bits} leaf", [served], [root])
        yield Scenario(f"RSA-{bits} leaf in the store", [served], [served])
        anchor = issue("Tiny", root, ca=True, public_key=tiny.public_key, key_ids=False)
        under = Issued(tiny.sign(issue(HOST, issue("Tiny", ca=True, key=big), key_ids=False).der), big)
        yield Scenario(f"RSA-{bits} anchor", [under], [anchor])
        yield Scenario(f"RSA-{bits} anchor, builder", [under, OTHER], [anchor])
        yield Scenario(f"RSA-{bits} intermediate", [under, anchor], [root])
    old_curve = leaf(ROOT, key=ec.generate_private_key(ec.SECP192R1()))
    yield Scenario("EC P-192 leaf, which fails before the trust manager is asked", [old_curve], [ROOT], same_sentence=False)
    for curve in (ec.SECP384R1(), ec.SECP521R1(), ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()):
        curved = issue("Curve", ROOT, ca=True, key=ec.generate_private_key(curve))
        yield Scenario(f"intermediate of {curve.name}", [leaf(curved), curved], [ROOT])
        yield Scenario(f"anchor of {curve.name}", [leaf(curved)], [curved])
    edwards = issue("Edwards", ca=True, key=ed25519.Ed25519PrivateKey.generate())
    yield Scenario("Ed25519 anchor", [leaf(edwards)], [edwards])
    yield Scenario("Ed25519 leaf", [leaf(ROOT, key=ed25519.Ed25519PrivateKey.generate())], [ROOT])
    for bits in (1024, 2048):  # nobody has the private key, for these are no primes
        parameters = dsa.DSAParameterNumbers(2**bits - 1, 2**160 - 1 if bits == 1024 else 2**256 - 1, 2)
        yield Scenario(f"DSA-{bits} leaf", [leaf(ROOT, public_key=dsa.DSAPublicNumbers(4, parameters).public_key())], [ROOT])


def malformed() -> Iterator[Scenario]:
    for serial in (b"\x02\x01\x00", b"\x02\x01\xff", b"\x02\x02\x00\x01", b"\x02\x02\xff\xff", b"\x02\x00"):
        served = Issued(resigned(leaf(ROOT).der, ROOT.key, serial=serial), ROOT.key)
        yield Scenario(f"serial number {serial.hex()}", [served], [ROOT])

    unversioned = resigned(leaf(ROOT).der, ROOT.key, swap=(b"\xa0\x03\x02\x01\x02", b""))
    yield Scenario("extensions in version 1", [Issued(unversioned, ROOT.key)], [ROOT])

    def bad(oid: str, value: bytes) -> x509.UnrecognizedExtension:
        return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)

    latin = b"\x30\x16\x82\x10mail.example.com\x82\x02\xfc\x78"
    for name, extension in (
        ("subjectAltName", bad("2.5.29.17", b"\x30\x03\x87\x01\x01")),
        ("keyUsage", bad("2.5.29.15", b"\x04\x01\x00")),
        ("basicConstraints", bad("2.5.29.19", b"\x02\x01\x00")),
        ("authorityInfoAccess", bad("1.3.6.1.5.5.7.1.1", b"\x02\x01\x00")),
        ("a name that is not ASCII", bad("2.5.29.17", latin)),
    ):
        yield Scenario(f"malformed {name}", [issue("x", ROOT, extensions=[extension])], [ROOT])
        if "ASCII" not in name and "Access" not in name:
            yield Scenario(f"malformed critical {name}", [issue("x", ROOT, critical=[extension])], [ROOT])
    broken = issue("Broken", ROOT, extensions=[bad("2.5.29.19", b"\x02\x01\x00")])
    yield Scenario("malformed basicConstraints of an intermediate", [leaf(broken), broken], [ROOT])
    odd = issue("Odd", ROOT, ca=True, extensions=[bad("1.3.6.1.5.5.7.1.1", b"\x02\x01\x00")])
    yield Scenario("malformed authorityInfoAccess of an intermediate", [leaf(odd), odd], [ROOT])
    one, other = (bad(f"1.2.3.4.{number}", b"\x05\x00") for number in (1, 2))
    twice = issue("x", ROOT, extensions=[one, other, bad("1.3.6.1.5.5.7.1.1", b"\x02\x01\x00")])
    doubled = resigned(twice.der, ROOT.key, swap=(b"\x06\x04\x2a\x03\x04\x02", b"\x06\x04\x2a\x03\x04\x01"))
    yield Scenario("an extension twice", [Issued(doubled, ROOT.key)], [ROOT])
    yield Scenario("bytes that are no certificate", [Issued(b"\x30\x03\x02\x01\x01", ROOT.key)], [ROOT])
    yield Scenario("no certificate behind a good one", [leaf(ROOT), Issued(b"\x30\x03\x02\x01\x01", ROOT.key)], [ROOT])


def loose() -> Iterator[Scenario]:
    """What is no strict DER, and read by Java all the same."""
    string, common = x509.name._ASN1Type, x509.NameOID.COMMON_NAME  # noqa: SLF001 - the only way to ask for a type
    critical = b"\x06\x03\x55\x1d\x11\x01\x01"
    ecdsa = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
    for name, kind, swap in (
        ("characters in a PrintableString", string.PrintableString, (b"b+c", b"*_&")),
        ("Latin-1 in a PrintableString", string.PrintableString, (b"b+c", b"b\xfcc")),
        ("Latin-1 in a TeletexString", string.T61String, (b"b+c", b"b\xfcc")),
        ("Latin-1 in a UTF8String", string.UTF8String, (b"b+c", b"b\xfcc")),
        ("Latin-1 in an IA5String", string.IA5String, (b"b+c", b"b\xfcc")),
        ("an encoded FALSE", string.UTF8String, (critical + b"\xff", critical + b"\x00")),
        ("a TRUE of 1", string.UTF8String, (critical + b"\xff", critical + b"\x01")),
        ("NULL for ECDSA", string.UTF8String, (b"\x30\x0a" + ecdsa, b"\x30\x0c" + ecdsa + b"\x05\x00")),
    ):
        subject = x509.Name([x509.NameAttribute(common, "a b+c d", _type=kind)])
        root = issue(subject, ca=True, critical=[alternatives("root")])
        sub = issue("Sub", root, ca=True, critical=[alternatives("sub")])
        served = issue(subject, sub, critical=[alternatives(HOST)])
        signed = ((served, sub.key), (sub, root.key), (root, root.key))
        chain = [Issued(resigned(each.der, signer, swap=swap), each.key) for each, signer in signed]
        yield Scenario(f"{name}, root in the store", chain, chain[2:], identification="LDAPS")
        yield Scenario(f"{name}, intermediate in the store, builder", [chain[0], OTHER], chain[1:2])
        yield Scenario(f"{name}, leaf in the store", chain[:1], chain[:1])
        yield Scenario(f"{name}, not in the store", chain, [ROOT])
