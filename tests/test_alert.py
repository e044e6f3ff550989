from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.alert import SINCE, as_logged
from tests.chains import FUTURE, LONG_AGO, PAST, Issued, alternatives, issue
from tests.misbehaving import Server, context_of, tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import JavaSays

ROOT, OTHER = issue("Root", ca=True), issue("Other", ca=True)
LATER = FUTURE.replace(year=FUTURE.year + 1)


def leaf(name: str = "localhost", **changes: object) -> Issued:
    return issue("localhost", ROOT, extensions=[alternatives(name)], **changes)  # type: ignore[arg-type]


CASES = {
    "unknown issuer": (leaf(), OTHER),
    "expired": (leaf(start=LONG_AGO, end=PAST), ROOT),
    "not yet valid": (leaf(start=FUTURE, end=LATER), ROOT),
    "wrong name": (leaf("other.example.com"), ROOT),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_is_the_one_that_java_logs_alert_included(case: str, java_words: JavaSays, tmp_path: Path) -> None:
    shown, anchor = CASES[case]
    store = tmp_path / "one.ks"
    plan = kit.plan_import(kit.read_keystore(store), [anchor.der], purpose="one")
    kit.apply(plan, kit.Journal(tmp_path / "journal.jsonl"), confirm=plan.id)
    with Server(tls(context_of(shown))) as server:
        endpoint = server.endpoint("ldaps", "localhost")
        said = java_words(endpoint, store).removeprefix("REFUSED ")
        result = kit.probe(endpoint)
    version = SINCE if re.match(r"\([a-z_]+\) ", said) else SINCE - 1
    assert said == kit.judge(result, [anchor.der], java_version=version).message


@pytest.mark.parametrize(
    ("message", "alert"),
    [
        ("Received fatal alert: handshake_failure", "handshake_failure"),
        ("Unexpected error: java.security.InvalidAlgorithmParameterException: x", "internal_error"),
        ("Failed to parse server certificates", "bad_certificate"),
        ("PKIX path validation failed: x: Algorithm constraints check failed on x", "unsupported_certificate"),
        ("KeyUsage does not allow digital signatures", "certificate_unknown"),
    ],
)
def test_an_alert_stands_in_front_from_java_25_on(message: str, alert: str) -> None:
    assert as_logged(message, 21) == message
    assert as_logged(message, 25) == f"({alert}) {message}"


@pytest.mark.parametrize(
    ("codes", "alert"),
    [((kit.FindingCode.EXPIRED,), "certificate_expired"), ((kit.FindingCode.NOT_YET_VALID,), "bad_certificate")],
)
def test_of_a_certificate_out_of_its_time_the_findings_say_which_alert_it_is(
    codes: tuple[kit.FindingCode, ...], alert: str
) -> None:
    message = "PKIX path validation failed: java.security.cert.CertPathValidatorException: validity check failed"
    assert as_logged(message, 21, codes) == message
    assert as_logged(message, 25, codes) == f"({alert}) {message}"
