from __future__ import annotations

import codecs
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.endpoint import SCHEMES, Endpoint, Protocol, Security, parse_endpoints
from allegra_tls_kit.errors import EndpointError
from allegra_tls_kit.files import read_endpoints
from tests.hostile import PATHS

if TYPE_CHECKING:
    from pathlib import Path

SMTP = Endpoint("mail.example.com", 587, Protocol.SMTP, Security.STARTTLS)
IMAPS = Endpoint("mail.example.com", 993, Protocol.IMAP, Security.IMPLICIT_TLS)

LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True).filter(lambda label: "--" not in label)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.split(".")[-1].isdigit())
HOST = st.one_of(
    NAME,
    NAME.map(str.upper),
    NAME.map(lambda name: f"müller.{name}").filter(lambda name: "_" not in name),
    st.ip_addresses().map(str),
    st.sampled_from(["fe80::1%eth0.100", "xn--mller-kva.example", "例え.テスト", "mail.example.com."]),
)


@pytest.mark.parametrize(
    ("scheme", "port", "security", "label"),
    [
        ("smtp", 587, Security.STARTTLS, "TLS"),
        ("smtps", 465, Security.IMPLICIT_TLS, "SSL"),
        ("imap", 143, Security.STARTTLS, "TLS"),
        ("imaps", 993, Security.IMPLICIT_TLS, "SSL"),
        ("pop3", 110, Security.STARTTLS, "TLS"),
        ("pop3s", 995, Security.IMPLICIT_TLS, "SSL"),
        ("ldap", 389, Security.STARTTLS, "TLS"),
        ("ldaps", 636, Security.IMPLICIT_TLS, "SSL"),
    ],
)
def test_a_scheme_means_protocol_security_and_port(scheme: str, port: int, security: Security, label: str) -> None:
    expected = Endpoint("mail.example.com", port, Protocol(scheme.removesuffix("s")), security)
    assert Endpoint.parse(f"{scheme}://mail.example.com") == Endpoint.parse(f" {scheme.upper()}://mail.example.com/ ") == expected
    assert expected.security.allegra_label == label
    assert str(expected) == f"{scheme}://mail.example.com:{port}"
    assert Endpoint.parse(f"{scheme}://mail.example.com:2525").port == 2525


@given(HOST, st.integers(1, 65535), st.sampled_from(sorted(SCHEMES)), st.none() | HOST)
def test_the_url_of_an_endpoint_reads_back_as_the_endpoint(host: str, port: int, scheme: str, server_name: str | None) -> None:
    protocol, security, _ = SCHEMES[scheme]
    endpoint = Endpoint(host, port, protocol, security, server_name)
    assert Endpoint.parse(endpoint.url) == endpoint
    assert endpoint.identity.isascii()
    assert "\n" not in endpoint.url


