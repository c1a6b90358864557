"""What is refused or warned of before time is spent on it; it reads a target's facts and looks for its compiler."""

from compiler.load.source import SourceModel
from compiler.own_environment import check_machine
from compiler.placement.vela import find_vela
from compiler.run import Scores
from compiler.split import LEAST_REPORT, Split, needed_samples
from compiler.subject import Subject
from compiler.yardstick import Yardstick
from edge.environments import RKNN
from edge.errors import BadDataError, BadModelError, TargetUnsupportedError
from edge.manifest import AudioInput, ImageInput, SeriesInput, TaskName
from edge.target import Target, load_target

FEW_REPORT = 300
"""Below this even two models that never differ are not proven to differ on less than one sample in a hundred."""
CHANCE_FACTOR = 1.5
LEAST_MAP = 0.02
"""Small detectors for small boards reach 5 to 30 % on COCO; one that is fed wrong pictures, or misread, hardly 1 %."""


def compilable_target(name: str) -> Target:
    """Load a target that this release can compile for.

    Raises:
        UnknownTargetError: no such target.
        TargetUnsupportedError: its models need a compiler that this release does not call.
        MissingExtraError: the NPU's compiler is not installed, or cannot be installed here.

    """
    target = load_target(name)
    if target.supported and target.npu_compiler == "vela":
        find_vela()
    elif target.supported and target.npu_compiler == "rknn-toolkit2":
        check_machine(RKNN)
    elif not target.supported or not target.runtimes:
        where = f"its NPU ({target.npu})" if target.npu else "what no runtime of ours drives"
        raise TargetUnsupportedError(
            f"{target.name} runs models on {where}, and this release cannot compile for it",
            remedy="choose a target that `edge targets` says it compiles for",
        )
    return target


def check_task(model: SourceModel, task: TaskName) -> SourceModel:
    """Return `model`, or raise BadModelError if a classifier does not give one score for each class."""
    if task == "classify" and model.outputs < 2:
        raise BadModelError(
            f"{model.name} gives {model.outputs} score; a classifier gives one score for each class",
            remedy="give it one output for each class, for instance [not it, it], or say --task anomaly or regress",
        )
    return model


def check_memory(task: TaskName, target: Target) -> None:
    """Refuse a network with a state where nothing of ours would carry it.

    Raises: BadModelError for a detector; TargetUnsupportedError for the RK3588.
    """
    if task == "detect":
        raise BadModelError(
            "a detector with a state is not compiled by this release",
            remedy="leave out --state and give a network that looks at each picture alone",
        )
    if target.npu_compiler == "rknn-toolkit2":
        raise TargetUnsupportedError(
            f"for {target.name} this release compiles no network with a state: {RKNN.tool} is given one input",
            remedy="compile it for its CPU, under the name of a CPU target",
        )


def judge_split(parts: Split) -> tuple[str, ...]:
    """Refuse a split that proves nothing, warn of a small report part."""
    calibrate, select, report = len(parts.calibrate), len(parts.select), len(parts.report)
    if report < LEAST_REPORT or not calibrate or not select:
        raise BadDataError(
            f"{calibrate + select + report} samples leave {report} to prove the result with, {select} to choose by "
            f"and {calibrate} to calibrate",
            remedy=f"give at least {needed_samples()} different samples, better {FEW_REPORT * 5 // 3}",
        )
    if report < FEW_REPORT:
        return (f"only {report} samples to prove with: no loss below {100 * 3 / report:.1f} points can be proven",)
    return ()


def judge_truth(reference: Scores, subject: Subject, yardstick: Yardstick) -> tuple[str, ...]:
    """Warn if a detector is held against itself, or if the float detector finds hardly anything that was annotated."""
    if subject.reader is None:
        return ()
    if subject.samples.assumed:
        return (
            f"nobody annotated the pictures (no annotations.json): what the float model sees with a score of "
            f"{subject.reader.head.floor:g} stands for the truth, so the {yardstick.metric.name} tells how well the "
            "compiled model sees the same, not how well either sees",
        )
    found = yardstick.metric.compare(reference.values, reference.values, subject.samples.truth).reference
    if found >= LEAST_MAP:
        return ()
    return (
        f"the float model's {yardstick.metric.name} is {found:.1%}: check the input contract (colour, scale, mean, "
        "std, resize) first, then the head's format and size, then the order of the labels",
    )


def judge_reference(reference: Scores, subject: Subject) -> tuple[str, ...]:
    """Warn if a float classifier is hardly better than guessing: the input contract is the usual suspect."""
    contract, chance = subject.contract, 1 / max(1, len(subject.samples.classes))
    if subject.task != "classify" or reference.accuracy >= CHANCE_FACTOR * chance:
        return ()
    if isinstance(contract, ImageInput):
        suspects = f"input contract (colour {contract.colour}, scale {contract.scale:g}, mean, std, resize)"
    elif isinstance(contract, SeriesInput):
        suspects = "input contract (columns, window, layout, mean, std)"
    elif isinstance(contract, AudioInput):
        suspects = "input contract (power, log, level, triangles, f_min, f_max, mean, std: are they as in training?)"
    else:
        suspects = "input contract (the samples are taken as they are: are they scaled as in training?)"
    return (
        f"the float model is right on {reference.accuracy:.1%}, chance is {chance:.1%}: "
        f"check the {suspects} first, then the order of the classes, then the model",
    )
