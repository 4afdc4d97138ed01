// Verify it yourself: the exact bytes that were signed, the headers, and the
// check, here and in three languages.
import { html, useState } from "./html.js";
import { query, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { Command, Field, Loaded, Others, Segments } from "./ui.js";
import { visible } from "./words.js";

const code = {
  js: (p) => `import { createHmac, timingSafeEqual } from "node:crypto";
const secret = process.env.WEBHOOK_SECRET;      // whsec_…, the whole of it
const signed = \`\${headers["${p}-timestamp"]}.\${rawBody}\`;
const want = createHmac("sha256", secret).update(signed).digest("hex");
const right = headers["${p}-signature"].split(",").some((s) =>
  s.length === want.length + 3 && timingSafeEqual(Buffer.from(s), Buffer.from("v1=" + want)));`,
  py: (p) => `import hashlib, hmac, os
secret = os.environ["WEBHOOK_SECRET"].encode()  # whsec_…, the whole of it
signed = headers["${p}-timestamp"].encode() + b"." + raw_body
want = "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
right = any(hmac.compare_digest(s, want)
            for s in headers["${p}-signature"].split(","))`,
  go: (p) => `mac := hmac.New(sha256.New, []byte(os.Getenv("WEBHOOK_SECRET"))) // whsec_…, the whole of it
mac.Write([]byte(h.Get("${p}-timestamp") + "."))
mac.Write(rawBody)
want := "v1=" + hex.EncodeToString(mac.Sum(nil))
right := slices.ContainsFunc(strings.Split(h.Get("${p}-signature"), ","),
	func(s string) bool { return hmac.Equal([]byte(s), []byte(want)) })`,
};

const bytes = (text) => new TextEncoder().encode(text);

export async function sign(secret, text) {
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return [...new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(text)))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// header finds one by the end of its name, whatever the prefix of this relay is.
const header = (request, end) => Object.entries(request.headers).find(([k]) => k.toLowerCase().endsWith(end) && k.toLowerCase() !== end.slice(1)) || ["", ""];

function Check({ signed, signatures }) {
  const [secret, set] = useState("");
  const [found, setFound] = useState(null);
  const change = async (text) => {
    set(text);
    if (!text.trim()) return setFound(null);
    const mac = await sign(text.trim(), signed);
    setFound(signatures.includes(`v1=${mac}`));
  };
  return html`<${Field} label="3. Check it here with your secret" type="password" placeholder="whsec_…" autocomplete="off" value=${secret} onInput=${change} help="It stays in this tab. It is not sent and not stored." />
    <p role="status" class="st ${found ? "ok" : "bad"}">${found !== null && html`<${Icon} name=${found ? "ok" : "bad"} />${found ? "The signature is right." : "No signature matches: it is another secret, or an older one."}`}</p>`;
}

function Panel({ attempt: a, body }) {
  const [lang, setLang] = useState("js");
  const [timeName, stamp] = header(a.request, "-webhook-timestamp");
  const [, value] = header(a.request, "-webhook-signature");
  const signatures = value.split(",").filter(Boolean);
  const signed = `${stamp}.${body}`;
  const prefix = timeName.replace(/-timestamp$/i, "");
  const cut = signed.length > 400;
  return html`<div class="stack">
    <div class="cols"><div><h3>1. These bytes were signed</h3>
      <${Command} what="the signed bytes" text=${signed} shown=${html`<mark>${stamp}</mark>.${visible(body.slice(0, 400))}${cut && html`<i>… ${signed.length - 400} more characters</i>`}`} /></div>
      <div><h3>2. With your secret, HMAC-SHA256 gives</h3><pre>${signatures.map((s, i) => html`${i ? "\n" : ""}${visible(s)}`)}</pre>
        ${signatures.length > 1 && html`<p class="s">Two secrets sign while one is rotated; one match is enough.</p>`}</div></div>
    <${Check} signed=${signed} signatures=${signatures} />
    <div><div class="row"><h3>Or in your code</h3><${Segments} label="Language" value=${lang} onInput=${setLang} options=${[["js", "JavaScript"], ["py", "Python"], ["go", "Go"]]} /></div>
      <${Command} what="the check" text=${code[lang](lang === "js" ? prefix.toLowerCase() : prefix)} /></div>
    <p class="s">Use the raw body, before any JSON parser. Refuse timestamps older than 5 minutes. Accept if any <code>v1=</code> matches.</p>
  </div>`;
}

export function Verify({ ev, attempt, endpoints }) {
  const body = useGet(query(`/api/v1/webhook-events/${encodeURIComponent(ev.id)}/body`, { endpoint_id: attempt.endpoint_id, source_id: ev.source_id }));
  return html`<section class="card" id="verify" tabIndex="-1" aria-labelledby="vy">
    <header><h2 id="vy">Verify it yourself</h2><small>attempt ${attempt.attempt} to <${Others} text=${endpoints.get(attempt.endpoint_id)?.name || attempt.endpoint_id} cut=${60} /></small></header>
    ${attempt.request ? html`<${Loaded} from=${body} of="the body">${(b) => b.encoding === "utf8" ? html`<${Panel} attempt=${attempt} body=${b.body} />` : html`<p>The body is no UTF-8 text, so it cannot be shown as it was signed. <code>GET /api/v1/webhook-events/{id}/body</code> answers its bytes.</p>`}<//>` : html`<p>Nothing was sent in this attempt, so there is nothing to verify.</p>`}
  </section>`;
}
