"""Runs inside the emulated board: every variant of a bundle must reproduce its golden samples there.

`python3 on_device.py BUNDLE` prints one JSON object: the machine, and per variant the largest error.
"""

import json
import platform
import sys
from pathlib import Path

from edge.bundle import open_bundle
from edge.runtimes import check_golden, open_session

bundle = open_bundle(Path(sys.argv[1]))
found = {}
for variant in bundle.manifest.variants:
    session = open_session(bundle, variant=variant)
    report = check_golden(bundle, session)
    found[f"{variant.runtime}-{variant.dtype}"] = {"max_error": report.max_error, "samples": report.samples}
    session.close()
print(json.dumps({"machine": platform.machine(), "variants": found}))
