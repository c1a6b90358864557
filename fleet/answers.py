"""What the HTTP API asks and answers: JSON Structs for the service, `FleetClient`, the commands and the dashboard."""

from typing import Annotated

import msgspec

from edge.errors import FleetError
from edge.kept import ASKED_PICTURES, PICTURE_BYTES
from edge.manifest import Name
from edge.messages import PieceBytes, Version
from fleet.plan import Plan
from fleet.rollout_state import Gate, RolloutState, Wave


class MovedOnError(FleetError):
    """Somebody else published in between: read the targets again, and sign again. HTTP status 409."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


class Problem(Answer, frozen=True, kw_only=True):
    """Body of every answer that is not a success: `error` is the name of a class of `edge.errors`."""

    error: str
    problem: str
    remedy: str


class TrustState(Answer, frozen=True, kw_only=True):
    """GET /api/metadata: what a publisher checks and signs on."""

    root: str
    targets: str


class ModelStatus(Answer, frozen=True, kw_only=True):
    """One model on one device."""

    version: int
    """Decides now; 0 when none."""
    state: str
    attempted: int = 0
    reason: str = ""
    wanted: int = 0
    """Version the fleet asked for; 0 when none."""


class DeviceStatus(Answer, frozen=True, kw_only=True):
    """One enrolled device."""

    id: str
    online: bool
    models: dict[str, ModelStatus]
    seen_s: float = 0.0
    """When anything last came from it, in Unix seconds of the service; 0 when never."""
    target: str = ""
    agent: str = ""


class RolloutStatus(Answer, frozen=True, kw_only=True):
    """One rollout in short; `gates` are those of its last wave. GET /api/rollouts/ID tells all: a `RolloutState`."""

    id: str
    model: str
    version: int
    state: str
    reason: str
    waves: tuple[Wave, ...]
    gates: tuple[Gate, ...]


class BundleStatus(Answer, frozen=True, kw_only=True):
    """One published bundle."""

    model: str
    version: int
    target: str
    sha256: str
    size_bytes: int
    min_agent: str
    revoked: bool
    """Below its model's floor."""
    report: bool = False
    """Whether the compiler's report was published with it: below /reports/MODEL-VERSION/."""


class FleetStatus(Answer, frozen=True, kw_only=True):
    """GET /api/status."""

    tenant: str
    devices: tuple[DeviceStatus, ...]
    rollouts: tuple[RolloutStatus, ...]
    """Oldest first."""
    bundles: tuple[BundleStatus, ...] = ()
    warnings: tuple[str, ...] = ()


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/devices."""

    device: Name


class PicturesRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/devices/ID/pictures; the answer is an `edge.messages.PictureList`."""

    newest: Annotated[int, msgspec.Meta(ge=1, le=ASKED_PICTURES)]


class PieceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/devices/ID/pictures/NAME; the answer is the bytes."""

    offset: Annotated[int, msgspec.Meta(ge=0, lt=PICTURE_BYTES)]
    size_bytes: PieceBytes


class RolloutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /api/rollouts."""

    model: Name
    version: Version
    plan: Plan = Plan()
    devices: Annotated[tuple[Name, ...], msgspec.Meta(max_length=100_000)] = ()
    """Only these; empty for every device of the bundle's target."""


def rollout_status(state: RolloutState) -> RolloutStatus:
    """Show a rollout."""
    return RolloutStatus(
        id=state.id,
        model=state.model,
        version=state.version,
        state=state.state,
        reason=state.reason,
        waves=state.waves,
        gates=state.waves[-1].gates if state.waves else (),
    )
