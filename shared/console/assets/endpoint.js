// One endpoint: how it does, what it got, its filter and settings, its secret,
// and the ways to send again, disable and delete.
import { html, useEffect, useState } from "./html.js";
import { call, query, useAct, useGet } from "./api.js";
import { bodyOf, draftOf, Fields, useURLFault } from "./endpointform.js";
import { Gets } from "./endpoints.js";
import { Filter } from "./filter.js";
import { Icon } from "./icons.js";
import { rowKeys } from "./rows.js";
import { useKeyboard } from "./keyboard.js";
import { ReplayForm } from "./replayform.js";
import { to } from "./route.js";
import { SecretCard, Test } from "./secret.js";
import { useStill } from "./still.js";
import { Ago, Copy, Grave, In, Loaded, Older, Others, Segments, State, tell, Time, useTitle, Waiting, Wrong } from "./ui.js";
import { count, disabledBecause, number, outcome, span, stateOf } from "./words.js";

function Lead({ ep }) {
  const state = stateOf(ep);
  if (state === "deleted") return html`<p class="lead"><b>It was deleted <${Time} at=${ep.revoked_at} />.</b> Its history stays readable for as long as records are kept.</p>`;
  if (state === "disabled") return html`<p class="lead"><b>It is disabled ${disabledBecause[ep.disabled_reason] || ""}, since <${Time} at=${ep.disabled_at} form="min" />.</b> Events meanwhile are recorded as skipped; once it is enabled, a replay sends them.</p>`;
  if (state === "untried") return html`<p class="lead"><b>Nothing was sent here yet.</b> Send a test: it goes the whole way and changes nothing.</p>`;
  if (ep.failure_count > 0) return html`<p class="lead"><b>It has failed ${count(ep.failure_count, "attempt")} in a row${ep.failing_since ? html`, since <${Time} at=${ep.failing_since} form="min" />` : ""}.</b> ${ep.last_success_at ? html`The last success was <${Ago} at=${ep.last_success_at} />.` : "Nothing has succeeded yet."} What waits is tried again by itself.</p>`;
  return html`<p class="lead"><b>It takes what it is sent.</b> The last success was <${Ago} at=${ep.last_success_at} />.</p>`;
}

function Facts({ ep }) {
  return html`<dl class="facts">
    <div><dt>URL</dt><dd class="row"><code><${Others} text=${ep.url} /></code><${Copy} text=${ep.url} what="the URL" /></dd></div>
    <div><dt>Endpoint</dt><dd class="row"><code>${ep.id}</code><${Copy} text=${ep.id} what="the endpoint id" /></dd></div>
    <div><dt>Last success</dt><dd><${Time} at=${ep.last_success_at} /></dd></div>
    <div><dt>Last failure</dt><dd><${Time} at=${ep.last_failure_at} /></dd></div>
    <div><dt>Gets</dt><dd><span><${Gets} ep=${ep} /></span></dd></div></dl>`;
}

const views = { all: {}, failed: { status: "failed" }, waiting: { status: "failed", final: "false" }, skipped: { status: "skipped" } };

function Deliveries({ ep }) {
  const [view, setView] = useState("all");
  const still = useStill(query(`/api/v1/webhooks/${ep.id}/deliveries`, { ...views[view], limit: 20 }), (a) => a.id);
  const { rows, fresh, live } = still;
  useKeyboard({ ...rowKeys(), n: () => fresh.length && still.show() });
  return html`<section class="card flush" aria-labelledby="hi"><header><h2 id="hi">Deliveries</h2><${Segments} label="Show" value=${view} onInput=${setView} options=${[["all", "All"], ["failed", "Failed"], ["waiting", "Waiting"], ["skipped", "Skipped"]]} /></header>
    ${fresh.length > 0 && html`<button class="new" onClick=${still.show}>Show ${number(fresh.length)}${live.data.has_more && fresh.length >= 20 ? " or more" : ""} new ${fresh.length === 1 ? "attempt" : "attempts"} <kbd>n</kbd></button>`}
    ${!still.ready ? html`<${Waiting} of="deliveries" waiting=${live.fault ? 1 : live.waiting} reload=${live.reload} />`
    : !rows.length ? html`<p class="empty mute">${view === "all" ? "Nothing was sent here yet." : `No ${view === "waiting" ? "delivery waits for its next attempt" : `${view} attempt is on record`}.`}</p>`
    : html`<table><thead><tr><th scope="col">Result</th><th scope="col">Sent</th><th scope="col">Event</th><th scope="col">Attempt</th><th scope="col">Answer</th><th scope="col" class="n">Took</th><th scope="col">Next attempt</th></tr></thead>
      <tbody>${rows.map((a) => html`<tr key=${a.id}><td><${State} of=${a.status} /></td><td data-l="Sent"><${Time} at=${a.created_at} /></td>
        <td data-l="Event"><a href=${to(["events", a.event_id])} data-row=""><${Others} text=${a.event_type} cut=${64} /></a><small class="m cut"><${Others} text=${a.event_id} cut=${40} /></small></td>
        <td data-l="Attempt">${a.attempt}${a.run > 0 && html`<small>run ${a.run + 1}</small>`}</td><td data-l="Answer">${outcome(a).short}</td><td data-l="Took" class="n">${a.status === "skipped" ? "" : span(a.duration_ms)}</td>
        <td data-l="Next">${a.next_attempt_at && !a.final ? (new Date(a.next_attempt_at) > Date.now() ? html`<b><${In} at=${a.next_attempt_at} /></b>` : html`<span class="mute">was <${Time} at=${a.next_attempt_at} /></span>`) : html`<span class="mute">${a.status === "succeeded" ? "none needed" : "none"}</span>`}</td></tr>`)}</tbody></table>`}
    <${Older} of="deliveries" more=${Boolean(still.cursor)} busy=${still.older.busy} onClick=${still.more} /><${Wrong} fault=${still.older.fault || (live.fault?.passes ? null : live.fault)} /></section>`;
}

