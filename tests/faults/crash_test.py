"""H1: a host that dies, in the middle of a signature, at login, at the start of its module."""
import time
import unittest

from faults import FaultCase, hosts_of, resources, until


class Crash(FaultCase):
    def crashes(self, rule, times):
        """hsm-a dies `times` times under load; nobody notices, and it comes back."""
        healthy = self.server.host_pid("hsm-b")
        clients = self.clients()
        time.sleep(0.5)
        slot = self.bad.set(f"{rule} times={times}")
        deadline = time.monotonic() + 30
        while self.bad.fired(slot) < times and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(times, self.bad.fired(slot))
        # right after the last death the gateway may still say "serving"; while it waits to start the
        # next host there is one, or one and a zombie
        gateway = self.server.process.pid
        time.sleep(0.5)
        until(lambda: len(hosts_of(gateway)) == 2 and self.server.members()["hsm-a"]["serving"], 30,
              lambda: f"hosts {hosts_of(gateway)}, {self.server.members()}")
        self.unharmed(clients)
        self.assertEqual(healthy, self.server.host_pid("hsm-b"), "a healthy member was touched")
        return clients

    def test_sign_segv(self):
        clients = self.crashes("C_Sign nth=3 crash=segv", 2)
        self.assertLess(clients.slowest(0.99), 0.25 + 0.25)

    def test_sign_abort(self):
        self.crashes("C_Sign nth=3 crash=abort", 2)

    def test_sign_exit(self):
        self.crashes("C_Sign nth=3 crash=exit", 2)

    def test_sign_killed(self):
        self.crashes("C_Sign nth=2 crash=kill", 2)

    def test_after_the_work_was_done(self):
        self.crashes("C_Sign nth=3 after=1 crash=kill", 2)

    def restarted(self, rule, times):
        """hsm-a's host is killed, and the next ones die while they start."""
        slot = self.bad.set(f"{rule} times={times}", "C_Sign nth=1 times=1 crash=kill")[0]
        clients = self.clients()
        self.server.wait_health("hsm-a", "down")
        deadline = time.monotonic() + 30
        while self.bad.fired(slot) < times and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(times, self.bad.fired(slot))
        return clients

    def test_initialize(self):
        clients = self.restarted("C_Initialize crash=segv", 3)
        self.server.wait_serving(["hsm-a"], 30)
        self.unharmed(clients)

    def test_login(self):
        """A host that dies in C_Login leaves an attempt without a word. The PIN was good before, so it
        is tried again; five such ends in a row stop it."""
        clients = self.restarted("C_Login crash=abort", 2)
        self.server.wait_serving(["hsm-a"], 30)
        self.unharmed(clients)

    def test_login_without_end(self):
        logins = self.bad.logins
        clients = self.restarted("C_Login crash=abort", 6)
        self.server.wait_health("hsm-a", "auth_failed", seconds=60)
        self.assertLessEqual(self.bad.logins - logins, 6)
        self.bad.set()
        self.server.recover("hsm-a")
        self.server.wait_serving(["hsm-a"], 30)
        self.unharmed(clients)

    def test_nothing_leaks(self):
        self.server.ok(f"{self.keys[0].path}/sign", {"alg": "RS256", "value": "A" * 43})
        before = resources(self.server.process.pid)
        self.crashes("C_Sign nth=1 crash=kill", 5)

        def as_before():
            descriptors, threads = resources(self.server.process.pid)
            return descriptors <= before[0] + 4 and threads == before[1]  # connections may still close

        until(as_before, 15, lambda: f"{resources(self.server.process.pid)} for {before}")


if __name__ == "__main__":
    unittest.main()
