"""Throw-away SoftHSM tokens for a measurement."""
import os
import pathlib
import subprocess

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


class SoftHsm:
    def __init__(self, folder, labels):
        self.folder, self.labels, self.pin = pathlib.Path(folder), labels, "4711-bench"
        self.module = next((m for m in MODULES if os.path.exists(m)), None)
        if not self.module:
            raise SystemExit("bench: SoftHSM is not installed; run: apt-get install softhsm2")
        (self.folder / "tokens").mkdir(parents=True)
        self.conf = self.folder / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.folder}/tokens\n"
                             "objectstore.backend = file\nlog.level = ERROR\n")
        for label in labels:
            subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin",
                            self.pin, "--so-pin", "so-" + self.pin], check=True,
                           capture_output=True, env=self.environment())
        self.pin_file = self.folder / "pin"
        self.pin_file.write_text(self.pin)
        self.pin_file.chmod(0o400)

    def environment(self):
        return dict(os.environ, SOFTHSM2_CONF=str(self.conf))
