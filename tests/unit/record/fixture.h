// A recorder, a client (libcurl) and a server of the test's own, all in one process.
#pragma once

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "record/proxy.h"

namespace slipway::test {

using record::Event;
using record::Source;

inline Fd listen_on_loopback(uint16_t& port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(socket.get(), 200) != 0 ||
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no port");
  port = ntohs(address.sin_port);
  return socket;
}

/// Answers what a test says, byte for byte. A connection is kept while the handler returns true.
class Server {
 public:
  struct Asked {
    std::string method, target, head, body;
    std::string header(std::string_view name) const {
      const std::string low = record::lower_case(head), key = fmt::format("\r\n{}: ", name);
      const size_t at = low.find(key);
      if (at == std::string::npos) return {};
      const size_t start = at + key.size();
      return head.substr(start, head.find("\r\n", start) - start);
    }
  };
  using Handler = std::function<bool(const Asked& asked, record::Wire& wire)>;

  explicit Server(Handler handler, record::Authority* authority = nullptr)
      : handler_(std::move(handler)), authority_(authority) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe");
    stop_read_ = Fd(ends[0]);
    stop_write_ = Fd(ends[1]);
    socket_ = listen_on_loopback(port_);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~Server() {
    stop_write_.reset();
    shutdown(socket_.get(), SHUT_RDWR);
    accepting_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  uint16_t port() const { return port_; }
  std::string url(const std::string& path) const {
    return fmt::format("{}://127.0.0.1:{}{}", authority_ != nullptr ? "https" : "http", port_,
                       path);
  }
  std::atomic<int> requests{0}, connections{0};

 private:
  void accept_all() {
    for (;;) {
      Fd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      ++connections;
      threads_.emplace_back([this, fd = client.release()] {
        try {
          serve(record::Wire(Fd(fd), stop_read_.get()));
        } catch (const std::exception&) {
        }
      });
    }
  }
  void serve(record::Wire wire) {
    constexpr auto limit = std::chrono::milliseconds(60000);
    if (authority_ != nullptr) {
      (void)wire.sniff_tls(limit);
      wire.accept_tls(authority_->context("127.0.0.1"), limit);
    }
    std::string pending;
    char data[65536];
    const auto more = [&] {
      const size_t count = wire.read(data, sizeof data, limit);
      pending.append(data, count);
      return count > 0;
    };
    for (;;) {
      size_t end = 0;
      while ((end = pending.find("\r\n\r\n")) == std::string::npos)
        if (!more()) return;
      Asked asked;
      asked.head = pending.substr(0, end + 4);
      pending.erase(0, end + 4);
      const std::vector<std::string> words =
          split(asked.head.substr(0, asked.head.find("\r\n")), ' ');
      asked.method = words.at(0);
      asked.target = words.at(1);
      const std::string length = asked.header("content-length");
      const size_t size = length.empty() ? 0 : std::stoul(length);
      while (pending.size() < size)
        if (!more()) return;
      asked.body = pending.substr(0, size);
      pending.erase(0, size);
      if (asked.header("transfer-encoding") == "chunked") {
        while (pending.find("0\r\n\r\n") == std::string::npos)
          if (!more()) return;
        asked.body = pending;
        pending.clear();
      }
      ++requests;
      if (!handler_(asked, wire)) break;
    }
    wire.close();
  }

  Handler handler_;
  record::Authority* authority_;
  uint16_t port_ = 0;
  Fd socket_, stop_read_, stop_write_;
  std::thread accepting_;
  std::vector<std::thread> threads_;
};

constexpr auto write_limit = std::chrono::milliseconds(60000);
inline bool reply(record::Wire& wire, const std::string& status, const std::string& headers,
                  const std::string& body) {
  wire.write(fmt::format("HTTP/1.1 {}\r\n{}Content-Length: {}\r\n\r\n{}", status, headers,
                         body.size(), body),
             write_limit);
  return true;
}

struct Got {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string body, head;
  std::string header(const std::string& name) const {
    const std::string low = record::lower_case(head), key = "\r\n" + name + ": ";
    const size_t at = low.rfind(key);
    if (at == std::string::npos) return {};
    const size_t start = at + key.size();
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

class Recorder {
 public:
  Recorder() { open(); }
  ~Recorder() { close(); }
  void open(record::Mode mode = record::Mode::record) {
    for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
                             "ALL_PROXY", "CURL_CA_BUNDLE", "no_proxy", "NO_PROXY"})
      unsetenv(name);
    signal(SIGPIPE, SIG_IGN);
    if (!store) store = cache::Store::open(temp.path() / "store");
    options.mode = mode;
    options.upstream.allow_loopback = allow_loopback;
    proxy = std::make_unique<record::Proxy>(*store, options, [this](const Event& event) {
      const std::lock_guard lock(mutex);
      events.push_back(event);
    });
    std::vector<record::Listener> listeners(1);
    listeners[0].socket = listen_on_loopback(port);
    proxy->attach("step", std::move(listeners));
    write_file_atomic(temp.path() / "recorder.pem", proxy->certificate_pem());
  }
  void close() { proxy.reset(); }
  void reopen(record::Mode mode) {
    // A client may have its last byte before the transfer's thread has seen the end.
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    proxy->settle();
    close();
    open(mode);
  }

