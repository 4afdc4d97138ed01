// One event: what happened to it, drawn from the call to the last attempt, with
// the cause of what went wrong and its repair beside it.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { call, get, query, useAct, useGet, useNames } from "./api.js";
import { Attempt } from "./attempt.js";
import { Icon } from "./icons.js";
import { member } from "./json.js";
import { useKeyboard } from "./keyboard.js";
import { Payload } from "./payload.js";
import { to } from "./route.js";
import { Timeline } from "./timeline.js";
import { Copy, copy, In, Loaded, Others, State, tell, Time, useTitle, Wrong } from "./ui.js";
import { count, outcome, proof, ruleWords, states } from "./words.js";
import { Verify } from "./verify.js";

const rank = { failed: 0, retrying: 1, pending: 2, skipped: 3, succeeded: 4 };

// worst is the delivery that one opens the page for.
export const worst = (deliveries) => [...deliveries].sort((a, b) => (rank[a.status] ?? 9) - (rank[b.status] ?? 9))[0];

export const nameIn = (endpoints, id) => endpoints.get(id)?.name || id;

// attemptsOf returns an endpoint's attempts, oldest first.
export const attemptsOf = (ev, endpoint) => ev.attempts.filter((a) => a.endpoint_id === endpoint)
  .sort((a, b) => a.run - b.run || a.attempt - b.attempt || (a.created_at < b.created_at ? -1 : 1));

// Lead is the sentence that answers why one came.
function Lead({ ev, endpoints }) {
  const name = (d) => html`<${Others} text=${nameIn(endpoints, d.endpoint_id)} cut=${80} />`;
  const all = ev.deliveries;
  const have = all.filter((d) => d.status === "succeeded").length;
  const open = all.filter((d) => d.status === "retrying" || d.status === "pending");
  const failed = all.filter((d) => d.status === "failed");
  const skipped = all.filter((d) => d.status === "skipped");
  if (ev.status === "rejected") return html`<p class="lead"><b>It was not relayed.</b> ${ev.rejected_because ? html`Sivi answered: <${Others} text=${ev.rejected_because} />` : "Sivi did not confirm it."}</p>`;
  if (!all.length) return html`<p class="lead"><b>No endpoint wanted it.</b> ${ev.unmatched?.length ? `${count(ev.unmatched.length, "endpoint")} looked at it; why not stands below.` : html`There was no endpoint yet when it came. <a href=${to(["endpoints", "new"])}>Make one</a>.`}</p>`;
  const first = have === all.length ? html`<b>${all.length === 1 ? html`${name(all[0])} has it.` : `All ${all.length} endpoints have it.`}</b>` : html`<b>${have} of ${count(all.length, "endpoint")} ${have === 1 ? "has" : "have"} it.</b>`;
  const w = failed[0] || open.find((d) => d.status === "retrying") || open[0] || skipped[0];
  if (!w) return html`<p class="lead">${first}</p>`;
  const tried = attemptsOf(ev, w.endpoint_id).filter((a) => a.status === "failed");
  const last = tried.at(-1);
  let then = "";
  if (w.status === "failed") then = html`${name(w)} failed ${count(w.attempts, "attempt")}${last ? html`, the last with <b>${outcome(last).title}</b>` : ""}. Nothing more is sent by itself: retry when it is mended.`;
  else if (w.status === "retrying") then = html`${name(w)} failed ${count(w.attempts, "attempt")}${last ? html`, the last with <b>${outcome(last).title}</b>` : ""}. It is tried again ${w.next_attempt_at ? html`<b><${In} at=${w.next_attempt_at} /></b>` : "soon"}.`;
  else if (w.status === "pending") then = html`${name(w)} gets it ${w.next_attempt_at && new Date(w.next_attempt_at) - Date.now() > 2000 ? html`<b><${In} at=${w.next_attempt_at} /></b>` : "now"}.`;
  else then = html`${name(w)} was skipped: ${outcome(attemptsOf(ev, w.endpoint_id).at(-1) || { error: { code: "endpoint_disabled" } }).title.toLowerCase()}.`;
  const more = [failed, open, skipped].flat().length - 1;
  return html`<p class="lead">${first} ${then}${more > 0 ? ` ${count(more, "other")} ${more === 1 ? "does" : "do"} not have it either.` : ""}</p>`;
}

