"""The `edge` command: one table of sub-commands, each loaded when it is called; errors become exit codes.

A command prints its result on stdout and everything else on stderr. It returns nothing, or its exit code.
"""

import difflib
import os
import select
import sys
from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnknownCommandError

import edge
from edge.errors import BadArgumentError
from edge.failure import Failure, explain

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes beside those of `edge.errors` and `edge.failure`: 128 + SIGINT, 128 + SIGPIPE, as shells count."""


class Command(NamedTuple):
    """One line of the table."""

    words: str
    function: str
    help: str


COMMANDS = (
    Command("compile", "compiler.cli:compile_command", "Compile a trained model into a bundle for one kind of device."),
    Command("tune", "compiler.tuning.cli:tune_command", "Search for better plans, alone or with other workers."),
    Command("evaluate", "compiler.cli:evaluate_command", "Measure every variant of a bundle on labelled samples."),
    Command("explain", "compiler.cli:explain_command", "Say which layers int8 harms, why, and what was tried."),
    Command("inspect", "edge.commands.inspect:inspect_command", "Say what a bundle holds, after checking all of it."),
    Command("targets", "edge.commands.targets:targets_command", "List the kinds of device, or show one."),
    Command("run", "edge_agent.cli:run_command", "Run a bundle on this device, as a configuration file says."),
    Command("bench", "edge_agent.cli:bench_command", "Time the loop from frame to actuator on this machine."),
    Command(
        "enrol-subject", "edge_agent.cli:enrol_subject_command", "Make the file by which one subject is known again."
    ),
    Command("status", "edge_agent.cli:status_command", "Say how the agent on this device is doing."),
    Command("record", "edge_agent.recording.cli:record_command", "Run the agent, and record what its loop decides on."),
    Command("replay", "edge_agent.recording.cli:replay_command", "Decide a recording again, and compare."),
    Command("schema", "edge_agent.cli:schema_command", "Print the JSON Schema of the configuration, for editors."),
    Command("agent install", "edge_agent.install.cli:install_command", "Run the agent as a hardened systemd service."),
    Command("agent uninstall", "edge_agent.install.cli:uninstall_command", "Remove that service."),
    Command("update", "edge_agent.cli:update_command", "Update this device from a folder or a USB stick."),
    Command("fleet init", "fleet.cli:init_command", "Make the folder and the keys of a new fleet."),
    Command("fleet serve", "fleet.cli:serve_command", "Serve a fleet: broker, artifacts, API and dashboard."),
    Command("fleet enrol", "fleet.cli:enrol_command", "Let a device in, and write the one file that it needs."),
    Command("fleet publish", "fleet.cli:publish_command", "Sign a bundle and make it available to devices."),
    Command("fleet export", "fleet.cli:export_command", "Copy what a device needs to update onto a USB stick."),
    Command("fleet revoke", "fleet.cli:revoke_command", "Forbid all versions of a model below one."),
    Command("fleet status", "fleet.cli:status_command", "List devices and rollouts."),
    Command(
        "fleet pictures",
        "fleet.pictures_cli:pictures_command",
        "Fetch pictures of which a device's model was not sure.",
    ),
    Command("fleet rollout start", "fleet.rollout_cli:start_command", "Roll a version out, wave by wave."),
    Command("fleet rollout status", "fleet.rollout_cli:status_command", "Show the waves and gates of a rollout."),
    Command("fleet rollout pause", "fleet.rollout_cli:pause_command", "Hold a rollout where it is."),
    Command("fleet rollout resume", "fleet.rollout_cli:resume_command", "Let a paused rollout go on."),
    Command("fleet rollout abort", "fleet.rollout_cli:abort_command", "End a rollout and take its version back."),
    Command("demo", "demos.cli:demo_command", "Run a demonstration from beginning to end."),
    Command(
        "doctor", "edge.commands.doctor:doctor_command", "Say what this machine can do, what is broken, and what to do."
    ),
)
GROUPS = {
    "agent": "Make the agent a service of this device.",
    "fleet": "Serve models to devices, watch them, and roll versions out.",
    "fleet rollout": "Start, watch and steer rollouts.",
}
SUMMARY = "Compile trained models, run them safely on small devices, and roll them out to a fleet."
EPILOGUE = "Every command takes -v (more), -vv (everything) and -q (errors only). Start with: edge doctor"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code and raises nothing."""
    tokens, verbosity = take_verbosity(arguments)
    try:
        code = _call(tokens, verbosity)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except CycloptsError as exc:
        return _report(_usage(exc, tokens), exc, tokens, verbosity)
    except Exception as exc:  # noqa: BLE001 - the last resort of the whole program: it says that this is a bug
        if isinstance(exc, BrokenPipeError) and _reader_is_gone():
            return BROKEN_PIPE
        return _report(explain(exc, tokens), exc, tokens, verbosity)


