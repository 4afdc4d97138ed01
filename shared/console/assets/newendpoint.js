// A new endpoint, and its secret, shown this once.
import { html, useState } from "./html.js";
import { call, useAct, useGet } from "./api.js";
import { bodyOf, draftOf, Fields, useURLFault } from "./endpointform.js";
import { to } from "./route.js";
import { Secret, Test } from "./secret.js";
import { useTitle, Wrong } from "./ui.js";

const known = ["name", "url", "event_types", "format", "signatures", "source_ids", "max_per_second", "max_in_flight"];

export function NewEndpoint() {
  useTitle("New endpoint");
  const [draft, set] = useState(draftOf(null));
  const [made, setMade] = useState(null);
  const { act, busy, fault } = useAct();
  const urlFault = useURLFault(draft.url, "");
  // An endpoint that there is tells which of the newer fields this API has.
  const some = useGet("/api/v1/webhooks?limit=1");
  const has = (field) => field in (some.data?.data[0] || {});
  const create = (e) => {
    e.preventDefault();
    act(async () => setMade(await call("POST", "/api/v1/webhooks", { ...bodyOf(draft, null) })));
  };
  if (made) {
    return html`<main id="main" tabIndex="-1"><header><h1>${made.name} is there</h1><p class="lead">It gets events from now on. Store its secret, then send a test: it goes the whole way and changes nothing.</p></header>
      <div class="cols"><section class="card stack"><h2>The signing secret, once</h2><${Secret} text=${made.signing_secret} /><${Test} ep=${made} /></section></div>
      <p><a class="btn" href=${to(["endpoints", made.id])}>I have stored it: open the endpoint</a></p></main>`;
  }
  const ready = draft.name.trim() && draft.url.trim() && draft.types.length && !urlFault;
  return html`<main id="main" tabIndex="-1"><header><h1>New endpoint</h1><p class="lead">A URL of yours that gets events, signed. Start with a test: it goes the whole way and changes nothing.</p></header>
    <div class="cols"><form class="card stack" aria-label="New endpoint" onSubmit=${create}>
      <${Fields} ...${{ draft, set, fault, urlFault, has }} />
      ${fault && !known.some((k) => fault.param.startsWith(k)) && html`<${Wrong} fault=${fault} />`}
      <p class="row"><button class="pri" disabled=${busy || !ready}>${busy ? "Creating…" : "Create endpoint"}</button><small>${urlFault ? "mend the URL first" : "the secret is shown next, once"}</small></p></form></div></main>`;
}
