"""`python peer_ai_edge_quantizer.py FLOAT CALIBRATE SETTING OUT`: Google's quantizer, in its own environment.

default: the recipe static_wi8_ai8 and its `calibrate`, whose ranges are a moving average. best: the same recipe with
min/max ranges, which the package has as `min_max_update`.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils


def main(source: str, calibrate: str, setting: str, out: str) -> None:
    """Quantize."""
    signatures = Interpreter(model_path=source).get_signature_list()
    key = next(iter(signatures), None)
    name = signatures[key]["inputs"][0] if key else Interpreter(model_path=source).get_input_details()[0]["name"]
    data = {key: [{name: one[None]} for one in np.load(calibrate)]}
    tool = quantizer.Quantizer(source, recipe.static_wi8_ai8())
    found = tool.calibrate(data) if setting == "default" else widest(source, data)
    Path(out).write_bytes(bytes(tool.quantize(found).quantized_model))


def widest(source: str, data: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, object]:
    """Ranges from the smallest to the largest value seen."""
    recipes = recipe_manager.RecipeManager()
    recipes.load_quantization_recipe(recipe.static_wi8_ai8())
    observer = calibrator.Calibrator(source, qsv_update_func=qsv_utils.min_max_update)
    observer.calibrate(data, recipes)
    ranges: dict[str, object] = observer.get_model_qsvs()
    return ranges


if __name__ == "__main__":
    main(*sys.argv[1:5])
