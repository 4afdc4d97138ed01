// A replay of an endpoint: count first, then send at a pace it can take.
import { html, useState } from "./html.js";
import { call, useAct } from "./api.js";
import { go, to } from "./route.js";
import { Choose, Field, Wrong } from "./ui.js";
import { count } from "./words.js";

// localText is a moment as an input of a time wants it.
const localText = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 16);

const what = (ep) => [["", "what failed or was skipped"], ["failed", "what failed"], ["skipped", "what was skipped"], ...("filter" in ep ? [["open", "what still waits, now"]] : []), ["all", "everything"]];

export function ReplayForm({ ep }) {
  const begin = ep.failing_since || ep.disabled_at;
  const [since, setSince] = useState(localText(begin ? new Date(begin) - 60000 : Date.now() - 86400e3));
  const [until, setUntil] = useState("");
  const [status, setStatus] = useState("");
  const [pace, setPace] = useState("10");
  const [dry, setDry] = useState(null);
  const { act, busy, fault, clear } = useAct();
  const body = () => ({ since: new Date(since).toISOString(), ...(until ? { until: new Date(until).toISOString() } : {}), ...(status ? { status } : {}), max_per_second: Number(pace) });
  const change = (f) => (v) => {
    f(v);
    setDry(null);
    clear();
  };
  const look = (e) => {
    e.preventDefault();
    act(async () => setDry(await call("POST", `/api/v1/webhooks/${ep.id}/replay?dry_run=true`, body())));
  };
  const send = () => act(async () => go(to(["replays", (await call("POST", `/api/v1/webhooks/${ep.id}/replay`, body())).id])));
  const of = (p) => (fault?.param === p ? fault.message : "");
  return html`<section class="card stack" id="replay" aria-labelledby="re" tabIndex="-1"><header><h2 id="re">Replay</h2></header>
    <p>Send again what it missed, at a pace that it can take. Counting sends nothing.</p>
    <form class="stack" onSubmit=${look}>
      <div class="two"><${Field} label="Since" type="datetime-local" required=${true} value=${since} onInput=${change(setSince)} fault=${of("since")} /><${Field} label="Until" type="datetime-local" value=${until} onInput=${change(setUntil)} fault=${of("until")} help="empty: now" /></div>
      <div class="two"><${Choose} label="Send" value=${status} onInput=${change(setStatus)} options=${what(ep)} /><${Field} label="At most a second" type="number" min="1" max="100" required=${true} value=${pace} onInput=${change(setPace)} fault=${of("max_per_second")} /></div>
      ${fault && !["since", "until", "max_per_second"].includes(fault.param) && html`<${Wrong} fault=${fault} />`}
      <p class="row" role="status">${dry && html`<b>${dry.exact ? "" : "At least "}${count(dry.count, "delivery", "deliveries")} would be sent.</b>`}</p>
      <p class="row"><button class=${dry ? "" : "pri"} disabled=${busy || !since}>Count what would be sent</button>${dry && dry.count > 0 && html`<button type="button" class="pri" disabled=${busy} onClick=${send}>Send ${count(dry.count, "delivery", "deliveries")} again</button>`}</p>
    </form></section>`;
}
