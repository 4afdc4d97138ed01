// Event types, each with its sample and its schema.
import { html, useState } from "./html.js";
import { useGet } from "./api.js";
import { to } from "./route.js";
import { Command, Loaded, Segments, useTitle } from "./ui.js";
import { visible } from "./words.js";

function Type({ t }) {
  const [view, set] = useState("sample");
  const text = JSON.stringify(t[view], null, 2);
  return html`<details class="card"><summary><code><b>${visible(t.name)}</b></code> <span class="s">${visible(t.description)}</span></summary>
    <p class="row"><a href=${to(["events"], { type: t.name })}>Events of this type</a><${Segments} label="Show" value=${view} onInput=${set} options=${[["sample", "Sample"], ["schema", "JSON Schema"]]} /></p>
    <${Command} what=${view === "sample" ? "the sample" : "the schema"} text=${text} /></details>`;
}

export default function Types() {
  useTitle("Event types");
  const from = useGet("/api/v1/event-types");
  return html`<main id="main" tabIndex="-1"><header><h1>Event types</h1><p class="lead">What an endpoint may ask for, with a body as it is sent. Types of your own, such as <code>order.paid</code>, need no entry here: publish them, and name them or a prefix such as <code>order.*</code> on an endpoint.</p></header>
    <${Loaded} from=${from} of="event types">${({ data }) => html`<div class="stack">${data.map((t) => html`<${Type} key=${t.name} t=${t} />`)}</div>`}<//></main>`;
}
