"""What is refused or warned of before time is spent on it; pure but for reading a target's facts."""

from compiler.dataset import Samples
from compiler.load.source import SourceModel
from compiler.measure import Scores
from compiler.split import LEAST_HELD_OUT, Split, needed_samples
from edge.errors import BadDataError, BadModelError, TargetUnsupportedError
from edge.manifest import ImageInput, InputContract, SeriesInput
from edge.target import Target, load_target

FEW_HELD_OUT = 200
"""Below this one sample is worth more than half a point, and a drop of one point cannot be told from chance."""
CHANCE_FACTOR = 1.5


def compilable_target(name: str) -> Target:
    """Load a target that this release can compile for.

    Raises:
        UnknownTargetError: no such target.
        TargetUnsupportedError: its models need an NPU compiler.

    """
    target = load_target(name)
    if not target.supported or not target.runtimes:
        where = f"its NPU ({target.npu})" if target.npu else "what no runtime of ours drives"
        raise TargetUnsupportedError(
            f"{target.name} runs models on {where}, and this release cannot compile for it",
            remedy="choose a target whose CPU runs the model; `edge targets` lists them",
        )
    return target


def check_classifier(model: SourceModel) -> SourceModel:
    """Return `model`, or raise BadModelError if its first output is not one score for each class."""
    if model.outputs < 2:
        raise BadModelError(
            f"{model.name} gives {model.outputs} score; this release compiles classifiers: one score for each class",
            remedy="give the model one output for each class, for instance [not it, it]",
        )
    return model


def judge_split(parts: Split) -> tuple[str, ...]:
    """Refuse a held-out part that proves nothing, warn of a small one."""
    held_out = len(parts.held_out)
    total = held_out + len(parts.calibration)
    if held_out < LEAST_HELD_OUT or not parts.calibration:
        raise BadDataError(
            f"{total} samples leave {held_out} to prove the result with and {len(parts.calibration)} to calibrate",
            remedy=f"give at least {needed_samples()} different samples, better {FEW_HELD_OUT * 3 // 2}",
        )
    if held_out < FEW_HELD_OUT:
        return (
            f"only {held_out} held-out samples: a drop of one point cannot be told from chance, give {FEW_HELD_OUT}",
        )
    return ()


def judge_reference(reference: Scores, samples: Samples, contract: InputContract) -> tuple[str, ...]:
    """Warn if the float model itself is hardly better than guessing: the input contract is the usual suspect."""
    chance = 1 / len(samples.classes)
    if reference.accuracy >= CHANCE_FACTOR * chance:
        return ()
    if isinstance(contract, ImageInput):
        suspects = f"input contract (colour {contract.colour}, scale {contract.scale:g}, mean, std, resize)"
    elif isinstance(contract, SeriesInput):
        suspects = "input contract (columns, window, layout, mean, std)"
    else:
        suspects = "input contract (the samples are taken as they are: are they scaled as in training?)"
    return (
        f"the float model is right on {reference.accuracy:.1%}, chance is {chance:.1%}: "
        f"check the {suspects} first, then the order of the classes, then the model",
    )
