"""The one page: no file of anybody else, nothing to click that would change anything."""

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>edge agent</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 44rem; padding: 0 1rem;
       background: #fff; color: #1a1a1a; }
img { display: block; width: 100%; max-width: 30rem; image-rendering: pixelated; background: #ddd; min-height: 8rem; }
dl { display: grid; grid-template-columns: 10rem 1fr; gap: .25rem 1rem; }
dt { color: #555; } dd { margin: 0; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee; } dt { color: #aaa; } }
</style>
<h1 id="title">edge agent</h1>
<img id="frame" alt="The picture that was decided on last">
<dl aria-live="off">
<dt>action</dt><dd id="action">-</dd>
<dt>label</dt><dd id="label">-</dd>
<dt>frame</dt><dd id="number">-</dd>
<dt>frame to command</dt><dd id="age">-</dd>
<dt>in the loop</dt><dd id="loop">-</dd>
<dt>version</dt><dd id="version">-</dd>
<dt>state</dt><dd id="state">waiting for the first decision</dd>
</dl>
<script>
const put = (id, text) => { document.getElementById(id).textContent = text; };
async function look() {
  try {
    const seen = await (await fetch("state.json", {cache: "no-store"})).json();
    put("title", seen.device + ": " + seen.model);
    if (seen.frame) {
      put("action", seen.action);
      put("label", (seen.label || "none") + ", " + seen.score.toFixed(3));
      put("number", seen.frame);
      put("age", seen.age_ms.toFixed(1) + " ms");
      put("loop", seen.loop_ms.toFixed(1) + " ms");
      put("version", seen.version);
      put("state", seen.silent_s < 2 ? "decides" : "no decision for " + seen.silent_s.toFixed(0) + " s");
      document.getElementById("frame").src = "frame.png?" + seen.frame;
    }
  } catch (error) { put("state", "the agent does not answer"); }
  setTimeout(look, 500);
}
look();
</script>
"""
