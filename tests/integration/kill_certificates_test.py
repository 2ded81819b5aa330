"""kill -9 of the gateway while certificates are made, imported, changed, deleted, recovered and purged: certificate, key
and secret are of the same versions and in the same state, and what was answered is there."""

import os
import random
import signal
import sqlite3
import threading
import time
import unittest

from certificates_test import policy, wait
from keyward import Server

ROUNDS = int(os.environ.get("KEYWARD_KILL_ROUNDS", "12"))
KINDS = {1: "key", 2: "secret", 3: "certificate"}


class KillDuringMoves(unittest.TestCase):
    def test_nothing_is_half_moved(self):
        server = Server()
        seed = random.randrange(1 << 30)
        moves = 0
        try:
            for number in range(ROUNDS):
                server.start()
                moves += self.move_until_killed(server, number, random.Random(seed + number))
                self.check_database(server, seed)
            # what was begun is finished, and everything opens
            self.touch(server)
            server.start()
            self.check_answers(server, seed)
            print(f"{moves} answered changes in {ROUNDS} rounds, seed {seed}", flush=True)
            self.assertGreater(moves, 10 * ROUNDS)
            self.assertEqual(0, server.stop())
        finally:
            server.process.kill()
            server.remove()

    def move_until_killed(self, server, number, rng):
        stop = threading.Event()
        answered = [0] * 3

        def client(index):
            mine = server.clone()
            draw = random.Random(rng.random() + index)
            while not stop.is_set():
                name = f"c{index}-{draw.randrange(4)}"
                method, path, body = draw.choice((
                    ("POST", f"/certificates/{name}/create", {"policy": policy(kty="EC"), "tags": {"round": str(number)}}),
                    ("POST", f"/certificates/{name}/create", {"policy": policy(kty="EC")}),
                    ("PATCH", f"/certificates/{name}/", {"tags": {"n": str(draw.random())}}),
                    ("PATCH", f"/certificates/{name}/policy", {"x509_props": {"validity_months": draw.randrange(1, 30)}}),
                    ("DELETE", f"/certificates/{name}", None),
                    ("POST", f"/deletedcertificates/{name}/recover", b""),
                    ("DELETE", f"/deletedcertificates/{name}", None)))
                try:
                    answer = mine.request(method, path, body)
                except Exception:  # the gateway is gone, or its answer is torn
                    break
                self.assertIn(answer.status, (200, 202, 204, 404, 409, 503), answer.body)
                answered[index] += answer.status < 300
            mine.close()

        threads = [threading.Thread(target=client, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.2, 0.7))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server.close()
        server.process.stdout.close()
        return sum(answered)

    def rows(self, server):
        connection = sqlite3.connect(server.data / "keyward.db")
        try:
            self.assertEqual([("ok",)], connection.execute("PRAGMA integrity_check").fetchall())
            return connection.execute("SELECT o.name, o.kind, o.deleted_at, o.purge_at, v.version FROM objects o JOIN versions v "
                                      "ON v.object = o.id WHERE o.kind <= 3 ORDER BY v.seq").fetchall()
        finally:
            connection.close()

    def check_database(self, server, seed):
        found = {}
        for name, kind, deleted, purge, version in self.rows(server):
            found.setdefault(name.lower(), {}).setdefault(kind, []).append((deleted, purge, version))
        for name, kinds in found.items():
            self.assertEqual(set(kinds), set(KINDS), f"seed {seed}: {name}")
            self.assertEqual(kinds[1], kinds[3], f"seed {seed}: {name}")
            self.assertEqual(kinds[2], kinds[3], f"seed {seed}: {name}")

    def touch(self, server):
        """What is open is due now."""
        connection = sqlite3.connect(server.data / "keyward.db")
        connection.execute("UPDATE objects SET wake_at = 1 WHERE kind = 6 AND wake_at > 0 AND deleted_at = 0")
        connection.commit()
        connection.close()

    def check_answers(self, server, seed):
        for name in {row[0] for row in self.rows(server)}:
            if server.get(f"/certificates/{name}").status == 404:
                self.assertEqual(200, server.get(f"/deletedcertificates/{name}").status, f"seed {seed}: {name}")
                continue
            pending = server.get(f"/certificates/{name}/pending")
            if pending.status == 200:
                self.assertIn(wait(server, name, 30)["status"], ("completed", "failed"), f"seed {seed}: {name}")
            bundle = server.get(f"/certificates/{name}").json
            for kind, link in (("keys", "kid"), ("secrets", "sid")):
                newest = server.get(f"/{kind}/{name}")
                self.assertEqual(200, newest.status, f"seed {seed}: {name}")
                got = newest.json["key"]["kid"] if kind == "keys" else newest.json["id"]
                self.assertEqual(bundle[link], got, f"seed {seed}: {name}")


if __name__ == "__main__":
    unittest.main()
