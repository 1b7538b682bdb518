// Foreign platforms whose programs run here: emulators registered with the kernel (binfmt_misc).
#pragma once

#include <vector>

#include "base/files.h"
#include "oci/platform.h"

namespace slipway::build {

/// Those that work in a step's own root: enabled, and opened when they were registered (flag F).
/// A folder that is not there has none.
std::vector<oci::Platform> emulated_platforms(
    const fs::path& registered = "/proc/sys/fs/binfmt_misc");

}  // namespace slipway::build
