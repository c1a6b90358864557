"""A study -> the request for a compile: its best plans, and how model and data met when they were found."""

from dataclasses import dataclass, replace

from compiler.load.state import read_states
from compiler.opening import Request, Settled
from compiler.plan import Plan, parse_plan
from compiler.tuning.bound import Bound
from compiler.tuning.front import front_plans
from compiler.tuning.storage import open_storage, telling
from compiler.tuning.study import read
from edge.errors import StudyError


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a study has to say to a compile."""

    name: str
    bound: Bound
    plans: tuple[Plan, ...]
    """Float on each runtime that was tried, then the front."""


def recall(url: str, name: str) -> Recalled:
    """Read a study. It is of any release: whatever it says is measured and proven anew.

    Raises: StudyError if it is not there, or nothing was tried yet; MissingExtraError.
    """
    storage = open_storage(url)
    with telling(url):
        book = read(storage, name)
        tried = book.tried()
    if not tried:
        raise StudyError(f"the study {name!r} has not tried anything yet", remedy="run edge tune first")
    runtimes = dict.fromkeys((book.bound.runtime, *(parse_plan(one.plan).runtime for one in tried)))
    plans = dict.fromkeys((*map(Plan, runtimes), *front_plans(tried)))
    return Recalled(name, book.bound, tuple(plans))


def ask_again(request: Request, recalled: Recalled) -> Request:
    """Ask for the plans of a study, for the model, data and input contract that it is of.

    Raises: StudyError if it was made for another target.
    """
    bound = recalled.bound
    if bound.target != request.order.target:
        raise StudyError(
            f"the study {recalled.name!r} was made for {bound.target}, and this is for {request.order.target}",
            remedy="compile for the same target, or tune for this one",
        )
    return replace(
        request,
        label_column=bound.label_column,
        task=bound.task,
        metric=bound.metric,
        states=read_states(bound.states),
        scope=replace(request.scope, plans=recalled.plans),
        settled=Settled(bound.model, bound.data, bound.input, bound.labels, "study", bound.head),
    )
