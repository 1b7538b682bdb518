// The instructions' names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::dockerfile {

enum class Keyword : uint8_t {
  add,
  arg,
  cmd,
  copy,
  entrypoint,
  env,
  expose,
  from,
  healthcheck,
  label,
  maintainer,
  onbuild,
  run,
  shell,
  stopsignal,
  user,
  volume,
  workdir,
};

/// In any case (P18).
std::optional<Keyword> find_keyword(std::string_view name);
/// In capitals.
const char* keyword_name(Keyword keyword);
std::vector<std::string> keyword_names();

/// ASCII only.
std::string lower_case(std::string_view text);
std::string upper_case(std::string_view text);

}  // namespace slipway::dockerfile
