#include "source/buildpack_ref.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "base/text.h"
#include "base/url.h"

namespace slipway::source {
namespace {

constexpr const char* accepted_forms =
    "a buildpack is a built-in name (nodejs), a published one (ns/name), a git or tarball URL, or "
    "a folder (./my-buildpack)";
constexpr size_t length_max = 4096;

[[noreturn]] void refuse(std::string_view text, std::string_view why, std::string hint = {}) {
  throw Error(ExitCode::usage,
              fmt::format("buildpack '{}': {}", printable(url_without_credentials(text)), why))
      .set_hint(hint.empty() ? accepted_forms : std::move(hint));
}

std::string percent_decoded(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0 &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0;
    if (!escape) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
    i += 2;
  }
  return plain;
}

void add_secret(std::vector<std::string>& secrets, std::string_view value) {
  if (value.empty()) return;
  secrets.emplace_back(value);
  const std::string plain = percent_decoded(value);
  if (plain != value) secrets.push_back(plain);
}

std::vector<std::string> secrets_of(std::string_view url, const std::string& scheme) {
  std::vector<std::string> secrets;
  if (scheme.empty()) return secrets;
  const UrlAuthority authority = url_authority(url);
  const std::string_view user =
      url.substr(authority.start, authority.userinfo_end - authority.start);
  const size_t colon = user.find(':');
  if (colon != std::string_view::npos) add_secret(secrets, user.substr(colon + 1));
  // A token alone, or "token:x-oauth-basic", stands where the user name should.
  if (scheme.starts_with("http")) add_secret(secrets, user.substr(0, colon));
  for (const auto& [at, length] : secret_parameters(url))
    add_secret(secrets, url.substr(at, length));
  return secrets;
}

/// git passes these to ssh or to its own commands, where a leading '-' is an option (threat 13).
void check_git_parts(std::string_view text, std::string_view host, std::string_view path,
                     std::string_view ref) {
  if (host.starts_with('-') || path.starts_with('-') || path.starts_with("/-"))
    refuse(text, "host and path must not begin with '-'");
  if (ref.starts_with('-')) refuse(text, "the ref after '#' must not begin with '-'");
  if (ref.find("..") != std::string_view::npos || ref.find_first_of(" ~^:?*[\\") != ref.npos)
    refuse(text, fmt::format("'{}' is no branch, tag or commit", printable(ref)));
}

BuildpackRef parse_url(std::string_view text, const std::string& scheme, const PublicNames& names) {
  BuildpackRef found;
  const std::string_view rest = text.substr(text.find("://"));
  const std::string url = scheme + std::string(rest);
  found.secrets = secrets_of(url, scheme);
  if (is_tarball_url(url)) {
    found.kind = BuildpackRef::Kind::tarball;
    found.url = url;
    if (const auto name = names.registry_name(url)) {
      found.kind = BuildpackRef::Kind::registry;
      found.name = name->text();
    }
    return found;
  }
  static constexpr std::array<std::string_view, 5> schemes{"https", "http", "git", "ssh", "file"};
  if (std::find(schemes.begin(), schemes.end(), scheme) == schemes.end())
    refuse(text, fmt::format("'{}://' is not supported", scheme),
           "use https, http, git, ssh or file");
  const size_t hash = url.find('#');
  found.kind = BuildpackRef::Kind::git;
  found.url = url.substr(0, hash);
  if (hash != std::string::npos) found.ref = url.substr(hash + 1);
  if (is_tarball_url(found.url))
    refuse(text, "a tarball has no refs", "leave out '#' and the rest");
  const UrlAuthority authority = url_authority(found.url);
  const size_t host =
      authority.userinfo_end == authority.start ? authority.start : authority.userinfo_end + 1;
  if (scheme != "file" && host >= authority.end) refuse(text, "the URL has no host");
  if (authority.end >= found.url.size() || found.url.substr(authority.end) == "/")
    refuse(text, "the URL has no path");
  check_git_parts(text, std::string_view(found.url).substr(host),
                  std::string_view(found.url).substr(authority.end), found.ref);
  if (found.url[authority.start] == '-') refuse(text, "host and path must not begin with '-'");
  return found;
}

/// user@host:path
BuildpackRef parse_scp(std::string_view text) {
  BuildpackRef found;
  found.kind = BuildpackRef::Kind::git;
  const size_t hash = text.find('#');
  found.url = text.substr(0, hash);
  if (hash != std::string_view::npos) found.ref = text.substr(hash + 1);
  const size_t at = found.url.find('@');
  const size_t colon = found.url.find(':', at);
  const std::string_view url = found.url;
  if (colon == at + 1 || colon + 1 == found.url.size())
    refuse(text, "user@host:path is incomplete");
  if (url.starts_with('-')) refuse(text, "a user name must not begin with '-'");
  check_git_parts(text, url.substr(at + 1, colon - at - 1), url.substr(colon + 1), found.ref);
  return found;
}

bool is_scp_like(std::string_view text) {
  const std::string_view url = text.substr(0, text.find('#'));
  const size_t at = url.find('@');
  const size_t colon = url.find(':');
  const size_t slash = url.find('/');
  return at != url.npos && at > 0 && colon != url.npos && at < colon &&
         (slash == url.npos || colon < slash);
}

bool is_folder(std::string_view text) {
  return text == "." || text == ".." || text.starts_with("./") || text.starts_with("../") ||
         text.starts_with('/') || text.ends_with('/');
}

BuildpackRef parse_registry(std::string_view text, std::string_view name,
                            const PublicNames& names) {
  const size_t slash = name.find('/');
  const std::string_view last = slash == name.npos ? name : name.substr(slash + 1);
  const size_t pin = last.find_first_of("#@");
  if (slash != name.npos && pin != last.npos && is_registry_part(last.substr(0, pin)))
    refuse(text, "a published buildpack has no version here, it is always the latest",
           "name its git URL with '#ref' to pin it");
  if (slash == name.npos || !is_registry_part(name.substr(0, slash)) || !is_registry_part(last))
    refuse(text, "this is no buildpack's name");
  const RegistryName parts{std::string(name.substr(0, slash)), std::string(last)};
  BuildpackRef found;
  found.kind = BuildpackRef::Kind::registry;
  found.name = parts.text();
  found.url = names.registry_url(parts);
  return found;
}

BuildpackRef parse_builtin(std::string_view text, const std::vector<std::string>& builtins,
                           const PublicNames& names) {
  if (std::find(builtins.begin(), builtins.end(), text) != builtins.end()) {
    BuildpackRef found;
    found.name = text;
    return found;
  }
  std::string hint = fmt::format("built in are {}", join(builtins, ", "));
  const auto& official = names.detection_order;
  if (std::find(official.begin(), official.end(), text) != official.end())
    hint += fmt::format("; the published one is {}/{}", names.official_namespace, text);
  hint += ". ";
  if (const auto near = closest(text, builtins)) hint = fmt::format("did you mean '{}'? ", *near);
  hint += fmt::format("A folder is written ./{}", printable(text));
  refuse(text, "there is no built-in buildpack of that name", hint);
}

}  // namespace

