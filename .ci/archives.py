"""Checks a wheel and an sdist against the commit they were made from: `archives.py WHEEL SDIST`, in the checkout."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

LARGEST = 1_000_000
JAVA = ("Anchors.java", "Anchors.class", "JvmVerdicts.java", "JvmVerdicts.class", "JvmVerdicts$Session.class")
NEEDED = ("py.typed", *(f"java/{name}" for name in JAVA))
PACKAGE = "allegra_tls_kit/"


def require(what: str, fault: object = None) -> None:
    """Say what was checked; give up where there is a fault."""
    if fault:
        sys.exit(f"[ ] {what}: {fault}")
    print(f"[x] {what}", flush=True)


def read(wheel: Path, sdist: Path) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    """Return the files of the wheel, those of its .dist-info, and those of the sdist, by their names without the version."""
    with ZipFile(wheel) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(sdist) as packed:
        streams = {member.name.partition("/")[2]: packed.extractfile(member) for member in packed}
        members = {name: stream.read() for name, stream in streams.items() if stream is not None}
    information = {name.partition(".dist-info/")[2]: data for name, data in files.items() if ".dist-info/" in name}
    return {name: data for name, data in files.items() if ".dist-info/" not in name}, information, members


def check(wheel: Path, sdist: Path) -> None:
    """Check what is in them, and what is not."""
    for path in (wheel, sdist):
        require(f"{path.name}: {path.stat().st_size:,} bytes", path.stat().st_size > LARGEST and f"more than {LARGEST:,}")
    command = ["git", "-c", f"safe.directory={Path.cwd()}", "ls-tree", "-r", "-z", "--name-only", "HEAD"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - git, with words of our own
    tracked = set(listed.strip("\0").split("\0"))
    files, information, members = read(wheel, sdist)

    installed = {re.sub("^notebooks/", f"{PACKAGE}notebooks/", name) for name in tracked}
    package = {name for name in installed if name.startswith(PACKAGE)} | {PACKAGE + name for name in NEEDED}
    require("the wheel has the package with py.typed, Java and notebooks, and nothing else", package ^ files.keys())
    require("the sdist has what the commit has", (members.keys() - {"PKG-INFO"}) ^ tracked)
    cells = [cell for name in files if name.endswith(".ipynb") for cell in json.loads(files[name])["cells"]]
    require("the notebooks have no outputs", [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")])
    here = [str(folder).encode() for folder in (Path.cwd(), wheel.parents[1])]
    every = (*files.items(), *members.items())
    require("no path of this machine", [name for name, data in every if any(path in data for path in here)])

    metadata = Parser().parsestr(information["METADATA"].decode())
    version, extras = metadata["Version"], metadata.get_all("Provides-Extra", [])
    top = re.findall(r"^## \[(.+?)\]", members["CHANGELOG.md"].decode(), re.MULTILINE)[0]
    require(f"version {version}, its changes under {top}", top not in {version, "Unreleased"})
    require("the licence", information["licenses/LICENSE"] != members["LICENSE"])
    require(f"the extras {', '.join(extras)}", {"cluster", "excel", "jvm"} ^ set(extras))


if __name__ == "__main__":
    check(*(Path(argument).resolve() for argument in sys.argv[1:]))
