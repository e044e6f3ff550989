"""Stopped by hand, as a person does it: a real SIGINT, in a script and in a notebook's kernel."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import NotProbed
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress
from tests.misbehaving import Server, decent, refusing, silent, tls, unanswering

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREVER = 600.0

SCRIPT = """
import json, signal, sys, allegra_tls_kit as kit
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests in the background has it ignored
from concurrent.futures import ThreadPoolExecutor
def say(progress):
    if progress.done == 20:
        print("over" if progress.over else "twenty", flush=True)
executor = ThreadPoolExecutor(2) if sys.argv[1] == "executor" else None
endpoints = [kit.Endpoint.parse(url) for url in sys.argv[2:]]
try:
    kit.probe_all(endpoints, timeout=600, progress=say, executor=executor)
except KeyboardInterrupt as stopped:
    kinds = [getattr(result, "stage", "done") for result in stopped.results]
    print(json.dumps([type(stopped).__name__, str(stopped), kinds]), flush=True)
    if sys.argv[1] == "uncaught":
        raise
"""


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """Twenty that answer, one whose packets are dropped, six of one host that is silent: four of them have their turn."""
    with Server(tls(decent())) as server, Server(silent) as mute, unanswering() as dropping:
        quick = [server.endpoint("imaps", f"host{n}.example").url for n in range(20)]
        yield [*quick, dropping.url, *(mute.endpoint("imaps", host="localhost").url for _ in range(6))]


def interrupted(how: str, urls: list[str]) -> tuple[list[str], str, int]:
    """What the script prints when it is stopped after the twentieth, what stands on standard error, and how it ends."""
    command = [sys.executable, "-c", SCRIPT, how, *urls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "twenty\n"
        child.send_signal(signal.SIGINT)
        said, error = child.communicate()
    return said.splitlines(), error, child.returncode


@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: there is no SIGINT for one process")
@pytest.mark.parametrize("how", ["caught", "uncaught", "executor"])
def test_whoever_presses_control_c_has_what_was_done_and_a_row_for_every_other(how: str, urls: list[str]) -> None:
    said, error, status = interrupted(how, urls)
    said = [line for line in said if line != "twenty"]
    assert said[0] == "over"
    kind, sentence, stages = json.loads(said[1])
    assert (kind, sentence) == ("Interrupted", "stopped by hand when 20 of 27 servers were done")
    assert stages[:20] == ["done"] * 20
    if how == "executor":
        assert stages[20:] == ["waiting"] * 7
    else:
        assert stages[20:] == ["connect", *["handshake"] * 4, *["waiting"] * 2]
    assert status == (1 if how == "uncaught" else 0)
    assert error.endswith(f"Interrupted: {sentence}\n" if how == "uncaught" else "")


def test_the_stop_button_of_a_notebook_stops_the_cell_and_the_next_one_has_the_results(urls: list[str]) -> None:
    manager, client = start_new_kernel()
    try:
        begin = f"import allegra_tls_kit as kit; endpoints = [kit.Endpoint.parse(url) for url in {urls}]\n"
        source = begin + "results = kit.probe_all(endpoints, timeout=600, progress=print)"

        def stop_when_twenty_are_done(message: dict[str, Any]) -> None:
            if "done=20," in message["content"].get("text", "") and not stopped:
                stopped.append(message)
                manager.interrupt_kernel()

        stopped: list[dict[str, Any]] = []
        reply = client.execute_interactive(source, output_hook=stop_when_twenty_are_done, timeout=60)["content"]
        assert (reply["status"], reply["ename"]) == ("error", "Interrupted")
        assert reply["traceback"] == [
            "Interrupted: stopped by hand when 20 of 27 servers were done",
            "`import sys; results = sys.last_value.results` has what was done.",
        ]
        said: list[str] = []
        client.execute_interactive(
            "import sys; results = sys.last_value.results; print(len(results), sum(isinstance(r, kit.Probe) for r in results))",
            output_hook=lambda message: said.append(message["content"].get("text", "")),
            timeout=60,
        )
        assert "27 20\n" in said
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_what_was_stopped_pickles_and_is_shown_as_a_sentence() -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with Server(silent) as mute, refusing() as refused, pytest.raises(Interrupted) as caught:
        probe_all([mute.endpoint("imaps"), refused], timeout=FOREVER, progress=stop)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) == "stopped by hand when 1 of 2 servers were done"
    mute_result, refused_result = again.results
    assert isinstance(mute_result.error, NotProbed)
    assert (mute_result.stage, mute_result.address, mute_result.seconds > 0) == ("handshake", "127.0.0.1", True)
    assert str(mute_result.error) == "the run was stopped before this server was done; probe it again"
    assert refused_result.stage == "connect"
    assert [type(result) for result in again.results] == [ProbeFailure, ProbeFailure]
    assert Endpoint.parse(refused.url) == refused_result.endpoint
    assert not isinstance(caught.value, Exception)
    assert not any(isinstance(result, Probe) for result in again.results)
