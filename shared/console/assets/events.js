// Events: the list that stays put while new ones come, and one event beside it.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { query, useGet, useNames } from "./api.js";
import { Icon } from "./icons.js";
import { useKeyboard } from "./keyboard.js";
import { go, to } from "./route.js";
import { pageSize, useStill } from "./still.js";
import { Choose, Command, Field, Older, Others, State, tell, Time, useTitle, Waiting, Wrong } from "./ui.js";
import { count, number, states } from "./words.js";

const filterNames = ["status", "type", "source_id", "endpoint_id", "subject", "range"];
const ranges = { hour: 3600e3, day: 86400e3, week: 7 * 86400e3 };

const filtersOf = (q) => Object.fromEntries(filterNames.map((n) => [n, q.get(n) || ""]));

// since is where a range begins, at a whole minute so that the list's address
// stays the same from one reading to the next.
function since(range) {
  return ranges[range] ? new Date(Math.floor((Date.now() - ranges[range]) / 60000) * 60000).toISOString() : "";
}

export const nameOf = (ev) => `${ev.source_id || ""} ${ev.id}`;

function useEvents(filters) {
  const { range, ...rest } = filters;
  return useStill(query("/api/v1/webhook-events", { ...rest, since: useMemo(() => since(range), [range]), limit: pageSize }), nameOf);
}

function Row({ ev, filters, current, onPress }) {
  const word = (states[ev.status] || [ev.status])[0];
  return html`<li><a href=${to(["events", ev.id], { ...filters, of: ev.source_id })} data-keep="1" aria-current=${current ? "true" : null} data-row="" onClick=${onPress}>
    <${State} of=${ev.status} bare=${true} /><b class="cut"><${Others} text=${ev.type} cut=${64} /></b><span class="s"><${Time} at=${ev.created_at} /></span>
    <span class="s cut m"><${Others} text=${ev.subject || ev.id} cut=${64} /></span><span class="s" aria-hidden="true">${ev.test ? "test" : word.toLowerCase()}</span></a></li>`;
}

function Filters({ filters, set, sources, endpoints, types }) {
  const change = (name) => (value) => set({ ...filters, [name]: value });
  const [type, setType] = useState(filters.type);
  useEffect(() => setType(filters.type), [filters.type]);
  const [open, setOpen] = useState(Boolean(filters.source_id || filters.endpoint_id || filters.subject));
  const [subject, setSubject] = useState(filters.subject);
  useEffect(() => setSubject(filters.subject), [filters.subject]);
  return html`<form class="stack" aria-label="Filters" onSubmit=${(e) => {
    e.preventDefault();
    set({ ...filters, type: type.trim(), subject: subject.trim() });
  }}>
    <div class="two">
      <${Choose} label="Status" hidden=${true} value=${filters.status} onInput=${change("status")} options=${[["", "Any status"], ...["delivered", "pending", "failed", "skipped", "unmatched", "rejected"].map((s) => [s, states[s][0]])]} />
      <${Choose} label="Time" hidden=${true} value=${filters.range} onInput=${change("range")} options=${[["", "Any time"], ["hour", "Last hour"], ["day", "Last day"], ["week", "Last week"]]} />
      <${Field} label="Type" hidden=${true}>${(common) => html`<input ...${common} list="types" placeholder="Any type" spellcheck="false" autocomplete="off" value=${type} onInput=${(e) => setType(e.target.value)} onChange=${(e) => set({ ...filters, type: e.target.value.trim() })} />`}<//>
      <button type="button" class="more" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "Fewer filters" : "More filters"}</button>
    </div>
    <datalist id="types">${types.map((t) => html`<option key=${t} value=${t} />`)}</datalist>
    ${open && html`
      <${Choose} label="Source" hidden=${true} value=${filters.source_id} onInput=${change("source_id")} options=${[["", "Any source"], ...[...sources.values()].map((s) => [s.id, s.name]), ...(filters.source_id && !sources.has(filters.source_id) ? [[filters.source_id, filters.source_id]] : [])]} />
      <${Choose} label="Endpoint" hidden=${true} value=${filters.endpoint_id} onInput=${change("endpoint_id")} options=${[["", "Any endpoint"], ...[...endpoints.values()].map((s) => [s.id, s.name]), ...(filters.endpoint_id && !endpoints.has(filters.endpoint_id) ? [[filters.endpoint_id, filters.endpoint_id]] : [])]} />
      <${Field} label="Subject" hidden=${true} placeholder="Subject: a generation or request id" spellcheck="false" autocomplete="off" value=${subject} onInput=${setSubject} />
      <button class="vh">Apply the filters</button>`}
  </form>`;
}

