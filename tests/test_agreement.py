"""The model in `trust` against the JVM at hand: one verdict each for a corpus made on the spot, no disagreement.

ALLEGRA_TLS_KIT_JAVA names further JVMs to ask, as a list of java executables like PATH.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import jks
import pytest

from allegra_tls_kit.anchor import anchor_candidates
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, jvm_verdicts
from allegra_tls_kit.trust import Diagnosis, diagnose
from tests import scenarios_drawn, scenarios_names, scenarios_parts, scenarios_paths
from tests.scenarios_paths import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[Scenario, Diagnosis, JvmVerdict]

FEWEST_SCENARIOS = 150
WORDING_CHANGED = ("Algorithm constraints check failed", "incorrect KeyUsage extension bits")
"""Sentences that later versions than 17 word in another way or put behind others; the verdict is compared all the same."""
NO_HANDSHAKE = "Received fatal alert: handshake_failure"
"""The model's word for a key with which no handshake gets as far as the trust manager, which would take some of them."""

GROUPS = (
    scenarios_paths.basics,
    scenarios_paths.validity,
    scenarios_paths.anchors_that_issue,
    scenarios_paths.intermediates,
    scenarios_paths.leaves,
    scenarios_paths.renewals,
    scenarios_paths.identifiers,
    scenarios_paths.crossings,
    scenarios_names.distinguished_names,
    scenarios_names.constraints,
    scenarios_names.names,
    scenarios_parts.policies,
    scenarios_parts.algorithms,
    scenarios_parts.malformed,
    scenarios_parts.loose,
    scenarios_drawn.combinations,
)


@lru_cache
def corpus() -> list[Scenario]:
    return [scenario for group in GROUPS for scenario in group()]


@pytest.fixture(scope="module", params=[None, *filter(None, os.environ.get("ALLEGRA_TLS_KIT_JAVA", "").split(os.pathsep))])
def jvm(request: pytest.FixtureRequest) -> Path:
    return Path(request.param or request.getfixturevalue("java"))


@pytest.fixture(scope="module")
def release(jvm: Path) -> tuple[int, int]:
    """Version and update: 11.0.13 is 11 and 13, 1.8.0_402 is 8 and 402."""
    said = subprocess.run([jvm, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    numbers = [int(number) for number in re.findall(r"\d+", re.search(r'version "(?:1\.)?([^"]*)', said)[1])]  # type: ignore[index]
    return numbers[0], numbers[2] if len(numbers) > 2 else 0


@pytest.fixture(scope="module")
def verdicts(jvm: Path, release: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    java_version, update = release
    scenarios = [scenario for scenario in corpus() if update >= scenario.since.get(java_version, 0)]
    diagnoses = [_diagnosis(scenario, java_version) for scenario in scenarios]
    stores = [[anchor.der for anchor in scenario.anchors] for scenario in scenarios]
    answers = _asked(jvm, diagnoses, stores, tmp_path_factory.mktemp("stores"))
    rows = zip(scenarios, diagnoses, answers, strict=True)
    return [row for row in rows if _bare(row[1].message) != NO_HANDSHAKE]


def _diagnosis(scenario: Scenario, java_version: int) -> Diagnosis:
    return diagnose(
        [issued.der for issued in scenario.chain],
        scenario.server_name,
        [anchor.der for anchor in scenario.anchors],
        at=datetime.now(UTC),
        endpoint_identification=scenario.identification,
        java_version=java_version,
    )


def _asked(java: Path, diagnoses: Sequence[Diagnosis], stores: Sequence[Sequence[bytes]], folder: Path) -> list[JvmVerdict]:
    """Put the question of each diagnosis to the JVM, each with its own store."""
    cases = []
    for number, (diagnosis, store) in enumerate(zip(diagnoses, stores, strict=True)):
        entries = [jks.TrustedCertEntry.new(f"entry{position}", der) for position, der in enumerate(store)]
        jks.KeyStore.new("jks", entries).save(str(folder / f"{number}.ks"), "changeit")
        asked = (diagnosis.chain, folder / f"{number}.ks", diagnosis.server_name, diagnosis.endpoint_identification)
        cases.append(JvmCase(*asked))
    return jvm_verdicts(cases, java=java)


def test_the_corpus_is_large_and_has_both_verdicts(verdicts: list[Row]) -> None:
    trusted = sum(verdict.trusted for _, _, verdict in verdicts)
    assert len({scenario.name for scenario, _, _ in verdicts}) == len(verdicts) >= FEWEST_SCENARIOS
    assert FEWEST_SCENARIOS // 3 < trusted < len(verdicts) - FEWEST_SCENARIOS // 3


def test_model_and_jvm_agree_on_every_verdict(verdicts: list[Row]) -> None:
    wrong = [_shown(*row) for row in verdicts if row[1].trusted != row[2].trusted]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} disagree:\n" + "\n".join(wrong)


def test_model_and_jvm_use_the_same_sentence(verdicts: list[Row], release: tuple[int, int]) -> None:
    compared = [row for row in verdicts if row[0].same_sentence]
    wrong = [_shown(*row) for row in compared if not _same_sentence(row[1].message, row[2].message, release[0])]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} differ:\n" + "\n".join(wrong)


def test_the_jvm_keeps_the_promise_of_every_candidate(verdicts: list[Row], jvm: Path, tmp_path: Path) -> None:
    offers = [(row[1], candidate.der) for row in verdicts for candidate in anchor_candidates(row[1])]
    answers = _asked(jvm, [diagnosis for diagnosis, _ in offers], [[der] for _, der in offers], tmp_path)
    assert len(offers) > FEWEST_SCENARIOS
    assert {(answer.trusted, answer.message) for answer in answers} == {(True, None)}


def _same_sentence(model: str | None, jvm: str | None, java_version: int) -> bool:
    if model is None or jvm is None:
        return model is jvm
    model = _bare(model)
    if java_version > 17 and any(words in model for words in WORDING_CHANGED):
        return True
    return jvm == model or jvm.startswith(f"{model}: ")


def _bare(message: str | None) -> str:
    """The sentence of the trust manager, without the alert that the handshake puts in front."""
    return re.sub(r"^\([a-z_]+\) ", "", message or "")


def _shown(scenario: Scenario, diagnosis: Diagnosis, verdict: JvmVerdict) -> str:
    certificates = {"sent": scenario.chain, "in the store": scenario.anchors}
    pems = [f"{what}:\n{ssl.DER_cert_to_PEM_cert(issued.der)}" for what, each in certificates.items() for issued in each]
    said = f"    model: {diagnosis.trusted} {diagnosis.message}\n    JVM:   {verdict.trusted} {verdict.message}"
    return "\n".join([f"- {scenario.name}", said, *pems])
