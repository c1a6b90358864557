# ruff: noqa: E501 - it holds the lines of a page
"""Whether two machines make the same bundle: two fresh environments that differ in all that should not matter.

    python tests/bench/reproducible.py docs/benchmarks [--folder .cache/reproducible] [--only onnx tflite torch]

Installs the compiler twice from constraints.txt, and compiles the same sources in both: in other folders, under other
users, host names, dates, time zones, locales, hash seeds, umasks, homes and folders for temporary files. Then compares
the bundles byte by byte, and looks for what tells where they were made. Needs root (users, host names), Debian's
`libfaketime` and `locales`. Goes on where it was stopped. Exit code 1 if a bundle differs or tells.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAKETIME = "/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"
SOURCES = {
    "onnx": ("convolution.onnx", "data.npz"),
    "tflite": ("pictures.tflite", "pictures"),
    "torch": ("network.py:load", "data.npz"),
}
"""Name -> model and data, made by `fuzz/seeds.py` or below."""
NETWORK = '''"""A small network with fixed weights."""

import torch


def load():
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.ReLU6(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(8, 3),
    )
    return net.eval(), torch.zeros(1, 3, 8, 8)
'''
BECOME = 'hostname "$1" && umask "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True, slots=True)
class World:
    """All that must not matter."""

    folder: str
    user: str
    uid: int
    host: str
    date: str
    zone: str
    locale: str
    hash_seed: str
    umask: str

    def traces(self, place: Path) -> tuple[str, ...]:
        """What would tell of it."""
        return (str(place), self.user, self.host, str(ROOT), "site-packages", "/tmp/", "network.py")


WORLDS = (
    World("one", "annaliese61", 61001, "host-of-annaliese", "2024-02-29 23:59:50", "UTC", "C", "0", "022"),
    World(
        "zwei Orte/tiefer", "bülent62", 61002, "bilgisayar-62", "2031-11-05 12:00:00", "Pacific/Chatham",
        "tr_TR.UTF-8", "4711", "077",
    ),
)  # fmt: skip


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One source, compiled twice."""

    source: str
    size_bytes: int
    sha256: tuple[str, str]
    differing: tuple[str, ...]
    """Files of the bundle that are not the same."""
    traces: tuple[str, ...]
    """What tells where it was made: file of the bundle and word."""

    @property
    def holds(self) -> bool:
        """Whether nothing differs and nothing tells."""
        return self.sha256[0] == self.sha256[1] and not self.traces


