"""Azurite, a real Azure Blob server, beside a gateway: with the gateway's certificate, or one of its own, a container and a
SAS token."""

import datetime
import os
import pathlib
import socket
import subprocess
import tempfile
import time

from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # published by Azurite
BINARY = pathlib.Path(os.environ["KEYWARD_CLIENTS"]) / "npm/node_modules/.bin/azurite-blob"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Identity:
    """A certificate for the names under which storage is reached as in the cloud: ACCOUNT.blob.localhost."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="keyward-storage-")
        self.data = pathlib.Path(self.folder.name)
        subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", self.data / "tls.key", "-x509", "-days", "9",
                        "-subj", "/CN=storage", "-addext", f"subjectAltName=DNS:localhost,DNS:{ACCOUNT}.blob.localhost",
                        "-out", self.data / "tls.pem"], check=True, capture_output=True)
        (self.data / "ca.pem").write_bytes((self.data / "tls.pem").read_bytes())


class Azurite:
    """`identity.data` has ca.pem, tls.pem and tls.key: a gateway's data directory, or an Identity's."""

    def __init__(self, identity):
        self.folder = tempfile.TemporaryDirectory(prefix="keyward-azurite-")
        self.port, self.data = free_port(), identity.data
        self.start()
        self.service = BlobServiceClient(f"https://localhost:{self.port}/{ACCOUNT}", credential=KEY,
                                         connection_verify=str(self.data / "ca.pem"))
        end = time.monotonic() + 60
        while True:
            try:
                self.container = self.service.create_container("backups")
                break
            except Exception:  # not up yet
                assert time.monotonic() < end
                time.sleep(0.3)
        self.uri = f"https://localhost:{self.port}/{ACCOUNT}/backups"
        self.sas = self.token()

    def start(self):
        self.process = subprocess.Popen(
            [str(BINARY), "--blobPort", str(self.port), "--location", self.folder.name, "--silent", "--skipApiVersionCheck",
             "--cert", str(self.data / "tls.pem"), "--key", str(self.data / "tls.key")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def token(self, hours=1, **rights):
        rights = rights or dict(read=True, write=True, create=True, delete=True, list=True)
        return generate_container_sas(ACCOUNT, "backups", account_key=KEY, permission=ContainerSasPermissions(**rights),
                                      expiry=datetime.datetime.utcnow() + datetime.timedelta(hours=hours))

    def end(self):
        self.process.terminate()
        self.process.wait(30)

    def stop(self):
        self.end()
        self.folder.cleanup()
