"""H8 and what else a token does of itself: flapping, sessions, keys and slots that change, processes
that are killed and stopped from outside."""
import os
import signal
import time
import unittest

from faults import FaultCase


class Changes(FaultCase):
    def loses(self, what, restarts):
        """hsm-a loses something in the middle of its work."""
        host = self.server.host_pid("hsm-a")
        clients = self.clients()
        time.sleep(0.5)
        slot = self.bad.set(f"C_Sign lose={what} times=1")
        time.sleep(1.5)
        self.assertEqual(1, self.bad.fired(slot))
        self.server.wait_serving(["hsm-a"])
        before = self.server.operations("hsm-a")
        time.sleep(1)
        self.assertGreater(self.server.operations("hsm-a"), before, "hsm-a does not work again")
        self.unharmed(clients)
        if not restarts:
            self.assertEqual(host, self.server.host_pid("hsm-a"), "a restart was not needed")
        else:
            self.assertNotEqual(host, self.server.host_pid("hsm-a"))

    def test_sessions_of_workers(self):
        self.loses("workers", restarts=False)

    def test_all_sessions(self):
        self.loses("sessions", restarts=True)

    def test_keys(self):
        self.loses("keys", restarts=False)

    def test_all_objects(self):
        self.loses("objects", restarts=True)

    def test_slots_renumbered(self):
        clients = self.clients()
        self.bad.set("C_Sign nth=2 times=1 crash=kill", renumber=100)
        self.server.wait_health("hsm-a", "down")
        self.server.wait_serving(["hsm-a"])
        self.bad.set(renumber=7)
        time.sleep(0.5)
        self.unharmed(clients)

    def test_token_pulled_and_put_back(self):
        clients = self.clients()
        self.bad.set(removed=1)
        self.server.wait_health("hsm-a", "down")
        time.sleep(1)
        self.bad.set(removed=None)
        self.server.wait_serving(["hsm-a"])
        self.unharmed(clients)

    def test_killed_and_stopped(self):
        for sign in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
            with self.subTest(sign):
                clients = self.clients()
                time.sleep(0.3)
                host = self.server.host_pid("hsm-a")
                os.kill(host, sign)
                self.server.wait_serving(["hsm-a"])
                time.sleep(0.5)
                self.unharmed(clients)


class Flapping(FaultCase):
    def test_one_second_up_one_second_down(self):
        clients = self.clients()
        retries = self.server.metric("retries_total")
        for _ in range(6):
            self.bad.set("C_Sign rv=0x30", "C_Encrypt rv=0x30")
            time.sleep(1)
            self.bad.set()
            time.sleep(1)
        self.unharmed(clients)
        retried = self.server.metric("retries_total") - retries
        print(f"    {retried:.0f} retries for {clients.good} answers", flush=True)
        self.assertLess(retried, max(30, clients.good * 0.002))
        falls = [c for c in self.server.changes("hsm-a") if c[0] == "down"]
        self.assertLess(len(falls), 8, "the waits do not grow")


class Stopped(FaultCase):
    group = FaultCase.group + "  soft_deadline: 400ms\n  hard_deadline: 2s\n"

    def test_stopped_host(self):
        clients = self.clients()
        time.sleep(0.3)
        host = self.server.host_pid("hsm-a")
        os.kill(host, signal.SIGSTOP)
        self.server.wait_health("hsm-a", "suspect", "down", seconds=10)
        self.server.wait_health("hsm-a", "warming", "up", seconds=20)
        self.assertNotEqual(host, self.server.host_pid("hsm-a"))
        self.unharmed(clients)
        self.assertLess(clients.slowest(), 1.0)

    def test_short_stop_is_forgiven(self):
        clients = self.clients()
        time.sleep(0.3)
        host = self.server.host_pid("hsm-a")
        os.kill(host, signal.SIGSTOP)
        time.sleep(1)
        os.kill(host, signal.SIGCONT)
        self.server.wait_health("hsm-a", "warming", "up", seconds=10)
        self.assertEqual(host, self.server.host_pid("hsm-a"))
        time.sleep(1)
        self.unharmed(clients)


if __name__ == "__main__":
    unittest.main()
