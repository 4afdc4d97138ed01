// Words for times, numbers, states and faults. Nothing here draws.

// Times are local unless the reader has switched to UTC.
export const clock = { utc: false, watchers: new Set() };

export function switchClock() {
  clock.utc = !clock.utc;
  for (const f of [...clock.watchers]) f();
}

const two = (n) => String(n).padStart(2, "0");
const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

function parts(at) {
  const d = new Date(at);
  return clock.utc
    ? { y: d.getUTCFullYear(), mo: d.getUTCMonth(), d: d.getUTCDate(), h: d.getUTCHours(), m: d.getUTCMinutes(), s: d.getUTCSeconds(), ms: d.getUTCMilliseconds() }
    : { y: d.getFullYear(), mo: d.getMonth(), d: d.getDate(), h: d.getHours(), m: d.getMinutes(), s: d.getSeconds(), ms: d.getMilliseconds() };
}

export function dayOf(at) {
  const p = parts(at);
  return `${p.y}-${p.mo}-${p.d}`;
}

// time writes a moment: "14:02:07" today, "11 May, 14:02:07" else; with the form
// "ms" its milliseconds, with "min" no seconds, with "day" the day alone.
export function time(at, form = "") {
  const p = parts(at);
  const now = parts(Date.now());
  const day = `${p.d} ${months[p.mo].slice(0, 3)}${p.y === now.y ? "" : ` ${p.y}`}`;
  if (form === "day") return day;
  let t = `${two(p.h)}:${two(p.m)}`;
  if (form !== "min") t += `:${two(p.s)}`;
  if (form === "ms") t += `.${String(p.ms).padStart(3, "0")}`;
  return dayOf(at) === dayOf(Date.now()) ? t : `${day}, ${t}`;
}

export const utc = (at) => `${new Date(at).toISOString().replace("T", " ").replace("Z", "")} UTC`;

// A number and its unit are never parted at the end of a line.
const unit = (n, word) => `${n}\u00a0${word}`;

// span writes a length of time: "187 ms", "10 s", "26 min 53 s", "2 h 5 min".
export function span(ms) {
  ms = Math.max(0, Math.round(ms));
  if (ms < 1000) return unit(ms, "ms");
  if (ms < 10000 && ms % 1000) return unit((ms / 1000).toFixed(1), "s");
  const pair = (n, each, big, small) => unit(Math.floor(n / each), big) + (n % each ? ` ${unit(n % each, small)}` : "");
  const s = Math.round(ms / 1000);
  if (s < 60) return unit(s, "s");
  if (s < 3600) return pair(s, 60, "min", "s");
  const m = Math.floor(s / 60);
  if (m < 48 * 60) return pair(m, 60, "h", "min");
  return pair(Math.floor(m / 60), 24, "days", "h");
}

// rough is span in whole seconds and without its second part.
export const rough = (ms) => span(Math.max(1, Math.floor(ms / 1000)) * 1000).split(" ")[0];

export function ago(at, now = Date.now()) {
  const ms = now - new Date(at);
  return ms < 5000 ? "just now" : `${rough(ms)} ago`;
}

export const number = (n) => Number(n).toLocaleString("en-US");

