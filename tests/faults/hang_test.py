"""H2: calls that never return. H3: a member that is slow."""
import time
import unittest

from faults import FaultCase, hosts_of, resources


class Hang(FaultCase):
    """The group gives a member 400 ms, and kills its host after 2 s."""

    group = FaultCase.group + "  soft_deadline: 400ms\n  hard_deadline: 2s\n"

    def hangs(self, rule, times=4):
        process = self.server.process.pid
        before = resources(process)
        host = self.server.host_pid("hsm-a")
        clients = self.clients(threads=16)
        time.sleep(0.5)
        slot = self.bad.set(f"{rule} times={times}")
        self.server.wait_health("hsm-a", "suspect", "down")
        # the host is killed at its hard deadline and another takes its place
        self.server.wait_health("hsm-a", "warming", "up")
        self.assertNotEqual(host, self.server.host_pid("hsm-a"))
        self.assertGreaterEqual(self.bad.fired(slot), 1)
        time.sleep(0.5)
        self.unharmed(clients)
        # answered by the other member, a little after the soft deadline
        self.assertLess(clients.slowest(), 1.0)
        self.assertEqual(2, len(hosts_of(process)))
        time.sleep(0.3)
        descriptors, threads = resources(process)
        self.assertLessEqual(descriptors, before[0] + 4)
        self.assertEqual(threads, before[1])

    def test_one_call(self):
        self.hangs("C_Sign nth=5 hang=1", 1)

    def test_every_session(self):
        self.hangs("C_Sign hang=1", 8)

    def test_init_call(self):
        self.hangs("C_SignInit hang=1", 8)

    def test_whole_module(self):
        """Everything hangs, the canary and the probe as well."""
        self.hangs("* hang=1", 3)

    def test_start(self):
        """A module that hangs in C_Initialize costs a start, not the gateway."""
        slot = self.bad.set("C_Initialize hang=1 times=1", "C_Sign nth=1 times=1 crash=kill")[0]
        clients = self.clients()
        self.server.wait_health("hsm-a", "down")
        self.server.wait_serving(["hsm-a"], 20)
        self.assertEqual(1, self.bad.fired(slot))
        self.unharmed(clients)

    def test_login(self):
        slot = self.bad.set("C_Login hang=1 times=1", "C_Sign nth=1 times=1 crash=kill")[0]
        clients = self.clients()
        self.server.wait_health("hsm-a", "down")
        self.server.wait_serving(["hsm-a"], 20)
        self.assertEqual(1, self.bad.fired(slot))
        self.unharmed(clients)


class Slow(FaultCase):
    def shares(self, seconds):
        before = {name: self.server.operations(name) for name in self.labels}
        time.sleep(seconds)
        return {name: self.server.operations(name) - before[name] for name in self.labels}

    def test_load_moves_away(self):
        time.sleep(10.5)  # past the slow start, so that shares are those of the choice
        clients = self.clients(self.keys[0], threads=6)
        time.sleep(1)
        fair = self.shares(2)
        healthy = clients.slowest(0.99)
        self.assertGreater(fair["hsm-a"], sum(fair.values()) / 5, fair)
        self.bad.set("C_Sign delay=40")
        time.sleep(3)
        since = time.monotonic()
        moved = self.shares(4)
        slow = clients.slowest(0.95, since)
        print(f"\n    share before {fair}, after {moved}; p99 before {healthy * 1000:.1f} ms, "
              f"p95 after {slow * 1000:.1f} ms", flush=True)
        self.assertLess(moved["hsm-a"], sum(moved.values()) / 20, moved)
        self.assertLess(slow, 0.040, "one in twenty still waits for the slow member")
        self.assertNotEqual("down", self.server.health("hsm-a"))
        # and comes back when it is quick again
        self.bad.set()
        time.sleep(8)
        back = self.shares(2)
        self.assertGreater(back["hsm-a"], sum(back.values()) / 5, back)
        self.unharmed(clients)


if __name__ == "__main__":
    unittest.main()
