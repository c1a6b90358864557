"""`edge doctor`."""

from typing import Annotated

from cyclopts import Parameter

from edge import console
from edge.doctor import Finding, Report, examine

MARKS = {"ok": "ok", "note": "--", "broken": "XX"}


def doctor_command(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Say what this machine can do, what is broken, and what to do.

    Every runtime computes a tiny model; extras, brokers, the clock, name clashes and shared memory are looked at.
    The exit code is 0 unless something is broken; what is merely not installed is no fault.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    with console.progress("examining this machine"):
        report = examine()
    console.emit(report, json, lambda: _text(report))
    return 0 if report.healthy else 1


def _text(report: Report) -> str:
    width = max(len(f.name) for f in report.findings)
    lines: list[str] = []
    about = ""
    for finding in report.findings:
        if finding.about != about:
            about = finding.about
            lines.append(about)
        lines += _lines(finding, width)
    broken = [f.name for f in report.findings if f.state == "broken"]
    return "\n".join([*lines, "", f"broken: {', '.join(broken)}" if broken else "nothing is broken"])


def _lines(finding: Finding, width: int) -> list[str]:
    first = f"  {MARKS[finding.state]}  {finding.name:<{width}}  {finding.says}"
    return [first, f"      {'':<{width}}  -> {finding.do}"] if finding.do else [first]