def main() -> None:
    """Install, compile, compare, write down."""
    arguments = _arguments()
    folder = arguments.folder.resolve()
    seeds = _make_sources(folder / "sources")
    found = []
    for world in WORLDS:
        _install(folder / world.folder)
    for name in arguments.only:
        bundles = [_compile(name, world, folder / world.folder, seeds) for world in WORLDS]
        found.append(_compare(name, bundles, [world.traces(folder / world.folder) for world in WORLDS]))
        print(f"{name}: {'same' if found[-1].holds else found[-1]}", flush=True)
    _write(found, arguments.output)
    sys.exit(not all(one.holds for one in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of reproducible.json and reproducible.md")
    parser.add_argument("--folder", type=Path, default=Path(".cache/reproducible"))
    parser.add_argument("--only", nargs="*", choices=list(SOURCES), default=list(SOURCES))
    return parser.parse_args()


def _make_sources(folder: Path) -> Path:
    """Once, here: both worlds compile the same files."""
    subprocess.run([sys.executable, HERE / "fuzz" / "seeds.py", folder], check=True, capture_output=True)
    (folder / "network.py").write_text(NETWORK)
    return folder


def _install(place: Path) -> None:
    """Make a fresh environment with the compiler, once."""
    if (place / "installed").exists():
        return
    print(f"installing in {place.name}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    python = place / "venv" / "bin" / "python"
    subprocess.run(["/usr/bin/python3", "-m", "venv", place / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-compile", "--no-warn-conflicts"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", f"{ROOT}[compiler,tflite]"], check=True)
    (place / "installed").touch()


def _compile(name: str, world: World, place: Path, sources: Path) -> Path:
    """Run `edge compile` in a world; returns the bundle, which may be there from the last time."""
    work, model, data = place / name, *SOURCES[name]
    bundle = work / "made-1.edge"
    if bundle.exists():
        return bundle
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("home", "tmp"):
        (work / folder).mkdir(parents=True)
    for file in (model.partition(":")[0], model.partition(".")[0] + ".input.toml", data):
        if (sources / file).is_dir():
            shutil.copytree(sources / file, work / file)
        elif (sources / file).exists():
            shutil.copy(sources / file, work / file)
    subprocess.run(["chown", "-R", f"{world.uid}:{world.uid}", work], check=True)
    edge = [place / "venv" / "bin" / "edge", "compile", model, "--data", data, "--target", "raspberrypi4", "-q"]
    preload = FAKETIME.format(machine=os.uname().machine)  # only now: it keeps a semaphore of its user's
    become = [
        "setpriv",
        f"--reuid={world.uid}",
        f"--regid={world.uid}",
        "--clear-groups",
        "--",
        "env",
        f"LD_PRELOAD={preload}",
        *edge,
    ]
    words = ["unshare", "--uts", "sh", "-c", BECOME, "sh", world.host, world.umask, *become]
    options = ["--name", "made", "-o", bundle.name, "--effort", "quick"]
    subprocess.run([*words, *options], cwd=work, env=_environment(world, place, work), check=True, stdout=sys.stderr)
    return bundle


def _environment(world: World, place: Path, work: Path) -> dict[str, str]:
    """Nothing of this process's own."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "USER": world.user,
        "LOGNAME": world.user,
        "TZ": world.zone,
        "LC_ALL": world.locale,
        "LOCPATH": str(_locales(place, world.locale)),
        "PYTHONHASHSEED": world.hash_seed,
        "OMP_NUM_THREADS": "1",
        "FAKETIME": f"@{world.date}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _locales(place: Path, locale: str) -> Path:
    """Make the locale in a folder of our own, so that the system is left as it is."""
    folder = place / "locale"
    if locale != "C" and not (folder / locale).exists():
        folder.mkdir(exist_ok=True)
        language, _, charset = locale.partition(".")
        subprocess.run(["localedef", "-i", language, "-f", charset, folder / locale], check=True)
    return folder


def _compare(name: str, bundles: list[Path], traces: list[tuple[str, ...]]) -> Found:
    one, two = (dict(_members(bundle.read_bytes(), "")) for bundle in bundles)
    told = [
        f"{member}: {word}"
        for found, words in zip((one, two), traces, strict=True)
        for member, content in found.items()
        for word in words
        if word.encode() in content
    ]
    return Found(
        source=name,
        size_bytes=bundles[0].stat().st_size,
        sha256=(_sha256(bundles[0]), _sha256(bundles[1])),
        differing=tuple(sorted(key for key in {*one, *two} if one.get(key) != two.get(key))),
        traces=tuple(told),
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _members(content: bytes, within: str) -> Iterator[tuple[str, bytes]]:
    """Yield what a zip holds, unpacked, and what zips in it hold."""
    import io

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            member = archive.read(name)
            yield within + name, member
            if member[:2] == b"PK":
                yield from _members(member, f"{within}{name}/")


def _write(found: list[Found], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reproducible.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    differ = [("user", "user"), ("host", "host"), ("date", "date"), ("zone", "time zone"), ("locale", "locale")]
    differ += [("hash_seed", "PYTHONHASHSEED"), ("umask", "umask"), ("folder", "folder")]
    rows = [f"| {title} | {' | '.join(getattr(world, key) for world in WORLDS)} |" for key, title in differ]
    lines = [
        "# Two environments, one bundle",
        "",
        "`make bench-reproducible` writes this page. The compiler was installed twice from `constraints.txt`, and compiled the same sources in",
        "both, with `HOME` and `TMPDIR` in folders of their own, and:",
        "",
        "| | one | the other |",
        "| --- | --- | --- |",
        *rows,
        "",
        "Every file in the bundles was compared, and searched, unpacked, for the folders, users, host names and files above.",
        "",
        "| source | size | same bytes | tells where it was made | sha256 |",
        "| --- | --- | --- | --- | --- |",
        *[
            f"| {one.source} | {one.size_bytes / 1024:.1f} KiB | {'yes' if one.sha256[0] == one.sha256[1] else ', '.join(one.differing)} "
            f"| {', '.join(one.traces) or 'nothing'} | `{one.sha256[0][:16]}` |"
            for one in found
        ],
    ]
    (folder / "reproducible.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
