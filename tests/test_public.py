"""What `import allegra_tls_kit as kit` promises."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import allegra_tls_kit as kit

SLOW = {"IPython", "ipywidgets", "jks", "jupyter_client", "jupyterlab", "nbclient", "nbformat", "pandas"}
TREE = ast.parse(Path(str(kit.__file__)).read_text(encoding="utf-8"))


def imported(body: list[ast.stmt]) -> dict[str, str]:
    """Name → module of every `from allegra_tls_kit.module import name` in these statements."""
    prefix = "allegra_tls_kit."
    froms = [node for node in body if isinstance(node, ast.ImportFrom) and str(node.module).startswith(prefix)]
    return {alias.asname or alias.name: str(node.module).removeprefix(prefix) for node in froms for alias in node.names}


(LATER,) = [imported(n.body) for n in TREE.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]


def test_all_is_sorted_and_is_what_is_imported() -> None:
    assert kit.__all__ == sorted(set(imported(TREE.body)) | set(LATER))


def test_what_is_loaded_later_is_what_type_checkers_see() -> None:
    (table,) = [
        ast.literal_eval(n.value) for n in TREE.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_LOADED_LATER"
    ]
    assert table == LATER


@pytest.mark.parametrize("name", kit.__all__)
def test_every_public_name_is_there_offered_by_completion_and_says_what_it_is(name: str) -> None:
    value = getattr(kit, name)
    assert name in dir(kit)
    assert value.__name__ == name
    assert value.__doc__ is not None
    assert inspect.cleandoc(value.__doc__).partition("\n")[0].endswith((".", ":"))
    assert not value.__doc__.startswith(f"{name}(")  # what dataclasses put there by themselves


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'allegra_tls_kit' has no attribute 'nothing'"):
        kit.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_slow() -> None:
    command = [sys.executable, "-c", "import allegra_tls_kit, json, sys; print(json.dumps(list(sys.modules)))"]
    loaded = set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout))
    assert "allegra_tls_kit.plan" in loaded
    assert loaded & SLOW == set()


def test_a_notebook_shows_an_error_of_the_kit_as_a_sentence() -> None:
    assert kit.KitError("what, and what to do")._render_traceback_() == ["KitError: what, and what to do"]
    stopped = kit.Interrupted.after(1, 2, ())._render_traceback_()
    assert stopped[0] == "Interrupted: stopped by hand when 1 of 2 servers were done"
    assert "sys.last_value.results" in stopped[1]


def test_show_knows_every_picture_as_soon_as_the_package_is_imported() -> None:
    code = "import allegra_tls_kit as kit; assert kit.show.dispatch(kit.Review) is not kit.show.dispatch(object)"
    subprocess.run([sys.executable, "-c", code], check=True)
