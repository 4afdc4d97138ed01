// The keyboard: pages name their keys while they are shown; none acts while one
// types or a dialog is open.
import { useEffect } from "./html.js";

const stack = [];
let started = 0; // when g was pressed

export function useKeyboard(keys) {
  useEffect(() => {
    stack.push(keys);
    return () => stack.splice(stack.indexOf(keys), 1);
  });
}

const typing = (e) => e.target.closest?.("input:not([type=radio],[type=checkbox]),textarea,select,[contenteditable]");

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (typing(e)) {
    if (e.key === "Escape") e.target.blur();
    return;
  }
  let name = e.key;
  if (Date.now() - started < 1500) name = `g${e.key}`;
  started = e.key === "g" ? Date.now() : 0;
  if (e.key === "g") return;
  if (name === "Enter" && e.target.closest?.("a,button,summary,[role=button]")) return;
  for (const keys of [...stack].reverse()) {
    if (!keys[name]) continue;
    e.preventDefault();
    keys[name]();
    return;
  }
});

export const keyList = [
  [["/"], "Search"],
  [["j", "k"], "Next and previous row"],
  [["Enter"], "Open the row"],
  [["Esc"], "Close, or back to the list"],
  [["r"], "Retry the chosen delivery"],
  [["c"], "Copy the id"],
  [["v"], "Verify it yourself"],
  [["n"], "Show what is new"],
  [["u"], "Times in UTC or local"],
  [["g", "o"], "Go to overview; then e events, w endpoints, s sources, r replays, t event types, k keys"],
  [["?"], "This list"],
];
