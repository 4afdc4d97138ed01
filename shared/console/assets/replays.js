// Replays: those of the account, and one with its progress.
import { html, useState } from "./html.js";
import { call, useAct, useGet, useNames } from "./api.js";
import { useKeyboard } from "./keyboard.js";
import { to } from "./route.js";
import { rowKeys } from "./rows.js";
import { useStill } from "./still.js";
import { Ago, Dialog, Loaded, Note, Older, Others, State, tell, Time, useTitle, Waiting, Wrong } from "./ui.js";
import { count, number } from "./words.js";

const selections = { failed: "what failed", skipped: "what was skipped", failed_or_skipped: "what failed or was skipped", open: "what still waited", all: "everything" };

const nameOf = (endpoints, id) => endpoints.get(id)?.name || id;

function List() {
  useTitle("Replays");
  useKeyboard(rowKeys());
  const endpoints = useNames("webhooks");
  const still = useStill("/api/v1/replays?limit=50", (r) => r.id, (r) => r.created_at, 4000);
  const { live, rows } = still;
  return html`<main id="main" tabIndex="-1"><header><h1>Replays</h1><p class="lead">Deliveries that are sent again, many at once and at a pace. One begins on its endpoint's page, with a count first.</p></header>
    ${live.fault?.kind === "missing" ? null : live.fault && !live.fault.passes ? html`<${Wrong} fault=${live.fault} />` : !still.ready ? html`<${Waiting} of="replays" waiting=${live.waiting} reload=${live.reload} />`
    : !rows.length ? html`<div class="card empty"><p><b>No replay yet.</b> Choose one of your <a href=${to(["endpoints"])}>endpoints</a> and count what it missed.</p></div>`
    : html`<div class="card flush">${still.fresh.length > 0 && html`<button class="new" onClick=${still.show}>Show ${count(still.fresh.length, "new replay")} <kbd>n</kbd></button>`}<table><thead><tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Sends</th><th scope="col">Begun</th><th scope="col" class="n">Started</th><th scope="col" class="n">Succeeded</th></tr></thead><tbody>
      ${rows.map((r) => html`<tr key=${r.id}><td><a href=${to(["replays", r.id])} data-row=""><b><${Others} text=${nameOf(endpoints, r.endpoint_id)} cut=${80} /></b></a></td><td data-l="State"><${State} of=${r.status} /></td><td data-l="Sends">${selections[r.selection] || r.selection}<small>at most ${r.max_per_second} a second</small></td>
        <td data-l="Begun"><${Time} at=${r.created_at} /></td><td data-l="Started" class="n">${number(r.started)}</td><td data-l="Succeeded" class="n">${r.succeeded === undefined ? "" : number(r.succeeded)}</td></tr>`)}</tbody></table></div>`}
    <${Older} of="replays" more=${Boolean(still.cursor)} busy=${still.older.busy} onClick=${still.more} /></main>`;
}

function Cancel({ r, onClose, done }) {
  const { act, busy, fault } = useAct();
  const run = () => act(async () => {
    await call("DELETE", `/api/v1/replays/${r.id}`);
    tell("The replay is cancelled.");
    done();
    onClose();
  });
  return html`<${Dialog} title="Cancel this replay?" onClose=${onClose}><p>Nothing further is started, and what it has started and not yet sent ends as skipped. It can be replayed anew.</p><${Wrong} fault=${fault} />
    <p class="row"><button data-first="" onClick=${onClose}>Let it run</button><button class="bad" disabled=${busy} onClick=${run}>Cancel the replay</button></p><//>`;
}

function Body({ r, endpoints, reload }) {
  const [open, set] = useState(false);
  const name = nameOf(endpoints, r.endpoint_id);
  useTitle(`Replay to ${name}`);
  const counts = [["succeeded", "Succeeded"], ["failed", "Failed"], ["skipped", "Skipped"], ["open", "Still open"]].filter(([k]) => r[k] !== undefined);
  const settled = (r.succeeded || 0) + (r.failed || 0) + (r.skipped || 0);
  const active = r.status === "running" || r.status === "draining";
  return html`<header><div class="row"><h1>Replay to <${Others} text=${name} cut=${80} /></h1><${State} of=${r.status} pill=${true} />${active && html`<span class="sp row"><button class="bad" onClick=${() => set(true)}>Cancel…</button></span>`}</div>
    <p class="lead"><b>${count(r.started, "delivery", "deliveries")} started${r.status === "running" ? " so far" : ""}.</b> It sends ${selections[r.selection] || r.selection}, at most ${r.max_per_second} a second${r.finished_at ? html`; it ended <${Ago} at=${r.finished_at} />` : ""}.</p></header>
    <section class="card stack"><h2>Progress</h2>${counts.length > 0 && r.started > 0 && html`<progress class="bar" aria-label="Settled deliveries" max=${r.started} value=${settled}></progress>`}
      <dl class="facts"><div><dt>Started</dt><dd>${number(r.started)}</dd></div>${counts.map(([k, word]) => html`<div><dt>${word}</dt><dd>${number(r[k])}</dd></div>`)}${r.counted_at && html`<div><dt>Counted</dt><dd><${Time} at=${r.counted_at} /></dd></div>`}</dl>
      <dl class="facts"><div><dt>Endpoint</dt><dd><a href=${to(["endpoints", r.endpoint_id])}><${Others} text=${name} cut=${80} /></a></dd></div><div><dt>Events since</dt><dd><${Time} at=${r.since} /></dd></div><div><dt>until</dt><dd><${Time} at=${r.until} /></dd></div><div><dt>Begun</dt><dd><${Time} at=${r.created_at} /></dd></div></dl></section>
    ${r.failed > 0 && html`<${Note} kind="bad" title="${count(r.failed, "delivery", "deliveries")} failed again.">See why on <a href=${to(["endpoints", r.endpoint_id])}>the endpoint's page</a>; once it is mended, replay what failed.<//>`}
    ${open && html`<${Cancel} r=${r} done=${reload} onClose=${() => set(false)} />`}`;
}

export default function Replays({ route }) {
  const id = route.parts[1];
  const endpoints = useNames("webhooks");
  const from = useGet(id ? `/api/v1/replays/${encodeURIComponent(id)}` : null, { every: 1500 });
  if (!id) return html`<${List} />`;
  if (from.fault?.kind === "missing") return html`<main id="main" tabIndex="-1"><h1>There is no such replay</h1><p class="lead"><a href=${to(["replays"])}>All replays</a></p></main>`;
  return html`<main id="main" tabIndex="-1"><${Loaded} from=${from} of="the replay">${(r) => html`<${Body} ...${{ r, endpoints }} reload=${from.reload} />`}<//></main>`;
}
