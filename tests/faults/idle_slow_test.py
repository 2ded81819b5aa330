"""Members that had nothing to do for 40 s, with links that are dropped when idle."""
import time
import unittest

from faults import FaultCase


class Idle(FaultCase):
    def test_then_sign(self):
        time.sleep(40)
        began = time.monotonic()
        clients = self.clients()
        time.sleep(1)
        self.unharmed(clients)
        self.assertLess(clients.slowest(since=began), 0.5)

    def test_then_sign_with_dead_sessions(self):
        """The device closed the sessions of both members meanwhile; keep-alive did not see it."""
        time.sleep(40)
        for plan in self.server.plans.values():
            plan.set("C_Sign lose=workers times=1")
        clients = self.clients()
        time.sleep(2)
        self.unharmed(clients)


if __name__ == "__main__":
    unittest.main()
