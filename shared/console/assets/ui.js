// The parts that all pages are made of.
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { clock, rough, span, states, time, utc, visible } from "./words.js";

// useTick draws anew every so many milliseconds, for what counts down.
export function useTick(ms = 1000, on = true) {
  const [, set] = useState(0);
  useEffect(() => {
    if (!on) return;
    const t = setInterval(() => set((n) => n + 1), ms);
    return () => clearInterval(t);
  }, [ms, on]);
}

export function Time({ at, form = "" }) {
  const [, set] = useState(0);
  useEffect(() => {
    const f = () => set((n) => n + 1);
    clock.watchers.add(f);
    return () => clock.watchers.delete(f);
  }, []);
  if (!at) return html`<span class="mute">never</span>`;
  return html`<time dateTime=${new Date(at).toISOString()} title=${clock.utc ? `${time(at)} UTC` : utc(at)}>${time(at, form)}</time>`;
}

// In counts down to a moment; Ago says how long ago one was.
export function In({ at }) {
  const left = new Date(at) - Date.now();
  useTick(1000, left > 0);
  return html`<span>${left > 0 ? `in ${span(Math.ceil(left / 1000) * 1000)}` : "now"}</span>`;
}

export function Ago({ at }) {
  useTick(5000);
  const ms = Date.now() - new Date(at);
  return html`<span class="nb">${ms < 5000 ? "just now" : `${rough(ms)} ago`}</span>`;
}

// Others is text that somebody else wrote.
export function Others({ text, cut = 400 }) {
  const shown = visible(text);
  return html`<bdi>${shown.length > cut ? `${shown.slice(0, cut)}…` : shown}</bdi>`;
}

export function State({ of, pill, bare, children }) {
  const [word, icon, colour] = states[of] || [of, "dot", "mute"];
  return html`<span class="st ${colour} ${pill ? "pill" : ""}"><${Icon} name=${icon} /><span class=${bare ? "vh" : ""}>${word}</span>${children}</span>`;
}

// told is what the one live region says next; it speaks at most once in 5 s.
const told = { say: () => {} };
export const tell = (text) => told.say(text);

export function Live() {
  const [text, set] = useState("");
  useEffect(() => {
    let next = "";
    let free = true;
    const speak = () => {
      free = !next;
      if (!next) return;
      set(next);
      next = "";
      setTimeout(speak, 5000);
    };
    told.say = (words) => {
      next = words;
      if (free) speak();
    };
  }, []);
  return html`<p class="vh" role="status" aria-live="polite">${text}</p>`;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    tell(`Copied ${what}.`);
    return true;
  } catch {
    tell("The browser does not let this page copy. Mark the text and copy it by hand.");
    return false;
  }
}

