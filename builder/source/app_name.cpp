#include "source/app_name.h"

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"

namespace slipway::source {
namespace {

constexpr size_t length_max = 63;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

std::string_view last_part(std::string_view source) {
  const bool url = source.find("://") != source.npos || source.find('@') != source.npos;
  if (url) source = source.substr(0, source.find_first_of("?#"));
  while (source.size() > 1 && source.ends_with('/')) source.remove_suffix(1);
  // host:path of git's short form has no slash before the path.
  const size_t cut = source.find_last_of(url ? "/:" : "/");
  if (cut != source.npos) source.remove_prefix(cut + 1);
  for (const std::string_view ending : {".git", ".tar.gz", ".tgz", ".tar", ".zip"})
    if (source.size() > ending.size() && source.ends_with(ending)) {
      source.remove_suffix(ending.size());
      break;
    }
  return source;
}

}  // namespace

bool is_app_name(std::string_view name) {
  return !name.empty() && name.size() <= length_max && is_plain(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_plain(c) || c == '-'; });
}

std::string sanitise_app_name(std::string_view text) {
  std::string name;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (is_plain(c))
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  name.resize(std::min(name.size(), length_max));
  while (name.ends_with('-')) name.pop_back();
  return name.empty() ? "app" : name;
}

AppName choose_app_name(const std::optional<std::string>& flag, const AppJson* app_json,
                        std::string_view source) {
  if (flag) {
    if (!is_app_name(*flag))
      throw Error(ExitCode::usage,
                  fmt::format("--app: '{}' cannot be an app's name", printable(*flag)))
          .set_hint(fmt::format("use lower-case letters, digits and '-', for example {}",
                                sanitise_app_name(*flag)));
    return {*flag, AppName::Origin::flag, *flag};
  }
  if (app_json != nullptr && app_json->name && !trim(*app_json->name).empty())
    return {sanitise_app_name(*app_json->name), AppName::Origin::app_json, *app_json->name};
  const std::string folder(last_part(source));
  return {sanitise_app_name(folder), AppName::Origin::folder, folder};
}

std::string build_dir_hex(std::string_view app_name) {
  return hash_bytes(app_name).hex().substr(0, 8);
}

std::string build_dir(std::string_view app_name) {
  return "/tmp/build_" + build_dir_hex(app_name);
}

}  // namespace slipway::source
