"""A folder of class folders: sound if there is any, else pictures."""

from pathlib import Path

from compiler.dataset import Data
from compiler.read_data.pictures import open_pictures
from compiler.read_data.sound import open_sound, sound_files
from edge.errors import BadDataError


def open_folder(path: Path) -> Data:
    """Look at every class; raises BadDataError if there is none, or one is empty."""
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise BadDataError(
            f"{path} holds no class folders",
            remedy="put the pictures or sounds of each class into a folder named after it",
        )
    if any(sound_files(folder) for folder in folders):
        return open_sound(path, folders)
    return open_pictures(path, folders)