export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export function list(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

export function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

// visible writes text of others so that it cannot pose as something else: a
// character that controls, hides or turns round is shown as its code.
export function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// States: what each word of the API is called here, its icon and its colour.
export const states = {
  succeeded: ["Succeeded", "ok", "ok"],
  delivered: ["Delivered", "ok", "ok"],
  retrying: ["Retrying", "retry", "warn"],
  failed: ["Failed", "bad", "bad"],
  pending: ["Pending", "pend", "info"],
  skipped: ["Skipped", "skip", "mute"],
  unmatched: ["Not matched", "none", "mute"],
  rejected: ["Rejected", "rej", "vio"],
  healthy: ["Healthy", "ok", "ok"],
  degraded: ["Degraded", "deg", "warn"],
  failing: ["Failing", "bad", "bad"],
  disabled: ["Disabled", "off", "mute"],
  deleted: ["Deleted", "off", "mute"],
  untried: ["No calls yet", "pend", "mute"],
  active: ["Active", "ok", "ok"],
  running: ["Running", "pend", "info"],
  draining: ["Draining", "pend", "info"],
  completed: ["Completed", "ok", "ok"],
  cancelled: ["Cancelled", "skip", "mute"],
  expired: ["Expired", "off", "mute"],
  revoked: ["Revoked", "off", "mute"],
};

// stateOf names an endpoint's state in one word.
export function stateOf(ep) {
  if (ep.revoked_at) return "deleted";
  if (ep.status === "disabled") return "disabled";
  if (!ep.last_success_at && !ep.last_failure_at) return "untried";
  return ep.health || "healthy";
}

export const disabledBecause = {
  manual: "by hand",
  gone: "because it answered 410 Gone",
  failing: "because nothing succeeded for days",
};

const statusWords = {
  400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
  409: "Conflict", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
  429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
};

const statusMeans = {
  401: "The endpoint wants credentials. Deliveries carry a signature, never a password.",
  403: "Something in front of the endpoint refuses the call: a firewall, or a check of its own.",
  404: "The host answers, but not at this path. Is the URL right?",
  405: "The path takes no POST. Is the URL right?",
  410: "The endpoint says that it is gone for good. After the last attempt it is disabled.",
  413: "The endpoint does not take bodies of this size.",
  429: "The endpoint asks for fewer calls. A pace (max_per_second) keeps below its limit.",
  500: "The endpoint was reached and failed inside.",
  502: "A proxy in front of the endpoint got no answer from it.",
  503: "The endpoint is reachable but takes no calls now.",
  504: "A proxy in front of the endpoint waited for it in vain.",
};

const codeWords = {
  timeout: ["Timeout", "There was no whole answer in time. Answer first, work afterwards."],
  dns_failure: ["Name not found", "The host of the URL has no address. Was it renamed?"],
  connection_failed: ["No connection", "Nothing listens there, or the connection broke."],
  tls_failure: ["TLS failed", "The certificate is not valid for this host, or has expired."],
  redirect: ["Redirect", "The endpoint answered with a redirect, which is never followed. Set the final URL."],
  http_error: ["No success", ""],
  address_blocked: ["Address blocked", "The host has an address that is not public."],
  endpoint_disabled: ["Endpoint disabled", "It was disabled when this was due. Enable it, then retry."],
  cancelled: ["Cancelled", "The replay that was to send this was cancelled."],
  expired: ["Expired", "It was held longer than deliveries are kept. It can be replayed."],
  loop: ["Loop", "The event had passed through too many relays already."],
  payload_unreadable: ["Payload unreadable", "The stored payload cannot be read."],
  format: ["Not translatable", "The event cannot be written in the endpoint's format."],
};

// outcome says what came of an attempt: a short title, and what it means.
export function outcome(a) {
  if (a.status === "succeeded") return { short: String(a.http_status), title: `${a.http_status} ${statusWords[a.http_status] || ""}`.trim(), means: "" };
  const code = a.error?.code;
  if (a.http_status && (code === "http_error" || !code)) {
    return { short: String(a.http_status), title: `${a.http_status} ${statusWords[a.http_status] || ""}`.trim(), means: statusMeans[a.http_status] || (a.http_status >= 500 ? "The endpoint was reached and failed." : "The endpoint was reached and refused.") };
  }
  const [title, means] = codeWords[code] || [code || "Failed", ""];
  return { short: title, title, means };
}

export const proof = {
  signature: "signature", token: "token in the URL", "token+fetch": "token, and asked Sivi", fetch: "found by asking Sivi", key: "published with an API key",
};

// ruleWords writes the rule of a filter's clause, which is the JSON of a list of
// values and conditions, as one would say it.
export function ruleWords(rule) {
  let terms;
  try {
    terms = JSON.parse(rule);
  } catch {
    return rule;
  }
  if (!Array.isArray(terms)) return rule;
  const one = (r) => {
    if (r === null || typeof r !== "object") return JSON.stringify(r);
    const [name, value] = Object.entries(r)[0] || ["", ""];
    if (name === "numeric" && Array.isArray(value)) return value.reduce((t, v, i) => t + (i % 2 ? ` ${v}` : `${i ? " and" : ""} ${v}`), "numeric");
    if (name === "exists") return value ? "is there" : "is not there";
    return `${name} ${JSON.stringify(value)}`;
  };
  return terms.map(one).join(" or ");
}

const bare = (path) => path.replace(/^\$\.?/, "");

// clauseWords says why a filter let an event not through, from its clauses: the
// first that does not hold, and how many more.
export function clauseWords(clauses) {
  const not = (clauses || []).filter((c) => !c.held);
  if (!not.length) return "";
  const [c] = not;
  const more = not.length - 1;
  return `${bare(c.path)} is ${c.value === "" ? "not there" : c.value}, the filter asks for ${ruleWords(c.rule)}${more ? `; ${count(more, "other clause")} ${more === 1 ? "does" : "do"} not hold either` : ""}.`;
}
