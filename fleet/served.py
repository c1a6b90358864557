"""Which files a device may fetch, and what each is called while it stays the same: over HTTP as over MQTT."""

import hashlib
import os
import re
from pathlib import Path

from fleet.config import FleetFolder, is_delta_path, is_target_path

_METADATA = re.compile(r"(timestamp|[1-9][0-9]{0,9}\.(root|snapshot|targets))\.json")


def find_served(folder: FleetFolder, path: str) -> Path | None:
    """The file behind `metadata/NAME` or `artifacts/MODEL/FILE`; None when there is none that may be read."""
    head, _, name = path.partition("/")
    if head == "metadata" and _METADATA.fullmatch(name):
        found = folder.metadata / name
    elif head == "artifacts" and (is_target_path(name) or is_delta_path(name)):
        found = folder.artifacts / name
    else:
        return None
    return found if found.is_file() else None


def etag_of(stat: os.stat_result) -> str:
    """16 hexadecimal digits that change with the file, so that a download never goes on in another one."""
    return hashlib.sha256(f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:16]
