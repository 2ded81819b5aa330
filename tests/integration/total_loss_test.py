"""A group of tokens loses everything: tokens, data directory, domain. What is left is the security domain file, a quorum of
the operators' keys and a backup in a folder. The upload installs the domain on every token of the configuration, also on one
that has the mark of another domain, and on one that comes later."""

import shutil
import subprocess
import time
import unittest

from domain_test import Base
from estate import Work, differences, fill_hsm, inventory
from full_backup_test import run
from hsm import PIN, Wide, kill_process

LABELS = ("hsm-a", "hsm-b")


def token_tool(group, *words):
    return subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=group.tokens.environment)


def make_token(group, label):
    token_tool(group, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-" + PIN)


class TotalLoss(Base):
    def group(self):
        self.servers.append(Wide(list(LABELS)))
        return self.servers[-1]

    def until(self, true, what, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), end, what())
            time.sleep(0.1)

    def serving_alone(self, group, name):
        for other in group.tokens.labels:
            group.cli("member", "activate" if other == name else "drain", other, "-c", str(group.config))
        self.until(lambda: all(m["serving"] == (n == name) for n, m in group.members().items() if n in group.tokens.labels), group.members)

    def back_up(self, group):
        job = run(group, "POST", "/backup", {"storageResourceUri": f"file://{group.store}"})
        self.assertEqual(job["status"], "Succeeded", job)
        return job["azureStorageBlobContainerUri"].rsplit("/", 1)[1]

    def terms(self, group, folder):
        return {"sasTokenParameters": {"storageResourceUri": f"file://{group.store}"}, "folderToRestore": folder}

    def lose_everything(self, group):
        self.assertEqual(group.stop(), 0, group.log()[-2000:])
        group.forget()
        shutil.rmtree(group.tokens.folder / "tokens")
        (group.tokens.folder / "tokens").mkdir()

    def test_into_new_tokens(self):
        group = self.group().start()
        file = self.download(group)
        fill_hsm(group)
        before, work = inventory(group), Work(group)
        folder = self.back_up(group)
        domain = group.mark_of("hsm-a")
        self.lose_everything(group)

        stranger = self.group()  # one of the new tokens has served another group
        stranger.start()
        theirs = stranger.mark_of("hsm-a")
        self.assertNotIn(theirs, (None, domain))
        self.assertEqual(stranger.stop(), 0)
        used = next(p for p in (stranger.tokens.folder / "tokens").iterdir()
                    if b"hsm-a" in (p / "token.object").read_bytes())
        shutil.copytree(used, group.tokens.folder / "tokens" / used.name)

        group.await_domain()
        self.assertEqual(group.get("/keys").status, 403)
        self.domain(group, "upload", file, "--keys", self.who.keys("bc"))
        self.active(group)
        group.wait_serving(["hsm-a"])
        self.assertEqual(group.mark_of("hsm-a"), domain)
        self.assertFalse((group.data / "join-hsm-a.json").exists())
        self.assertTrue((group.data / "join-hsm-b.json").exists())  # its token is not there yet
        said = group.get("/securitydomain/upload/pending", version=False).json
        self.assertEqual((said["status"], said["status_details"]),
                         ("Success", "The gateway has its security domain; 1 of 2 tokens serve, not yet: hsm-b."))
        self.assertEqual(group.stop(), 0)  # a restart does not forget it
        make_token(group, "hsm-b")
        group.start()
        self.assertEqual(group.mark_of("hsm-b"), domain)
        self.assertFalse((group.data / "join-hsm-b.json").exists())

        self.expect(group.request("PUT", "/restore", self.terms(group, folder)), 403, "Forbidden")
        self.back_up(group)
        done = run(group, "PUT", "/restore", self.terms(group, folder))
        self.assertEqual(done["status"], "Succeeded", done)
        self.assertEqual(differences(before, inventory(group)), {})
        for name in LABELS:  # each of them serves every key
            self.serving_alone(group, name)
            count = group.operations(name)
            signatures, openings = work.check(group)
            self.assertGreater(group.operations(name), count + 20)
            print(f"\n    {name}: {signatures} signatures, {openings} openings", flush=True)
        # the order was for that once: a token of another serial is asked for again
        token_tool(group, "--delete-token", "--token", "hsm-a")
        kill_process(group.host_pid("hsm-a"))
        make_token(group, "hsm-a")
        self.until(lambda: group.members()["hsm-a"]["health"] == "mismatched", group.members)
        # by the quorum as well as by the command: the domain that is here is shown again
        self.domain(group, "upload", file, "--keys", self.who.keys("ab"))
        self.until(lambda: group.members()["hsm-a"]["health"] == "up", group.members)
        self.assertEqual(group.mark_of("hsm-a"), domain)


if __name__ == "__main__":
    unittest.main()
