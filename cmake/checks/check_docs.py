#!/usr/bin/env python3
"""check_docs.py ROOT: relative links of the documents lead somewhere; the states of docs/states.md are the code's.

In docs/states.md a heading names an enum, `TaskState`; every `kName` until the next heading is one of its enumerators,
and each enumerator is there.
"""
import os
import re
import sys

from source_tree import all_files, blank_literals, code_files, read, report

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)|(?:src|href)=\"([^\"#]+)\"")
ENUM = re.compile(r"\benum\s+class\s+(\w+)[^{;]*\{([^}]*)\}")
STATES = "docs/states.md"


def broken_links(root):
    for path in all_files(root):
        if not path.endswith(".md"):
            continue
        for number, line in enumerate(read(root, path).splitlines(), 1):
            for target in (a or b for a, b in LINK.findall(line)):
                if "://" not in target and not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                    yield f"{path}:{number}: {target} does not exist"


def enums(root):
    found = {}
    for path in code_files(root):
        if path.startswith(("runtime/", "tune/", "train/")):
            for name, body in ENUM.findall(blank_literals(read(root, path))):
                found[name] = set(re.findall(r"\bk[A-Z]\w*", body))
    return found


def wrong_states(root):
    if not os.path.exists(os.path.join(root, STATES)):
        return
    known = enums(root)
    for section in re.split(r"^#+ ", read(root, STATES), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for name in re.findall(r"`(\w+)`", heading):
            if name not in known:
                yield f"{STATES}: there is no enum class {name}"
                continue
            written = set(re.findall(r"`(k[A-Z]\w*)`", body))
            yield from (f"{STATES}: {state} is no enumerator of {name}" for state in sorted(written - known[name]))
            yield from (f"{STATES}: {state} of {name} is missing" for state in sorted(known[name] - written))


def main(root):
    report("docs", [*broken_links(root), *wrong_states(root)])


if __name__ == "__main__":
    main(sys.argv[1])
