"""Gathers what the cells left into figures: one record a model, one row a file."""

from importlib.metadata import version
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


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    name: str
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
    peers: dict[str, str]
    """Peer to the packages of its environment."""


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
        )

    def ratio(self, one: str, other: str) -> float | None:
        """Median over the rounds of the ratio of times."""
        if one not in self.times or other not in self.times:
            return None
        return float(np.median(self.times[one] / self.times[other]))


def collect(folder: Path) -> Results:
    """Read everything."""
    models, missing = [], {}
    for name in CASES:
        found = _model(name, folder / name)
        if isinstance(found, str):
            missing[name] = found
        else:
            models.append(found)
    return Results(
        machine=machine(load()),
        models=tuple(models),
        missing=missing,
        efforts=efforts(folder),
        peers={peer.name: " ".join(peer.packages) for peer in PEERS.values()}
        | {"ours": f"edgewright {version('edgewright')}"},
    )


def _model(name: str, folder: Path) -> Model | str:
    for step in ("prepare", "ours", "judge"):
        cell = remembered(folder / f"{step}.cell.json")
        if cell is None:
            return "not run"
        if cell.state != "done":
            return f"{step}: {cell.state}, {cell.reason}"
    case = CASES[name]
    files = Files(folder, METRIC[case.task])
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