export function Copy({ text, what, word = "" }) {
  const [done, set] = useState(false);
  const press = async () => {
    if (!(await copy(typeof text === "function" ? await text() : text, what))) return;
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class=${word ? "" : "q"} aria-label=${word ? null : `Copy ${what}`} title=${word ? null : `Copy ${what}`} onClick=${press}>
    <${Icon} name=${done ? "ok" : "copy"} />${word && (done ? "Copied" : word)}</button>`;
}

// Command is a text to take along, with its button.
export function Command({ text, what, shown = text }) {
  return html`<div class="cmd"><pre tabIndex="0" role="group" aria-label=${what}>${shown}</pre><${Copy} text=${text} what=${what} word="Copy" /></div>`;
}

export function Note({ kind = "bad", icon, title, children, role }) {
  return html`<div class="note ${kind}" role=${role}><${Icon} name=${icon || { bad: "bad", warn: "deg", ok: "ok", info: "pend", vio: "rej" }[kind]} /><div>${title && html`<b>${title}</b> `}${children}</div></div>`;
}

// Wrong says what a fault means and what to do.
const advice = {
  scope: "Sign in with a key that has this scope.",
  conflict: "Nothing was changed.",
  limit: "Wait a few seconds, then try again.",
  down: "Deliveries go on without the console. Try again in a few seconds.",
  none: "Is the relay running, and this machine online? Deliveries go on without the console.",
};

export function Wrong({ fault, children }) {
  if (!fault || fault.kind === "auth") return null;
  return html`<${Note} kind="bad" role="alert" title=${visible(fault.message)}>
    ${advice[fault.kind] || ""} ${fault.requestId && html`<small class="m">${fault.requestId}</small>`}${children}<//>`;
}

// Waiting stands where rows will be, in words, once they take over 200 ms.
export function Waiting({ of, waiting, reload }) {
  if (!waiting) return html`<div class="wait"></div>`;
  return html`<div class="wait"><p class="mute">Loading ${of}…${waiting > 1 ? html` This takes longer than usual. <button class="q" onClick=${reload}>Try again</button>` : ""}</p></div>`;
}

// Loaded draws what was read, or says why there is nothing to draw.
export function Loaded({ from, of, children }) {
  if (from.data) return children(from.data);
  if (from.fault && !from.fault.passes) return html`<${Wrong} fault=${from.fault} />`;
  return html`<${Waiting} of=${of} waiting=${from.fault ? 1 : from.waiting} reload=${from.reload} />`;
}

let ids = 0;
export function useId(prefix) {
  const ref = useRef("");
  ref.current ||= `${prefix}-${++ids}`;
  return ref.current;
}

// Field is a labelled input with its help and, under it, its fault.
export function Field({ label, help, fault, children, value, onInput, hidden, ...rest }) {
  const id = useId("f");
  const about = [help && `${id}-h`, fault && `${id}-e`].filter(Boolean).join(" ") || null;
  const common = { id, "aria-describedby": about, "aria-invalid": fault ? "true" : null };
  return html`<div class="field"><label for=${id} class=${hidden ? "vh" : ""}>${label}</label>
    ${typeof children === "function" ? children(common) : html`<input ...${common} ...${rest} value=${value} onInput=${(e) => onInput(e.target.value)} />`}
    ${help && html`<small id="${id}-h">${help}</small>`}
    ${fault && html`<p id="${id}-e" class="st bad fault" role="alert"><${Icon} name="bad" /><span>${visible(fault)}</span></p>`}</div>`;
}

export function Choose({ label, value, onInput, options, hidden, help }) {
  return html`<${Field} label=${label} hidden=${hidden} help=${help}>${(common) => html`<select ...${common} value=${value} onInput=${(e) => onInput(e.target.value)}>
    ${options.map(([v, word]) => html`<option key=${v} value=${v} selected=${v === value}>${word}</option>`)}</select>`}<//>`;
}

// Segments is a choice of few, all seen at once.
export function Segments({ label, value, onInput, options }) {
  const name = useId("s");
  return html`<fieldset class="seg sp"><legend class="vh">${label}</legend>${options.map(([v, word]) => html`
    <label key=${v}><input type="radio" name=${name} value=${v} checked=${v === value} onInput=${() => onInput(v)} />${word}</label>`)}</fieldset>`;
}

// Dialog is modal. The first button in it is the safe one and has the focus.
export function Dialog({ title, onClose, children, label }) {
  const ref = useRef();
  const id = useId("d");
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog.showModal();
    dialog.querySelector("[data-first]")?.focus();
    return () => {
      dialog.close();
      before?.focus?.();
    };
  }, []);
  return html`<dialog ref=${ref} class="card" aria-labelledby=${id} onCancel=${(e) => {
    e.preventDefault();
    onClose();
  }} onClick=${(e) => e.target === ref.current && onClose()}><div class="stack"><h2 id=${id}>${title}</h2>${children}</div></dialog>`;
}

// Grave asks for the name of what will be gone before it lets one go on.
export function Grave({ title, name, children, keep, verb, act, onClose }) {
  const [typed, set] = useState("");
  const right = [name.trim(), visible(name).trim()].includes(typed.trim());
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    <form class="stack" onSubmit=${(e) => {
    e.preventDefault();
    if (right && !act.busy) act.run();
  }}>
      <${Field} label=${html`Type <b><${Others} text=${name} cut=${1e4} /></b> to confirm`} value=${typed} onInput=${set} autocomplete="off" spellcheck="false" />
      <${Wrong} fault=${act.fault} />
      <p class="row"><button type="button" data-first="" onClick=${onClose}>${keep}</button><button class="bad" disabled=${!right || act.busy}>${verb}</button></p>
    </form><//>`;
}

// Older is the way to the rest of a list.
export function Older({ of, more, busy, onClick }) {
  return more ? html`<p class="older"><button class="q" disabled=${busy} onClick=${onClick}>${busy ? `Loading older ${of}…` : `Older ${of}`}</button></p>` : null;
}

// title sets the tab's title while a page is shown.
export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${visible(text).slice(0, 80)} · Hookferry` : "Hookferry";
  }, [text]);
}
