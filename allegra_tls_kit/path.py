"""The certification path that Java finds from a server's chain to an anchor (RFC 4158, as Java's PKIX builder goes about it).

Rule: the work is bounded, whatever the chain: `LONGEST_CHAIN` certificates, `STEPS` steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography import x509

from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.reading import VERSION_3, Reading, read, signed
from allegra_tls_kit.rules import anchor_violation, lacks_cert_sign, leaf_violations, violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from allegra_tls_kit.names import DistinguishedName

LONGEST_CHAIN = 10
"""Java's TLS client refuses longer ones (`jdk.tls.maxCertificateChainLength`)."""
STEPS = 5000
"""How many certificates the search may look at; an honest chain needs fewer than ten."""
STEPS_FOR_A_PATH = 25
"""What it costs to hold a path that is complete against the rules."""
MOST_CAS_BUILT = 5
"""`PKIXBuilderParameters.maxPathLength`: the builder, other than the validator, goes no deeper among the certificates sent."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """The trusted certificates of one store, found by their bytes and by their names; `malformed` are those nobody can read."""

    ders: frozenset[bytes]
    by_subject: Mapping[DistinguishedName, tuple[Reading, ...]]
    malformed: tuple[bytes, ...]

    def named(self, name: DistinguishedName) -> tuple[Reading, ...]:
        """Return the anchors of this name, those that are no CA first.

        Of two with one name and key Java takes one by chance, and gives up where that is no CA; the model takes it for granted.
        """
        return self.by_subject.get(name, ())


@dataclass(frozen=True, slots=True)
class CertificationPath:
    """What the search for a path gave.

    `path` is leaf first, without the anchor; `anchor` is None where the leaf itself is one, or where no path was found.
    `message` is Java's sentence, None where the path is good.
    """

    path: tuple[Reading, ...]
    anchor: Reading | None
    message: str | None


@lru_cache(maxsize=16)
def anchors_of(ders: tuple[bytes, ...]) -> Anchors:
    """Read the trusted certificates of a store; the same store is read once."""
    by_subject: dict[DistinguishedName, list[Reading]] = {}
    malformed = []
    for der in dict.fromkeys(ders):
        try:
            anchor = read(der)
        except CertificateError:
            malformed.append(der)
        else:
            by_subject.setdefault(anchor.subject, []).append(anchor)
    sorted_anchors = {
        name: tuple(sorted(found, key=lambda each: anchor_violation(each) is None)) for name, found in by_subject.items()
    }
    return Anchors(frozenset(ders).difference(malformed), sorted_anchors, tuple(malformed))


def certification_path(chain: Sequence[Reading], anchors: Anchors, at: datetime, java_version: int) -> CertificationPath:
    """Find the path that Java takes and say whether it holds; the chain must not be empty.

    A chain in order, each the issuer of the one before, goes straight to the validator; any other to the builder.
    """
    if chain[0].der in anchors.ders:
        return CertificationPath((chain[0],), None, None)
    for position, (below, above) in enumerate(pairwise(chain), 1):
        if above.subject != below.issuer:
            return _build(chain, anchors, at, java_version)
        if above.der in anchors.ders or any(anchor.spki == above.spki for anchor in anchors.named(above.subject)):
            return _validate(chain[:position], anchors, at, java_version)
    if anchors.named(chain[-1].issuer):
        return _validate(chain, anchors, at, java_version)
    return _build(chain, anchors, at, java_version)


# --- the two ways to a path ------------------------------------------------------------------------------------------------


def _validate(path: Sequence[Reading], anchors: Anchors, at: datetime, java_version: int) -> CertificationPath:
    """Hold a path against each anchor that its last certificate names; the first that fits counts."""
    failed = "PKIX path validation failed: java.security.cert.CertPathValidatorException: "
    words = "Path does not chain with any of the trust anchors"
    for anchor in anchors.named(path[-1].issuer):
        if not identifiers_match(path[-1], anchor):
            continue
        found = violations(path, anchor, at, java_version)
        if not found:
            return _closed(path, anchor, "validation")
        words = found[0].words
    return CertificationPath(tuple(path), None, failed + words)


def _build(chain: Sequence[Reading], anchors: Anchors, at: datetime, java_version: int) -> CertificationPath:
    """Search a path among the certificates sent, in any order, to an anchor."""
    failed = "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: "
    leaf = chain[0]
    if leaf.not_before <= at <= leaf.not_after and not leaf.unknown_critical:
        search = _Search(chain, anchors, at, java_version)
        for path, anchor in search.paths((leaf,), 0):
            return _closed(path, anchor, "building")
    return CertificationPath((leaf,), None, f"{failed}unable to find valid certification path to requested target")


def _closed(path: Sequence[Reading], anchor: Reading, stage: str) -> CertificationPath:
    """Make the last two checks of a path that holds; Java does not look for another path when they fail."""
    if (violation := anchor_violation(anchor)) is not None:
        words = f"PKIX path {stage} failed: sun.security.validator.ValidatorException: {violation.words}"
        return CertificationPath(tuple(path), anchor, words)
    return CertificationPath(tuple(path), anchor, next((violation.words for violation in leaf_violations(path[0])), None))


class _Search:
    """The depth-first search of Java's forward builder."""

    def __init__(self, chain: Sequence[Reading], anchors: Anchors, at: datetime, java_version: int) -> None:
        self.chain, self.anchors, self.at, self.java_version = chain, anchors, at, java_version
        self.steps = STEPS

    def paths(self, path: tuple[Reading, ...], traversed: int) -> Iterator[tuple[tuple[Reading, ...], Reading]]:
        """Yield the complete paths; `traversed` counts the intermediates that are not self-issued."""
        top = path[-1]
        for anchor in self.anchors.named(top.issuer):
            if self._spent() or not self._anchor_fits(path, anchor) or not signed(top, anchor):
                continue
            self.steps -= STEPS_FOR_A_PATH
            if not violations(path, anchor, self.at, self.java_version):
                yield path, anchor
        if traversed >= MOST_CAS_BUILT:
            return
        for candidate in self.chain:
            if self._spent() or not self._intermediate_fits(path, candidate, traversed):
                continue
            if top.self_issued and candidate.self_issued:
                return  # Java stops at two self-issued certificates in a row
            if signed(top, candidate):  # Java finds that out only at the end
                yield from self.paths((*path, candidate), traversed + (not candidate.self_issued))

    def _spent(self) -> bool:
        self.steps -= 1
        return self.steps < 0

    def _anchor_fits(self, path: tuple[Reading, ...], anchor: Reading) -> bool:
        """Tell whether Java's selectors let an anchor of the right name through.

        Above the first level it must be valid, which is a side effect of one selector used twice; a v1 anchor must be valid for
        as long as what it issued.
        """
        top = path[-1]
        if len(path) > 1 and not anchor.not_before <= self.at <= anchor.not_after:
            return False
        outlives = anchor.not_before <= top.not_before and top.not_after <= anchor.not_after
        return not _is_repeated(path, anchor) and (anchor.version >= VERSION_3 or outlives)

    def _intermediate_fits(self, path: tuple[Reading, ...], candidate: Reading, traversed: int) -> bool:
        return (
            candidate.subject == path[-1].issuer
            and candidate.der not in self.anchors.ders
            and candidate.not_before <= self.at <= candidate.not_after
            and (candidate.path_length if candidate.path_length is not None else -1) >= traversed
            and not lacks_cert_sign(candidate)
            and not candidate.unknown_critical
            and not _is_repeated(path, candidate)
        )


def _is_repeated(path: tuple[Reading, ...], candidate: Reading) -> bool:
    def identity(certificate: Reading) -> tuple[object, ...]:
        return certificate.subject, certificate.spki, certificate.alternative_names

    return any(identity(candidate) == identity(certificate) for certificate in path)


def identifiers_match(certificate: Reading, issuer: Reading) -> bool:
    """Compare authority key identifier and serial number with the issuer's, where both sides have them."""
    wanted = certificate.extension(x509.AuthorityKeyIdentifier)
    if wanted is None:
        return True
    held = issuer.extension(x509.SubjectKeyIdentifier)
    if wanted.key_identifier is not None and held is not None and wanted.key_identifier != held.key_identifier:
        return False
    serial = wanted.authority_cert_serial_number
    return serial is None or issuer.version < VERSION_3 or serial == issuer.serial_number
