"""What a bundle says of itself: `manifest.json`, formats 1 and 2. Numbers have a unit in their name or docstring."""

from typing import Annotated, Literal

import msgspec

from edge.topics import ID_PATTERN

Format = Literal[1, 2]
FORMAT: Format = 1
STATEFUL_FORMAT: Format = 2
"""Of a bundle whose model has a state: a release that knows none must not run it as if it had none."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""64 lower-case hex digits; `$` alone would let a last line break through."""
Name = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Dtype = Literal["float32", "int8", "uint8"]
Precision = Literal["float32", "float16", "int8-weights", "int8", "int16x8", "mixed"]
"""Of weights and activations: float16 and int8-weights compute in float; int16x8 has int16 activations beside int8
weights; mixed is int8 with some layers in float."""
RuntimeName = Literal["litert", "onnxruntime", "tflite-runtime", "ethos-u", "rknn"]
"""ethos-u: LiteRT with that NPU's delegate, on Linux beside it; a microcontroller's firmware takes the same file.
rknn: Rockchip's runtime for its NPUs, through rknn-toolkit-lite2."""
Size = Annotated[int, msgspec.Meta(ge=1, le=16384)]
TaskName = Literal["classify", "anomaly", "regress", "detect"]
MetricName = Literal["accuracy", "top5", "auc", "f1", "mae", "correlation", "map", "map50"]
BoxFormat = Literal["yolo", "yolo-objectness", "fastestdet", "boxes"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
OutputIndex = Annotated[int, msgspec.Meta(ge=0, le=15)]
Verdict = Literal["kept", "broken", "unproven"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: immutable, and an unknown field is an error (a manifest is signed, not negotiated)."""


class TensorSpec(Record, frozen=True, kw_only=True):
    """One input or output of a model; `scale` and `zero_point` are set when `dtype` is an integer."""

    name: str
    shape: tuple[Size, ...]
    dtype: Dtype
    scale: float | None = None
    zero_point: int | None = None


class StateSpec(Record, frozen=True, kw_only=True):
    """One state of a model: zeros at first, then what leaves as `output` comes in as `input` of the next step."""

    input: TensorSpec
    output: TensorSpec
    """Of the same shape; where its dtype or scale is another one, the runtime converts."""


class Variant(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One compiled form of the model. The first variant of a manifest is the one that runs."""

    runtime: RuntimeName
    dtype: Precision
    """Of the weights and activations, not of the input."""
    file: str
    sha256: Sha256
    size_bytes: int
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    """The model's answers, without the state."""
    state: Annotated[tuple[StateSpec, ...], msgspec.Meta(max_length=16)] = ()
    """Empty for a model that has no memory, and then not written."""


class ImageInput(Record, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """How a picture becomes the model's input: resize, reorder, then (pixel * scale - mean) / std per channel."""

    width: Size
    height: Size
    colour: Literal["RGB", "BGR", "GRAY"]
    layout: Literal["NHWC", "NCHW"]
    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    scale: float = 1.0
    """Factor on the 0..255 pixel, before mean and std: 0.00392156862745098 gives 0..1."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """One number, or one for each channel."""


class SeriesInput(Record, frozen=True, kw_only=True, tag_field="kind", tag="series"):
    """How rows of sensors become the model's input: `window` rows, every `stride` rows, (value - mean) / std."""

    window: Size
    stride: Size
    columns: tuple[str, ...]
    layout: Literal["NTC", "NCT", "NF"] = "NTC"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class AudioInput(Record, frozen=True, kw_only=True, tag_field="kind", tag="audio"):
    """How sound becomes the model's input: frames, spectrum, mel, logarithm, perhaps DCT, then (value - mean) / std.

    `edge.sound` is the arithmetic. Nothing is random (no dither), nothing is padded: frame i is the samples from
    i * hop_length to i * hop_length + win_length. Names as in torchaudio's MelSpectrogram and MFCC.
    """

    sample_rate: Annotated[int, msgspec.Meta(ge=1000, le=192_000)]
    """In Hz; one channel of samples from -1 to 1."""
    window: Size
    """Frames in one input."""
    stride: Size
    """Frames between two inputs."""
    win_length: Size
    """Samples of a frame."""
    hop_length: Size
    """Samples between two frames; at most `win_length`."""
    n_fft: Size
    """At least `win_length`: a frame is filled with zeros at its end."""
    n_mels: Annotated[int, msgspec.Meta(ge=1, le=512)]
    n_mfcc: Annotated[int, msgspec.Meta(ge=0, le=512)] = 0
    """The first so many coefficients of the DCT; 0: the logarithms themselves (log-mel)."""
    f_min: float = 0.0
    f_max: float
    """Edges of the mel filters, in Hz."""
    window_fn: Literal["hann", "hamming", "ones"] = "hann"
    """The periodic ones."""
    preemphasis: float = 0.0
    """a in x[t] - a * x[t - 1], within a frame, whose first sample is taken to have followed itself."""
    power: Literal[1, 2] = 2
    """1: magnitude, 2: power of the spectrum."""
    mel_scale: Literal["htk", "slaney"] = "htk"
    triangles: Literal["mel", "hz"] = "hz"
    """On which axis the sides of the filters are straight: mel (TensorFlow, Kaldi) or hz (torchaudio, librosa)."""
    norm: Literal["none", "slaney"] = "none"
    """slaney: each filter divided by half its width in Hz."""
    level: Literal["none", "max", "absmax"] = "none"
    """Sound is divided by the largest sample of the window (`max`: with its sign), as far as it is positive."""
    log: Literal["ln", "log10", "db"] = "ln"
    """db: 10 * log10."""
    log_offset: float = 1e-6
    """Added before the logarithm."""
    log_floor: float = 0.0
    """Smaller sums count as this, before the logarithm."""
    top_db: float = 0.0
    """Of `db`: what lies further below the loudest value of the window counts as this far below it; 0: no limit."""
    dct_norm: Literal["ortho", "htk"] = "ortho"
    """htk: every coefficient times sqrt(2 / n_mels), the first one, too."""
    layout: Literal["NTC", "NCT", "NF", "NTC1", "N1TC", "N1CT"] = "NTC"
    """T frames, C values of a frame."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """One number, or one for each value of a frame."""


class TensorInput(Record, frozen=True, kw_only=True, tag_field="kind", tag="tensor"):
    """The data already has the model's shape and scale (features made elsewhere)."""

    shape: tuple[Size, ...]


InputContract = ImageInput | SeriesInput | AudioInput | TensorInput


class Priors(Record, frozen=True, kw_only=True):
    """Fixed boxes that a detector's numbers shift and stretch: for each stride a grid of cells, in each cell squares.

    centre = prior centre + number * centre_variance * prior size; size = prior size * exp(number * size_variance).
    Source: W. Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2, and the variances of its code.
    """

    strides: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Pixels of the model's picture between two cells; the cells of the last column and row may reach beyond it."""
    sizes: tuple[Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1, max_length=16)], ...]
    """For each stride the sides of its squares, in pixels of the model's picture."""
    centre_variance: Positive = 0.1
    size_variance: Positive = 0.2


class BoxTensors(Record, frozen=True, kw_only=True):
    """Which outputs hold what, where a detector has one each; numbers count from 0."""

    boxes: OutputIndex = 0
    """[1, n, 4]."""
    scores: OutputIndex = 1
    """[1, n, labels], or [1, n] with a label for each box in `classes`."""
    classes: OutputIndex | None = None
    """[1, n] label numbers."""
    order: Literal["xyxy", "yxyx", "centre"] = "xyxy"
    """Of a box: left, top, right, bottom; top, left, bottom, right; or centre x, y, width, height."""
    background: bool = False
    """The first column of `scores` means nothing is there."""
    priors: Priors | None = None
    """None: boxes are what they say."""


class Head(Record, frozen=True, kw_only=True):
    """How a detector's outputs become boxes: `edge.boxes` executes it, in the compiler and on the device."""

    format: BoxFormat
    size: tuple[Positive, Positive] = (1.0, 1.0)
    """Width and height of the model's picture, where the detector tells pixels; (1, 1) where it tells shares."""
    floor: Share = 0.5
    """A box with at least this score is seen: what decisions rest on. Precision, which ranks boxes, does not."""
    overlap: Share = 0.45
    """Of two boxes of one label whose intersection over union is above it, the better one stays."""
    tensors: BoxTensors = BoxTensors()
    """Read by the format `boxes` only."""


class Quality(Record, frozen=True, kw_only=True):
    """What compiling cost, on `samples` samples that neither trained, calibrated nor chose anything."""

    metric: MetricName
    reference: float = msgspec.field(name="float")
    """Of the model as it was given, in float; `float` in JSON. A share, or for `mae` in the unit of the truth."""
    compiled: float
    drop: float
    """reference - compiled; for `mae` the error added, as a share of the error of always saying the median."""
    ci95: tuple[float, float]
    """Two-sided 95 % interval of `drop`, paired."""
    agreement: Share
    """Share of samples that float and compiled decide alike."""
    samples: int
    upper95: float | None = None
    """One-sided 95 % upper bound of `drop`: what a budget is held against. None: compiled by an older release."""
    verdict: Verdict | None = None
    """Whether the budget named in `provenance.recipe` is kept: `max_drop` by `upper95`, `max_ms` if there is one."""


class Latency(Record, frozen=True, kw_only=True):
    """Time of one inference on one core type and runtime; never a bare number."""

    core: str
    runtime: RuntimeName
    kind: Literal["predicted", "measured"]
    ms: float
    low: float
    high: float
    source: str


class Tolerance(Record, frozen=True, kw_only=True):
    """How closely a runtime must reproduce the golden outputs; the arg-max of a classifier must always agree."""

    atol: float
    rtol: float


class Provenance(Record, frozen=True, kw_only=True):
    """Where the bundle came from: nothing that changes from run to run, no path of a machine."""

    source_sha256: Sha256
    data_sha256: Sha256
    tools: dict[str, str]
    recipe: dict[str, str]


class Manifest(Record, frozen=True, kw_only=True):
    """`manifest.json`."""

    format: Format = FORMAT
    """2 where the variants have a state, else 1."""
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    target: Name
    labels: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], ...]
    task: TaskName = "classify"
    """anomaly: the score is the first output, or the mean squared error between it and the input; regress: numbers;
    detect: boxes, as `head` says."""
    head: Head | msgspec.UnsetType = msgspec.UNSET
    """Of a detector; left out of the file of any other task, so that older agents still read it."""
    score_edges: tuple[float, ...] = ()
    """Edges of the baseline's score histogram; empty for a classifier, which has `edge.statistics.SCORE_EDGES`."""
    input: InputContract
    """Of one step, where the model has a state."""
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=1, max_length=2)]
    quality: Quality
    latency: tuple[Latency, ...] = ()
    golden: Tolerance
    provenance: Provenance

    @property
    def stateful(self) -> bool:
        """Whether the model has a memory: then golden samples are one sequence, and each frame is a step."""
        return bool(self.variants[0].state)
