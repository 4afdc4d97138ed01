// JSON as text: read token by token and without recursion, so that a payload of
// any depth is shown, numbers stay as they were written, and nothing is lost of
// a name that stands twice.

const space = /[ \t\n\r]*/y;
const scalar = /"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,\]}:]+/ys;

// tokens yields the tokens of a text: braces, brackets, commas, colons, strings
// and words. It ends early at what is no JSON.
function* tokens(text) {
  let at = 0;
  while (at < text.length) {
    space.lastIndex = at;
    space.exec(text);
    at = space.lastIndex;
    if (at >= text.length) return;
    const c = text[at];
    if ("{}[],:".includes(c)) {
      yield { c, from: at, to: ++at };
      continue;
    }
    scalar.lastIndex = at;
    if (!scalar.exec(text)) return;
    yield { c: "", from: at, to: scalar.lastIndex };
    at = scalar.lastIndex;
  }
}

function unquote(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// lines lays a JSON text out, one value a line, at most max of them: each with
// its depth, name, text and path; rest tells whether there are more.
export function lines(text, max = Infinity) {
  const out = [];
  const open = []; // {array, index, name}
  let name = null;
  let line = null;
  const path = () => open.filter((o) => !o.array).map((o) => o.name).concat(name ?? []).filter((x) => x !== null && x !== undefined).join(".");
  const push = (v, depth = open.length) => {
    line = { depth, name, text: v, path: name !== null || open.at(-1)?.array ? path() : "" };
    out.push(line);
  };
  for (const t of tokens(text)) {
    if (out.length >= max && !"]},".includes(t.c || "x")) return { lines: out, rest: true };
    const top = open.at(-1);
    switch (t.c) {
      case "{":
      case "[":
        push(t.c);
        open.push({ array: t.c === "[", name, first: true });
        // The name of an object belongs to the path of what is in it.
        if (open.length > 1 || name !== null) open.at(-1).name = name;
        name = null;
        break;
      case "}":
      case "]": {
        const closed = open.pop();
        if (closed?.first && line) line.text += t.c;
        else {
          name = null;
          push(t.c);
          line.closes = true;
        }
        if (open.at(-1)) open.at(-1).first = false;
        name = null;
        break;
      }
      case ",":
        if (line) line.text += ",";
        name = null;
        break;
      case ":":
        break;
      default: {
        const word = text.slice(t.from, t.to);
        if (top && !top.array && name === null) {
          name = unquote(word);
          line = null;
        } else {
          push(word);
          if (top) top.first = false;
          if (top && !top.array) name = null;
        }
      }
    }
    if (open.at(-1) && t.c !== "{" && t.c !== "[") open.at(-1).first = false;
  }
  return { lines: out, rest: false };
}

// member returns the text of a member of the outermost object, or "".
export function member(text, wanted) {
  let depth = 0;
  let name = null;
  let from = -1;
  let expect = true; // a name comes next
  for (const t of tokens(text)) {
    if (from >= 0 && depth === 1 && (t.c === "," || t.c === "}")) return text.slice(from, t.from).trim();
    if (t.c === "{" || t.c === "[") depth++;
    else if (t.c === "}" || t.c === "]") depth--;
    else if (depth === 1 && t.c === ",") expect = true;
    else if (depth === 1 && t.c === ":" && name === wanted) from = t.to;
    else if (depth === 1 && t.c === "" && expect) {
      name = unquote(text.slice(t.from, t.to));
      expect = false;
    }
  }
  return "";
}
