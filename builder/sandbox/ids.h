// Which host ids the worker's user namespace maps (DESIGN, Ids), and starting a process in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/process.h"

namespace slipway::sandbox {

enum class Isolation : uint8_t;

/// A line of an id map: `count` ids from `inside` on are `outside` on the host.
struct IdRange {
  uint32_t outside = 0, count = 0;
};

struct IdPlan {
  enum class Kind : uint8_t {
    root_range,  ///< root: 0..65535 → a range nobody uses
    subids,      ///< 0 → self, 1..65535 → subordinate ids through newuidmap
    single,      ///< 0 → self and nothing else
  } kind = Kind::single;
  uint32_t self_uid = 0, self_gid = 0;
  IdRange uids, gids;
  std::string why_single;  ///< what is missing; empty unless single
  bool single_id() const { return kind == Kind::single; }
  std::string describe() const;  ///< "ids 0-65535 at 1879048192"
};

/// The largest range of `name` or `id` in the text of /etc/subuid or /etc/subgid; lines that do not
/// parse are skipped (threat 7). Empty without one.
std::optional<IdRange> find_subids(std::string_view text, std::string_view name, uint32_t id);

/// Decides for this process. `root_base` is the store's range for root.
IdPlan plan_ids(uint32_t root_base);

/// How the owners of snapshots are kept on disk. What was kept one way is of no use to another, so
/// it is part of keys.
enum class Owners : uint8_t {
  mapped,  ///< through the worker's user namespace
  single,  ///< all files are this user's: owners are not kept
  own,     ///< as they are (rung chroot)
};
Owners plan_owners(Isolation isolation, uint32_t root_base);
const char* owners_name(Owners owners);
/// As --isolation has it.
const char* isolation_name(Isolation isolation);

/// What a process needs that starts in new user, mount and pid namespaces.
struct NamespaceStart {
  IdPlan ids;
  std::string store_root;  ///< its snapshots/ and caches/ arrive as descriptors 4 and 5
  int program = -1;        ///< executable, by descriptor
  int control = -1;        ///< arrives as descriptor 3
};

/// Starts "slipway __worker" as pid 1 of its namespaces, as id 0 there, with an environment of its
/// own and fresh memory (nothing of the parent's secrets). Threads may run: between fork and exec
/// only async-signal-safe calls are made. Throws Error(machine) naming the step that was refused
/// and the remedy.
Child start_in_namespaces(const NamespaceStart& start);

/// What to tell when unshare(CLONE_NEWUSER) was refused: reads the sysctls that decide.
std::string user_namespace_remedy();

/// What may be asked for instead where rung oci does not work: "--isolation=…, …".
std::string weaker_rung();

}  // namespace slipway::sandbox
