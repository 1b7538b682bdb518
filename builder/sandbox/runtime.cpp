#include "sandbox/runtime.h"

#include <sys/stat.h>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/seccomp.h"

namespace slipway::sandbox {
namespace {

constexpr const char* value_area = "sandbox";

std::string from_hex(std::string_view hex) {
  std::string data;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    data += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  return data;
}

std::string text_of(const std::optional<Json>& value, const char* name) {
  if (!value || !value->is_object()) return {};
  const auto found = value->find(name);
  return found != value->end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Runtime find_runtime(const std::string& wanted, cache::Store* store) {
  Runtime runtime;
  runtime.path = wanted;
  if (runtime.path.empty()) runtime.path = find_program("crun");
  if (runtime.path.empty()) runtime.path = find_program("runc");
  struct stat info {};
  if (runtime.path.empty() || stat(runtime.path.c_str(), &info) != 0)
    throw Error(ExitCode::machine, wanted.empty()
                                       ? std::string("no OCI runtime is installed (crun or runc)")
                                       : fmt::format("the OCI runtime {} is not there", wanted))
        .set_hint("sudo apt-get install -y crun");
  // The worker sees the machine's root in another place: no links on the way.
  runtime.path = fs::canonical(runtime.path).string();
  runtime.identity = fmt::format("{} {} {}.{}", runtime.path, info.st_size, info.st_mtim.tv_sec,
                                 info.st_mtim.tv_nsec);
  if (store != nullptr) {
    const auto known = store->find_value(value_area, "runtime");
    if (text_of(known, "identity") == runtime.identity) runtime.version = text_of(known, "version");
  }
  if (runtime.version.empty()) {
    RunOptions options;
    options.argv = {runtime.path, "--version"};
    options.timeout = std::chrono::seconds(10);
    const RunResult result = run(options);
    // "crun version 1.8.1\ncommit: …"
    const std::vector<std::string> words = split(result.out.substr(0, result.out.find('\n')), ' ');
    if (!result.status.ok() || words.size() < 3 || words[1] != "version")
      throw Error(ExitCode::machine,
                  fmt::format("{} --version: {}", runtime.path, result.status.to_string()))
          .set_hint("sudo apt-get install --reinstall -y crun");
    runtime.version = words[0] + " " + words[2];
    if (store != nullptr)
      store->put_value(value_area, "runtime",
                       {{"identity", runtime.identity}, {"version", runtime.version}});
  }
  runtime.is_crun = starts_with(runtime.version, "crun ");
  return runtime;
}

std::string seccomp_bpf(cache::Store* store) {
  const std::string key = seccomp_cache_key();
  if (store != nullptr) {
    const auto known = store->find_value(value_area, "seccomp");
    if (text_of(known, "key") == key) {
      const std::string bpf = from_hex(text_of(known, "bpf"));
      if (!bpf.empty() && bpf.size() % 8 == 0) return bpf;
    }
  }
  const std::string bpf = compile_seccomp();
  if (store != nullptr)
    store->put_value(value_area, "seccomp", {{"key", key}, {"bpf", to_hex(bpf)}});
  return bpf;
}

}  // namespace slipway::sandbox
