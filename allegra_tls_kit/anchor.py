"""Which certificate of a received chain to import, and what follows from it.

Rule: a candidate is only what `diagnose` confirms: with this certificate alone in the store Java would trust the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509

from allegra_tls_kit.certificate import certificate_facts, role
from allegra_tls_kit.finding import FindingCode, Severity
from allegra_tls_kit.path import LONGEST_CHAIN
from allegra_tls_kit.reading import Reading, read, self_signed
from allegra_tls_kit.rules import anchor_violation
from allegra_tls_kit.trust import diagnose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allegra_tls_kit.trust import Diagnosis

_CURED_BY_IMPORT = {
    FindingCode.UNTRUSTED,
    FindingCode.SELF_SIGNED,
    FindingCode.INCOMPLETE_CHAIN,
    FindingCode.ISSUER_KEY_DIFFERS,
    FindingCode.ANCHOR_NOT_A_CA,
    FindingCode.NO_ANCHORS,
}


@dataclass(frozen=True, slots=True)
class AnchorCandidate:
    """A certificate, received or at hand, that would make Java trust the chain.

    `role` is `leaf`, `intermediate` or `root`; `consequence` says what is trusted then, and when that ends.
    """

    der: bytes = field(repr=False)
    sha256: str
    role: str
    recommended: bool
    consequence: str


def anchor_candidates(diagnosis: Diagnosis, at_hand: Sequence[bytes] = ()) -> tuple[AnchorCandidate, ...]:
    """Return what could be imported, best first: the issuing root if it was sent or is at hand, intermediates, the leaf.

    `at_hand` is DER of certificates that did not come from the server, such as the provider's file with its CA.
    At most one is recommended: the highest that is valid at the instant of the diagnosis; a leaf only where it is self-signed.
    Empty where Java trusts already, and where no import helps: TLS that Java refuses, a wrong name where names are checked, a
    chain that is malformed or too long. Never among them: certificates sent that are not on the path, a root that did not sign
    it, a CA that is none for Java.
    """
    if diagnosis.trusted or _fails_before_the_chain(diagnosis):
        return ()
    found: list[tuple[int, int, Reading]] = []
    for position, der in enumerate(dict.fromkeys((*diagnosis.chain[:LONGEST_CHAIN], *at_hand))):
        trial = _with_anchor(diagnosis, der)
        if trial.trusted:
            found.append((-len(trial.verified_chain), position, read(der)))
    ordered = [(position, certificate) for _, position, certificate in sorted(found, key=lambda each: each[:2])]
    best = next((certificate for position, certificate in ordered if _is_good(certificate, position, diagnosis)), None)
    return tuple(
        AnchorCandidate(
            der=certificate.der,
            sha256=certificate.sha256,
            role=role(certificate_facts(certificate.der), position),
            recommended=certificate is best,
            consequence=_consequence(certificate, position, diagnosis),
        )
        for position, certificate in ordered
    )


def next_step(diagnosis: Diagnosis) -> str:
    """Say in one sentence what to do: nothing, import which certificate, or cure what at the server, and what helps till then."""
    if diagnosis.trusted:
        return _nothing_to_import(diagnosis)
    candidates = anchor_candidates(diagnosis)
    recommended = next((candidate for candidate in candidates if candidate.recommended), None)
    if recommended is not None:
        name = read(recommended.der).name
        return f"import the {recommended.role} certificate {name}, after comparing its fingerprint: {recommended.consequence}"
    errors = [finding for finding in diagnosis.findings if finding.severity is Severity.ERROR]
    cause = next((finding for finding in errors if finding.code not in _CURED_BY_IMPORT), errors[0]).detail
    if not candidates:
        return f"no import cures this: {cause}"
    return f"{cause}; as a stopgap the {candidates[0].role} can be imported: {candidates[0].consequence}"


def _with_anchor(diagnosis: Diagnosis, der: bytes) -> Diagnosis:
    return diagnose(
        diagnosis.chain,
        diagnosis.server_name,
        [der],
        at=diagnosis.at,
        endpoint_identification=diagnosis.endpoint_identification,
        java_version=diagnosis.java_version,
    )


def _fails_before_the_chain(diagnosis: Diagnosis) -> bool:
    codes = {finding.code for finding in diagnosis.findings if finding.severity is Severity.ERROR}
    return not codes.isdisjoint({FindingCode.OLD_TLS, FindingCode.NO_COMMON_CIPHER})


def _is_good(certificate: Reading, position: int, diagnosis: Diagnosis) -> bool:
    is_valid = certificate.not_before <= diagnosis.at <= certificate.not_after
    return is_valid and (position > 0 or self_signed(certificate))


def _consequence(certificate: Reading, position: int, diagnosis: Diagnosis) -> str:
    end = certificate.not_after.date().isoformat()
    if position > 0:
        ended = f"; it expired on {end}, which Java does not mind in a store" if diagnosis.at > certificate.not_after else ""
        if self_signed(certificate):
            return f"Java trusts what {certificate.name} issues, renewed certificates too; this root ends on {end}{ended}"
        return (
            f"Java trusts what {certificate.name} issues, renewed certificates too, also where the server does not send it; "
            f"it must be imported anew when the server changes to another intermediate; this one ends on {end}{ended}"
        )
    if diagnosis.at > certificate.not_after:
        return f"Java trusts this one certificate only, though it expired on {end}; it breaks at its renewal, which is overdue"
    if not self_signed(certificate):
        return f"Java trusts this one certificate only; it breaks at its renewal, on or before {end}"
    if _vouches_for_renewal(certificate):
        return f"Java trusts this certificate and a renewal with the same name and key; a new key, or {end}, ends that"
    return f"Java trusts this one certificate only; it must be imported again at each renewal, with the same key too, by {end}"


def _vouches_for_renewal(certificate: Reading) -> bool:
    usage = certificate.extension(x509.KeyUsage)
    return anchor_violation(certificate) is None and (usage is None or usage.digital_signature)


def _nothing_to_import(diagnosis: Diagnosis) -> str:
    soon = next((finding for finding in diagnosis.findings if finding.code is FindingCode.EXPIRES_SOON), None)
    if len(diagnosis.verified_chain) == 1:
        leaf = read(diagnosis.verified_chain[0])
        end = leaf.not_after.date().isoformat()
        due = f"which was due by {end}" if diagnosis.at > leaf.not_after else f"by {end}"
        return f"nothing to import now; the server's own certificate is in the store: import the next one at its renewal, {due}"
    return f"nothing to import: Java trusts this server{'' if soon is None else f', but {soon.detail}'}"
