"""What the lint scripts share: the list of files, and a run that ends with a verdict.

A check is a function problems(root, files) -> list of "path:line: what". Each script proves with
--self-test that it reports its bad samples and leaves the good ones alone."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def tracked(root):
    """Files of the tree, committed or about to be; without git (a source archive) all but build/."""
    git = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
    )
    if git.returncode == 0:
        names = [n for n in git.stdout.decode().split("\0") if n]
    else:
        names = []
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(n for n in names if os.path.isfile(os.path.join(root, n)))


def text(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def sources(files, folders=("crypto", "pool", "gateway", "bench", "tests")):
    return [f for f in files if f.endswith((".c", ".h")) and f.split("/")[0] in folders]


def self_test(check, bad, good):
    """bad: {path: (content, word of the expected report)}, good: {path: content}."""
    failures = []
    for path, (content, word) in bad.items():
        found = run_on(check, {path: content})
        if not any(word in line for line in found):
            failures.append(f"the bad sample {path} ({word}) was not reported; got {found}")
    for path, content in good.items():
        found = run_on(check, {path: content})
        if found:
            failures.append(f"the good sample {path} was reported: {found}")
    return failures


def run_on(check, content):
    with tempfile.TemporaryDirectory() as root:
        for path, body in content.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as stream:
                stream.write(body)
        return check(root, sorted(content))


def main(check, bad, good):
    if sys.argv[1:] == ["--self-test"]:
        lines = self_test(check, bad, good)
    else:
        lines = check(ROOT, tracked(ROOT))
    for line in lines:
        print(line)
    print(f"{len(lines)} problem(s)")
    sys.exit(1 if lines else 0)
