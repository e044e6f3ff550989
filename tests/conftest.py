"""What several tests need: a Java, and a loud word where something is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from allegra_tls_kit.errors import JavaError
from allegra_tls_kit.jvm import find_java

if TYPE_CHECKING:
    from pathlib import Path


def absent(what: str) -> NoReturn:
    """Skip the test and say what is missing; fail instead where ALLEGRA_TLS_KIT_NO_SKIPS is set."""
    if os.environ.get("ALLEGRA_TLS_KIT_NO_SKIPS"):
        pytest.fail(f"NOT TESTED, and skipping is forbidden here: {what}")
    pytest.skip(f"NOT TESTED: {what}")


@pytest.fixture(scope="session")
def java() -> Path:
    """The java executable of JAVA_HOME or PATH."""
    try:
        return find_java()
    except JavaError as error:
        absent(str(error))
