"""H6: a PIN that is refused is never tried a second time by itself, whatever is restarted."""
import os
import signal
import time
import unittest

import hsm
from faults import FaultGroup, until

GROUP = "  recovery: { retries: -1, interval: 100ms }\n"


class WrongPin(unittest.TestCase):
    def start(self, labels=("hsm-a", "hsm-b"), **more):
        server = FaultGroup(list(labels), group=GROUP, **more)
        self.addCleanup(lambda: server.process and server.process.poll() is None and server.end())
        for plan in server.plans.values():
            plan.set(lock_after=3)
        return server

    def kill(self, server):
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.process.stdout.close()
        server.errors.close()

    def test_one_try_over_restarts(self):
        server = self.start(pins={"hsm-a": "0000-wrong"})
        for round_number in range(20):
            server.start(wait=False)
            server.wait_health("hsm-a", "auth_failed")
            server.wait_serving(["hsm-b"])
            if round_number % 2:
                self.kill(server)
            else:
                self.assertEqual(0, server.stop())
        self.assertEqual(1, server.plans["hsm-a"].refused)
        self.assertEqual(1, server.plans["hsm-a"].pin_failures)
        # the right PIN is another one: it is tried, and the token's count goes back
        server.start(wait=False)
        server.write_pin("hsm-a", hsm.PIN)
        server.wait_serving(["hsm-a"], 20)
        self.assertEqual(0, server.plans["hsm-a"].pin_failures)
        self.assertEqual(1, server.plans["hsm-a"].refused)

    def test_killed_between_try_and_record(self):
        """The gateway dies with the answer of the login under way: the record on disk was first."""
        server = self.start(pins={"hsm-a": "0000-wrong"})
        plan = server.plans["hsm-a"]
        plan.set("C_Login after=1 hang=1")  # the token has counted, nobody hears of it
        for _ in range(4):
            server.start(wait=False)
            server.wait_serving(["hsm-b"])
            until(lambda: plan.refused == 1 or server.health("hsm-a") == "auth_failed", 10,
                  lambda: server.members())
            time.sleep(0.2)
            self.kill(server)
        self.assertEqual(1, plan.refused)
        plan.set()
        server.start(wait=False)
        server.wait_health("hsm-a", "auth_failed")
        self.assertEqual(1, plan.refused)

    def test_crash_loop_of_the_host(self):
        server = self.start(pins={"hsm-a": "0000-wrong"})
        plan = server.plans["hsm-a"]
        plan.set("C_Login after=1 crash=segv")
        server.start(wait=False)
        server.wait_health("hsm-a", "auth_failed", seconds=20)
        time.sleep(3)
        self.assertEqual(1, plan.refused)
        self.assertEqual(1, plan.logins)

    def test_one_wrong_pin_for_the_group(self):
        """The same wrong PIN for three tokens: one of them is asked once."""
        labels = ["hsm-a", "hsm-b", "hsm-c"]
        server = self.start(labels, pins=dict.fromkeys(labels, "0000-wrong"))
        server.start(wait=False)
        for label in labels:
            server.wait_health(label, "auth_failed")
        self.assertEqual(1, sum(plan.refused for plan in server.plans.values()))
        answer = server.post("/keys/k/create", {"kty": "RSA-HSM"})
        self.assertEqual(503, answer.status)
        self.assertTrue(answer.headers["Retry-After"])

    def test_flags_forbid(self):
        """FINAL_TRY and LOCKED are read before, and end it without a login."""
        for failures, words in ((2, "one try left"), (3, "locked")):
            with self.subTest(words):
                server = self.start()
                plan = server.plans["hsm-a"]
                plan.state.write_bytes(failures.to_bytes(4, "little") + bytes(4 * (8 + 4096) - 4))
                server.start(wait=False)
                server.wait_health("hsm-a", "auth_failed")
                self.assertIn(words, server.members()["hsm-a"]["reason"])
                server.recover("hsm-a")  # an operator does not overrule the token
                time.sleep(0.5)
                server.wait_health("hsm-a", "auth_failed")
                self.assertEqual(0, plan.logins)
                server.end()

    def test_operator_may_try_again(self):
        server = self.start(pins={"hsm-a": "0000-wrong"})
        plan = server.plans["hsm-a"]
        server.start(wait=False)
        server.wait_health("hsm-a", "auth_failed")
        server.recover("hsm-a")
        until(lambda: plan.refused == 2, 10, server.members)
        time.sleep(1)
        self.assertEqual(2, plan.refused)
        self.assertEqual("auth_failed", server.health("hsm-a"))

    def test_operator_word_is_for_one_try(self):
        """The try that an operator asked for ends without an answer: no second one follows it."""
        server = self.start(pins={"hsm-a": "0000-wrong"})
        plan = server.plans["hsm-a"]
        server.start(wait=False)
        server.wait_health("hsm-a", "auth_failed")
        # the token counts it, nobody hears of it, and it has patience for more
        plan.set("C_Login after=1 crash=segv", lock_after=20)
        server.recover("hsm-a")
        until(lambda: plan.refused == 2, 10, server.members)
        server.wait_health("hsm-a", "auth_failed", seconds=10)
        time.sleep(1.5)
        self.assertEqual(2, plan.refused)
        self.assertEqual(2, plan.logins)
        server.end()

    def test_codes_that_refuse(self):
        for code in (0xa0, 0xa1, 0xa2, 0xa3, 0xa4):
            with self.subTest(hex(code)):
                server = self.start()
                plan = server.plans["hsm-a"]
                plan.set(f"C_Login rv={code}")
                server.start(wait=False)
                server.wait_health("hsm-a", "auth_failed")
                time.sleep(0.7)
                self.assertEqual(1, plan.logins)
                server.end()

    def test_codes_that_nobody_knows(self):
        """A vendor's own code may be its word for a wrong PIN: one that no token has accepted is
        tried once; one that was good a few times, then an operator decides."""
        for code in (0x80000001, 0x8000006f, 0x7fff):
            with self.subTest(hex(code)):
                server = self.start()
                plan = server.plans["hsm-a"]
                plan.set(f"C_Login rv={code}")
                server.start(wait=False)
                server.wait_health("hsm-a", "auth_failed")
                time.sleep(0.7)
                self.assertEqual(1, plan.logins)
                plan.set()
                server.recover("hsm-a")
                server.wait_serving(["hsm-a", "hsm-b"], 20)
                plan.set(f"C_Login rv={code}")
                self.assertEqual(0, server.stop())
                server.start(wait=False)
                server.wait_health("hsm-a", "auth_failed", seconds=40)
                time.sleep(0.7)
                self.assertTrue(4 <= plan.logins <= 10, plan.logins)
                server.end()

    def test_codes_that_do_not(self):
        """Not a word about the PIN: tried again, with growing waits."""
        for code in (0x05, 0x102, 0x30, 0xe0, 0x06):
            with self.subTest(hex(code)):
                server = self.start()
                plan = server.plans["hsm-a"]
                plan.set(f"C_Login rv={code} times=2")
                server.start(wait=False)
                server.wait_serving(["hsm-a", "hsm-b"], 20)
                server.end()


if __name__ == "__main__":
    unittest.main()
