// The search box: an id, a subject or a pasted payload becomes an address.
import { Fault, get, query } from "./api.js";
import { to } from "./route.js";

const secrets = /^(rvya_sk_|whsec_|whsk_)/;

// subjects returns what a pasted payload may be known by, likeliest first.
function subjects(payload) {
  const at = (...path) => path.reduce((x, name) => x?.[name], payload);
  return [at("id"), at("data", "generation", "id"), at("body", "requestId"), at("requestId"), at("data", "id")]
    .filter((x) => typeof x === "string" && x !== "");
}

async function byID(id) {
  if (id === "." || id === ".." || !/^[\x20-\x7e]{1,128}$/.test(id)) return null;
  try {
    const ev = await get(`/api/v1/webhook-events/${encodeURIComponent(id)}`);
    return to(["events", ev.id], { of: ev.source_id });
  } catch (err) {
    if (err instanceof Fault && ["missing", "invalid"].includes(err.kind)) return null;
    throw err;
  }
}

async function bySubject(subject) {
  if (subject.length > 256) return null;
  try {
    const page = await get(query("/api/v1/webhook-events", { subject, limit: 2 }));
    if (!page.data.length && !page.has_more) return null;
    const one = page.data.length === 1 && !page.has_more ? page.data[0] : null;
    return one ? to(["events", one.id], { subject, of: one.source_id }) : to(["events"], { subject });
  } catch (err) {
    if (err instanceof Fault && err.kind === "invalid") return null;
    throw err;
  }
}

export async function find(text) {
  if (secrets.test(text)) return { say: "That is a secret, so it is not searched for. Clear the box." };
  for (const [prefix, page] of [["whend_", "endpoints"], ["src_", "sources"], ["rpl_", "replays"]]) {
    if (text.startsWith(prefix)) return { to: to([page, text]) };
  }
  let names = [text];
  if (text.startsWith("{")) {
    try {
      names = subjects(JSON.parse(text));
    } catch {
      return { say: "This looks like a payload, but it is not whole JSON. Paste all of it." };
    }
    if (!names.length) return { say: "The payload has no id that events are known by (id, data.generation.id, body.requestId)." };
  }
  for (const name of names) {
    const found = (await byID(name)) || (await bySubject(name));
    if (found) return { to: found };
  }
  return { say: `No event has the id or subject ${names[0].slice(0, 80)}. A refused call stands with its source; an accepted one is found within seconds.` };
}
