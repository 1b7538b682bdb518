#include "record/serve.h"

#include <malloc.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/fd.h"
#include "record/proxy.h"

namespace slipway::record {
namespace {

Json to_json(const Event& event) {
  return {{"step", event.step},
          {"method", event.method},
          {"url", event.url},
          {"status", event.status},
          {"sha256", event.sha256},
          {"size_bytes", event.size_bytes},
          {"id", event.id},
          {"source", source_name(event.source)},
          {"error", event.error},
          {"duration_ms", event.duration_ms},
          {"recorded_s", event.recorded_s}};
}

/// Many threads with little to keep: an arena each would be most of our memory.
void bound_memory() {
  (void)mallopt(M_ARENA_MAX, 2);
  (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<Listener> listeners_of(const Json& kinds, std::vector<Fd>& files) {
  if (kinds.size() != files.size()) fail(ExitCode::machine, "listeners without their sockets");
  std::vector<Listener> listeners;
  for (size_t i = 0; i < files.size(); ++i)
    listeners.push_back({listener_kind(kinds.at(i)), std::move(files[i])});
  return listeners;
}

}  // namespace

Json serve(const Json& request, const std::function<void(const Json&)>&) {
  bound_memory();
  raise_descriptor_limit();
  const Fd channel(request.at("channel").get<int>());
  if (fcntl(channel.get(), F_SETFD, FD_CLOEXEC) != 0) fail_errno("the channel to slipway");
  LibraryOptions options;
  options.mode = request.at("offline").get<bool>() ? Mode::offline : Mode::record;
  options.preferred = request.at("preferred").get<std::vector<uint64_t>>();
  options.upstream.stall_limit = std::chrono::seconds(request.at("stall_limit_s").get<int64_t>());
  options.upstream.allow_loopback = request.at("allow_loopback");
  const auto store = cache::Store::open(request.at("store").get<std::string>());
  std::mutex mutex;
  const auto tell = [&](const Json& message) {
    const std::lock_guard lock(mutex);
    try {
      send_message(channel.get(), dump_json(message));
    } catch (const Error&) {
      // The parent is gone; the loop below ends us.
    }
  };
  Proxy proxy(*store, options, [&](const Event& event) { tell({{"event", to_json(event)}}); });
  tell({{"ready", {{"certificate", proxy.certificate_pem()}}}});
  std::string text;
  for (std::vector<Fd> files; receive_message(channel.get(), text, files); files.clear()) {
    const Json message = parse_json(text, "slipway", static_cast<int>(ExitCode::machine));
    if (message.contains("attach")) {
      proxy.attach(message["attach"], listeners_of(message.at("kinds"), files));
    } else if (message.contains("detach")) {
      proxy.detach(message["detach"]);
    } else if (message.contains("settle")) {
      proxy.settle();
      tell({{"settled", message["settle"]}});
    } else if (message.contains("stop")) {
      break;
    }
  }
  proxy.stop();
  return Json::object();
}

}  // namespace slipway::record
