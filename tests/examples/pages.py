"""How pages are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# A4 less the margins of the print style, CSS pixels.
PAPER_PX = 680


WEAK_CONTRAST = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    const over = [];
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a > 0) over.push([r, g, b, a]);
      if (a === 1) break;
    }
    const mix = (base, [r, g, b, a]) => [r, g, b].map((v, i) => v * a + base[i] * (1 - a));
    return over.reverse().reduce(mix, [255, 255, 255]);
  };
  const weak = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push(ratio.toFixed(2) + ' ' + e.className + ': ' + e.textContent.trim().slice(0, 40));
  }
  return weak;
}"""
