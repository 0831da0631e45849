"""Text that is too faint to be read: under 4.5 to 1, or 3 to 1 where it is large (WCAG 2.2, 1.4.3) or an icon."""

from __future__ import annotations

from playwright.sync_api import Page

# Every piece of visible text against the colours behind it, laid over each other from the root down. A canvas turns
# whatever colour the style has, color-mix and oklab among them, into red, green, blue and opacity.
FAINT = """() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const known = new Map();
  const rgba = colour => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
      known.set(colour, [...pen.getImageData(0, 0, 1, 1).data].map(part => part / 255));
    }
    return known.get(colour);
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const root = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [1, 1, 1];
  const parent = element => element.parentElement || element.getRootNode().host || null;
  const chain = element => element ? [...chain(parent(element)), element] : [];
  const behind = line => line.reduce((under, e) => over(rgba(getComputedStyle(e).backgroundColor), under), root);
  const light = colour => {
    const [r, g, b] = colour.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  let seen = 0;
  const look = element => {
    const style = getComputedStyle(element);
    if (style.visibility !== 'visible' || style.display === 'none') return;
    const texts = [...element.childNodes].filter(node => node.nodeType === 3);
    const words = texts.map(node => node.data).join(' ').trim();
    const box = element.getBoundingClientRect();
    const off = element.matches(':disabled, [aria-disabled=true], [aria-disabled=true] *, :disabled *');
    if (words && !off && box.width > 1 && box.height > 1 && element.checkVisibility({opacityProperty: true})) {
      const line = chain(element), back = behind(line), svg = element instanceof SVGElement;
      const colour = [...rgba(svg ? style.fill : style.color)];
      colour[3] *= line.reduce((share, e) => share * Number(getComputedStyle(e).opacity), 1);
      const [dark, bright] = [light(over(colour, back)), light(back)].sort((a, b) => a - b);
      const ratio = (bright + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize);
      const icon = /Symbols/.test(style.fontFamily);  // its name is its text
      const large = icon || size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
      seen += 1;
      if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} to 1: ${words.slice(0, 60)}`);
    }
    for (const child of (element.shadowRoot || element).children) look(child);
  };
  look(document.body);
  return seen ? found : ['no text at all'];
}"""


def faint(page: Page) -> list[str]:
    """The contrast of each piece of text that is too faint, and its beginning; what is disabled may be faint."""
    found: list[str] = page.evaluate(FAINT)
    return found
