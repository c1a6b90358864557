"""Why an update is refused or has to wait: one code each, and what a person can do about it.

A reason is written `CODE: sentence` wherever it appears: in the journal, in `ModelReport`, on the dashboard.
"""

from typing import Literal, get_args

from edge.errors import TrustError

Code = Literal[
    "CLOCK_WRONG", "METADATA_EXPIRED", "NETWORK",
    "METADATA_OLDER", "UNSIGNED", "BAD_SIGNATURE", "HASH_MISMATCH", "NO_SUCH_VERSION", "WRONG_MODEL", "WRONG_TARGET",
    "BELOW_FLOOR", "AGENT_TOO_OLD", "BAD_BUNDLE", "DISK_FULL", "SELFTEST_FAILED", "SWITCH_FAILED", "PROBATION_FAILED",
    "SLOT_DAMAGED", "SUPERSEDED",
]  # fmt: skip
CODES: tuple[Code, ...] = get_args(Code)
WAITING: frozenset[Code] = frozenset({"CLOCK_WRONG", "METADATA_EXPIRED", "NETWORK"})
"""These delay an update, and the device says so; all others end it until a higher order comes."""

REMEDIES: dict[Code, str] = {
    "CLOCK_WRONG": "set the device's clock; the update goes on by itself",
    "METADATA_EXPIRED": "start the fleet service, which signs anew each hour, and check the device's clock",
    "NETWORK": "check that the device reaches the fleet's address; the update goes on by itself",
    "METADATA_OLDER": "somebody serves an old copy of the fleet's metadata: check the service's folder and the network",
    "UNSIGNED": "the metadata carry no signature: check who answers at the fleet's address",
    "BAD_SIGNATURE": "the metadata are not signed by this fleet's keys: check who answers at its address",
    "HASH_MISMATCH": "what the fleet serves is not what it signed: publish the bundle again under a new version",
    "NO_SUCH_VERSION": "publish this version first: edge fleet publish BUNDLE",
    "WRONG_MODEL": "order a bundle of the model that this device runs",
    "WRONG_TARGET": "compile the model for this device's target, and publish it",
    "BELOW_FLOOR": "this version was revoked: order one at or above the floor",
    "AGENT_TOO_OLD": "install a newer edgewright on the device",
    "BAD_BUNDLE": "compile the bundle again, and publish it under a new version",
    "DISK_FULL": "free some space on the device's disk, and order again",
    "SELFTEST_FAILED": "see what the runtime on the device answered, and compile for it",
    "SWITCH_FAILED": "see the device's log; the old version runs on",
    "PROBATION_FAILED": "see the device's events; the old version runs again",
    "SLOT_DAMAGED": "the bundle is fetched again by itself; check the device's disk",
    "SUPERSEDED": "nothing: a newer order took its place",
}


def refusal(code: Code, sentence: str) -> TrustError:
    """Build the error for `code`; its problem is the reason that is reported."""
    return TrustError(f"{code}: {sentence}", remedy=REMEDIES[code])


def code_of(reason: str) -> Code | None:
    """Return the code that a reason begins with, if it does."""
    head = reason.partition(":")[0]
    return next((code for code in CODES if code == head), None)
