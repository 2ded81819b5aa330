"""The sandbox of member hosts, with a real library that tries to get out of its process."""
import ctypes
import hashlib
import os
import unittest

from hsm import MODULE, Group
from keyward import b64

ESCAPE = os.path.join(os.environ["KEYWARD_TEST_MODULES"], "libp11_escape.so")
OUTSIDE = ("read", "list", "write", "make", "mkdir", "symlink", "remove", "proc", "null", "etc")
EVERYWHERE = ("execve", "ptrace", "kill", "unshare", "keyctl", "perf")


def landlock():
    """Version of the kernel's Landlock; 0 and below: none."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


class Confined(Group):
    """`extra` may name {tokens}, the folder of tokens and report, and {outside}, one beside it."""

    def __init__(self, extra, module=ESCAPE):
        self.wanted = extra
        super().__init__(["box"], module=module)
        self.report = self.folder / "hsm" / "escape"
        self.tokens.environment.update(KEYWARD_HOST_ESCAPE_MODULE=MODULE,
                                       KEYWARD_HOST_ESCAPE_OUTSIDE=str(self.outside),
                                       KEYWARD_HOST_ESCAPE_LOG=str(self.report))

    def _write_config(self):
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        for name in ("secret", "victim"):
            (self.outside / name).write_text("untouched")
        self.member = self.wanted.replace("{tokens}", str(self.folder / "hsm")).replace(
            "{outside}", str(self.outside))
        super()._write_config()

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
        for name in ("fork", "inet", "unix", "code", *(n for n in OUTSIDE if n != "etc")):
            self.assertEqual(results[name], "ok", results)
        self.assertTrue((server.outside / "made").exists())
        status = server.host_status()
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))

    def test_strict_refuses_processes_sockets_and_new_code(self):
        server = self.serve(", sandbox: strict, paths: [\"{tokens}\"]")
        results = self.sign(server)
        for name in (*EVERYWHERE, "fork", "inet", "unix", "code"):
            self.assertEqual(results[name], "EPERM", results)
        without = "this kernel has no Landlock" in server.log()
        self.assertEqual(landlock() <= 0, without)
        for name in ("system", "self", "random"):
            self.assertEqual(results[name], "ok", results)
        if without:
            self.skipTest("no Landlock: the view of the file system is whole")
        for name in OUTSIDE:
            self.assertEqual(results[name], "EACCES", results)
        self.assertEqual({"secret", "victim"}, {path.name for path in server.outside.iterdir()})

    @unittest.skipIf(landlock() <= 0, "no Landlock in this kernel")
    def test_strict_lets_through_what_paths_names(self):
        server = self.serve(", sandbox: strict, paths: [\"{tokens}\", \"{outside}\"]")
        results = self.sign(server)
        for name in ("read", "list", "write", "make", "mkdir", "symlink", "remove"):
            self.assertEqual(results[name], "ok", results)
        for name in ("proc", "null", "etc"):
            self.assertEqual(results[name], "EACCES", results)

    @unittest.skipIf(landlock() <= 0, "no Landlock in this kernel")
    def test_a_path_that_is_gone_is_named(self):
        server = Confined(", sandbox: strict, paths: [\"{tokens}\", \"{outside}\"]")
        self.addCleanup(server.remove)
        server.check()
        server.outside.rename(server.folder / "elsewhere")
        with self.assertRaises((AssertionError, RuntimeError)) as caught:
            self.addCleanup(server.stop)
            server.start()
        self.assertIn(str(server.outside), str(caught.exception))

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
                (", paths: [\"/tmp\"]", "no meaning without sandbox: strict"),
                (", sandbox: strict, paths: [tmp]", "a path from the root"),
                (", sandbox: strict, paths: [/does/not/exist]", "cannot be opened"),
                (", probe: \"udp://a:1\"", "allowed: tcp://HOST:PORT"),
                (", probe: \"tcp://a:0\"", "allowed: tcp://HOST:PORT"),
                (", probe: \"tcp://a b:1\"", "allowed: tcp://HOST:PORT")):
            with self.subTest(extra):
                with self.assertRaises(AssertionError) as caught:
                    Confined(extra).check()
                self.assertIn(text, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
