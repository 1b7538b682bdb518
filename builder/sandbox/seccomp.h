// The seccomp profile of steps: after Docker's default in effect (dockerfile.md X6), our own in
// text. What needs a capability that steps do not have is refused with EPERM; clone3 answers ENOSYS
// so that libc falls back to clone, whose flags a filter can read.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace slipway::sandbox {

/// The profile compiled to classic BPF (an array of struct sock_filter) for this machine.
/// Takes some 10 ms: callers keep it under seccomp_cache_key().
std::string compile_seccomp();

/// Changes with the profile, the architecture and libseccomp's version.
std::string seccomp_cache_key();

/// The same profile as the `linux.seccomp` object of a runtime spec, for runtimes that compile it.
nlohmann::json seccomp_json();

/// From now on this process and its children open no socket but local ones: for a step without a
/// network where there is no namespace for it. Sets no_new_privs, so setuid programs change nobody.
void forbid_network();

std::string base64(std::string_view data);

}  // namespace slipway::sandbox
