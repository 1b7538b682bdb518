// Names that are no stages: images and named contexts (dockerfile.md F1, F4, S3).
#pragma once

#include <map>
#include <set>
#include <string>

#include "dockerfile/compile.h"

namespace slipway::dockerfile {

/// What a name stands for. With neither an image nor a tree it is empty, as "scratch" is.
struct Resolved {
  std::optional<BaseRequest> image;
  const Base* base = nullptr;  ///< of the image; null while its config is missing
  graph::NodeRef tree;         ///< files of a named context
};

class Outside {
 public:
  explicit Outside(const Options& options);

  /// The named context for `name`, the one for the platform first; "scratch" and "context" have
  /// none. Names of images match in any spelling: "alpine" is "alpine:latest".
  const NamedContext* context(const std::string& name, const oci::Platform& platform) const;
  /// Throws Error(usage) without a position when the name is no reference of an image. A config
  /// that is not known is noted as missing.
  Resolved resolve(const std::string& name, const oci::Platform& platform);
  Resolved resolve(const NamedContext& context, const oci::Platform& platform);

  const std::set<BaseRequest>& missing() const { return missing_; }
  const std::set<std::string>& local_contexts() const { return local_contexts_; }

 private:
  Resolved image(const std::string& reference, const oci::Platform& platform);
  const Options& options_;
  /// By normalised name and platform; an empty platform = any.
  std::map<std::pair<std::string, std::string>, const NamedContext*> contexts_;
  std::set<BaseRequest> missing_;
  std::set<std::string> local_contexts_;
};

}  // namespace slipway::dockerfile
