"""Whatever a user can meet is on a page: commands, targets, messages, topics, errors, states and reasons."""

import re
from pathlib import Path
from typing import get_args

import pytest

from edge import errors, messages, topics
from edge.bundle import LIMITS
from edge.cli import BROKEN_PIPE, COMMANDS, INTERRUPTED
from edge.failure import BUG
from edge.manifest import AudioInput, ImageInput, Manifest, SeriesInput, TensorInput
from edge.target import load_target, target_names

Pages = dict[str, str]
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgeError)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.words)
def test_every_command(pages: Pages, command: object) -> None:
    assert re.search(rf"`edge {command.words}[ `]", pages["commands.md"])


@pytest.mark.parametrize("name", target_names())
def test_every_target(pages: Pages, name: str) -> None:
    line = next(line for line in pages["targets.md"].splitlines() if line.startswith(f"| `{name}` |"))
    target = load_target(name)
    assert line.endswith("| yes |" if target.supported else "| not yet |")
    assert all(runtime in line for runtime in target.runtimes)


PARTS = (messages.ModelReport, messages.Wish, messages.MachineMinute)


@pytest.mark.parametrize("message", messages.MESSAGES + get_args(messages.Body) + PARTS)
def test_every_message_and_each_of_its_fields(pages: Pages, message: type[messages.Message]) -> None:
    line = next(line for line in pages["topics.md"].splitlines() if line.startswith(f"| `{message.__name__}` |"))
    assert [field for field in message.__struct_fields__ if f"`{field}`" not in line] == []


@pytest.mark.parametrize("kind", topics.UP_KINDS + topics.DOWN_KINDS)
def test_every_topic(pages: Pages, kind: str) -> None:
    direction = "up" if kind in topics.UP_KINDS else "down"
    assert f"`{topics.ROOT}/{{tenant}}/d/{{device}}/{direction}/{kind}`" in pages["topics.md"]


@pytest.mark.parametrize("state", get_args(messages.UpdateState))
def test_every_state_of_an_update(pages: Pages, state: str) -> None:
    assert f"| `{state}` |" in pages["topics.md"]


def test_every_reason_of_an_update(pages: Pages) -> None:
    refusal = pytest.importorskip("edge_agent.update.refusal")
    assert [code for code in refusal.CODES if f"| `{code}` |" not in pages["topics.md"]] == []


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_with_its_exit_code(pages: Pages, kind: type[errors.EdgeError]) -> None:
    assert f"| {kind.exit_code} | `{kind.__name__}` |" in pages["errors.md"]


@pytest.mark.parametrize("code", [BUG, INTERRUPTED, BROKEN_PIPE])
def test_every_other_exit_code(pages: Pages, code: int) -> None:
    assert f"\n| {code} |" in pages["errors.md"]


@pytest.mark.parametrize(
    "kind", [Manifest, ImageInput, SeriesInput, AudioInput, TensorInput], ids=lambda kind: kind.__name__
)
def test_every_field_of_a_bundle(pages: Pages, kind: type[Manifest]) -> None:
    assert [field for field in kind.__struct_fields__ if f"`{field}`" not in pages["bundle.md"]] == []


def test_every_limit_of_a_bundle(pages: Pages) -> None:
    text = pages["bundle.md"]
    for member, size in (("manifest.json", LIMITS.manifest_bytes), ("baseline.npz", LIMITS.baseline_bytes)):
        assert re.search(rf"\| `{member}` \|.* \| {size // 1024} KiB \|", text)
    for size in (LIMITS.member_bytes, LIMITS.bundle_bytes):
        assert f"{size // 2**20} MiB" in text
    golden = f"{LIMITS.golden_bytes // 2**20} MiB, {LIMITS.golden_samples} samples"
    assert re.search(rf"\| `golden.npz` \|.* \| {golden} \|", text)
    assert f"{LIMITS.members} members" in text


def test_every_link_between_pages_leads_somewhere(root: Path) -> None:
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"
