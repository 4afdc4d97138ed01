/**
 * Verifies Hookferry's deliveries. One file without dependencies, for Node 20 and
 * later, Deno, Bun and workers. Copy it beside your receiver.
 *
 *     const body = new Uint8Array(await request.arrayBuffer()); // the raw bytes
 *     const delivery = await verify(request.headers, body, [process.env.HOOKFERRY_SECRET!]);
 *     if (await handledBefore(delivery.key)) return new Response(null, { status: 200 });
 *
 * Give it the bytes as they were received: a body that was parsed and written
 * again has another signature. Deliveries come at least once, so remember
 * delivery.key for as long as retries may come, best in the transaction that
 * handles the event.
 */

/** What a verified call says of itself. `key` is what to remember to drop duplicates. */
export interface Delivery {
  key: string;
  eventId: string;
  sourceId: string | null;
  endpointId: string | null;
  attempt: number;
}

export interface Options {
  /** Check the Standard Webhooks signature instead of Rivya's. It also proves the id. */
  standard?: boolean;
  /** What the names of the deployment's headers begin with. Default: Rivya. */
  prefix?: string;
  /** How old or new a call may be, in seconds. Default: 300. */
  tolerance?: number;
  /** The time in milliseconds. Default: Date.now. */
  now?: () => number;
}

/** Why a call is refused: answer 401, and 500 for "config", which is your own fault. */
export class Refused extends Error {
  constructor(readonly code: "config" | "missing" | "malformed" | "stale" | "mismatch", message: string) {
    super(message);
    this.name = "Refused";
  }
}

type Headers_ = { get(name: string): string | null } | Record<string, string | string[] | undefined>;

/**
 * Returns the delivery if one of the secrets signed it lately, else throws Refused.
 * With options.standard the secrets may be the endpoint's public keys (whpk_…), for
 * endpoints whose signatures name "standard-ed25519".
 */
export async function verify(headers: Headers_, body: Uint8Array, secrets: string[], options: Options = {}): Promise<Delivery> {
  const { standard = false, prefix = "Rivya", tolerance = 300, now = Date.now } = options;
  if (secrets.length === 0) throw new Refused("config", "no signing secret");
  const keys = secrets.map((secret) => keyOf(secret, standard));
  const get = (name: string) => {
    const of = headers as { get?: (name: string) => string | null };
    const value = typeof of.get === "function" ? of.get(name) : (headers as Record<string, string | string[] | undefined>)[name.toLowerCase()];
    return (Array.isArray(value) ? value.join(", ") : value) ?? "";
  };
  const head = standard ? "webhook" : `${prefix}-webhook`;
  const id = get(`${head}-id`), timestamp = get(`${head}-timestamp`), signature = get(`${head}-signature`);
  if (!id || !timestamp || !signature) throw new Refused("missing", "the call is not signed");
  if (!/^\d{1,15}$/.test(timestamp) || signature.length > 4096) throw new Refused("malformed", "the signature headers are malformed");
  if (Math.abs(now() / 1000 - Number(timestamp)) > tolerance) throw new Refused("stale", "the timestamp is too old or too new");

  const utf8 = new TextEncoder();
  const before = utf8.encode(standard ? `${id}.${timestamp}.` : `${timestamp}.`);
  const signed = new Uint8Array(before.length + body.length);
  signed.set(before);
  signed.set(body, before.length);
  const parts = signature.split(standard ? /,?\s+/ : ",").slice(0, 20).map((part) => part.trim());
  const separator = standard ? "," : "=";
  const decode = standard ? base64 : hex;
  let right = false;
  for (const { bytes, isPublic } of keys) {
    // Public keys check v1a, secrets v1. crypto.subtle.verify compares in constant time.
    const version = (isPublic ? "v1a" : "v1") + separator;
    const algorithm = isPublic ? { name: "Ed25519" } : { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", bytes as BufferSource, algorithm, false, ["verify"]);
    for (const part of parts) {
      const candidate = part.startsWith(version) ? decode(part.slice(version.length)) : null;
      if (candidate !== null && (await crypto.subtle.verify(algorithm.name, key, candidate as BufferSource, signed as BufferSource))) right = true;
    }
  }
  if (!right) throw new Refused("mismatch", "the signature is wrong");
  const sourceId = standard ? null : get(`${prefix}-webhook-source-id`) || null;
  return {
    key: sourceId ? `${sourceId} ${id}` : id,
    eventId: id,
    sourceId,
    endpointId: get(`${prefix}-webhook-endpoint-id`) || null,
    attempt: Number(get(`${prefix}-webhook-attempt`)) || 0,
  };
}

/** Rivya's key is the whole secret as it is written; Standard Webhooks decodes it. */
function keyOf(secret: string, standard: boolean): { bytes: Uint8Array; isPublic: boolean } {
  if (!standard && /^[\x20-\x7e]{8,256}$/.test(secret)) return { bytes: new TextEncoder().encode(secret), isPublic: false };
  const isPublic = secret.startsWith("whpk_");
  const bytes = standard && (isPublic || secret.startsWith("whsec_")) ? base64(secret.replace(/^wh(sec|pk)_/, "")) : null;
  if (bytes === null || (isPublic ? bytes.length !== 32 : bytes.length < 24)) throw new Refused("config", "no usable signing secret");
  return { bytes, isPublic };
}

function hex(text: string): Uint8Array | null {
  if (!/^([0-9a-f]{2})+$/i.test(text)) return null;
  return Uint8Array.from(text.match(/../g)!, (pair) => parseInt(pair, 16));
}

function base64(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return null;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
