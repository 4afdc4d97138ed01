// Overview: is it healthy, what fails, since when, and that nothing is lost.
import { html } from "./html.js";
import { state, useGet } from "./api.js";
import { Chart, Strip } from "./chart.js";
import { byUrgency, StateCell } from "./endpoints.js";
import { useKeyboard } from "./keyboard.js";
import { go, to } from "./route.js";
import { rowKeys } from "./rows.js";
import { lacks, providerName, SourceState } from "./sources.js";
import { Ago, Command, In, Loaded, Others, Segments, State, Time, useTitle } from "./ui.js";
import { count, host, number, outcome, span, stateOf } from "./words.js";

const troubled = (ep) => ["failing", "degraded"].includes(stateOf(ep));

const sum = (list) => list.reduce((a, b) => a + b, 0);

// Waits says that nothing is lost, with the number that waits.
function Waits({ stats }) {
  const a = stats?.account;
  if (!a) return "what waits is tried again by itself, and what has failed can be replayed.";
  if (!a.waiting) return "nothing waits, and what has failed can be replayed.";
  return html`${count(a.waiting, "delivery", "deliveries")} ${a.waiting === 1 ? "waits" : "wait"} for the next attempt${a.oldest_waiting_at ? html`, the oldest since <${Time} at=${a.oldest_waiting_at} form="min" />` : ""}.`;
}

function Lead({ eps, stats, children }) {
  const live = eps.filter((e) => !e.revoked_at);
  const active = live.filter((e) => e.status === "active");
  const failing = active.filter((e) => stateOf(e) === "failing");
  const degraded = active.filter((e) => stateOf(e) === "degraded");
  const bad = [...failing, ...degraded];
  if (!live.length) return html`<header><h1>Nothing to deliver to yet</h1><p class="lead">Three steps: an endpoint of yours that gets events, a source that a provider calls, and a test.</p></header>`;
  if (!bad.length) return html`<header><div class="row"><h1>${active.length === 1 ? "The one active endpoint is" : `All ${active.length} active endpoints are`} well</h1>${children}</div><p class="lead"><b>No endpoint fails.</b> ${live.length > active.length ? `${count(live.length - active.length, "other")} ${live.length - active.length === 1 ? "is" : "are"} disabled.` : "What is accepted is on record before the provider hears 200."}</p></header>`;
  const part = (n, word, first) => n && `${first ? `${n} of ${count(active.length, "endpoint")}` : n} ${n === 1 ? "is" : "are"} ${word}`;
  const words = [part(failing.length, "failing", true), part(degraded.length, "degraded", !failing.length)].filter(Boolean);
  const first = bad[0];
  return html`<header><div class="row"><h1>${words.join(", ")}</h1>${children}</div><p class="lead"><b><${Others} text=${first.name} cut=${80} /></b> has not taken an event${first.failing_since ? html` since <${Time} at=${first.failing_since} form="min" />` : ""}, ${count(first.failure_count, "attempt")} in a row. <b>Nothing is lost:</b> <${Waits} stats=${stats} /></p></header>`;
}

function Lately({ s }) {
  if (!s) return html`<td data-l="Waiting"></td><td data-l="Lately"></td>`;
  return html`<td data-l="Waiting" class="n">${number(s.waiting)}</td><td data-l="Lately"><${Strip} good=${s.delivered} bad=${s.failed} words=${`${number(sum(s.delivered))} delivered, ${count(sum(s.failed), "failed attempt")}`} /></td>`;
}

// Why reads the last failed attempt, which says more than a count.
function Why({ ep }) {
  const { data } = useGet(`/api/v1/webhooks/${ep.id}/deliveries?status=failed&limit=1`, { every: 6000 });
  const last = data?.data[0];
  return html`<td data-l="Why">${last && html`<b>${outcome(last).title}</b>`}<small>${count(ep.failure_count, "attempt")} in a row</small></td><td data-l="Next">${last?.next_attempt_at && !last.final ? html`<${In} at=${last.next_attempt_at} />` : html`<span class="mute">none planned</span>`}</td>`;
}

