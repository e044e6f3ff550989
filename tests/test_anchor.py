from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates, next_step
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.trust import Diagnosis, diagnose
from tests.chains import FUTURE, LONG_AGO, NOW, PAST, Issued, alternatives, issue, usage
from tests.scenarios_paths import HOST, LEAF, OTHER, ROOT, SUB, leaf
from tests.test_agreement import GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence

END = FUTURE.date().isoformat()


def untrusted(*chain: Issued, store: Sequence[Issued] = (OTHER,), identification: str | None = None) -> Diagnosis:
    ders, anchors = [each.der for each in chain], [each.der for each in store]
    return diagnose(ders, HOST, anchors, at=NOW, endpoint_identification=identification)


def listed(diagnosis: Diagnosis) -> list[tuple[bytes, str, bool]]:
    return [(candidate.der, candidate.role, candidate.recommended) for candidate in anchor_candidates(diagnosis)]


def only(diagnosis: Diagnosis) -> AnchorCandidate:
    (candidate,) = anchor_candidates(diagnosis)
    return candidate


def test_the_root_comes_first_then_the_intermediate_then_the_leaf() -> None:
    for chain in ([LEAF, SUB, ROOT], [LEAF, ROOT, SUB], [LEAF, OTHER, ROOT, SUB, SUB]):
        diagnosis = untrusted(*chain, store=[issue("Elsewhere", ca=True)])
        assert listed(diagnosis) == [(ROOT.der, "root", True), (SUB.der, "intermediate", False), (LEAF.der, "leaf", False)]
        assert [candidate.sha256 for candidate in anchor_candidates(diagnosis)] == [
            *map(sha256_of, (ROOT.der, SUB.der, LEAF.der))
        ]
        assert next_step(diagnosis).startswith("import the root certificate Root, after comparing its fingerprint")


def test_an_intermediate_is_recommended_where_the_root_was_not_sent() -> None:
    diagnosis = untrusted(LEAF, SUB)
    assert listed(diagnosis) == [(SUB.der, "intermediate", True), (LEAF.der, "leaf", False)]
    assert "also where the server does not send it" in anchor_candidates(diagnosis)[0].consequence


def test_what_is_at_hand_is_offered_beside_what_was_sent() -> None:
    diagnosis = untrusted(LEAF, SUB)
    offered = [(c.der, c.role, c.recommended) for c in anchor_candidates(diagnosis, [OTHER.der, ROOT.der])]
    assert offered == [(ROOT.der, "root", True), (SUB.der, "intermediate", False), (LEAF.der, "leaf", False)]
    assert [c.der for c in anchor_candidates(untrusted(LEAF), [SUB.der])] == [SUB.der, LEAF.der]
    assert [c.der for c in anchor_candidates(untrusted(LEAF), [ROOT.der])] == [LEAF.der]  # no intermediate, so no path to it


def test_a_leaf_alone_is_a_stopgap_and_not_recommended() -> None:
    diagnosis = untrusted(LEAF)
    assert listed(diagnosis) == [(LEAF.der, "leaf", False)]
    assert f"breaks at its renewal, on or before {END}" in only(diagnosis).consequence
    assert "issued by Sub" in next_step(diagnosis)
    assert "as a stopgap the leaf can be imported" in next_step(diagnosis)