function Facts({ ev, sources }) {
  const src = sources.get(ev.source_id);
  return html`<dl class="facts">
    <div><dt>Event</dt><dd class="row"><code><${Others} text=${ev.id} /></code><${Copy} text=${ev.id} what="the event id" /></dd></div>
    ${ev.subject && html`<div><dt>Subject</dt><dd class="row"><a class="m" href=${to(["events"], { subject: ev.subject })}><${Others} text=${ev.subject} /></a><${Copy} text=${ev.subject} what="the subject" /></dd></div>`}
    <div><dt>Source</dt><dd>${ev.source_id ? html`<a href=${to(["sources", ev.source_id])}><${Others} text=${src?.name || ev.source_id} cut=${80} /></a>` : ev.test ? "a test" : "published"}</dd></div>
    <div><dt>Proof</dt><dd>${proof[ev.verified_by] || ev.verified_by}</dd></div>
    <div><dt>Received</dt><dd><${Time} at=${ev.created_at} /></dd></div>
    ${ev.other_sources?.length > 0 && html`<div><dt>Same id from</dt><dd class="row">${ev.other_sources.map((s) => html`<a href=${to(["events", ev.id], { of: s })}><${Others} text=${sources.get(s)?.name || s} cut=${60} /></a>`)}</dd></div>`}
  </dl>`;
}

// useAttempts completes an event with the attempts of its endpoints where the
// event itself does not have them.
function useAttempts(ev) {
  const [more, set] = useState({ of: null, list: [] });
  useEffect(() => {
    if (!ev || ev.attempts) return;
    let over = false;
    Promise.all(ev.deliveries.map((d) => get(query(`/api/v1/webhooks/${d.endpoint_id}/deliveries`, { event_id: ev.id, limit: 100 })).then((l) => l.data, () => []))).then((all) => !over && set({ of: ev, list: all.flat() }));
    return () => (over = true);
  }, [ev]);
  return useMemo(() => ev && { ...ev, attempts: ev.attempts || more.list, unmatched: ev.unmatched || [] }, [ev, more]);
}

// notesOf says, for each path that a filter looked at, what the filter asks for.
function notesOf(ev, endpoints) {
  const notes = new Map();
  for (const u of ev.unmatched) {
    for (const c of u.detail?.clauses || []) {
      if (!c.held) notes.set(c.path.replace(/^\$\.?/, ""), html`<${Others} text=${nameIn(endpoints, u.endpoint_id)} cut=${60} />: <${Others} text=${ruleWords(c.rule)} />`);
    }
  }
  return notes;
}

