"""Our own rules for what TUF has verified, pure: what may be installed here, and from what it is made."""

from collections.abc import Collection

import msgspec
from tuf.api.metadata import TargetFile

from edge_agent.update.journal import BundleRecord, DeltaRecord
from edge_agent.update.refusal import refusal


class Custom(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet signs about one bundle besides its bytes."""

    model: str
    version: int
    target: str
    min_agent: str
    floor: int


def allowed(targets: dict[str, TargetFile], model: str, version: int, *, target: str, agent: str) -> BundleRecord:
    """Apply our own rules to signed targets; pure. Raises TrustError."""
    path = bundle_path(model, version)
    if path not in targets:
        raise refusal("NO_SUCH_VERSION", f"version {version} of {model} is not among what the fleet has signed")
    custom = _custom(targets[path])
    floor = max(_custom(file).floor for name, file in targets.items() if name.startswith(f"{model}/"))
    if (custom.model, custom.version) != (model, version):
        raise refusal("WRONG_MODEL", f"{path} is signed as version {custom.version} of {custom.model}")
    if custom.target != target:
        raise refusal("WRONG_TARGET", f"version {version} of {model} is for {custom.target}, this device is {target}")
    if version < floor:
        raise refusal("BELOW_FLOOR", f"version {version} of {model} is below its signed floor {floor}")
    if _release(custom.min_agent) > _release(agent):
        raise refusal("AGENT_TOO_OLD", f"version {version} needs agent {custom.min_agent}, this one is {agent}")
    sha256 = targets[path].hashes.get("sha256", "")
    return BundleRecord(version=version, sha256=sha256, size_bytes=targets[path].length, path=path)


def bundle_path(model: str, version: int) -> str:
    """Path of a bundle below `artifacts/`, and its name in the signed metadata."""
    return f"{model}/{model}-{version}.edge"


def find_delta(targets: dict[str, TargetFile], record: BundleRecord, have: Collection[str]) -> DeltaRecord | None:
    """The shortest signed difference from a bundle that is here, if it is shorter than half of `record`; pure."""
    found = []
    for path, file in targets.items():
        custom = file.custom if path.endswith(".delta") and isinstance(file.custom, dict) else {}
        source = str(custom.get("from_sha256"))
        if source in have and custom.get("to_sha256") == record.sha256 and 2 * file.length < record.size_bytes:
            sha256 = file.hashes.get("sha256", "")
            found.append(DeltaRecord(sha256=sha256, size_bytes=file.length, path=path, from_sha256=source))
    return min(found, key=lambda delta: delta.size_bytes, default=None)


def signed_versions(targets: dict[str, TargetFile], model: str, target: str) -> list[int]:
    """Versions of a model that are signed for a target, not below the floor; pure."""
    customs = {name: _custom(file) for name, file in targets.items() if name.startswith(f"{model}/")}
    floor = max((custom.floor for custom in customs.values()), default=0)
    return [
        custom.version
        for name, custom in customs.items()
        if name == bundle_path(model, custom.version) and custom.target == target and custom.version >= floor
    ]


def _custom(file: TargetFile) -> Custom:
    try:
        return msgspec.convert(file.custom, Custom)
    except msgspec.ValidationError as exc:
        raise refusal("BAD_SIGNATURE", f"{file.path} is signed without what must be known of it: {exc}") from exc


def _release(text: str) -> tuple[int, ...]:
    """0.10.2 -> (0, 10, 2); whatever is not a number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))
