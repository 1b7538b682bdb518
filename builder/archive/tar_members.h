// The members of a tar as the chunker sees them, whatever they are listed in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/layer_listing.h"
#include "archive/tree.h"
#include "base/fd.h"

namespace slipway::archive {

/// A tar, member by member; numbered from 0.
class TarMembers {
 public:
  virtual ~TarMembers() = default;
  virtual size_t count() const = 0;
  /// In the archive: decides where chunks end.
  virtual std::string_view path(size_t member) const = 0;
  /// Bytes of content that follow the header, and their digest (unset when there are none).
  virtual uint64_t content_size(size_t member) const = 0;
  virtual const Digest& content_digest(size_t member) const = 0;
  virtual void append_header(std::string& out, size_t member) const = 0;
  /// Appends to `key` all that decides the header's bytes; returns how many these are.
  virtual uint64_t describe_header(std::string& key, size_t member) const = 0;
  /// What its content is opened by.
  virtual const std::string& open_path(size_t member) const = 0;
};

/// Opens several files at once (at most 64). Called from one thread.
using OpenFiles = std::function<std::vector<Fd>(const std::vector<std::string>&)>;

/// GNU tar members of a slug. The vectors stay the caller's.
class TreeMembers : public TarMembers {
 public:
  TreeMembers(const std::vector<TreeEntry>& members, const std::vector<std::string>& open_paths);
  size_t count() const override { return members_.size(); }
  std::string_view path(size_t member) const override { return members_[member].path; }
  uint64_t content_size(size_t member) const override;
  const Digest& content_digest(size_t member) const override { return members_[member].digest; }
  void append_header(std::string& out, size_t member) const override;
  uint64_t describe_header(std::string& key, size_t member) const override;
  const std::string& open_path(size_t member) const override { return open_paths_[member]; }

 private:
  const std::vector<TreeEntry>& members_;
  const std::vector<std::string>& open_paths_;
};

/// PAX members of an image layer, opened by their own paths. The listing stays the caller's.
class LayerMembers : public TarMembers {
 public:
  explicit LayerMembers(const LayerListing& listing) : entries_(listing.entries) {}
  size_t count() const override { return entries_.size(); }
  std::string_view path(size_t member) const override { return entries_[member].path; }
  uint64_t content_size(size_t member) const override;
  const Digest& content_digest(size_t member) const override { return entries_[member].digest; }
  void append_header(std::string& out, size_t member) const override;
  uint64_t describe_header(std::string& key, size_t member) const override;
  const std::string& open_path(size_t member) const override { return entries_[member].path; }

 private:
  const std::vector<LayerEntry>& entries_;
};

}  // namespace slipway::archive
