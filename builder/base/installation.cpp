#include "base/installation.h"

#include "base/error.h"
#include "base/files.h"

namespace slipway {

fs::path own_program() {
  return fs::read_symlink("/proc/self/exe");
}

fs::path data_directory() {
  const fs::path folder = own_program().parent_path();
  // Checkout: build/<kind>/slipway; tests one folder deeper; installed: bin/slipway.
  for (const char* way : {"../share/slipway", "../..", "../../.."}) {
    const fs::path candidate = (folder / way).lexically_normal();
    if (fs::is_directory(candidate / "buildpacks") && fs::is_directory(candidate / "stacks"))
      return candidate;
  }
  throw Error(ExitCode::machine,
              fmt::format("the folders buildpacks/ and stacks/ that belong to {} are missing",
                          own_program().string()))
      .set_hint("install Slipway again, or run it from its checkout");
}

}  // namespace slipway
