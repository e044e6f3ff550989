"""A notebook as it is saved: what would need a running kernel is taken out, so that the file reads everywhere."""

from __future__ import annotations

from typing import Any, TypeVar

_Notebook = TypeVar("_Notebook", bound=dict[str, Any])

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def without_widgets(notebook: _Notebook) -> _Notebook:
    """Take the widgets out of a notebook (nbformat 4), in place, and return it; what stands beside them as text stays.

    A form of this kit keeps its static twin beside it. Of an output that is nothing but a widget nothing is left.
    """
    notebook.get("metadata", {}).pop("widgets", None)
    for cell in notebook.get("cells", ()):
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if _reads_without_a_kernel(output)]
    return notebook


def _reads_without_a_kernel(output: dict[str, Any]) -> bool:
    data = output.get("data")
    if data is None or data.pop(WIDGET_VIEW, None) is None:
        return True
    return bool(data)
