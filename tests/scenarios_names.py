"""Scenarios for the comparison with a JVM: names of hosts and CAs, name constraints."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509

from tests.chains import Issued, alternatives, distinguished, issue
from tests.scenarios_paths import HOST, LEAF, OTHER, ROOT, UNKNOWN, Scenario, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNSETTLED = ("excluded", "permitted and excluded")
"""Constraints under which JVMs of one version differ, by their patch level, about a wildcard that covers an excluded name."""
LEADING_PERIOD = {11: UNKNOWN, 17: 15, 21: 7}
"""JDK-8311546: `.example.com` as a constraint is taken as RFC 5280 has it for URIs."""
TRAILING_DOT = {11: 19, 17: 7}
"""JDK-8065422: the dot at the end of a host name is taken off."""
NAMES = (
    (("mail.example.com",), ("mail.example.com", "MAIL.Example.COM", "mail.example.com.", "example.com", "a.mail.example.com")),
    (("*.example.com",), ("mail.example.com", "a.b.example.com", "example.com", ".example.com")),
    (
        ("ma*l.example.com", "*x.example.com", "y*.example.com"),
        ("mail.example.com", "mal.example.com", "ax.example.com", "y.example.com"),
    ),
    (("m*i*.example.com",), ("mail.example.com", "mi.example.com", "min.example.com", "im.example.com")),
    (("mail.*.com",), ("mail.example.com", "mail.x.com", "mail.a.b.com")),
    (("*.*.com",), ("mail.example.com", "example.com")),
    (("mail.ex*.com", "*.*mple.org"), ("mail.example.com", "mail.example.org")),
    (("*", "*.", "mail.*", "*.com", "*mail"), ("mail", "mail.", "mail.com", "localhost", "xmail")),
    (("localhost", "mail"), ("localhost", "mail", "mail.example.com")),
    (
        ("mail.example.com.", "my_host.example.com", "-a.example.com"),
        ("mail.example.com", "my_host.example.com", "-a.example.com"),
    ),
    (("xn--bcher-kva.example.com",), ("xn--bcher-kva.example.com", "bücher.example.com", "BÜCHER.example.com", "b.example.com")),
    (("b*.example.com",), ("xn--bcher-kva.example.com", "bucher.example.com")),
    (
        ("10.1.2.3", "2001:db8::1"),
        ("10.1.2.3", "10.1.2.4", "2001:db8::1", "2001:DB8:0::0001", "[2001:db8::1]", "::ffff:10.1.2.3", "2001:db8::2"),
    ),
    (("::ffff:10.1.2.3",), ("10.1.2.3", "::ffff:a01:203")),
    (
        ("10.0.0.1", "0.0.0.10", "10", "10.1"),
        ("10", "010", "10.1", "10.0.1", "010.0.0.1", "1.2.3.4.5", "256", "256.1", "10.16777216", "4294967296", "10.0.0.256"),
    ),
)


def distinguished_names() -> Iterator[Scenario]:
    string = x509.name._ASN1Type  # noqa: SLF001 - the only way to ask for a type
    common, mail = x509.NameOID.COMMON_NAME, x509.NameOID.EMAIL_ADDRESS

    def typed(*attributes: x509.NameAttribute[str]) -> x509.Name:
        return x509.Name(attributes)

    pairs = {
        "case": (distinguished(O="Example", CN="Issuing CA"), distinguished(O="EXAMPLE", CN="issuing ca")),
        "blanks": (distinguished(CN="Issuing CA"), distinguished(CN="  Issuing   CA ")),
        "order": (distinguished(O="Example", CN="CA"), distinguished(CN="CA", O="Example")),
        "accents": (distinguished(CN="Zürich"), distinguished(CN="ZÜRICH")),
        "composition": (distinguished(CN="Zürich"), distinguished(CN="Zu\u0308rich")),
        "compatibility": (distinguished(CN="CA 1"), distinguished(CN="CA \u2460")),
        "sharp s": (distinguished(CN="Straße"), distinguished(CN="STRASSE")),
        "escapes": (distinguished(CN="a, b"), distinguished(CN="a,  b")),
        "PrintableString": (distinguished(CN="CA"), typed(x509.NameAttribute(common, "CA", _type=string.PrintableString))),
        "BMPString": (distinguished(CN="CA"), typed(x509.NameAttribute(common, "CA", _type=string.BMPString))),
        "e-mail case": (distinguished(CN="CA", E="ca@example.com"), distinguished(CN="CA", E="CA@example.com")),
        "e-mail same": (distinguished(CN="CA", E="ca@example.com"), distinguished(CN="CA", E="ca@example.com")),
        "e-mail type": (
            typed(x509.NameAttribute(mail, "a@b.c")),
            typed(x509.NameAttribute(mail, "a@b.c", _type=string.UTF8String)),
        ),
        "country": (distinguished(C="DE", CN="CA"), distinguished(C="de", CN="CA")),
        "groups": (
            x509.Name([x509.RelativeDistinguishedName([*distinguished(O="a", CN="b")])]),
            x509.Name([x509.RelativeDistinguishedName([*distinguished(CN="b", O="a")])]),
        ),
    }
    for what, (one, other) in pairs.items():
        root = issue(one, ca=True)
        yield Scenario(f"names that differ in {what}", [leaf(root, issuer_name=other)], [root])
        below = issue("Below", root, ca=True, issuer_name=other)
        yield Scenario(f"names that differ in {what}, builder", [leaf(below), OTHER, below], [root])
    empty = issue(x509.Name([]), ca=True)
    yield Scenario("issuer without a name", [leaf(empty)], [ROOT])
    for name, extensions, critical, key_ids in (
        ("a name", [alternatives(HOST)], [], True),
        ("a name but a critical one", [], [alternatives(HOST)], True),
        ("a name and an extension", [], [], False),
    ):
        served = issue(x509.Name([]), ROOT, extensions=extensions, critical=critical, key_ids=key_ids)
        yield Scenario(f"subject without {name}", [served], [ROOT])


def _permitted(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None)


def _excluded(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=names)


def constraints() -> Iterator[Scenario]:
    network = ipaddress.ip_network
    dns, mail, uri, directory = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.DirectoryName
    limits: dict[str, x509.NameConstraints] = {}
    for base in ("example.com", "mail.example.com", ".example.com", "xample.com", "example.org", "com", "MAIL.example.COM"):
        limits[f"permitted {base}"] = _permitted(dns(base))
        limits[f"excluded {base}"] = _excluded(dns(base))
    limits["permitted two"] = _permitted(dns("example.org"), dns("example.com"))
    limits["permitted directory"] = _permitted(directory(distinguished(O="Example")))
    limits["excluded directory"] = _excluded(directory(distinguished(O="Example")))
    limits["permitted IP"] = _permitted(x509.IPAddress(network("10.0.0.0/8")))
    limits["excluded IP"] = _excluded(x509.IPAddress(network("10.0.0.0/8")))
    limits["permitted IPv6"] = _permitted(x509.IPAddress(network("2001:db8::/32")))
    limits["permitted mail"] = _permitted(mail("example.com"))
    limits["permitted mailbox"] = _permitted(mail("a@example.com"))
    limits["excluded mail"] = _excluded(mail("example.com"))
    limits["permitted URI"] = _permitted(uri("example.com"))
    limits["permitted and excluded"] = x509.NameConstraints([dns("example.com")], [dns("mail.example.com")])
    wild = x509.SubjectAlternativeName([dns("*.example.com")])
    both = x509.SubjectAlternativeName([dns(HOST), mail("a@example.com"), uri("https://mail.example.com/x")])
    subjects: dict[str, tuple[str | x509.Name, list[x509.ExtensionType]]] = {
        "alternative name": (distinguished(O="Example", CN="any thing"), [alternatives(HOST)]),
        "common name": (HOST, []),
        "common name that is no host": ("Mail Server", []),
        "address": ("any thing", [alternatives("10.1.2.3")]),
        "common name of an address": ("10.1.2.3", []),
        "mail in the subject": (distinguished(CN="any thing", E="a@example.com"), []),
        "mail in the subject, with an underscore": (distinguished(CN="any thing", E="a@my_host.example.com"), []),
        "mail in the subject, without @": (distinguished(CN="any thing", E="postmaster"), []),
        "common name of a number": ("10", []),
        "common name of two numbers": ("10.1", []),
        "wildcard": ("any thing", [wild]),
        "no common name": (distinguished(O="Example"), [alternatives(HOST)]),
        "no subject": (x509.Name([]), [alternatives(HOST)]),
        "address twice": ("10.1.2.3", [alternatives("10.1.2.3")]),
        "several": (distinguished(O="Other", CN="x y"), [both]),
        "two names, one outside": ("any thing", [alternatives(HOST, "mail.example.net")]),
    }
    for limit, constraint in limits.items():
        middle = issue("Middle CA", ROOT, ca=True, critical=[constraint])
        for what, (subject, extensions) in subjects.items():
            if what == "wildcard" and limit.startswith(UNSETTLED):
                continue
            since = LEADING_PERIOD if " ." in limit else {}
            yield Scenario(f"{limit}, {what}", [issue(subject, middle, extensions=extensions), middle], [ROOT], since=since)
    first = issue("First CA", ROOT, ca=True, critical=[_permitted(dns("example.com"))])
    nameless = issue(x509.Name([]), first, critical=[alternatives(HOST)])
    yield Scenario("permitted above a subject without a name", [nameless, first], [ROOT])
    for name, subject in (("a host", "subca"), ("two words", "Sub CA")):
        second = issue(subject, first, ca=True)
        yield Scenario(f"permitted above an intermediate that is called like {name}", [leaf(second), second, first], [ROOT])
    for base in ("mail.example.com", "example.org"):
        second = issue("Second CA", first, ca=True, critical=[_permitted(dns(base))])
        # Java stumbles over an empty intersection, "DNSName must not be null or empty", and refuses for that reason.
        same = base == HOST
        yield Scenario(f"permitted twice, {base}", [leaf(second), second, first], [ROOT], same_sentence=same)
        # 11.0.13 holds constraints of an anchor against names too, but only where the chain is out of order.
        chain = [leaf(second), first, second]
        yield Scenario(f"permitted twice, {base}, builder", chain, [ROOT], same_sentence=same, since={11: UNKNOWN})


def names() -> Iterator[Scenario]:
    for alternative, wanted in NAMES:
        served = issue("Any Server", ROOT, extensions=[alternatives(*alternative)])
        yield from _asked(f"alternatives {alternative}", served, wanted)
    for common in (
        HOST,
        "*.example.com",
        "mail.*.com",
        "10.1.2.3",
        "ma*l.example.com",
        "\uff4dail.example.com",
        "Mail Server",
        "localhost",
    ):
        yield from _asked(f"common name {common!r}", issue(common, ROOT), (HOST, "10.1.2.3", "localhost", "other.example.com"))
    mixed = issue(HOST, ROOT, extensions=[alternatives("10.1.2.3")])
    yield from _asked("common name beside an address", mixed, (HOST, "10.1.2.3", "10.1.2.4"))
    ignored = issue(HOST, ROOT, extensions=[alternatives("other.example.com")])
    yield from _asked("common name beside another dNSName", ignored, (HOST, "other.example.com"))
    two = issue(distinguished(CN="first.example.com", O="x"), ROOT)
    yield from _asked("one common name", two, ("first.example.com",))
    several = x509.Name([*distinguished(CN="first.example.com"), *distinguished(CN="last.example.com")])
    yield from _asked("two common names", issue(several, ROOT), ("first.example.com", "last.example.com"))
    yield from _asked("no name at all", issue(x509.Name([]), ROOT), (HOST,))
    yield Scenario("pinned, wrong name", [LEAF], [LEAF], "other.example.com", "LDAPS")
    yield Scenario("untrusted, wrong name", [LEAF], [OTHER], "other.example.com", "LDAPS")


def _asked(name: str, served: Issued, wanted: Sequence[str]) -> Iterator[Scenario]:
    for server_name in wanted:
        for identification in ("HTTPS", "LDAPS"):
            since = TRAILING_DOT if server_name.endswith(".") else {}
            asked = f"{name}, {identification} {server_name}"
            yield Scenario(asked, [served], [ROOT], server_name, identification, since=since)
