"""Hosts that start together on one SoftHSM store, through modules of different names."""
import os
import unittest

from faults import FaultGroup, until

LABELS = ["hsm-a", "hsm-b", "hsm-c", "hsm-d"]


class Together(unittest.TestCase):
    rounds = int(os.environ.get("KEYWARD_START_ROUNDS", "4"))

    def test_no_start_fails(self):
        server = FaultGroup(LABELS, group="  recovery: { retries: 0 }\n")
        try:
            for plan in server.plans.values():
                plan.set(lock_after=3)
            for _ in range(self.rounds):
                server.start(wait=False)
                until(lambda: all(m["serving"] or m["health"] not in ("starting", "syncing", "probing")
                                  for n, m in server.members().items() if n in LABELS), 30, server.members)
                members = server.members()
                self.assertEqual([], [members[n] for n in LABELS if not members[n]["serving"]])
                self.assertEqual(0, server.stop())
            for plan in server.plans.values():
                self.assertEqual(0, plan.refused)
                self.assertEqual(self.rounds, plan.logins, "a login had to be repeated")
        finally:
            if server.process.poll() is None:
                server.stop()
            server.remove()


if __name__ == "__main__":
    unittest.main()
