// Why an op missed: the first input that differs from the last time the same step ran.
#include "base/text.h"
#include "engine/engine.h"

namespace slipway::engine {
namespace {

std::string shown(const std::string& value) {
  const std::string text = printable(value);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

// Digests say nothing to a reader; that they differ is enough.
bool is_digest(const std::string& value) {
  return value.size() >= 40 && value.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string changed_item(const std::string& name, const std::string& before,
                         const std::string& now) {
  if (is_digest(before) || is_digest(now)) return name + " changed";
  return fmt::format("{} changed from '{}' to '{}'", name, shown(before), shown(now));
}

std::string first_tree_difference(const std::string& label, const archive::Tree& before,
                                  const archive::Tree& now) {
  size_t i = 0, j = 0;
  while (i < before.entries.size() || j < now.entries.size()) {
    if (j == now.entries.size() ||
        (i < before.entries.size() && before.entries[i].path < now.entries[j].path)) {
      return fmt::format("{} {} removed", label, printable(before.entries[i].path));
    }
    if (i == before.entries.size() || now.entries[j].path < before.entries[i].path)
      return fmt::format("{} {} added", label, printable(now.entries[j].path));
    const archive::TreeEntry& a = before.entries[i++];
    const archive::TreeEntry& b = now.entries[j++];
    if (a.type != b.type || a.digest != b.digest || a.link != b.link)
      return fmt::format("{} {} changed", label, printable(b.path));
    if (a.mode != b.mode)
      return fmt::format("{} {}: mode changed from {:o} to {:o}", label, printable(b.path), a.mode,
                         b.mode);
    if (a.uid != b.uid || a.gid != b.gid)
      return fmt::format("{} {}: owner changed", label, printable(b.path));
  }
  return {};
}

}  // namespace

std::string explain_miss(const cache::Store& store, const std::optional<cache::Ledger>& before,
                         const cache::Ledger& now) {
  if (!before) return "never built before";
  // Listings first: "file lib/a.ex changed" says more than "source changed".
  for (const auto& [label, digest] : now.trees) {
    for (const auto& [old_label, old_digest] : before->trees) {
      if (old_label != label || old_digest == digest) continue;
      try {
        const std::string difference =
            first_tree_difference(label.substr(0, label.find('\n')), store.read_tree(old_digest),
                                  store.read_tree(digest));
        if (!difference.empty()) return difference;
      } catch (const Error&) {
        return label.substr(0, label.find('\n')) + " changed (its earlier listing is gone)";
      }
    }
  }
  // Names may repeat: the first is compared with the first.
  std::multimap<std::string, std::string> old_items;
  for (const cache::LedgerItem& item : before->items) old_items.emplace(item.name, item.value);
  for (const cache::LedgerItem& item : now.items) {
    const auto found = old_items.find(item.name);
    if (found == old_items.end())
      return is_digest(item.value) ? item.name + " added"
                                   : fmt::format("{} added: '{}'", item.name, shown(item.value));
    if (found->second != item.value) return changed_item(item.name, found->second, item.value);
    old_items.erase(found);
  }
  if (!old_items.empty()) return old_items.begin()->first + " removed";
  return "its result was removed from the store";
}

}  // namespace slipway::engine
