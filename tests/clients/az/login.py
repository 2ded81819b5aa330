"""What az needs before it talks to a vault: a login service that gives everybody the gateway's token, one subscription, and
the keys of its storage accounts (`storage`: name to key).
Runs inside the test's process, on loopback, with the certificate that the gateway made for localhost."""

import http.server
import json
import ssl
import threading
import time

TENANT = "11111111-2222-3333-4444-555555555555"
SUBSCRIPTION = "66666666-7777-8888-9999-aaaaaaaaaaaa"


class Login:
    def __init__(self, token, certificate, key):
        login = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                self.rfile.read(length)
                body = json.dumps(login.body(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.token, self.storage = token, {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def body(self, path):
        path = path.split("?")[0]
        if path.endswith("/openid-configuration"):
            base = f"{self.url}/{TENANT}"
            return {"issuer": f"{base}/v2.0", "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token", "jwks_uri": f"{base}/keys", "tenant_region_scope": None}
        if path.endswith("/token"):
            return {"token_type": "Bearer", "expires_in": 86400, "ext_expires_in": 86400, "access_token": self.token,
                    "expires_on": int(time.time()) + 86400}
        if path.rstrip("/").endswith("/subscriptions"):
            return {"value": [{"id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "displayName": "test",
                               "state": "Enabled", "tenantId": TENANT,
                               "subscriptionPolicies": {"quotaId": "x", "spendingLimit": "Off"}}]}
        if path.endswith("/listKeys"):
            return {"keys": [{"keyName": "key1", "value": self.storage[path.split("/")[-2]], "permissions": "FULL"}]}
        if path.endswith("/storageAccounts") or path.endswith("/resources"):
            where = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/test/providers/Microsoft.Storage/storageAccounts"
            return {"value": [{"id": f"{where}/{name}", "name": name, "type": "Microsoft.Storage/storageAccounts", "location": "local"}
                              for name in self.storage]}
        if path.rstrip("/").endswith("/tenants"):
            return {"value": [{"id": f"/tenants/{TENANT}", "tenantId": TENANT}]}
        if path.endswith("/metadata/endpoints"):
            return {"name": "local", "authentication": {"loginEndpoint": self.url, "audiences": [self.url]}, "suffixes": {},
                    "resourceManager": self.url, "graphAudience": self.url}
        return {"value": []}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

