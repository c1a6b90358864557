"""The input contract, executed: compiler and agent run this very code, so a model sees the same numbers everywhere.

Pictures come in as OpenCV delivers them: uint8, H x W x 3 in BGR order, or H x W (x 1) in grey.
real = pixel * (scale / std) + (-mean / std), in float32; an integer model gets `quantize(real)`.
Sound comes in as the samples of one window, or as its features: `edge.windows` makes them while the sound arrives.
"""

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadDataError, BadInputContractError
from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, TensorInput, TensorSpec
from edge.picture import fit, to_channels
from edge.quantization import DTYPES, quantize
from edge.sound import Features, check_sound, to_real, values_of, window_samples

Data = NDArray[np.generic]
Real = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def sample_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Shape of one sample: the model's own without its leading 1."""
    return spec.shape[1:] if len(spec.shape) > 1 and spec.shape[0] == 1 else spec.shape


def contract_shape(contract: InputContract) -> tuple[int, ...]:
    """Shape of one sample that `contract` makes."""
    match contract:
        case ImageInput(width=w, height=h, layout=layout):
            n = channels(contract)
            return (h, w, n) if layout == "NHWC" else (n, h, w)
        case SeriesInput(window=rows, layout=layout):
            n = channels(contract)
            return {"NTC": (rows, n), "NCT": (n, rows), "NF": (rows * n,)}[layout]
        case AudioInput(window=rows, layout=layout):
            n = channels(contract)
            return {
                "NTC": (rows, n), "NCT": (n, rows), "NF": (rows * n,),
                "NTC1": (rows, n, 1), "N1TC": (1, rows, n), "N1CT": (1, n, rows),
            }[layout]  # fmt: skip
        case TensorInput(shape=shape):
            return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def empty_sample(contract: InputContract) -> Data:
    """A sample of zeros, of the size and form in which the capture process delivers one for `contract`."""
    match contract:
        case ImageInput(width=width, height=height):
            return np.zeros((height, width, 3), np.uint8)
        case SeriesInput(window=window) | AudioInput(window=window):
            return np.zeros((window, channels(contract)), np.float32)
    return np.zeros(contract_shape(contract), np.float32)


def channels(contract: InputContract) -> int:
    """How many channels (or columns) have a mean and a std of their own; 1 for a tensor."""
    match contract:
        case ImageInput(colour=colour):
            return 1 if colour == "GRAY" else 3
        case SeriesInput(columns=columns):
            return len(columns)
        case AudioInput():
            return values_of(contract)
        case TensorInput():
            return 1


def check_contract(contract: InputContract, spec: TensorSpec) -> None:
    """Raise `BadInputContractError` unless `contract` makes exactly what the input `spec` takes."""
    made, taken = contract_shape(contract), sample_shape(spec)
    if made != taken:
        raise BadInputContractError(
            f"the input contract makes {_by(made)}, but the model's input {spec.name!r} takes {_by(taken)}",
            remedy="correct width, height, colour, layout, window, columns, n_mfcc, n_mels or shape in the input file",
        )
    if isinstance(contract, TensorInput):
        return
    if isinstance(contract, AudioInput):
        check_sound(contract)
    n = channels(contract)
    if len(contract.mean) not in {1, n} or len(contract.std) not in {1, n}:
        raise BadInputContractError(
            f"mean has {len(contract.mean)} and std {len(contract.std)} numbers, the input has {n} channels",
            remedy="give one number, or one for each channel",
        )
    if not (np.isfinite(contract.mean).all() and np.isfinite(contract.std).all() and min(contract.std) > 0):
        raise BadInputContractError("mean and std must be finite, and std positive", remedy="correct mean and std")


