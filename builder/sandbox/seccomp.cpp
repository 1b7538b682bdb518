#include "sandbox/seccomp.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "sandbox/seccomp_profile.h"

namespace slipway::sandbox {
namespace {

struct FilterRelease {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterRelease>;

void check(int result, std::string_view doing) {
  if (result < 0) fail(ExitCode::machine, "seccomp profile: {}: {}", doing, std::strerror(-result));
}

scmp_arg_cmp compare(const ArgCondition& condition) {
  scmp_arg_cmp result{};
  result.arg = condition.index;
  result.datum_a = condition.value;
  switch (condition.op) {
    case ArgCondition::Op::equal:
      result.op = SCMP_CMP_EQ;
      break;
    case ArgCondition::Op::less:
      result.op = SCMP_CMP_LT;
      break;
    case ArgCondition::Op::greater:
      result.op = SCMP_CMP_GT;
      break;
    case ArgCondition::Op::masked_equal:
      result.op = SCMP_CMP_MASKED_EQ;
      result.datum_a = condition.mask;
      result.datum_b = condition.value;
      break;
  }
  return result;
}

/// Calls newer than the installed libseccomp have no number here and stay refused.
void add_rule(scmp_filter_ctx filter, uint32_t action, std::string_view call,
              const ArgCondition* condition) {
  const int number = seccomp_syscall_resolve_name(std::string(call).c_str());
  if (number == __NR_SCMP_ERROR) return;
  scmp_arg_cmp argument{};
  if (condition != nullptr) argument = compare(*condition);
  const int result = seccomp_rule_add_array(filter, action, number, condition != nullptr ? 1 : 0,
                                            condition != nullptr ? &argument : nullptr);
  // EDOM: a call that only another of the architectures knows.
  if (result != -EDOM) check(result, call);
}

#if defined(__x86_64__)
constexpr uint32_t second_architecture = SCMP_ARCH_X86;
constexpr std::string_view architecture_names[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
#elif defined(__aarch64__)
constexpr uint32_t second_architecture = SCMP_ARCH_ARM;
constexpr std::string_view architecture_names[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#else
#error "the seccomp profile knows x86-64 and arm64"
#endif

std::string_view op_name(ArgCondition::Op op) {
  switch (op) {
    case ArgCondition::Op::equal:
      return "SCMP_CMP_EQ";
    case ArgCondition::Op::less:
      return "SCMP_CMP_LT";
    case ArgCondition::Op::greater:
      return "SCMP_CMP_GT";
    case ArgCondition::Op::masked_equal:
      return "SCMP_CMP_MASKED_EQ";
  }
  return "";
}

}  // namespace

void forbid_network() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) throw Error(ExitCode::machine, "seccomp filter: out of memory");
  // Programs of a second architecture have calls of their own for this.
  check(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)),
        "foreign architectures");
  const scmp_arg_cmp other_family = SCMP_A0(SCMP_CMP_NE, AF_UNIX);
  check(seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(ENETUNREACH), SCMP_SYS(socket), 1,
                               &other_family),
        "socket");
  // It opens sockets, too.
  check(seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0,
                               nullptr),
        "io_uring_setup");
  check(seccomp_load(filter.get()), "load");
}

std::string compile_seccomp() {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) throw Error(ExitCode::machine, "seccomp profile: out of memory");
  check(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)),
        "foreign architectures");
  // A search tree instead of a list: calls late in the list would cost a microsecond each.
  check(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimisation");
  check(seccomp_arch_add(filter.get(), second_architecture), "32-bit programs");
  for (const std::string_view call : allowed_calls())
    add_rule(filter.get(), SCMP_ACT_ALLOW, call, nullptr);
  for (const ConditionalRule& rule : conditional_rules())
    add_rule(filter.get(), SCMP_ACT_ALLOW, rule.call, &rule.condition);
  for (const std::string_view call : missing_calls())
    add_rule(filter.get(), SCMP_ACT_ERRNO(ENOSYS), call, nullptr);

  const Fd memory(memfd_create("slipway-seccomp", MFD_CLOEXEC));
  if (!memory) fail_errno("memfd_create");
  check(seccomp_export_bpf(filter.get(), memory.get()), "export");
  if (lseek(memory.get(), 0, SEEK_SET) != 0) fail_errno("seek");
  return read_all(memory.get());
}

std::string seccomp_cache_key() {
  const scmp_version* version = seccomp_version();
  KeyBuilder key("seccomp");
  key.add("library", fmt::format("{}.{}.{}", version->major, version->minor, version->micro));
  key.add("profile", seccomp_json().dump());
  return key.finish().hex();
}

nlohmann::json seccomp_json() {
  using nlohmann::json;
  json calls = json::array();
  json plain = json::array();
  for (const std::string_view call : allowed_calls()) plain.push_back(call);
  calls.push_back({{"names", plain}, {"action", "SCMP_ACT_ALLOW"}});
  for (const ConditionalRule& rule : conditional_rules()) {
    const ArgCondition& condition = rule.condition;
    const bool masked = condition.op == ArgCondition::Op::masked_equal;
    calls.push_back({{"names", {rule.call}},
                     {"action", "SCMP_ACT_ALLOW"},
                     {"args",
                      {{{"index", condition.index},
                        {"value", masked ? condition.mask : condition.value},
                        {"valueTwo", masked ? condition.value : 0},
                        {"op", op_name(condition.op)}}}}});
  }
  for (const std::string_view call : missing_calls())
    calls.push_back({{"names", {call}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", ENOSYS}});
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", EPERM},
          {"architectures", architecture_names},
          {"syscalls", calls}};
}

std::string base64(std::string_view data) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, data.size() - i);
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < count ? static_cast<uint8_t>(data[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? digits[group >> (18 - 6 * j) & 63U] : '=';
  }
  return text;
}

}  // namespace slipway::sandbox
