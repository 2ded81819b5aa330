"""Many vaults on one gateway: the host name selects, each has its own objects and manners."""

import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from hsm import Group
from keyward import Case, Server


def at(host, server):
    return {"Host": f"{host}:{server.port}"}


class Dev(Case):
    """`serve --dev` makes a vault when its name is first asked for."""

    def test_own_objects(self):
        blue, red = at("blue.localhost", self.server), at("red.localhost", self.server)
        made = self.server.post("/keys/same/create", {"kty": "EC"}, headers=blue)
        self.expect(made, 200)
        self.assertTrue(made.json["key"]["kid"].startswith(f"https://blue.localhost:{self.server.port}/keys/same/"))
        self.expect(self.server.get("/keys/same", headers=red), 404, "KeyNotFound")
        self.expect(self.server.get("/keys/same"), 404, "KeyNotFound")
        self.expect(self.server.get("/keys/same", headers=at("BLUE.localhost", self.server)), 200)
        other = self.server.post("/keys/same/create", {"kty": "EC"}, headers=red)
        self.assertNotEqual(other.json["key"]["x"], made.json["key"]["x"])
        self.expect(self.server.request("DELETE", "/keys/same", headers=red), 200)
        self.expect(self.server.get("/keys/same", headers=blue), 200)
        self.assertEqual(self.server.get("/deletedkeys", headers=blue).json["value"], [])

    def test_addresses_are_the_default(self):
        self.server.create("plain", "EC")
        for host in ("localhost", "127.0.0.1", "[::1]", "some.where.example"):
            self.expect(self.server.get("/keys/plain", headers=at(host, self.server)), 200)

    def test_names_that_cannot_be(self):
        for host in ("x.localhost", "1abc.localhost", "a_b.localhost", "a.b.localhost", "a" * 25 + ".localhost"):
            self.expect(self.server.get("/keys", headers=at(host, self.server)), 404, "VaultNotFound")

    def test_restart(self):
        server = Server().start()
        headers = at("kept.localhost", server)
        kid = server.post("/keys/k/create", {"kty": "EC"}, headers=headers).json["key"]["kid"]
        self.assertEqual(server.stop(), 0)
        server.start()
        self.assertEqual(server.get("/keys/k", headers=at("kept.localhost", server)).json["key"]["kid"], kid)
        self.assertEqual(server.stop(), 0)
        server.remove()


CONFIG = """
data: data
listeners:
  - bind: 127.0.0.1:{port}
    tls: {{ certificate: data/tls.pem, private_key: data/tls.key }}
admin: {{ bind: 127.0.0.1:{admin} }}
auth: {{ tokens: tokens.json }}
vaults:
  - {{ name: payments, type: vault, hosts: [payments.keys.example], retention_days: 7, purge_protection: true }}
  - {{ name: bank, type: hsm }}
  - {{ name: free }}
"""


class Gateway(Group):
    def _write_config(self):
        self.config.write_text(CONFIG.format(port=self.port, admin=self.admin))


class Configured(Case):
    """A file names the vaults and their manners."""

    @classmethod
    def setUpClass(cls):
        cls.server = Gateway([]).start()

    def on(self, host):
        return at(host, self.server)

    def test_unknown_name_is_refused(self):
        self.expect(self.server.get("/keys", headers=self.on("payment.localhost")), 404, "VaultNotFound")

    def test_host_names(self):
        self.expect(self.server.post("/keys/h/create", {"kty": "EC"}, headers=self.on("payments.keys.example")), 200)
        self.expect(self.server.get("/keys/h", headers=self.on("payments.localhost")), 200)
        self.expect(self.server.get("/keys/h", headers=self.on("keys.example")), 404, "KeyNotFound")
        # the dot of the root makes no other name of it
        for host in ("payments.keys.example.", "payments.localhost."):
            self.expect(self.server.get("/keys/h", headers=self.on(host)), 200)
        self.expect(self.server.get("/keys", headers=self.on("payment.localhost.")), 404, "VaultNotFound")

    def test_managed_hsm(self):
        bank = self.on("bank.localhost")
        made = self.server.post("/keys/k/create", {"kty": "RSA"}, headers=bank)
        self.assertEqual(made.json["key"]["kty"], "RSA-HSM")
        missing = self.expect(self.server.get("/keys/none", headers=bank), 404, "KeyNotFound")
        self.assertIn(f"(Activity ID: {missing.headers['x-ms-request-id']})", missing.json["error"]["message"])
        probe = self.server.request("PUT", "/keys/k", headers=bank, token=False)
        self.assertEqual((probe.status, probe.body), (401, b""))
        self.assertIn('resource="https://managedhsm.azure.net"', probe.headers["WWW-Authenticate"])
        self.expect(self.server.post("/rng", {"count": 8}, headers=bank), 200)
        self.server.post("/keys/o/create", {"kty": "oct", "key_size": 256}, headers=bank)
        sealed = self.server.post("/keys/o/encrypt", {"alg": "A256GCM", "value": "AAAA"}, headers=bank)
        self.assertEqual(sealed.json["alg"], "A256GCM")

    def test_key_vault(self):
        payments = self.on("payments.localhost")
        made = self.server.post("/keys/k/create", {"kty": "RSA"}, headers=payments)
        self.assertEqual(made.json["key"]["kty"], "RSA")
        self.expect(self.server.post("/rng", {"count": 8}, headers=payments), 404, "NotFound")
        self.assertNotIn("Activity ID", self.server.get("/keys/none", headers=payments).json["error"]["message"])
        self.expect(self.server.post("/rng", {"count": 8}, headers=self.on("free.localhost")), 200)


