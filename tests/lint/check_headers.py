#!/usr/bin/python3
"""Each header compiles alone: check_headers.py BUILD-DIR (for its compile_commands.json)."""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import tempfile

import common


def flags_of(build):
    """Include and define flags of each layer, from any of its sources."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as stream:
        entries = json.load(stream)
    flags = {}
    for entry in entries:
        layer = os.path.relpath(entry["file"], common.ROOT).split("/")[0]
        words = shlex.split(entry["command"])
        keep, take_next = [], False
        for word in words:
            if take_next or word.startswith(("-I", "-D", "-isystem", "-std")):
                keep.append(word)
                take_next = word == "-isystem"
        if len(keep) > len(flags.get(layer, [])):
            flags[layer] = keep
    return flags


def compile_alone(root, name, flags):
    run = subprocess.run(
        ["cc", *flags, f"-I{root}", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c", "-"],
        input=f'#include "{name}"\n',
        capture_output=True,
        text=True,
    )
    if run.returncode == 0:
        return []
    errors = [line for line in run.stderr.split("\n") if "error" in line]
    return [f"{name}:1: does not compile alone: {errors[0] if errors else run.stderr.strip()}"]


def check(root, names, flags):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        jobs = [threads.submit(compile_alone, root, n, flags.get(n.split("/")[0], [])) for n in names]
        return [line for job in jobs for line in job.result()]


def headers(files):
    return [f for f in common.sources(files, ("crypto", "pool", "gateway")) if f.endswith(".h")]


def self_test():
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "pool"))
        for name, body in (("bad.h", "void f(size_t n);\n"), ("good.h", "#include <stddef.h>\nvoid f(size_t n);\n")):
            with open(os.path.join(root, "pool", name), "w", encoding="utf-8") as stream:
                stream.write("#pragma once\n" + body)
        lines = check(root, ["pool/bad.h"], {})
        if not lines or "bad.h" not in lines[0]:
            return ["the bad sample was not reported"]
        return [f"the good sample was reported: {line}" for line in check(root, ["pool/good.h"], {})]


def main():
    if sys.argv[1:] == ["--self-test"]:
        lines = self_test()
    else:
        files = common.tracked(common.ROOT)
        lines = check(common.ROOT, headers(files), flags_of(sys.argv[1]))
    for line in lines:
        print(line)
    print(f"{len(lines)} problem(s)")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