class Preprocessor:
    """Turns pictures, rows, sound or tensors into one model's input. Not thread-safe: it owns scratch space."""

    def __init__(self, contract: InputContract, spec: TensorSpec) -> None:
        """Prepare the arithmetic once; raises `BadInputContractError` where contract and model disagree."""
        check_contract(contract, spec)
        self.contract, self.spec = contract, spec
        self._shape = contract_shape(contract)
        self._factor, self._offset = _affine(contract)
        self._pixels: Pixels = np.empty(self._shape if isinstance(contract, ImageInput) else 0, np.uint8)
        self._features = Features(contract) if isinstance(contract, AudioInput) else None
        self._channels_last = isinstance(contract, ImageInput) and contract.layout == "NHWC"
        self._codes, self._shift = self._tabulate()
        in_order = isinstance(contract, ImageInput) and contract.colour == "BGR" and contract.layout == "NHWC"
        self._as_seen = in_order and self._shift is not None
        """A picture of the model's size needs no reordering, and at most one addition."""
        self._as_it_is = self._as_seen and not self._shift and spec.dtype == "uint8"
        """It need only be copied."""

    def into(self, data: Data, out: Data) -> None:
        """Write one sample to `out`: the model's own dtype and shape, its leading 1 or not.

        `data`: a picture (see above); or `window` rows of float columns; or one window's samples of sound, float from
        -1 to 1 or int16, or its features [window, values]; or a tensor of the model's shape.
        `out`: usually `session.input_buffer()`. Raises `BadDataError` if `data` does not fit or holds NaN or infinity.
        """
        if self._as_it_is and data.shape == self._shape and data.dtype == np.uint8:
            np.copyto(out, data)
            return
        target = out.reshape(self._shape)  # a view: input buffers are contiguous
        if self._as_seen and self._shift is not None and data.shape == self._shape and data.dtype == np.uint8:
            np.add(data, self._shift, out=target.view(np.uint8))
        elif not isinstance(self.contract, ImageInput):
            np.copyto(target, quantize(self.real(data), self.spec))
        elif self._codes is None:
            self._apply(self._picture(data), target)
        elif self._shift is not None:
            np.add(self._picture(data), self._shift, out=target.view(np.uint8))
        else:
            self._look_up(self._picture(data), target)

    def real(self, data: Data) -> Real:
        """One sample as real values, without a batch axis; raises `BadDataError` as `into` does."""
        out: Real = np.empty(self._shape, np.float32)
        match self.contract:
            case ImageInput():
                self._apply(self._picture(data), out)
            case SeriesInput(window=window, columns=columns, layout=layout):
                rows = _finite(data, (window, len(columns)), "rows x columns")
                scaled = rows * self._factor + self._offset
                out[...] = (scaled.T if layout == "NCT" else scaled).reshape(self._shape)
            case AudioInput(layout=layout):
                scaled = self._sound(data) * self._factor + self._offset
                out[...] = (scaled.T if layout in {"NCT", "N1CT"} else scaled).reshape(self._shape)
            case TensorInput():
                out[...] = _finite(data, self._shape, "the model's shape")
        return out

    def _picture(self, data: Data) -> Pixels:
        """Resize, reorder the colours and lay out; uint8."""
        assert isinstance(self.contract, ImageInput)  # noqa: S101 - narrows the type
        if (
            data.dtype != np.uint8
            or not (data.ndim == 2 or (data.ndim == 3 and data.shape[2] in {1, 3}))
            or not data.size
        ):
            raise BadDataError(
                f"not a picture: {data.dtype} of shape {_by(data.shape)}",
                remedy="give uint8 pictures, height x width x 3 in BGR order or height x width in grey",
            )
        fitted = fit(data.view(np.uint8), self.contract.width, self.contract.height, self.contract.resize)
        return to_channels(fitted, self.contract.colour, self.contract.layout, self._pixels)

    def _sound(self, data: Data) -> Real:
        """Features of one window, made of its samples unless they are made already."""
        assert isinstance(self.contract, AudioInput)  # noqa: S101 - narrows the type
        assert self._features is not None  # noqa: S101 - narrows the type
        shape = (self.contract.window, values_of(self.contract))
        if data.shape == shape:
            return _finite(data, shape, "frames x values")
        sound = _finite(data.reshape(-1), (window_samples(self.contract),), "the samples of one window")
        return self._features.of(to_real(data) if data.dtype == np.int16 else sound)

    def _apply(self, pixels: Pixels, out: Data) -> None:
        """Pixel to real value, in float32: first the product, then the sum, so that every path rounds alike."""
        flat, target = self._flat(pixels), self._flat(out)
        np.multiply(flat, self._factor, out=target)
        if self._offset.any():
            np.add(target, self._offset, out=target)

    def _flat(self, x: Data) -> Data:
        """NHWC with a factor for each channel is walked in rows of W*C, which is five times faster than in threes."""
        if self._channels_last and self._factor.size > 1:
            return x.reshape(self._shape[0], -1)
        return x

    def _look_up(self, pixels: Pixels, out: Data) -> None:
        """Pixel to code by a table of 256, one for all channels or one each."""
        assert self._codes is not None  # noqa: S101 - narrows the type
        if len(self._codes) == 1:
            out[...] = _translate(pixels, self._codes[0])
            return
        for channel, table in enumerate(self._codes):
            if self._channels_last:  # a strided plane costs more than looking all channels up
                out[..., channel] = _translate(pixels, table)[..., channel]
            else:
                out[channel] = _translate(pixels[channel], table)

    def _tabulate(self) -> tuple[Data | None, np.uint8 | None]:
        """Codes of the 256 pixels, by channel; and their distance if one addition (that wraps) gives them all."""
        if not isinstance(self.contract, ImageInput) or self.spec.dtype == "float32":
            return None, None
        factor, offset = _per_channel(self.contract)
        pixels = np.arange(256, dtype=np.float32)
        tables = np.stack([quantize(pixels * a + b, self.spec) for a, b in zip(factor, offset, strict=True)])
        assert tables.dtype == DTYPES[self.spec.dtype]  # noqa: S101 - the view below depends on it
        distance = tables.view(np.uint8) - np.arange(256, dtype=np.uint8)
        return tables, distance.flat[0] if (distance == distance.flat[0]).all() else None


