// A registry of the test's own on the loopback that misbehaves by the name of the repository: two
// http origins and one https, everything they are asked is logged.
#pragma once

#include <cstdlib>

#include "netfetch/registry_fixture.h"

namespace slipway::test {

inline constexpr char mock_program[] = R"PY(
import base64, hashlib, json, re, socket, ssl, struct, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

root = sys.argv[1]
lock = threading.Lock()
seen, sessions, stored, tags = {}, {}, {}, {}
SECRET = "s3cret-word"
BASIC = "Basic " + base64.b64encode(("user:" + SECRET).encode()).decode()

def digest(data): return "sha256:" + hashlib.sha256(data).hexdigest()
def put(name, data):
    open(root + "/" + name, "wb").write(data)
    return data
KIND = "application/vnd.oci.image."
LAYER = put("layer", bytes((i * 7 + i // 251) % 256 for i in range(300000)))
CONFIG = put("config", json.dumps({"architecture": "amd64", "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}}).encode())
def descriptor(kind, data, **more): return {"mediaType": KIND + kind, "digest": digest(data), "size": len(data), **more}
def manifest_of(**more):
    return json.dumps({"schemaVersion": 2, "mediaType": KIND + "manifest.v1+json",
        "config": descriptor("config.v1+json", CONFIG), "layers": [descriptor("layer.v1.tar", LAYER)], **more}).encode()
MANIFEST = put("manifest", manifest_of())
INDEX = put("index", json.dumps({"schemaVersion": 2, "mediaType": KIND + "index.v1+json", "manifests": [
    descriptor("manifest.v1+json", MANIFEST, platform={"os": "linux", "architecture": "amd64"})]}).encode())
def nested(inner):
    return json.dumps({"schemaVersion": 2, "manifests": [
        descriptor("index.v1+json", inner, platform={"os": "linux", "architecture": "amd64"})]}).encode()
NESTS = [INDEX]
for _ in range(5): NESTS.append(nested(NESTS[-1]))
BOTH = manifest_of(manifests=json.loads(INDEX)["manifests"])
HELM = json.dumps({"schemaVersion": 2, "config": {**descriptor("config.v1+json", CONFIG), "mediaType": "application/vnd.cncf.helm.config.v1+json"}, "layers": []}).encode()
def longer(kind):
    m = json.loads(MANIFEST)
    if kind == "config": m["config"]["size"] = 17 << 20
    return json.dumps(m).encode()
BIG_CONFIG = longer("config")
HUGE = b'{"schemaVersion": 2, "pad": "' + b"x" * (5 << 20) + b'"}'
DOCUMENTS = {digest(d): d for d in NESTS + [MANIFEST, BOTH, HELM, BIG_CONFIG, HUGE]}
# What a repository's tag "1" stands for, where it is not the manifest.
TAGS = {"index": INDEX, "nested": NESTS[2], "too-nested": NESTS[5], "both": BOTH, "helm": HELM, "big-config": BIG_CONFIG, "huge": HUGE}

def flipped(data, at):
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def log_message(self, *args): pass

    def reply(self, status, body=b"", headers=(), kind=None, length=None):
        self.send_response(status)
        for k, v in headers: self.send_header(k, v)
        if kind: self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def error(self, status, code, message="", headers=()):
        self.reply(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers, "application/json")
    def drop(self):
        # Reset, not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
    def origin(self, which, host="127.0.0.1"): return "http://%s:%d" % (host, which)

    def read_body(self, limit=None):
        size = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(size if limit is None else min(limit, size))

    def handle_any(self):
        path, _, query = self.path.partition("?")
        with lock:
            n = seen[(self.command, path)] = seen.get((self.command, path), 0) + 1
            with open(root + "/log", "a") as f:
                f.write(json.dumps({"port": self.server.server_port, "host": self.headers.get("Host"), "method": self.command,
                    "path": self.path, "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range"),
                    "content_range": self.headers.get("Content-Range"), "type": self.headers.get("Content-Type"),
                    "accept": self.headers.get_all("Accept")}) + "\n")
        if path.startswith("/token"): return self.token(path, query)
        if path == "/v2/":
            # The https origin lets nobody in without a token.
            if self.server.server_port != secure or (self.headers.get("Authorization") or "").startswith("Bearer good"): return self.reply(200, b"{}")
            return self.error(401, "UNAUTHORIZED", "", [("WWW-Authenticate", 'Bearer realm="https://127.0.0.1:%d/token-bearer",service="mock"' % secure)])
        if path.startswith("/landed/"): return self.landed(path, n)
        found = re.fullmatch(r"/v2/(.+?)/(manifests|blobs)/(.*)", path)
        if not found: return self.error(404, "NOT_FOUND", "nothing here")
        repo, kind, name = found.groups()
        if not self.allowed(repo, query): return
        if kind == "manifests": return self.manifest(repo, name, n)
        if name.startswith("uploads/"): return self.upload(repo, name[8:], query, n)
        return self.blob(repo, name, n)
    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    # --- who may ---
    def allowed(self, repo, query):
        got = self.headers.get("Authorization")
        name = repo.split("/")[0]
        def challenge(value, status=401, words="authentication required"):
            self.read_body()
            self.error(status, "UNAUTHORIZED", words, [("WWW-Authenticate", value)])
            return False
        def bearer(realm, more=""):
            return 'Bearer realm="%s",service="mock",scope="repository:%s:pull"%s' % (realm, repo, more)
        here = self.origin(self.server.server_port)
        if name == "basic": return True if got == BASIC else challenge('Basic realm="mock"')
        if name == "both-ways": return True if got and got.startswith("Bearer ") else challenge('Basic realm="x", ' + bearer(here + "/token"))
        if name in ("bearer", "get-only", "mounting"): return True if got and got.startswith("Bearer good") else challenge(bearer(here + "/token-" + name))
        if name == "scoped": return True if got and "admin" in got else challenge(bearer(here + "/token-scoped", ',error="insecure"') if not got else
            'Bearer realm="%s/token-scoped",service="mock",scope="repository:scoped:admin",error="insufficient_scope"' % here)
        if name == "loop": return challenge(bearer(here + "/token-loop"))
        if name == "no-challenge": self.error(401, "UNAUTHORIZED", "no"); return False
        if name == "odd-challenge": return challenge('Negotiate abc')
        if name == "elsewhere": return True if got and got.startswith("Bearer") else challenge(bearer(self.origin(other, "localhost") + "/token-elsewhere"))
        if name == "clear": return challenge(bearer("http://token.example/token"))
        if name == "no-realm": return challenge(bearer("file:///etc/passwd"))
        if name == "echo": return challenge('Basic realm="mock"', words="you sent " + str(got))
        if name == "expired":
            with lock: n = seen["expired"] = seen.get("expired", 0) + 1
            return True if got and got.startswith("Bearer") and n != 3 else challenge(bearer(here + "/token"))
        return True
    def token(self, path, query):
        body = self.read_body().decode()
        with open(root + "/log", "a") as f: f.write(json.dumps({"token_body": body, "port": self.server.server_port}) + "\n")
        if path == "/token-get-only" and self.command == "POST": return self.reply(404)
        if path in ("/token-get-only", "/token-bearer"):
            good = self.headers.get("Authorization") == BASIC or "password=" + SECRET in body or "refresh_token=identity-1" in body
            if "password=wrong" in body: return self.error(401, "UNAUTHORIZED", "no such user")
            if not good and self.headers.get("Authorization"): return self.error(401, "UNAUTHORIZED", "no such user")
            answer = {"token": "good-token" if good else "anonymous-token"}
            if good and "offline" in body + query: answer["refresh_token"] = "identity-1"
            return self.reply(200, json.dumps(answer).encode())
        if path == "/token-scoped": return self.reply(200, json.dumps({"access_token": "admin" if "admin" in body + query else "few", "expires_in": 300}).encode())
        if path == "/token-loop":
            with lock: n = seen["loop"] = seen.get("loop", 0) + 1
            return self.reply(200, json.dumps({"token": "fresh-%d" % n}).encode())
        if path == "/token-mounting":
            if "repository%3Asecret" in body + query: return self.error(403, "DENIED", "not yours")
            return self.reply(200, b'{"token": "good-mounting"}')
        if path == "/token-odd": return self.reply(200, b'{"token": "a\\r\\nX-Evil: 1"}')
        with lock: n = seen["tokens"] = seen.get("tokens", 0) + 1
        self.reply(200, json.dumps({"token": "some-token-%d" % n}).encode())

    # --- reading ---
    def manifest(self, repo, name, n):
        if self.command == "PUT": return self.keep_manifest(repo, name)
        if (repo, name) in tags: data = stored[tags[(repo, name)]]
        elif name.startswith("sha256:"): data = stored.get((repo, name), DOCUMENTS.get(name))
        elif name == "1": data = TAGS.get(repo, MANIFEST)
        else: data = None
        if repo.startswith("push"): data = stored.get((repo, name)) or (stored.get(tags[(repo, name)]) if (repo, name) in tags else None)
        if data is None: return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind = json.loads(data).get("mediaType", KIND + ("index" if b'"manifests"' in data else "manifest") + ".v1+json")
        headers = [("Docker-Content-Digest", digest(data))]
        if repo == "flip-manifest": data = flipped(data, len(data) // 2)
        if repo == "flip-unsaid": data, headers = flipped(data, len(data) - 20), []
        if repo == "says-other": headers = [("Docker-Content-Digest", "sha256:" + "0" * 64)]
        if repo == "no-head" and self.command == "HEAD": return self.reply(405)
        if repo == "silent-head" and self.command == "HEAD": return self.reply(200, data, [], kind)
        if repo == "wrong-type": kind = KIND + "index.v1+json"
        if repo == "plain-type": kind = "text/plain"
        if repo == "busy" and n < 3: return self.error(429, "TOOMANYREQUESTS", "slow down", [("Retry-After", "0")])
        if repo == "very-busy": return self.error(429, "TOOMANYREQUESTS", "slow down", [("Retry-After", "7200")])
        if repo == "shaky" and n < 3: return self.error((500, 502)[n - 1], "UNKNOWN", "oops")
        if repo == "down": return self.error(503, "UNAVAILABLE", "maintenance")
        if repo == "forbidden": return self.error(403, "DENIED", "requested access is denied\nX: y")
        if repo == "html": return self.reply(200, b"<html>log in here</html>", [], "text/html")
        if repo == "away-manifest": return self.reply(307, b"", [("Location", self.origin(other) + "/landed/manifest")])
        if repo == "endless":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            try:
                while True: self.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            except OSError: self.close_connection = True
            return
        if repo == "endless-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            try:
                while True: self.wfile.write(b"X-A: " + b"y" * 8000 + b"\r\n")
            except OSError: self.close_connection = True
            return
        self.reply(200, data, headers, kind)

    def blob(self, repo, name, n):
        data = {digest(LAYER): LAYER, digest(CONFIG): CONFIG}.get(name)
        if repo.startswith("push"): data = stored.get((repo, name))
        if repo in ("empty-mirror", "foreign"): data = None
        if data is None or (repo == "foreign-layer" and data is LAYER): return self.error(404, "BLOB_UNKNOWN", "blob unknown")
        if self.command == "HEAD": return self.reply(200, data)
        start, status, headers = 0, 200, [("Docker-Content-Digest", name)]
        ask = self.headers.get("Range")
        if ask and repo not in ("no-range",):
            start, status = int(ask[6:].split("-")[0]), 206
            headers.append(("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data))))
        small = len(data) < 1000
        def send(body, length): self.reply(status, body, headers, "application/octet-stream", length)
        if repo == "flip-layer" and not small: data = flipped(data, int(open(root + "/flip").read()))
        if repo == "flip-config" and small: data = flipped(data, 3)
        if repo in ("cut", "no-range", "cut-twice") and not small and n <= (2 if repo == "cut-twice" else 1):
            send(data[start:start + 100000], len(data) - start)
            self.wfile.flush(); time.sleep(0.2)
            return self.drop()
        if repo == "cut-always" and not small:
            send(data[start:start + 10], len(data) - start)
            return self.drop()
        if repo == "cut-then-other" and not small:
            if n == 1:
                send(flipped(data, 5)[:100000], len(data))
                self.wfile.flush(); time.sleep(0.2)
                return self.drop()
        if repo == "short" and not small: data = data[:-1]
        if repo == "long" and not small: data += b"x"
        if repo == "long-chunked" and not small:
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            try:
                while True: self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError: self.close_connection = True
            return
        if repo == "wrong-range" and not small:
            if n == 1:
                send(data[:100000], len(data)); self.wfile.flush(); time.sleep(0.2); return self.drop()
            status, headers, start = 206, [("Content-Range", "bytes 0-9/10")], 0
            return send(data[:10], 10)
        if repo == "refused-range" and not small:
            if n == 1:
                send(data[:100000], len(data)); self.wfile.flush(); time.sleep(0.2); return self.drop()
            if ask: return self.reply(416)
        if repo == "stall" and not small:
            self.send_response(200); self.send_header("Content-Length", str(len(data))); self.end_headers()
            self.wfile.write(data[:10]); self.wfile.flush(); time.sleep(20)
            return
        here = self.server.server_port
        target = {"away": self.origin(other) + "/landed/layer?sig=signature-1", "basic/away": self.origin(other) + "/landed/layer?sig=signature-1",
                  "basic/back": self.origin(other) + "/landed/back", "basic/near": "/landed/layer",
                  "basic/asked": self.origin(other) + "/landed/asks", "basic/named": "http://user:pw-in-url@127.0.0.1:%d/landed/layer" % other,
                  "to-file": "file:///etc/passwd", "to-clear": "http://blobs.example/x", "circle": "/v2/circle/blobs/" + name,
                  "basic/gone": self.origin(other) + "/landed/gone?sig=signature-1"}.get(repo)
        if target and not small: return self.reply(307, b"", [("Location", target)])
        send(data[start:], len(data) - start)
    def landed(self, path, n):
        if path == "/landed/back": return self.reply(307, b"", [("Location", self.origin(first) + "/landed/layer")])
        if path == "/landed/asks": return self.error(401, "UNAUTHORIZED", "tell me", [("WWW-Authenticate", 'Bearer realm="%s/token-bearer"' % self.origin(other)), ("WWW-Authenticate", "Basic realm=x")])
        if path == "/landed/gone": return self.reply(403, b"signature expired", [], "text/plain")
        if path == "/landed/manifest": return self.reply(200, MANIFEST, [], KIND + "manifest.v1+json")
        self.reply(200, LAYER)

    # --- writing ---
    def keep_manifest(self, repo, name):
        data = self.read_body()
        if name.startswith("sha256:") and digest(data) != name: return self.error(400, "DIGEST_INVALID", "")
        if repo == "push-busy":
            with lock: n = seen["put"] = seen.get("put", 0) + 1
            if n == 1: return self.error(503, "UNAVAILABLE", "")
        with lock:
            stored[(repo, digest(data))] = data
            tags[(repo, name)] = (repo, digest(data))
        headers = [("Docker-Content-Digest", digest(data) if repo != "push-other" else "sha256:" + "1" * 64)]
        if repo == "push-referrers": headers.append(("OCI-Subject", "sha256:" + "2" * 64))
        self.reply(201, b"", headers)

    def upload(self, repo, name, query, n):
        def location(session):
            where = "/v2/%s/blobs/uploads/%s?_state=a%%2Fb" % (repo, session)
            if repo == "push-moved": where = self.origin(other) + where
            if repo == "push-clear": where = "http://blobs.example" + where
            return where
        if self.command == "POST":
            self.read_body()
            if "mount=" in query and repo in ("push-mount", "mounting/app") and "from=base" in query: return self.reply(201)
            with lock:
                session = str(len(sessions) + 1)
                sessions[session] = b""
            headers = [("Location", location(session))]
            if repo == "push-chunked": headers.append(("OCI-Chunk-Min-Length", "200000"))
            if repo == "push-nowhere": headers = []
            return self.reply(202, b"", headers)
        if name not in sessions: self.read_body(); return self.error(404, "BLOB_UPLOAD_UNKNOWN", "")
        if "_state=a%2Fb" not in query: self.read_body(); return self.error(400, "STATE", "the query was rebuilt")
        have = sessions[name]
        if self.command == "GET": return self.reply(204, b"", [("Location", location(name)), ("Range", "0-%d" % (len(have) - 1))])
        if self.command == "DELETE":
            del sessions[name]
            return self.reply(204)
        size = int(self.headers.get("Content-Length", 0))
        if self.command == "PUT" and size > 0 and repo == "push-chunked":
            self.read_body()
            return self.reply(413, b"too large", [], "text/plain")
        key = repo + self.command
        with lock: count = seen[key] = seen.get(key, 0) + 1
        if repo == "push-cut" and size > 0 and count == 1 or repo == "push-cut-always" and size > 0:
            body = self.read_body(100000)
            sessions[name] = have + body
            return self.drop()
        if repo == "push-forgets" and size > 0 and count == 1:
            self.read_body(); sessions.pop(name)
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "")
        if self.command == "PATCH":
            start = int(self.headers["Content-Range"].split("-")[0])
            if start != len(have): self.read_body(); return self.reply(416, b"", [("Location", location(name)), ("Range", "0-%d" % (len(have) - 1))])
            sessions[name] = have + self.read_body()
            return self.reply(202, b"", [("Location", location(name)), ("Range", "0-%d" % (len(sessions[name]) - 1))])
        data = have + self.read_body()
        wanted = "sha256:" + re.search("digest=sha256%3A([0-9a-f]{64})", query).group(1)
        if digest(data) != wanted: return self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        with lock: stored[(repo, wanted)] = data
        if repo == "push-lost-answer" and count == 1: return self.drop()
        if repo == "push-denied": return self.error(403, "DENIED", "read only")
        del sessions[name]
        self.reply(201)

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    def handle_error(self, *args): pass
servers = [Server(("127.0.0.1", 0), Handler) for _ in range(3)]
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", root + "/key.pem", "-out", root + "/ca.pem"],
               check=True, stderr=subprocess.DEVNULL)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(root + "/ca.pem", root + "/key.pem")
servers[2].socket = context.wrap_socket(servers[2].socket, server_side=True, do_handshake_on_connect=False)
first, other, secure = [s.server_port for s in servers]
for s in servers: threading.Thread(target=s.serve_forever, daemon=True).start()
print(first, other, secure, flush=True)
sys.stdin.read()
)PY";

class MockRegistry {
 public:
  MockRegistry() {
    clean_environment(temp_.path() / "home");
    write_file_atomic(path("server.py"), mock_program);
    Pipe in = Pipe::create(), out = Pipe::create();
    SpawnOptions options;
    options.argv = {"python3", path("server.py"), temp_.path().string()};
    options.stdin_fd = in.read.get();
    options.stdout_fd = out.write.get();
    options.stderr_fd = STDERR_FILENO;
    child_ = spawn(options);
    keep_ = std::move(in.write);
    out.write.reset();
    std::string line;
    for (char c = 0; read_some(out.read.get(), &c, 1) == 1 && c != '\n';) line += c;
    const std::vector<std::string> ports = split(line, ' ');
    if (ports.size() != 3) throw std::runtime_error("the test's registry did not start");
    first_ = ports[0];
    other_ = ports[1];
    secure_ = ports[2];
    layer = read_file(path("layer"));
    config = read_file(path("config"));
    manifest = read_file(path("manifest"));
    index = read_file(path("index"));
    fs::create_directory(path("downloads"));
  }
  std::string path(const std::string& name) const { return (temp_.path() / name).string(); }
  std::string domain() const { return "127.0.0.1:" + first_; }
  std::string other_domain() const { return "127.0.0.1:" + other_; }
  std::string secure_domain() const { return "127.0.0.1:" + secure_; }
  oci::Reference reference(const std::string& repository) const {
    return oci::parse_reference(domain() + "/" + repository + ":1");
  }
  fetch::Fetcher fetcher() {
    fetch::Fetcher made;
    made.program = fetch_program();
    made.temp_dir = path("downloads");
    made.registry.retry_delay = std::chrono::milliseconds(5);
    made.registry.retries = 2;
    made.on_note = [this](const std::string& text) { notes.push_back(text); };
    return made;
  }
  /// What was asked since the last call.
  std::vector<Json> requests() {
    const std::string text = read_file_if_exists(path("log")).value_or("");
    std::vector<Json> list;
    for (size_t end; (end = text.find('\n', read_)) != std::string::npos; read_ = end + 1)
      list.push_back(Json::parse(text.substr(read_, end - read_)));
    return list;
  }
  /// Credentials of "user" for the first origin, by DOCKER_AUTH_CONFIG; empty = none.
  void know(const std::string& secret, const Json& more = Json::object()) const {
    Json entry = more;
    if (!secret.empty()) {
      entry["username"] = "user";
      entry["password"] = secret;
    }
    setenv("DOCKER_AUTH_CONFIG", dump_json({{"auths", {{domain(), entry}}}}).c_str(), 1);
  }
  void forget() const { unsetenv("DOCKER_AUTH_CONFIG"); }

  std::string layer, config, manifest, index;
  std::vector<std::string> notes;
  static constexpr const char* password = "s3cret-word";

 private:
  TempDir temp_ = TempDir::create("mock-registry");
  Fd keep_;
  Child child_;
  std::string first_, other_, secure_;
  size_t read_ = 0;
};

inline bool have_mock() {
  return !find_program("python3").empty() && !find_program("openssl").empty();
}

}  // namespace slipway::test

#define NEEDS_MOCK()                                                \
  if (!slipway::test::have_mock()) {                                \
    WARN("skipped: the test's registry needs python3 and openssl"); \
    return;                                                         \
  }
