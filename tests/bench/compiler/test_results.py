"""A page of several runs must not pretend to be of one."""

import sys
from pathlib import Path

import msgspec
import pytest

PUBLISHED = Path(__file__).parents[3] / "docs" / "benchmarks"


@pytest.fixture(autouse=True)
def siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {*sys.modules}
    for folder in (Path(__file__).parent, Path(__file__).parents[1]):
        monkeypatch.syspath_prepend(str(folder))
    yield  # type: ignore[misc]
    here = str(Path(__file__).parents[1])
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(here):
            sys.modules.pop(name)


def test_a_model_that_is_not_run_again_keeps_its_figures_with_their_day_and_tools(tmp_path: Path) -> None:
    from results import Ran, collect
    from write_page import page, written_before

    before = written_before(PUBLISHED)
    assert before is not None
    old = Ran(day="1999-12-31", load=7.0, code="cafe", packages={"nncf": "nncf==0.1"})
    before = msgspec.structs.replace(before, models=(msgspec.structs.replace(before.models[0], ran=old),))
    found = collect(tmp_path, before)
    assert found.models == before.models
    assert before.models[0].name not in found.missing
    written = page(found)
    assert "Run on 1999-12-31, load average 7." in written
    assert f"- {before.models[0].name}: nncf: nncf==0.1; our source cafe." in written


def test_the_page_on_the_shelf_is_what_its_figures_say() -> None:
    from write_page import page, written_before

    results = written_before(PUBLISHED)
    assert results is not None
    assert (PUBLISHED / "compiler.md").read_text(encoding="utf-8") == page(results)
