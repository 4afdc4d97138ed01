// The filter of an endpoint: a pattern over the body, tried on real events while
// it is written, and sent nowhere by trying.
import { html, useEffect, useRef, useState } from "./html.js";
import { call, Fault, get, query, useAct } from "./api.js";
import { Icon } from "./icons.js";
import { to } from "./route.js";
import { Field, Others, tell, Time, Wrong } from "./ui.js";
import { clauseWords, number } from "./words.js";

// textOf writes a filter with an object's member a line, and a list in one.
function textOf(filter, indent = "") {
  if (filter === null) return "";
  if (Array.isArray(filter) || typeof filter !== "object") return JSON.stringify(filter);
  const inner = `${indent}  `;
  return `{\n${Object.entries(filter).map(([k, v]) => `${inner}${JSON.stringify(k)}: ${v === null ? "null" : textOf(v, inner)}`).join(",\n")}\n${indent}}`;
}

const example = `{
  "data": { "generation": { "final_credits": [{ "numeric": [">=", 40] }] } }
}`;

// parse reads what one writes: an empty text is no filter.
function parse(text) {
  if (text.trim() === "") return { filter: null };
  try {
    const filter = JSON.parse(text);
    if (filter === null || typeof filter !== "object" || Array.isArray(filter)) return { fault: "A filter is an object, like the body that it is held against." };
    return { filter };
  } catch (err) {
    return { fault: `This is no JSON yet: ${err.message}` };
  }
}

// useTries asks what the filter would do with the account's newest events.
function useTries(ep, parsed, about) {
  const [tries, set] = useState({ rows: null, fault: "", busy: false });
  const turn = useRef(0);
  const text = JSON.stringify(parsed.filter ?? null);
  useEffect(() => {
    const mine = ++turn.current;
    if (parsed.fault) return set((t) => ({ ...t, busy: false }));
    const timer = setTimeout(async () => {
      set((t) => ({ ...t, busy: true }));
      try {
        const page = await get(query("/api/v1/webhook-events", { limit: 8 }));
        const events = page.data.filter((e) => !e.test).slice(0, 6);
        if (about && !events.some((e) => e.id === about)) {
          const one = await get(`/api/v1/webhook-events/${encodeURIComponent(about)}`).catch(() => null);
          if (one) events.unshift(one);
        }
        const rows = await Promise.all(events.map(async (ev) => ({ ev, would: await call("POST", `/api/v1/webhooks/${ep.id}/match`, { event_id: ev.id, ...(ev.source_id ? { source_id: ev.source_id } : {}), filter: parsed.filter }) })));
        if (mine === turn.current) set({ rows, fault: "", busy: false });
      } catch (err) {
        if (mine === turn.current) set({ rows: null, fault: err instanceof Fault ? err.message : "", busy: false });
      }
    }, 400);
    return () => clearTimeout(timer);
  }, [ep.id, text, Boolean(parsed.fault), about]);
  return tries;
}

function Try({ ev, would }) {
  const goes = would.outcome !== "unmatched";
  return html`<li><span class="st ${goes ? "ok" : "mute"}"><${Icon} name=${goes ? "ok" : "none"} /><span class="vh">${goes ? "Goes out:" : "Does not go out:"}</span></span>
    <div><a class="m" href=${to(["events", ev.id], { of: ev.source_id })}><${Others} text=${ev.subject || ev.id} cut=${48} /></a> <small><${Time} at=${ev.created_at} /></small>${!goes && html`<p class="s"><${Others} text=${(would.reason === "filter" && clauseWords(would.filter?.clauses)) || would.sentence} /></p>`}</div></li>`;
}

export function Filter({ ep, about, reload }) {
  const [text, set] = useState(textOf(ep.filter));
  const { act, busy, fault, clear } = useAct();
  const parsed = parse(text);
  const tries = useTries(ep, parsed, about);
  const changed = text !== textOf(ep.filter);
  const said = parsed.fault || tries.fault || (fault?.param?.startsWith("filter") ? fault.message : "");
  const go = tries.rows?.filter((r) => r.would.outcome !== "unmatched").length;
  const save = () => act(async () => {
    await call("PATCH", `/api/v1/webhooks/${ep.id}`, { filter: parsed.filter });
    tell("The filter is saved.");
    reload();
  });
  return html`<section class="card" id="filter" aria-labelledby="fi" tabIndex="-1"><header><h2 id="fi">Filter</h2><small>an event goes out only if every clause holds</small>
    <span class="sp row">${changed && html`<button onClick=${() => set(textOf(ep.filter))}>Discard</button>`}<button class="pri" disabled=${!changed || Boolean(said) || busy} onClick=${save}>${busy ? "Saving…" : "Save filter"}</button></span></header>
    <div class="cols"><div><${Field} label="Pattern" hidden=${true} fault=${said} help=${said ? "" : text.trim() ? `${number(new TextEncoder().encode(text).length)} of 4,096 bytes` : "Empty: no filter, everything that it asks for goes out."}>
      ${(common) => html`<textarea ...${common} rows="11" spellcheck="false" placeholder=${example} value=${text} onInput=${(e) => {
    set(e.target.value);
    clear();
  }}></textarea>`}<//>
      ${fault && !fault.param?.startsWith("filter") && html`<${Wrong} fault=${fault} />`}</div>
    <div><h3>Tried on your last events</h3>${tries.rows === null ? html`<p class="mute">${tries.busy ? "Trying…" : said ? "Mend the pattern, and it is tried." : ""}</p>`
    : !tries.rows.length ? html`<p class="mute">There is no event to try it on yet.</p>`
    : html`<p class="lead"><b>${go} would go out, ${tries.rows.length - go} would not.</b> Nothing is sent by trying.</p><ul class="tries">${tries.rows.map((r) => html`<${Try} key=${`${r.ev.source_id} ${r.ev.id}`} ...${r} />`)}</ul>`}</div></div></section>`;
}
