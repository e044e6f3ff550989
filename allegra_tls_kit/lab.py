"""JupyterLab on copies of the notebooks, with settings for this one server; what it saves reads without a kernel.

The folder `jupyter` of the package is put in front of Jupyter's configuration path: defaults for the user interface, and this
module as an extension of the server. The user's own settings are not touched, and win where both say something.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from allegra_tls_kit.evidence import RECORDS_VARIABLE
from allegra_tls_kit.saved import without_widgets

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIGURATION = Path(__file__).parent / "jupyter"
_CONFIGURATION_PATH = "JUPYTER_CONFIG_PATH"


def open_lab(notebook: Path, records: Path | None, options: Sequence[str]) -> NoReturn:
    """Become JupyterLab, in the folder of this notebook and on it.

    `records` is where record folders are made; None leaves that to the environment. `options` are JupyterLab's own. It listens
    on loopback, with a token, as is its default.
    """
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={notebook.parent}"]
    command += [f"--LabApp.default_url=/lab/tree/{notebook.name}", *options]
    places = [str(CONFIGURATION), *filter(None, [os.environ.get(_CONFIGURATION_PATH)])]
    environment = {**os.environ, _CONFIGURATION_PATH: os.pathsep.join(places)}
    if records is not None:
        environment[RECORDS_VARIABLE] = str(records.expanduser().resolve())
    os.execve(sys.executable, command, environment)  # noqa: S606 - so that Ctrl-C and the end of this program are JupyterLab's


def save_without_widgets(model: dict[str, Any], **_: object) -> None:
    """Take the widgets out of a notebook that is about to be saved; the browser keeps its live ones.

    A hook of Jupyter's contents manager, called before the notebook is signed and written. What is no notebook stays as it is:
    an error here is logged by the server, which saves what it was given.
    """
    if model.get("type") == "notebook" and model.get("content"):
        model["content"] = without_widgets(model["content"])


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:  # noqa: ANN401 - Jupyter's application; its package is slow to load
    server.contents_manager.register_pre_save_hook(save_without_widgets)
