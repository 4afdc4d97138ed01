// One attempt: what came of it and what that means, the answer, and the request
// as it was sent.
import { html } from "./html.js";
import { nameIn } from "./event.js";
import { Icon } from "./icons.js";
import { Copy, In, Note, Others, State, Time } from "./ui.js";
import { outcome, span, visible } from "./words.js";

// curl writes the request as a command; the payload comes from a file.
function curl(request) {
  const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
  return [`curl -X POST ${quote(request.url)}`, ...Object.entries(request.headers).map(([k, v]) => `-H ${quote(`${k}: ${v}`)}`), "--data-binary @payload.json"].join(" \\\n  ");
}

const headersText = (request) => Object.entries(request.headers).map(([k, v]) => `${k}: ${v}`).join("\n");

export function Attempt({ attempt: a, endpoints, retry, busy, verify }) {
  const o = outcome(a);
  const ep = endpoints.get(a.endpoint_id);
  const failing = ep?.failing_since && ep.failure_count > 1;
  return html`<section class="card" aria-labelledby="at">
    <header><h2 id="at">Attempt ${a.attempt}${a.run ? ` of run ${a.run + 1}` : ""} to <${Others} text=${nameIn(endpoints, a.endpoint_id)} cut=${60} /></h2><span class="sp"><${State} of=${a.status} /></span></header>
    <div class="stack">
      ${a.status === "failed" && html`<${Note} kind="bad" title=${o.title}>after ${span(a.duration_ms)}. ${o.means} ${failing && html`It has failed ${ep.failure_count} times in a row, since <${Time} at=${ep.failing_since} form="min" />.`}
        ${a.error?.message && html`<small><${Others} text=${a.error.message} /></small>`}
        <p class="row">${retry && html`<button disabled=${busy} onClick=${retry}>Retry now</button>`}${a.next_attempt_at && !a.final && html`<span>Tried again by itself <b><${In} at=${a.next_attempt_at} /></b></span>`}</p><//>`}
      ${a.status === "succeeded" && html`<p><b>${o.title}</b> after ${span(a.duration_ms)}, <${Time} at=${a.created_at} form="ms" /></p>`}
      ${a.status === "skipped" && html`<p><b>${o.title}.</b> ${o.means}</p>`}
      ${a.http_status != null && html`<div><h3>Answer <small>at most 1,024 bytes are kept</small></h3>
        ${a.response_snippet ? html`<pre class="scroll" tabIndex="0" role="group" aria-label="The answer">${visible(a.response_snippet)}</pre>` : html`<p class="mute">It had no body.</p>`}</div>`}
      ${a.request && html`<div><h3>Request as sent <small><${Time} at=${a.created_at} form="ms" /></small></h3>
        <pre>POST ${visible(a.request.url)}${Object.entries(a.request.headers).map(([k, v]) => html`${"\n"}<i>${visible(k)}:</i> ${visible(v)}`)}</pre></div>
        <p class="row"><button type="button" onClick=${verify}><${Icon} name="shield" />Verify it yourself</button><${Copy} text=${() => curl(a.request)} what="the call as a curl command" word="Copy as curl" /><${Copy} text=${() => headersText(a.request)} what="the headers" word="Copy headers" /></p>`}
      <p class="s m"><${Others} text=${a.id} /> <${Others} text=${a.request_id} /></p>
    </div>
  </section>`;
}
