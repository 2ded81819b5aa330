"""keyward doctor over real SoftHSM tokens: what it says when all is well, and of each fault."""
import json
import os
import subprocess
import time
import unittest

from hsm import MODULE, PIN, Group
from keyward import free_port

CHAIN = ["dns", "tcp", "tls", "module", "initialize", "slot", "flags", "login", "domain", "sign"]


class Case(unittest.TestCase):
    def setUp(self):
        self.group = Group(["hsm-a", "hsm-b"])
        self.addCleanup(self.group.remove)
        self.running = False

    def start(self, wait=True):
        self.addCleanup(self.stop)
        self.running = True
        self.group.start(wait)

    def stop(self):
        if self.running:
            self.running = False
            self.group.stop()

    def known_good(self):
        """After this the record knows the PIN of both tokens as good, and no gateway runs."""
        self.start()
        self.stop()

    def edit(self, old, new):
        text = self.group.config.read_text()
        self.assertIn(old, text)
        self.group.config.write_text(text.replace(old, new, 1))

    def run_doctor(self, *more):
        started = time.monotonic()
        done = subprocess.run([self.group.binary, "doctor", "-c", str(self.group.config), *more],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env=self.group.tokens.environment)
        self.assertLess(time.monotonic() - started, 30)
        return done

    def doctor(self, code):
        done = self.run_doctor("--json")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["problems"],
                         sum(f["result"] == "fail" for f in report["findings"]))
        self.report = report
        return report["findings"]

    def find(self, findings, subject, step, result=None):
        found = [f for f in findings if f["subject"] == subject and f["step"] == step
                 and result in (None, f["result"])]
        self.assertTrue(found, (subject, step, result, findings))
        return found[0]

    def chain(self, findings, name):
        rows = [f for f in findings if f["subject"] == "member " + name and f["step"] in CHAIN]
        self.assertEqual([f["step"] for f in rows], CHAIN)
        return {f["step"]: f for f in rows}

    def fails_at(self, findings, name, step, owner, text):
        """The chain is fine before `step`, fails there, and goes no further."""
        rows = self.chain(findings, name)
        at = CHAIN.index(step)
        self.assertEqual(rows[step]["result"], "fail", rows)
        self.assertEqual(rows[step]["owner"], owner, rows)
        self.assertIn(text, rows[step]["seen"])
        self.assertTrue(rows[step]["next"])
        for before in CHAIN[:at]:
            self.assertIn(rows[before]["result"], ("ok", "skip"), rows)
        for after in CHAIN[at + 1:]:
            self.assertEqual(rows[after]["result"], "skip", rows)


class Healthy(Case):
    def test_with_the_gateway_up_and_down(self):
        self.start()
        self.group.create("k", "EC-HSM", crv="P-256")
        self.group.create("s", "RSA", key_size=2048)
        findings = self.doctor(0)
        self.assertTrue(self.report["gateway_runs"])
        self.find(findings, "gateway", "running", "ok")
        for name in ("hsm-a", "hsm-b"):
            rows = self.chain(findings, name)
            for step in CHAIN[3:]:
                self.assertEqual(rows[step]["result"], "ok", rows)
            self.assertIn("verified", rows["sign"]["seen"])
            probe = self.find(findings, "member " + name, "gateway sign", "ok")
            self.assertIn("through the gateway", probe["seen"])
        self.assertIn("1 versions of HSM keys, 1 of software",
                      self.find(findings, "store", "inventory", "ok")["seen"])
        self.find(findings, "group", "copies", "ok")
        # the doctor's login is one of the group's: the gateway serves on
        self.assertTrue(all(self.group.members()[n]["serving"] for n in ("hsm-a", "hsm-b")))
        self.stop()
        findings = self.doctor(0)
        self.assertFalse(self.report["gateway_runs"])
        self.find(findings, "gateway", "running", "warn")
        self.assertEqual(self.chain(findings, "hsm-a")["sign"]["result"], "ok")
        self.find(findings, "member hsm-a", "gateway sign", "skip")

    def test_readable(self):
        self.known_good()
        done = self.run_doctor()
        self.assertEqual(done.returncode, 0, done.stdout)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^keyward doctor: 0 problems, \d+ warnings?, \d+ checks ok")
        rows = [l for l in lines if "  member hsm-" in l and l[:4].strip() in ("ok", "skip")]
        self.assertGreaterEqual(len(rows), 2 * len(CHAIN))
        # steps begin in one column
        self.assertEqual(len({l.index(l.split()[3]) for l in rows}), 1, done.stdout)

    def test_usage(self):
        for words in (["doctor", "x"], ["doctor", "-c", "/nonexistent"], ["doctor", "--nope"],
                      ["doctor", "--data", str(self.group.folder / "none")]):
            done = subprocess.run([self.group.binary, *words], capture_output=True, timeout=30)
            self.assertEqual(done.returncode, 2, words)

    def test_a_pin_never_tried_is_left_to_the_gateway(self):
        findings = self.doctor(0)
        login = self.chain(findings, "hsm-a")["login"]
        self.assertEqual(login["result"], "skip")
        self.assertIn("never tried", login["seen"])
        self.assertEqual([p.name for p in self.group.data.glob("login*")], [])


