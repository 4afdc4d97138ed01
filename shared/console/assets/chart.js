// A chart of a series over time, drawn by uPlot, which is loaded when the first
// is shown. What it says stands in words beside it, for those who cannot see it.
import { html, useEffect, useRef } from "./html.js";
import { number, time } from "./words.js";

let library = null;

// load fetches the library and its style once.
function load() {
  library ??= (async () => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("./vendor/uplot.css", import.meta.url).href });
    document.head.append(link);
    return (await import("./vendor/uplot.mjs")).default;
  })();
  return library;
}

const alpha = (colour, part) => `color-mix(in srgb, ${colour} ${part}%, transparent)`;

// options are those of uPlot for one series, in the colours of the page as it is.
function options(uPlot, box, { bars, label }) {
  const ink = getComputedStyle(box).color;
  const mute = getComputedStyle(box.querySelector(".mute")).color;
  const font = "11px system-ui, sans-serif";
  const grid = { stroke: alpha(mute, 25), width: 1 };
  return {
    width: box.clientWidth, height: 120, padding: [8, 4, 0, 0], legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } }, scales: { y: { range: (u, min, max) => [0, Math.max(4, max * 1.15)] } },
    axes: [
      { stroke: mute, font, grid: { show: false }, ticks: { show: false }, size: 20, values: (u, at) => at.map((t) => time(t * 1000, "min").replace(/^.*, /, "")) },
      { stroke: mute, font, grid, ticks: { show: false }, size: 38, splits: (u) => [0, Math.ceil(u.scales.y.max / 2), Math.floor(u.scales.y.max)], values: (u, v) => v.map(number) },
    ],
    series: [{}, { label, stroke: ink, width: 1.5, fill: alpha(ink, bars ? 100 : 9), points: { show: false }, ...(bars ? { paths: uPlot.paths.bars({ size: [0.7, 8] }) } : {}) }],
  };
}

export function Chart({ from, step, values, bars = false, label, colour = "", words }) {
  const box = useRef();
  const plot = useRef(null);
  const said = useRef(null);
  const data = [values.map((_, i) => from / 1000 + i * step), values];
  useEffect(() => {
    let over = false;
    const draw = (uPlot) => {
      if (over || !box.current) return;
      plot.current?.destroy();
      plot.current = new uPlot({ ...options(uPlot, box.current, { bars, label }), hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        said.current.textContent = i == null ? "" : `${time(u.data[0][i] * 1000, "min")}: ${number(u.data[1][i])}`;
      }] } }, data, box.current);
    };
    load().then(draw);
    // Colours and width are the page's: a new theme or width draws anew.
    const again = () => load().then(draw);
    const themes = new MutationObserver(again);
    themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const widths = new ResizeObserver(() => box.current && plot.current?.setSize({ width: box.current.clientWidth, height: 120 }));
    widths.observe(box.current);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", again);
    return () => {
      over = true;
      themes.disconnect();
      widths.disconnect();
      system.removeEventListener("change", again);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [from, step, values.join()]);
  return html`<div class="plot ${colour}" role="img" aria-label=${words} ref=${box}><span class="mute"></span><em ref=${said} aria-hidden="true"></em></div>`;
}

// Strip is a row of small bars: what succeeded is grey, what failed is red.
export function Strip({ good, bad, words }) {
  const n = Math.min(30, good.length);
  const each = Math.ceil(good.length / n);
  const sum = (list, i) => list.slice(i * each, (i + 1) * each).reduce((a, b) => a + b, 0);
  const bars = Array.from({ length: Math.ceil(good.length / each) }, (_, i) => [sum(good, i), sum(bad, i)]);
  const top = Math.max(1, ...bars.map(([g, b]) => Math.max(g, b)));
  const height = (v) => (v ? Math.max(2, (16 * v) / top) : 0);
  return html`<svg class="strip bad" viewBox="0 0 122 20" role="img" aria-label=${words}>${bars.map(([g, b], i) => {
    const h = height(Math.max(g, b));
    return h > 0 && html`<rect class=${b > 0 ? "" : "g"} x=${1 + i * 4} y=${18 - h} width="3" height=${h} />`;
  })}</svg>`;
}
