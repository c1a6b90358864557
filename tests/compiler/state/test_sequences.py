"""Samples that are sequences: their labels, their parts, and what they prove."""

from pathlib import Path

import numpy as np
import pytest
from memories import drifting, saved

from compiler.arrange import arrange
from compiler.compare import compare
from compiler.read_data import open_data
from compiler.yardstick import Run, fit
from edge.errors import BadDataError
from edge.manifest import SeriesInput, TensorInput


def test_a_sequence_has_one_label_or_one_for_each_step(tmp_path: Path) -> None:
    x, y = drifting(6, 4), np.arange(24).reshape(6, 4) % 3 % 2
    for labels, judged in ((y[:, 0], 1), (y, 4)):
        data = open_data(saved(tmp_path / f"{judged}.npz", x=x, y=labels), stateful=True)
        samples = arrange(data, TensorInput(shape=(1, 2)), labels=(), outputs=2, stateful=True)
        assert (len(samples), samples.judged, data.shape) == (6, judged, (2,))
        some = samples.part([4, 1])
        assert some.labels.tolist() == labels[[4, 1]].ravel().tolist()
        assert (some.sequence(1) == x[1]).all()
        assert some.where_of(judged) == ("sequence 1" if judged == 1 else "sequence 1, step 0")


def test_data_without_sequences_are_refused(tmp_path: Path) -> None:
    flat = saved(tmp_path / "flat.npz", x=np.zeros((6, 2), np.float32), y=np.arange(6) % 2)
    with pytest.raises(BadDataError, match="holds no sequences"):
        open_data(flat, stateful=True)
    with pytest.raises(BadDataError, match="needs sequences"):
        open_data(tmp_path, stateful=True)


def test_the_rows_of_a_csv_become_sequences_that_share_no_row(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{-i},{'on' if i % 3 else 'off'}" for i in range(200))
    (tmp_path / "d.csv").write_text("a,b,label\n" + rows)
    contract = SeriesInput(window=1, stride=1, columns=("b", "a"), layout="NF")
    samples = arrange(open_data(tmp_path / "d.csv", stateful=True), contract, labels=(), outputs=2, stateful=True)
    assert (len(samples), samples.steps, samples.judged, len(samples.labels)) == (3, 64, 64, 192)
    assert samples.sequence(1)[5].tolist() == [[-69.0, 69.0]]
    assert samples.where[1] == "line 66 to line 129"
    assert [samples.classes[i] for i in samples.labels[64:67]] == ["on", "on", "off"]
    assert len(set(samples.digests)) == 3


def test_steps_that_are_wrong_together_prove_no_more_than_one_sequence() -> None:
    truth = np.zeros(400, np.int64)
    before = np.tile(np.array([[1.0, 0.0]], np.float32), (400, 1))
    after = before.copy()
    after[:20] = after[:20, ::-1]  # one sequence of twenty
    yardstick = fit("classify", None, before, truth)
    alone = compare(Run(before, before), Run(after, after), truth, yardstick)
    together = compare(Run(before, before), Run(after, after), truth, yardstick, judged=20)
    assert (alone.quality.samples, together.quality.samples) == (400, 20)
    assert together.quality.drop == alone.quality.drop == pytest.approx(0.05)
    assert together.quality.upper95 is not None
    assert alone.quality.upper95 is not None
    assert together.quality.upper95 > 1.5 * alone.quality.upper95
    assert together.lost is None