def _translate(pixels: Pixels, table: Data) -> Data:
    """Look every pixel up; bytes.translate does so five times faster than indexing, which widens the indices first."""
    codes = pixels.tobytes().translate(table.tobytes())
    return np.frombuffer(codes, table.dtype).reshape(pixels.shape)


def _per_channel(contract: ImageInput | SeriesInput | AudioInput) -> tuple[Real, Real]:
    """Factor and offset in float32, one for each channel, or one for all."""
    mean, std = np.asarray(contract.mean, np.float64), np.asarray(contract.std, np.float64)
    scale = contract.scale if isinstance(contract, ImageInput) else 1.0
    factor, offset = np.broadcast_arrays(scale / std, -mean / std)
    return factor.astype(np.float32), offset.astype(np.float32)


def _affine(contract: InputContract) -> tuple[Real, Real]:
    """`_per_channel`, shaped so that it broadcasts over a sample."""
    if isinstance(contract, TensorInput):
        return np.ones(1, np.float32), np.zeros(1, np.float32)
    factor, offset = _per_channel(contract)
    if factor.size == 1 or isinstance(contract, SeriesInput | AudioInput):
        return factor, offset
    if contract.layout == "NHWC":
        return np.tile(factor, contract.width), np.tile(offset, contract.width)
    return factor.reshape(-1, 1, 1), offset.reshape(-1, 1, 1)


def _finite(data: Data, shape: tuple[int, ...], meaning: str) -> Real:
    if data.size != np.prod(shape, dtype=int) or (data.ndim > 1 and data.shape[-1] != shape[-1]):
        raise BadDataError(
            f"data of shape {_by(data.shape)} where {_by(shape)} is wanted ({meaning})",
            remedy="give one window or one sample at a time",
        )
    real = data.reshape(shape).astype(np.float32)
    if not np.isfinite(real).all():
        raise BadDataError("data holds NaN or infinity", remedy="repair the sensor, or fill gaps before this step")
    return real


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "a scalar"
