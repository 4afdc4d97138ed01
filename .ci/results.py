#!/usr/bin/env python3
"""Reads the JSON lines of go test.

show FILE: prints packages, skipped tests with their reason, lines of ledgers
and counts, and the whole output of what failed.
sum FILE: prints how many tests passed, failed and were skipped; fails if any
failed or none ran.
"""
import collections
import json
import sys

verb, path = sys.argv[1:3]
events = []
for line in open(path, encoding="utf-8"):
    try:
        events.append(json.loads(line))
    except ValueError:
        print(line.rstrip())

output = collections.defaultdict(list)
count = collections.Counter()
failed = []
for e in events:
    key = (e.get("Package") or e.get("ImportPath", ""), e.get("Test", ""))
    action = e["Action"]
    if action in ("output", "build-output"):
        output[key].append(e["Output"])
    elif action in ("pass", "fail", "skip"):
        if key[1]:
            count[action] += 1
        if action == "fail":
            failed.append(key)
        if verb == "show" and action == "skip" and key[1]:
            reason = [l.strip() for l in output[key] if "_test.go" in l]
            print(f"skip  {key[0]} {key[1]}: {' '.join(reason)}")
        if verb == "show" and not key[1] and action != "skip":
            print(f"{action}  {key[0]}  {e.get('Elapsed', 0):.1f}s")
    elif action == "build-fail":
        failed.append(key)
if verb == "show":
    for key, lines in output.items():
        for line in lines:
            if any(word in line for word in ("ledger", "counted:", "measured:", "accepted ")):
                print("     ", line.strip())
    for key in failed:
        print(f"\nFAILED {key[0]} {key[1]}")
        print("".join(output[key][-400:]))
    sys.exit(1 if failed else 0)
print(f"{count['pass']} passed, {count['fail']} failed, {count['skip']} skipped")
sys.exit(1 if count["fail"] or not count["pass"] else 0)
