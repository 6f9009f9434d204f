#!/usr/bin/env python3
"""check_faults.py ROOT: each fault that the runtime promises to survive on one machine has a test case named after its number,
"fault 7: …", and each such case ends clean: it has a Machine or a Clean (tests/runtime/clean.hpp), which look at what is left.
"""
import re
import sys

from source_tree import code_files, read, report

# Those of several machines (4, 6 to 10, 17 of the head, 26, 28) are no case of one.
FAULTS = {1, 2, 3, 5, *range(11, 17), *range(18, 26), 27, *range(29, 41)}
CASE = re.compile(r'^ *TEST_CASE\("(?P<name>[^"\n]*)', re.MULTILINE)
NUMBER = re.compile(r"fault (\d+): ")
CLEAN = re.compile(r"\b(Machine machine|Clean clean)\b")


def cases(text):
    """(line, name, body up to the next case)"""
    found = list(CASE.finditer(text))
    for match, following in zip(found, [*found[1:], None]):
        body = text[match.end():following.start() if following else len(text)]
        yield text.count("\n", 0, match.start()) + 1, match["name"], body


def main(root):
    problems, seen = [], set()
    for path in code_files(root):
        if not path.startswith("tests/runtime/"):
            continue
        for line, name, body in cases(read(root, path)):
            number = NUMBER.match(name)
            if not number:
                continue
            seen.add(int(number[1]))
            if not CLEAN.search(body):
                problems.append(f"{path}:{line}: fault {number[1]} does not end clean: it has neither a Machine nor a Clean")
    problems += [f"tests/runtime: fault {number} has no test case" for number in sorted(FAULTS - seen)]
    report("faults", problems)


if __name__ == "__main__":
    main(sys.argv[1])
