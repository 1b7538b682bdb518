#include "oci/platform.h"

#include <array>

#include "base/error.h"
#include "base/text.h"

namespace slipway::oci {
namespace {

constexpr std::array known_systems{
    "aix",   "android", "darwin", "dragonfly", "freebsd", "hurd",    "illumos", "ios", "js",
    "linux", "nacl",    "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos"};
constexpr std::array known_architectures{
    "386",   "amd64",   "arm",      "arm64",  "armbe", "arm64be", "loong64",
    "mips",  "mips64",  "mips64le", "mipsle", "ppc",   "ppc64",   "ppc64le",
    "riscv", "riscv64", "s390",     "s390x",  "sparc", "sparc64", "wasm"};

template <typename Names>
bool knows(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool is_part(std::string_view part, std::string_view more = {}) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || more.find(c) != std::string_view::npos;
  });
}

// V23, with the spellings that real image indexes use.
void normalize(Platform& platform) {
  if (platform.os == "macos") platform.os = "darwin";
  std::string& arch = platform.architecture;
  std::string& variant = platform.variant;
  if (arch == "x86_64" || arch == "x86-64") arch = "amd64";
  if (arch == "aarch64") arch = "arm64";
  if (arch == "i386") {
    arch = "386";
    variant.clear();
  }
  if (arch == "armhf") {
    arch = "arm";
    variant = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    variant = "v6";
  } else if (arch == "arm") {
    if (variant.empty()) variant = "v7";
    if (variant.size() == 1 && variant[0] >= '5' && variant[0] <= '8') variant.insert(0, "v");
  }
  if (arch == "amd64" && variant == "v1") variant.clear();
  if (arch == "arm64") {
    if (variant == "8" || variant == "v8" || variant == "v8.0") variant.clear();
    if (variant == "9" || variant == "9.0" || variant == "v9.0") variant = "v9";
  }
}

[[noreturn]] void refuse(std::string_view text, const std::string& problem) {
  throw Error(ExitCode::usage, fmt::format("'{}' is no platform: {}", printable(text), problem))
      .set_hint("write os/architecture, such as linux/amd64 or linux/arm64");
}

// "v8.2" → {8, 2}; anything else is no ARM64 variant.
std::optional<std::pair<int, int>> arm64_version(std::string_view variant) {
  if (variant.empty()) return std::pair{8, 0};
  if (variant.size() < 2 || variant[0] != 'v') return std::nullopt;
  const std::vector<std::string> parts = split(variant.substr(1), '.');
  const auto digit = [](const std::string& part) {
    return part.size() == 1 && part[0] >= '0' && part[0] <= '9';
  };
  if (parts.size() > 2 || !std::all_of(parts.begin(), parts.end(), digit)) return std::nullopt;
  return std::pair{parts[0][0] - '0', parts.size() == 2 ? parts[1][0] - '0' : 0};
}

// "v3" → 3, 0 = none.
int version_of(std::string_view variant) {
  return variant.size() == 2 && variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9'
             ? variant[1] - '0'
             : 0;
}

// How many steps `offered` lies below `wanted`; empty = it does not run there.
std::optional<int> arm_distance(int wanted, const Platform& offered) {
  const int have = version_of(offered.variant);
  if (have < 5 || have > wanted) return std::nullopt;
  return wanted - have;
}

std::optional<int> arm64_distance(const Platform& wanted, const Platform& offered) {
  const auto want = arm64_version(wanted.variant);
  if (!want) return offered == wanted ? std::optional(0) : std::nullopt;
  // A 64-bit processor runs 32-bit images too; any 64-bit one is better.
  if (offered.architecture == "arm") {
    const auto distance = arm_distance(8, offered);
    return distance ? std::optional(100 + *distance) : std::nullopt;
  }
  const auto have = arm64_version(offered.variant);
  if (offered.architecture != "arm64" || !have) return std::nullopt;
  if (have->first == want->first && have->second <= want->second)
    return want->second - have->second;
  // v9.x holds all of v8.(x+5).
  if (want->first == 9 && have->first == 8 && have->second <= want->second + 5)
    return 20 + want->second + 5 - have->second;
  return std::nullopt;
}

