#!/usr/bin/python3
"""Alert rules: valid YAML, only metrics that the gateway has, each with a section of the runbook and a case of its own in the
rules' test; promtool runs both where it is installed."""
import os
import re
import shutil
import subprocess
import sys

import yaml

import common

RULES = "deploy/prometheus/keyward.rules.yaml"
CASES = "deploy/prometheus/keyward.rules.test.yaml"
RUNBOOK = "deploy/runbook.md"
METRIC = re.compile(r"\bkeyward_([a-z_]+)")
NAME = re.compile(r'"([a-z_]+)"')


def anchors(text):
    """The ids of headings, as renderers of Markdown make them."""
    found = set()
    for line in text.split("\n"):
        match = re.match(r"#+ (.*)", line)
        if match:
            found.add(re.sub(r"[^a-z0-9_ -]", "", match.group(1).lower()).strip().replace(" ", "-"))
    return found


def rules_of(document):
    return [rule for group in document["groups"] for rule in group["rules"]]


def problems(root, files):
    if RULES not in files:
        return [f"{RULES}: missing"]
    source = "".join(common.text(root, f) for f in files if f.startswith("gateway/") and f.endswith(".c"))
    known = set(NAME.findall(source))
    sections = anchors(common.text(root, RUNBOOK)) if RUNBOOK in files else set()
    cases = common.text(root, CASES) if CASES in files else ""
    found = []
    for rule in rules_of(yaml.safe_load(common.text(root, RULES))):
        name = rule.get("alert", "?")
        for metric in METRIC.findall(rule["expr"]):
            if metric not in known:
                found.append(f"{RULES}: {name}: no metric keyward_{metric}")
        runbook = rule.get("annotations", {}).get("runbook", "")
        if not runbook.startswith(RUNBOOK + "#") or runbook.split("#")[1] not in sections:
            found.append(f"{RULES}: {name}: {runbook or 'nothing'} is no section of the runbook")
        if not rule.get("labels", {}).get("severity") or not rule.get("annotations", {}).get("summary"):
            found.append(f"{RULES}: {name}: severity or summary is missing")
        if f"alertname: {name}\n" not in cases:
            found.append(f"{RULES}: {name}: no case in {CASES}")
    if not found and shutil.which("promtool"):
        for words in (("check", "rules", RULES), ("test", "rules", CASES)):
            done = subprocess.run(["promtool", *words[:2], os.path.join(root, words[2])], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                found.append(f"{words[2]}: {done.stdout} {done.stderr}")
    return found


def sample(expr="keyward_x > 1", runbook="deploy/runbook.md#a-b", severity="warning", case="KeywardX"):
    """Files with one rule, and those that it needs."""
    return {RULES: f"groups: [{{ name: k, rules: [{{ alert: KeywardX, expr: '{expr}', labels: {{ severity: {severity} }}, "
                   f"annotations: {{ summary: s, runbook: '{runbook}' }} }}] }}]\n",
            CASES: f"rule_files: []\ntests: []\n# alertname: {case}\n", RUNBOOK: "# A b\n", "gateway/x.c": 'head("x", 1);\n'}


def self_test():
    failures = []
    bad = {"no metric": sample(expr="keyward_y > 1"), "no section": sample(runbook="deploy/runbook.md#c"),
           "severity": sample(severity='""'), "no case": sample(case="Other"), "missing": {RUNBOOK: ""}}
    for word, content in bad.items():
        found = common.run_on(problems, content)
        if not any(word in line for line in found):
            failures.append(f"the bad sample ({word}) was not reported: {found}")
    found = common.run_on(problems, sample())
    if found:
        failures.append(f"the good sample was reported: {found}")
    return failures


if __name__ == "__main__":
    lines = self_test() if sys.argv[1:] == ["--self-test"] else problems(common.ROOT, common.tracked(common.ROOT))
    print("\n".join(lines + [f"{len(lines)} problem(s)"]))
    sys.exit(1 if lines else 0)
