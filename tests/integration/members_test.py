"""The group changes while it serves: members come, change and go, and no request is dropped."""
import hashlib
import json
import os
import signal
import subprocess
import time
import unittest
import urllib.request

from hsm import PIN, Group, Load
from keyward import VERSION, b64

DIGEST = hashlib.sha256(b"a message").digest()


class Changing(Group):
    """`listed`: the members that the file names, each with more fields."""

    def __init__(self, labels, listed, **more):
        self.listed = dict(listed)
        super().__init__(labels, **more)

    def _write_config(self):
        all_labels = self.tokens.labels
        self.tokens.labels = list(self.listed)
        super()._write_config()
        self.tokens.labels = all_labels
        text = self.config.read_text()
        for name, fields in self.listed.items():
            for field, value in fields.items():
                line = next(l for l in text.splitlines() if f"name: {name}," in l)
                parts = [p for p in line.rstrip(" }").split(", ") if not p.startswith(field + ":")]
                text = text.replace(line, ", ".join(parts) + f", {field}: {value} }}")
        self.config.write_text(text)

    def start(self, wait=True):
        super().start(False)
        if wait:
            self.wait_serving(list(self.listed))
        return self

    def reload(self):
        count = self.log().count("reload done")
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self.log().count("reload done") == count:
            assert time.monotonic() < deadline, self.log()[-2000:]
            time.sleep(0.02)

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status.json", timeout=10) as r:
            return json.load(r)

    def run_cli(self, *words):
        return subprocess.run([self.binary, *words, "-c", str(self.config)], capture_output=True, text=True,
                              timeout=90, stdin=subprocess.DEVNULL)

    def await_members(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition(self.members()):
            assert time.monotonic() < deadline, (self.members(), self.log()[-3000:])
            time.sleep(0.05)
        return self.members()

    def reload_metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as r:
            rows = dict(line.rsplit(" ", 1) for line in r.read().decode().splitlines() if line[:1] != "#")
        return [rows["keyward_reload_ok"], rows["keyward_restart_needed"]]

    def lines(self, message):
        found = []
        for line in self.log().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if message in entry.get("message", ""):
                found.append(entry)
        return found


class UnderLoad(unittest.TestCase):
    def setUp(self):
        self.server = None

    def tearDown(self):
        if self.server:
            code = self.server.stop()
            log = self.server.log()
            self.server.remove()
            self.assertEqual(0, code, log[-2000:])
            self.assertNotIn("Sanitizer", log)

    def load(self, seconds):
        self.server.create("signer", "EC-HSM", crv="P-256")
        body = json.dumps({"alg": "ES256", "value": b64(DIGEST)}).encode()
        return Load(self.server, f"/keys/signer/sign?{VERSION}", body, seconds, clients=4, streams=8)

    def clean(self, result):
        self.assertGreater(result["succeeded"], 200)
        for key in ("failed", "errored", "timeout", "bad"):
            self.assertEqual(0, result[key], (result, self.server.log()[-5000:]))

    def test_a_third_member_comes_and_the_first_goes(self):
        server = self.server = Changing(["hsm-a", "hsm-b", "hsm-c"], {"hsm-a": {}, "hsm-b": {}}).start()
        load = self.load(12)
        time.sleep(0.5)
        done = server.run_cli("member", "add", "hsm-c")
        self.assertEqual(1, done.returncode)
        self.assertIn(f'{server.config} has no member "hsm-c"; write it there first', done.stderr)
        server.listed["hsm-c"] = {}
        server._write_config()
        done = server.run_cli("member", "add", "hsm-c")
        self.assertEqual(0, done.returncode, (done.stderr, server.log()[-3000:]))
        self.assertRegex(done.stdout, r"^hsm-c: active")
        done = server.run_cli("member", "add", "hsm-c")
        self.assertIn("already", done.stderr)
        deadline = time.monotonic() + 10
        while server.operations("hsm-c") < 20:
            self.assertLess(time.monotonic(), deadline, server.members())
            time.sleep(0.1)
        pid = server.host_pid("hsm-a")
        done = server.run_cli("member", "remove", "hsm-a")
        self.assertEqual(1, done.returncode)
        self.assertIn("still has it", done.stderr)
        del server.listed["hsm-a"]
        server._write_config()
        done = server.run_cli("member", "remove", "hsm-a")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"^hsm-a: left the group")
        self.assertEqual(["hsm-b", "hsm-c", "core"], list(server.members()))
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertFalse((server.data / "member-hsm-a.json").exists())
        self.assertTrue((server.data / "login-hsm-a.json").exists())  # a refused PIN stays refused
        self.clean(load.end())
        # a restart gives the same group
        self.assertEqual(0, server.stop())
        server.start()
        self.assertEqual(["hsm-b", "hsm-c", "core"], list(server.members()))

    def test_sighup(self):
        server = self.server = Changing(["hsm-a", "hsm-b", "hsm-c"], {"hsm-a": {}, "hsm-b": {}}).start()
        load = self.load(14)
        time.sleep(0.5)
        # members by the file alone: one comes, one goes
        server.listed = {"hsm-b": {}, "hsm-c": {"priority": 2}}
        server._write_config()
        server.reload()
        server.await_members(lambda m: list(m) == ["hsm-b", "hsm-c", "core"] and m["hsm-c"]["serving"])
        self.assertEqual(2, server.members()["hsm-c"]["priority"])
        # settings that need other hosts: another one of the name takes over
        pid = server.host_pid("hsm-b")
        server.listed["hsm-b"] = {"sessions": 3}
        server._write_config()
        server.reload()
        server.await_members(lambda m: m["hsm-b"]["host_pid"] not in (0, pid) and m["hsm-b"]["serving"] and
                             m["hsm-b"]["reason"] == "")
        server.await_members(lambda m: not os.path.exists(f"/proc/{pid}"))
        # settings that need none: role and credential change in place
        pids = {n: server.host_pid(n) for n in ("hsm-b", "hsm-c")}
        other_pin = server.folder / "other-pin"
        other_pin.write_text(PIN)
        other_pin.chmod(0o600)
        server.listed["hsm-b"] = {"sessions": 3, "pin_file": str(other_pin), "standby": "true"}
        server.listed["hsm-c"] = {}
        server._write_config()
        server.reload()
        server.await_members(lambda m: m["hsm-b"]["state"].startswith("standby") and m["hsm-c"]["priority"] == 1)
        self.assertEqual(pids, {n: server.host_pid(n) for n in pids})
        # a broken file changes nothing and is named by line and field
        before = server.members()
        text = server.config.read_text()
        server.config.write_text(text.replace("priority: 2", "priority: 1").replace("sessions: 3", "sessions: 999"))
        server.reload()
        line = next(i for i, l in enumerate(text.splitlines(), 1) if "sessions: 3" in l)
        wrong = server.lines("the configuration on disk is not valid")[-1]
        self.assertIn(f"{server.config}:{line}: group.members[0].sessions: found 999; allowed: 1 to 256",
                      wrong["error"])
        kept = ("role", "priority", "admin", "serving", "host_pid")  # health goes on from warming to up
        self.assertEqual([[m.get(k) for k in kept] for m in before.values()],
                         [[m.get(k) for k in kept] for m in server.members().values()])
        self.assertIn("sessions: found 999", server.status()["reload"]["error"])
        self.assertIn("sessions: found 999", server.cli("status", "-c", str(server.config)))
        self.assertEqual(["0", "0"], server.reload_metrics())
        server.config.write_text(text)
        server.reload()
        self.assertEqual("", server.status()["reload"]["error"])
        self.assertEqual(["1", "0"], server.reload_metrics())
        self.clean(load.end())

    def test_the_last_one(self):
        server = self.server = Changing(["hsm-a", "hsm-b"], {"hsm-a": {}}).start()
        load = self.load(10)
        # replaced by the file alone: the old one serves until the new one does
        server.listed = {"hsm-b": {}}
        server._write_config()
        server.reload()
        server.await_members(lambda m: list(m) == ["hsm-b", "core"])
        # an heir in a group of one
        server.listed = {"hsm-b": {"hosts": 2}}
        server._write_config()
        server.reload()
        server.await_members(lambda m: m["hsm-b"]["serving"] and m["hsm-b"]["reason"] == "")
        self.clean(load.end())
        # a group that would be empty needs a restart: nothing happens to the running one
        text = server.config.read_text()
        start, end = text.index("  members:"), text.index("auth:")
        server.config.write_text(text[:start] + "  hedge: off\n" + text[end:])
        server.reload()
        self.assertEqual("group.members", server.status()["reload"]["restart_needed"])
        self.assertIn("a restart is needed for what changed in: group.members",
                      server.cli("status", "-c", str(server.config)))
        self.assertTrue(server.members()["hsm-b"]["serving"])
        # by hand it leaves when an operator insists; without a member 503, never the core
        done = server.run_cli("member", "remove", "hsm-b")
        self.assertEqual(1, done.returncode)
        self.assertIn("last member that serves", done.stderr)
        done = server.run_cli("member", "remove", "hsm-b", "--force")
        self.assertEqual(0, done.returncode, done.stderr)
        answer = server.post("/keys/signer/sign", {"alg": "ES256", "value": b64(DIGEST)})
        self.assertEqual(503, answer.status)
        self.assertTrue(answer.headers["retry-after"])


