// A new source: the provider, a name, and what the provider showed already.
import { html, useState } from "./html.js";
import { call, useAct } from "./api.js";
import { go, to } from "./route.js";
import { Choose, Field, useTitle, Wrong } from "./ui.js";

const kinds = [
  ["rivya", "Rivya"], ["sivi", "Sivi"], ["standard", "Standard Webhooks (Svix, OpenAI, Replicate, …)"],
  ...["github", "stripe", "shopify", "slack", "fal", "linear", "paddle", "razorpay", "mux", "telnyx", "workos", "coinbase_commerce"].map((p) => [`hmac:${p}`, p[0].toUpperCase() + p.slice(1).replaceAll("_", " ")]),
  ["hmac:", "Another that signs, by a recipe of yours"],
];

const recipe = `{
  "signature": { "header": "X-Signature", "scheme": "hmac-sha256", "encoding": "hex" },
  "secret_encoding": "text",
  "signed": "{body}",
  "id": "{/id}",
  "type": "{/type}"
}`;

export function NewSource() {
  useTitle("New source");
  const [kind, setKind] = useState("rivya");
  const [name, setName] = useState("");
  const [secret, setSecret] = useState("");
  const [text, setText] = useState(recipe);
  const { act, busy, fault } = useAct();
  const [provider, preset] = kind.split(":");
  const own = kind === "hmac:";
  let parsed = null;
  if (own) {
    try {
      parsed = JSON.parse(text);
    } catch {
      // Told under the field.
    }
  }
  const of = (param) => (fault?.param?.startsWith(param) ? fault.message : "");
  const create = (e) => {
    e.preventDefault();
    act(async () => {
      const made = await call("POST", "/api/v1/sources", {
        provider, name: name.trim(), ...(secret && provider !== "sivi" ? { signing_secret: secret } : {}), ...(preset ? { preset } : {}), ...(own ? { recipe: parsed } : {}),
      });
      go(to(["sources", made.id]));
    });
  };
  return html`<main id="main" tabIndex="-1"><header><h1>New source</h1><p class="lead">You get a URL to give to the provider. Nothing is taken from it before it is proved.</p></header>
    <div class="cols"><form class="card stack" aria-label="New source" onSubmit=${create}>
      <${Choose} label="Provider" value=${kind} onInput=${setKind} options=${kinds} help=${fault?.param === "provider" || fault?.param === "preset" ? fault.message : ""} />
      <${Field} label="Name" value=${name} onInput=${setName} fault=${of("name")} autocomplete="off" help="for people, such as “Rivya production”" />
      ${own && html`<${Field} label="Recipe" fault=${parsed ? of("recipe") : "This is no JSON yet."} help="what is signed, where the signature stands, where id and type are">${(common) => html`<textarea ...${common} rows="10" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)}></textarea>`}<//>`}
      ${provider !== "sivi" && html`<${Field} label="Signing secret" type="password" autocomplete="off" value=${secret} onInput=${setSecret} fault=${of("signing_secret")} help="Stored sealed, never shown again. If the provider shows it only once it has the URL, leave it empty now." />`}
      ${fault && !["name", "recipe", "signing_secret", "provider", "preset"].some((p) => fault.param.startsWith(p)) && html`<${Wrong} fault=${fault} />`}
      <p class="row"><button class="pri" disabled=${busy || !name.trim() || (own && !parsed)}>${busy ? "Creating…" : "Create source"}</button></p></form></div></main>`;
}
