"""Scenarios for the comparison with a JVM that nobody thought of: combinations of what certificates on a path may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.chains import FUTURE, LONG_AGO, PAST, Issued, alternatives, issue, usage
from tests.scenarios_paths import ANY, CLIENT, HOST, OTHER, SERVER, STRANGE, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

COMBINATIONS = 250

_times = st.sampled_from([(PAST, FUTURE)] * 6 + [(LONG_AGO, PAST), (FUTURE, FUTURE + timedelta(days=1))])
_ca_usage = st.sampled_from([None, None, usage("key_cert_sign"), usage("digital_signature"), usage("key_cert_sign", "crl_sign")])
_leaf_usage = st.sampled_from([None, None, usage("digital_signature"), usage("key_encipherment"), usage("key_cert_sign")])
_purpose = st.sampled_from([None, None, *(x509.ExtendedKeyUsage([oid]) for oid in (SERVER, CLIENT, ANY))])
_names = st.sampled_from([alternatives(HOST)] * 4 + [alternatives("other.example.com"), None])
_limits = st.sampled_from([None] * 6 + [x509.NameConstraints([x509.DNSName(n)], None) for n in ("example.com", "example.net")])
_is_ca = st.sampled_from([True] * 8 + [False, None])


@st.composite
def _authority(draw: st.DrawFn, name: str, issuer: Issued | None) -> Issued:
    start, end = draw(_times)
    ca = draw(_is_ca)
    path_length = draw(st.sampled_from([None, None, 0, 1])) if ca else None
    parts = [part for part in (draw(_ca_usage), draw(_limits)) if part is not None]
    strange = [STRANGE] if draw(st.integers(0, 15)) == 0 else []
    return issue(name, issuer, ca=ca, path_length=path_length, start=start, end=end, extensions=parts, critical=strange)


@st.composite
def _combination(draw: st.DrawFn) -> Scenario:
    """A path of one to three authorities and a leaf; some of it sent in order, some of it in the store."""
    path = [draw(_authority("Root", None))]
    for number in range(draw(st.integers(0, 2))):
        path.insert(0, draw(_authority(f"Sub {number}", path[0])))
    start, end = draw(_times)
    parts = [part for part in (draw(_names), draw(_leaf_usage), draw(_purpose)) if part is not None]
    strange = [STRANGE] if draw(st.integers(0, 15)) == 0 else []
    leaf = issue(
        HOST, path[0], ca=draw(st.sampled_from([None, None, False])), start=start, end=end, extensions=parts, critical=strange
    )
    sent = [leaf, *(ca for ca in path[:-1] if draw(st.integers(0, 7))), *([path[-1]] if draw(st.booleans()) else [])]
    store = draw(st.lists(st.sampled_from([*path, path[-1], leaf, OTHER]), min_size=1, max_size=2, unique=True))
    # Two authorities that allow different names leave none: the JVM then trips over an empty name, in words of its own.
    limits = {issued.der for issued in (*sent, *store) if b"\x55\x1d\x1e" in issued.der}
    asked = draw(st.sampled_from([None, None, "LDAPS", "HTTPS"]))
    return Scenario("", sent, store, identification=asked, same_sentence=len(limits) < 2)


def combinations() -> Iterator[Scenario]:
    """The same ones at each run of one version of hypothesis."""
    drawn: list[Scenario] = []

    @settings(
        max_examples=COMBINATIONS, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(_combination())
    def draw(scenario: Scenario) -> None:
        drawn.append(replace(scenario, name=f"drawn {len(drawn)}"))

    draw()
    yield from drawn
