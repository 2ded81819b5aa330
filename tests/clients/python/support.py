"""What the tests of Debian's python3-azure share: clients that reach the gateway."""

import os
import time
import unittest
import uuid

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError

URL = os.environ["KEYWARD_URL"]


class Credential:
    def get_token(self, *_scopes, **_more):
        return AccessToken(os.environ["KEYWARD_TOKEN"], int(time.time()) + 3600)


def client(kind, **more):
    return kind(vault_url=URL, credential=Credential(), verify_challenge_resource=False, **more)


def unique(stem):
    return f"{stem}-{uuid.uuid4().hex[:10]}"


class Case(unittest.TestCase):
    def refused(self, status, call, *args, **more):
        with self.assertRaises(HttpResponseError) as caught:
            call(*args, **more)
        self.assertEqual(caught.exception.status_code, status, caught.exception)
