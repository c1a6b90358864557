"""Damage, reproducibly: bits flipped, bytes overwritten in place, cut out, doubled, cut off."""

import io
import random
import zipfile

SPECIAL = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"nan", b"-1", b"999999999", b"", b"'\"")
HEAD_BYTES = 256
"""Sizes, types and offsets of most formats stand within these."""


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Return `content` with one to eight damages, every second time all in place; never `content` itself."""
    while True:
        mutated = bytearray(content)
        damage = _damage if dice.random() < 0.5 else _damage_in_place
        for _ in range(dice.choice((1, 1, 1, 2, 4, 8))):
            if mutated:
                damage(mutated, dice)
        if mutated != content:
            return bytes(mutated)


def mutate_inside(archive: bytes, dice: random.Random) -> bytes:
    """Damage one file of a zip and pack it anew: the checksum fits, and the damage is met inside."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(packed, "w") as new:
        victim = dice.choice(sorted(old.namelist()))
        for name in sorted(old.namelist()):
            content = old.read(name)
            new.writestr(zipfile.ZipInfo(name), mutate(content, dice) if name == victim else content)
    return packed.getvalue()


def _damage(mutated: bytearray, dice: random.Random) -> None:
    """Anything; what comes after it is moved in three cases of four."""
    at, length = _place(mutated, dice), dice.choice((1, 1, 2, 4, 8, 64))
    match dice.randrange(4):
        case 0:
            del mutated[at : at + length]
        case 1:
            mutated[at:at] = mutated[at : at + length]
        case 2:
            mutated[at : at + length] = dice.choice(SPECIAL)
        case _:
            if dice.random() < 0.3:
                del mutated[at:]


def _damage_in_place(mutated: bytearray, dice: random.Random) -> None:
    """Flip a bit, or overwrite a few bytes with random or special ones."""
    at = _place(mutated, dice)
    match dice.randrange(3):
        case 0:
            mutated[at] ^= 1 << dice.randrange(8)
        case 1:
            length = min(dice.choice((1, 1, 2, 4)), len(mutated) - at)
            mutated[at : at + length] = dice.randbytes(length)
        case _:
            special = dice.choice(SPECIAL)[: len(mutated) - at]
            mutated[at : at + len(special)] = special


def _place(content: bytearray, dice: random.Random) -> int:
    """Every second time within the head, where structure stands."""
    return dice.randrange(min(len(content), HEAD_BYTES) if dice.random() < 0.5 else len(content))
