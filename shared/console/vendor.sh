#!/usr/bin/env bash
# The libraries of the console as they are published, at their pinned versions.
#   vendor.sh check    compares assets/vendor with what the registry has
#   vendor.sh update   writes assets/vendor anew
# What is served differs from what is published by these rules alone, because a
# page without inline scripts has no import map and no source maps are served:
# the bare name "preact" becomes a path, uPlot's global becomes a default export,
# and the comments that name a source map go.
set -euo pipefail
cd "$(dirname "$0")"
packages=(preact@11.2.0 htm@3.1.1 uplot@1.6.32)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/vendor"
for p in "${packages[@]}"; do
  mkdir "$work/${p%@*}"
  (cd "$work" && npm pack --silent "$p" > /dev/null)
  tar -xzf "$work/${p/@/-}.tgz" --strip-components 1 -C "$work/${p%@*}"
done
plain() { sed -e '/^\/\/# sourceMappingURL=/d' -e 's/from"preact"/from".\/preact.mjs"/g' "$1"; }
plain "$work/preact/dist/preact.mjs" > "$work/vendor/preact.mjs"
plain "$work/preact/hooks/dist/hooks.mjs" > "$work/vendor/hooks.mjs"
plain "$work/htm/dist/htm.mjs" > "$work/vendor/htm.mjs"
{ plain "$work/uplot/dist/uPlot.iife.min.js"; echo 'export default uPlot;'; } > "$work/vendor/uplot.mjs"
cp "$work/uplot/dist/uPlot.min.css" "$work/vendor/uplot.css"
for p in "${packages[@]}"; do
  printf '== %s\n\n' "$p"
  cat "$work/${p%@*}/LICENSE"
  echo
done > "$work/vendor/LICENSES"

case "${1:-}" in
  check) diff -r "$work/vendor" assets/vendor && echo "assets/vendor is ${packages[*]}" ;;
  update) rm -rf assets/vendor && cp -r "$work/vendor" assets/vendor ;;
  *) echo "usage: vendor.sh check|update" >&2; exit 2 ;;
esac
