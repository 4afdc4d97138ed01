// The frame around every page: signing in, the side bar, search, themes, keys.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./html.js";
import { changed, get, key, setKey, signOut, state, useApiState, useGet } from "./api.js";
import { Icon, Mark } from "./icons.js";
import { keyList, useKeyboard } from "./keyboard.js";
import { go, here, to, useRoute } from "./route.js";
import { find } from "./search.js";
import { SignIn } from "./signin.js";
import { Ago, Dialog, Live, Note, Time, useTick, useTitle, Wrong } from "./ui.js";
import { count, stateOf, switchClock, time, clock } from "./words.js";

// A link that is signed in has the key in its fragment. It is taken out before
// anything else happens, so that it stays in no history and no bookmark.
function takeKey() {
  const match = /^#key=([\x21-\x7e]+)$/.exec(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (!match) return false;
  setKey(match[1]);
  changed({ key: null, ended: "", link: true });
  return true;
}

takeKey();
addEventListener("hashchange", () => takeKey() && location.reload());

const pages = [
  { at: "", word: "Overview", icon: "home", key: "o", load: () => import("./overview.js") },
  { at: "events", word: "Events", icon: "list", key: "e", load: () => import("./events.js") },
  { at: "endpoints", word: "Endpoints", icon: "out", key: "w", load: () => import("./endpoints.js") },
  { at: "sources", word: "Sources", icon: "call", key: "s", scope: "sources:manage", load: () => import("./sources.js") },
  { at: "replays", word: "Replays", icon: "redo", key: "r", load: () => import("./replays.js") },
  { at: "types", word: "Event types", icon: "tag", key: "t", load: () => import("./types.js") },
  { at: "keys", word: "Keys", icon: "key", key: "k", scope: "keys:manage", load: () => import("./keys.js") },
];

const allows = (k, scope) => !scope || k.scopes.includes(scope);

// The theme is the system's until one presses the button; then it is kept.
function useTheme() {
  const [dark, set] = useState(() => {
    let chosen = "";
    try {
      chosen = localStorage.getItem("hookferry.theme") || "";
    } catch {
      // Nothing is kept: the system decides at each load.
    }
    if (chosen) document.documentElement.dataset.theme = chosen;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  });
  const flip = () => {
    const theme = dark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("hookferry.theme", theme);
    } catch {
      // As above.
    }
    set(!dark);
  };
  return [dark, flip];
}

function Side({ route, signedIn }) {
  const endpoints = useGet("/api/v1/webhooks?limit=100", { every: 15000 });
  const failing = (endpoints.data?.data || []).filter((e) => stateOf(e) === "failing").length;
  useTick(30000, Boolean(signedIn.expires_at));
  const left = new Date(signedIn.expires_at) - Date.now();
  return html`<div class="side">
    <a class="brand" href=${to([])}><${Mark} />Hookferry</a>
    <nav aria-label="Main"><ul>${pages.filter((p) => allows(signedIn, p.scope)).map((p) => html`<li key=${p.at}>
      <a href=${to(p.at ? [p.at] : [])} aria-current=${(route.parts[0] || "") === p.at ? "page" : null}><${Icon} name=${p.icon} />${p.word}
        ${p.at === "endpoints" && failing > 0 && html`<span class="st bad"><${Icon} name="bad" />${failing}<span class="vh"> failing</span></span>`}</a></li>`)}</ul></nav>
    <div class="s"><p><bdi>${signedIn.name}</bdi>${signedIn.expires_at && html`<br />ends ${left < 3600000 ? html`in ${Math.max(1, Math.ceil(left / 60000))} min` : html`<${Time} at=${signedIn.expires_at} form="min" />`}`}</p>
      <button class="q" onClick=${() => signOut()}>Sign out</button></div>
  </div>`;
}

function Search() {
  const ref = useRef();
  const [text, set] = useState("");
  const [said, say] = useState(null);
  const [busy, setBusy] = useState(false);
  useKeyboard({ "/": () => ref.current.focus() });
  const submit = async (e) => {
    e.preventDefault();
    if (!text.trim() || busy) return;
    setBusy(true);
    say(null);
    try {
      const found = await find(text.trim());
      if (found.to) {
        go(found.to);
        set("");
        ref.current.blur();
      } else say(found.say);
    } catch (err) {
      say(err.message);
    } finally {
      setBusy(false);
    }
  };
  return html`<form class="find" role="search" onSubmit=${submit}>
    <label class="vh" for="q">Find an event by its id, its subject, or its payload</label><${Icon} name="search" />
    <input id="q" ref=${ref} type="search" autocomplete="off" spellcheck="false" placeholder="Event, generation or request id, or a payload" value=${text}
      aria-describedby=${said ? "q-said" : null} onInput=${(e) => {
    set(e.target.value);
    say(null);
  }} /><kbd class="k" aria-hidden="true">/</kbd>
    ${said && html`<p id="q-said" class="said card" role="alert">${said}</p>`}</form>`;
}

