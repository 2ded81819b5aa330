"""A valid HTTP/2 request cut at every byte: nothing is executed, the server goes on serving."""
import socket
import ssl

import h2.config
import h2.connection
import h2.events

from keyward import Case, VERSION


class Truncated(Case):
    def connect(self):
        context = ssl.create_default_context(cafile=str(self.server.data / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        tls = context.wrap_socket(raw, server_hostname="localhost")
        self.assertEqual("h2", tls.selected_alpn_protocol())
        return tls

    def request_bytes(self, body, declared=None):
        """Preface, SETTINGS, HEADERS and DATA of one key creation."""
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.send_headers(1, [
            (":method", "POST"), (":scheme", "https"),
            (":authority", f"localhost:{self.server.port}"),
            (":path", f"/keys/cut/create?{VERSION}"),
            ("authorization", f"Bearer {self.server.token}"),
            ("content-type", "application/json"),
            ("content-length", str(len(body) if declared is None else declared))])
        connection.send_data(1, body)
        start = connection.data_to_send()
        connection.end_stream(1)
        return start, connection.data_to_send(), connection

    def answer(self, tls, connection):
        """(status or None, reset code or None, body)"""
        status, reset, body = None, None, b""
        while True:
            data = tls.recv(65536)
            if not data:
                return status, reset, body
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamReset):
                    return status, event.error_code, body
                elif isinstance(event, h2.events.StreamEnded):
                    return status, reset, body
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return status, event.error_code, body

    def test_cut_at_every_byte(self):
        start, end, _ = self.request_bytes(b'{"kty":"EC","crv":"P-256"}')
        whole = start + end
        for cut in range(len(whole)):
            with self.connect() as tls:
                tls.sendall(whole[:cut])
        self.assertEqual(404, self.server.get("/keys/cut").status, "a cut request was executed")
        # the same bytes, whole, are a good request
        start, end, connection = self.request_bytes(b'{"kty":"EC","crv":"P-256"}')
        with self.connect() as tls:
            tls.sendall(start + end)
            status, reset, _ = self.answer(tls, connection)
        self.assertEqual((200, None), (status, reset))

    def test_body_that_ends_short_of_its_length(self):
        start, end, connection = self.request_bytes(b'{"kty":"EC","crv":"P-256"}', declared=100)
        with self.connect() as tls:
            tls.sendall(start + end)
            status, reset, _ = self.answer(tls, connection)
        self.assertTrue(status == 400 or reset == 1, (status, reset))  # 1: PROTOCOL_ERROR

    def test_half_a_frame_then_silence_blocks_nobody(self):
        start, _, _ = self.request_bytes(b'{"kty":"EC","crv":"P-256"}')
        held = [self.connect() for _ in range(20)]
        try:
            for tls in held:
                tls.sendall(start[:-5])
            self.assertEqual(200, self.server.get("/keys").status)
        finally:
            for tls in held:
                tls.close()
