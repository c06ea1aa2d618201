"""`report` in a browser: light, dark, in a wide and a narrow window; it makes no request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_box.view.report import report_html

from ..view.test_report import report

# For every element with text: its colour, and the colour behind it, as [r, g, b].
COLOURS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const behind = node => { for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3); }
    return [255, 255, 255]; };
  return [...document.querySelectorAll('h1, h2, p, b, span, td, th, svg text')].map(node => {
    const style = getComputedStyle(node);
    const ink = node.closest('svg') && node.tagName === 'text' ? style.fill : style.color;
    return [node.textContent.trim().slice(0, 40), rgb(ink).slice(0, 3), behind(node)]; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_it_is_readable_whole_and_alone(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_html(report()))
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert (asked, said) == ([path.as_uri()], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pale = [(words, round(contrast(ink, ground), 1)) for words, ink, ground in page.evaluate(COLOURS)
            if words and contrast(ink, ground) < 4.5]  # WCAG 2.2, 1.4.3  # fmt: skip
    assert pale == []
    context.close()


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2.2, "contrast ratio"."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(rgb: list[float]) -> float:
    """WCAG 2.2, "relative luminance"."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
