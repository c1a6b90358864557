"""How a bundle was made, as report.json keeps it under `recipe`: enough to make the same bytes of the same inputs.

All plans that were built are in it, not only the chosen ones: what was chosen depends on what there was to choose from.
"""

from pathlib import Path
from typing import Any

import msgspec

from compiler.budget import Budget
from compiler.cache import Cache
from compiler.effort import Effort
from compiler.load.state import read_states
from compiler.opening import Request, Settled
from compiler.packing import Order, tool_versions
from compiler.plan import parse_plan
from compiler.search import Scope
from edge.errors import BadArgumentError, BadBundleError, FileMissingError
from edge.manifest import Head, InputContract, MetricName, TaskName


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes the bytes of a bundle, but the model and the data, of which it has the hashes."""

    source_sha256: str
    data_sha256: str
    bundle_sha256: str
    target: str
    name: str
    version: int
    task: TaskName
    metric: MetricName
    label_column: str
    labels: tuple[str, ...]
    input: InputContract
    head: Head | None = None
    """Of a detector."""
    max_drop: float
    max_ms: float | None
    asked: bool
    accept_unproven: bool
    golden_from_data: bool
    effort: Effort
    plans: tuple[str, ...]
    """As `parse_plan` reads them; empty for a model that its maker quantized."""
    tools: dict[str, str]
    states: str = ""
    """As `read_states` reads them; empty for a model without a state, or of an older release."""
    onnx_too: bool = False


class _Report(msgspec.Struct, frozen=True):
    """The part of report.json that is read again."""

    recipe: Recipe


def read_recipe(path: Path) -> Recipe:
    """Read report.json.

    Raises: FileMissingError; BadArgumentError for a file without a recipe.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Report).recipe
    except OSError as exc:
        raise FileMissingError(f"cannot read {path}", remedy="give the report.json of a report folder") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadArgumentError(
            f"{path} has no recipe: {exc}", remedy="give the report.json that edge compile wrote beside the bundle"
        ) from exc


def request_of(recipe: Recipe, *, model: str, data: Path, output: Path | None, cache: Cache) -> Request:
    """Return the compile that the recipe asks for, of this model and this data."""
    return Request(
        model=model,
        data=data,
        order=Order(target=recipe.target, name=recipe.name, version=recipe.version, output=output),
        label_column=recipe.label_column,
        task=recipe.task,
        metric=recipe.metric,
        budget=Budget(recipe.max_drop, recipe.max_ms, recipe.asked, recipe.accept_unproven),
        scope=Scope(recipe.effort, tuple(parse_plan(plan) for plan in recipe.plans), cache),
        golden_from_data=recipe.golden_from_data,
        onnx_too=recipe.onnx_too,
        states=read_states(recipe.states),
        settled=Settled(recipe.source_sha256, recipe.data_sha256, recipe.input, recipe.labels, head=recipe.head),
    )


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Build the object of report.json."""
    built: dict[str, Any] = msgspec.to_builtins(recipe)
    return built


def hold_same_bytes(recipe: Recipe, bundle_sha256: str) -> None:
    """Hold that the bundle is the recipe's, byte for byte.

    Raises: BadBundleError, which names the tools that have another version now.
    """
    if bundle_sha256 == recipe.bundle_sha256:
        return
    now = tool_versions()
    changed = [f"{tool} {now.get(tool, 'is absent')} (was {was})" for tool, was in recipe.tools.items()]
    others = [text for text, (tool, was) in zip(changed, recipe.tools.items(), strict=True) if now.get(tool) != was]
    raise BadBundleError(
        f"what was built is not the bundle of the recipe (sha256 {recipe.bundle_sha256[:12]}...)",
        remedy=f"install the versions that made it: {', '.join(others)}"
        if others
        else "use the same kind of processor and the same --calibration",
    )