@pytest.mark.parametrize(
    ("host", "ascii_host"),
    [
        ("Mail.Example.COM", "mail.example.com"),
        ("mail.example.com.", "mail.example.com"),
        ("Müller.example", "xn--mller-kva.example"),
        ("faß.de", "xn--fa-hia.de"),  # IDNA 2003 would ask another domain: fass.de
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("\uff4d\uff41\uff49\uff4c.example", "mail.example"),  # full width
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "xn--mgba3gch31f060k.com"),  # with a joiner that is a letter
        ("my_host.example", "my_host.example"),
        ("10.0.0.5", "10.0.0.5"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_stays_as_typed_and_is_asked_for_in_ascii(host: str, ascii_host: str) -> None:
    endpoint = Endpoint(host, 993, Protocol.IMAP, Security.IMPLICIT_TLS)
    assert (endpoint.host, endpoint.ascii_host, endpoint.identity) == (host, ascii_host, ascii_host)


def test_an_ipv6_address_stands_in_brackets_in_a_url_only() -> None:
    endpoint = Endpoint.parse("ldaps://[2001:db8::1]:3636")
    assert (endpoint.host, endpoint.port, endpoint.url) == ("2001:db8::1", 3636, "ldaps://[2001:db8::1]:3636")
    assert Endpoint.parse("ldaps://[2001:db8::1]").port == 636


def test_a_server_name_is_what_is_asked_for_and_judged_by() -> None:
    endpoint = Endpoint.parse("imaps://10.0.0.5?server_name=M%C3%BCller.example")
    assert (endpoint.host, endpoint.server_name, endpoint.identity) == ("10.0.0.5", "Müller.example", "xn--mller-kva.example")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("imaps://mail.example.com:0", "port '0' is not a number between 1 and 65535"),
        ("imaps://mail.example.com:70000", "port '70000'"),
        ("imaps://mail.example.com:", "port ''"),
        ("imaps://mail.example.com:imap", "port 'imap'"),
        ("imaps://mail.example.com:١٢٣", "port '١٢٣'"),
        ("imaps://mail.example.com:000001" + "0" * 5000, "(5,006 characters)"),
        ("https://mail.example.com", "unknown scheme 'https'; known are smtp, smtps, imap"),
        ("mail.example.com", "is not of the form scheme://host:port"),
        ("mail.example.com:993", "is not of the form"),
        ("imaps://mail.example.com/INBOX", "is not of the form"),
        ("imaps://[::1", "is not of the form"),
        ("imaps://[mail]", "is not an IPv6 address in brackets"),
        ("imaps://::1", "port"),
        ("imaps://", "'' is neither a host name nor an IP address"),
        ("imaps://a b", "neither a host name"),
        ("imaps://mail.example.com?server_name=", "'' is neither"),
        ("", "is not of the form"),
        ("\x1b[2Jimaps:/", "\\\\x1b"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(EndpointError) as refused:
        Endpoint.parse(url)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "C:", "a\0b", "a\nb", "a b", "-a", "a-", "a..b", ".a", "mail.example.com.."),
        *("127.1", "256.1.1.1", "1234", "[::1]", "::1%", "::1%..\\x", "fe80::1%a]b", "::1/64", "fe80::1%a\0"),
        *("a" * 64, "a." * 127 + "aaa", "ü" * 70, "xn--a", "xn--ls8h.example"),
        *("a\u200bb.example", "\ufeffa", "a\u202eb.example", "a\uff0fb"),
        *("ma\u3164il.example.com", "ma\u034fil.example.com", "ma\ufe0fil.example.com", "\u115fmail.example.com"),
        *PATHS,
    ],
)
def test_a_host_is_a_name_or_an_address_and_never_a_path(host: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint(host, 993, Protocol.IMAP, Security.IMPLICIT_TLS)
    with pytest.raises(EndpointError):
        Endpoint("mail.example.com", 993, Protocol.IMAP, Security.IMPLICIT_TLS, server_name=host)


@pytest.mark.parametrize("part", ["x", "\u0301\u0316", "ü.", "1."])
def test_a_host_of_a_megabyte_is_refused_in_no_time_and_in_few_words(part: str) -> None:
    before = time.process_time()
    with pytest.raises(EndpointError, match="longer than any host name") as refused:
        Endpoint.parse(f"imaps://{part * 2**18}")
    assert time.process_time() - before < 1
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "text", ["smtp://anna:s3cret@mail.example.com", "host,protocol\nanna:s3cret@mail.example.com,smtp\n", "smtp://anna:s3cret@"]
)
def test_a_password_in_an_endpoint_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(EndpointError, match="a user name or password has no place") as refused:
        parse_endpoints(text, "list")
    assert "s3cret" not in str(refused.value)
    assert "anna" not in str(refused.value)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_is_between_1_and_65535(port: int) -> None:
    with pytest.raises(EndpointError, match="between 1 and 65535"):
        Endpoint("mail.example.com", port, Protocol.IMAP, Security.STARTTLS)


@pytest.mark.parametrize(
    "text",
    [
        "smtp://mail.example.com\nimaps://mail.example.com\n",
        "# our servers\r\n\r\n  smtp://mail.example.com:587 # the relay\r\nimaps://mail.example.com\t# the store\r\n# end",
        "host,port,protocol,security,server_name\nmail.example.com,587,smtp,starttls,\nmail.example.com,993,imap,implicit-tls,\n",
        "Host;Port;Protocol;Security\nmail.example.com;587;smtp;TLS\nmail.example.com;993;imap;SSL\n",
        "protocol, host\nsmtp, mail.example.com\n# by scheme:\nimaps, mail.example.com\n",
        '"host","port","protocol","note"\r\n"mail.example.com","","smtp","a, ""b"""\r\n"mail.example.com",993,"imaps",""\r\n',
        'note,host,protocol,security\n"first\nline",mail.example.com,smtp,\n"x;y",mail.example.com,imap,Implicit_TLS,more\n',
    ],
)
def test_a_list_is_lines_of_urls_or_csv(text: str, tmp_path: Path) -> None:
    assert parse_endpoints(text, "list") == (SMTP, IMAPS)
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "servers.csv").write_bytes(text.encode(encoding))
        assert read_endpoints(tmp_path / "servers.csv") == (SMTP, IMAPS)


