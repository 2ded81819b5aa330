#!/usr/bin/python3
"""What deploy/ ships is valid: check_deploy.py KEYWARD. Configurations pass `keyward check`, the service
unit parses and stays locked down, packages named in the container file exist, manifests are YAML."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

import common

MAX_EXPOSURE = 2.0


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def check_config(keyward, text, name):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "keyward.yaml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        done = run(keyward, "check", "-c", path)
    return [] if done.returncode == 0 else [f"{name}: {done.stderr.strip()}"]


def check_configs(keyward):
    lines = check_config(keyward, common.text(common.ROOT, "deploy/keyward.yaml"), "deploy/keyward.yaml")
    name = "deploy/kubernetes/sidecar.yaml"
    documents = list(yaml.safe_load_all(common.text(common.ROOT, name)))
    maps = [d for d in documents if d["kind"] == "ConfigMap"]
    if not maps:
        lines.append(f"{name}: no ConfigMap")
    for document in maps:
        lines += check_config(keyward, document["data"]["keyward.yaml"], name)
    lines += check_sidecar(documents, name)
    # the check can say no: the same file with a field spelled wrongly
    if not check_config(keyward, common.text(common.ROOT, "deploy/keyward.yaml").replace("engine:", "engin:"), "x"):
        lines.append("keyward check took a configuration with an unknown field")
    return lines


def check_sidecar(documents, name):
    """Both containers mount the same emptyDir at the folder of the socket."""
    pod = next(d for d in documents if d["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    shared = {v["name"] for v in pod["volumes"] if "emptyDir" in v}
    places = []
    for container in pod["containers"]:
        places.append({m["mountPath"] for m in container["volumeMounts"] if m["name"] in shared})
    if len(places) < 2 or "/run/keyward" not in set.intersection(*places):
        return [f"{name}: the containers share no emptyDir at /run/keyward"]
    return []


def check_unit(keyward):
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: the unit was not checked")
        return []
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "keyward.service")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(common.text(common.ROOT, "deploy/systemd/keyward.service").replace("/usr/bin/keyward", keyward))
        verify = run("systemd-analyze", "verify", "--man=no", path)
        about_it = [l for l in verify.stderr.split("\n") if "keyward.service" in l]
        lines += [f"deploy/systemd/{l}" for l in about_it]
        security = run("systemd-analyze", "security", "--offline=true", "--no-pager", path)
        level = re.search(r"exposure level for keyward\.service: ([0-9.]+)", security.stdout)
        if not level:
            lines.append("deploy/systemd/keyward.service: no exposure level: " + security.stderr.strip())
        elif float(level.group(1)) > MAX_EXPOSURE:
            lines.append(f"deploy/systemd/keyward.service: exposure {level.group(1)}; allowed: {MAX_EXPOSURE}")
    return lines


def container_packages(text):
    installs = re.findall(r"apt-get install -y --no-install-recommends((?:\s|\\|[a-z0-9.+-])+)", text)
    return [w for block in installs for w in block.replace("\\", " ").split()]


def unknown_packages(names):
    policy = run("apt-cache", "policy", *names).stdout
    known = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", policy, re.M)
    return [n for n in names if n not in known]


def check_container():
    name = "deploy/container/Containerfile"
    text = common.text(common.ROOT, name)
    lines = []
    for paths in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        lines += [f"{name}: COPY {p}: no such path" for p in paths.split() if not os.path.exists(os.path.join(common.ROOT, p))]
    packages = container_packages(text)
    if len(packages) < 5:
        lines.append(f"{name}: its packages were not found by this check")
    if unknown_packages(["keyward-no-such-package"]) != ["keyward-no-such-package"]:
        lines.append("apt-cache knows every name: packages were not checked")
    lines += [f"{name}: no package {p}" for p in unknown_packages(packages)]
    return lines


def check_libraries(keyward):
    """Every shared library the program needs is in a package that the container installs."""
    packages = set(container_packages(common.text(common.ROOT, "deploy/container/Containerfile")))
    needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", keyward).stdout)
    owned = run("dpkg-query", "-S", *[f"*/{library}" for library in needed]).stdout.split("\n")
    lines = [] if needed else ["objdump shows no libraries: they were not checked"]
    for library in needed:
        owners = {l.split(":")[0] for l in owned if l.endswith("/" + library)}
        if not owners & (packages | {"libc6"}):
            lines.append(f"deploy/container/Containerfile: {library} ({', '.join(owners)}) is needed and not installed")
    return lines


def main():
    keyward = os.path.abspath(sys.argv[1])
    lines = check_configs(keyward) + check_unit(keyward) + check_container() + check_libraries(keyward)
    for line in lines:
        print(line)
    print(f"{len(lines)} problem(s)")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
