from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.identity import CarriedNames, matches, refusal


def carried(*dns_names: str, addresses: tuple[str, ...] = (), common_name: str | None = None) -> CarriedNames:
    found = tuple(ipaddress.ip_address(address) for address in addresses)
    return CarriedNames(dns_names, found, common_name, alternative_names=bool(dns_names or found))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("mail.example.com", carried("mail.example.com")),
        ("MAIL.Example.com.", carried("mail.example.COM")),
        ("mail.example.com", carried("other.example.com", "*.example.com")),
        ("mail.example.com", carried("ma*l.example.com")),
        ("mail.example.com", carried("m*i*.example.com")),
        ("mail.example.com", carried(common_name="mail.example.com")),
        ("mail.example.com", carried(addresses=("10.0.0.1",), common_name="mail.example.com")),
        ("mail", carried("mail")),
        ("10.0.0.1", carried(addresses=("10.0.0.1",))),
        ("10.1", carried("10.1", addresses=("10.0.0.1",))),
        ("256", carried(addresses=("0.0.1.0",))),
        ("256.1", carried("256.1")),
        ("4294967296", carried("4294967296")),
        ("[2001:DB8::1]", carried(addresses=("2001:db8::1",))),
        ("::ffff:10.0.0.1", carried(addresses=("10.0.0.1",))),
        ("bücher.example.com", carried("xn--bcher-kva.example.com")),
    ],
)
@pytest.mark.parametrize("identification", ["HTTPS", "LDAPS"])
def test_a_name_or_address_that_the_certificate_carries_is_accepted(
    wanted: str, names: CarriedNames, identification: str
) -> None:
    assert refusal(wanted, names, identification=identification) is None


@pytest.mark.parametrize(
    ("wanted", "names", "sentence"),
    [
        ("a.b.example.com", carried("*.example.com"), "No subject alternative DNS name matching a.b.example.com found."),
        ("example.com", carried("*.example.com"), "No subject alternative DNS name matching example.com found."),
        ("mail", carried("*"), "No subject alternative DNS name matching mail found."),
        ("mal.example.com", carried("ma*al.example.com"), "No subject alternative DNS name matching mal.example.com found."),
        (
            "mail.example.com",
            carried("x", common_name="mail.example.com"),
            "No subject alternative DNS name matching mail.example.com found.",
        ),
        ("mail.example.com", carried(common_name="Mail Server"), "No name matching mail.example.com found"),
        ("mail.example.com", carried(), "No name matching mail.example.com found"),
        ("my_host.example.com", carried("my_host.example.com"), "Illegal given domain name: my_host.example.com"),
        ("moil.example.com", carried("m*a*l.example.com"), "No subject alternative DNS name matching moil.example.com found."),
        (
            "xn--99999.example.com",
            carried("*.x.example.com"),
            "No subject alternative DNS name matching xn--99999.example.com found.",
        ),
        ("xn--0.example.com", carried("*.org"), "No subject alternative DNS name matching xn--0.example.com found."),
        ("10.0.0.1", carried("10.0.0.1"), "No subject alternative names matching IP address 10.0.0.1 found"),
        ("10", carried("10"), "No subject alternative names matching IP address 10 found"),
        ("10.0.0.1", carried(common_name="10.0.0.1"), "No subject alternative names present"),
    ],
)
def test_a_refusal_is_javas_own_sentence(wanted: str, names: CarriedNames, sentence: str) -> None:
    assert refusal(wanted, names) == sentence


@pytest.mark.parametrize(
    ("identification", "java_version", "accepted"),
    [("HTTPS", 17, True), ("HTTPS", 21, False), ("LDAPS", 17, False), ("LDAPS", 8, False)],
)
def test_a_wildcard_in_the_middle_counts_for_https_before_java_21_only(
    identification: str, java_version: int, *, accepted: bool
) -> None:
    names = carried("mail.*.com")
    assert (refusal("mail.example.com", names, identification=identification, java_version=java_version) is None) is accepted


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_judged_and_none_is_carried_by_a_certificate_without_names(wanted: str, pattern: str) -> None:
    assert refusal(wanted, carried())
    assert bool(refusal(wanted, carried(pattern))) or not wanted.startswith("_")


def test_a_label_full_of_wildcards_takes_no_time() -> None:
    assert not matches("a" * 63 + ".example.com", "a*" * 31 + "b.example.com", any_label=True)
