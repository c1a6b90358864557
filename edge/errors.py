"""Every error a user can meet: what happened, and what to do now.

Each class has its own exit code, and is also the built-in error that a caller would expect.
"""

from collections.abc import Sequence


class EdgeError(Exception):
    """Base of all errors raised on purpose; the command line returns `exit_code`."""

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str, options: Sequence[str] = ()) -> None:
        """Keep all parts: `problem` says what happened, `remedy` what to do now, `options` what else would work."""
        super().__init__("".join([f"{problem}\n  fix: {remedy}", *(f"\n  or: {option}" for option in options)]))
        self.problem, self.remedy, self.options = problem, remedy, tuple(options)


class BadArgumentError(EdgeError, ValueError):
    """A command was called with words it does not understand."""

    exit_code = 2


class BadMessageError(EdgeError, ValueError):
    """A peer sent something we cannot read."""

    exit_code = 3


class BudgetBrokenError(EdgeError, ValueError):
    """No bundle keeps the budget: what was lost, or the time, is more than --max-drop or --max-ms allow."""

    exit_code = 4


class BudgetUnprovenError(EdgeError, ValueError):
    """The samples are too few to prove that the budget is kept, or nobody can predict the time."""

    exit_code = 5


class BadBundleError(EdgeError, ValueError):
    """A bundle is truncated, altered, hostile, or of a format we do not know."""

    exit_code = 6


class BadModelError(EdgeError, ValueError):
    """A file is not a model, or holds an operator that cannot be compiled."""

    exit_code = 7


class BadDataError(EdgeError, ValueError):
    """Samples are missing, do not fit the model, or cannot prove anything."""

    exit_code = 8


class BadInputContractError(EdgeError, ValueError):
    """The model alone does not say how its input is made; the missing fields are listed."""

    exit_code = 9


class UnknownTargetError(EdgeError, LookupError):
    """No target has this name."""

    exit_code = 10


class TargetUnsupportedError(EdgeError, NotImplementedError):
    """The target is known, but this release cannot compile for it."""

    exit_code = 11


class BadConfigError(EdgeError, ValueError):
    """A configuration file has an unknown key or an impossible value."""

    exit_code = 12


class MissingExtraError(EdgeError, ImportError):
    """A package of an optional extra is not installed."""

    exit_code = 13


class BrokerError(EdgeError, ConnectionError):
    """The MQTT broker cannot be reached, or refused us."""

    exit_code = 14


class PortTakenError(EdgeError, OSError):
    """Another process listens on the port we need."""

    exit_code = 15


class DiskFullError(EdgeError, OSError):
    """The disk has no room for what must be written."""

    exit_code = 16


class TrustError(EdgeError, PermissionError):
    """Something is not signed by whom it must be, or is older than what was seen."""

    exit_code = 17


class FleetError(EdgeError, RuntimeError):
    """The fleet service refused an order."""

    exit_code = 18


class GoldenMismatchError(EdgeError, ArithmeticError):
    """A runtime does not reproduce the bundle's golden samples."""

    exit_code = 19


class FileMissingError(EdgeError, FileNotFoundError):
    """A file or folder that was named does not exist."""

    exit_code = 20


class AgentError(EdgeError, RuntimeError):
    """The agent cannot start, or is not running where we looked."""

    exit_code = 21


class SourceError(EdgeError, OSError):
    """A camera or another source of frames cannot be opened."""

    exit_code = 22


class StudyError(EdgeError, RuntimeError):
    """A shared search cannot be read or written, or was made for something else."""

    exit_code = 23


class DeviceAwayError(EdgeError, TimeoutError):
    """A device did not answer in time."""

    exit_code = 24