class OneToken(unittest.TestCase):
    """Two names for one token are found where the configuration cannot show it: label here, serial there."""

    def serial(self, server, label):
        slots = subprocess.run(["softhsm2-util", "--show-slots"], capture_output=True, text=True, check=True,
                               env=server.tokens.environment).stdout
        return next(s for s in slots.split("\nSlot ") if f"{label} " in s + " ").split("Serial number:")[1].split()[0]

    def test_the_second_name_never_serves(self):
        server = Changing(["hsm-a", "hsm-b"], {"hsm-a": {}})
        try:
            serials = {n: self.serial(server, n) for n in ("hsm-a", "hsm-b")}

            def twin(serial):
                server._write_config()
                text = server.config.read_text()
                line = next(l for l in text.splitlines() if "name: hsm-a," in l)
                other = line.replace("name: hsm-a", "name: twin").replace("token: hsm-a", f'serial: "{serial}"')
                server.config.write_text(text.replace(line, line + "\n" + other))

            twin(serials["hsm-a"])
            server.start(wait=False)
            members = server.await_members(lambda m: sorted(m[n]["health"] for n in ("hsm-a", "twin"))[0] == "mismatched"
                                           and any(m[n]["serving"] for n in ("hsm-a", "twin")))
            second = next(n for n in ("hsm-a", "twin") if members[n]["health"] == "mismatched")
            first = "twin" if second == "hsm-a" else "hsm-a"
            reason = f"token {serials['hsm-a']} of {second} is that of {first}: one token under two names"
            self.assertEqual(reason, members[second]["reason"])
            self.assertTrue([l for l in server.lines("member changed state")
                             if l["reason"] == reason and l["level"] == "warn"], server.log()[-2000:])
            for word in ("recover", "replace"):
                server.run_cli("member", word, second)
                time.sleep(1.5)
                server.await_members(lambda m: m[second]["health"] == "mismatched")
            done = subprocess.run([server.binary, "doctor", "-c", str(server.config), "--json"], capture_output=True,
                                  text=True, timeout=60, env=server.tokens.environment)
            rows = [f for f in json.loads(done.stdout)["findings"] if f["step"] == "own token"]
            self.assertEqual([("member twin", "fail", "config")], [(f["subject"], f["result"], f["owner"]) for f in rows])
            self.assertIn("its token is that of member hsm-a", rows[0]["seen"])
            # both names with a token of their own
            if second == "twin":
                twin(serials["hsm-b"])
                server.reload()
                server.await_members(lambda m: m["twin"]["serving"] and m["hsm-a"]["serving"])
        finally:
            code = server.stop()
            server.remove()
        self.assertEqual(0, code)