function Health() {
  const s = useApiState();
  useTick(1000);
  if (s.trouble || !s.okAt) return html`<span class="sp s opt st mute"><${Icon} name="off" />Not live</span>`;
  return html`<span class="sp s live opt st mute"><${Icon} name="pend" /><span>Live, <${Time} at=${s.okAt} /></span></span>`;
}

// Trouble says that what is shown has stopped, and when it goes on.
function Trouble() {
  const { trouble, okAt } = useApiState();
  useTick(1000, Boolean(trouble));
  if (!trouble) return null;
  const left = Math.max(0, Math.ceil((trouble.at - Date.now()) / 1000));
  const f = trouble.fault;
  const what = { limit: "Too many calls.", none: "The API cannot be reached.", down: f.code ? html`The API answered ${f.status}, <code>${f.code}</code>.` : html`The API answered ${f.status || "something else than JSON"}.` }[f.kind];
  return html`<div class="trouble"><${Note} kind="bad" icon="deg" role="alert" title=${okAt ? html`What you see stopped at <${Time} at=${okAt} />.` : "Nothing can be shown yet."}>
    ${what} <span aria-live="off">Trying again ${left ? `in ${left} s` : "now"}.</span> Deliveries go on without the console. <button class="q" onClick=${trouble.again}>Try now</button><//></div>`;
}

function Keys({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <dl class="kv">${keyList.map(([keys, what]) => html`<dt>${keys.map((k) => html`<kbd>${k}</kbd> `)}</dt><dd>${what}</dd>`)}</dl>
    <p class="row"><button data-first="" onClick=${onClose}>Close</button></p><//>`;
}

// Page loads the module of a page when it is first opened.
const loaded = {};

function Page({ route }) {
  const page = pages.find((p) => p.at === (route.parts[0] || ""));
  const [, draw] = useState(0);
  const [broken, mend] = useErrorBoundary();
  const [missing, setMissing] = useState(false);
  useEffect(() => {
    if (!page || loaded[page.at]) return;
    page.load().then((m) => {
      loaded[page.at] = m.default;
      draw((n) => n + 1);
    }, () => setMissing(true));
  }, [page]);
  useEffect(() => mend(), [route.path]);
  if (!page) return html`<main id="main" tabIndex="-1"><h1>There is no such page</h1><p class="lead"><a href=${to([])}>Begin anew</a>.</p></main>`;
  if (broken || missing) {
    return html`<main id="main" tabIndex="-1"><h1>This page could not be drawn</h1><p class="lead">${missing ? "Its program could not be loaded." : "It met something that it does not understand."} Nothing was changed.</p>
      <p class="row"><button onClick=${() => location.reload()}>Load it anew</button></p></main>`;
  }
  const View = loaded[page.at];
  return View ? html`<${View} key=${page.at} route=${route} />` : html`<main id="main" tabIndex="-1"></main>`;
}

function Frame({ signedIn }) {
  const route = useRoute();
  const [dark, flip] = useTheme();
  const [keys, setKeys] = useState(false);
  const [, redraw] = useState(0);
  const visit = Object.fromEntries(pages.filter((p) => allows(signedIn, p.scope)).map((p) => [`g${p.key}`, () => go(to(p.at ? [p.at] : []))]));
  useKeyboard({ ...visit, "?": () => setKeys(true), u: () => {
    switchClock();
    redraw((n) => n + 1);
  } });
  return html`<a class="skip" href="#main" onClick=${(e) => {
    e.preventDefault();
    document.getElementById("main")?.focus();
  }}>Skip to the content</a>
  <header><${Side} route=${route} signedIn=${signedIn} />
    <div class="top"><${Search} /><${Health} />
      <button class="q opt" onClick=${() => setKeys(true)}>Keys <kbd>?</kbd></button>
      <button class="q" aria-pressed=${dark} aria-label="Dark theme" title="Dark theme" onClick=${flip}><${Icon} name="half" /></button></div></header>
  <div class="page"><${Trouble} /><${Page} route=${route} /></div>
  ${keys && html`<${Keys} onClose=${() => setKeys(false)} />`}<${Live} />`;
}

function App() {
  const s = useApiState();
  const [fault, setFault] = useState(null);
  const [tries, again] = useState(0);
  useTitle("");
  useEffect(() => {
    if (s.key || !key()) return;
    let timer;
    get("/api/v1/current-key").then((k) => changed({ key: k, ended: "" }), (err) => {
      setFault(err);
      if (err.passes) timer = setTimeout(() => again((n) => n + 1), (err.wait || Math.min(30, 2 ** (tries + 1))) * 1000);
    });
    return () => clearTimeout(timer);
  }, [s.key, tries, key()]);
  if (s.key) return html`<${Frame} signedIn=${s.key} />`;
  if (key()) return html`<main class="lone" id="main">${fault ? html`<${Wrong} fault=${fault}><p class="row"><button onClick=${() => again((n) => n + 1)}>Try now</button><button onClick=${() => signOut()}>Sign in with another key</button></p><//>` : ""}</main>`;
  return html`<${SignIn} />`;
}

document.querySelector("noscript")?.remove();
render(html`<${App} />`, document.body);
