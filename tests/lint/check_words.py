#!/usr/bin/python3
"""Words that do not belong in the tree: unsafe functions, notes of unfinished work, paths of one machine."""
import re

import common

UNSAFE = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|tmpnam|mktemp|alloca)\s*\(")
WEAK = re.compile(r"\b(rand|srand|random|srandom|drand48)\s*\(")
COMMENT = re.compile(r"/\*.*?(\*/|$)|//.*|^\s*\*.*")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE = re.compile(r"(?<![\w.])/(work|farm)/\w|(?<![\w.])/home/[a-z]\w*/|(?<![\w.])/root/\w")
TEXT = (".c", ".h", ".py", ".md", ".yaml", ".txt", ".cmake", ".json", ".service", ".sh")


def problems(root, files):
    found = []
    for name in files:
        tests = name.startswith(("tests/", "bench/"))
        if name.startswith("tests/lint/") or name == "LICENSE":
            continue
        plain = "." not in name.split("/")[-1] or name.startswith(".")
        if not (name.endswith(TEXT) or plain or name.endswith("Containerfile")):
            continue
        code = [COMMENT.sub("", line) for line in common.text(root, name).split("\n")]
        for number, line in enumerate(common.text(root, name).split("\n"), 1):
            product = name.endswith((".c", ".h")) and not tests
            if product and UNSAFE.search(code[number - 1]):
                found.append(f"{name}:{number}: unsafe function: {line.strip()}")
            if product and WEAK.search(code[number - 1]):
                found.append(f"{name}:{number}: not a generator for secrets: {line.strip()}")
            if UNFINISHED.search(line) and "mkstemp" not in line and "XXXXXX" not in line:
                found.append(f"{name}:{number}: unfinished work: {line.strip()}")
            if MACHINE.search(line):
                found.append(f"{name}:{number}: path of one machine: {line.strip()}")
    return found


BAD = {
    "pool/a.c": ("strcpy(a, b);\n", "unsafe"),
    "pool/b.c": ("n = sprintf (a, b);\n", "unsafe"),
    "crypto/d.c": ("x = rand();\n", "generator"),
    "gateway/c.h": ("/* TODO: later */\n", "unfinished"),
    "README.md": ("FIXME\n", "unfinished"),
    "tests/run": ("cd /wo" "rk/main\n", "path of one"),
    "bench/x.py": ('open("/home/alice/x")\n', "path of one"),
}
GOOD = {
    "pool/a.c": 'snprintf(a, n, b); my_strcpy(a); mkstemp("/tmp/x-XXXXXX");\n',
    "pool/b.c": "/** A random (version 4) GUID */\n",
    "tests/c.c": "strcpy(a, b);\n",
    "README.md": "the work/ folder, a/work/b, /var/lib/keyward\n",
}

if __name__ == "__main__":
    common.main(problems, BAD, GOOD)
