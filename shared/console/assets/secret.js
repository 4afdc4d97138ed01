// What an endpoint's secret needs: showing it once, rotating it, and a test.
import { html, useState } from "./html.js";
import { call, useAct, useGet } from "./api.js";
import { to } from "./route.js";
import { Choose, Command, Dialog, In, Note, State, Time, Wrong } from "./ui.js";

export function Secret({ text }) {
  return html`<${Note} kind="warn" icon="key" title="Copy it now.">It is not shown again; if you lose it, rotate.<//><${Command} what="the signing secret" text=${text} />`;
}

function Watch({ id }) {
  const from = useGet(`/api/v1/webhook-events/${id}`, { every: 1000, awaits: true });
  const d = from.data?.deliveries[0];
  return html`<p class="row" role="status">${d ? html`<${State} of=${d.status} />` : html`<span class="mute">The test is on its way…</span>`} <a href=${to(["events", id])}>See the test</a></p>`;
}

export function Test({ ep, plain }) {
  const { act, busy, fault } = useAct();
  const [sent, set] = useState("");
  const send = () => act(async () => set((await call("POST", `/api/v1/webhooks/${ep.id}/test`)).id));
  return html`<p class="row"><button type="button" class=${plain ? "" : "pri"} disabled=${busy} onClick=${send}>${sent ? "Send another test" : "Send a test"}</button></p>
    <${Wrong} fault=${fault} />${sent && html`<${Watch} key=${sent} id=${sent} />`}`;
}

const overlaps = [["0", "at once: the old one stops signing"], ["3600", "1 hour"], ["86400", "1 day"], ["259200", "3 days"], ["604800", "7 days"]];

function Rotation({ ep, onClose, done }) {
  const [overlap, set] = useState("86400");
  const [fresh, setFresh] = useState("");
  const { act, busy, fault } = useAct();
  const rotate = (e) => {
    e.preventDefault();
    act(async () => {
      const answer = await call("POST", `/api/v1/webhooks/${ep.id}/rotate-secret`, { overlap_seconds: Number(overlap) });
      setFresh(answer.signing_secret);
      done();
    });
  };
  if (fresh) return html`<${Dialog} title="The new signing secret, once" onClose=${() => {}}><${Secret} text=${fresh} /><p class="row"><button class="pri" data-first="" onClick=${onClose}>I have stored it</button></p><//>`;
  return html`<${Dialog} title="Rotate the secret of ${ep.name}?" onClose=${onClose}><p>From now on a new secret signs. The old one signs too, for as long as you say, so that your receiver can change over without losing a call.</p>
    <form class="stack" onSubmit=${rotate}><${Choose} label="The old one signs too for" value=${overlap} onInput=${set} options=${overlaps} /><${Wrong} fault=${fault} />
    <p class="row"><button type="button" data-first="" onClick=${onClose}>Keep the secret</button><button class="pri" disabled=${busy}>${busy ? "Rotating…" : "Rotate"}</button></p></form><//>`;
}

export function SecretCard({ ep, reload }) {
  const [open, set] = useState(false);
  const until = ep.old_secret_until && new Date(ep.old_secret_until) > Date.now() ? ep.old_secret_until : null;
  return html`<section class="card stack" id="secret" aria-labelledby="sc"><header><h2 id="sc">Signing secret</h2>${!ep.revoked_at && html`<span class="sp"><button onClick=${() => set(true)}>Rotate</button></span>`}</header>
    ${until ? html`<p><b>Two secrets sign until <${Time} at=${until} form="min" /></b>, which is <${In} at=${until} />. Put the new one into your receiver before then.</p>` : html`<p>One secret signs.</p>`}
    <dl class="kv"><dt>${until ? "New" : "Secret"}</dt><dd><code>${ep.secret_preview}</code></dd>${until && html`<dt>Old</dt><dd>signs too until <${Time} at=${until} /></dd>`}<dt>Signatures</dt><dd>${ep.signatures.join(", ")}</dd></dl>
    ${open && html`<${Rotation} ep=${ep} done=${reload} onClose=${() => set(false)} />`}</section>`;
}
