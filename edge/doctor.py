"""What this machine can do for edgewright, what is broken, and what to do about it. It only looks; it changes nothing.

A runtime is tried in a process of its own, because a broken one can end the process that loads it.
"""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

import edge
from edge.environments import ENVIRONMENTS
from edge.manifest import RuntimeName

State = Literal["ok", "note", "broken"]
DISTRIBUTION = "edgewright"
OUR_PACKAGES = ("edge", "edge_agent", "compiler", "fleet", "demos")
PROBE_S = 60
SHM_MIB = 64
"""Room that one camera's ring of 640 x 480 frames and a second loop need, with a wide margin."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    about: str
    name: str
    state: State
    """note: not there, or odd, but nothing is broken."""
    says: str
    do: str = ""
    """What to do; empty when there is nothing to do."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge doctor --json` prints."""

    healthy: bool
    findings: tuple[Finding, ...]


def examine() -> Report:
    """Look at everything; takes a few seconds."""
    findings = (
        *python(),
        *runtimes(),
        *extras(),
        *environments(),
        *brokers(),
        *sound(),
        *clock(),
        *name_clashes(),
        *shared_memory(),
    )
    return Report(healthy=not any(f.state == "broken" for f in findings), findings=findings)


def python() -> Iterator[Finding]:
    """Which Python runs which release."""
    version = ".".join(str(n) for n in sys.version_info[:3])
    says = f"Python {version} on {sys.platform}, edgewright {edge.__version__}"
    yield Finding(about="python", name="python", state="ok", says=says)


def runtimes() -> Iterator[Finding]:
    """Every runtime, by letting it compute; broken when it is installed and does not."""
    from edge.runtimes import pip_line

    names: tuple[RuntimeName, ...] = get_args(RuntimeName)
    found = [(name, probe(name)) for name in names]
    for name, problem in found:
        missing = problem.endswith("is not installed")
        state: State = "ok" if not problem else "note" if missing else "broken"
        says = problem or ("its parts are there" if name == "rknn" else "computes a tiny model correctly")
        yield Finding(about="runtime", name=name, state=state, says=says, do=pip_line(name) if problem else "")


def probe(name: RuntimeName) -> str:
    """Try one runtime in a child process; an empty text means that it works."""
    code = "import sys; from edge.runtimes.probe import works; print(works(sys.argv[1]) or '')"
    command = [sys.executable, "-c", code, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_S} s"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return f"its process ended with {done.returncode}: {last}"
    return done.stdout.strip()


