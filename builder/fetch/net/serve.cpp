#include "netfetch/serve.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <mutex>

#include "base/error.h"
#include "base/fd.h"
#include "fetch/fetcher.h"
#include "netfetch/docker_engine.h"
#include "netfetch/git_fetch.h"
#include "netfetch/http.h"
#include "netfetch/registry.h"

namespace slipway {
namespace netfetch {
namespace {

// Enough for a smooth display, too little to matter.
constexpr auto progress_interval = std::chrono::milliseconds(100);

OnProgress throttled(const std::function<void(const Json&)>& emit) {
  auto last = std::make_shared<std::chrono::steady_clock::time_point>();
  return [emit, last](const std::string& what, uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (now - *last < progress_interval && done != total) return;
    *last = now;
    emit({{"progress", {{"what", what}, {"done", done}, {"total", total}}}});
  };
}

Json serve_http(const Json& request, const OnProgress& on_progress) {
  fetch::HttpRequest wanted;
  wanted.url = request.at("url");
  wanted.checksum = request.at("checksum");
  wanted.size_max_bytes = request.at("size_max_bytes");
  wanted.retries = request.at("retries");
  wanted.retry_delay = std::chrono::milliseconds(request.at("retry_delay_ms").get<int64_t>());
  wanted.stall_limit = std::chrono::seconds(request.at("stall_limit_s").get<int64_t>());
  wanted.known_etag = request.at("known_etag");
  const fetch::HttpResult result = download(wanted, request.at("output"), on_progress);
  return {{"sha256", result.sha256},
          {"size_bytes", result.size_bytes},
          {"final_url", result.final_url},
          {"etag", result.etag},
          {"last_modified", result.last_modified},
          {"not_modified", result.not_modified}};
}

Json serve_git(const Json& request, const OnProgress& on_progress) {
  fetch::GitRequest wanted;
  wanted.url = request.at("url");
  wanted.ref = request.at("ref");
  wanted.subdir = request.at("subdir");
  wanted.submodules = request.at("submodules");
  wanted.keep_git_dir = request.at("keep_git_dir");
  wanted.commit = request.at("commit");
  const FetchedCommit result =
      fetch_git(wanted, request.at("scratch"), request.at("output"), on_progress);
  return {{"commit", result.commit}, {"commit_time", result.commit_time}};
}

Json error_message(const Error& error) {
  return {{"error",
           {{"code", static_cast<int>(error.code())},
            {"cause", error.cause()},
            {"hint", error.hint()},
            {"context", error.context()}}}};
}

/// Whole lines, from any thread. Progress that nobody reads at the moment is dropped: a reader that
/// is busy with a blob must not hold up the others.
void emit_line(const Json& message) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (message.contains("progress")) {
    pollfd out{STDOUT_FILENO, POLLOUT, 0};
    if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) return;
  }
  write_all(STDOUT_FILENO, dump_json(message) + "\n");
}

std::map<std::string, Operation>& added_operations() {
  static std::map<std::string, Operation> operations;
  return operations;
}

}  // namespace

void add_operation(const std::string& op, Operation operation) {
  added_operations()[op] = std::move(operation);
}

Json serve(const Json& request, const std::function<void(const Json&)>& emit) {
  try {
    const OnProgress on_progress = throttled(emit);
    const std::string op = request.at("op");
    if (op.starts_with("registry_")) return serve_registry(op, request, emit);
    if (op.starts_with("engine_")) return serve_engine(op, request);
    if (op == "http") return serve_http(request, on_progress);
    if (op == "git") return serve_git(request, on_progress);
    if (op == "git_resolve")
      return {{"commit", resolve_git(request.at("url"), request.at("ref"), request.at("scratch"))}};
    const auto added = added_operations().find(op);
    if (added != added_operations().end()) return added->second(request, emit);
    fail(ExitCode::machine, "slipway-fetch knows no '{}'", op);
  } catch (const Json::exception& problem) {
    fail(ExitCode::machine, "slipway-fetch was asked oddly: {}", problem.what());
  }
}

}  // namespace netfetch

int fetch::fetch_main(int argc, char**) {
  const auto emit = netfetch::emit_line;
  // A connection or a reader that is gone is an error to report, not to die of.
  signal(SIGPIPE, SIG_IGN);
  try {
    if (argc != 1)
      fail(ExitCode::usage,
           "slipway-fetch is started by slipway; it takes its request on standard input");
    const Json request = parse_json(read_all(STDIN_FILENO, 16 << 20), "request",
                                    static_cast<int>(ExitCode::machine));
    emit({{"result", netfetch::serve(request, emit)}});
    return static_cast<int>(ExitCode::ok);
  } catch (const Error& error) {
    emit(netfetch::error_message(error));
    return static_cast<int>(error.code());
  } catch (const std::exception& problem) {
    emit(netfetch::error_message(Error(ExitCode::bug, problem.what())));
    return static_cast<int>(ExitCode::bug);
  }
}

}  // namespace slipway
