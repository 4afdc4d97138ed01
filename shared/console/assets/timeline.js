// The timeline: one rail from the provider's call down, then a branch for every
// endpoint, those that got nothing too, with its attempts as nodes on a lane.
import { html, useState } from "./html.js";
import { call, useAct } from "./api.js";
import { attemptsOf, nameIn } from "./event.js";
import { Icon } from "./icons.js";
import { to } from "./route.js";
import { In, Others, State, tell, Time, useTick, Wrong } from "./ui.js";
import { clauseWords, count, disabledBecause, host, outcome, ruleWords, span, time, visible } from "./words.js";

const steps = {
  received: ["call", "", "Received"],
  verified: ["shield", "ok", "Verified"],
  recorded: ["disk", "ok", "Recorded"],
  confirmed: ["shield", "ok", "Confirmed"],
  rejected: ["rej", "vio", "Rejected"],
};

function Step({ at, next, what, detail }) {
  const [icon, colour, word] = steps[what] || ["dot", "", what];
  return html`<li><span class="m">${at && html`<${Time} at=${at} form="ms" />`}${next && html`<small>+${span(new Date(next) - new Date(at))}</small>`}</span>
    <span class="dot ${colour}"><${Icon} name=${icon} /></span><div><b>${word}</b> <span class="s"><${Others} text=${detail || ""} /></span></div></li>`;
}

// Ring is the next attempt: it fills as its time comes.
function Ring({ from, at }) {
  useTick(1000);
  const all = new Date(at) - new Date(from);
  const gone = all > 0 ? Math.max(0, Math.min(100, (100 * (Date.now() - new Date(from))) / all)) : 100;
  return html`<svg class="i info" stroke-width="3" viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="8" stroke="var(--rail)" /><circle cx="10" cy="10" r="8" pathLength="100" stroke-dasharray="${gone.toFixed(1)} 100" transform="rotate(-90 10 10)" /></svg>`;
}

function Node({ a, before, chosen, choose }) {
  const [icon, colour] = { succeeded: ["ok", "ok"], failed: ["bad", "bad"], skipped: ["skip", "mute"] }[a.status] || ["dot", ""];
  const o = outcome(a);
  return html`<li>${before && html`<span class="gap">${span(new Date(a.created_at) - new Date(before.created_at))}</span>`}
    <span class=${colour}><${Icon} name=${icon} /></span>
    <button type="button" class="box" aria-pressed=${chosen} onClick=${() => choose(a.id)}><span class="vh">Attempt ${a.attempt} ${a.status}: </span><b>${o.short}</b>${a.status === "skipped" ? "" : ` in ${span(a.duration_ms)}`} <small><${Time} at=${a.created_at} /></small></button></li>`;
}

// Lane is one run: its attempts, and the next one if there is to be one.
function Lane({ attempts, next, chosen, choose }) {
  const [all, setAll] = useState(false);
  const room = next ? 4 : 5;
  const folded = !all && attempts.length > room ? attempts.length - room + 1 : 0;
  const shown = folded ? [attempts[0], ...attempts.slice(1 + folded)] : attempts;
  const last = attempts.at(-1);
  return html`<ol class="lane ${attempts.length === 1 && !next ? "one" : ""}">
    ${shown.map((a, i) => html`
      ${folded > 0 && i === 1 && html`<li key="more" class="folded"><span class="mute"><${Icon} name="dot" /></span><button type="button" class="box" onClick=${() => setAll(true)}><b>${folded} more</b></button></li>`}
      <${Node} key=${a.id} a=${a} before=${folded && i === 1 ? null : shown[i - 1]} chosen=${a.id === chosen} choose=${choose} />`)}
    ${next && html`<li class="soon" key="next">${last && html`<span class="gap">${span(new Date(next) - new Date(last.created_at))}</span>`}
      <${Ring} from=${last?.created_at || next} at=${next} /><span class="box"><b><${In} at=${next} /></b> <small><${Time} at=${next} /></small></span></li>`}
  </ol>`;
}

function runsOf(attempts) {
  const runs = new Map();
  for (const a of attempts) runs.set(a.run, [...(runs.get(a.run) || []), a]);
  return [...runs].sort((a, b) => a[0] - b[0]);
}