class Faults(Case):
    def test_wrong_module_path(self):
        self.edit(MODULE, "/nonexistent/libvendor.so")
        findings = self.doctor(1)
        self.assertIn("libvendor.so", self.find(findings, "config", "file", "fail")["seen"])
        self.fails_at(findings, "hsm-a", "module", "config", "libvendor.so")
        self.find(findings, "group", "copies", "warn")

    def test_no_pkcs11_module(self):
        self.edit(MODULE, "/lib/x86_64-linux-gnu/libc.so.6")
        self.fails_at(self.doctor(1), "hsm-a", "module", "config", "not a PKCS#11 module")

    def test_missing_token(self):
        self.edit("token: hsm-a", "token: hsm-z")
        self.fails_at(self.doctor(1), "hsm-a", "slot", "config", '"hsm-b" serial')

    def test_ambiguous_label(self):
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "hsm-a", "--pin", PIN,
                        "--so-pin", "so-" + PIN], check=True, capture_output=True,
                       env=self.group.tokens.environment)
        findings = self.doctor(1)
        self.fails_at(findings, "hsm-a", "slot", "config", "more than one token matches")
        self.assertEqual(self.chain(findings, "hsm-a")["slot"]["seen"].count('"hsm-a" serial'), 2)

    def test_refused_pin_is_told_and_not_tried(self):
        wrong = self.group.folder / "wrong"
        wrong.write_text("0000-wrong")
        wrong.chmod(0o400)
        self.edit(f"token: hsm-a, pin_file: {self.group.tokens.pin_file}",
                  f"token: hsm-a, pin_file: {wrong}")
        self.start(wait=False)
        deadline = time.monotonic() + 30
        while self.group.members()["hsm-a"]["health"] != "auth_failed":
            self.assertLess(time.monotonic(), deadline, self.group.members())
            time.sleep(0.1)
        self.group.wait_serving(["hsm-b"])
        record = (self.group.data / "login-hsm-a.json").read_bytes()
        findings = self.doctor(1)
        # one wrong try was the gateway's: the token counts it, and the doctor adds none
        rows = self.chain(findings, "hsm-a")
        self.assertEqual(rows["login"]["result"], "fail", rows)
        self.assertEqual(rows["login"]["owner"], "credential")
        self.assertIn("refused", rows["login"]["seen"])
        self.assertEqual((self.group.data / "login-hsm-a.json").read_bytes(), record)
        self.find(findings, "member hsm-a", "state", "fail")
        self.find(findings, "member hsm-b", "gateway sign", "ok")
        self.find(findings, "group", "copies", "warn")

    def test_pin_file_that_others_may_read(self):
        os.chmod(self.group.tokens.pin_file, 0o644)
        findings = self.doctor(1)
        self.assertIn("mode 0644", self.find(findings, "files", "pin", "fail")["seen"])
        self.fails_at(findings, "hsm-a", "login", "credential", "mode 0600")

    def test_unreachable_probe(self):
        port = free_port()
        self.edit("token: hsm-a", f'probe: "tcp://127.0.0.1:{port}", token: hsm-a')
        findings = self.doctor(1)
        self.fails_at(findings, "hsm-a", "tcp", "network", f"127.0.0.1:{port} is unreachable")
        self.start(wait=False)
        self.group.wait_serving(["hsm-b"])
        member = self.group.members()["hsm-a"]
        self.assertIn("unreachable", member["state"])
        self.assertIn(f"unreachable: tcp://127.0.0.1:{port}", member["reason"])
        # the device comes back: so does the member, by itself
        import socket
        with socket.create_server(("127.0.0.1", port)):
            self.group.wait_serving(["hsm-a"])
            self.assertEqual(self.chain(self.doctor(0), "hsm-a")["tcp"]["result"], "ok")

    def test_name_without_address(self):
        self.edit("token: hsm-a", 'probe: "tcp://no-such-host.invalid:1792", token: hsm-a')
        self.fails_at(self.doctor(1), "hsm-a", "dns", "network", "no-such-host.invalid")

    def test_expired_certificate(self):
        for name, days, result in (("expired", "-days -1", "fail"), ("soon", "-days 6", "warn")):
            with self.subTest(name):
                self.make_certificate(days)
                findings = self.doctor(1 if result == "fail" else 0)
                found = self.find(findings, "tls", "certificate", result)
                self.assertIn("expired" if result == "fail" else "more days", found["seen"])

    def make_certificate(self, days):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        import datetime
        key = serialization.load_pem_private_key((self.group.data / "tls.key").read_bytes(), None)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.utcnow()
        cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                .public_key(key.public_key()).serial_number(7)
                .not_valid_before(now - datetime.timedelta(days=9))
                .not_valid_after(now + datetime.timedelta(days=int(days.split()[1])))
                .sign(key, hashes.SHA256()))
        (self.group.data / "tls.pem").write_bytes(
            cert.public_bytes(serialization.Encoding.PEM))

    def test_domain_key_that_is_not_the_stores(self):
        key = self.group.data / "domain.key"
        key.write_bytes(bytes(32))
        self.known = self.doctor(1)
        self.assertIn("domain.key is of", self.find(self.known, "store", "domain", "fail")["seen"])


if __name__ == "__main__":
    unittest.main()