std::optional<int> distance(const Platform& wanted, const Platform& offered) {
  if (wanted.architecture == "arm64") return arm64_distance(wanted, offered);
  if (wanted.architecture == "arm") {
    const int version = version_of(wanted.variant);
    if (offered.architecture == "arm" && version >= 5) return arm_distance(version, offered);
  }
  if (wanted.architecture == "amd64") {
    if (offered.architecture == "386") return 100;
    const int want = wanted.variant.empty() ? 1 : version_of(wanted.variant);
    const int have = offered.variant.empty() ? 1 : version_of(offered.variant);
    if (offered.architecture == "amd64" && want > 0 && have > 0)
      return have <= want ? std::optional(want - have) : std::nullopt;
  }
  if (wanted.architecture == offered.architecture && wanted.variant == offered.variant) return 0;
  return std::nullopt;
}

// A Windows image runs on the build of Windows it was made for: the first three numbers.
bool version_fits(const Platform& wanted, const Platform& offered) {
  if (wanted.os != "windows" || wanted.os_version.empty() || offered.os_version.empty())
    return true;
  std::vector<std::string> want = split(wanted.os_version, '.');
  std::vector<std::string> have = split(offered.os_version, '.');
  want.resize(3);
  have.resize(3);
  return want == have;
}

}  // namespace

std::string Platform::to_string() const {
  std::string text = os + "/" + architecture;
  if (!variant.empty()) text += "/" + variant;
  return text;
}

std::string Platform::to_full_string() const {
  std::string text = os;
  if (!os_version.empty()) text += "(" + os_version + ")";
  text += "/" + architecture;
  if (!variant.empty()) text += "/" + variant;
  return text;
}

Platform native_platform() {
  Platform platform;
#if defined(__x86_64__)
  platform.architecture = "amd64";
#elif defined(__aarch64__)
  platform.architecture = "arm64";
#elif defined(__arm__)
  platform.architecture = "arm";
  platform.variant = "v7";
#elif defined(__i386__)
  platform.architecture = "386";
#elif defined(__riscv)
  platform.architecture = "riscv64";
#elif defined(__powerpc64__)
  platform.architecture = "ppc64le";
#elif defined(__s390x__)
  platform.architecture = "s390x";
#else
#error "add the name of this architecture"
#endif
  return platform;
}

Platform parse_platform(std::string_view text, const Platform& base) {
  if (text.empty()) refuse(text, "it is empty");
  const std::vector<std::string> parts = split(text, '/');
  if (parts.size() > 3) refuse(text, "it has more than three parts");
  Platform platform;
  platform.os = lower(parts[0]);
  const size_t open = parts[0].find('(');
  if (open != std::string::npos) {
    if (parts[0].back() != ')') refuse(text, "the system's version is not closed with ')'");
    platform.os = lower(parts[0].substr(0, open));
    platform.os_version = parts[0].substr(open + 1, parts[0].size() - open - 2);
    if (!is_part(platform.os_version, ".")) refuse(text, "the system's version is not one");
  }
  if (!is_part(platform.os)) refuse(text, "a part is empty or has a sign that no name has");
  for (size_t i = 1; i < parts.size(); ++i)
    if (!is_part(parts[i], ".")) refuse(text, "a part is empty or has a sign that no name has");
  if (parts.size() == 1) {
    Platform alone;
    alone.architecture = platform.os;
    normalize(alone);
    normalize(platform);
    if (knows(known_systems, platform.os)) {
      platform.architecture = base.architecture;
      platform.variant = base.variant;
    } else if (open == std::string::npos && knows(known_architectures, alone.architecture)) {
      platform = alone;
      platform.os = base.os;
      platform.os_version = base.os_version;
    } else {
      refuse(text, "neither a known system nor a known architecture");
    }
    return platform;
  }
  platform.architecture = lower(parts[1]);
  if (parts.size() == 3) platform.variant = lower(parts[2]);
  normalize(platform);
  return platform;
}

int platform_match(const Platform& wanted, const Platform& offered) {
  Platform want = wanted, have = offered;
  normalize(want);
  normalize(have);
  if (want.os != have.os || !version_fits(want, have)) return 0;
  const std::optional<int> below = distance(want, have);
  return below ? 1000 - *below : 0;
}

}  // namespace slipway::oci