function Settings({ ep, reload }) {
  const [draft, set] = useState(draftOf(ep));
  const { act, busy, fault } = useAct();
  const urlFault = useURLFault(draft.url, ep.url);
  const body = bodyOf(draft, ep);
  const changes = Object.keys(body).filter((k) => k in ep);
  const save = (e) => {
    e.preventDefault();
    act(async () => {
      const saved = await call("PATCH", `/api/v1/webhooks/${ep.id}`, Object.fromEntries(changes.map((k) => [k, body[k]])));
      set(draftOf(saved));
      tell("The settings are saved.");
      reload();
    });
  };
  return html`<section class="card" id="settings" aria-labelledby="se" tabIndex="-1"><header><h2 id="se">Settings</h2></header>
    <form class="stack" onSubmit=${save}><${Fields} ...${{ draft, set, fault, urlFault }} has=${(f) => f in ep} />
      ${fault && !changes.some((k) => fault.param.startsWith(k)) && html`<${Wrong} fault=${fault} />`}
      <p class="row"><button class="pri" disabled=${busy || !changes.length || Boolean(urlFault)}>${busy ? "Saving…" : "Save settings"}</button><small>${changes.length ? "takes effect within 10 s" : "nothing is changed"}</small></p></form></section>`;
}

function Ending({ ep, reload }) {
  const [grave, setGrave] = useState(false);
  const { act, busy, fault } = useAct();
  const remove = useAct();
  const set = (status) => act(async () => {
    await call("PATCH", `/api/v1/webhooks/${ep.id}`, { status });
    tell(status === "active" ? "The endpoint is enabled." : "The endpoint is disabled.");
    reload();
  });
  const run = () => remove.act(async () => {
    await call("DELETE", `/api/v1/webhooks/${ep.id}`);
    setGrave(false);
    reload();
  });
  return html`<section class="card stack" aria-labelledby="dz"><header><h2 id="dz">${ep.status === "active" ? "Disable" : "Enable"} or delete</h2></header>
    <p>Disabled, it gets nothing; events meanwhile are recorded as skipped and can be replayed. Deleted, it cannot come back; its history stays readable.</p><${Wrong} fault=${fault} />
    <p class="row">${ep.status === "active" ? html`<button disabled=${busy} onClick=${() => set("disabled")}>Disable</button>` : html`<button class="pri" disabled=${busy} onClick=${() => set("active")}>Enable</button>`}<button class="bad" onClick=${() => setGrave(true)}>Delete…</button></p>
    ${grave && html`<${Grave} title="Delete this endpoint?" name=${ep.name} keep="Keep it" verb="Delete endpoint" act=${{ ...remove, run }} onClose=${() => setGrave(false)}><p>What waits for it ends as skipped, its secret signs no more, and it cannot come back.</p><//>`}</section>`;
}

function Body({ ep, open, about, reload }) {
  useTitle(ep.name);
  const live = !ep.revoked_at;
  useEffect(() => {
    if (open) document.getElementById(open)?.scrollIntoView({ block: "start" });
  }, [open]);
  return html`<header><div class="row"><h1><${Others} text=${ep.name} cut=${100} /></h1><${State} of=${stateOf(ep)} pill=${true} /></div><${Lead} ep=${ep} /></header>
    <${Facts} ep=${ep} />
    ${live && html`<${Test} ep=${ep} plain=${true} />`}
    <${Deliveries} ep=${ep} />
    ${live && "filter" in ep && html`<${Filter} key=${JSON.stringify(ep.filter)} ep=${ep} about=${about} reload=${reload} />`}
    <div class="cols">${live && html`<${Settings} key=${ep.updated_at} ep=${ep} reload=${reload} />`}<div class="stack"><${SecretCard} ep=${ep} reload=${reload} />
      ${live && html`<${ReplayForm} ep=${ep} /><${Ending} ep=${ep} reload=${reload} />`}</div></div>`;
}

export function Endpoint({ id, open, about }) {
  const from = useGet(`/api/v1/webhooks/${id}`, { every: 4000 });
  if (from.fault?.kind === "missing") return html`<main id="main" tabIndex="-1"><h1>There is no such endpoint</h1><p class="lead">This account has none with the id <code>${id}</code>. <a href=${to(["endpoints"])}><${Icon} name="back" />All endpoints</a></p></main>`;
  return html`<main id="main" tabIndex="-1" class="stack"><${Loaded} from=${from} of="the endpoint">${(ep) => html`<${Body} ...${{ ep, open, about }} reload=${from.reload} />`}<//></main>`;
}
