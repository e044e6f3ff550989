"""The one level of BER (X.690) that LDAP messages and PKCS12 files are taken apart with; definite lengths only."""

from __future__ import annotations

from typing import NamedTuple

INTEGER, OCTET_STRING, OID, ENUMERATED, BMP_STRING, SEQUENCE, SET, CONTEXT_0 = 0x02, 0x04, 0x06, 0x0A, 0x1E, 0x30, 0x31, 0xA0
LONG_FORM = 0x80
MOST_LENGTH_OCTETS = 4
MOST_ELEMENTS = 100_000
"""Side by side; a file of 64 MB could hold thirty million empty ones, and each costs a hundred times its size here."""


class Element(NamedTuple):
    """One element: its tag, its content, and both with the length as they stood."""

    tag: int
    content: bytes
    raw: bytes


def elements(data: bytes, most: int = MOST_ELEMENTS) -> list[Element]:
    """Split content into the elements that stand side by side in it.

    Raises ValueError for a length that does not fit, the indefinite form, tags of several octets, and more elements than `most`.
    """
    found: list[Element] = []
    position = 0
    while position < len(data):
        if len(found) == most:
            raise ValueError(f"more than {most:,} elements side by side")
        start, end = _content(data, position)
        found.append(Element(data[position], data[start:end], data[position:end]))
        position = end
    return found


def element(data: bytes, tag: int) -> Element:
    """Return the only element in the data; raises ValueError where it is another, or not alone."""
    return Element(tag, data[whole(data, tag) :], data)


def whole(data: bytes, tag: int) -> int:
    """Return where the content begins of data that is one element with this tag, no longer and no shorter than it says.

    Nothing in it is looked at. Raises ValueError.
    """
    start, end = _content(data, 0)
    if end != len(data) or data[0] != tag:
        raise ValueError(f"one element with tag {tag:#04x} was expected")
    return start


def _content(data: bytes, position: int) -> tuple[int, int]:
    """Return where the content of the element at a position begins and ends."""
    if len(data) < position + 2 or data[position] & 0x1F == 0x1F:  # noqa: PLR2004 - X.690, 8.1.2.4
        raise ValueError("no element where one should begin")
    length, start = data[position + 1], position + 2
    if length & LONG_FORM:
        octets = length & 0x7F
        if not octets:
            raise ValueError("a length of the indefinite form, which is not read here")
        if octets > MOST_LENGTH_OCTETS:
            raise ValueError("a length in a form that is not read here")
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    if start + length > len(data):
        raise ValueError("a length that goes beyond the end")
    return start, start + length


def encode(tag: int, *contents: bytes) -> bytes:
    """Return one element in DER."""
    content = b"".join(contents)
    if len(content) < LONG_FORM:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, LONG_FORM | len(length)]) + length + content
