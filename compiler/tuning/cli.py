"""`edge tune`: words in, results out."""

from compiler.cli import predictor
from compiler.options import Flag, Given
from edge import console


def tune_command(
    model: str,
    /,
    *,
    given: Given,
    study: str,
    study_name: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    json: Flag = False,
) -> None:
    """Search beyond the plans of an effort, in a study that any number of processes and machines share.

    The same command again continues the study; `edge compile --study` makes the bundle.

    Parameters
    ----------
    model
        Trained model, as for `edge compile`; of one that its maker quantized there is nothing to tune.
    given
        What is tuned, with which samples, for what.
    study
        Where the study lies: sqlite:///FILE for workers of one machine, postgresql://USER@HOST/NAME for any number of
        them, journal:///FILE in a folder that they share.
    study_name
        Name of the study there; by default made of the model's name and the target.
    trials
        Plans that this worker tries; 40 if --minutes says nothing either.
    minutes
        How long this worker goes on; the plan that it is at is ended.
    json
        Print one JSON object.
    """
    from compiler.tuning.tune import Quest, name_of, tune_model
    from compiler.tuning.words import summarize_tuned, tuned_to_json
    from edge.calibration import read_calibration

    request = given.request(model)
    quest = Quest(study, study_name or name_of(model, request.order), trials, minutes)
    tuned = tune_model(
        request,
        quest,
        stage=console.progress,
        warn=lambda text: console.say(f"warning: {text}"),
        predict=predictor(request.order.target, given.calibration),
        facts="" if given.calibration is None else read_calibration(given.calibration).identity,
    )
    console.emit(tuned_to_json(tuned), json=json, text=lambda: summarize_tuned(tuned))
