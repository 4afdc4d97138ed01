// Overview: is it healthy, what fails, since when, and that nothing is lost.
import { html } from "./html.js";
import { state, useGet } from "./api.js";
import { byUrgency, StateCell } from "./endpoints.js";
import { useKeyboard } from "./keyboard.js";
import { to } from "./route.js";
import { rowKeys } from "./rows.js";
import { lacks, providerName, SourceState } from "./sources.js";
import { Ago, Command, In, Loaded, Others, State, Time, useTitle } from "./ui.js";
import { count, host, outcome, stateOf } from "./words.js";

const troubled = (ep) => ["failing", "degraded"].includes(stateOf(ep));

function Lead({ eps }) {
  const live = eps.filter((e) => !e.revoked_at);
  const active = live.filter((e) => e.status === "active");
  const failing = active.filter((e) => stateOf(e) === "failing");
  const degraded = active.filter((e) => stateOf(e) === "degraded");
  const bad = [...failing, ...degraded];
  if (!live.length) return html`<header><h1>Nothing to deliver to yet</h1><p class="lead">Three steps: an endpoint of yours that gets events, a source that a provider calls, and a test.</p></header>`;
  if (!bad.length) return html`<header><h1>${active.length === 1 ? "The one active endpoint is" : `All ${active.length} active endpoints are`} well</h1><p class="lead"><b>No endpoint fails.</b> ${live.length > active.length ? `${count(live.length - active.length, "other")} ${live.length - active.length === 1 ? "is" : "are"} disabled.` : "What is accepted is on record before the provider hears 200."}</p></header>`;
  const part = (n, word, first) => n && `${first ? `${n} of ${count(active.length, "endpoint")}` : n} ${n === 1 ? "is" : "are"} ${word}`;
  const words = [part(failing.length, "failing", true), part(degraded.length, "degraded", !failing.length)].filter(Boolean);
  const first = bad[0];
  return html`<header><h1>${words.join(", ")}</h1><p class="lead"><b><${Others} text=${first.name} cut=${80} /></b> has not taken an event${first.failing_since ? html` since <${Time} at=${first.failing_since} form="min" />` : ""}, ${count(first.failure_count, "attempt")} in a row. <b>Nothing is lost:</b> what waits is tried again by itself, and what has failed can be replayed.</p></header>`;
}

// Why reads the last failed attempt, which says more than a count.
function Why({ ep }) {
  const { data } = useGet(`/api/v1/webhooks/${ep.id}/deliveries?status=failed&limit=1`, { every: 6000 });
  const last = data?.data[0];
  return html`<td data-l="Why">${last && html`<b>${outcome(last).title}</b>`}<small>${count(ep.failure_count, "attempt")} in a row</small></td><td data-l="Next">${last?.next_attempt_at && !last.final ? html`<${In} at=${last.next_attempt_at} />` : html`<span class="mute">none planned</span>`}</td>`;
}

function Attention({ eps }) {
  return html`<section class="card flush" aria-labelledby="a"><header><h2 id="a">Needs attention</h2><small class="sp">worst first</small></header>
    <table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Last success</th><th scope="col">Why</th><th scope="col">Next attempt</th></tr></thead><tbody>
    ${eps.map((ep) => html`<tr key=${ep.id}><td><a href=${to(["endpoints", ep.id])} data-row=""><b><${Others} text=${ep.name} cut=${80} /></b></a><small class="m"><${Others} text=${host(ep.url)} cut=${60} /></small></td><td data-l="State"><${State} of=${stateOf(ep)} /></td>
      <td data-l="Since">${ep.failing_since ? html`<${Time} at=${ep.failing_since} form="min" /><small><${Ago} at=${ep.failing_since} /></small>` : ""}</td><td data-l="Success">${ep.last_success_at ? html`<${Ago} at=${ep.last_success_at} />` : html`<span class="mute">none yet</span>`}</td><${Why} ep=${ep} /></tr>`)}</tbody></table></section>`;
}

