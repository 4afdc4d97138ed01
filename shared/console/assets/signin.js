// Signing in with an API key.
import { html, useEffect, useRef, useState } from "./html.js";
import { changed, get, setKey, state, useAct } from "./api.js";
import { Mark } from "./icons.js";
import { Field, Note, useTitle, Wrong } from "./ui.js";

export function SignIn() {
  const [text, set] = useState("");
  const ref = useRef();
  const { act, busy, fault, clear } = useAct();
  useTitle("Sign in");
  useEffect(() => ref.current.querySelector("input")?.focus(), []);
  const looks = text.trim() === "" || text.trim().startsWith("rvya_sk_");
  const wrong = !looks ? "An API key begins with rvya_sk_. A signing secret (whsec_…) is another thing." : fault?.kind === "auth" ? fault.message : "";
  const submit = (e) => {
    e.preventDefault();
    if (!text.trim() || !looks) return;
    act(async () => {
      const key = await get("/api/v1/current-key", { text: text.trim(), quiet: true });
      setKey(text.trim());
      changed({ key, ended: "" });
    });
  };
  return html`<main class="lone" id="main" ref=${ref}>
    <div class="brand"><${Mark} size="28" /><b>Hookferry</b></div>
    ${state.ended && html`<${Note} kind="warn" icon="key" role="alert" title="You are signed out.">${state.ended}<//>`}
    <form class="card stack" onSubmit=${submit}>
      <div><h1>Sign in</h1><p class="lead">with an API key of your account. It stays in this tab and is gone when you close it.</p></div>
      <${Field} label="API key" type="password" autocomplete="off" placeholder="rvya_sk_…" value=${text} fault=${wrong} onInput=${(v) => {
    set(v);
    clear();
  }} />
      ${fault && fault.kind !== "auth" && html`<${Wrong} fault=${fault} />`}
      <p class="row"><button class="pri" disabled=${busy || !text.trim() || !looks}>${busy ? "Signing in…" : "Sign in"}</button></p>
    </form>
    <p class="s">On your own machine <code>hookferry dev</code> prints a link that is already signed in. Else whoever runs the relay makes a key, <code>hookferry keys create</code>, or a link for you.</p>
  </main>`;
}
