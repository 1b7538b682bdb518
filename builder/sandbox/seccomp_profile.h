// The data of the seccomp profile; seccomp.cpp turns it into BPF or JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace slipway::sandbox {

/// One condition on an argument of a call; several of one rule must all hold.
struct ArgCondition {
  enum class Op : uint8_t { equal, less, greater, masked_equal };
  unsigned index = 0;
  Op op = Op::equal;
  uint64_t value = 0;
  uint64_t mask = 0;  ///< of masked_equal: (arg & mask) == value
};

/// Calls allowed when the condition holds; a call may have several rules, one of which suffices.
struct ConditionalRule {
  std::string_view call;
  ArgCondition condition;
};

/// Calls allowed whatever their arguments, sorted.
std::span<const std::string_view> allowed_calls();
std::span<const ConditionalRule> conditional_rules();
/// Calls that answer ENOSYS instead of EPERM, because libc then takes another way.
std::span<const std::string_view> missing_calls();

}  // namespace slipway::sandbox