const statsOf = (stats, id) => stats?.endpoints?.find((e) => e.endpoint_id === id);

function Attention({ eps, stats }) {
  return html`<section class="card flush" aria-labelledby="a"><header><h2 id="a">Needs attention</h2><small class="sp">worst first</small></header>
    <table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Last success</th><th scope="col">Why</th><th scope="col">Next attempt</th>${stats && html`<th scope="col" class="n">Waiting</th><th scope="col">${stats.window === "day" ? "Last day" : "Last hour"}</th>`}</tr></thead><tbody>
    ${eps.map((ep) => html`<tr key=${ep.id}><td><a href=${to(["endpoints", ep.id])} data-row=""><b><${Others} text=${ep.name} cut=${80} /></b></a><small class="m"><${Others} text=${host(ep.url)} cut=${60} /></small></td><td data-l="State"><${State} of=${stateOf(ep)} /></td>
      <td data-l="Since">${ep.failing_since ? html`<${Time} at=${ep.failing_since} form="min" /><small><${Ago} at=${ep.failing_since} /></small>` : ""}</td><td data-l="Success">${ep.last_success_at ? html`<${Ago} at=${ep.last_success_at} />` : html`<span class="mute">none yet</span>`}</td><${Why} ep=${ep} />${stats && html`<${Lately} s=${statsOf(stats, ep.id)} />`}</tr>`)}</tbody></table></section>`;
}

function Rest({ eps, stats }) {
  return html`<section class="card flush" aria-labelledby="o"><header><h2 id="o">Other endpoints</h2><span class="sp"><a class="s" href=${to(["endpoints", "new"])}>New endpoint</a></span></header>
    <table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Last success</th>${stats && html`<th scope="col" class="n">Delivered</th><th scope="col" class="n">99 % within</th>`}</tr></thead><tbody>${eps.map((ep) => html`<tr key=${ep.id}><td><a href=${to(["endpoints", ep.id])} data-row=""><${Others} text=${ep.name} cut=${80} /></a><small class="m"><${Others} text=${host(ep.url)} cut=${60} /></small></td><td data-l="State"><${StateCell} ep=${ep} /></td><td data-l="Success">${ep.last_success_at ? html`<${Ago} at=${ep.last_success_at} />` : html`<span class="mute">none yet</span>`}</td>${stats && html`<td data-l="Delivered" class="n">${number(sum(statsOf(stats, ep.id)?.delivered || []))}</td><td data-l="99 %" class="n">${statsOf(stats, ep.id)?.p99_ms == null ? html`<span class="mute">none</span>` : span(statsOf(stats, ep.id).p99_ms)}</td>`}</tr>`)}</tbody></table></section>`;
}

// Charts are the account's last hour or day.
function Charts({ stats }) {
  const a = stats.account;
  const per = stats.step_seconds === 60 ? "a minute" : "in 15 minutes";
  const shape = (list) => `between ${number(Math.min(...list))} and ${number(Math.max(...list))} ${per}, ${number(sum(list))} in all`;
  const common = { from: new Date(stats.from).getTime(), step: stats.step_seconds };
  const failed = sum(a.failed);
  const all = sum(a.delivered) + failed;
  return html`<section class="charts" aria-label=${stats.window === "day" ? "The last day" : "The last hour"}>
    <figure class="card"><figcaption><h2>Accepted</h2><b>${number(sum(a.accepted))}</b><small>events</small></figcaption><${Chart} ...${common} values=${a.accepted} label="Accepted" words=${`Accepted events: ${shape(a.accepted)}`} /></figure>
    <figure class="card"><figcaption><h2>Delivered</h2><b>${number(sum(a.delivered))}</b><small>${a.p50_ms == null ? "" : `half within ${span(a.p50_ms)}, 99 % within ${span(a.p99_ms ?? a.p50_ms)}`}</small></figcaption><${Chart} ...${common} values=${a.delivered} label="Delivered" colour="ok" words=${`Deliveries: ${shape(a.delivered)}`} /></figure>
    <figure class="card"><figcaption><h2>Failed attempts</h2><b>${number(failed)}</b><small>${failed ? `${((100 * failed) / all).toFixed(1)} % of all attempts` : "none"}</small></figcaption><${Chart} ...${common} values=${a.failed} bars=${true} label="Failed" colour="bad" words=${`Failed attempts: ${shape(a.failed)}`} /></figure>
    <figure class="card"><figcaption><h2>Waiting</h2><b>${number(a.waiting)}</b><small>${a.oldest_waiting_at ? html`the oldest since <${Time} at=${a.oldest_waiting_at} form="min" />` : "nothing waits"}</small></figcaption>
      ${a.waiting > 0 && html`<ul class="tops">${stats.endpoints.filter((e) => e.waiting > 0).sort((x, y) => y.waiting - x.waiting).slice(0, 4).map((e) => html`<li><a class="cut" href=${to(["endpoints", e.endpoint_id])}><${Others} text=${stats.names.get(e.endpoint_id) || e.endpoint_id} cut=${40} /></a><span class="sp">${number(e.waiting)}</span></li>`)}</ul>`}</figure>
  </section>`;
}