def test_a_csv_row_may_hold_an_address_and_the_name_to_judge_by() -> None:
    (endpoint,) = parse_endpoints("host;port;protocol;security;server_name\n[::1];;ldap;ssl;dc1.example.com\n", "list")
    assert endpoint == Endpoint("::1", 636, Protocol.LDAP, Security.IMPLICIT_TLS, "dc1.example.com")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "smtp://a.example\n\n# c\nsmtp://b.example:0\nhttp://c.example",
            ["list, line 4: port '0'", "list, line 5: unknown scheme"],
        ),
        ("host,protocol\na.example,smtp\na b,smtp\n,smtp\n", ["list, line 3: 'a b' is neither", "list, line 4: '' is neither"]),
        ("host,protocol\na.example,http", ["list, line 2: unknown protocol 'http'; known are smtp"]),
        ("host,port\na.example,25", ["list, line 2: unknown protocol ''"]),
        (
            "host,protocol,security\na.example,smtp,none",
            ["list, line 2: unknown security 'none'; write starttls (Allegra's TLS)"],
        ),
        ("host,protocol,port\na.example,smtp,x\x1b", ["list, line 2: port 'x\\\\x1b'"]),
        ('note,host,protocol\n"two\nlines",a.example,smtp\n-,b b,smtp\n', ["list, line 4: 'b b' is neither"]),
        ('host,protocol,note\na.example,smtp,"open\nb.example,smtp,\n', ["list, line 2: not CSV: unexpected end of data"]),
        ("host,protocol\n" + "a" * 200_000, ["list, line 2: not CSV: field larger than field limit"]),
        ("http://a.example\n" * 13, ["list, line 10: unknown scheme", "… and 3 more wrong lines"]),
        ("", ["list: no endpoint in it; write one URL a line"]),
        ("# nothing\n\n", ["list: no endpoint in it"]),
        ("host,port,protocol,security\n# none yet\n", ["list: a header and no endpoint below it"]),
    ],
)
def test_wrong_lines_are_named_with_file_line_and_reason(text: str, words: list[str]) -> None:
    with pytest.raises(EndpointError) as refused:
        parse_endpoints(text, "list")
    for expected in words:
        assert expected in str(refused.value)
    assert len(str(refused.value)) < 5000


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF16_LE + "smtp://a.example".encode("utf-16-le"),
        "smtp://a.example".encode("utf-16"),
        b"\xfe\xed\xfe\xed\0\0\0\2",
        b"\x80",
    ],
)
def test_a_file_that_is_not_utf_8_is_refused_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "servers.txt").write_bytes(content)
    with pytest.raises(EndpointError, match=r"servers\.txt: not UTF-8 text; save the list as UTF-8"):
        read_endpoints(tmp_path / "servers.txt")


def test_a_file_of_zeros_is_refused_in_a_message_of_bounded_length(tmp_path: Path) -> None:
    (tmp_path / "servers.txt").write_bytes(b"i\0m\0a\0p\0" * 100_000)
    with pytest.raises(EndpointError, match=r"line 1: .*is not of the form") as refused:
        read_endpoints(tmp_path / "servers.txt")
    assert len(str(refused.value)) < 3000


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"absent\.txt: the list cannot be read: No such file"):
        read_endpoints(tmp_path / "absent.txt")
    with pytest.raises(EndpointError, match="cannot be read: Is a directory"):
        read_endpoints(tmp_path)
    with (tmp_path / "endless.txt").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    with pytest.raises(EndpointError, match="cannot be read: more than 16 MB"):
        read_endpoints(tmp_path / "endless.txt")


@pytest.mark.parametrize(
    ("limit", "value", "said"), [("MOST_ENDPOINTS", 2, "more than 2 endpoints"), ("LONGEST_LINE", 20, "line 2: longer than")]
)
def test_a_list_without_end_is_refused(limit: str, value: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"allegra_tls_kit.endpoint.{limit}", value)
    with pytest.raises(EndpointError, match=said):
        parse_endpoints("imaps://a.example\nimaps://b.example.example\nimaps://c.example\nimaps://d.example\n", "servers.txt")
