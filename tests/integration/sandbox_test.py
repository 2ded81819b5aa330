"""The sandbox of member hosts, with a real library that tries to get out of its process."""
import hashlib
import os
import unittest

from hsm import MODULE, Group
from keyward import b64

ESCAPE = os.path.join(os.environ["KEYWARD_TEST_MODULES"], "libp11_escape.so")
EVERYWHERE = ("execve", "ptrace", "kill", "unshare", "keyctl", "perf")


class Confined(Group):
    def __init__(self, extra, module=ESCAPE):
        super().__init__(["box"], module=module, member=extra)
        self.report = self.folder / "escape"
        self.tokens.environment.update(KEYWARD_HOST_ESCAPE_MODULE=MODULE,
                                       KEYWARD_HOST_ESCAPE_LOG=str(self.report))

    def check(self):
        self.cli("check", "-c", str(self.config))

    def results(self):
        return dict(line.split() for line in self.report.read_text().splitlines())

    def host_status(self):
        with open(f"/proc/{self.host_pid('box')}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Sandbox(unittest.TestCase):
    def serve(self, extra, module=ESCAPE):
        server = Confined(extra, module)
        self.addCleanup(server.remove)
        try:
            server.start()
        finally:
            self.addCleanup(server.stop)
        return server

    def sign(self, server):
        digest = b64(hashlib.sha256(b"x").digest())
        server.create("k", "EC-HSM", crv="P-256")
        before = server.host_pid("box")
        signed = server.ok("/keys/k/sign", {"alg": "ES256", "value": digest})
        verified = server.ok("/keys/k/verify",
                             {"alg": "ES256", "digest": digest, "value": signed["value"]})
        self.assertTrue(verified["value"])
        # nothing the library tried cost the host or the gateway anything
        self.assertEqual(server.host_pid("box"), before)
        self.assertTrue(server.members()["box"]["serving"])
        return server.results()

    def test_default_refuses_what_no_library_needs(self):
        server = self.serve("")
        results = self.sign(server)
        for name in EVERYWHERE:
            self.assertEqual(results[name], "EPERM", results)
        for name in ("fork", "inet", "unix", "code"):
            self.assertEqual(results[name], "ok", results)
        status = server.host_status()
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))

    def test_strict_refuses_processes_sockets_and_new_code(self):
        server = self.serve(", sandbox: strict")
        results = self.sign(server)
        for name in (*EVERYWHERE, "fork", "inet", "unix", "code"):
            self.assertEqual(results[name], "EPERM", results)

    def test_off_lets_the_library_do_it(self):
        server = self.serve(", sandbox: off")
        results = self.sign(server)
        self.assertEqual(results["execve"], "ENOENT", results)
        self.assertEqual(results["ptrace"], "ESRCH", results)
        for name in ("fork", "kill", "unshare", "inet", "unix", "code"):
            self.assertEqual(results[name], "ok", results)
        status = server.host_status()
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("0", "1"))

    def test_softhsm_does_all_its_work_under_strict_with_limits(self):
        server = self.serve(", sandbox: strict, rlimits: { memory: 2048MiB, files: 128 }", MODULE)
        value = b64(hashlib.sha256(b"x").digest())
        for name, kty, more, alg in (("r", "RSA-HSM", {"key_size": 2048}, "PS256"),
                                     ("e", "EC-HSM", {"crv": "P-384"}, "ES384")):
            server.create(name, kty, **more)
            digest = value if alg == "PS256" else b64(hashlib.sha384(b"x").digest())
            signed = server.ok(f"/keys/{name}/sign", {"alg": alg, "value": digest})
            self.assertTrue(server.ok(f"/keys/{name}/verify", {
                "alg": alg, "digest": digest, "value": signed["value"]})["value"])
        server.create("o", "oct-HSM", key_size=256)
        for key, alg in (("r", "RSA-OAEP-256"), ("o", "A256KW")):
            wrapped = server.ok(f"/keys/{key}/wrapkey", {"alg": alg, "value": value})
            self.assertEqual(server.ok(f"/keys/{key}/unwrapkey",
                                       {"alg": alg, "value": wrapped["value"]})["value"], value)
        with open(f"/proc/{server.host_pid('box')}/limits") as f:
            limits = f.read()
        self.assertRegex(limits, r"Max address space\s+2147483648\s+2147483648")
        self.assertRegex(limits, r"Max open files\s+128\s+128")

    def test_configuration_says_what_is_allowed(self):
        for extra, text in (
                (", sandbox: loose", "strict"),
                (", rlimits: { memory: 1MiB }", "at least 64MiB"),
                (", rlimits: { files: 3 }", "allowed: 64 to 1048576"),
                (", probe: \"udp://a:1\"", "allowed: tcp://HOST:PORT"),
                (", probe: \"tcp://a:0\"", "allowed: tcp://HOST:PORT"),
                (", probe: \"tcp://a b:1\"", "allowed: tcp://HOST:PORT")):
            with self.subTest(extra):
                with self.assertRaises(AssertionError) as caught:
                    Confined(extra).check()
                self.assertIn(text, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