bool is_tarball_url(std::string_view url) {
  const std::string scheme = url_scheme(url);
  if (scheme != "http" && scheme != "https") return false;
  static constexpr std::array<std::string_view, 10> endings{".tgz",    ".tar.gz",  ".tbz", ".tbz2",
                                                            ".tar.bz", ".tar.bz2", ".tar", ".txz",
                                                            ".tar.xz", ".tar.zst"};
  // ".*" of the rule is greedy but may stop anywhere, so any ending before a '?' will do.
  for (size_t end = url.find('?');; end = url.find('?', end + 1)) {
    const std::string_view head = url.substr(0, end);
    for (const std::string_view ending : endings)
      if (head.ends_with(ending)) return head.find('#') == std::string_view::npos;
    if (end == std::string_view::npos) return false;
  }
}

std::string BuildpackRef::public_name() const {
  switch (kind) {
    case Kind::builtin:
    case Kind::registry:
      return name;
    case Kind::folder:
      return path;
    case Kind::git:
    case Kind::tarball:
      break;
  }
  return url_without_credentials(url) + (ref.empty() ? "" : "#" + ref);
}

std::string BuildpackRef::display() const {
  return printable(public_name()) + (kind == Kind::builtin ? " (built in)" : "");
}

BuildpackRef parse_buildpack_ref(std::string_view text, const std::vector<std::string>& builtins,
                                 const PublicNames& names) {
  text = trim(text);
  if (text.empty()) refuse(text, "the name is empty");
  if (text.size() > length_max) refuse(text.substr(0, 60), "longer than 4096 bytes");
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (odd) refuse(text, "control characters are not allowed");
  if (is_folder(text) && url_scheme(text).empty()) {
    BuildpackRef found;
    found.kind = BuildpackRef::Kind::folder;
    found.path = text;
    return found;
  }
  constexpr std::string_view urn = "urn:buildpack:";
  if (text.starts_with(urn)) return parse_registry(text, text.substr(urn.size()), names);
  if (text.find(' ') != text.npos) refuse(text, "blanks are not allowed here");
  if (text.starts_with('-')) refuse(text, "a buildpack must not begin with '-'");
  const std::string scheme = url_scheme(text.substr(0, text.find('#')));
  if (!scheme.empty()) return parse_url(text, scheme, names);
  if (is_scp_like(text)) return parse_scp(text);
  if (text.find('/') == text.npos) return parse_builtin(text, builtins, names);
  const size_t hash = text.find('#');
  if (std::count(text.begin(), text.begin() + static_cast<long>(std::min(hash, text.size())), '/') >
      1)
    refuse(text, "this is no buildpack's name", fmt::format("a folder is written ./{}", text));
  return parse_registry(text, text, names);
}

}  // namespace slipway::source
