"""Gathers what the cells left into figures: one record a model, one row a file; and keeps those of earlier runs."""

from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import msgspec
import numpy as np
from cases import CASES
from cells import Cell, remembered
from effort import efforts
from figures import Judged, Paired, agreement, compare, noise_db, scores_of, value_of
from ours import Ours
from peers import PEERS, SETTINGS
from prepare import Prepared
from turns import Machine, load, machine

from compiler.cache import code_digest
from compiler.metrics import correlation

METRIC = {"classify": "accuracy", "anomaly": "auc", "regress": "correlation"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One file, or why there is none."""

    who: str
    setting: str = ""
    format: str
    state: str = "done"
    reason: str = ""
    seconds: float = 0.0
    judged: Judged | None = None
    ours_against: Paired | None = None
    """Our integer file of the best format against this one."""
    chosen_time: float | None = None
    """Time of what a bundle would hold, divided by this file's, in turns."""

    @property
    def is_peer(self) -> bool:
        """Neither ours nor float."""
        return self.who in PEERS


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """When something was measured, and with what: figures of two runs stand on one page, but are not of one run."""

    day: str
    """UTC, as 2026-11-26."""
    load: float
    """Load average behind the last cell: how busy the machine was."""
    code: str
    """First digits of the digest of our own source."""
    packages: dict[str, str] = {}
    """Each tool to what its environment holds; empty where no peer took part."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    name: str
    ran: Ran
    what: str
    cnn: bool
    metric: str
    float_value: float
    samples: int
    calibrate: int
    signed: bool
    """Peers got the .tflite file with the signature that it lacks."""
    ours_format: str
    """The format whose integer file had the better SQNR on the select part."""
    ours: Ours
    rows: tuple[Row, ...]
    seconds: float
    """Of our search."""

    def row(self, who: str, file_format: str) -> Row:
        """Ours, or float."""
        return next(row for row in self.rows if (row.who, row.format) == (who, file_format))


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All of compiler.json."""

    machine: Machine
    models: tuple[Model, ...]
    missing: dict[str, str]
    """Models that were not run to the end, and why."""
    efforts: dict[str, Cell]
    efforts_ran: Ran | None = None


class Files:
    """What the judge left of one model."""

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder, self.metric = folder, metric
        with np.load(folder / "report.npz") as report:
            self.x, self.y, self.reference = report["x"], report["y"], report["reference"]
        with np.load(folder / "times.npz") as times:
            self.times = dict(zip(times["names"].tolist(), times["seconds"], strict=True))
        self.truth = self.reference if metric == "correlation" else self.y

    def outputs(self, name: str, kind: str = "outputs") -> np.ndarray | None:
        """Of one file; None: it gave none."""
        path = self.folder / f"{name}.out.npz"
        if not path.exists():
            return None
        with np.load(path) as found:
            return found[kind] if kind in found.files else None

    def scores(self, name: str) -> np.ndarray | None:
        """What the metric looks at."""
        found = self.outputs(name)
        return None if found is None else scores_of(self.metric, found, self.x)

    def noise_db(self, name: str) -> float:
        """Before the soft-max where both files have one."""
        inner, exact = self.outputs(name, "logits"), self.outputs("float.tflite", "logits")
        if inner is not None and exact is not None:
            return noise_db(inner, exact)
        found = self.outputs(name)
        assert found is not None
        return noise_db(found, self.reference)

    def judged(self, name: str) -> Judged | None:
        """Figures of one file."""
        scores = self.scores(name)
        if scores is None or name not in self.times:
            return None
        reference = scores_of(self.metric, self.reference, self.x)
        value = value_of(self.metric, scores, self.truth)
        return Judged(
            metric=self.metric,
            value=value,
            drop=value_of(self.metric, reference, self.truth) - value,
            sqnr_db=self.noise_db(name),
            agreement=agreement(self.metric, scores, reference),
            size_bytes=(self.folder / name).stat().st_size,
            seconds_p50=float(np.median(self.times[name])),
            correlation=self._correlation(name),
        )

    def _correlation(self, name: str) -> float | None:
        found = self.outputs(name)
        value = float("nan") if found is None else float(correlation(self.reference, found))
        return value if isfinite(value) else None

    def ratio(self, one: str, other: str) -> float | None:
        """Median over the rounds of the ratio of times."""
        if one not in self.times or other not in self.times:
            return None
        return float(np.median(self.times[one] / self.times[other]))


def collect(folder: Path, before: Results | None) -> Results:
    """Read everything; a model without cells of its own keeps what an earlier run found."""
    kept = {} if before is None else {model.name: model for model in before.models}
    models, missing = [], {}
    for name in CASES:
        found = _model(name, folder / name)
        if isinstance(found, Model):
            models.append(found)
        elif name in kept:
            models.append(kept[name])
        else:
            missing[name] = found
    timed, timed_ran = efforts(folder), _remembered_ran(folder / "efforts.ran.json")
    if not timed and before is not None:
        timed, timed_ran = before.efforts, before.efforts_ran
    return Results(machine=machine(load()), models=tuple(models), missing=missing, efforts=timed, efforts_ran=timed_ran)


def note_run(path: Path, *, peers: bool = True) -> None:
    """Write down now, and with what."""
    packages = {peer.name: " ".join(peer.packages) for peer in PEERS.values()} if peers else {}
    packages["ours"] = f"edgewright {version('edgewright')}"
    ran = Ran(day=f"{datetime.now(UTC):%Y-%m-%d}", load=load(), code=code_digest()[:12], packages=packages)
    path.write_bytes(msgspec.json.encode(ran))


def _remembered_ran(path: Path) -> Ran | None:
    return msgspec.json.decode(path.read_bytes(), type=Ran) if path.exists() else None


def _model(name: str, folder: Path) -> Model | str:
    for step in ("prepare", "ours", "judge"):
        cell = remembered(folder / f"{step}.cell.json")
        if cell is None:
            return "not run"
        if cell.state != "done":
            return f"{step}: {cell.state}, {cell.reason}"
    ran = _remembered_ran(folder / "ran.json")
    if ran is None:
        return "stopped before its end"
    case = CASES[name]
    files = Files(folder, METRIC[case.task] if case.truth_known else "agreement")
    ours = msgspec.json.decode((folder / "ours.json").read_bytes(), type=Ours)
    if not ours.files:
        return "our search built no integer file"
    prepared = msgspec.json.decode((folder / "prepared.json").read_bytes(), type=Prepared)
    best = max(ours.files, key=lambda ending: ours.files[ending].select_sqnr_db)
    search = remembered(folder / "ours.cell.json")
    assert search is not None
    reference = scores_of(files.metric, files.reference, files.x)
    return Model(
        name=name,
        ran=ran,
        what=case.what,
        cnn=case.cnn,
        metric=files.metric,
        float_value=value_of(files.metric, reference, files.truth),
        samples=prepared.report,
        calibrate=prepared.calibrate,
        signed=prepared.signed,
        ours_format=best,
        ours=ours,
        rows=tuple(_rows(files, ours, best)),
        seconds=search.seconds,
    )


def _rows(files: Files, ours: Ours, best: str) -> list[Row]:
    floats = [ending for ending in ("onnx", "tflite") if (files.folder / f"float.{ending}").exists()]
    rows = [_row(files, ours, best, f"float.{one}", Row(who="float32", format=one)) for one in floats]
    for ending, taken in ours.files.items():
        row = Row(who="ours", setting=taken.precision, format=ending)
        rows.append(_row(files, ours, best, taken.file, row))
    for peer in PEERS.values():
        for setting in SETTINGS:
            cell = remembered(files.folder / f"{peer.name}-{setting}.cell.json") or Cell(state="none", reason="not run")
            row = Row(
                who=peer.name,
                setting=setting,
                format=peer.gives,
                state=cell.state,
                reason=cell.reason,
                seconds=cell.seconds,
            )
            rows.append(_row(files, ours, best, f"{peer.name}-{setting}.{peer.gives}", row))
    return rows


def _row(files: Files, ours: Ours, best: str, name: str, row: Row) -> Row:
    """Fill in what the judge found."""
    if row.state != "done":
        return row
    judged, bad = files.judged(name), files.folder / f"{name}.bad"
    if judged is None:
        reason = bad.read_text() if bad.exists() else "the judge has not seen it"
        return msgspec.structs.replace(row, state="does not run", reason=reason)
    mine, theirs = files.scores(ours.files[best].file), files.scores(name)
    paired = None
    if row.is_peer and mine is not None and theirs is not None:
        gain_db = files.noise_db(ours.files[best].file) - judged.sqnr_db
        paired = compare(files.metric, mine, theirs, files.truth, gain_db)
    return msgspec.structs.replace(
        row, judged=judged, ours_against=paired, chosen_time=files.ratio(ours.chosen.file, name)
    )
