// Ports as EXPOSE has them (dockerfile.md I5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slipway::dockerfile {

struct ExposedPorts {
  std::vector<std::string> ports;  ///< "80/tcp", a range as its single ports
  bool has_mapping = false;        ///< names an address or a port of the host, which count nothing
  bool has_capitals = false;       ///< "80/TCP"
};

/// "[[address:]host:]port[-end][/protocol]"; throws Error(app_files) without a position.
ExposedPorts parse_exposed(std::string_view text);

}  // namespace slipway::dockerfile