function Branch({ ev, d, endpoints, chosen, choose }) {
  const [all, setAll] = useState(false);
  const ep = endpoints.get(d.endpoint_id);
  const attempts = attemptsOf(ev, d.endpoint_id);
  const runs = runsOf(attempts);
  const latest = runs.at(-1)?.[0] ?? 0;
  const shown = all || runs.length <= 4 ? runs : [runs[0], ...runs.slice(-2)];
  const hidden = runs.length - shown.length;
  const due = ["retrying", "pending"].includes(d.status) && d.next_attempt_at;
  // A run that was just started has no attempt yet: its lane is the next one alone.
  const started = due && attempts.some((a) => a.run === latest && a.final);
  return html`<li class="br ${attempts.length || due ? "" : "no"}"><span class="m">${d.status === "skipped" && !d.attempts ? "skipped" : count(d.attempts, "attempt")}</span><span class="dot"></span><div>
    <div class="row"><h3><a href=${to(["endpoints", d.endpoint_id])}><${Others} text=${nameIn(endpoints, d.endpoint_id)} cut=${80} /></a></h3>${ep && html`<small class="m cut"><${Others} text=${host(ep.url)} cut=${60} /></small>`}<span class="sp"><${State} of=${d.status} /></span></div>
    ${d.status === "skipped" && ep && html`<p>${ep.revoked_at ? "The endpoint has been deleted." : ep.status === "disabled" ? html`It is disabled ${disabledBecause[ep.disabled_reason] || ""}${ep.disabled_at ? html`, since <${Time} at=${ep.disabled_at} form="min" />` : ""}. <a href=${to(["endpoints", ep.id])}>Enable it</a>, then retry.` : "It was skipped then; retry to send it after all."}</p>`}
    ${shown.map(([n, list], i) => html`
      ${hidden > 0 && i === 1 && html`<p class="run" key="hidden"><button class="q s" onClick=${() => setAll(true)}>${hidden} more runs</button></p>`}
      ${n > 0 && html`<p class="run s" key="c${n}">Run ${n + 1}, sent again ${time(list[0].created_at)}</p>`}
      <${Lane} key=${n} attempts=${list} next=${n === latest && !started ? due : null} chosen=${chosen} choose=${choose} />`)}
    ${due && (started || !attempts.length) && html`<${Lane} attempts=${[]} next=${due} />`}
  </div></li>`;
}

function Why({ ev, u, ep, sources }) {
  if (u.reason === "filter") {
    const words = clauseWords(u.detail?.clauses) || u.detail?.sentence;
    return html`<p>${words ? html`<${Others} text=${words} />` : "Its filter did not let this event through. The endpoint was edited since, so which clause it was cannot be told any more."}</p>
      ${u.detail?.clauses?.length > 0 && html`<table class="clause"><thead><tr><th scope="col">Clause</th><th scope="col">Rule</th><th scope="col">In this event</th></tr></thead><tbody>
        ${u.detail.clauses.map((c) => html`<tr><td><span class="st ${c.held ? "ok" : "bad"}"><${Icon} name=${c.held ? "ok" : "bad"} /><span class="vh">${c.held ? "Holds:" : "Does not hold:"}</span></span> <code>${breakable(c.path.replace(/^\$\.?/, ""))}</code></td>
          <td data-l="Rule"><code>${visible(ruleWords(c.rule))}</code></td><td data-l="In this event"><code><b>${c.value === "" ? "not there" : visible(c.value)}</b></code></td></tr>`)}</tbody></table>`}`;
  }
  if (!ep) return html`<p>${{ event_type: "It does not ask for events of this type.", source: "It takes events of other sources only.", format: "This event cannot be written in its format." }[u.reason] || u.reason}</p>`;
  if (u.reason === "event_type") return html`<p>It asks for ${ep.event_types.map((t, i) => html`${i ? ", " : ""}<code><${Others} text=${t} /></code>`)}; this is <code><${Others} text=${ev.type} /></code>.</p>`;
  if (u.reason === "source") return html`<p>It takes events of ${ep.source_ids.map((s, i) => html`${i ? ", " : ""}<b><${Others} text=${sources.get(s)?.name || s} cut=${60} /></b>`)} only${ev.source_id ? html`; this one came from <b><${Others} text=${sources.get(ev.source_id)?.name || ev.source_id} cut=${60} /></b>` : "; this one was published"}.</p>`;
  if (u.reason === "format") return html`<p>Its format is <code>${ep.format}</code>${ep.format === "sivi" ? ": it gets the events of Sivi sources only" : ""}. This event cannot be written in it.</p>`;
  return html`<p>${u.reason}</p>`;
}

