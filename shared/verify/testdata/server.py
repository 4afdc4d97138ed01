"""A receiver on the Python verifier. Arguments: the verifier's folder, and "standard"
for that signature. Secrets come in HOOKFERRY_SECRET, separated by blanks; the port
goes to standard output."""
import http.server
import os
import sys
import threading

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import hookferry  # noqa: E402

SECRETS = os.environ["HOOKFERRY_SECRET"].split()
STANDARD = sys.argv[2:] == ["standard"]
handled = set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > 1 << 20:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            delivery = hookferry.verify(self.headers, body, SECRETS, standard=STANDARD)
        except hookferry.Refused as refused:
            return self.answer(500 if refused.code == "config" else 401)
        handled.add(delivery.key)
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True

    def do_GET(self):
        self.answer(405)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
