// One source: its URL, what is still to do at the provider, the calls that were
// refused, and the requests that are waited for.
import { html, useState } from "./html.js";
import { call, query, useAct, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { to } from "./route.js";
import { lacks, providerName, providers, SourceState } from "./sources.js";
import { Choose, Command, Copy, Dialog, Field, Grave, In, Loaded, Others, State, tell, Time, useTitle, Wrong } from "./ui.js";
import { number, visible } from "./words.js";

// usePatch changes the source and says what is done.
function usePatch(s, reload) {
  const a = useAct();
  return { ...a, patch: (body, words) => a.act(async () => {
    await call("PATCH", `/api/v1/sources/${s.id}`, body);
    tell(words);
    reload();
    return true;
  }) };
}

function Step({ n, done, title, children }) {
  return html`<li>${done ? html`<span class="st ok"><${Icon} name="ok" /><span class="vh">Done:</span></span>` : html`<span class="num">${n}</span>`}<div><h3>${title}</h3>${children}</div></li>`;
}

function StoreSecret({ s, reload, label }) {
  const [secret, set] = useState("");
  const { patch, busy, fault } = usePatch(s, reload);
  const save = async (e) => {
    e.preventDefault();
    if (await patch({ signing_secret: secret }, "The signing secret is stored.")) set("");
  };
  return html`<form class="stack" onSubmit=${save}><${Field} label=${label} type="password" autocomplete="off" value=${secret} onInput=${set} fault=${fault?.param === "signing_secret" ? fault.message : ""} help=${s.signing_secret_set ? "The one before it stays good for a day." : "Stored sealed, never shown again."} />
    ${fault && fault.param !== "signing_secret" && html`<${Wrong} fault=${fault} />`}<p><button class=${s.signing_secret_set ? "" : "pri"} disabled=${busy || !secret}>Store secret</button></p></form>`;
}

function AskSivi({ s, reload }) {
  const [text, set] = useState("");
  const [confirm, setConfirm] = useState(s.confirm === "off" ? "prefer" : s.confirm);
  const { patch, busy, fault } = usePatch(s, reload);
  const save = async (e) => {
    e.preventDefault();
    if (await patch({ ...(text ? { sivi_api_key: text } : {}), confirm }, "Stored.")) set("");
  };
  return html`<form class="stack" onSubmit=${save}><p>Store your Sivi API key. Hookferry then asks about requests that never ended, and checks each end before it is relayed.</p>
    <${Field} label="Sivi API key" type="password" autocomplete="off" value=${text} onInput=${set} fault=${fault?.param?.startsWith("sivi") ? fault.message : ""} help=${s.sivi_api_key_set ? "One is stored. A new one takes its place." : "Stored sealed, never shown again."} />
    <${Choose} label="If Sivi cannot be asked" value=${confirm} onInput=${setConfirm} options=${[["prefer", "relay it in the end (prefer)"], ["require", "reject it (require)"], ["off", "do not check at all (off)"]]} />
    ${fault && !fault.param?.startsWith("sivi") && html`<${Wrong} fault=${fault} />`}
    <p><button class=${s.sivi_api_key_set ? "" : "pri"} disabled=${busy || (!text && (!s.sivi_api_key_set || confirm === s.confirm))}>Store</button></p></form>`;
}

// hidden shows a URL that is a password without what makes it one.
const hidden = (s) => (s.provider === "sivi" ? s.ingest_url.replace(/[^/]+$/, "••••••••") : s.ingest_url);

function Setup({ s, reload, first }) {
  const name = providerName(s);
  const where = { rivya: "Make a webhook in Rivya with this URL; Rivya then shows the signing secret once.", sivi: "Set it with Sivi's update-webhook call. Treat this URL like a password: whoever has it can call as Sivi.", standard: "Give it to the provider as the endpoint's URL; the provider then shows a secret, whsec_….", hmac: `Give it to ${name} as the URL of a webhook, with JSON as the content type.` }[s.provider];
  const called = Boolean(first);
  return html`<section class="card" aria-labelledby="su"><header><h2 id="su">Setup</h2></header><ol class="steps">
    <${Step} n="1" done=${called} title="Tell ${name} where to call"><p class="s">${where}</p><${Command} what="the ingest URL" text=${s.ingest_url} shown=${visible(hidden(s))} /><//>
    ${s.provider !== "sivi" && html`<${Step} n="2" done=${!lacks(s)} title="Store the signing secret">${lacks(s) && html`<p><b>It answers 503 until then.</b> The provider calls again by itself, so nothing is lost meanwhile.</p>`}<${StoreSecret} s=${s} reload=${reload} label="Signing secret from ${name}" /><//>`}
    <${Step} n=${s.provider === "sivi" ? "2" : "3"} done=${called} title="Let it call once">${called ? html`<p class="s">The latest event came <${Time} at=${first.created_at} />: <a href=${to(["events", first.id], { of: s.id })}><${Others} text=${first.type} cut=${64} /></a>.</p>` : html`<p class="s">The first event shows up here within seconds.</p>`}<//>
    ${s.provider === "sivi" && html`<${Step} n="3" done=${s.sivi_api_key_set && s.confirm !== "off"} title="Let Hookferry ask Sivi"><${AskSivi} key=${s.updated_at} s=${s} reload=${reload} /><//>
      <${Step} n="4" title="Name the requests that you start"><p class="s">Then not even the first call about one can get lost.</p><${Command} what="the command" text=${`curl ${location.origin}/api/v1/sources/${s.id}/expect \\\n  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d '{"request_ids":["sbhMkIZKCPp"]}'`} /><//>`}
  </ol></section>`;
}

const refusalWords = {
  signature_missing: ["No signature", "answered 401. Is the call the provider's own?"], signature_malformed: ["Signature malformed", "answered 401. The header is not as the provider writes it."],
  signature_stale: ["Too old", "answered 401. The timestamp is more than minutes off: a replayed call, or a clock that is wrong."], signature_mismatch: ["Wrong signature", "answered 401. Is the signing secret stored here the provider's current one?"],
  token: ["Wrong token", "answered 401. The provider may still have the URL from before the last rotation."], id_mismatch: ["Ids differ", "answered 400. The header names another event than the signed body."],
  body: ["Not an event", "answered 400. The body is none that this source knows."], too_large: ["Too large", "answered 413. Bodies are at most 256 KiB."], no_secret: ["No secret stored", "answered 503. Store the signing secret; the provider calls again."],
  source: ["Disabled, or another kind", "answered 404."], busy: ["Too much at once", "answered 503. The provider calls again."], unavailable: ["Not available", "answered 503. The provider calls again."],
};

function Refusals({ s }) {
  const from = useGet(`/api/v1/sources/${s.id}/refusals?limit=50`, { every: 10000 });
  if (from.fault?.kind === "missing") return null;
  return html`<section class="card flush" id="refused" aria-labelledby="rf"><header><h2 id="rf">Refused calls</h2><small class="sp">by reason and hour</small></header>
    <${Loaded} from=${from} of="refusals">${({ data }) => !data.length ? html`<p class="empty mute">No call was refused.</p>` : html`<table><thead><tr><th scope="col">Reason</th><th scope="col">Hour</th><th scope="col" class="n">Calls</th><th scope="col">Last</th></tr></thead><tbody>${data.map((r) => {
    const [word, means] = refusalWords[r.reason] || [r.reason.replaceAll("_", " "), ""];
    return html`<tr key=${`${r.reason} ${r.hour}`}><td><span class="st vio"><${Icon} name="rej" />${word}</span><small>${means}</small></td><td data-l="Hour"><${Time} at=${r.hour} form="min" /></td><td data-l="Calls" class="n">${number(r.count)}</td><td data-l="Last"><${Time} at=${r.last_at} /></td></tr>`;
  })}</tbody></table>`}<//></section>`;
}

function Expected({ s }) {
  const from = useGet(`/api/v1/sources/${s.id}/expect?limit=50`, { every: 5000 });
  const words = { waiting: html`<${State} of="pending">: not there yet<//>`, resolved: html`<${State} of="succeeded" />`, given_up: html`<span class="st mute"><${Icon} name="none" />Given up</span>` };
  return html`<section class="card flush" id="expected" aria-labelledby="ex"><header><h2 id="ex">Still waited for</h2></header>
    <${Loaded} from=${from} of="requests">${({ data }) => !data.length ? html`<p class="empty mute">No request is waited for. Name those that you start, step 4.</p>` : html`<table><thead><tr><th scope="col">Request</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Asked next</th></tr></thead><tbody>${data.map((x) => html`<tr key=${x.request_id}>
      <td>${x.event_id ? html`<a class="m" href=${to(["events", x.event_id], { of: s.id })}><${Others} text=${x.request_id} cut=${60} /></a>` : html`<span class="m"><${Others} text=${x.request_id} cut=${60} /></span>`}</td><td data-l="State">${words[x.status] || x.status}</td><td data-l="Since"><${Time} at=${x.created_at} /></td><td data-l="Next">${x.next_ask_at ? html`<b><${In} at=${x.next_ask_at} /></b>` : html`<span class="mute">no more</span>`}</td></tr>`)}</tbody></table>`}<//></section>`;
}

function Rotate({ s, onClose, reload }) {
  const [overlap, set] = useState("86400");
  const [fresh, setFresh] = useState("");
  const { act, busy, fault } = useAct();
  const rotate = () => act(async () => {
    setFresh((await call("POST", `/api/v1/sources/${s.id}/rotate-token`, { overlap_seconds: Number(overlap) })).ingest_url);
    reload();
  });
  if (fresh) return html`<${Dialog} title="The new ingest URL" onClose=${onClose}><p>Give it to Sivi before the old one ends.</p><${Command} what="the new ingest URL" text=${fresh} /><p><button class="pri" data-first="" onClick=${onClose}>Close</button></p><//>`;
  return html`<${Dialog} title="Rotate the token of this source?" onClose=${onClose}><p>The ingest URL changes. The old one is good for as long as you say.</p><${Choose} label="The old URL is good for" value=${overlap} onInput=${set} options=${[["0", "no longer"], ["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"]]} /><${Wrong} fault=${fault} />
    <p class="row"><button data-first="" onClick=${onClose}>Keep the URL</button><button class="pri" disabled=${busy} onClick=${rotate}>Rotate</button></p><//>`;
}

function Body({ s, reload }) {
  const [open, setOpen] = useState("");
  const [gone, setGone] = useState(false);
  const { patch, busy, fault } = usePatch(s, reload);
  const remove = useAct();
  const latest = useGet(query("/api/v1/webhook-events", { source_id: s.id, limit: 1 }), { every: 5000 });
  const first = latest.data?.data[0];
  useTitle(s.name);
  const run = () => remove.act(async () => {
    await call("DELETE", `/api/v1/sources/${s.id}`);
    setOpen("");
    setGone(true);
  });
  if (gone) return html`<h1>The source is deleted</h1><p class="lead">Calls to its URL are answered 404 from now on. <a href=${to(["sources"])}>All sources</a></p>`;
  return html`<header><div class="row"><h1><${Others} text=${s.name} cut=${100} /></h1><${SourceState} s=${s} pill=${true} /><span class="sp row">${s.provider === "sivi" && html`<button onClick=${() => setOpen("rotate")}>Rotate token</button>`}
      <button disabled=${busy} onClick=${() => patch({ status: s.status === "active" ? "disabled" : "active" }, s.status === "active" ? "The source is disabled." : "The source is enabled.")}>${s.status === "active" ? "Disable" : "Enable"}</button><button class="bad" onClick=${() => setOpen("delete")}>Delete…</button></span></div>
    <p class="lead">${s.status === "disabled" ? html`<b>It is disabled.</b> Calls are answered 404, and are not kept.` : lacks(s) ? html`<b>It ${lacks(s)}.</b> Until then calls are answered 503.` : first ? html`<b>It takes calls.</b> The latest event came <${Time} at=${first.created_at} />.` : html`<b>Nothing came yet.</b> What is to do at the provider stands below.`}</p></header>
    <${Wrong} fault=${fault} />
    <dl class="facts"><div><dt>Provider</dt><dd><${Others} text=${providerName(s)} cut=${60} /></dd></div><div><dt>Source</dt><dd class="row"><code>${s.id}</code><${Copy} text=${s.id} what="the source id" /></dd></div><div><dt>Proof</dt><dd>${(providers[s.provider] || ["", ""])[1]}${s.confirm && s.confirm !== "off" ? html`, then asks Sivi (<code>${s.confirm}</code>)` : ""}</dd></div>
      <div><dt>Events</dt><dd><a href=${to(["events"], { source_id: s.id })}>those of this source</a></dd></div></dl>
    <div class="cols"><${Setup} ...${{ s, reload, first }} /><div class="stack"><${Refusals} s=${s} />${s.provider === "sivi" && html`<${Expected} s=${s} />`}
      ${s.recipe && html`<section class="card"><header><h2>Recipe</h2><${Copy} text=${JSON.stringify(s.recipe, null, 2)} what="the recipe" /></header><p class="s">How calls are proved and read: data, changed by PATCH, without a deployment.</p><pre class="scroll" tabIndex="0" role="group" aria-label="The recipe">${visible(JSON.stringify(s.recipe, null, 2))}</pre></section>`}
      ${s.provider === "sivi" && html`<section class="card stack"><h2>Try it</h2><p>Be Sivi, once. The event shows up in <a href=${to(["events"])}>Events</a> within a second; the same call again is a duplicate and goes nowhere.</p><${Command} what="the command" text=${`curl "$INGEST_URL" -d '{"status":200,"body":\n  {"requestId":"try-1","status":"complete","result":null}}'`} /></section>`}</div></div>
    ${open === "rotate" && html`<${Rotate} s=${s} reload=${reload} onClose=${() => setOpen("")} />`}
    ${open === "delete" && html`<${Grave} title="Delete this source?" name=${s.name} keep="Keep it" verb="Delete source" act=${{ ...remove, run }} onClose=${() => setOpen("")}><p>Calls to its URL are answered 404 from then on, and are lost. Its events stay.</p><//>`}`;
}

export function Source({ id }) {
  const from = useGet(`/api/v1/sources/${encodeURIComponent(id)}`, { every: 5000 });
  if (from.fault?.kind === "missing") return html`<main id="main" tabIndex="-1"><h1>There is no such source</h1><p class="lead"><a href=${to(["sources"])}>All sources</a></p></main>`;
  return html`<main id="main" tabIndex="-1"><${Loaded} from=${from} of="the source">${(s) => html`<${Body} s=${s} reload=${from.reload} />`}<//></main>`;
}
