"""Writes NAME-VERSION.report/: report.html for people (one file, offline, no script in it), report.json for scripts.

Beside them lie card.md, the model card, and sbom.cdx.json, the bill of materials: always the same for the same bundle.
"""

from pathlib import Path

import msgspec

from compiler.json_objects import to_json
from compiler.report.card import make_card
from compiler.report.sbom import make_sbom
from compiler.result import Compiled

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(compiled: Compiled) -> Path:
    """Write all files and return the HTML one."""
    folder = compiled.report
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(to_json(compiled)), indent=1) + b"\n")
    (folder / "sbom.cdx.json").write_text(make_sbom(compiled.manifest, compiled.sha256), "utf-8")
    (folder / "card.md").write_text(make_card(compiled), "utf-8")
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
