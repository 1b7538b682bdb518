// The layers below one that is unpacked, for archive::extract(): looked into only when the layer's
// own archive leaves something open, and then only once they are complete.
#pragma once

#include <functional>
#include <vector>

#include "archive/placer.h"
#include "sandbox/layer_stack.h"

namespace slipway::sandbox {

class StackBelow : public archive::LowerTree {
 public:
  /// `open` gives the layers' descriptors, topmost first; called at the first question, it may
  /// wait.
  explicit StackBelow(std::function<std::vector<Fd>()> open) : open_(std::move(open)) {}
  Found find(const std::string& path) override;

 private:
  std::function<std::vector<Fd>()> open_;
  std::vector<Fd> layers_;
  std::vector<int> stack_;
};

}  // namespace slipway::sandbox