def extras() -> Iterator[Finding]:
    """Which extras are complete. A missing one is no fault: a device needs no compiler."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        do = f"pip install {DISTRIBUTION}"
        yield Finding(about="extra", name=DISTRIBUTION, state="note", says="runs from a folder, not installed", do=do)
        return
    for extra, packages in sorted(needed_by_extra(requirements).items()):
        missing = [package for package in packages if not has_distribution(package)]
        says = f"lacks {', '.join(missing)}" if missing else "complete"
        do = f"pip install '{DISTRIBUTION}[{extra}]'" if missing else ""
        yield Finding(about="extra", name=extra, state="note" if missing else "ok", says=says, do=do)


def environments() -> Iterator[Finding]:
    """Tools that have an environment of their own; a missing one is made by the command that needs it."""
    for one in ENVIRONMENTS:
        made = one.is_made
        says = f"{one.tool} in {one.folder}" if made else f"{one.tool} is not there: {one.size}"
        do = "" if made else f"nothing, unless you need it: {one.made_by} makes it"
        yield Finding(about="environment", name=one.name, state="ok" if made else "note", says=says, do=do)


def needed_by_extra(requirements: list[str]) -> dict[str, list[str]]:
    """Extra to the distributions it brings, from `Requires-Dist` lines; extras made of extras are left out."""
    found: dict[str, list[str]] = {}
    for line in requirements:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        name = re.match(r"[\w.-]+", line)
        if extra and name and name[0] != DISTRIBUTION and extra[1] != "dev":
            found.setdefault(extra[1], []).append(name[0])
    return found


def has_distribution(name: str) -> bool:
    """Whether pip has installed it."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def brokers() -> Iterator[Finding]:
    """Brokers that `edge fleet serve` can start: mosquitto, else amqtt."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if path:
        done = subprocess.run([path, "-h"], capture_output=True, text=True, check=False)
        version = (done.stdout.strip().splitlines() or ["mosquitto"])[0]
        yield Finding(about="broker", name="mosquitto", state="ok", says=f"{version} ({path})")
    else:
        do = "apt install mosquitto (only on the machine that runs `edge fleet serve`)"
        yield Finding(about="broker", name="mosquitto", state="note", says="not installed", do=do)
    if importlib.util.find_spec("amqtt") is not None:
        says = f"amqtt {importlib.metadata.version('amqtt')}, for up to some hundred devices"
        yield Finding(about="broker", name="amqtt", state="ok", says=says)
    elif not path:
        do = f"pip install '{DISTRIBUTION}[fleet]'"
        yield Finding(about="broker", name="amqtt", state="note", says="not installed", do=do)


def sound() -> Iterator[Finding]:
    """What the source `microphone` starts."""
    path = shutil.which("arecord")
    if path:
        yield Finding(about="sound", name="arecord", state="ok", says=f"{path}, for the source `microphone`")
    else:
        do = "apt install alsa-utils (only on a device that listens)"
        yield Finding(about="sound", name="arecord", state="note", says="not installed", do=do)


def clock(now_s: float | None = None) -> Iterator[Finding]:
    """A clock before the day on which this release was installed is wrong: no update starts under it."""
    now_s = time.time() if now_s is None else now_s
    installed_s = Path(edge.__file__).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < installed_s - 86400:
        since = time.strftime("%Y-%m-%d", time.gmtime(installed_s))
        says = f"{shown}, but this release was installed on {since}"
        do = "set the clock; timedatectl set-ntp true keeps it right"
        yield Finding(about="clock", name="time", state="broken", says=says, do=do)
    else:
        yield Finding(about="clock", name="time", state="ok", says=shown)
    if shutil.which("timedatectl"):
        command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if answer == "no":
            do = "timedatectl set-ntp true (a device whose clock is wrong refuses updates)"
            yield Finding(about="clock", name="ntp", state="note", says="not synchronized", do=do)


def name_clashes(path: list[str] | None = None) -> Iterator[Finding]:
    """Two distributions that own one import name: whichever was installed last has overwritten the other."""
    clashes = [*_two_opencvs(), *_foreign_names(sys.path if path is None else path)]
    fine = Finding(about="names", name="names", state="ok", says="no other package has one of our names")
    yield from clashes or [fine]


def _two_opencvs() -> Iterator[Finding]:
    owners = importlib.metadata.packages_distributions().get("cv2", [])
    opencvs = sorted({name for name in owners if name.startswith("opencv")})
    if len(opencvs) > 1:
        says = f"{' and '.join(opencvs)} both own the folder cv2"
        do = f"pip uninstall -y {' '.join(opencvs)} && pip install opencv-python-headless"
        yield Finding(about="names", name="cv2", state="broken", says=says, do=do)


def _foreign_names(path: list[str]) -> Iterator[Finding]:
    for name in OUR_PACKAGES:
        foreign = strangers(name, path)
        if foreign:
            says = f"another package named {name} lies in {foreign[0]}"
            do = "uninstall it, or give edgewright a virtual environment of its own"
            yield Finding(about="names", name=name, state="broken", says=says, do=do)


def strangers(name: str, path: list[str]) -> list[str]:
    """Folders of the import path that hold a package or module `name` which is not ours."""
    ours = Path(edge.__file__).resolve().parents[1]
    found = []
    for entry in dict.fromkeys(path):
        folder = Path(entry or ".")
        there = (folder / name / "__init__.py").is_file() or (folder / f"{name}.py").is_file()
        if there and folder.resolve() != ours:
            found.append(str(folder))
    return found


def shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:  # noqa: S108 - the kernel's own folder
    """Frames travel through shared memory; a container often has little of it."""
    if not folder.is_dir():
        says = f"no {folder}: the agent needs Linux"
        yield Finding(about="memory", name="shared memory", state="note", says=says, do="run the agent on Linux")
        return
    free_mib = shutil.disk_usage(folder).free // 2**20
    state: State = "ok" if free_mib >= SHM_MIB else "note"
    do = "" if free_mib >= SHM_MIB else "free some, or start the container with --shm-size=256m"
    yield Finding(about="memory", name="shared memory", state=state, says=f"{free_mib} MiB free in {folder}", do=do)