class Limits(unittest.TestCase):
    def test_limits_and_tokens_change_with_sighup(self):
        server = Changing(["hsm-a"], {"hsm-a": {}}).start()
        try:
            server.create("k", "oct-HSM")
            big = {"alg": "A256KW", "value": "A" * 3000}
            self.assertEqual(400, server.post("/keys/k/wrapkey", big).status)
            server.limits = "limits: { max_body: 2000, rate: 2, max_connections: 100 }\n"
            server._write_config()
            server.reload()
            self.assertEqual(413, server.post("/keys/k/wrapkey", big).status)
            codes = [server.get("/keys/k").status for _ in range(6)]
            self.assertIn(429, codes)
            # another file of tokens: the old token is none any more
            other = server.data / "others.json"
            other.write_bytes((server.data / "tokens.json").read_bytes())
            other.chmod(0o600)
            server.limits = ""
            server._write_config()
            text = server.config.read_text().replace("tokens.json", "others.json")
            server.config.write_text(text + "loops: 1\n")
            server.reload()
            self.assertEqual(200, server.get("/keys/k").status)
            self.assertEqual("loops", server.status()["reload"]["restart_needed"])
            self.assertEqual(["1", "1"], server.reload_metrics())
            other.write_text('{"tokens":[]}\n')
            server.reload()
            self.assertEqual(401, server.get("/keys/k").status)
        finally:
            code = server.stop()
            server.remove()
        self.assertEqual(0, code)


if __name__ == "__main__":
    unittest.main()
