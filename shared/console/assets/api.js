// The client of the management API: the key, the calls, and what went wrong in
// words. The key stays in this tab's session storage and is sent as a header.
import { useEffect, useRef, useState } from "./html.js";

const slot = "hookferry.key";
let kept = "";

export function key() {
  try {
    return sessionStorage.getItem(slot) || "";
  } catch {
    return kept;
  }
}

export function setKey(text) {
  kept = text;
  try {
    if (text) sessionStorage.setItem(slot, text);
    else sessionStorage.removeItem(slot);
  } catch {
    // A browser that keeps nothing signs in anew at each load.
  }
  known.clear();
}

// What the shell shows: the key in use, why it ended, and how the API is doing.
export const state = { key: null, ended: "", okAt: 0, trouble: null };
const watchers = new Set();

export function changed(part) {
  Object.assign(state, part);
  for (const f of [...watchers]) f();
}

export function useApiState() {
  const [, set] = useState(0);
  useEffect(() => {
    const f = () => set((n) => n + 1);
    watchers.add(f);
    return () => watchers.delete(f);
  }, []);
  return state;
}

// A Fault is a call that did not do what it was to do. Its kind is one of auth,
// scope, missing, invalid, conflict, limit, down and none; the last three pass
// by themselves, so reading goes on after wait seconds.
export class Fault extends Error {
  constructor(kind, message, rest = {}) {
    super(message);
    Object.assign(this, { kind, code: "", param: "", requestId: "", status: 0, wait: 0 }, rest);
  }
  get passes() {
    return ["limit", "down", "none"].includes(this.kind);
  }
}

const kinds = { 401: "auth", 403: "scope", 404: "missing", 409: "conflict", 429: "limit" };

function faultOf(response, text) {
  let error = {};
  try {
    error = JSON.parse(text).error || {};
  } catch {
    // Not our body: a gateway or a proxy answered.
  }
  const status = response.status;
  const rest = {
    status, code: error.code || "", param: error.param || "",
    requestId: error.requestId || response.headers.get("x-request-id") || "",
    wait: Math.min(600, Number(response.headers.get("retry-after")) || 0),
  };
  if (status === 429) return new Fault("limit", "Too many calls.", rest);
  if (status >= 500) return new Fault("down", error.message || `The API answered ${status}.`, rest);
  return new Fault(kinds[status] || "invalid", error.message || `The API answered ${status}.`, rest);
}

// call makes one call and returns its answer, or throws a Fault. A call that is
// told to keep quiet does not sign out on 401.
export async function call(method, path, body, options) {
  return (await exchange(method, path, body, options)).data;
}

async function exchange(method, path, body, { quiet = false, text = key(), signal } = {}) {
  const init = { method, headers: { Authorization: `Bearer ${text}` }, signal, cache: "no-store", credentials: "omit", redirect: "error" };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response, answer;
  try {
    response = await fetch(path, init);
    answer = await response.text();
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new Fault("none", "The API cannot be reached.");
  }
  if (!response.ok) {
    const fault = faultOf(response, answer);
    if (fault.kind === "auth" && !quiet && text === key()) signOut(endings[fault.code] || fault.message);
    throw fault;
  }
  try {
    const data = answer === "" ? null : JSON.parse(answer);
    changed({ okAt: Date.now(), trouble: null });
    return { data, text: answer };
  } catch {
    throw new Fault("down", "The answer of the API is not JSON. Is something between it and this browser?");
  }
}

export const get = (path, options) => call("GET", path, undefined, options);

const endings = {
  api_key_revoked: "This key was revoked while the page was open. Sign in with another; this page's address is kept.",
  api_key_expired: "This key has expired. Sign in with another, or ask for a new link; this page's address is kept.",
  api_key_invalid: "There is no such API key. Sign in with another; this page's address is kept.",
};

export function signOut(why = "") {
  setKey("");
  changed({ key: null, ended: why, trouble: null });
}

// query makes the address of a GET with its parameters; empty ones are left out.
export function query(path, parameters) {
  const q = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== "" && v != null));
  return q.size ? `${path}?${q}` : path;
}

// What was last answered, so that going back shows it at once.
const known = new Map();

function remember(path, text, data) {
  known.delete(path);
  known.set(path, { text, data });
  if (known.size > 60) known.delete(known.keys().next().value);
}

// useGet reads a path, again every so many milliseconds while the page is seen,
// and again by itself after a fault that passes. A null path reads nothing. With
// awaits, what is missing is asked for again until it is there.
// It returns data, the text it was read from, fault, reload, and waiting: 0, 1 after 200 ms, 2 after 5 s.
export function useGet(path, { every = 0, awaits = false } = {}) {
  const [, redraw] = useState(0);
  const ref = useRef({});
  const s = ref.current;
  if (s.path !== path) Object.assign(s, { path, data: known.get(path)?.data, text: known.get(path)?.text, fault: null, waiting: 0, tries: 0 });
  s.every = every;
  const waits = every > 0;
  useEffect(() => {
    if (!path) return;
    let over = false;
    let timer, first, second, abort;
    const draw = () => !over && redraw((n) => n + 1);
    const later = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(run, ms);
    };
    const words = (n) => () => {
      s.waiting = n;
      draw();
    };
    async function run() {
      clearTimeout(timer);
      if (over || !key()) return;
      if (document.hidden && s.data) return later(1000);
      abort?.abort();
      abort = new AbortController();
      const mine = abort;
      if (!s.data) {
        first = setTimeout(words(1), 200);
        second = setTimeout(words(2), 5000);
      }
      try {
        const { data, text } = await exchange("GET", path, undefined, { signal: mine.signal });
        if (over || mine !== abort) return;
        const same = known.get(path)?.text === text && s.data;
        if (!same) {
          s.data = data;
          s.text = text;
          remember(path, text, data);
        }
        const dull = same && !s.fault;
        Object.assign(s, { fault: null, waiting: 0, tries: 0 });
        if (!dull) draw();
        if (s.every) later(s.every);
      } catch (err) {
        if (over || err.name === "AbortError") return;
        s.fault = err instanceof Fault ? err : new Fault("down", "Something went wrong in this page.");
        if (s.fault.passes) {
          const wait = s.fault.wait || Math.min(30, 2 ** ++s.tries);
          changed({ trouble: { fault: s.fault, at: Date.now() + wait * 1000, again: run } });
          later(wait * 1000);
        } else if (awaits && s.fault.kind === "missing") later(500); // not there yet
        draw();
      } finally {
        clearTimeout(first);
        clearTimeout(second);
      }
    }
    s.run = run;
    run();
    return () => {
      over = true;
      abort?.abort();
      for (const t of [timer, first, second]) clearTimeout(t);
    };
  }, [path, waits]);
  return { data: s.data, text: s.text, fault: s.fault, waiting: s.waiting, reload: () => s.run?.() };
}

// useNames maps the ids of the account's endpoints, or sources, to them. A key
// that may not read them gets an empty map: ids are shown then.
export function useNames(kind) {
  const { data } = useGet(`/api/v1/${kind}?limit=100`, { every: 15000 });
  return new Map((data?.data || []).map((x) => [x.id, x]));
}

// useAct returns a function that runs an act once at a time, whether it runs,
// and the fault of the last one.
export function useAct() {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState(null);
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  const act = async (f) => {
    setBusy(true);
    setFault(null);
    try {
      return await f();
    } catch (err) {
      if (alive.current) setFault(err instanceof Fault ? err : new Fault("down", String(err.message || err)));
    } finally {
      if (alive.current) setBusy(false);
    }
  };
  return { act, busy, fault, clear: () => setFault(null) };
}
