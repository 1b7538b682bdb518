// Platforms as image indexes and --platform name them (dockerfile.md V23).
#pragma once

#include <string>
#include <string_view>

namespace slipway::oci {

struct Platform {
  std::string os = "linux";
  std::string architecture = "amd64";
  std::string variant;
  std::string os_version;
  bool operator==(const Platform&) const = default;
  /// "linux/arm64", "linux/arm/v7": BUILDPLATFORM's form, without the OS version.
  std::string to_string() const;
  /// "windows(10.0.17763)/amd64": TARGETPLATFORM's form, with the OS version if there is one.
  std::string to_full_string() const;
};

/// The platform this program was compiled for.
Platform native_platform();

/// "os[(version)]/arch[/variant]", or one of os and arch alone, normalised (x86_64 → amd64 …).
/// Parts that are absent come from `base`. Throws Error(usage) naming the text.
Platform parse_platform(std::string_view text, const Platform& base);

/// Whether an image of platform `offered` may serve where `wanted` is asked for; the higher the
/// better (an exact variant before a lower compatible one), 0 = no.
int platform_match(const Platform& wanted, const Platform& offered);

}  // namespace slipway::oci