function Body({ ev, text, endpoints, sources, hurry }) {
  const title = useRef();
  const first = worst(ev.deliveries);
  const [chosen, choose] = useState("");
  const { act, busy, fault } = useAct();
  const [verifying, setVerifying] = useState(false);
  useTitle(`${ev.type}, ${(states[ev.status] || [ev.status])[0].toLowerCase()}`);
  useEffect(() => title.current?.focus({ preventScroll: true }), []);
  const attempts = ev.attempts;
  const attempt = attempts.find((a) => a.id === chosen) || (first && attemptsOf(ev, first.endpoint_id).at(-1)) || attempts.at(-1);
  const canRetry = (endpoint) => {
    const ep = endpoints.get(endpoint);
    return ep && !ep.revoked_at && attemptsOf(ev, endpoint).length > 0;
  };
  const retry = (endpoint) => act(async () => {
    const last = attemptsOf(ev, endpoint).at(-1);
    await call("POST", `/api/v1/webhooks/${endpoint}/deliveries/${last.id}/retry`);
    tell(`Retrying ${nameIn(endpoints, endpoint)}.`);
    choose("");
    hurry();
  });
  const toRetry = ev.deliveries.filter((d) => ["failed", "retrying", "skipped"].includes(d.status) && canRetry(d.endpoint_id) && endpoints.get(d.endpoint_id)?.status === "active");
  // A key that is pressed by mistake must not send again what an endpoint has.
  const target = (toRetry.find((d) => d.endpoint_id === attempt?.endpoint_id) || toRetry[0])?.endpoint_id;
  const verify = () => {
    setVerifying(true);
    requestAnimationFrame(() => document.getElementById("verify")?.focus());
  };
  useKeyboard({ r: () => target && !busy && retry(target), c: () => copy(ev.id, "the event id"), v: () => attempt && verify() });
  // The address as it is shared leads to the event, whatever list it was found in.
  const link = `${location.origin}${to(["events", ev.id], { of: ev.source_id })}`;
  return html`<header><div class="row"><h1 ref=${title} tabIndex="-1"><${Others} text=${ev.type} /></h1><${State} of=${ev.status} pill=${true} />${ev.test && html`<span class="st mute pill"><${Icon} name="tag" />Test</span>`}
      <span class="sp row"><${Copy} text=${link} what="the link to this event" word="Copy link" />
      ${toRetry.length > 0 && html`<button class="pri" disabled=${busy} onClick=${() => retry(worst(toRetry).endpoint_id)}>Retry <${Others} text=${nameIn(endpoints, worst(toRetry).endpoint_id)} cut=${30} /></button>`}</span></div>
    <${Lead} ...${{ ev, endpoints }} /></header>
  <${Wrong} fault=${fault} />
  <${Facts} ...${{ ev, sources }} />
  <${Timeline} ...${{ ev, endpoints, sources, chosen: attempt?.id, choose, retry, busy, reload: hurry }} />
  <div class="cols">
    ${attempt && html`<${Attempt} ...${{ ev, attempt, endpoints, busy }} retry=${canRetry(attempt.endpoint_id) ? () => retry(attempt.endpoint_id) : null} verify=${verify} />`}
    <${Payload} text=${text} notes=${notesOf(ev, endpoints)} about=${ev.source_id && "As it is kept; white space between values may differ from what was sent."} />
  </div>
  ${attempt && verifying && html`<${Verify} ...${{ ev, attempt, endpoints }} />`}`;
}

export function Event({ id, of, back }) {
  const [hurried, setHurried] = useState(0);
  const path = query(`/api/v1/webhook-events/${encodeURIComponent(id)}`, { source_id: of });
  const [open, setOpen] = useState(true);
  const from = useGet(path, { every: open || Date.now() - hurried < 30000 ? 1500 : 6000 });
  const sources = useNames("sources");
  const endpoints = useNames("webhooks");
  const raw = from.data;
  const ev = useAttempts(raw);
  const text = useMemo(() => (from.text ? member(from.text, "payload") : ""), [from.text]);
  useEffect(() => {
    if (raw) setOpen(raw.status === "pending" || raw.deliveries.some((d) => ["pending", "retrying"].includes(d.status)));
  }, [raw]);
  const was = useRef("");
  useEffect(() => {
    if (raw && was.current && was.current !== raw.status) tell(`The event is ${(states[raw.status] || [raw.status])[0].toLowerCase()} now.`);
    if (raw) was.current = raw.status;
  }, [raw?.status]);
  const hurry = () => {
    setHurried(Date.now());
    from.reload();
  };
  return html`<article class="event" id="event" aria-label="Event" tabIndex="-1">
    <a class="back btn q" href=${back}><${Icon} name="back" />Events</a>
    ${from.fault?.kind === "missing" ? html`<h1>There is no such event</h1><p class="lead">No event of this account has the id <code><${Others} text=${id} /></code>. One that was just accepted is here within seconds; a call that was refused stands with its source.</p>`
    : html`<${Loaded} from=${from} of="the event">${() => html`<${Body} ...${{ ev, text, endpoints, sources, hurry }} />`}<//>`}
  </article>`;
}
