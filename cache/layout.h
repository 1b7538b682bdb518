// The store's folder: who owns it, which format it has, which directories it is made of. Nothing
// here knows the index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace slipway::cache {

/// First id of the range that root's store maps its users to, unless taken (see choose_id_base).
inline constexpr uint32_t default_id_base = 1879048192;  // 0x70000000, where systemd-nspawn's end
inline constexpr uint32_t id_count = 65536;

/// The first base from default_id_base on whose id_count ids overlap no range of the texts, which
/// are /etc/subuid and /etc/subgid ("name:start:count" lines; others are skipped). Throws
/// Error(machine) when all ids up to 2^32 - 2 are taken.
uint32_t choose_id_base(std::string_view subuid, std::string_view subgid);

struct Layout {
  std::filesystem::path root;  ///< absolute
  Fd fd;                       ///< the root directory
  bool fresh = false;          ///< this call created the store
  uint32_t id_base = 0;
  std::string key;  ///< 32 bytes
  std::vector<std::string> warnings;
};

/// Opens or creates the folder with all its directories (0700 whatever the umask, threat 22).
/// A fresh store has no `format` yet: seal_layout() writes it once the index exists.
/// Throws Error(machine) when it belongs to another user, has an unknown format, holds other
/// files, or cannot be written.
Layout open_layout(const std::filesystem::path& root);
void seal_layout(const Layout& layout);

/// Makes a directory 0700 whatever the umask; one that exists is left as it is.
void make_private_directory(int parent, const std::string& name);
/// Atomic, synced, 0600 whatever the umask.
void write_private_file(const std::filesystem::path& path, std::string_view data);

}  // namespace slipway::cache
