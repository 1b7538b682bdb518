// Extended attributes that travel with a file: what a step can see (user.*, but not the overlay's
// own) and file capabilities (dockerfile.md C10, X7); and reading a link's text.
#pragma once

#include <string>

namespace slipway::sandbox {

/// Throws only where the source cannot be read: a target that takes no attributes goes without
/// (C10).
void copy_attributes_of(int from, int to, const std::string& path);

/// The same attributes with their values as one text; "" when there are none.
std::string attributes_text(int file, const std::string& path);

std::string read_link_at(int dir, const std::string& name, const std::string& path);

}  // namespace slipway::sandbox