def build_app(called: Sequence[str] = ()) -> App:
    """The command tree. Only a `called` command is loaded, and then it explains itself in full."""
    app = App(name="edge", version=edge.__version__, help=SUMMARY, help_epilogue=EPILOGUE)
    app.register_install_completion_command(help="Install completion for this shell.")
    groups = {"": app}
    for place, (words, function, text) in enumerate(COMMANDS):
        above, _, name = words.rpartition(" ")
        if above not in groups:
            over, _, group = above.rpartition(" ")
            groups[above] = App(name=group, help=GROUPS[above], sort_key=place)
            groups[over].command(groups[above])
        own = f"{' '.join(called)} ".startswith(f"{words} ")
        groups[above].command(function, name=name, sort_key=place, **({} if own else {"help": text}))
    return app


def take_verbosity(arguments: Sequence[str]) -> tuple[list[str], int]:
    """Take -v, -vv, --verbose, -q and --quiet out, wherever they stand before `--`; returns the rest and a number."""
    levels = {"-v": 1, "--verbose": 1, "-vv": 2, "-q": -1, "--quiet": -1}
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    ours = [word for word in arguments[:end] if word in levels]
    rest = [word for word in arguments[:end] if word not in levels]
    return [*rest, *arguments[end:]], max(-1, min(2, sum(levels[word] for word in ours)))


def _call(tokens: list[str], verbosity: int) -> int:
    from edge import console

    console.setup(verbosity)
    words = [token for token in tokens if not token.startswith("-")]
    result = build_app(words)(tokens, print_error=False, exit_on_error=False, result_action="return_value")
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _usage(exc: CycloptsError, tokens: list[str]) -> Failure:
    """A wrong word on the command line: what is wrong, and where the help is."""
    words = [token for token in tokens if not token.startswith("-")]
    spoken = [" ".join(words[:length]) for length in range(len(words), 0, -1)]
    known = next((each for each in spoken if each in {*GROUPS, *(c.words for c in COMMANDS)}), "")
    problem = _unknown(known, words) if isinstance(exc, UnknownCommandError) else " ".join(str(exc).split())
    return Failure(BadArgumentError.exit_code, "BadArgumentError", problem, f"see `{f'edge {known}'.strip()} --help`")


def _unknown(group: str, words: list[str]) -> str:
    """Name the nearest command, from the table: cyclopts would load every module for it."""
    depth = len(group.split())
    choices = {c.words.split()[depth] for c in COMMANDS if f"{c.words} ".startswith(f"{group} ".lstrip())}
    typed = words[depth]
    nearest = difflib.get_close_matches(typed, choices, n=1)
    return f"no command `{f'edge {group}'.strip()} {typed}`{f'; did you mean {nearest[0]}?' if nearest else ''}"


def _report(failure: Failure, exc: BaseException, tokens: list[str], verbosity: int) -> int:
    """Print two lines and the options on stderr, and with --json the same as one object on stdout."""
    if verbosity > 0:
        import traceback

        traceback.print_exception(exc)
    sys.stderr.write(f"error: {failure.problem}\n  fix: {failure.remedy}\n")
    sys.stderr.write("".join(f"  or:  {option}\n" for option in failure.options))
    if "--json" in tokens:
        import json

        answer: dict[str, object] = {"error": failure.error, "problem": failure.problem, "remedy": failure.remedy}
        if failure.options:
            answer["options"] = failure.options
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return failure.code


def _reader_is_gone() -> bool:
    """Whether stdout is the broken pipe (`edge targets | head`); then nothing is written there any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # a closed reader is reported unasked
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    main()
