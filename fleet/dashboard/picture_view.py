"""The page of the pictures that one device keeps, in parts, so that each picture is seen as soon as it came. Pure."""

import base64
import time
from urllib.parse import quote

from edge.kept import Picture, Remark
from edge.messages import PictureList
from fleet.dashboard.header import STYLE, header
from fleet.dashboard.html import esc


def page_head(device: str) -> str:
    """Everything before the body."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Pictures of {esc(device)} · edgewright</title><style>{STYLE.read_text()}</style></head>"
        f'<body><div class="ew">{header("fleet", "")}<div class="ew-head"><h1>Pictures of {esc(device)}</h1>'
        f'<a class="ew-link" href="/device/{esc(quote(device))}">device</a></div>'
    )


def page_tail() -> str:
    """Everything after the body."""
    return "</div></body></html>"


def failure(problem: str, remedy: str) -> str:
    """Why there is nothing to see, or nothing more."""
    return f'<div class="ew-empty"><p>{esc(problem)}</p><p class="ew-sub">{esc(remedy)}</p></div>'


def gallery_head(device: str, listed: PictureList) -> str:
    """What was named, and the beginning of the grid."""
    if not listed.pictures:
        return failure(f"{device} keeps no picture yet", "its model was sure of all that it saw so far")
    number = len(listed.pictures)
    named = "all" if number == listed.kept else f"the newest {number} of"
    return (
        f'<p class="ew-sub">Its model was not sure of these, {named} {listed.kept} that it keeps. They came from the'
        " device for this page only, and the fleet keeps none."
        f" As files: <code>edge fleet pictures {esc(device)}</code></p>"
        '<div class="ew-pictures">'
    )


def figure(data: bytes, picture: Picture) -> str:
    """One picture with what its model made of it; the bytes stand in the page, so nobody else can ask for them."""
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    said = picture.remark
    words = f"what {said.model} took for {said.label}" if said else "a kept picture"
    image = f'<img src="{source}" width="{picture.width}" height="{picture.height}" alt="{esc(words)}">'
    return f'<figure class="ew-card">{image}<figcaption>{_caption(said)}</figcaption></figure>'


def no_figure(name: str, why: str) -> str:
    """In the place of a picture that did not come."""
    caption = f'<figcaption><b>{esc(why)}</b><span class="dim">{esc(name)}</span></figcaption>'
    return f'<figure class="ew-card">{caption}</figure>'


def _caption(remark: Remark | None) -> str:
    if remark is None:
        return "<b>without a remark</b>"
    score = "no score" if remark.score is None else f"score {remark.score:.3f}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(remark.wall_ns / 1e9))
    return (
        f'<b>{esc(remark.label)}</b><span class="end">{score}</span>'
        f'<span class="dim">{when}</span><span class="dim end">{esc(remark.model)} v{remark.version}</span>'
    )