function Empty({ filtered, clear }) {
  if (filtered) {
    return html`<div class="empty"><p>No event fits these filters. Calls that were refused are not events: they stand with their source.</p><p><button onClick=${clear}>Clear filters</button></p></div>`;
  }
  return html`<div class="empty"><p><b>No event yet.</b> Make a <a href=${to(["sources", "new"])}>source</a> for a provider to call, or publish one yourself:</p>
    <${Command} what="the command" text=${`curl ${location.origin}/api/v1/webhook-events \\\n  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d '{"type":"order.paid","data":{"order":20418}}'`} /></div>`;
}

function List({ filters, set, chosen }) {
  const events = useEvents(filters);
  const sources = useNames("sources");
  const endpoints = useNames("webhooks");
  const catalogue = useGet("/api/v1/event-types");
  const { live, rows, fresh } = events;
  const types = [...new Set([...(catalogue.data?.data || []).map((t) => t.name), ...rows.map((e) => e.type)])].sort();
  const filtered = filterNames.some((n) => filters[n]);
  const ref = useRef();
  useEffect(() => {
    if (fresh.length) tell(`${count(fresh.length, "new event")}. Press n to show ${fresh.length === 1 ? "it" : "them"}.`);
  }, [fresh.length]);
  const show = () => {
    events.show();
    ref.current.scrollTo?.(0, 0);
    requestAnimationFrame(() => ref.current?.querySelector("[data-row]")?.focus());
  };
  const step = (by) => () => {
    const all = [...ref.current.querySelectorAll("[data-row]")];
    const at = all.findIndex((a) => a === document.activeElement || (document.activeElement === document.body && a.getAttribute("aria-current")));
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus();
  };
  useKeyboard({ j: step(1), k: step(-1), n: () => fresh.length && show() });
  const many = fresh.length >= pageSize ? `${pageSize} or more` : number(fresh.length);
  return html`<section class="list" ref=${ref} aria-label="Events" tabIndex="-1">
    <header><div class="row"><h1>Events</h1>${filtered && html`<button class="q sp s" onClick=${() => set({})}>Clear filters</button>`}</div>
      <${Filters} ...${{ filters, set, sources, endpoints, types }} /></header>
    ${fresh.length > 0 && html`<button class="new" onClick=${show}>Show ${many} new ${fresh.length === 1 ? "event" : "events"} <kbd>n</kbd></button>`}
    ${live.fault && !live.fault.passes && html`<${Wrong} fault=${live.fault}><p class="row"><button onClick=${() => set({})}>Clear filters</button></p><//>`}
    ${!events.ready && !live.fault && html`<div class="empty"><${Waiting} of="events" waiting=${live.waiting} reload=${live.reload} /></div>`}
    ${events.ready && !rows.length && !live.data.has_more && html`<${Empty} filtered=${filtered} clear=${() => set({})} />`}
    ${events.ready && !rows.length && live.data.has_more && html`<div class="empty"><p>None among the newest thousand.</p></div>`}
    <ol>${rows.map((ev) => html`<${Row} key=${nameOf(ev)} ...${{ ev, filters, current: chosen && chosen.id === ev.id && (!chosen.of || chosen.of === (ev.source_id || "")) }} />`)}</ol>
    <${Older} of="events" more=${Boolean(events.cursor)} busy=${events.older.busy} onClick=${events.more} />
    <${Wrong} fault=${events.older.fault} />
  </section>`;
}

// The page of one event is loaded when the first is opened.
let Event = null;

function Chosen(props) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!Event) import("./event.js").then((m) => {
      Event = m.Event;
      draw(1);
    });
  }, []);
  return Event && html`<${Event} ...${props} />`;
}

export default function Events({ route }) {
  const filters = filtersOf(route.query);
  const id = route.parts[1];
  const chosen = id ? { id, of: route.query.get("of") || "" } : null;
  useTitle(id ? "" : "Events");
  const set = (next) => go(to(["events"], Object.fromEntries(filterNames.map((n) => [n, next[n]]))));
  const close = () => {
    go(to(["events"], filters));
    requestAnimationFrame(() => document.querySelector(`.list [data-row][href*="${CSS.escape(encodeURIComponent(id))}"]`)?.focus());
  };
  useKeyboard(chosen ? { Escape: close } : {});
  return html`<main id="main" tabIndex="-1" class="split ${chosen ? "open" : ""}">
    <${List} ...${{ filters, set, chosen }} />
    ${chosen ? html`<${Chosen} key=${`${chosen.of} ${chosen.id}`} id=${chosen.id} of=${chosen.of} back=${to(["events"], filters)} />`
    : html`<div class="event mute"><p>Choose an event to see its whole story: <kbd>j</kbd> and <kbd>k</kbd> go through the list, <kbd>Enter</kbd> opens, <kbd>/</kbd> searches.</p></div>`}
  </main>`;
}
