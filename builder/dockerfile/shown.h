// A piece of the file as a message shows it.
#pragma once

#include <string>
#include <string_view>

namespace slipway::dockerfile {

/// Control characters made visible, cut behind some 60 bytes.
std::string shown(std::string_view text);

}  // namespace slipway::dockerfile
