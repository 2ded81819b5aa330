"""A group whose members misbehave on command, and a client that verifies every answer.

Each member loads the fault module under a name of its own, so that each has its own plan
(tests/faults/module/plan.h)."""
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import struct
import subprocess
import threading
import time
import unittest
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import hsm
from keyward import VERSION, b64, unb64

FAULT_SLOTS = 4096


class Plan:
    """The plan of one member. Rules are strings as in plan.h, without their slot."""

    def __init__(self, folder, name):
        self.path = folder / f"{name}.plan"
        self.state = folder / f"{name}.state"
        self.next_slot = 0
        self.settings = {"module": hsm.MODULE}
        self.set()

    def set(self, *rules, **settings):
        """Replaces the plan; gives the slots of its rules, or the one of a single rule."""
        self.settings.update(settings)
        lines = [f"{name}={value}" for name, value in self.settings.items() if value is not None]
        slots = []
        for rule in rules:
            function, _, rest = rule.partition(" ")
            lines.append(f"{function} slot={self.next_slot} {rest}")
            slots.append(self.next_slot)
            self.next_slot = (self.next_slot + 1) % FAULT_SLOTS
        draft = self.path.with_suffix(".draft")
        draft.write_text("\n".join(lines) + "\n")
        draft.rename(self.path)
        return slots[0] if len(slots) == 1 else slots

    def _word(self, index):
        data = self.state.read_bytes() if self.state.exists() else b""
        return struct.unpack_from("<I", data, 4 * index)[0] if data else 0

    def fired(self, slot):
        return self._word(8 + slot)

    @property
    def pin_failures(self):
        return self._word(0)

    @property
    def logins(self):
        return self._word(1)

    @property
    def refused(self):
        return self._word(2)

    @property
    def initializes(self):
        return self._word(3)


class FaultGroup(hsm.Group):
    """Members hsm-a, hsm-b, ... each with its plan in `plans`. `options`: more of a member's config, by
    name; `pins`: other PINs than the right one."""

    def __init__(self, labels, options=None, pins=None, **more):
        self.options = options or {}
        self.pins = pins or {}
        self.plans = {}
        super().__init__(labels, **more)
        self.tokens.environment["KEYWARD_FAULTS"] = str(self.folder / "faults")

    def _write_config(self):
        folder = self.folder / "faults"
        if not self.plans:
            folder.mkdir()
            for label in self.tokens.labels:
                (folder / f"{label}.so").symlink_to(os.environ["KEYWARD_FAULT_MODULE"])
                self.plans[label] = Plan(folder, label)
                self.write_pin(label, self.pins.get(label, hsm.PIN))
        members = "".join(
            f"    - {{ name: {label}, type: pkcs11, module: {folder}/{label}.so, token: {label}, "
            f"pin_file: {self.pin_file(label)}{', standby: true' if label in self.standby else ''}"
            f"{self.options.get(label, '')} }}\n" for label in self.tokens.labels)
        self.config.write_text(
            f"data: {self.data}\n"
            f"listeners:\n  - bind: 127.0.0.1:{self.port}\n"
            f"    tls: {{ certificate: {self.data}/tls.pem, private_key: {self.data}/tls.key }}\n"
            f"admin: {{ bind: 127.0.0.1:{self.admin} }}\n"
            f"group:\n{self.group}  members:\n{members}"
            f"auth:\n  tokens: {self.data}/tokens.json\n{self.limits}")

    def pin_file(self, label):
        return self.folder / f"{label}.pin"

    def write_pin(self, label, pin):
        draft = self.folder / "pin.draft"
        draft.write_text(pin)
        draft.chmod(0o400)
        draft.rename(self.pin_file(label))

    def start(self, wait=True):
        self.errors = open(self.folder / "stderr", "ab")
        self.process = subprocess.Popen([self.binary, "serve", "-c", str(self.config)],
                                        stdout=subprocess.PIPE, stderr=self.errors,
                                        env=self.tokens.environment)
        self.tls = ssl.create_default_context(cafile=str(self.data / "ca.pem"))
        until(lambda: self._answers(), 30, lambda: self.log()[-3000:])
        if wait:
            self.wait_serving(self.tokens.labels)
        return self

    def _answers(self):
        try:
            return bool(self.members())
        except OSError:
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}: {self.log()[-3000:]}") from None
            return False

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status.json", timeout=10) as r:
            return json.load(r)

    def health(self, name):
        return self.members()[name]["health"]

    def wait_health(self, name, *wanted, seconds=30):
        until(lambda: self.health(name) in wanted, seconds,
              lambda: f"{name} is {self.members()[name]}, not {wanted}\n{self.log()[-3000:]}")

    def recover(self, name):
        self.cli("member", "recover", name, "-c", str(self.config))

    def metric(self, name):
        """The sum of a metric's samples; `name` may carry labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as r:
            text = r.read().decode()
        rows = re.findall(rf"^keyward_{re.escape(name)}(?:{{.*}})? ([0-9.e+-]+)$", text, re.M)
        return sum(float(row) for row in rows)

    def changes(self, name):
        """Every change of a member's health so far, as (to, reason)."""
        rows = []
        for line in self.log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("message") == "member changed state" and event.get("member") == name:
                rows.append((event["to"], event["reason"]))
        return rows

    def end(self):
        """Stops and checks how it ended; what the gateway said when it did not end well."""
        code = self.stop()
        log = self.log()
        left = hosts_of(self.process.pid)
        self.remove()
        assert code == 0, f"exit code {code}\n{log[-3000:]}"
        assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]
        assert not left, f"host processes outlived the gateway: {left}"