@pytest.mark.parametrize(
    ("ca", "extensions", "words"),
    [
        (False, [], "must be imported again at each renewal"),
        (None, [], "must be imported again at each renewal"),
        (True, [usage("key_cert_sign")], "must be imported again at each renewal"),
        (True, [], "a renewal with the same name and key"),
        (True, [usage("key_cert_sign", "digital_signature")], "a renewal with the same name and key"),
    ],
)
def test_a_self_signed_leaf_is_recommended_with_what_its_renewal_means(
    ca: bool | None,  # noqa: FBT001 - a parameter of the test
    extensions: list[object],
    words: str,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    old, new = (issue(HOST, ca=ca, key=key, extensions=extensions, start=start) for start in (LONG_AGO, PAST))  # type: ignore[arg-type]
    candidate = only(untrusted(old))
    assert (candidate.role, candidate.recommended) == ("leaf", True)
    assert words in candidate.consequence
    assert END in candidate.consequence
    assert untrusted(new, store=[old]).trusted is ("again" not in words)


def test_an_expired_leaf_is_never_recommended_and_the_cure_is_at_the_server_with_a_stopgap_until_then() -> None:
    for issuer in (None, SUB):
        expired = leaf(issuer, start=LONG_AGO, end=PAST)
        diagnosis = untrusted(expired, SUB, ROOT, store=[OTHER])
        assert listed(diagnosis) == [(expired.der, "leaf", False)]
        cure, _, stopgap = next_step(diagnosis).partition("; as a stopgap the leaf can be imported: ")
        assert cure == f"{HOST} expired on {PAST.date().isoformat()}; it must be renewed at the server"
        assert stopgap == only(diagnosis).consequence
        assert f"though it expired on {PAST.date().isoformat()}; it breaks at its renewal" in stopgap


def test_an_expired_root_leaves_the_recommendation_to_what_is_valid() -> None:
    root = issue("Old Root", ca=True, start=LONG_AGO, end=PAST)
    middle = issue("Middle", root, ca=True)
    diagnosis = untrusted(leaf(middle), middle, root)
    assert [recommended for _, _, recommended in listed(diagnosis)] == [False, True, False]
    assert "Java does not mind" in anchor_candidates(diagnosis)[0].consequence


def test_nothing_is_offered_where_java_trusts_or_no_import_helps() -> None:
    trusted, pinned = untrusted(LEAF, SUB, store=[ROOT]), untrusted(LEAF, store=[LEAF])
    misnamed = untrusted(issue("other.example.com", SUB), SUB, ROOT, identification="LDAPS")
    none, broken = untrusted(), untrusted(Issued(b"garbage", ROOT.key), SUB, ROOT)
    assert all(anchor_candidates(diagnosis) == () for diagnosis in (trusted, pinned, misnamed, none, broken))
    assert next_step(trusted) == "nothing to import: Java trusts this server"
    assert next_step(pinned).endswith(f"import the next one at its renewal, by {END}")
    expired = leaf(None, start=LONG_AGO, end=PAST)
    assert next_step(untrusted(expired, store=[expired])).endswith(f"at its renewal, which was due by {PAST.date().isoformat()}")
    assert next_step(misnamed).startswith("no import cures this: No name matching")
    assert "sent no certificate" in next_step(none)
    assert "cannot be read" in next_step(broken)


def test_a_server_that_is_trusted_and_expires_soon_is_told_to_renew() -> None:
    assert "renew it now" in next_step(untrusted(leaf(ROOT, end=NOW + timedelta(days=3)), store=[ROOT]))


def test_certificates_beside_the_path_and_intermediates_that_are_no_ca_are_not_offered() -> None:
    false_ca = issue("False CA", ROOT, ca=False)
    served = leaf(false_ca)
    assert [der for der, _, _ in listed(untrusted(served, false_ca, ROOT, issue("Beside", ca=True)))] == [served.der]


def test_candidates_are_judged_with_the_name_check_of_the_diagnosis() -> None:
    assert len(anchor_candidates(untrusted(LEAF, SUB, ROOT, identification="LDAPS"))) == 3
    old_wildcard = issue("x", ROOT, extensions=[alternatives("mail.*.com")])
    ders, anchors = [old_wildcard.der, ROOT.der], [OTHER.der]
    for version, offered in ((17, 2), (21, 0)):
        diagnosis = diagnose(ders, HOST, anchors, at=NOW, endpoint_identification="HTTPS", java_version=version)
        assert len(anchor_candidates(diagnosis)) == offered


def test_every_candidate_of_the_corpus_keeps_its_promise() -> None:
    offered = 0
    for group in GROUPS:
        for scenario in group():
            chain, anchors = [each.der for each in scenario.chain], [each.der for each in scenario.anchors]
            checked = scenario.identification
            diagnosis = diagnose(chain, scenario.server_name, anchors, at=NOW, endpoint_identification=checked)
            candidates = anchor_candidates(diagnosis)
            offered += len(candidates)
            assert sum(candidate.recommended for candidate in candidates) <= 1
            step = next_step(diagnosis)
            assert step.isprintable()
            if not diagnosis.trusted:
                assert step.startswith("no import cures this: ") is not bool(candidates), scenario.name
                assert any(candidate.consequence in step for candidate in candidates) is bool(candidates), scenario.name
            for candidate in candidates:
                trial = diagnose(chain, scenario.server_name, [candidate.der], at=NOW, endpoint_identification=checked)
                assert trial.trusted, scenario.name
    assert offered > 300
