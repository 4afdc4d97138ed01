// Sources: the provider accounts that call in.
import { html } from "./html.js";
import { useGet } from "./api.js";
import { Icon } from "./icons.js";
import { useKeyboard } from "./keyboard.js";
import { to } from "./route.js";
import { rowKeys } from "./rows.js";
import { NewSource } from "./newsource.js";
import { Source } from "./source.js";
import { Loaded, Others, State, Time, useTitle } from "./ui.js";

// providers says how each kind proves its calls.
export const providers = {
  rivya: ["Rivya", "signature"],
  sivi: ["Sivi", "token in the URL"],
  standard: ["Standard Webhooks", "signature"],
  hmac: ["by a recipe", "signature"],
};

export function providerName(s) {
  const preset = s.recipe?.preset;
  if (s.provider === "hmac" && preset) return preset[0].toUpperCase() + preset.slice(1).replaceAll("_", " ");
  return (providers[s.provider] || [s.provider])[0];
}

// lacks says what a source still needs before it can take calls, or "".
export function lacks(s) {
  if (s.signing_secret_set === false && !s.public_keys?.length) return "needs its signing secret";
  return "";
}

export function SourceState({ s, pill }) {
  if (s.status === "disabled") return html`<${State} of="disabled" pill=${pill} />`;
  if (lacks(s)) return html`<span class="st info ${pill ? "pill" : ""}"><${Icon} name="pend" />Needs its secret</span>`;
  return html`<${State} of="active" pill=${pill} />`;
}

function List() {
  useTitle("Sources");
  const from = useGet("/api/v1/sources?limit=100", { every: 5000 });
  useKeyboard(rowKeys());
  return html`<main id="main" tabIndex="-1"><header><div class="row"><h1>Sources</h1><span class="sp row"><a class="btn pri" href=${to(["sources", "new"])}><${Icon} name="plus" />New source</a></span></div><p class="lead">A source is one account at a provider that calls you. It has a URL of its own, and proves each call before it is taken.</p></header>
    <${Loaded} from=${from} of="sources">${({ data }) => !data.length ? html`<div class="card empty"><p><b>No source yet.</b> <a href=${to(["sources", "new"])}>Make one</a>, and give its URL to the provider.</p></div>`
    : html`<div class="card flush"><table><thead><tr><th scope="col">Source</th><th scope="col">State</th><th scope="col">Provider</th><th scope="col">Proof</th><th scope="col">Made</th></tr></thead><tbody>${data.map((s) => html`<tr key=${s.id}>
      <td><a href=${to(["sources", s.id])} data-row=""><b><${Others} text=${s.name} cut=${100} /></b></a><small class="m">${s.id}</small></td><td data-l="State"><${SourceState} s=${s} /></td><td data-l="Provider"><${Others} text=${providerName(s)} cut=${60} /></td>
      <td data-l="Proof">${(providers[s.provider] || ["", ""])[1]}</td><td data-l="Made"><${Time} at=${s.created_at} form="min" /></td></tr>`)}</tbody></table></div>`}<//></main>`;
}

export default function Sources({ route }) {
  const id = route.parts[1];
  if (!id) return html`<${List} />`;
  if (id === "new") return html`<${NewSource} />`;
  return html`<${Source} key=${id} id=${id} />`;
}
