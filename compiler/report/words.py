"""How the page writes names, sentences and numbers, in every part alike."""

RUNTIME_TITLES = {
    "litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "tflite-runtime": "tflite-runtime",
    "rknn": "RKNN (simulator)",
}


def title(runtime: str) -> str:
    """Name a runtime as its makers do."""
    return RUNTIME_TITLES.get(runtime, runtime)


def form(dtype: str, runtime: str) -> str:
    """Name one form of the model: `int8 on LiteRT`."""
    return f"{dtype} on {title(runtime)}"


def sentence(text: str) -> str:
    """Begin with a capital, but for the name of a type, and end with a full stop."""
    text = text[:1].upper() + text[1:] if not text.startswith(("int8", "float32")) else text
    return text + "." if text and not text.endswith((".", "!")) else text


def milliseconds(ms: float) -> str:
    """Write a time with about three digits."""
    return f"{ms * 1000:.0f} µs" if ms < 1 else f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms"