  struct Options {
    std::vector<std::string> headers;
    std::string method, post, range;
    bool explicit_proxy = false, chunked_post = false, insecure = false;
    CURL* handle = nullptr;  ///< kept alive between requests
    size_t stop_after = SIZE_MAX;
  };
  Got get(const std::string& url, const Options& ask) const {
    Got got;
    CURL* const curl = ask.handle != nullptr ? ask.handle : curl_easy_init();
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_CAINFO, (temp.path() / "recorder.pem").c_str());
    curl_slist *to = nullptr, *headers = nullptr;
    if (ask.explicit_proxy)
      curl_easy_setopt(curl, CURLOPT_PROXY, fmt::format("http://127.0.0.1:{}", port).c_str());
    else
      to = curl_slist_append(nullptr, fmt::format("::127.0.0.1:{}", port).c_str());
    if (ask.explicit_proxy && url.starts_with("https"))
      curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, to);
    for (const std::string& header : ask.headers)
      headers = curl_slist_append(headers, header.c_str());
    if (ask.chunked_post) headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (ask.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (ask.method == "POST") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(ask.post.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask.post.c_str());
    }
    if (!ask.method.empty() && ask.method != "HEAD")
      curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask.method.c_str());
    if (!ask.range.empty()) curl_easy_setopt(curl, CURLOPT_RANGE, ask.range.c_str());
    struct Sink {
      Got& got;
      size_t stop_after;
    } sink{got, ask.stop_after};
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
    curl_easy_setopt(
        curl, CURLOPT_WRITEFUNCTION,
        +[](char* data, size_t size, size_t count, void* self) -> size_t {
          auto* to_sink = static_cast<Sink*>(self);
          to_sink->got.body.append(data, size * count);
          return to_sink->got.body.size() >= to_sink->stop_after ? 0 : size * count;
        });
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &got.head);
    curl_easy_setopt(
        curl, CURLOPT_HEADERFUNCTION,
        +[](char* data, size_t size, size_t count, void* self) -> size_t {
          static_cast<std::string*>(self)->append(data, size * count);
          return size * count;
        });
    got.code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &got.status);
    curl_slist_free_all(to);
    curl_slist_free_all(headers);
    if (ask.handle == nullptr)
      curl_easy_cleanup(curl);
    else
      curl_easy_reset(curl);
    return got;
  }
  Got get(const std::string& url) const { return get(url, Options{}); }

  /// The events so far, once all is settled; forgets them.
  std::vector<Event> told() {
    // The client may have the last byte before the connection's thread has reported it.
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    proxy->settle();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::lock_guard lock(mutex);
    return std::exchange(events, {});
  }

  TempDir temp = TempDir::create("record-test");
  std::unique_ptr<cache::Store> store;
  record::LibraryOptions options;
  bool allow_loopback = true;
  std::unique_ptr<record::Proxy> proxy;
  uint16_t port = 0;
  std::mutex mutex;
  std::vector<Event> events;
};

/// `size` bytes that do not repeat.
inline std::string noise(size_t size, unsigned seed = 1) {
  std::string text(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (char& c : text) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state);
  }
  return text;
}

}  // namespace slipway::test
