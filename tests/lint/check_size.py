#!/usr/bin/python3
"""Functions of more than 100 lines and files of more than 600 lines are refused; tests may have 1000,
their tables and cases are read one at a time."""
import common

MAX_FILE = 600
MAX_TEST_FILE = 1000
MAX_FUNCTION = 100


def functions(lines):
    """(first line, length) of each body: Linux braces, so a body is '{' to '}' in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def problems(root, files):
    found = []
    for name in common.sources(files):
        lines = common.text(root, name).split("\n")
        allowed = MAX_TEST_FILE if name.startswith("tests/") else MAX_FILE
        if len(lines) - 1 > allowed:
            found.append(f"{name}:1: {len(lines) - 1} lines; allowed: {allowed}")
        for start, length in functions(lines):
            if length > MAX_FUNCTION:
                found.append(f"{name}:{start}: a function of {length} lines; allowed: {MAX_FUNCTION}")
    return found


def function(length):
    return "void f(void)\n{\n" + "    g();\n" * (length - 2) + "}\n"


BAD = {
    "pool/a.c": (function(MAX_FUNCTION + 1), "a function of 101 lines"),
    "crypto/b.h": ("int x;\n" * (MAX_FILE + 1), "601 lines"),
    "tests/c.c": ("int x;\n" * (MAX_TEST_FILE + 1), "1001 lines"),
}
GOOD = {
    "pool/a.c": function(MAX_FUNCTION),
    "crypto/b.h": "int x;\n" * MAX_FILE,
    "tests/c.c": "int x;\n" * MAX_TEST_FILE,
    "README.md": "line\n" * 1000,
}

if __name__ == "__main__":
    common.main(problems, BAD, GOOD)