function Calls({ s }) {
  return html`<td data-l="Last call">${s?.last_call_at ? html`<${Ago} at=${s.last_call_at} />` : html`<span class="mute">none yet</span>`}</td><td data-l="Accepted" class="n">${number(sum(s?.accepted || []))}</td>`;
}

function Sources({ stats }) {
  const from = useGet("/api/v1/sources?limit=100", { every: 8000 });
  if (!from.data?.data.length) return null;
  return html`<section class="card flush" aria-labelledby="so"><header><h2 id="so">Sources</h2><span class="sp"><a class="s" href=${to(["sources"])}>All sources</a></span></header>
    <table><thead><tr><th scope="col">Source</th><th scope="col">State</th><th scope="col">Provider</th>${stats && html`<th scope="col">Last call</th><th scope="col" class="n">Accepted</th>`}</tr></thead><tbody>${from.data.data.map((s) => html`<tr key=${s.id}><td><a href=${to(["sources", s.id])} data-row=""><${Others} text=${s.name} cut=${80} /></a></td><td data-l="State"><${SourceState} s=${s} /></td><td data-l="Provider"><${Others} text=${providerName(s)} cut=${40} />${lacks(s) && html`<small>answers 503 until then</small>`}</td>${stats && html`<${Calls} s=${stats.sources?.find((x) => x.source_id === s.id)} />`}</tr>`)}</tbody></table></section>`;
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

export default function Overview({ route }) {
  useTitle("Overview");
  useKeyboard(rowKeys());
  const range = route.query.get("window") === "day" ? "day" : "hour";
  const from = useGet("/api/v1/webhooks?limit=100", { every: 4000 });
  const lately = useGet(`/api/v1/stats?window=${range}`, { every: 10000 });
  return html`<main id="main" tabIndex="-1"><${Loaded} from=${from} of="the overview">${({ data }) => {
    const live = data.filter((e) => !e.revoked_at).sort(byUrgency);
    const bad = live.filter(troubled);
    const rest = live.filter((e) => !troubled(e));
    const stats = lately.data && { ...lately.data, names: new Map(data.map((e) => [e.id, e.name])) };
    return html`<${Lead} eps=${data} stats=${stats}>${stats && html`<${Segments} label="Time range" value=${range} onInput=${(v) => go(to([], { window: v === "day" ? "day" : "" }))} options=${[["hour", "Last hour"], ["day", "Last day"]]} />`}<//>
      ${bad.length > 0 && html`<${Attention} eps=${bad} stats=${stats} />`}
      ${stats?.account && live.length > 0 && html`<${Charts} key=${range} stats=${stats} />`}
      ${live.length ? html`<div class="cols">${rest.length > 0 && html`<${Rest} eps=${rest} stats=${stats} />`}<div class="stack"><${Sources} stats=${stats} /><${Failed} /></div></div>` : html`<${Begin} />`}`;
  }}<//></main>`;
}