class Reloaded(unittest.TestCase):
    """SIGHUP takes over what the file says of vaults by then."""

    def setUp(self):
        self.server = Gateway([]).start()
        self.addCleanup(self.server.remove)
        self.addCleanup(lambda: self.assertEqual(self.server.stop(), 0))

    def on(self, host):
        return at(host, self.server)

    def reload(self, change):
        """What needs a restart after the file was rewritten."""
        before = self.server.log().count("reload done")
        self.server.config.write_text(change(self.server.config.read_text()))
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while self.server.log().count("reload done") == before:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        state = self.server.status()["reload"]
        self.assertEqual(state["error"], "")
        return state["restart_needed"]

    def make(self, name, host, status=200):
        made = self.server.post(f"/keys/{name}/create", {"kty": "EC"}, headers=self.on(host))
        self.assertEqual(made.status, status, made.body)
        return made.json

    def test_added(self):
        self.make("k", "fresh.localhost", 404)
        self.assertIn(self.reload(lambda text: text + "  - { name: fresh, type: hsm, hosts: [fresh.example] }\n"), ("",))
        self.assertEqual(self.make("k", "fresh.localhost")["key"]["kty"], "EC-HSM")
        self.assertEqual(self.server.get("/keys/k", headers=self.on("fresh.example")).status, 200)
        self.assertEqual(self.server.get("/keys/k", headers=self.on("bank.localhost")).status, 404)

    def test_changed(self):
        def deleted(name, host):
            self.make(name, host)
            answer = self.server.request("DELETE", f"/keys/{name}", headers=self.on(host)).json
            return answer["attributes"]["recoverableDays"], answer["attributes"]["recoveryLevel"]

        self.assertEqual(deleted("before", "free.localhost"), (90, "Recoverable+Purgeable"))
        self.reload(lambda text: text.replace("{ name: free }", "{ name: free, type: hsm, retention_days: 9, purge_protection: true, "
                                              "hosts: [free.example] }"))
        self.assertEqual(deleted("after", "free.example"), (9, "CustomizedRecoverable"))
        self.assertEqual(self.make("hsm", "free.localhost")["key"]["kty"], "EC-HSM")
        self.assertEqual(self.server.request("DELETE", "/deletedkeys/after", headers=self.on("free.localhost")).status, 403)
        # and back: the default vault as well, which the file did not name before
        self.reload(lambda text: text.replace(", type: hsm, retention_days: 9, purge_protection: true", "")
                    + "  - { name: default, retention_days: 8 }\n")
        self.assertEqual(deleted("again", "free.example"), (90, "Recoverable+Purgeable"))
        self.assertEqual(deleted("bare", "localhost"), (8, "CustomizedRecoverable+Purgeable"))

    def test_names_change_hands_while_requests_come(self):
        self.make("mark", "bank.localhost")
        self.make("mark", "payments.localhost")
        wrong, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                answer = self.server.get("/keys/mark", headers=self.on("payments.keys.example"))
                if answer.status != 200:  # the default vault has none
                    wrong.append(answer.body)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for _ in range(3):
                self.reload(lambda text: text.replace(", hosts: [payments.keys.example]", "").replace(
                    "{ name: bank,", "{ name: bank, hosts: [payments.keys.example],"))
                self.reload(lambda text: text.replace(" hosts: [payments.keys.example],", "").replace(
                    "{ name: payments, type: vault,", "{ name: payments, type: vault, hosts: [payments.keys.example],"))
        finally:
            stop.set()
            thread.join()
        self.assertEqual(wrong, [])

    def test_taken_out(self):
        self.make("k", "payments.localhost")
        line = next(line for line in CONFIG.splitlines() if "payments" in line).format()
        self.assertEqual(self.reload(lambda text: text.replace(line, "")), "vaults (payments)")
        for host in ("payments.localhost", "payments.keys.example"):  # not to the default vault
            self.assertEqual(self.server.get("/keys/k", headers=self.on(host)).status, 200)
        self.assertIn("taken out of the configuration", self.server.log())
        # another vault may have its host name
        self.assertEqual(self.reload(lambda text: text.replace("{ name: free", "{ name: free, hosts: [payments.keys.example]")),
                         "vaults (payments)")
        self.assertEqual(self.server.get("/keys/k", headers=self.on("payments.keys.example")).status, 404)
        self.assertEqual(self.server.get("/keys/k", headers=self.on("payments.localhost")).status, 200)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.server.get("/keys/k", headers=self.on("payments.localhost")).status, 404)
        self.assertIn(self.reload(lambda text: text + line + "\n" if "keys.example]" not in text
                                  else text.replace(", hosts: [payments.keys.example]", "") + line + "\n"), ("",))
        self.assertEqual(self.server.get("/keys/k", headers=self.on("payments.keys.example")).status, 200)

    def test_a_file_with_a_fault(self):
        self.server.config.write_text(self.server.config.read_text() + "  - { name: x }\n  - { name: good }\n")
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while not self.server.status()["reload"]["error"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        self.assertIn("vaults[3].name", self.server.status()["reload"]["error"])
        self.make("k", "good.localhost", 404)


class OwnMembers(unittest.TestCase):
    """A vault with members of its own is served by them alone, on real tokens."""

    def test_members(self):
        server = Group(["left", "right"])
        with open(server.config, "a", encoding="utf-8") as file:
            file.write("vaults:\n  - { name: first, members: [left] }\n  - { name: second, members: [right] }\n")
        server.start()
        first, second = at("first.localhost", server), at("second.localhost", server)
        try:
            for headers in (first, second):
                made = server.post("/keys/k/create", {"kty": "EC-HSM"}, headers=headers)
                self.assertEqual(made.status, 200, made.body)
            before = {name: member["operations"] for name, member in server.members().items()}
            for _ in range(30):
                self.assertEqual(self.sign(server, first).status, 200)
            after = {name: member["operations"] for name, member in server.members().items()}
            self.assertGreaterEqual(after["left"] - before["left"], 30)
            self.assertLess(after["right"] - before["right"], 10)  # probes
            # without its member a vault has nobody, and the other goes on
            server.cli("member", "drain", "left", "-c", str(server.config))
            refused = self.sign(server, first)
            self.assertEqual(refused.status, 503, refused.body)
            self.assertTrue(refused.headers["Retry-After"])
            self.assertEqual(self.sign(server, second).status, 200)
            server.cli("member", "activate", "left", "-c", str(server.config))
            self.assertEqual(self.sign(server, first).status, 200)
            # members of vaults are read at the start alone: until then nothing changes hands
            text = server.config.read_text()
            server.config.write_text(text.replace("members: [left]", "members: [left, right]")
                                     + "  - { name: third, members: [right] }\n")
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 20
            while not server.status()["reload"]["restart_needed"]:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            self.assertEqual(server.status()["reload"]["restart_needed"], "vaults.members (first), vaults.members (third)")
            self.assertEqual(server.get("/keys", headers=at("third.localhost", server)).status, 404)
            self.assertEqual(self.sign(server, first).status, 200)
        finally:
            self.assertEqual(server.stop(), 0)
            server.remove()

    def sign(self, server, headers):
        return server.post("/keys/k/sign", {"alg": "ES256", "value": "A" * 43}, headers=headers)


class Refused(unittest.TestCase):
    """What a file must not say of vaults."""

    def check(self, vaults, *expected):
        with tempfile.TemporaryDirectory(prefix="keyward-test-") as folder:
            file = pathlib.Path(folder) / "keyward.yaml"
            text = CONFIG.format(port=1, admin=2)
            file.write_text(text[:text.index("vaults:")] + "vaults:\n" + vaults)
            done = subprocess.run([Server().binary, "check", "-c", str(file)], check=False, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            for text in expected:
                self.assertIn(text, done.stderr)

    def test_refused(self):
        self.check("  - { name: x }\n", "vaults[0].name", "3 to 24 letters")
        self.check("  - { name: one }\n  - { name: ONE }\n", "vaults[1].name", "two vaults")
        self.check("  - { name: one, type: box }\n", "vaults[0].type", "both")
        self.check("  - { name: one, retention_days: 91 }\n", "vaults[0].retention_days", "7 to 90")
        self.check("  - { name: one, hosts: [a.example, 'b:1'] }\n", "vaults[0].hosts[1]", "without a port")
        self.check("  - { name: one, members: [nobody] }\n", "vaults[0].members[0]", "a name of group.members")
        self.check("  - { name: one, hosts: [a.example] }\n  - { name: two, hosts: [A.example] }\n", "vaults[1].hosts[0]", "twice")


if __name__ == "__main__":
    unittest.main()
