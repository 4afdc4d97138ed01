// The icons, each a different shape, so that none is known by its colour alone.
import { html } from "./html.js";

const shapes = {
  pend: () => html`<circle cx="8" cy="8" r="6.2"/><path d="M8 4.6V8l2.3 1.6"/>`,
  half: () => html`<circle cx="8" cy="8" r="6.2"/><path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor"/>`,
  search: () => html`<circle cx="7" cy="7" r="4.8"/><path d="m10.6 10.6 3.6 3.6"/>`,
  home: () => html`<path d="M2 13.5V8.8M6 13.5V5M10 13.5V7.4M14 13.5V2.5"/>`,
  list: () => html`<path d="M5.5 4H14M5.5 8H14M5.5 12H14M2.2 4h.1m-.1 4h.1m-.1 4h.1"/>`,
  out: () => html`<path d="M2 8h8.5M7.4 4.6 10.8 8l-3.4 3.4M14 3v10"/>`,
  call: () => html`<path d="M1.5 8h8.2M6.6 4.6 10 8l-3.4 3.4M10.4 2h4v12h-4"/>`,
  redo: () => html`<path d="M2.4 8a5.6 5.6 0 1 0 1.8-4.1M2.6 1.4v3.2h3.2"/><path d="m6.8 5.8 3.4 2.2-3.4 2.2z" fill="currentColor"/>`,
  tag: () => html`<path d="M2 2.6h5.4l6.4 6.4-5 5L2.4 7.6z"/><path d="M5 5.6h.1"/>`,
  key: () => html`<circle cx="5" cy="11" r="3.2"/><path d="m7.4 8.6 6-6M11 5l2 2"/>`,
  bad: () => html`<path d="M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2z" fill="currentColor" stroke="none"/><path d="m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" class="cut" stroke-width="1.8"/>`,
  deg: () => html`<path d="M8 1.8 15 14H1z" fill="currentColor" stroke-linejoin="round"/><path d="M8 6.2v3.4m0 2v.1" class="cut" stroke-width="1.7"/>`,
  ok: () => html`<circle cx="8" cy="8" r="7" fill="currentColor" stroke="none"/><path d="m4.9 8.3 2.2 2.2 4-4.6" class="cut" stroke-width="1.8"/>`,
  off: () => html`<circle cx="8" cy="8" r="6.4"/><path d="M6.3 5.6v4.8m3.4-4.8v4.8"/>`,
  none: () => html`<circle cx="8" cy="8" r="6"/><path d="m4 12 8-8"/>`,
  skip: () => html`<path d="m2.5 4 4 4-4 4M7.5 4l4 4-4 4M14 3.6v8.8"/>`,
  rej: () => html`<path d="M8 1.6 2.8 3.4v4c0 3.2 2.2 5.6 5.2 7 3-1.4 5.2-3.8 5.2-7v-4z"/><path d="m6.1 6.1 3.8 3.8m0-3.8L6.1 9.9"/>`,
  shield: () => html`<path d="M8 1.6 2.8 3.4v4c0 3.2 2.2 5.6 5.2 7 3-1.4 5.2-3.8 5.2-7v-4z"/><path d="m5.6 7.8 1.8 1.8 3-3.4"/>`,
  disk: () => html`<ellipse cx="8" cy="3.8" rx="5.4" ry="2.2"/><path d="M2.6 3.8v8.4c0 1.2 2.4 2.2 5.4 2.2s5.4-1 5.4-2.2V3.8M2.6 8c0 1.2 2.4 2.2 5.4 2.2s5.4-1 5.4-2.2"/>`,
  fork: () => html`<path d="M1.5 8h5M14.5 3.5H10Q6.5 3.5 6.5 8q0 4.5 3.5 4.5h4.5"/>`,
  retry: () => html`<path d="M13.6 8A5.6 5.6 0 1 1 11.8 3.9M13.4 1.4v3.2h-3.2"/>`,
  back: () => html`<path d="M9.5 3.5 5 8l4.5 4.5"/>`,
  copy: () => html`<rect x="5.4" y="5.4" width="8.6" height="8.6" rx="1.6"/><path d="M10.6 5.2V3.6A1.6 1.6 0 0 0 9 2H3.6A1.6 1.6 0 0 0 2 3.6V9a1.6 1.6 0 0 0 1.6 1.6h1.6"/>`,
  dot: () => html`<circle cx="8" cy="8" r="3"/>`,
  plus: () => html`<path d="M8 3v10M3 8h10"/>`,
};

export function Icon({ name, cls = "" }) {
  return html`<svg class="i ${cls}" viewBox="0 0 16 16" aria-hidden="true">${(shapes[name] || shapes.dot)()}</svg>`;
}

export function Mark({ size = 22 }) {
  return html`<svg width=${size} height=${size} viewBox="0 0 22 22" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"><path d="M3 13.4C5.4 5.6 16.6 5.6 19 13.4"/><path d="M6.5 15.2h9l-1.6 3.2H8.1z" fill="currentColor" stroke-linejoin="round"/><path d="M3 13.4h.01M19 13.4h.01" stroke-width="4"/></svg>`;
}
