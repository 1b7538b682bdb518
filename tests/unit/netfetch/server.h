// A server of the test's own on the loopback: two origins (ports) that misbehave on demand, and
// git's own HTTP backend.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace slipway::test {

inline constexpr char server_program[] = R"PY(
import base64, gzip, json, os, ssl, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

root = sys.argv[1]
DATA = bytes(range(256)) * 400
seen = {}
lock = threading.Lock()

def note(entry):
    with lock:
        with open(root + "/log", "a") as f:
            f.write(json.dumps(entry) + "\n")

def count(path):
    with lock:
        seen[path] = seen.get(path, 0) + 1
        return seen[path]

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def log_message(self, *args): pass
    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in headers: self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def ranged(self, etag="\"v1\"", cut=None, honour=True):
        start = 0
        ask = self.headers.get("Range")
        if ask and honour and self.headers.get("If-Range", etag) == etag:
            start = int(ask[6:].split("-")[0])
        self.send_response(206 if start else 200)
        if start: self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(DATA) - 1, len(DATA)))
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start:cut])
        if cut: self.close_connection = True
    def do_POST(self): self.do_GET()
    def do_GET(self):
        path = self.path.split("?")[0]
        note({"port": self.server.server_port, "path": self.path, "method": self.command,
              "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range")})
        if path.startswith("/git/") or path.startswith("/private/"): return self.git(path)
        n = count(path)
        if path == "/file": self.ranged()
        elif path == "/cut-once": self.ranged(cut=40000 if n == 1 else None)
        elif path == "/cut-and-replaced": self.ranged(etag='"v%d"' % n, cut=40000 if n == 1 else None)
        elif path == "/cut-no-range": self.ranged(cut=40000 if n == 1 else None, honour=False)
        elif path == "/cut-always": self.ranged(cut=40000, honour=False)
        elif path == "/wrong-range":
            if n == 1: return self.ranged(cut=40000)
            self.reply(206, DATA[:10], [("Content-Range", "bytes 0-9/10"), ("ETag", "\"v1\"")])
        elif path == "/flaky":
            if n < 3: self.reply(503, b"busy", [("Retry-After", "0")])
            else: self.reply(200, b"fine")
        elif path == "/broken": self.reply(500, b"oops")
        elif path == "/private-file":
            want = "Basic " + base64.b64encode(b"user:s3cret").decode()
            if self.headers.get("Authorization") == want: self.reply(200, b"for your eyes")
            else: self.reply(401, b"", [("WWW-Authenticate", "Basic realm=x")])
        elif path == "/away": self.reply(302, b"bye", [("Location", "http://127.0.0.1:%d/landed" % other)])
        elif path == "/away-and-back": self.reply(302, b"", [("Location", "http://127.0.0.1:%d/back" % other)])
        elif path == "/back": self.reply(302, b"", [("Location", "http://127.0.0.1:%d/landed" % first)])
        elif path == "/near": self.reply(302, b"", [("Location", "/landed")])
        elif path == "/landed": self.reply(200, b"landed")
        elif path == "/downgrade": self.reply(302, b"", [("Location", "http://127.0.0.1:%d/landed" % first)])
        elif path == "/loop": self.reply(302, b"", [("Location", "/loop")])
        elif path == "/to-file": self.reply(302, b"", [("Location", "file:///etc/passwd")])
        elif path == "/to-gopher": self.reply(302, b"", [("Location", "gopher://127.0.0.1/")])
        elif path == "/stall":
            self.send_response(200); self.send_header("Content-Length", "100"); self.end_headers()
            self.wfile.write(b"x"); self.wfile.flush(); time.sleep(20)
        elif path == "/endless":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            try:
                while True: self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError: self.close_connection = True
        elif path == "/endless-headers":
            self.send_response(200)
            try:
                while True:
                    self.wfile.write(b"X-A: " + b"y" * 8000 + b"\r\n")
            except OSError: self.close_connection = True
        elif path == "/encoded": self.reply(200, gzip.compress(b"text"), [("Content-Encoding", "gzip")])
        else: self.reply(404, b"nothing here")
    def git(self, path):
        if path.startswith("/private/"):
            want = "Basic " + base64.b64encode(b"user:s3cret").decode()
            if self.headers.get("Authorization") != want:
                return self.reply(401, b"", [("WWW-Authenticate", "Basic realm=x")])
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size); self.rfile.readline()
                if size == 0: break
        elif self.headers.get("Content-Length"):
            body = self.rfile.read(int(self.headers["Content-Length"]))
        env = dict(os.environ, GIT_PROJECT_ROOT=root + "/repos", GIT_HTTP_EXPORT_ALL="1",
                   REQUEST_METHOD=self.command, PATH_INFO="/" + path.split("/", 2)[2],
                   QUERY_STRING=self.path.partition("?")[2], REMOTE_ADDR="127.0.0.1",
                   CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(body)),
                   HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                   GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().split("\r\n"):
            k, _, v = line.partition(": ")
            if k == "Status": status = int(v.split()[0])
            elif k: headers.append((k, v))
        self.reply(status, data, headers)

servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(3)]
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", root + "/key.pem", "-out", root + "/ca.pem"],
               check=True, stderr=subprocess.DEVNULL)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(root + "/ca.pem", root + "/key.pem")
servers[2].socket = context.wrap_socket(servers[2].socket, server_side=True)
first, other, secure = [s.server_port for s in servers]
for s in servers:
    s.daemon_threads = True
    threading.Thread(target=s.serve_forever, daemon=True).start()
print(first, other, secure, flush=True)
sys.stdin.read()
)PY";

class Server {
 public:
  Server() {
    // Nothing of this machine's settings reaches the tests.
    for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
                             "ALL_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE"})
      unsetenv(name);
    write_file_atomic(temp_.path() / "server.py", server_program);
    fs::create_directory(temp_.path() / "repos");
    Pipe in = Pipe::create(), out = Pipe::create();
    SpawnOptions options;
    options.argv = {"python3", (temp_.path() / "server.py").string(), temp_.path().string()};
    options.stdin_fd = in.read.get();
    options.stdout_fd = out.write.get();
    child_ = spawn(options);
    keep_ = std::move(in.write);
    out.write.reset();
    std::string ports;
    char c = 0;
    while (read_some(out.read.get(), &c, 1) == 1 && c != '\n') ports += c;
    const std::vector<std::string> numbers = split(ports, ' ');
    if (numbers.size() != 3) throw std::runtime_error("the test's server did not start");
    port_ = numbers[0];
    other_port_ = numbers[1];
    secure_port_ = numbers[2];
  }
  std::string url(const std::string& path, const std::string& userinfo = {}) const {
    return "http://" + userinfo + "127.0.0.1:" + port_ + path;
  }
  std::string other_url(const std::string& path) const {
    return "http://127.0.0.1:" + other_port_ + path;
  }
  std::string secure_url(const std::string& path) const {
    return "https://127.0.0.1:" + secure_port_ + path;
  }
  /// The certificate of the https origin; nobody else trusts it.
  std::string certificate() const { return (temp_.path() / "ca.pem").string(); }
  fs::path repos() const { return temp_.path() / "repos"; }
  /// The requests since the last call.
  std::vector<Json> requests() {
    const std::string text = read_file_if_exists(temp_.path() / "log").value_or("");
    std::vector<Json> list;
    for (size_t end; (end = text.find('\n', read_)) != std::string::npos; read_ = end + 1)
      list.push_back(Json::parse(text.substr(read_, end - read_)));
    return list;
  }
  const std::string& port() const { return port_; }

 private:
  TempDir temp_ = TempDir::create("server-test");
  Fd keep_;
  Child child_;
  std::string port_, other_port_, secure_port_;
  size_t read_ = 0;
};

inline bool have_tools() {
  return !find_program("python3").empty();
}

}  // namespace slipway::test

#define NEEDS_SERVER()                                            \
  if (!slipway::test::have_tools()) {                             \
    WARN("skipped: the test's server needs python3 and openssl"); \
    return;                                                       \
  }
