"""What every form is made of: labelled fields, one answer to each change, and a static twin for the saved file.

A live widget in a saved notebook reads as an error once its kernel is gone. So a form displays itself twice in its cell: the
widgets, and below them what stands in them as HTML and text, replaced at each change.
Rule 1: no callback opens a connection, makes a plan, or reads or writes a file.
Rule 2: no callback fails in silence: the error stands in the form and in its twin, and goes on to the kernel's log.
Rule 3: strangers' words come escaped from `static`, or as plain text into fields.
Rule 4: what is chosen from is a dropdown: it has a name for a screen reader, and Space opens it. Of a list or of radio buttons
JupyterLab takes the arrow keys, and radio buttons have no name as a group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import RLock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ipywidgets
from IPython import get_ipython
from IPython.display import display

from allegra_tls_kit.saved import WIDGET_VIEW
from allegra_tls_kit.static import Note, Static, Tone
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

_FULL = {"width": "auto", "max_width": "100%"}
# In a narrow window, or enlarged, the label goes above its field, and a wide table scrolls by itself.
_FIELD = {**_FULL, "height": "auto", "flex_flow": "row wrap", "align_items": "stretch"}
_SAID = {**_FULL, "overflow": "auto"}
_LABEL = {"description_width": "11em"}


class Form(ABC):
    """A box of widgets that answers each change as a whole, and shows itself with its static twin."""

    def __init__(self, *widgets: Any) -> None:  # noqa: ANN401 - ipywidgets has no types
        """Put the widgets in a box, in the order of reading and of the Tab key, and answer for the first time.

        To be called last by the form itself, when its attributes stand.
        """
        self._said_of_error = said()
        self.box = ipywidgets.VBox([*widgets, self._said_of_error], layout=ipywidgets.Layout(**_FULL))
        self._display_id = uuid4().hex
        self._displayed = False
        self._answering = False
        self._lock = RLock()  # JupyterLab may deliver changes while a cell reads the form
        self._answer(None)
        for widget in widgets:
            if not isinstance(widget, ipywidgets.HTML):
                widget.observe(self._changed, "value")

    @abstractmethod
    def twin(self) -> Static:
        """Return what stands in the form."""

    @abstractmethod
    def _answer(self, changed: object) -> None:
        """Bring the other widgets into line with the one that was changed, None at the beginning."""

    def _changed(self, change: Mapping[str, object]) -> None:
        with self._lock:
            if self._answering:  # what an answer sets is part of it
                return
            self._answering = True
            try:
                self._answer(change["owner"])
                self._said_of_error.value = ""
                self._leave(self.twin())
            except Exception as error:
                trouble = Static((Note(Tone.BAD, f"{type(error).__name__}: {visible(str(error))}"),))
                self._said_of_error.value = trouble.html()
                self._leave(trouble)
                raise
            finally:
                self._answering = False

    def _leave(self, static: Static) -> None:
        if self._displayed:
            _publish(static._repr_mimebundle_(), display_id=self._display_id, update=True)

    def _ipython_display_(self) -> None:
        """Display the widgets and the twin; every further cell that shows the form gets a twin that follows it as well."""
        if get_ipython() is None:
            return
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        with self._lock:
            _publish({WIDGET_VIEW: view, "text/plain": f"{type(self).__name__}: what was chosen stands below"})
            _publish(self.twin()._repr_mimebundle_(), display_id=self._display_id)
            self._displayed = True


def _publish(bundle: Mapping[str, object], **options: object) -> None:
    display(bundle, raw=True, **options)  # type: ignore[no-untyped-call]


def labelled(kind: type[Any], label: str, **options: Any) -> Any:  # noqa: ANN401 - as above
    """Return a widget with a label that belongs to it, as wide as there is room."""
    return kind(description=label, layout=ipywidgets.Layout(**_FIELD), style=_LABEL, **options)


def said() -> Any:  # noqa: ANN401 - as above
    """Return a place for what the form says; only HTML of `static` may go there."""
    return ipywidgets.HTML(layout=ipywidgets.Layout(**_SAID))
