// A payload: formatted line by line or as it came, with what filters looked at
// marked. However long or deep it is, little of it is drawn at once.
import { html, useMemo, useState } from "./html.js";
import { lines } from "./json.js";
import { Copy, Segments } from "./ui.js";
import { number, visible } from "./words.js";

const firstLines = 400;
const longest = 2000; // characters of one value, before one asks for all
const deepest = 40; // levels that are indented

function Value({ text }) {
  const [all, set] = useState(false);
  if (text.length <= longest || all) return visible(text);
  return html`${visible(text.slice(0, longest))}… <button class="q s" onClick=${() => set(true)}>Show ${number(text.length - longest)} more characters</button>`;
}

function Line({ line, notes }) {
  const mark = !line.closes && line.path && notes.get(line.path);
  const body = html`${line.name !== null && html`<i>${visible(JSON.stringify(line.name))}:</i> `}<${Value} text=${line.text} />`;
  return html`<p class="d${Math.min(line.depth, deepest)}" id=${mark ? `p-${line.path}` : null}>${mark ? html`<mark>${body}</mark> <i>${mark}</i>` : body}</p>`;
}

// notes maps paths in the payload to what a filter said about them.
export function Payload({ text, notes = new Map(), about }) {
  const [form, setForm] = useState("formatted");
  const [max, setMax] = useState(firstLines);
  const shown = useMemo(() => (form === "formatted" ? lines(text, max) : null), [text, form, max]);
  const isJSON = shown ? shown.lines.length > 0 : true;
  return html`<section class="card" aria-labelledby="payload">
    <header><h2 id="payload">Payload</h2><${Segments} label="Form" value=${form} onInput=${setForm} options=${[["formatted", "Formatted"], ["raw", "As text"]]} /><${Copy} text=${text} what="the payload" /></header>
    ${shown && isJSON ? html`<div class="json m scroll" tabIndex="0" role="group" aria-label="The payload, formatted">${shown.lines.map((line, i) => html`<${Line} key=${i} ...${{ line, notes }} />`)}
      ${shown.rest && html`<p class="more"><button onClick=${() => setMax(max + 2000)}>Show more lines</button></p>`}</div>`
    : html`<pre class="scroll" tabIndex="0" role="group" aria-label="The payload as text"><${Value} text=${text} /></pre>`}
    <p class="s row">${number(new TextEncoder().encode(text).length)} bytes. ${about}</p>
  </section>`;
}
