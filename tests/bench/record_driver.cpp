// What record_bench.sh needs besides curl.
//   record_driver server STORE            a TLS server; /bytes/N gives N bytes, anything else "ok"
//   record_driver recorder STORE [offline]  the recorder, reaching this machine's loopback
// Both print a port, write a certificate to <STORE>.pem, and serve until their input ends. The
// recorder prints its child's pid too.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "fetch/recorder.h"
#include "record/authority.h"
#include "record/wire.h"

using namespace slipway;

namespace {

constexpr auto limit = std::chrono::milliseconds(60'000);

Fd listen_on_loopback(uint16_t& port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(socket.get(), 200) != 0 ||
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail_errno("listen");
  port = ntohs(address.sin_port);
  return socket;
}

void serve(record::Wire wire, record::Authority& authority) {
  (void)wire.sniff_tls(limit);
  wire.accept_tls(authority.context("127.0.0.1"), limit);
  const std::string block(256 << 10, 'x');
  std::string pending;
  char data[16384];
  for (;;) {
    size_t end = 0;
    while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
      const size_t count = wire.read(data, sizeof data, limit);
      if (count == 0) return;
      pending.append(data, count);
    }
    const std::string target = split(pending.substr(0, pending.find('\r')), ' ').at(1);
    pending.erase(0, end + 4);
    uint64_t size = target.starts_with("/bytes/") ? std::stoull(target.substr(7)) : 2;
    wire.write(fmt::format("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nCache-Control: max-age=3600\r\n"
                           "Content-Length: {}\r\n\r\n",
                           size),
               limit);
    for (; size > 0; size -= std::min<uint64_t>(size, block.size()))
      wire.write({block.data(), std::min<uint64_t>(size, block.size())}, limit);
  }
}

int serve_all(const std::string& store_folder) {
  const auto store = cache::Store::open(store_folder);
  record::Authority authority(*store);
  write_file_atomic(store_folder + ".pem", authority.certificate_pem());
  uint16_t port = 0;
  const Fd socket = listen_on_loopback(port);
  std::printf("%d\n", port);
  std::fflush(stdout);
  std::thread([&] {
    for (;;) {
      const int client = accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      std::thread([client, &authority] {
        try {
          serve(record::Wire(Fd(client), -1), authority);
        } catch (const std::exception&) {
        }
      }).detach();
    }
  }).detach();
  (void)read_all(STDIN_FILENO);
  _exit(0);
}

int record_all(const std::string& store_folder, bool offline) {
  std::atomic<uint64_t> told{0};
  auto recorder = fetch::Recorder::start(
      {.store = store_folder,
       .offline = offline,
       .program =
           (fs::read_symlink("/proc/self/exe").parent_path() / "../../slipway-fetch").string(),
       .allow_loopback = true},
      [&](const fetch::RecordedRequest&) { ++told; });
  write_file_atomic(store_folder + ".pem", recorder->certificate_pem());
  uint16_t port = 0;
  std::vector<fetch::RecordSocket> sockets;
  sockets.push_back({"web", listen_on_loopback(port)});
  recorder->attach("bench", std::move(sockets));
  std::printf("%d\n", port);
  std::fflush(stdout);
  (void)read_all(STDIN_FILENO);
  recorder->settle();
  recorder->stop();
  std::printf("%llu\n", static_cast<unsigned long long>(told.load()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const std::string what = argc > 2 ? argv[1] : "";
  try {
    if (what == "server") return serve_all(argv[2]);
    if (what == "recorder") return record_all(argv[2], argc > 3);
    std::fprintf(stderr, "usage: record_driver server|recorder STORE [offline]\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "record_driver: %s\n", error.what());
    return 6;
  }
}
