"""Answers every request with the greeting that heroku.yml's build.config set."""
import os
import socketserver


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        body = os.environ["GREETING"] + "\n"
        self.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


with Server(("", int(os.environ.get("PORT", "5000"))), Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