function Rest({ eps }) {
  return html`<section class="card flush" aria-labelledby="o"><header><h2 id="o">Other endpoints</h2><span class="sp"><a class="s" href=${to(["endpoints", "new"])}>New endpoint</a></span></header>
    <table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Last success</th></tr></thead><tbody>${eps.map((ep) => html`<tr key=${ep.id}><td><a href=${to(["endpoints", ep.id])} data-row=""><${Others} text=${ep.name} cut=${80} /></a><small class="m"><${Others} text=${host(ep.url)} cut=${60} /></small></td><td data-l="State"><${StateCell} ep=${ep} /></td><td data-l="Success">${ep.last_success_at ? html`<${Ago} at=${ep.last_success_at} />` : html`<span class="mute">none yet</span>`}</td></tr>`)}</tbody></table></section>`;
}

function Sources() {
  const from = useGet("/api/v1/sources?limit=100", { every: 8000 });
  if (!from.data?.data.length) return null;
  return html`<section class="card flush" aria-labelledby="so"><header><h2 id="so">Sources</h2><span class="sp"><a class="s" href=${to(["sources"])}>All sources</a></span></header>
    <table><thead><tr><th scope="col">Source</th><th scope="col">State</th><th scope="col">Provider</th></tr></thead><tbody>${from.data.data.map((s) => html`<tr key=${s.id}><td><a href=${to(["sources", s.id])} data-row=""><${Others} text=${s.name} cut=${80} /></a></td><td data-l="State"><${SourceState} s=${s} /></td><td data-l="Provider"><${Others} text=${providerName(s)} cut=${40} />${lacks(s) && html`<small>answers 503 until then</small>`}</td></tr>`)}</tbody></table></section>`;
}

function Failed() {
  const from = useGet("/api/v1/webhook-events?status=failed&limit=5", { every: 6000 });
  if (!from.data?.data.length) return null;
  return html`<section class="card flush" aria-labelledby="fe"><header><h2 id="fe">Events that failed last</h2><span class="sp"><a class="s" href=${to(["events"], { status: "failed" })}>All that failed</a></span></header>
    <table><thead><tr><th scope="col">Event</th><th scope="col">Subject</th><th scope="col">Received</th></tr></thead><tbody>${from.data.data.map((e) => html`<tr key=${`${e.source_id} ${e.id}`}><td><a href=${to(["events", e.id], { of: e.source_id })} data-row=""><${Others} text=${e.type} cut=${64} /></a></td><td data-l="Subject" class="m"><${Others} text=${e.subject || e.id} cut=${40} /></td><td data-l="Received"><${Time} at=${e.created_at} /></td></tr>`)}</tbody></table></section>`;
}

function Begin() {
  return html`<section class="card"><ol class="steps">
    <li><span class="num">1</span><div><h3><a href=${to(["endpoints", "new"])}>Make an endpoint</a></h3><p class="s">A URL of yours. On your own machine, <code>hookferry listen</code> is one, and shows what comes.</p></div></li>
    ${state.key.scopes.includes("sources:manage") && html`<li><span class="num">2</span><div><h3><a href=${to(["sources", "new"])}>Make a source</a></h3><p class="s">The provider that calls you. Or publish events yourself:</p><${Command} what="the command" text=${`curl ${location.origin}/api/v1/webhook-events \\\n  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d '{"type":"order.paid","data":{"order":20418}}'`} /></div></li>`}
    <li><span class="num">3</span><div><h3>Send a test</h3><p class="s">From the endpoint's page. It goes the whole way and changes nothing.</p></div></li></ol></section>`;
}

export default function Overview() {
  useTitle("Overview");
  useKeyboard(rowKeys());
  const from = useGet("/api/v1/webhooks?limit=100", { every: 4000 });
  return html`<main id="main" tabIndex="-1"><${Loaded} from=${from} of="the overview">${({ data }) => {
    const live = data.filter((e) => !e.revoked_at).sort(byUrgency);
    const bad = live.filter(troubled);
    const rest = live.filter((e) => !troubled(e));
    return html`<${Lead} eps=${data} />${bad.length > 0 && html`<${Attention} eps=${bad} />`}
      ${live.length ? html`<div class="cols">${rest.length > 0 && html`<${Rest} eps=${rest} />`}<div class="stack"><${Sources} /><${Failed} /></div></div>` : html`<${Begin} />`}`;
  }}<//></main>`;
}
