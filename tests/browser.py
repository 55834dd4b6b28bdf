"""A page as a real browser shows it: how wide it is, and what would keep somebody from reading it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
LEAST_CONTRAST = 4.5  # of text, as the Web Content Accessibility Guidelines ask for (2.2, success criterion 1.4.3)
PROBE = """
<script>
const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const all = [...document.body.querySelectorAll("*")].filter(e => !["SCRIPT", "STYLE"].includes(e.tagName));
const texts = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
const contrast = e => {
  const [low, high] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const found = {
  language: document.documentElement.lang,
  landmarks: document.querySelectorAll("main").length,
  headings: [...document.querySelectorAll("h1, h2, h3")].map(e => Number(e.tagName[1])),
  first: document.querySelector("h2").textContent,
  wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  undescribed: [...document.images].filter(e => e.alt.split(" ").length < 5).length,
  broken: [...document.images].filter(e => !e.naturalWidth).length,
  images: document.images.length,
  unscoped: document.querySelectorAll("th:not([scope])").length,
  unnamed: [...document.querySelectorAll("th")].filter(e => !e.textContent.trim()).length,
  unreachable: all.filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "auto"
    && e.tabIndex < 0).length,
  smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
  contrast: Math.min(...texts.map(contrast)),
};
document.title = JSON.stringify(found);
</script>
"""


def shown(page: Path, folder: Path, width: int, height: int = 900) -> dict[str, Any]:
    """What a browser finds in a page in a window of so many pixels; and a screenshot in `folder`."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command.append(f"--window-size={width},{height}")
    done = subprocess.run([*command, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=100)
    picture = f"--screenshot={folder / f'{width}.png'}"
    subprocess.run([*command, picture, page.as_uri()], capture_output=True, check=True, timeout=100)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    return dict(json.loads(title))
