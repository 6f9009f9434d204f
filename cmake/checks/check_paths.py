#!/usr/bin/env python3
"""check_paths.py ROOT: no path of somebody's machine and no package registry's host name in any file of the project."""
import re
import sys

from source_tree import all_files, read, report

# Written in pieces so that this file passes its own check.
FOREIGN = re.compile("|".join((
    r"(?<![\w.\-}])/wo" + r"rk/\w", r"/tmp/" + r"brief", r"(?<![\w.\-}])/ro" + r"ot/", r"(?<![\w.\-}])/ho" + r"me/\w",
    r"(?<![\w.\-}])/Us" + r"ers/\w", r"py" + r"pi\.o" + r"rg", r"pythonho" + r"sted\.", r"deb\.deb" + r"ian\.org",
    r"snapshot\.deb" + r"ian", r"pkg\.d" + r"ev\b", r"registry\.np" + r"mjs", r"artifact" + r"ory",
    r"proxy\.gol" + r"ang")))


def main(root):
    problems = []
    for path in all_files(root):
        for number, line in enumerate(read(root, path).splitlines(), 1):
            match = FOREIGN.search(line)
            if match and "\0" not in line:
                problems.append(f"{path}:{number}: '{match.group()}' belongs to one machine, not to the project")
    report("paths", problems)


if __name__ == "__main__":
    main(sys.argv[1])
