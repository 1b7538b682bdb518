#include "build/emulators.h"

#include <map>

#include "base/text.h"

namespace slipway::build {

std::vector<oci::Platform> emulated_platforms(const fs::path& registered) {
  // QEMU's names of processors, by which its packages register.
  static const std::map<std::string, std::string> known = {
      {"qemu-x86_64", "linux/amd64"},       {"qemu-i386", "linux/386"},
      {"qemu-aarch64", "linux/arm64"},      {"qemu-arm", "linux/arm/v7"},
      {"qemu-riscv64", "linux/riscv64"},    {"qemu-ppc64le", "linux/ppc64le"},
      {"qemu-s390x", "linux/s390x"},        {"qemu-mips64el", "linux/mips64le"},
      {"qemu-loongarch64", "linux/loong64"}};
  std::vector<oci::Platform> platforms;
  for (const auto& [name, platform] : known) {
    const auto text = read_file_if_exists((registered / name).string(), 4096);
    if (!text) continue;
    bool enabled = false, opened = false;
    for (const std::string& line : split(*text, '\n')) {
      enabled = enabled || line == "enabled";
      opened = opened || (starts_with(line, "flags: ") && line.find('F') != std::string::npos);
    }
    if (enabled && opened)
      platforms.push_back(oci::parse_platform(platform, oci::native_platform()));
  }
  return platforms;
}

}  // namespace slipway::build
