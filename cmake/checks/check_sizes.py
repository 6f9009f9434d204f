#!/usr/bin/env python3
"""check_sizes.py ROOT [ALLOWANCES]: sources up to 500 lines, headers up to 300, functions up to 70.

A line of the allowances file is `PATH LIMIT REASON…` for a file or `PATH:FUNCTION LIMIT REASON…` for a function. One
without a reason, and one that nothing needs any more, is a problem too.
"""
import re
import sys

from source_tree import blank_literals, code_files, read, report

LIMITS = {".cpp": 500, ".cc": 500, ".hpp": 300, ".h": 300}
FUNCTION_LIMIT = 70
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
CONTAINER = re.compile(r"\b(namespace|class|struct|union|enum|extern|TEST_SUITE)\b")
NAME = re.compile(r"([~\w:]+|operator\s*\S+)\s*\(")
KEYWORDS = {"alignas", "decltype", "noexcept", "requires", "sizeof", "static_assert", "if", "__attribute__"}


def without_template_heads(head):
    """`template <class T, template <class> class U> T f()` becomes `T f()`."""
    while start := re.search(r"\btemplate\s*<", head):
        end, depth = start.end(), 1
        while depth and end < len(head):
            depth += {"<": 1, ">": -1}.get(head[end], 0)
            end += 1
        head = head[:start.start()] + head[end:]
    return head


def functions(text):
    """(name, first line, lines) of each function body outside another function, by matching braces."""
    text = DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), blank_literals(text))
    stack, head_start, parens, line, head_line = [], 0, 0, 1, None
    carried = None  # a constructor's initialisers: `: a_{1}, b_{2} {`
    for at, char in enumerate(text):
        if char == "\n":
            line += 1
        elif head_line is None and not char.isspace() and char not in "{};":
            head_line = line
        if char in "(":
            parens += 1
        elif char == ")":
            parens -= 1
        elif char == "{":
            head = without_template_heads(text[head_start:at])
            inside_function = any(kind == "function" for kind, *_ in stack)
            if carried and not inside_function and parens == 0:
                stack.append(carried)
            elif parens > 0 or inside_function:
                stack.append(("block", "", line, parens))
            elif "(" in head and not CONTAINER.search(head.split("(")[0]):
                names = [n for n in NAME.findall(head) if n.strip() not in KEYWORDS]
                stack.append(("function", names[0] if names else "?", head_line or line, parens))
            else:
                stack.append(("container" if CONTAINER.search(head) else "block", "", line, parens))
            carried = None
            if parens == 0:
                head_start, head_line = at + 1, None
        elif char == "}" and stack:
            kind, name, first, _ = entry = stack.pop()
            rest = text[at + 1:at + 400].lstrip()
            if kind == "function" and rest[:1] in (",", "{"):
                carried = entry
            elif kind == "function":
                yield name, first, line - first + 1
            if parens == 0:
                head_start, head_line = at + 1, None
        elif char == ";" and parens == 0:
            head_start, head_line = at + 1, None


def read_allowances(path):
    allowed, problems = {}, []
    for number, row in enumerate(open(path, encoding="utf-8") if path else [], 1):
        row = row.split("#")[0].strip()
        if not row:
            continue
        words = row.split(None, 2)
        if len(words) < 3 or not words[1].isdigit():
            problems.append(f"{path}:{number}: wants PATH LIMIT REASON")
        else:
            allowed[words[0]] = int(words[1])
    return allowed, problems


def sizes(root):
    """(what, lines, limit, where) of each file and function."""
    for path in code_files(root):
        text = read(root, path)
        yield path, text.count("\n"), LIMITS["." + path.rsplit(".", 1)[1]], path
        for name, first, lines in functions(text):
            yield f"{path}:{name}", lines, FUNCTION_LIMIT, f"{path}:{first}: {name}"


def main(root, allowances=None):
    allowed, problems = read_allowances(allowances)
    needed = set()
    for what, lines, limit, where in sizes(root):
        if lines > limit and what in allowed:
            needed.add(what)
        if lines > max(limit, allowed.get(what, 0)):
            problems.append(f"{where}: {lines} lines, the limit is {allowed.get(what, limit)}")
    problems += [f"{what} needs no allowance any more" for what in allowed if what not in needed]
    report("sizes", problems)


if __name__ == "__main__":
    main(*sys.argv[1:])
