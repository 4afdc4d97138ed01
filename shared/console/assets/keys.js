// API keys: by maker and scope; new ones shown once; links for customers.
import { html, useState } from "./html.js";
import { call, state, useAct, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { Ago, Choose, Command, Dialog, Field, Grave, Loaded, Note, Others, State, tell, Time, useTitle, Wrong } from "./ui.js";
import { count } from "./words.js";

const scopes = [
  ["webhooks:manage", "endpoints, deliveries, replays"], ["webhooks:read", "read them alone"], ["events:publish", "publish events"], ["sources:manage", "the providers that call in"], ["keys:manage", "make and revoke keys"],
];

const lives = [["", "never, or with its maker"], ["3600", "1 hour"], ["86400", "1 day"], ["2592000", "30 days"], ["31536000", "1 year"]];

function Scopes({ value, set, of = scopes }) {
  return html`<fieldset><legend><b>It may</b></legend>${of.filter(([s]) => state.key.scopes.includes(s) || (s === "webhooks:read" && state.key.scopes.includes("webhooks:manage"))).map(([s, words]) => html`<label class="chk" key=${s}><input type="checkbox" checked=${value.includes(s)} onInput=${(e) => set(e.target.checked ? [...value, s] : value.filter((v) => v !== s))} /><span><code>${s}</code> <small>${words}</small></span></label>`)}</fieldset>`;
}

function NewKey({ onClose, done }) {
  const [name, setName] = useState("");
  const [chosen, setScopes] = useState(["webhooks:manage"]);
  const [life, setLife] = useState("");
  const [made, setMade] = useState(null);
  const { act, busy, fault } = useAct();
  const create = (e) => {
    e.preventDefault();
    act(async () => {
      setMade(await call("POST", "/api/v1/api-keys", { name: name.trim(), scopes: chosen, ...(life ? { expires_at: new Date(Date.now() + life * 1000).toISOString() } : {}) }));
      done();
    });
  };
  if (made) return html`<${Dialog} title="The new key, once" onClose=${() => {}}><${Note} kind="warn" icon="key" title="Copy it now.">It is not shown again. Lost, it is revoked and another made.<//><${Command} what="the API key" text=${made.api_key} /><p><button class="pri" data-first="" onClick=${onClose}>I have stored it</button></p><//>`;
  return html`<${Dialog} title="New API key" onClose=${onClose}><form class="stack" onSubmit=${create}>
    <${Field} label="Name" value=${name} onInput=${setName} autocomplete="off" fault=${fault?.param === "name" ? fault.message : ""} help="who or what will use it" /><${Scopes} value=${chosen} set=${setScopes} /><${Choose} label="It ends" value=${life} onInput=${setLife} options=${lives} />
    ${fault?.param !== "name" && html`<${Wrong} fault=${fault} />`}<p class="row"><button type="button" data-first="" onClick=${onClose}>Make none</button><button class="pri" disabled=${busy || !name.trim() || !chosen.length}>Create key</button></p></form><//>`;
}

function PortalLink({ onClose }) {
  const [chosen, setScopes] = useState(["webhooks:manage"]);
  const [life, setLife] = useState("900");
  const [made, setMade] = useState(null);
  const { act, busy, fault } = useAct();
  const make = (e) => {
    e.preventDefault();
    act(async () => setMade(await call("POST", "/api/v1/portal-links", { expires_in: Number(life), scopes: chosen })));
  };
  if (made) return html`<${Dialog} title="A link that is signed in" onClose=${onClose}><${Note} kind="warn" icon="key" title="Whoever has it is in until it ends,"><${Time} at=${made.expires_at} />.<//><${Command} what="the link" text=${made.url} /><p><button class="pri" data-first="" onClick=${onClose}>Close</button></p><//>`;
  return html`<${Dialog} title="A link for a customer" onClose=${onClose}><p>It opens this console for this account, signed in, until it ends. It never may manage keys.</p><form class="stack" onSubmit=${make}>
    <${Scopes} value=${chosen} set=${setScopes} of=${scopes.slice(0, 4)} /><${Choose} label="It ends after" value=${life} onInput=${setLife} options=${[["900", "15 minutes"], ["3600", "1 hour"], ["86400", "1 day"]]} /><${Wrong} fault=${fault} />
    <p class="row"><button type="button" data-first="" onClick=${onClose}>Make none</button><button class="pri" disabled=${busy || !chosen.length}>Make link</button></p></form><//>`;
}

function Revoke({ k, below, onClose, done }) {
  const [all, set] = useState(false);
  const remove = useAct();
  const run = () => remove.act(async () => {
    await call("DELETE", `/api/v1/api-keys/${k.id}${all ? "?cascade=true" : ""}`);
    tell("The key is revoked.");
    done();
    onClose();
  });
  return html`<${Grave} title="Revoke this key?" name=${k.name} keep="Keep it" verb="Revoke key" act=${{ ...remove, run }} onClose=${onClose}><p>Whatever uses it is answered 401 within 10 seconds. ${k.id === state.key.id && html`<b>It is the key that you are signed in with.</b>`}</p>
    ${below > 0 && html`<label class="chk"><input type="checkbox" checked=${all} onInput=${(e) => set(e.target.checked)} /><span>and all that descend from it, ${count(below, "key")} at least</span></label>`}<//>`;
}

const stateOf = (k) => (k.revoked_at ? "revoked" : k.expires_at && new Date(k.expires_at) < Date.now() ? "expired" : "active");

export default function Keys() {
  useTitle("Keys");
  const from = useGet("/api/v1/api-keys?limit=100", { every: 10000 });
  const [open, setOpen] = useState("");
  const [ended, setEnded] = useState(false);
  const all = from.data?.data || [];
  const names = new Map(all.map((k) => [k.id, k.name]));
  const shown = all.filter((k) => ended || stateOf(k) === "active");
  const close = () => setOpen("");
  const revoking = all.find((k) => k.id === open);
  return html`<main id="main" tabIndex="-1"><header><div class="row"><h1>Keys</h1><span class="sp row"><button onClick=${() => setOpen("link")}>Link for a customer</button><button class="pri" onClick=${() => setOpen("new")}><${Icon} name="plus" />New key</button></span></div>
    <p class="lead">A key has no more scopes than its maker, and does not outlive it. The text of a key is shown once, when it is made.</p></header>
    <${Loaded} from=${from} of="keys">${() => html`<div class="card flush"><table><thead><tr><th scope="col">Key</th><th scope="col">State</th><th scope="col">Scopes</th><th scope="col">Made by</th><th scope="col">Made</th><th scope="col">Ends</th><th scope="col"><span class="vh">Acts</span></th></tr></thead><tbody>
      ${shown.map((k) => html`<tr key=${k.id}><td><b><${Others} text=${k.name} cut=${100} /></b>${k.id === state.key.id ? html` <small>you are signed in with it</small>` : ""}<small class="m">${k.prefix}…</small></td><td data-l="State"><${State} of=${stateOf(k)} /></td><td data-l="Scopes">${k.scopes.map((s, i) => html`${i ? ", " : ""}<code>${s}</code>`)}</td>
        <td data-l="Made by">${k.created_by ? html`<${Others} text=${names.get(k.created_by) || k.created_by} cut=${80} />` : html`<span class="mute">the command line</span>`}</td><td data-l="Made"><${Ago} at=${k.created_at} /></td><td data-l="Ends">${k.expires_at ? html`<${Time} at=${k.expires_at} form="min" />` : html`<span class="mute">never</span>`}</td>
        <td>${stateOf(k) === "active" && html`<button onClick=${() => setOpen(k.id)}>Revoke<span class="vh"> ${k.name}</span></button>`}</td></tr>`)}</tbody></table></div>
      ${all.length > all.filter((k) => stateOf(k) === "active").length && html`<p><button class="q s" aria-expanded=${ended} onClick=${() => setEnded(!ended)}>${ended ? "Hide" : "Show"} keys that have ended</button></p>`}`}<//>
    ${open === "new" && html`<${NewKey} onClose=${close} done=${from.reload} />`}${open === "link" && html`<${PortalLink} onClose=${close} />`}
    ${revoking && html`<${Revoke} k=${revoking} below=${all.filter((k) => k.created_by === revoking.id && !k.revoked_at).length} onClose=${close} done=${from.reload} />`}</main>`;
}
