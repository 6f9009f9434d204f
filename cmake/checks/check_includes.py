#!/usr/bin/env python3
"""check_includes.py ROOT: every #include of the tree obeys layout.py."""
import os
import re
import sys

import layout
from source_tree import code_files, read, report

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def module_of(path):
    """The most precise name the table has for a file: "runtime/core", "tune:public", "train/torch"."""
    parts = path.split("/")
    if len(parts) == 2 and parts[0] in ("runtime", "tune", "train"):
        return parts[0] + (":public" if path.endswith((".hpp", ".h")) else ":facade")
    return "/".join(parts[:2]) if parts[0] in ("runtime", "tune", "train") else parts[0]


def rule_of(module):
    return layout.MODULES.get(module, layout.MODULES.get(module.split("/")[0]))


def same_side(module, target):
    """Within tune/ and within train/ everyone may include everyone; within runtime/ only the same folder."""
    top = module.split(":")[0].split("/")[0]
    return module == target or (top in ("tune", "train") and target.split(":")[0].split("/")[0] == top)


def problem_of_quoted(root, path, included):
    module, target = module_of(path), module_of(included)
    schema = included[:-2] if included.endswith(".capnp.h") else included
    if module == "tests" and os.path.exists(os.path.join(root, os.path.dirname(path), included)):
        return None  # a test's own helper, beside it
    if not os.path.exists(os.path.join(root, schema)):
        return f'"{included}" is not a path from the root of the tree'
    rule = rule_of(module)
    if rule is None:
        return f"folder {module} is not in the table of cmake/checks/layout.py"
    if rule == layout.ANY or same_side(module, target) or target in rule or included in layout.EXCEPTIONS.get(path, ()):
        return None
    return f'{module} may not include {target} ("{included}")'


def problem_of_angled(path, included):
    party = included.split("/")[0]
    module = module_of(path)
    if party not in layout.THIRD_PARTIES:
        known = "/" not in included or party in layout.SYSTEM_FOLDERS
        return None if known else f"<{included}> belongs to no third party of cmake/checks/layout.py"
    if module in ("runtime/base", "runtime/core"):
        return f"{module} includes no third party (<{included}>)"
    allowed, reason = layout.THIRD_PARTIES[party]
    if module == "tests" or "*" in allowed or module in allowed or module.split(":")[0].split("/")[0] in allowed:
        return None
    return f"<{included}> is not for {module}: {reason}"


def main(root):
    problems = []
    for path in code_files(root):
        text = read(root, path)
        for match in INCLUDE.finditer(text):
            quoted, angled = match.groups()
            problem = problem_of_quoted(root, path, quoted) if quoted else problem_of_angled(path, angled)
            if problem:
                problems.append(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {problem}")
            party = (quoted or angled).split("/")[0]
            below = layout.ONLY_BELOW.get(party, "")
            if not path.startswith((below, "tests/")):
                problems.append(f"{path}: <{party}/…> is for {below}* alone")
    report("includes", problems)


if __name__ == "__main__":
    main(sys.argv[1])
