"""What the checks share: the files of the tree, and C++ text with comments and literals blanked out."""
import os
import re
import sys

CODE_FOLDERS = ("runtime", "tune", "train", "examples", "bench", "tests")
SKIPPED_FOLDERS = {"build", ".git", ".cache", "__pycache__"}
LITERALS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\\\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL)


def all_files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if name == ".git":  # of a linked worktree: a file that says where the repository is
                continue
            yield os.path.relpath(os.path.join(folder, name), root)


def code_files(root):
    for top in CODE_FOLDERS:
        for path in all_files(os.path.join(root, top)):
            if path.endswith((".hpp", ".cpp", ".h", ".cc")):
                yield os.path.join(top, path)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def blank_literals(text):
    """Comments and literals become spaces; line breaks stay, so that line numbers do."""
    return LITERALS.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def report(what, problems):
    for problem in problems:
        print(problem)
    print(f"{what}: {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)
