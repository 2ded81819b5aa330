#!/usr/bin/python3
"""Every C file is as clang-format makes it (.clang-format at the root; Debian 12's version)."""
import os
import shutil
import subprocess

import common


def problems(root, files):
    if not shutil.which("clang-format"):
        return ["clang-format is not installed: apt-get install clang-format"]
    style = "file:" + os.path.join(common.ROOT, ".clang-format")
    names = common.sources(files)
    found = []
    for start in range(0, len(names), 50):
        run = subprocess.run(
            ["clang-format", f"--style={style}", "--dry-run", "-Werror", "--ferror-limit=1", *names[start : start + 50]],
            cwd=root,
            capture_output=True,
            text=True,
        )
        found += [line for line in run.stderr.split("\n") if "error:" in line]
        if run.returncode != 0 and not found:
            found.append(run.stderr.strip())
    return found


BAD = {"pool/a.c": ("int main( void ) {return 0;}\n", "pool/a.c:1")}
GOOD = {"pool/a.c": "int main(void)\n{\n    return 0;\n}\n"}

if __name__ == "__main__":
    common.main(problems, BAD, GOOD)