def until(true, seconds, why):
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {why()}")
        time.sleep(0.05)


def hosts_of(pid):
    """Process ids of the member hosts of a gateway, zombies too."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def resources(pid):
    """(descriptors, threads) of a process."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def number(text):
    return int.from_bytes(unb64(text), "big")


class Key:
    """A key of the gateway with what is needed to check its answers."""

    def __init__(self, server, name, kty, **more):
        self.made = server.create(name, kty, **more)["key"]
        self.name = name
        self.path = f"/keys/{name}/{self.made['kid'].rsplit('/', 1)[1]}"
        self.rsa = kty.startswith("RSA")
        if self.rsa:
            self.public = rsa.RSAPublicNumbers(number(self.made["e"]), number(self.made["n"])).public_key()
        elif kty.startswith("EC"):
            self.public = ec.EllipticCurvePublicNumbers(
                number(self.made["x"]), number(self.made["y"]), ec.SECP256R1()).public_key()

    @property
    def alg(self):
        return "RS256" if self.rsa else "ES256"

    def right(self, digest, signature):
        try:
            if self.rsa:
                self.public.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
            else:
                if len(signature) != 64:
                    return False
                der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"),
                                                 int.from_bytes(signature[32:], "big"))
                self.public.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
            return True
        except InvalidSignature:
            return False


class Clients:
    """Threads that sign a fresh digest each time and verify what they get. `end` gives the counts."""

    def __init__(self, server, *keys, threads=4, pause=0.0):
        self.server, self.keys, self.pause = server, keys, pause
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.good = self.wrong = 0
        self.bad = []      # (moment, status or exception, text)
        self.times = []    # (moment of the answer, seconds it took)
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, index):
        connection, count = None, 0
        while not self.stopped.is_set():
            key = self.keys[(index + count) % len(self.keys)]
            count += 1
            digest = hashlib.sha256(os.urandom(16)).digest()
            body = json.dumps({"alg": key.alg, "value": b64(digest)}).encode()
            began = time.monotonic()
            try:
                connection = connection or self.server.connect()
                connection.request("POST", f"{key.path}/sign?{VERSION}", body, {
                    "Content-Type": "application/json", "Authorization": f"Bearer {self.server.token}"})
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection = None
                with self.lock:
                    self.bad.append((began, repr(error), ""))
                continue
            moment = time.monotonic()
            right = response.status == 200 and key.right(digest, unb64(json.loads(text)["value"]))
            with self.lock:
                self.times.append((moment, moment - began))
                if response.status != 200:
                    self.bad.append((moment, response.status, text.decode(errors="replace")))
                elif right:
                    self.good += 1
                else:
                    self.wrong += 1
            if self.pause:
                time.sleep(self.pause)
        if connection:
            connection.close()

    def slowest(self, share=1.0, since=0.0):
        """The time below which `share` of the answers came."""
        with self.lock:
            times = sorted(took for moment, took in self.times if moment >= since)
        return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0

    def end(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(90)
        return self


class FaultCase(unittest.TestCase):
    """Two members, hsm-a misbehaves; hsm-b is well and must carry the clients."""

    labels = ["hsm-a", "hsm-b"]
    group = "  recovery: { retries: -1, interval: 100ms }\n"
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.server = FaultGroup(cls.labels, group=cls.group, **cls.options).start()
        cls.keys = [Key(cls.server, "rsa", "RSA-HSM"), Key(cls.server, "ec", "EC-HSM", crv="P-256")]

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    def setUp(self):
        for plan in self.server.plans.values():
            plan.set()
        for label in self.labels:  # its count of failures, and with it the waits, begin anew
            self.server.recover(label)
        for label in self.labels:
            self.server.wait_health(label, "warming", "up")

    def tearDown(self):
        for plan in self.server.plans.values():
            plan.set(removed=None, renumber=None, lock_after=None)

    @property
    def bad(self):
        return self.server.plans["hsm-a"]

    def clients(self, *keys, **more):
        """Clients that end with the test, whatever comes of it."""
        clients = Clients(self.server, *(keys or self.keys), **more)
        self.addCleanup(clients.end)
        return clients

    def unharmed(self, clients, at_least=50):
        """No error, no wrong answer, and enough of them to mean something."""
        clients.end()
        print(f"\n    {clients.good} answers, slowest {clients.slowest() * 1000:.0f} ms, "
              f"p99 {clients.slowest(0.99) * 1000:.0f} ms", flush=True)
        self.assertEqual([], clients.bad[:5], f"{len(clients.bad)} bad answers")
        self.assertEqual(0, clients.wrong)
        self.assertGreaterEqual(clients.good, at_least)