// breakable lets a long path break after its dots, never within a word.
const breakable = (path) => visible(path).split(".").flatMap((part, i) => (i ? [".", html`<wbr />`, part] : [part]));

const reasons = { event_type: "type", source: "source", format: "format", filter: "filter" };

function Unmatched({ ev, u, endpoints, sources, reload }) {
  const ep = endpoints.get(u.endpoint_id);
  const { act, busy, fault } = useAct();
  const deliver = () => act(async () => {
    await call("POST", `/api/v1/webhooks/${u.endpoint_id}/deliver`, { event_id: ev.id, ...(ev.source_id ? { source_id: ev.source_id } : {}) });
    tell(`Sent to ${nameIn(endpoints, u.endpoint_id)}.`);
    reload();
  });
  return html`<li class="br no"><span class="m">${reasons[u.reason] || u.reason}</span><span class="dot"></span><div>
    <div class="row"><h3><a href=${to(["endpoints", u.endpoint_id])}><${Others} text=${nameIn(endpoints, u.endpoint_id)} cut=${80} /></a></h3>${ep && html`<small class="m cut"><${Others} text=${host(ep.url)} cut=${60} /></small>`}<span class="sp"><${State} of="unmatched" /></span></div>
    <${Why} ...${{ ev, u, ep, sources }} />
    ${ep && !ep.revoked_at && html`<p class="row s">${u.reason === "filter" ? html`<a href=${to(["endpoints", ep.id], { open: "filter", event: ev.id })}>Change the filter</a>` : html`<a href=${to(["endpoints", ep.id], { open: "settings" })}>Change the endpoint</a>`}
      <button class="q s" disabled=${busy} onClick=${deliver}>${busy ? "Asking…" : "Match again and deliver"}</button></p>`}
    <${Wrong} fault=${fault} />
  </div></li>`;
}

export function Timeline({ ev, endpoints, sources, chosen, choose, reload }) {
  const head = (ev.timeline || [{ at: ev.created_at, what: "received", detail: "" }]).filter((t) => !t.endpoint_id && steps[t.what]);
  const matched = ev.timeline?.find((t) => t.what === "matched" || t.what === "not_matched");
  const all = ev.deliveries.length + ev.unmatched.length;
  const first = ev.attempts.filter((a) => a.run === 0).map((a) => a.created_at).sort()[0];
  const judged = ev.status !== "rejected";
  return html`<section class="card" aria-labelledby="tl">
    <header><h2 id="tl">What happened</h2><small class="sp">times are local, UTC on hover or <kbd>u</kbd></small></header>
    <ol class="tl">
      ${head.map((t, i) => html`<${Step} key=${i} ...${t} next=${head[i + 1]?.at || (judged && matched?.at)} />`)}
      ${judged && html`<li><span class="m">${matched && html`<${Time} at=${matched.at} form="ms" />`}${matched && first && first >= matched.at && html`<small>+${span(new Date(first) - new Date(matched.at))}</small>`}</span><span class="dot"><${Icon} name="fork" /></span><div><b>${all ? `Matched ${ev.deliveries.length} of ${count(all, "endpoint")}` : "No endpoint to match"}</b></div></li>`}
      ${ev.deliveries.map((d) => html`<${Branch} key=${d.endpoint_id} ...${{ ev, d, endpoints, chosen, choose }} />`)}
      ${ev.unmatched.map((u) => html`<${Unmatched} key=${u.endpoint_id} ...${{ ev, u, endpoints, sources, reload }} />`)}
    </ol>
  </section>`;
}
