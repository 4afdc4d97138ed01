// A list that stays put while it is read: what comes later waits until it is
// asked for, and a row that is shown changes in its place.
import { useEffect, useState } from "./html.js";
import { Fault, get, useGet } from "./api.js";

export const pageSize = 50;

const withCursor = (base, cursor) => `${base}${base.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;

// useStill reads a list. nameOf tells rows apart, momentOf says when one was made.
export function useStill(base, nameOf, momentOf = (row) => row.created_at, every = 3000) {
  const live = useGet(base, { every });
  const [kept, keep] = useState({ base: "", rows: [], cursor: "", known: new Set() });
  const [older, setOlder] = useState({ busy: false, fault: null });
  const page = live.data;
  const whole = () => ({ base, rows: page.data, cursor: page.next_cursor || "", known: new Set(page.data.map(nameOf)) });
  useEffect(() => {
    if (!page) return;
    keep((k) => {
      if (k.base !== base || !k.rows.length) return whole();
      const now = new Map(page.data.map((e) => [nameOf(e), e]));
      return { ...k, rows: k.rows.map((e) => now.get(nameOf(e)) || e) };
    });
  }, [page, base]);
  const mine = kept.base === base;
  const rows = mine ? kept.rows : [];
  const oldest = rows.length ? momentOf(rows.at(-1)) : "";
  const fresh = mine && page ? page.data.filter((e) => !kept.known.has(nameOf(e)) && momentOf(e) >= oldest) : [];
  const more = async () => {
    setOlder({ busy: true, fault: null });
    try {
      let next = await get(withCursor(base, kept.cursor));
      // A filtered page may be empty though older ones have rows.
      for (let looked = 0; !next.data.length && next.has_more && looked < 20; looked++) next = await get(withCursor(base, next.next_cursor));
      keep((k) => (k.base === base ? { ...k, rows: [...k.rows, ...next.data], cursor: next.next_cursor || "", known: new Set([...k.known, ...next.data.map(nameOf)]) } : k));
      setOlder({ busy: false, fault: null });
    } catch (fault) {
      setOlder({ busy: false, fault: fault instanceof Fault ? fault : null });
    }
  };
  return { live, rows, fresh, show: () => keep(whole()), more, cursor: mine ? kept.cursor : "", older, ready: mine && Boolean(page) };
}
