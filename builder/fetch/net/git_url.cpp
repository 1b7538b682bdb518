#include "netfetch/git_url.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "fetch/url.h"

namespace slipway::netfetch {
namespace {

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; });
}

[[noreturn]] void refuse(const std::string& text, const char* reason) {
  throw Error(ExitCode::outside,
              fmt::format("'{}' is not fetched: {}", printable(fetch::public_url(text)), reason))
      .set_hint("use an https, ssh or git URL, user@host:path, or a path of this machine");
}

// "ext::sh -c …", "fd::7": helpers named before a double colon.
bool names_helper(const std::string& text) {
  const size_t end =
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
  return end != std::string::npos && text.compare(end, 2, "::") == 0;
}

GitAddress parse_with_scheme(const std::string& text) {
  const auto url = fetch::parse_url(text);
  if (!url) refuse(text, "it is not a sound URL");
  GitAddress address;
  if (url->scheme == "file") {
    if (!url->host.empty() && url->host != "localhost") refuse(text, "it names another machine");
    address.url = fetch::percent_decode(url->rest);
    if (has_control(address.url)) refuse(text, "it has control characters");
    address.shown = address.url;
    return address;
  }
  if (url->rest.empty() || url->rest == "/") refuse(text, "it names no repository");
  address.shown = fetch::public_url(text);
  fetch::Url bare = *url;
  if (url->scheme == "https" || url->scheme == "http") {
    address.kind = url->scheme == "https" ? GitAddress::Kind::https : GitAddress::Kind::http;
    bare.userinfo.clear();
    if (!url->userinfo.empty()) {
      address.credentials = {url->origin(), url->user(), url->password()};
      if (has_control(address.credentials.user) || has_control(address.credentials.password))
        refuse(text, "its credentials have control characters");
    }
  } else if (url->scheme == "ssh" || url->scheme == "git+ssh" || url->scheme == "ssh+git") {
    address.kind = GitAddress::Kind::ssh;
    bare.scheme = "ssh";
    bare.userinfo = url->userinfo.substr(0, url->userinfo.find(':'));
    if (starts_with(url->user(), "-") || starts_with(url->rest, "/-"))
      refuse(text, "a name in it begins with '-'");
  } else if (url->scheme == "git") {
    address.kind = GitAddress::Kind::git;
    bare.userinfo.clear();
  } else {
    refuse(text, "only https, http, git, ssh and file addresses are");
  }
  address.url = bare.to_string();
  return address;
}

// Drops the last component of a parent's path; false when there is none.
bool drop_component(std::string& path) {
  while (ends_with(path, "/")) path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    if (path.empty()) return false;
    path.clear();
    return true;
  }
  path.resize(slash);
  return true;
}

// git's rule: each "../" takes one component off the parent's own address.
std::string resolve_relative(const GitAddress& parent, std::string text) {
  const std::string& base = parent.url;
  const size_t mark = base.find("://");
  size_t path_start;
  if (mark != std::string::npos)
    path_start = std::min(base.find('/', mark + 3), base.size());
  else if (parent.kind == GitAddress::Kind::ssh)
    path_start = base.find(':') + 1;
  else
    path_start = 0;
  const std::string before = base.substr(0, path_start);
  std::string path = base.substr(path_start);
  while (ends_with(path, "/")) path.pop_back();
  const std::string original = text;
  for (;;) {
    if (starts_with(text, "./")) {
      text.erase(0, 2);
    } else if (starts_with(text, "../")) {
      if (!drop_component(path)) refuse(original, "it leaves its parent's server");
      text.erase(0, 3);
    } else {
      break;
    }
  }
  const bool scp = mark == std::string::npos && path.empty();
  return before + path + (scp ? "" : "/") + text;
}

}  // namespace

bool is_hex(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

bool is_full_commit(const std::string& text) {
  return is_hex(text) && (text.size() == 40 || text.size() == 64);
}

GitAddress parse_git_address(const std::string& text) {
  if (text.empty()) refuse(text, "it is empty");
  if (text[0] == '-') refuse(text, "it begins with '-'");
  if (has_control(text)) refuse(text, "it has control characters");
  if (text.find("://") != std::string::npos && text.find("::") > text.find("://"))
    return parse_with_scheme(text);
  if (names_helper(text)) refuse(text, "remote helpers are not used");
  const size_t colon = text.find(':');
  GitAddress address;
  if (colon != std::string::npos && text.find('/') > colon) {
    // user@host:path
    const std::string host = text.substr(0, colon);
    const size_t at = host.rfind('@');
    const std::string name = at == std::string::npos ? host : host.substr(at + 1);
    if (name.empty() || name[0] == '-' || host[0] == '-' || colon + 1 == text.size() ||
        text[colon + 1] == '-' || text.find(' ') < colon)
      refuse(text, "it is not a sound user@host:path");
    address.kind = GitAddress::Kind::ssh;
    address.url = address.shown = text;
    return address;
  }
  std::error_code problem;
  const fs::path absolute = fs::absolute(text, problem);
  if (problem) refuse(text, "its path cannot be resolved");
  address.url = address.shown = absolute.lexically_normal().string();
  return address;
}

GitAddress submodule_address(const GitAddress& parent, const std::string& text) {
  const bool relative = starts_with(text, "./") || starts_with(text, "../");
  if (relative && parent.kind == GitAddress::Kind::local)
    refuse(text, "a submodule must not point at a path of this machine");
  GitAddress address = parse_git_address(relative ? resolve_relative(parent, text) : text);
  if (address.kind == GitAddress::Kind::local)
    refuse(text, "a submodule must not point at a path of this machine");
  address.credentials = {};
  if (!parent.credentials.origin.empty()) {
    const auto url = fetch::parse_url(address.url);
    if (url && url->origin() == parent.credentials.origin) address.credentials = parent.credentials;
  }
  return address;
}

void check_ref(const std::string& ref) {
  const bool odd = std::any_of(ref.begin(), ref.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f' ||
           std::string_view("~^:?*[\\").find(c) != std::string_view::npos;
  });
  if (odd || starts_with(ref, "-") || starts_with(ref, "/") || ends_with(ref, "/") ||
      ends_with(ref, ".") || ref.find("..") != std::string::npos ||
      ref.find("@{") != std::string::npos || ref.find("//") != std::string::npos)
    fail(ExitCode::outside, "'{}' is not the name of a branch, tag or commit", printable(ref));
}

}  // namespace slipway::netfetch
