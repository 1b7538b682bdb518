#include "dockerfile/keyword.h"

#include <algorithm>
#include <iterator>

namespace slipway::dockerfile {
namespace {

// In the order of the enumeration.
constexpr const char* names[] = {
    "ADD",    "ARG",   "CMD",         "COPY",  "ENTRYPOINT", "ENV",
    "EXPOSE", "FROM",  "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN",    "SHELL", "STOPSIGNAL",  "USER",  "VOLUME",     "WORKDIR",
};

}  // namespace

std::optional<Keyword> find_keyword(std::string_view name) {
  const std::string wanted = upper_case(name);
  const auto* found = std::find(std::begin(names), std::end(names), wanted);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<Keyword>(found - std::begin(names));
}

const char* keyword_name(Keyword keyword) {
  return names[static_cast<size_t>(keyword)];
}

std::vector<std::string> keyword_names() {
  return {std::begin(names), std::end(names)};
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return upper;
}

}  // namespace slipway::dockerfile
