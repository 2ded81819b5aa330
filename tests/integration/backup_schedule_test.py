"""Backups that the gateway makes by itself: written, verified, retired; a place that fails; restarts and kills; reload."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BINARY = os.environ["KEYWARD_BIN"]
NAME = re.compile(r"^keyward-default-\d{8}T\d{6}Z-[0-9a-f]{8}$")


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Gateway:
    """`keyward serve -c FILE` on Unix sockets, with a backup section."""

    def __init__(self, backup, more=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kw-sched-"))
        self.place = self.folder / "place"
        self.place.mkdir()
        self.config = self.folder / "k.yaml"
        self.more = more
        self.write(backup)
        self.cli("init", "-c", str(self.config))
        self.process = None

    def write(self, backup):
        self.config.write_text(f'data: data\nlisteners: [{{ bind: "unix:{self.folder}/api" }}]\n'
                               f'admin: {{ bind: "unix:{self.folder}/admin" }}\nbackup: {{ {backup} }}\n{self.more}')

    def cli(self, *words, good=True):
        done = subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        assert (done.returncode == 0) == good, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self):
        self.errors = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([BINARY, "serve", "-c", str(self.config)], stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline()
        assert line.startswith(b"ready "), (line, self.log()[-2000:])
        return self

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(30)
        self.process.stdout.close()
        self.errors.close()
        return code

    def remove(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return (self.folder / "log").read_text()

    def lines(self, message):
        return [line for line in map(json.loads, self.log().splitlines()) if line["message"] == message]

    def ask(self, method, path, body=None, host="localhost", socket_name="api"):
        connection = Unix(str(self.folder / socket_name))
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json", "Host": host})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def api(self, method, path, body=None, host="localhost"):
        status, text = self.ask(method, f"{path}?api-version=7.4", body, host)
        assert status // 100 == 2, (path, status, text)
        return json.loads(text)

    def metrics(self):
        text = self.ask("GET", "/metrics", socket_name="admin")[1].decode()
        return dict(row.rsplit(" ", 1) for row in text.splitlines() if not row.startswith("#")), text

    def status(self, vault="default"):
        backups = json.loads(self.ask("GET", "/status.json", socket_name="admin")[1])["backups"]
        return next((b for b in backups if b["vault"] == vault), {})

    def reload(self):
        before = self.log().count('"reload done"')
        self.process.send_signal(signal.SIGHUP)
        wait(lambda: self.log().count('"reload done"') > before, self)

    def folders(self):
        return sorted(p.name for p in self.place.iterdir())


def wait(condition, gateway, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, gateway.log()[-4000:]
        time.sleep(0.05)


class Case(unittest.TestCase):
    def make(self, backup, more=""):
        gateway = Gateway(backup, more)
        self.addCleanup(gateway.remove)
        return gateway


class Schedule(Case):
    def test_made_verified_and_retired(self):
        g = self.make("to: place, every: 5s, keep: 1, keep_days: 0", "vaults: [{ name: other, type: vault }]\n")
        (g.place / "keyward-default-20200101T000000Z-00000000").mkdir()  # looks like its own, and is not
        (g.place / "notes").write_text("somebody's")
        foreign = set(g.folders())
        g.start()
        self.assertEqual(g.metrics()[0]['keyward_backup_runs_total{result="failed"}'], "0")
        g.api("POST", "/keys/one/create", {"kty": "EC"})
        g.api("POST", "/keys/two/create", {"kty": "RSA"}, host="other.localhost")
        wait(lambda: g.status().get("verified") and g.status("other").get("verified"), g)
        rows, text = g.metrics()
        self.assertEqual(rows['keyward_backup_interval_seconds{vault="other"}'], "5")
        self.assertLessEqual(int(rows['keyward_backup_age_seconds{vault="default"}']), 15)
        first = set(g.folders()) - foreign
        self.assertEqual(len(first), 2)
        for folder in first:
            manifest = json.loads((g.place / folder / "manifest.json").read_text())
            self.assertEqual(folder.split("-")[1], manifest["vault"])
            self.assertEqual(int(rows[f'keyward_backup_last_bytes{{vault="{manifest["vault"]}"}}']), manifest["archive"]["size"])
            self.assertIn("whole, and of this security domain",
                          g.cli("backup", "verify", str(g.place / folder), "-c", str(g.config), "--vault", manifest["vault"]))
        # the next ones take their place
        wait(lambda: not first & set(g.folders()) and len(g.folders()) == 4, g)
        self.assertTrue(foreign <= set(g.folders()))
        for name in set(g.folders()) - foreign:
            self.assertIn("default" if NAME.match(name) else "other", name)
        self.assertEqual(g.metrics()[0]['keyward_backup_kept{vault="default"}'], "1")
        shown = g.cli("status", "-c", str(g.config))
        self.assertRegex(shown, r"backup of default: \d+ s old, verified, file:///.*; one every 5 s, 1 kept")
        ended = g.lines("a transfer ended well")
        self.assertTrue({"backup", "verification of a backup"} <= {line["what"] for line in ended})
        backup = next(line for line in ended if line["what"] == "backup" and line["vault"] == "other" and line["objects"] != "0")
        self.assertEqual((backup["objects"], backup["versions"], backup["by"]), ("1", "1", "schedule"))
        self.assertIn(b"requests_total", text.encode())
        self.promtool(text)
        self.assertEqual(g.end(), 0)

    def promtool(self, text):
        """Each metric has HELP and TYPE before its rows, and no row comes twice."""
        seen, typed = set(), set()
        for row in text.splitlines():
            if row.startswith("# TYPE "):
                typed.add(row.split()[2])
            elif not row.startswith("#"):
                series, value = row.rsplit(" ", 1)
                float(value.replace("+Inf", "inf"))
                self.assertNotIn(series, seen)
                seen.add(series)
                name = series.split("{")[0]
                self.assertTrue(name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed, row)
        tool = shutil.which("promtool")
        if tool:
            done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
            self.assertNotIn("error", done.stderr.lower())

    def test_place_that_fails(self):
        g = self.make("to: place, every: 5s, keep: 3, keep_days: 0")
        os.rename(g.place, g.folder / "away")
        g.start()
        g.api("POST", "/keys/one/create", {"kty": "EC"})
        wait(lambda: g.status().get("failures", 0) > 0, g)
        self.assertEqual(g.metrics()[0]['keyward_backup_age_seconds{vault="default"}'], "+Inf")
        self.assertIn("is not there", g.lines("scheduled backup: it failed")[0]["error"])
        shown = g.cli("status", "-c", str(g.config))
        self.assertIn("backup of default: none yet", shown)
        self.assertRegex(shown, "FAILED [1-9] times since: ")
        g.api("GET", "/keys/one")  # no client's trouble
        # a file where the folder should be, then a folder that cannot be written (root may, so: a full one)
        (g.folder / "place").write_text("")
        wait(lambda: g.status()["failures"] > 1, g)
        (g.folder / "place").unlink()
        os.rename(g.folder / "away", g.place)
        wait(lambda: g.status().get("verified"), g)
        self.assertEqual(g.status()["failures"], 0)
        self.assertGreaterEqual(int(g.metrics()[0]['keyward_backup_runs_total{result="failed"}']), 2)
        self.assertEqual(g.end(), 0)

    def test_over_restarts(self):
        """Nothing is forgotten: no backup before it is due, one soon after a start that missed it."""
        g = self.make("to: place, every: 5s, keep: 2, keep_days: 0").start()
        wait(lambda: g.status().get("verified"), g)
        first, at = g.folders(), g.status()["last_at"]
        self.assertEqual(g.end(), 0)
        g.start()
        wait(lambda: g.status().get("last_at"), g)
        self.assertEqual((g.status()["last_at"], g.status()["verified"], g.status()["kept"]), (at, True, 1))
        self.assertEqual(g.folders(), first)
        g.end(signal.SIGKILL)
        time.sleep(max(0, at + 6 - time.time()))
        began = time.monotonic()
        g.start()
        wait(lambda: g.status().get("last_at", at) > at, g)
        self.assertLess(time.monotonic() - began, 9)
        self.assertEqual(len(g.folders()), 2)
        # changed at the place: seen by a verification, and nothing is removed for it
        (g.place / first[0] / "manifest.json").unlink()
        self.assertIn("has no manifest", g.cli("backup", "verify", str(g.place / first[0]), "-c", str(g.config), good=False))

    def test_kills(self):
        """Killed at any moment, also while it removes: what has a manifest verifies, what has none is gone in the end."""
        g = self.make("to: place, every: 5s, keep: 1, keep_days: 0")
        g.start()
        for i in range(300):
            g.api("PUT", f"/secrets/s{i:03}", {"value": "x" * 3000})
        for turn in range(6):
            before = len(g.lines("a transfer began"))
            wait(lambda: len(g.lines("a transfer began")) > before, g)
            time.sleep(0.12 * turn)
            g.end(signal.SIGKILL)
            g.start()
            for name in g.folders():
                if (g.place / name / "manifest.json").exists() and (g.place / name / "archive.kwar").exists():
                    done = subprocess.run([BINARY, "backup", "verify", str(g.place / name), "-c", str(g.config)], capture_output=True,
                                          text=True, timeout=60, check=False)
                    gone = not (g.place / name / "manifest.json").exists()  # retired in the meantime
                    self.assertTrue(done.returncode == 0 or gone or "Another" in done.stderr, done.stderr)
        wait(lambda: len(g.folders()) == 1 and g.status().get("kept") == 1, g, 60)
        self.assertEqual(g.end(), 0)

    def test_reload(self):
        g = self.make("folders: [place]").start()
        self.assertNotIn("interval_seconds{", g.metrics()[1])
        g.write("to: place, every: 5s, keep_days: 0")
        g.reload()
        wait(lambda: g.status().get("verified"), g)
        g.write("to: other, every: 5s, keep: 0")
        g.reload()
        self.assertIn("backup.keep: found 0", g.cli("status", "-c", str(g.config)))
        old = g.folders()
        (g.folder / "other").mkdir()
        g.write("to: other, every: 5s, keep: 1, keep_days: 0")
        g.reload()
        wait(lambda: len(list((g.folder / "other").iterdir())) > 0, g)
        self.assertTrue(g.lines("scheduled backup: the place or the security domain is another one; backups at the old one stay there "
                                "and are no longer looked after"))
        wait(lambda: len(g.lines("scheduled backup: one that is not needed was removed")) > 0, g)
        self.assertTrue(set(old) <= set(g.folders()))
        g.write("folders: [place]")
        g.reload()
        g.status()
        self.assertEqual(g.end(), 0)

    def test_gives_way(self):
        """What is asked for goes before what is scheduled: a backup by hand meets no other one."""
        g = self.make("to: place, folders: [.], every: 5s, keep: 2, keep_days: 0").start()
        for i in range(400):
            g.api("PUT", f"/secrets/s{i:03}", {"value": "x" * 20000})
        count = len(g.lines("a transfer began"))
        wait(lambda: len(g.lines("a transfer began")) > count, g)
        began = time.monotonic()
        status, text = g.ask("POST", "/backup?api-version=7.4", {"storageResourceUri": f"file://{g.folder}"})
        self.assertEqual(status, 202, text)
        self.assertLess(time.monotonic() - began, 8)
        job = json.loads(text)["jobId"]
        wait(lambda: json.loads(g.ask("GET", f"/backup/{job}/pending")[1])["status"] == "Succeeded", g)
        self.assertTrue(g.lines("a transfer gave way to a request"))
        wait(lambda: g.status().get("verified"), g, 90)
        self.assertEqual(g.metrics()[0]['keyward_backup_runs_total{result="failed"}'], "0")
        self.assertEqual(g.status()["failures"], 0)
        self.assertEqual(g.end(), 0)


if __name__ == "__main__":
    unittest.main()
