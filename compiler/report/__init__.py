"""Writes NAME-VERSION.report/: report.json for scripts, report.html for people (one file, offline, no script in it)."""

from pathlib import Path

import msgspec

from compiler.result import Compiled, to_json

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(compiled: Compiled) -> Path:
    """Write both files and return the HTML one."""
    folder = compiled.report
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(to_json(compiled)), indent=1) + b"\n")
    page = folder / "report.html"
    page.write_text(render(compiled), "utf-8")
    return page


def render(compiled: Compiled) -> str:
    """Return the whole page."""
    import jinja2

    from compiler.report.view import view_of

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(v=view_of(compiled))
