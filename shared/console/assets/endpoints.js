// Endpoints: the list, the worst first.
import { html, useEffect, useState } from "./html.js";
import { useGet } from "./api.js";
import { Icon } from "./icons.js";
import { useKeyboard } from "./keyboard.js";
import { go, to } from "./route.js";
import { rowKeys } from "./rows.js";
import { Ago, Command, Loaded, Others, State, Time, useTitle } from "./ui.js";
import { count, disabledBecause, host, list, number, stateOf } from "./words.js";
import { Endpoint } from "./endpoint.js";
import { NewEndpoint } from "./newendpoint.js";

const order = ["failing", "degraded", "untried", "healthy", "disabled", "deleted"];

export const byUrgency = (a, b) => order.indexOf(stateOf(a)) - order.indexOf(stateOf(b)) || (a.name < b.name ? -1 : 1);

export function StateCell({ ep }) {
  return html`<${State} of=${stateOf(ep)} />${ep.status === "disabled" && !ep.revoked_at && html`<small>${disabledBecause[ep.disabled_reason] || ""}</small>`}`;
}

export function Gets({ ep }) {
  return html`${ep.event_types.slice(0, 3).map((t, i) => html`${i ? ", " : ""}<code><${Others} text=${t} cut=${64} /></code>`)}${ep.event_types.length > 3 ? ` and ${ep.event_types.length - 3} more` : ""}${ep.filter ? " with a filter" : ""}`;
}

function Rows({ eps }) {
  return html`<div class="card flush"><table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Gets</th><th scope="col">Last success</th><th scope="col">Failures in a row</th></tr></thead>
    <tbody>${eps.map((ep) => html`<tr key=${ep.id}><td><a href=${to(["endpoints", ep.id])} data-row=""><b><${Others} text=${ep.name} cut=${100} /></b></a><small class="m"><${Others} text=${host(ep.url)} cut=${80} /></small></td>
      <td data-l="State"><${StateCell} ep=${ep} /></td><td data-l="Gets"><${Gets} ep=${ep} /></td>
      <td data-l="Last success">${ep.last_success_at ? html`<${Ago} at=${ep.last_success_at} />` : html`<span class="mute">none yet</span>`}</td>
      <td data-l="Failures">${ep.failure_count ? html`<b>${number(ep.failure_count)}</b>${ep.failing_since && html`<small>since <${Time} at=${ep.failing_since} form="min" /></small>`}` : html`<span class="mute">0</span>`}</td></tr>`)}</tbody></table></div>`;
}

function Sentence({ live }) {
  const of = (state) => live.filter((e) => stateOf(e) === state);
  const bad = of("failing");
  const weak = of("degraded");
  if (bad.length + weak.length === 0) return html`<p class="lead"><b>No endpoint fails.</b> ${count(live.length, "endpoint")} in all.</p>`;
  const names = (eps) => html`<b>${list(eps.slice(0, 3).map((e) => e.name))}${eps.length > 3 ? ` and ${eps.length - 3} more` : ""}</b>`;
  return html`<p class="lead">${bad.length > 0 && html`${names(bad)} ${bad.length === 1 ? "is" : "are"} failing. `}${weak.length > 0 && html`${names(weak)} ${weak.length === 1 ? "is" : "are"} degraded.`} Nothing is lost: what waits is tried again, what has failed can be replayed.</p>`;
}

function List() {
  useTitle("Endpoints");
  const from = useGet("/api/v1/webhooks?limit=100", { every: 5000 });
  const [gone, setGone] = useState(false);
  useKeyboard(rowKeys());
  return html`<main id="main" tabIndex="-1"><header><div class="row"><h1>Endpoints</h1><span class="sp row"><a class="btn pri" href=${to(["endpoints", "new"])}><${Icon} name="plus" />New endpoint</a></span></div>
    ${from.data && from.data.data.length > 0 && html`<${Sentence} live=${from.data.data.filter((e) => !e.revoked_at)} />`}</header>
    <${Loaded} from=${from} of="endpoints">${({ data }) => {
    const live = data.filter((e) => !e.revoked_at).sort(byUrgency);
    const deleted = data.filter((e) => e.revoked_at);
    return html`${live.length ? html`<${Rows} eps=${live} />` : html`<div class="card empty"><p><b>No endpoint yet.</b> An endpoint is a URL of yours that gets events, signed. <a href=${to(["endpoints", "new"])}>Make one here</a>, or:</p>
        <${Command} what="the command" text=${`curl ${location.origin}/api/v1/webhooks \\\n  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d '{"name":"Orders","url":"https://your.host/hook","event_types":["*"]}'`} /></div>`}
      ${deleted.length > 0 && html`<p><button class="q s" aria-expanded=${gone} onClick=${() => setGone(!gone)}>${gone ? "Hide" : "Show"} ${count(deleted.length, "deleted endpoint")}</button></p>`}${gone && html`<${Rows} eps=${deleted} />`}`;
  }}<//></main>`;
}

export default function Endpoints({ route }) {
  const id = route.parts[1];
  useEffect(() => {
    if (id && id !== "new" && !/^[\w-]+$/.test(id)) go(to(["endpoints"]), { replace: true });
  }, [id]);
  if (!id) return html`<${List} />`;
  if (id === "new") return html`<${NewEndpoint} />`;
  return html`<${Endpoint} key=${id} id=${id} open=${route.query.get("open") || ""} about=${route.query.get("event") || ""} />`;
}
