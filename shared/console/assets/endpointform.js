// The fields of an endpoint, for a new one and for the settings of one.
import { html, useEffect, useRef, useState } from "./html.js";
import { call, Fault, useGet, useNames } from "./api.js";
import { Choose, Field, Others } from "./ui.js";

const formatWords = { rivya: "rivya: one form for all", sivi: "sivi: Sivi’s own bodies", verbatim: "verbatim: as they came in" };

// draftOf is what a form edits; shown decides which of the newer fields the API has.
export const draftOf = (ep) => ({
  name: ep?.name ?? "", url: ep?.url ?? "", types: ep?.event_types ?? ["*"], format: ep?.format ?? "rivya", signatures: ep?.signatures ?? ["rivya"],
  sources: ep?.source_ids ?? [], perSecond: ep?.max_per_second ?? "", inFlight: ep?.max_in_flight ?? "",
});

// bodyOf is the body of a call: what differs from the endpoint, or all of it.
export function bodyOf(draft, ep) {
  const number = (v) => (v === "" ? null : Number(v));
  const all = {
    name: draft.name.trim(), url: draft.url.trim(), event_types: draft.types, format: draft.format, signatures: draft.signatures, source_ids: draft.sources,
    max_per_second: number(draft.perSecond), max_in_flight: number(draft.inFlight),
  };
  const before = ep || { max_per_second: null, max_in_flight: null };
  return Object.fromEntries(Object.entries(all).filter(([k, v]) => JSON.stringify(v) !== JSON.stringify(before[k] ?? null)));
}

// useURLFault asks the API about a URL while one types, as a call that makes an
// endpoint would, without making one.
export function useURLFault(url, known) {
  const [fault, set] = useState("");
  const turn = useRef(0);
  useEffect(() => {
    const mine = ++turn.current;
    const text = url.trim();
    if (text === "" || text === known) return set("");
    const timer = setTimeout(async () => {
      try {
        await call("POST", "/api/v1/webhooks?dry_run=true", { name: "a look", url: text, event_types: ["*"] });
        if (mine === turn.current) set("");
      } catch (err) {
        if (mine === turn.current) set(err instanceof Fault && err.param === "url" ? err.message : "");
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [url, known]);
  return fault;
}

function Types({ value, set, fault }) {
  const catalogue = useGet("/api/v1/event-types");
  const [more, setMore] = useState("");
  const names = [...new Set(["*", ...(catalogue.data?.data || []).map((t) => t.name).filter((n) => n.startsWith("generation.")), ...value])];
  const flip = (name) => set(value.includes(name) ? value.filter((v) => v !== name) : [...value.filter((v) => (name === "*") === (v === "*")), name]);
  const add = () => {
    const name = more.trim();
    if (!name) return;
    if (!value.includes(name)) set([...value.filter((v) => v !== "*"), name]);
    setMore("");
  };
  return html`<fieldset><legend><b>Event types</b></legend>
    ${names.map((n) => html`<label class="chk" key=${n}><input type="checkbox" checked=${value.includes(n)} onInput=${() => flip(n)} /><span><code><${Others} text=${n} /></code>${n === "*" && html` <small>everything but tests and notices about endpoints</small>`}</span></label>`)}
    <${Field} label="Another type" hidden=${true} fault=${fault}>${(common) => html`<input ...${common} list="more-types" placeholder="Another type, such as order.paid" value=${more} spellcheck="false" autocomplete="off"
      onInput=${(e) => setMore(e.target.value)} onKeyDown=${(e) => e.key === "Enter" && more.trim() && (e.preventDefault(), add())} onBlur=${add} />`}<//>
    <datalist id="more-types">${(catalogue.data?.data || []).map((t) => html`<option key=${t.name} value=${t.name} />`)}</datalist></fieldset>`;
}

// Fields draws them; fault is that of the last call, urlFault that of the URL.
export function Fields({ draft, set, fault, urlFault, has }) {
  const sources = useNames("sources");
  const change = (name) => (value) => set({ ...draft, [name]: value });
  const of = (param) => (fault?.param === param || fault?.param?.startsWith(`${param}[`) ? fault.message : "");
  const formats = ["rivya", "sivi", ...(has("filter") || draft.format === "verbatim" ? ["verbatim"] : [])];
  return html`
    <${Field} label="Name" value=${draft.name} onInput=${change("name")} fault=${of("name")} autocomplete="off" />
    <${Field} label="URL" type="url" inputmode="url" spellcheck="false" autocomplete="off" value=${draft.url} onInput=${change("url")} fault=${urlFault || of("url")} help="Public, https, port 443 or 1024 and above. The host is checked again at every delivery." />
    <${Types} value=${draft.types} set=${change("types")} fault=${of("event_types")} />
    <div class="two"><${Choose} label="Format" value=${draft.format} onInput=${change("format")} options=${formats.map((f) => [f, formatWords[f]])} />
      ${sources.size > 0 && html`<${Choose} label="Sources" value=${draft.sources.length === 1 ? draft.sources[0] : draft.sources.length ? "many" : ""} onInput=${(v) => v !== "many" && change("sources")(v ? [v] : [])}
        options=${[["", "All sources"], ...(draft.sources.length > 1 ? [["many", `${draft.sources.length} sources`]] : []), ...[...sources.values()].map((s) => [s.id, s.name])]} />`}</div>
    ${has("max_per_second") && html`<div class="two"><${Field} label="At most a second" inputmode="numeric" placeholder="no limit" value=${draft.perSecond} onInput=${change("perSecond")} fault=${of("max_per_second")} />
      <${Field} label="At most at once" inputmode="numeric" placeholder="no limit" value=${draft.inFlight} onInput=${change("inFlight")} fault=${of("max_in_flight")} /></div>`}
    <label class="chk"><input type="checkbox" checked=${draft.signatures.includes("standard")} onInput=${(e) => change("signatures")(e.target.checked ? [...draft.signatures, "standard"].sort() : draft.signatures.filter((s) => s !== "standard"))} /><span>Sign as Standard Webhooks says, too <small>for its libraries; the same secret</small></span></label>`;
}
