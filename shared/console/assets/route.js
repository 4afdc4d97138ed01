// The address: which page it names, its parameters, and going to another.
// Filters stand in the query, so that a view can be shared. The API key never
// stands in an address: it comes in the fragment once, and is taken out at once.
import { useEffect, useState } from "./html.js";

export const root = "/console";

const listeners = new Set();

function tell() {
  for (const f of [...listeners]) f();
}

addEventListener("popstate", tell);

// here returns the parts of the path below the root, decoded, and the query.
export function here() {
  const parts = location.pathname.slice(root.length).split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: new URLSearchParams(location.search), path: location.pathname + location.search };
}

// to returns the address of a page: to(["events", id], {status: "failed"}).
// Parameters without a value are left out.
export function to(parts, query = {}) {
  const path = [root, ...parts.map(encodeURIComponent)].join("/");
  const entries = (query instanceof URLSearchParams ? [...query] : Object.entries(query)).filter(([, v]) => v);
  return entries.length ? `${path}?${new URLSearchParams(entries)}` : path;
}

export function go(address, { replace = false } = {}) {
  if (address !== location.pathname + location.search) {
    history[replace ? "replaceState" : "pushState"](null, "", address);
  }
  tell();
}

export function useRoute() {
  const [at, set] = useState(here);
  useEffect(() => {
    const f = () => set(here());
    listeners.add(f);
    return () => listeners.delete(f);
  }, []);
  return at;
}

// Links to pages are followed here, without loading the page anew.
addEventListener("click", (e) => {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const a = e.target.closest?.("a[href]");
  if (!a || a.target || a.origin !== location.origin || a.hash) return;
  if (a.pathname !== root && !a.pathname.startsWith(root + "/")) return;
  e.preventDefault();
  go(a.pathname + a.search);
  if (!a.dataset.keep) scrollTo(0, 0);
});
