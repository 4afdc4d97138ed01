// Going through the rows of a table by keys.
export function rowKeys(selector = "[data-row]") {
  const step = (by) => () => {
    const all = [...document.querySelectorAll(selector)];
    all[Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + by))]?.focus();
  };
  return { j: step(1), k: step(-1) };
}
